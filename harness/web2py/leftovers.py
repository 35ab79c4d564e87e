"""Folders of labs whose process was killed: the next process that makes a lab removes them.

A lab removes its own folder, at the latest when its process ends. A killed process cannot, and killing is the rule
where a JupyterHub stops a learner's server: ipykernel 7 calls `os._exit` as soon as its parent is gone. So a lab holds
a lock on its folder while it lives (the system lets go of it whatever happens to the process), and a folder whose lock
nobody holds is left over. Without `flock` (on Windows) nothing is locked, and nothing removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "harness-"
_LOCK = ".lock"
_held: dict[Path, int] = {}  # by root: the file descriptor that holds its lock


def hold(root: Path) -> None:
    """Lock a folder that was just made, until `release` or the end of the process."""
    if fcntl is None:
        return
    draft = root / f"{_LOCK}.draft"  # no other process looks at it, so none can lock it before this one
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    draft.rename(root / _LOCK)
    _held[root] = descriptor


def release(root: Path) -> None:
    """Let go of a folder; one that is not held is left alone."""
    descriptor = _held.pop(root, None)
    if descriptor is not None:
        os.close(descriptor)  # no LOCK_UN: a forked process would take the lock from the one that made the lab


@cache
def sweep_once() -> None:
    """Call `sweep` on the folder for temporary files, once per process."""
    sweep(Path(tempfile.gettempdir()))


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder: all of this user's roots that were locked and are so no more."""
    for lock in folder.glob(f"{PREFIX}*/{_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except OSError:  # another user's, or gone by now
            continue
        try:
            if _is_free(descriptor):
                shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Lock the file if nobody holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(descriptor).st_uid == os.geteuid()
