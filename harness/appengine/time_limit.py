"""Signals while a learner's code runs: a limit in real time, and Ctrl-C at the right moment.

Virtual time does not pass in an endless loop, so the virtual deadline never comes. A timer signal (SIGALRM) raises
`Stopped` in the handler after some real seconds, if it had the processor for most of them. On a machine that is busy
with other things (twenty learners at once, on two cores) it has as much of the processor before it is stopped, which
takes longer. One that waits for something is given six times as long, and the time it stands in line for the processor
does not count, where the system tells (Linux). A handler may swallow that (`except:` in a loop), so the
signal comes again, and from the second one on every line of the learner's own code raises. Only a loop that swallows
in `finally: continue` outlives that, and a call into C that never comes back (`sum(range(10**15))`).

Ctrl-C, which is also JupyterLab's "interrupt the kernel" (SIGINT), stops a learner's code at once, too. While the
harness keeps its own books it waits, so that no task is lost between two of them.

Only Linux and macOS have the timer signal, and only the main thread receives signals; elsewhere there is no limit.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any]
REAL_SECONDS = 5.0
_BUSY = 0.8  # the share of them in which it must have had the processor
_PATIENCE = 6  # so many times REAL_SECONDS whatever it had, without the time it stood in line for the processor
_SCHEDULED = "/proc/{}/schedstat"  # nanoseconds on a processor, nanoseconds in line for one, and how often
_HARNESS = str(Path(__file__).parents[1] / "_").removesuffix("_")
_AGAIN = 0.1  # real seconds between the signals after the first


class Stopped(BaseException):
    """Raised in a handler that used up its real seconds; no `Exception`, so that `except Exception` lets it pass."""


class HandlerTimeout:
    """Runs a handler and sees what becomes of it.

    Args:
        is_learners: tells by the name of a file whether its code is the learner's.

    The seconds count from when it is made. `stopped` tells that the handler ran out of real seconds, `interrupted`
    that Ctrl-C reached it. Both are set even where it swallowed the exception.
    """

    def __init__(self, is_learners: Callable[[str], bool]) -> None:
        self.stopped = False
        self.interrupted = False
        self._is_learners = is_learners
        self._begun, self._worked = time.perf_counter(), time.process_time()
        self._queued: float | None = None  # at the first alarm; to ask at every request would cost too much

    def run(self, action: Callable[[], T]) -> T:
        """Call `action`; what it calls in turn is watched, and what called this is not."""
        return action()

    def alarm(self, signum: int, frame: FrameType | None) -> None:
        """Handle the timer signal; what the harness and web2py do around the learner's code is left in peace."""
        frames = self._learners(frame)
        if not frames or not self._is_due():
            return
        if self.stopped:
            sys.settrace(self._tracer)
            for each in frames:
                each.f_trace = self._tracer
        self.stopped = True
        raise Stopped("the handler kept the processor busy for too long")

    def interrupt(self, before: Handler) -> Handler:
        """Make a handler for SIGINT; `before` has it where no learner's code runs."""

        def handle(signum: int, frame: FrameType | None) -> None:
            if not self._learners(frame):
                before(signum, frame)
                return
            self.interrupted = True
            raise KeyboardInterrupt

        return handle

    def _is_due(self) -> bool:
        """Tell whether the handler has had its share of the processor, or more than enough time without it."""
        if time.process_time() - self._worked >= _BUSY * REAL_SECONDS:
            return True
        in_line = queued()
        if self._queued is None:
            self._queued = in_line
        return time.perf_counter() - self._begun - (in_line - self._queued) >= _PATIENCE * REAL_SECONDS

    def _tracer(self, frame: FrameType, event: str, argument: Any) -> Any:
        # Only "line": an exception raised at event "exception" would land in the very `except:` that swallows it.
        if event == "line" and self._learners(frame)[:1] == [frame]:
            raise Stopped("the handler went on after it was stopped")
        return self._tracer

    def _learners(self, frame: FrameType | None) -> list[FrameType]:
        """Return the learner's frames among those that `run` called, the innermost first.

        None where they have called the harness (`taskqueue.add`, which changes a queue): that is not to be broken off.
        """
        found: list[FrameType] = []
        while frame is not None and frame.f_code is not HandlerTimeout.run.__code__:
            file = frame.f_code.co_filename
            if self._is_learners(file):
                found.append(frame)
            elif not found and is_harness(file):
                return []
            frame = frame.f_back
        return [] if frame is None else found


def queued(process: int | None = None) -> float:
    """Return the seconds that a thread has stood in line for a processor since it began; 0 where nobody knows.

    Args:
        process: whose first thread is meant; without it, the thread that asks.
    """
    try:
        with open(_SCHEDULED.format(process or "thread-self"), encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def is_harness(file: str) -> bool:
    """Tell by the name of a file whether its code is the harness's own."""
    return file.startswith(_HARNESS)


@contextmanager
def limit(is_learners: Callable[[str], bool]) -> Iterator[HandlerTimeout]:
    """Stop what a Watch runs in this scope after REAL_SECONDS, and let Ctrl-C through to it.

    Args:
        is_learners: tells by the name of a file whether its code is the learner's; no other code is made to raise.

    Yields:
        The Watch.
    """
    watch = HandlerTimeout(is_learners)
    trace = sys.gettrace()
    with _handling("SIGINT", watch.interrupt), _handling("SIGALRM", lambda before: watch.alarm) as limited:
        if limited:
            signal.setitimer(signal.ITIMER_REAL, REAL_SECONDS, _AGAIN)
        try:
            yield watch
        finally:
            if limited:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if watch.stopped:
                sys.settrace(trace)


class Interrupts:
    """Ctrl-C as a lab takes it: while it keeps its books, Ctrl-C waits."""

    def __init__(self) -> None:
        self._waiting = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold Ctrl-C back until `check`, or until this scope is left; a `limit` in it lets it through."""
        try:
            with _handling("SIGINT", lambda before: self._hold):
                yield
        finally:
            self.check()

    def check(self) -> None:
        """Let a Ctrl-C that waits take effect."""
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def _hold(self, signum: int, frame: FrameType | None) -> None:
        self._waiting = True


@contextmanager
def _handling(name: str, make: Callable[[Handler], Handler]) -> Iterator[bool]:
    """Handle a signal in this scope, with what `make` makes of the handler of before.

    Yields:
        Whether it is: not outside the main thread, nor where the system lacks the signal or the process ignores it.
    """
    number = getattr(signal, name, None)
    before = None if number is None else signal.getsignal(number)
    if number is None or before in (None, signal.SIG_IGN) or threading.current_thread() is not threading.main_thread():
        yield False
        return
    signal.signal(number, make(before))  # type: ignore[arg-type]
    try:
        yield True
    finally:
        signal.signal(number, before)
