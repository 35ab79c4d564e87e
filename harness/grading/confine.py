"""What a child process that runs an answer may do: see its own lab, use up little, start nothing, call nobody."""

from __future__ import annotations

import os
import resource
import stat
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.grading.audit import watch
from harness.grading.capabilities import READ_ALL, keep_capabilities, set_capability
from harness.grading.landlock import restrict

_NOBODY = 65534  # the user, and the group, that owns nothing; Linux's and macOS's alike
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")  # of modules that are loaded late
_READABLE = ("/usr/share/zoneinfo", "/etc/localtime", "/dev/null", "/dev/urandom", *_LIBRARIES)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may use up.

    Args:
        seconds: of the processor; web2py's own share is far below one.
        patience: real seconds in which it runs or waits, without those in line for the processor.
        memory: bytes beyond what the process has already.
        file: bytes of the largest file.
        files: how many files it may open for writing.
    """

    # Both are above those after which harness.guard stops a handler (4 and 30), with better words.
    seconds: float = 12.0
    patience: float = 36.0
    memory: int = 256 << 20
    file: int = 8 << 20
    files: int = 64


def confine(limits: Limits, folder: Path) -> None:
    """Confine this process for good.

    Args:
        limits: what it may use up.
        folder: the only one in which it may write.
    """
    limit(limits)
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    readable = [*readable_folders(), str(folder)]
    restrict(readable, [str(folder)])
    watch(readable, [str(folder)], limits.files)


def limit(limits: Limits) -> None:
    """Set what the system itself holds this process to; nobody but root could raise it again."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, int(limits.seconds) + 1)
    _set(resource.RLIMIT_FSIZE, limits.file)
    limit_memory(limits.memory)
    _set(resource.RLIMIT_NPROC, 0)  # holds everybody but root; see `become_nobody`


def limit_memory(more: int) -> None:
    """Let this process, and those that it forks, take so many bytes beyond what it has, and no more."""
    _set(resource.RLIMIT_AS, _address_space() + more)


def become_nobody() -> None:
    """Let root become a user whom limits and file permissions hold; anybody else stays who they are.

    Where Python lies in a folder of root's alone, this nobody may still read, as `confine` allows it.
    """
    if os.geteuid() != 0:
        return
    reads_all = sys.platform == "linux" and not _is_open_to_all(Path(os.__file__).parent)
    if reads_all:
        keep_capabilities()
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    if reads_all:
        set_capability(READ_ALL)


@cache
def readable_folders() -> list[str]:
    """Return the folders with the code that an answer needs: Python, the packages, the harness, web2py."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= {entry for entry in sys.path if entry.endswith(("lib-dynload", "-packages"))}
    found |= {str(Path(__file__).parents[1]), os.environ.get("WEB2PY_PATH", ""), *_packages("google", "gluon")}
    return [os.path.realpath(path) for path in (*found, *_READABLE) if path and os.path.exists(path)]


def _packages(*names: str) -> list[str]:
    specs = [find_spec(name) for name in names]
    return [path for spec in specs if spec for path in spec.submodule_search_locations or ()]


def _is_open_to_all(folder: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def _set(kind: int, limit: int) -> None:
    _, most = resource.getrlimit(kind)
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(kind, (limit, limit))


def _address_space() -> int:
    """Return the bytes that this process has mapped; 2 GB where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 2 << 30
    return pages * resource.getpagesize()
