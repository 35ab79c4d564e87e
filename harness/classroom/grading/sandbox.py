"""Confine a child process that runs an answer: to its lab's folder, to limits, without other processes or a network.

Linux's Landlock and a filter of system calls (see `seccomp`) hold all code. Python's audit hooks hold Python code only,
give better messages, and are all that other systems have.
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
from itertools import repeat
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
# Limits of what the kernel keeps in memory for a process. A POSIX timer counts as a pending signal.
_KERNEL_MEMORY = {"RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_SIGPENDING": 64}
# An audit hook refuses events that begin with these names: processes, the network, C code, other objects' internals.
_REFUSED = (
    *("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.", "pty."),
    *("socket.", "ftplib.", "smtplib.", "urllib.", "http.client."),
    *("ctypes.", "gc.", "os.kill", "signal.pthread_kill", "os.symlink", "os.link", "resource.setrlimit"),
)
# Sending by HTTP needs a socket, which no answer can make. `harness.appengine.google_certificates` needs none.
_ALLOWED = ("socket.gethostname", "http.client.send")
# Events that change files; the first argument is a path.
_CHANGES = (
    *("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.rename"),
    "sqlite3.connect",
)
_MADE = ("os.mkdir", "sqlite3.connect")  # those that make a file or a folder
_WITHOUT_FOLDER = ("os.truncate", "sqlite3.connect")  # those whose last argument isn't the number of a folder, or -1
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
        open_files: the number of files that may be open together, in addition to those that are open already.
    """

    # Both are above the limits at which harness.appengine.time_limit stops a handler (4 and 30) with a better message.
    seconds: float = 12.0
    patience: float = 36.0
    memory: int = 256 << 20
    file: int = 8 << 20
    files: int = 64
    open_files: int = 64


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
    _set(resource.RLIMIT_NOFILE, max(map(int, os.listdir("/dev/fd"))) + 1 + limits.open_files)
    for name, most in _KERNEL_MEMORY.items():
        if hasattr(resource, name):
            _set(getattr(resource, name), most)
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
    libc = ctypes.CDLL(None)  # not in a global name, because an answer could use it to call C functions
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0, libc=libc)
    for paths, allowed in ((readable, _READ), (writable, rights)):
        for path in paths:
            _allow(ruleset, path, allowed & rights, libc)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    done = _call(_RESTRICT_SELF, ruleset, 0, libc=libc) == 0
    os.close(ruleset)
    return done


def _allow(ruleset: int, path: str, rights: int, libc: ctypes.CDLL) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if os.path.isdir(path) else rights & _FILE_RIGHTS
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0, libc=libc)
    os.close(beneath)


def _call(number: int, *arguments: int | bytes | None, libc: ctypes.CDLL | None = None) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int((libc or ctypes.CDLL(None)).syscall(ctypes.c_long(number), *given))


def watch(readable: Sequence[str], writable: Sequence[str], files: int) -> None:
    """Add audit hooks that refuse everything that an answer doesn't need; they can't be removed.

    An answer may replace the names of all modules, and it reaches the frames of a hook that has raised. So a hook is
    one function, and its frame contains only values that can't be changed. A signal handler or a finalizer of an answer
    may still interrupt a hook and change its variables (since Python 3.13), so only the kernel's layers are safe.

    Args:
        readable: the real paths of folders and files that may be read.
        writable: the real paths of folders that may be changed.
        files: the number of files, SQLite databases and folders that may be opened for writing or made.
    """
    sys.addaudithook(_event_hook())
    sys.addaudithook(_path_hook(tuple(readable), tuple(writable), files))


def _event_hook() -> Callable[..., None]:
    """Return a hook that refuses events by their name."""

    def hook(
        event: str,
        args: tuple[Any, ...],
        *,
        refused: tuple[str, ...] = _REFUSED,
        allowed: tuple[str, ...] = _ALLOWED,
        denied: type[OSError] = PermissionError,
        number: int = errno.EPERM,
    ) -> None:
        if event.startswith(refused) and event not in allowed:
            raise denied(number, f"an answer that is being graded may not do this ({event})")

    return hook


def _path_hook(readable: tuple[str, ...], writable: tuple[str, ...], files: int) -> Callable[..., None]:
    """Return a hook that refuses paths outside some folders, and too many new files.

    It makes a path absolute without `.` and `..`. An answer can't make links, and a path that leads through an existing
    link and back is refused. So is the number of a folder, because the event doesn't show which file is opened with it.
    """
    left = repeat(None, files + 1)  # an answer can only use it up; when it has ended, no file may be opened

    def hook(
        event: str,
        args: tuple[Any, ...],
        *,
        readable: tuple[str, ...] = readable,
        writable: tuple[str, ...] = writable,
        files: int = files,
        left: Any = left,
        step: Any = next,
        reads: tuple[str, ...] = _READS,
        changes: tuple[str, ...] = _CHANGES,
        made: tuple[str, ...] = _MADE,
        without_folder: tuple[str, ...] = _WITHOUT_FOLDER,
        writing: int = _WRITING,
        denied: type[OSError] = PermissionError,
        whole: int = errno.EDQUOT,
        outside: int = errno.EACCES,
        missing: type[OSError] = OSError,
        getcwd: Any = os.getcwd,
        status: Any = os.stat,
        kind_of: Any = type,
        is_kind: Any = issubclass,
        number: Any = int,
        text: Any = str,
        exact: Any = str.__str__,
        raw: Any = bytes,
        decode: Any = bytes.decode,
    ) -> None:
        if event not in reads and event not in changes:
            return
        folders, allowed = (readable, True) if event in reads else (writable, True)
        if event == "open":
            mode, flags = args[1] or "", args[2] or 0
            if "w" in mode or "a" in mode or "x" in mode or "+" in mode or flags & writing:
                folders = writable
        if event in made or (event == "open" and folders is writable):
            step(left, None)
        if not left.__length_hint__():
            raise denied(whole, f"an answer that is being graded may not write more than {files} files and folders")
        if event in changes and event not in without_folder and args[-1] != -1:
            allowed = False
        for path in args[:2] if event == "os.rename" else args[:1]:
            kind = kind_of(path)
            if kind is number and event != "sqlite3.connect":
                continue
            if path is None:
                name = getcwd()
            elif is_kind(kind, text):
                name = exact(path)  # a subclass has methods of its own
            elif is_kind(kind, raw):
                name = decode(path, "utf-8", "surrogateescape")
            else:  # a path may give another text at the next look
                name, allowed = "?", False
            if event == "sqlite3.connect":
                if name == ":memory:":
                    continue
                allowed = allowed and name[:5] != "file:"
            full = ""
            for part in (name if name[:1] == "/" else f"{getcwd()}/{name}").split("/"):
                if part == "..":
                    full = full.rpartition("/")[0]
                elif part and part != ".":
                    full = f"{full}/{part}"
            if event == "open" and full == "/dev/null":
                continue
            try:
                if "/../" in f"/{name}/":  # compare the inode and the device of the folder
                    ends = name[-2:] == ".."
                    there = status(name if ends else name.rpartition("/")[0] or "/")[1:3]
                    allowed = allowed and there == status((full if ends else full.rpartition("/")[0]) or "/")[1:3]
                if event == "open" and args[1] is None:
                    allowed = allowed and status(name)[0] >> 12 != 4  # a folder
            except missing:
                pass
            for folder in folders:
                if full == folder or full.startswith(f"{folder}/"):
                    break
            else:
                allowed = False
            if not allowed:
                raise denied(outside, "an answer that is being graded may not use this file", name)

    return hook
