"""Confine a child process that runs an answer: to its lab's folder, to limits, without other processes or a network.

Linux's Landlock and a filter of system calls (see `seccomp`) hold all code. Python's audit hook holds Python code only,
gives better messages, and is all that other systems have.
"""

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

from harness.classroom.grading import seccomp
from harness.errors import GradingError

# Linux's capabilities
_READ_ALL = 1 << 2  # CAP_DAC_READ_SEARCH: the right to read any file and folder
_KEEP_CAPABILITIES = 8  # PR_SET_KEEPCAPS
_CAPABILITIES_VERSION = 0x20080522
# Landlock. No package on PyPI replaces this code: `landlock` is a pre-release without TCP and scopes, and the ones with
# them (`py-landlock`, `landlockpy`) are 0.x releases of 2026.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
# The rights to files, by the version that introduced them: 13 rights, then rename across folders, then truncate.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14}
_READ = 1 << 2 | 1 << 3  # a file, a folder
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # the rights that apply to a file
_TCP = 1 << 0 | 1 << 1  # bind and connect, since version 4
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets of, and signals to, outside processes, since version 6
# The audit hook refuses events that begin with these names: processes, the network, C code, other objects' internals.
_REFUSED = (
    *("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.", "pty."),
    *("socket.", "ftplib.", "smtplib.", "urllib.", "http.client."),
    *("ctypes.", "gc.", "os.kill", "signal.pthread_kill", "os.symlink", "os.link", "resource.setrlimit"),
)
_ALLOWED = ("socket.gethostname",)
# Events that change files, with the number of their arguments that are paths.
_CHANGES = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.utime"), 1),
    **{"os.rename": 2, "sqlite3.connect": 1, "shutil.rmtree": 1, "shutil.move": 2},
}
_MADE = ("os.mkdir", "sqlite3.connect")  # those that make a file or a folder
_READS = ("open", "os.listdir", "os.scandir")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_NOBODY = 65534  # the user and the group without any files, on Linux and macOS
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")  # of modules that are imported late
_READABLE = ("/usr/share/zoneinfo", "/etc/localtime", "/dev/null", "/dev/urandom", *_LIBRARIES)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one request.

    Args:
        seconds: processor time; web2py itself needs far less than a second.
        patience: real seconds of running and waiting; waiting for the processor doesn't count.
        memory: bytes in addition to those that the process has already.
        file: the size of the largest file, in bytes.
        files: the number of files, SQLite databases and folders that may be opened for writing or made.
    """

    # Both are above the limits at which harness.appengine.time_limit stops a handler (4 and 30) with a better message.
    seconds: float = 12.0
    patience: float = 36.0
    memory: int = 256 << 20
    file: int = 8 << 20
    files: int = 64


def confine(limits: Limits, folder: Path) -> None:
    """Confine this process until it ends.

    Args:
        limits: its limits.
        folder: the only folder in which it may write.

    Raises:
        GradingError: the kernel has a layer of protection, and refuses to enforce it.
    """
    limit(limits)
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    readable = [*readable_folders(), str(folder)]
    enforced = {"Landlock": restrict(readable, [str(folder)]), "seccomp": seccomp.restrict()}
    promised = {"Landlock": version() > 0, "seccomp": seccomp.available()}
    if enforced != promised:
        raise GradingError(
            f"the kernel doesn't enforce {' and '.join(name for name in enforced if not enforced[name])}"
        )
    watch(readable, [str(folder)], limits.files)


def limit(limits: Limits) -> None:
    """Set limits that the system enforces and only root could raise."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, int(limits.seconds) + 1)
    _set(resource.RLIMIT_FSIZE, limits.file)
    limit_memory(limits.memory)
    _set(resource.RLIMIT_NPROC, 0)  # doesn't apply to root; see `become_nobody`


def limit_memory(more: int) -> None:
    """Limit the memory of this process and of its future children to what it has, and `more` bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):  # not Linux
        pages = (2 << 30) // resource.getpagesize()
    _set(resource.RLIMIT_AS, pages * resource.getpagesize() + more)


def _set(kind: int, limit: int) -> None:
    _, most = resource.getrlimit(kind)
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(kind, (limit, limit))


def become_nobody() -> None:
    """Turn root into the user nobody, for whom limits and file permissions apply; do nothing for another user.

    If Python is in a folder that only root can read, this nobody may still read every file that `confine` allows.
    """
    if os.geteuid() != 0:
        return
    folder = Path(os.__file__).parent
    is_open = all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))
    reads_all = sys.platform == "linux" and not is_open
    libc = ctypes.CDLL(None, use_errno=True)
    if reads_all:
        _require(libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    if reads_all:
        header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
        # effective, permitted, inheritable; then the upper 32 bits of each
        _require(libc.capset(header, struct.pack("=6I", _READ_ALL, _READ_ALL, 0, 0, 0, 0)))


def _require(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@cache
def readable_folders() -> list[str]:
    """Return the folders with the code that an answer needs: Python, the packages, the harness and web2py."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= {entry for entry in sys.path if entry.endswith(("lib-dynload", "-packages"))}
    found |= {str(Path(__file__).parents[2]), os.environ.get("WEB2PY_PATH", "")}
    for spec in filter(None, map(find_spec, ("google", "gluon"))):
        found |= {*(spec.submodule_search_locations or ())}
    return [os.path.realpath(path) for path in (*found, *_READABLE) if path and os.path.exists(path)]


