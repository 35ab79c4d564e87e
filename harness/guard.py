"""The real-time guard: stops a handler that spins for real, so that the notebook's kernel stays alive.

Virtual time does not pass in an endless loop, so the virtual deadline never comes. A timer signal (SIGALRM) raises
`Stopped` in the handler after some real seconds. A handler may swallow that (`except:` in a loop), so the signal comes
again, and from the second one on every line of the learner's own code raises. Only a loop that swallows in
`finally: continue` outlives that.

Only Linux and macOS have the signal, and only the main thread receives it; elsewhere there is no guard.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

REAL_SECONDS = 5.0
_AGAIN = 0.1  # real seconds between the signals after the first


class Stopped(BaseException):
    """Raised in a handler that used up its real seconds; no `Exception`, so that `except Exception` lets it pass."""


class Watch:
    """What the guard saw: `stopped` tells that the handler ran out of real seconds."""

    def __init__(self, folder: str) -> None:
        self.stopped = False
        self._folder = folder

    def alarm(self, signum: int, frame: FrameType | None) -> None:
        """Handle the timer signal; what web2py does after the learner's code has ended is left in peace."""
        frames = [frame for frame in _callers(frame) if self._is_learners(frame)]
        if not frames:
            return
        if self.stopped:
            sys.settrace(self._tracer)
            for frame in frames:
                frame.f_trace = self._tracer
        self.stopped = True
        raise Stopped("the handler kept the processor busy for too long")

    def _tracer(self, frame: FrameType, event: str, argument: Any) -> Any:
        # Only "line": an exception raised at event "exception" would land in the very `except:` that swallows it.
        if event == "line" and self._is_learners(frame):
            raise Stopped("the handler went on after it was stopped")
        return self._tracer

    def _is_learners(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(self._folder)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextmanager
def limit(folder: str, seconds: float = REAL_SECONDS) -> Iterator[Watch]:
    """Stop what runs in this scope after some real seconds.

    Args:
        folder: where the learner's code lives; only its lines are made to raise when it does not stop.
        seconds: real seconds.

    Yields:
        A Watch, whose `stopped` tells afterwards whether the limit was reached.
    """
    watch = Watch(folder)
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield watch
        return
    before = signal.signal(signal.SIGALRM, watch.alarm)
    trace = sys.gettrace()
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield watch
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if watch.stopped:
            sys.settrace(trace)
