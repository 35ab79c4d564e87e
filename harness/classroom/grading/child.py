"""Something done in a child process: what it returns comes back, and what it did to the process does not."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from harness.appengine.time_limit import queued

LARGEST = 32 << 20  # bytes that may come back
_PIECE = 1 << 16
_AT_LEAST = 0.05  # seconds between two looks at the clock


class ChildLost(Exception):
    """The child took too long, died, or said too much; in words that fit after "the process that ran your code"."""


class Stopwatch:
    """How long a process has run or waited since this was made: real seconds, but for those in line for a processor.

    On a machine that is busy with other things a process stands in line, and takes no longer by this watch. Where the
    system does not tell that (it is not Linux), all real seconds count.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._begun = time.monotonic()

    def read(self) -> float:
        """Return the seconds."""
        return time.monotonic() - self._begun - queued(self._process)


def _forget(seconds: float) -> None:
    """Keep no account of the time."""


def run_apart(action: Callable[[], bytes], seconds: float, spend: Callable[[float], None] = _forget) -> bytes:
    """Run an action in a child process, with all that it starts gone afterwards.

    Args:
        action: runs in the child, in a session of its own.
        seconds: how long it may run or wait; see `Stopwatch`.
        spend: told, at the end, how long it did.

    Returns:
        What the action returns.

    Raises:
        ChildLost: there is no whole answer.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(action, writing)
    os.close(writing)
    watch = Stopwatch(child)
    try:
        return _receive(reading, watch, seconds)
    finally:
        os.close(reading)
        spend(watch.read())
        # Before the child is waited for: until then no other process can have its number.
        for number in (-child, child):
            with suppress(ProcessLookupError, PermissionError):
                (os.killpg if number < 0 else os.kill)(abs(number), signal.SIGKILL)
        os.waitpid(child, 0)


def _be_the_child(action: Callable[[], bytes], writing: int) -> None:
    """Never returns, whatever the action does: the stack below belongs to the parent."""
    status = 1
    try:
        os.setsid()
        _let_go(writing)
        said = action()
        message = len(said).to_bytes(8, "big") + said
        while message:
            message = message[os.write(writing, message) :]
        status = 0
    finally:
        os._exit(status)


def _let_go(kept: int) -> None:
    """Let every file and pipe of the parent's lead nowhere, its output above all; the numbers stay taken."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in {int(name) for name in os.listdir("/dev/fd")} - {kept, nowhere}:
        with suppress(OSError):  # the folder's own, which is closed by now
            os.fstat(number)
            os.dup2(nowhere, number)


def _receive(reading: int, watch: Stopwatch, seconds: float) -> bytes:
    """Read a length and so many bytes; what an answer's own children may write after that is not read."""
    said = bytearray()
    while len(said) < 8 or len(said) < 8 + _length(said):
        _await(reading, watch, seconds)
        piece = os.read(reading, _PIECE)
        if not piece:
            raise ChildLost("was ended, by itself or by a limit, before it had answered")
        said += piece
    return bytes(said[8 : 8 + _length(said)])


def _await(reading: int, watch: Stopwatch, seconds: float) -> None:
    """Wait until there is something to read; ChildLost when the child has taken its time."""
    while (left := seconds - watch.read()) > 0:
        if select.select([reading], [], [], max(left, _AT_LEAST))[0]:
            return
    raise ChildLost("did not come to an end, and was stopped")


def _length(said: bytearray) -> int:
    length = int.from_bytes(said[:8], "big")
    if length > LARGEST:
        raise ChildLost(f"answered with more than {LARGEST >> 20} MB")
    return length
