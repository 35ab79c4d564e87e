"""What a child process that runs an answer may do: see its own lab, use up little, start nothing, call nobody."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Linux's capabilities: what a process that was root may keep when it becomes somebody else.

READ_ALL = 2  # CAP_DAC_READ_SEARCH: read any file and folder, change none
_KEEP = 8  # PR_SET_KEEPCAPS
_VERSION_3 = 0x20080522


def keep_capabilities() -> None:
    """Keep, over the next change of the user, what this process is permitted."""
    _require_capability(ctypes.CDLL(None, use_errno=True).prctl(_KEEP, 1, 0, 0, 0))


def set_capability(number: int) -> None:
    """Give up all capabilities but one."""
    bit = 1 << number
    header = struct.pack("=Ii", _VERSION_3, 0)
    data = struct.pack("=6I", bit, bit, 0, 0, 0, 0)  # effective, permitted, inheritable; then the upper 32 of each
    _require_capability(ctypes.CDLL(None, use_errno=True).capset(header, data))


def _require_capability(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# Landlock: the Linux kernel's own word on which files a process may touch, and that it may use no TCP.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
# Rights to files by the version of the interface that brought them: 13, then rename across folders, truncate.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14}
_READ = 1 << 2 | 1 << 3  # a file, a folder
_OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # the rights that there are to something that is no folder
_TCP = 1 << 0 | 1 << 1  # bind and connect, from version 4 on
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets and signals of processes outside, from version 6 on


def version() -> int:
    """Return the version of the kernel's Landlock, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _call(_CREATE_RULESET, None, 0, _GET_VERSION))


def restrict(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Keep this process, and all that it will ever start, to some paths, and from TCP.

    Args:
        readable: folders and files that may be read.
        writable: folders in which all may be done.

    Returns:
        Whether the kernel does that.
    """
    known = version()
    if not known:
        return False
    rights = sum(bits for since, bits in _RIGHTS.items() if since <= known)
    attributes = struct.pack("QQQ", rights, _TCP, _SCOPES)[: 24 if known >= 6 else 16 if known >= 4 else 8]
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    for paths, allowed in ((readable, _READ), (writable, rights)):
        for path in paths:
            _allow(ruleset, path, allowed & rights)
    if ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    done = _call(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _allow(ruleset: int, path: str, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if os.path.isdir(path) else rights & _OF_A_FILE
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    os.close(beneath)


def _call(number: int, *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *given))


# Python's audit hook, on every system: what an answer asks of the machine, and does not get.

# Events by how they begin: processes, the network, foreign code, other objects' insides.
_REFUSED = (
    *("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.", "pty."),
    *("socket.", "ftplib.", "smtplib.", "urllib.", "http.client."),
    *("ctypes.", "gc.", "os.kill", "signal.pthread_kill", "os.symlink", "os.link", "resource.setrlimit"),
)
_ALLOWED = ("socket.gethostname",)
# Events that change what a path names; the number of paths among their arguments.
_CHANGES = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.utime"), 1),
    **{"os.rename": 2, "sqlite3.connect": 1, "shutil.rmtree": 1, "shutil.move": 2},
}
_LOOKS = ("open", "os.listdir", "os.scandir")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(readable: Sequence[str], writable: Sequence[str], files: int) -> None:
    """Refuse from now on what an answer does not need; nothing takes that back.

    Args:
        readable: the folders (real paths) and files that may be looked at.
        writable: the folders that may be changed.
        files: how many files may be opened for writing.
    """
    sys.addaudithook(_hook(tuple(readable), tuple(writable), files))


def _hook(readable: tuple[str, ...], writable: tuple[str, ...], files: int) -> Callable[[str, tuple[Any, ...]], None]:
    getcwd = os.getcwd  # an answer may put something else in its place in the module
    opened = [0]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_REFUSED) and event not in _ALLOWED:
            raise PermissionError(errno.EPERM, f"an answer that is being graded may not do this ({event})")
        if event in _LOOKS:
            changes = event == "open" and _is_writing(args)
            opened[0] += changes
            if opened[0] > files:
                raise PermissionError(errno.EDQUOT, f"an answer that is being graded may not write over {files} files")
            _require(args[0], writable if changes else readable, getcwd)
        elif event in _CHANGES:
            for path in args[: _CHANGES[event]]:
                _require(path, writable, getcwd)

    return hook


def _is_writing(args: tuple[Any, ...]) -> bool:
    _, mode, flags = args
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)


def _require(path: Any, folders: tuple[str, ...], getcwd: Callable[[], str]) -> None:
    if isinstance(path, int) or path == ":memory:":
        return
    whole = _absolute(getcwd() if path is None else os.fsdecode(path), getcwd)
    if whole == "/dev/null" or any(whole == folder or whole.startswith(folder + "/") for folder in folders):
        return
    raise PermissionError(errno.EACCES, "an answer that is being graded may not use this file", str(path))


def _absolute(path: str, getcwd: Callable[[], str]) -> str:
    """Return the path with `.` and `..` taken away; links are none of an answer's, see `os.symlink`."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{getcwd()}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


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

    # Both are above those after which harness.appengine.time_limit stops a handler (4 and 30), with better words.
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
    found |= {str(Path(__file__).parents[2]), os.environ.get("WEB2PY_PATH", ""), *_packages("google", "gluon")}
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
