"""Run an action in a child process, which returns bytes and can't change anything else in its parent."""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from harness.appengine.time_limit import queued

LARGEST = 32 << 20  # bytes that a child may return
_PIECE = 1 << 16  # bytes that are read together
_INSPECTED = 0.2  # seconds between two inspections
_AT_LEAST = 0.05  # seconds between two checks of the time
_SIGNAL_OF_PARENTS_END = 1  # PR_SET_PDEATHSIG


class ChildLost(Exception):
    """The child took too long, died, or returned too much. The message fits after "the process that ran your code"."""


class Stopwatch:
    """The time that a process has run or waited, in real seconds without those in which it waited for a processor.

    So a busy machine doesn't count against the process. Other systems than Linux don't report the waiting time, and all
    real seconds count there.

    Args:
        process: the id of a process that has just started.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._started = time.monotonic()

    def read(self) -> float:
        """Return the seconds."""
        return time.monotonic() - self._started - queued(self._process)


def run_apart(
    action: Callable[[], bytes],
    seconds: float,
    spend: Callable[[float], None] = lambda seconds: None,
    inspect: Callable[[], None] = lambda: None,
) -> bytes:
    """Run an action in a child process, and end every process that it started.

    Args:
        action: the action, which runs in a new session.
        seconds: the limit of its running and waiting time; see `Stopwatch`.
        spend: receives the time that it took, at the end.
        inspect: is called several times a second while the child runs, and after it has returned its result. The child
            ends if this raises an exception.

    Returns:
        The bytes that the action returns.

    Raises:
        ChildLost: the child didn't return a complete result.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(action, writing, parent)
    os.close(writing)
    watch = Stopwatch(child)
    try:
        result = _receive(reading, watch, seconds, inspect)
    finally:
        os.close(reading)
        spend(watch.read())
        # Only after waitpid could another process get the child's number.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    inspect()
    return result


def end_with(parent: int) -> None:
    """Make the system kill this process when its parent ends, which may itself be killed; only Linux can do it.

    If this process becomes another user later, the system forgets it.

    Args:
        parent: the id of the parent. If it has ended already, this process ends now.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SIGNAL_OF_PARENTS_END, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _be_the_child(action: Callable[[], bytes], writing: int, parent: int) -> None:
    """Run the action and end this process, without returning into the parent's code."""
    status = 1
    try:
        end_with(parent)
        os.setsid()
        _detach(writing)
        result = action()
        message = len(result).to_bytes(8, "big") + result
        while message:
            message = message[os.write(writing, message) :]
        status = 0
    finally:
        os._exit(status)


def _detach(kept: int) -> None:
    """Point every inherited file descriptor but one at /dev/null, so that the action can't write to the parent."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in {int(name) for name in os.listdir("/dev/fd")} - {kept, nowhere}:
        with suppress(OSError):  # the descriptor that listed the folder is closed by now
            os.fstat(number)
            os.dup2(nowhere, number)


def _receive(reading: int, watch: Stopwatch, seconds: float, inspect: Callable[[], None]) -> bytes:
    """Return the first message of the child; later bytes may come from processes that the action started."""
    length = int.from_bytes(_read(reading, 8, watch, seconds, inspect), "big")
    if length > LARGEST:
        raise ChildLost(f"returned more than {LARGEST >> 20} MB")
    return _read(reading, length, watch, seconds, inspect)


def _read(reading: int, length: int, watch: Stopwatch, seconds: float, inspect: Callable[[], None]) -> bytes:
    received, inspected = bytearray(), time.monotonic()
    while len(received) < length:
        left = seconds - watch.read()
        if left <= 0:
            raise ChildLost("didn't finish, and was stopped")
        if time.monotonic() - inspected >= _INSPECTED:
            inspect()
            inspected = time.monotonic()
        if select.select([reading], [], [], min(max(left, _AT_LEAST), _INSPECTED))[0]:
            piece = os.read(reading, min(_PIECE, length - len(received)))
            if not piece:
                raise ChildLost("ended, or was ended by a limit, before it returned a result")
            received += piece
    return bytes(received)
