"""Python's audit hook, on every system: what an answer asks of the machine, and does not get.

It sees what goes through Python. `landlock` and the limits of `confine` stand behind it, for what does not.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

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
