"""Something done in a child process: what it returns comes back, and what it did to the process does not."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

LARGEST = 32 << 20  # bytes that may come back
_PIECE = 1 << 16


class ChildLost(Exception):
    """The child took too long, died, or said too much; in words that fit after "the process that ran your code"."""


def run_apart(action: Callable[[], bytes], seconds: float) -> bytes:
    """Run an action in a child process, with all that it starts gone afterwards.

    Args:
        action: runs in the child, in a session of its own.
        seconds: real ones that it may take.

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
    try:
        return _receive(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
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
        said = action()
        message = len(said).to_bytes(8, "big") + said
        while message:
            message = message[os.write(writing, message) :]
        status = 0
    finally:
        os._exit(status)


def _receive(reading: int, end: float) -> bytes:
    """Read a length and so many bytes; what an answer's own children may write after that is not read."""
    said = bytearray()
    while len(said) < 8 or len(said) < 8 + _length(said):
        left = end - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            raise ChildLost("did not come to an end, and was stopped")
        piece = os.read(reading, _PIECE)
        if not piece:
            raise ChildLost("was ended, by itself or by a limit, before it had answered")
        said += piece
    return bytes(said[8 : 8 + _length(said)])


def _length(said: bytearray) -> int:
    length = int.from_bytes(said[:8], "big")
    if length > LARGEST:
        raise ChildLost(f"answered with more than {LARGEST >> 20} MB")
    return length
