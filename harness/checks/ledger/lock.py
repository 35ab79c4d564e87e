"""A lock between processes, on a file of its own: it ends with its holder, however that ends."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network folders
_PATIENCE = 5.0  # seconds; who holds it needs milliseconds, unless stopped by a debugger

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock. Where the file system has none, go on without: the folder is one user's own.

    Args:
        path: the lock's file; it is made, and stays.
        patience: how long to wait for another holder, in seconds.

    Raises:
        OSError: the file cannot be made; TimeoutError, which is one, when another process kept the lock.
    """
    with path.open("ab") as file:
        _acquire(file.fileno(), path, time.monotonic() + patience)
        yield  # closing the file gives the lock back


def _acquire(descriptor: int, path: Path, end: float) -> None:
    while True:
        try:
            return _try(descriptor)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            if error.errno not in _BUSY:
                raise
        if time.monotonic() >= end:
            raise TimeoutError(errno.ETIMEDOUT, "another session of the course does not let go of it", str(path))
        time.sleep(0.01)
