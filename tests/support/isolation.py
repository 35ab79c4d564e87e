"""Commands that run with a tiny file system, in a read-only folder, or without a network, and what is refused there.

Each command runs in a Linux namespace of its own, because file permissions don't apply to root.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
_NOBODY = 65534
_SMALL = 'mount -t tmpfs -o size=16k none "$1" && shift && exec "$@"'
_READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && shift && exec "$@"'
_NO_NETWORK = 'ip link set lo up && exec "$@"'


@cache
def namespace(kind: str) -> tuple[str, ...]:
    """Return the beginning of a command that runs in a new namespace ("mount" or "net"), or () without namespaces.

    Another user becomes root inside the namespace, if the system allows it.
    """
    tried = [("unshare", f"--{kind}"), ("unshare", "--map-root-user", f"--{kind}")]
    probe = "mount -t tmpfs none /mnt" if kind == "mount" else "ip link set lo up"
    for command in tried if sys.platform == "linux" else ():
        try:
            done = subprocess.run([*command, "sh", "-c", probe], capture_output=True)
        except OSError:  # no unshare
            return ()
        if done.returncode == 0:
            return command
    return ()


def on_small_disk(folder: Path, *command: str) -> list[str]:
    """Return a command that runs with an empty file system of 16 kB mounted on a folder."""
    return [*namespace("mount"), "sh", "-c", _SMALL, "sh", str(folder), *command]


def in_read_only(folder: Path, *command: str) -> list[str]:
    """Return a command that runs in a folder to which it can't write, even as root.

    Without namespaces, root becomes a user who doesn't own the folder.
    """
    if namespace("mount"):
        return [*namespace("mount"), "sh", "-c", _READ_ONLY, "sh", str(folder), *command]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        drop = f"import os, sys; os.setgid({_NOBODY}); os.setuid({_NOBODY}); os.execvp(sys.argv[1], sys.argv[1:])"
        return [sys.executable, "-c", drop, *command]
    return missing("a folder can't be made read-only without a mount namespace or root")


def without_network(*command: str) -> list[str]:
    """Return a command with only the loopback interface, or the command itself without namespaces."""
    if not namespace("net"):
        return list(command)
    return [*namespace("net"), "sh", "-c", _NO_NETWORK, "sh", *command]


def classroom(name: str) -> Path:
    """Return a program of the classroom environment; skip the test if that environment isn't installed."""
    program = ROOT / ".venv" / "classroom" / "bin" / name
    if not program.exists():
        missing(f"{name} is not in .venv/classroom: `make classroom` installs it")
    return program


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it in CI, because something is missing."""
    pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def exception_name(act: Callable[[], object]) -> bytes:
    """Return the name of the exception that an act raises, or b"" without an exception."""
    try:
        act()
    except BaseException as error:
        return type(error).__name__.encode()
    return b""
