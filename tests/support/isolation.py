"""Worlds in which something is missing: a file system of a few kilobytes, a folder that cannot be written, no network.

They are namespaces of Linux, made for one command and gone with it. For root nothing else helps: permissions do not
hold.
"""

import os
import subprocess
import sys
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
    """Return the beginning of a command that runs in a namespace of its own ("mount", "net"); () where there is none.

    A user who is not root becomes it in there, where the system lets them.
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
    """Return a command that finds an empty file system of 16 kB in the place of a folder."""
    return [*namespace("mount"), "sh", "-c", _SMALL, "sh", str(folder), *command]


def in_read_only(folder: Path, *command: str) -> list[str]:
    """Return a command that runs in a folder which it cannot write, root or not.

    Without namespaces root becomes a user to whom the folder does not belong.
    """
    if namespace("mount"):
        return [*namespace("mount"), "sh", "-c", _READ_ONLY, "sh", str(folder), *command]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        drop = f"import os, sys; os.setgid({_NOBODY}); os.setuid({_NOBODY}); os.execvp(sys.argv[1], sys.argv[1:])"
        return [sys.executable, "-c", drop, *command]
    return missing("neither a mount namespace nor root: a folder cannot be made read-only")


def without_network(*command: str) -> list[str]:
    """Return a command that has the loopback interface and no other; where that cannot be had, the command itself."""
    if not namespace("net"):
        return list(command)
    return [*namespace("net"), "sh", "-c", _NO_NETWORK, "sh", *command]


def classroom(name: str) -> Path:
    """Return a program of the classroom environment; skip the test where that environment is not installed."""
    program = ROOT / ".venv" / "classroom" / "bin" / name
    if not program.exists():
        missing(f"{name} is not in .venv/classroom: `make classroom` installs it")
    return program


def missing(what: str) -> NoReturn:
    """Skip at home, fail in CI."""
    pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]