def version() -> int:
    """Return the version of the kernel's Landlock, or 0 without Landlock."""
    return max(0, _call(_CREATE_RULESET, None, 0, _GET_VERSION)) if sys.platform == "linux" else 0


def layers() -> list[str]:
    """Return the layers of protection that this kernel enforces for all code: "Landlock 7", "seccomp"."""
    return [f"Landlock {version()}"] * (version() > 0) + ["seccomp"] * seccomp.available()


def gaps() -> list[str]:
    """Return what native code in an answer could do on this machine; each completes "native code could"."""
    known, filtered = version(), seccomp.available()
    found = {
        "read and change the files of this user account": known == 0,
        "empty the files of this user account": 0 < known < 3,
        "use the network, other programs' sockets and shared memory": not filtered,
        "disturb other processes": not filtered,
    }
    return [gap for gap, is_open in found.items() if is_open]


def restrict(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Restrict this process and its future children to some paths, and forbid TCP, by Landlock.

    Args:
        readable: folders and files that may be read.
        writable: folders in which everything is allowed.

    Returns:
        Whether the kernel enforces this.
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
    rights = rights if os.path.isdir(path) else rights & _FILE_RIGHTS
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    os.close(beneath)


def _call(number: int, *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *given))


def watch(readable: Sequence[str], writable: Sequence[str], files: int) -> None:
    """Add an audit hook that refuses everything that an answer doesn't need; it can't be removed.

    Args:
        readable: the real paths of folders and files that may be read.
        writable: the real paths of folders that may be changed.
        files: the number of files, SQLite databases and folders that may be opened for writing or made.
    """
    readable, writable = tuple(readable), tuple(writable)
    # An answer may replace the names of this module and of others. So the closure holds all that the hook looks up.
    refused, allowed, reads, changed, made, writing = _REFUSED, _ALLOWED, _READS, dict(_CHANGES), _MADE, _WRITING
    require_inside, getcwd, fsdecode = _inside_checker(), os.getcwd, _decoder()
    denied, permitted, whole = PermissionError, errno.EPERM, errno.EDQUOT
    set_of, truth = set, bool
    opened = 0

    def count(makes: bool) -> None:
        nonlocal opened
        if makes:
            opened += 1
        if opened > files:
            raise denied(whole, f"an answer that is being graded may not write more than {files} files and folders")

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(refused) and event not in allowed:
            raise denied(permitted, f"an answer that is being graded may not do this ({event})")
        if event in reads:
            path, mode, flags = args if event == "open" else (args[0], "", 0)
            changes = truth(set_of(mode or "") & {"w", "a", "x", "+"}) or truth((flags or 0) & writing)
            count(changes)
            require_inside(path, writable if changes else readable, getcwd, fsdecode)
        elif event in changed:
            count(event in made)
            for path in args[: changed[event]]:
                require_inside(path, writable, getcwd, fsdecode)

    sys.addaudithook(hook)


def _decoder() -> Callable[[Any], str]:
    """Return a function like `os.fsdecode` that looks nothing up by a name that an answer can replace."""
    fspath, is_a, text = os.fspath, isinstance, str

    def decode(path: Any) -> str:
        name = fspath(path)
        decoded: str = name if is_a(name, text) else name.decode("utf-8", "surrogateescape")
        return decoded

    return decode


def _inside_checker() -> Callable[..., None]:
    """Return a function that refuses paths outside some folders; it looks up no name that an answer can replace.

    It makes a path absolute without `.` and `..`. It may ignore links, because an answer can't make any.
    """
    denied, code, is_a, number, text = PermissionError, errno.EACCES, isinstance, int, str

    def require_inside(
        path: Any, folders: tuple[str, ...], getcwd: Callable[[], str], decode: Callable[[Any], str]
    ) -> None:
        if is_a(path, number) or (is_a(path, text) and path == ":memory:"):
            return
        name = getcwd() if path is None else decode(path)
        parts: list[str] = []
        for part in (name if name.startswith("/") else f"{getcwd()}/{name}").split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        full = "/" + "/".join(parts)
        if full == "/dev/null":
            return
        for folder in folders:
            if full == folder or full.startswith(folder + "/"):
                return
        raise denied(code, "an answer that is being graded may not use this file", name)

    return require_inside
