"""Signals while learner code runs: a limit in real time, and Ctrl-C.

Virtual time does not pass in an endless loop, so a virtual deadline cannot stop one. A timer signal (SIGALRM) therefore
raises `Stopped` in a handler that has used a few real seconds of the processor. On a busy machine (twenty learners on
two cores) a handler gets the same amount of processor time, so the limit takes longer to arrive. A handler that only
waits gets six times as long. The time in which it waits for a processor is not counted where the system reports that
time (Linux).

A handler may catch `Stopped` (a bare `except:` in a loop). The signal is therefore repeated, and after the second one
every line of learner code raises. The limit cannot stop a loop that discards exceptions with `finally: continue`, or a
C call that never returns (`sum(range(10**15))`).

Ctrl-C (SIGINT), which JupyterLab also sends to interrupt a kernel, stops learner code immediately. While the harness
changes its own data, Ctrl-C waits until the change is complete, so no task is lost.

Only Linux and macOS have the timer signal, and only the main thread receives signals. Other handlers have no limit.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, TypeVar

from harness.errors import HandlerStopped

_signal: Any = import_module("_signal")  # the module signal turns all numbers into enums, which takes 5 µs a call
T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any]
REAL_SECONDS = 5.0
_BUSY = 0.8  # the share of the limit that a handler must have spent on a processor
_PATIENCE = 6  # a handler that mostly waits may take this many times the limit
_AGAIN = 0.1  # real seconds between the signals after the first
_STATEMENTS = str(Path(__file__).parent / "web2py" / "instance.py")  # runs SQL of learner code, which may take long
_HARNESS = str(Path(__file__).parents[1] / "_").removesuffix("_")


class Stopped(HandlerStopped):
    """Raised in a handler that used up its real seconds."""


def queued(process: int | None = None, proc: str = "/proc") -> float:
    """Return the seconds that a thread has waited for a processor so far; 0 where the system does not report it.

    The thread is the first one of a process, or the calling thread for None. Linux reports on processes in `proc`.
    """
    try:
        with open(f"{proc}/{process or 'thread-self'}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9  # nanoseconds: on a processor, waiting for one; then a count
    except (OSError, ValueError, IndexError):
        return 0.0


def is_harness(file: str) -> bool:
    """Return whether a source file, given by its name, belongs to the harness."""
    return file.startswith(_HARNESS)


_CLOCKS = SimpleNamespace(wall=time.perf_counter, processor=time.process_time, queued=queued)  # in seconds


class HandlerTimeout:
    """Stops a handler in its scope when it has used up its real seconds, and lets Ctrl-C reach it.

    A context manager. A handler that is paused runs in several scopes, one after the other, and only their time counts.
    `stopped` is True if the handler ran out of real seconds, and `interrupted` is True if Ctrl-C reached it. Both are
    set even if the handler catches the exception.

    Args:
        is_learners: returns whether a source file, given by its name, contains learner code; only such code is stopped.
        seconds: the limit, in real seconds.
        again: the real seconds between the signals after the first.
        clocks: the system's clocks.
    """

    def __init__(
        self,
        is_learners: Callable[[str], bool],
        seconds: float = REAL_SECONDS,
        again: float = _AGAIN,
        clocks: Any = _CLOCKS,
    ) -> None:
        self.stopped = False
        self.interrupted = False
        self._is_learners = is_learners
        self._seconds = seconds
        self._again = again
        self._clocks = clocks
        self._begun, self._worked = clocks.wall(), clocks.processor()
        self._left = self._begun, self._worked  # the same clocks, when the handler was paused
        self._queued: float | None = None  # read at the first alarm, because reading it at every request is too slow

    def __enter__(self) -> "HandlerTimeout":
        wall = self._clocks.wall()
        self._begun += wall - self._left[0]
        self._worked += self._clocks.processor() - self._left[1]
        self._trace = sys.gettrace()
        self._handling = _Handling({"SIGINT": self.interrupt, "SIGALRM": lambda previous: self.alarm})
        self._limited = "SIGALRM" in self._handling.__enter__()
        if self._limited:
            left = self._seconds - (wall - self._begun)
            _signal.setitimer(_signal.ITIMER_REAL, max(self._again, left), self._again)
        return self

    def __exit__(self, *error: object) -> None:
        if self._limited:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
        if self.stopped:
            sys.settrace(self._trace)
        self._handling.__exit__()
        self._left = self._clocks.wall(), self._clocks.processor()

    def run(self, action: Callable[[], T]) -> T:
        """Call `action` and return its result. The limit covers the code that `action` calls, and nothing above it."""
        return action()

    def check(self) -> None:
        """Stop the handler if it has used up its real seconds.

        The harness calls this when it resumes a handler, because one that is paused often may never get the signal.
        """
        self._stop(self._learners(sys._getframe(1), through_harness=True))

    def alarm(self, signum: int, frame: FrameType | None) -> None:
        """Handle the timer signal; code that the harness and web2py run around learner code is not stopped."""
        self._stop(self._learners(frame))

    def _stop(self, frames: list[FrameType]) -> None:
        if not frames or not self._is_due():
            return
        if self.stopped:
            sys.settrace(self._tracer)
            for each in frames:
                each.f_trace = self._tracer
        self.stopped = True
        raise Stopped("the handler kept the processor busy for too long")

    def interrupt(self, previous: Handler) -> Handler:
        """Return a handler for SIGINT, which calls the previous handler if no learner code is running."""

        def handle(signum: int, frame: FrameType | None) -> None:
            if not self._learners(frame):
                previous(signum, frame)
                return
            self.interrupted = True
            raise KeyboardInterrupt

        return handle

    def _is_due(self) -> bool:
        """Return whether the handler has used its share of the processor, or has waited for more than long enough."""
        if self._clocks.processor() - self._worked >= _BUSY * self._seconds:
            return True
        in_line = self._clocks.queued()
        if self._queued is None:
            self._queued = in_line
        return bool(self._clocks.wall() - self._begun - (in_line - self._queued) >= _PATIENCE * self._seconds)

    def _tracer(self, frame: FrameType, event: str, argument: Any) -> Any:
        # Only "line": an exception raised at event "exception" would be caught by the `except:` that is running.
        if event == "line" and self._learners(frame)[:1] == [frame]:
            raise Stopped("the handler continued after it was stopped")
        return self._tracer

    def _learners(self, frame: FrameType | None, through_harness: bool = False) -> list[FrameType]:
        """Return the frames of learner code below `run`, the innermost first.

        Return [] while learner code is inside a harness call such as `taskqueue.add`, because a half-done change of a
        queue must not be interrupted, unless `through_harness` is true. A database statement may be interrupted.
        """
        found: list[FrameType] = []
        while frame is not None and frame.f_code is not HandlerTimeout.run.__code__:
            file = frame.f_code.co_filename
            if self._is_learners(file):
                found.append(frame)
            elif not found and is_harness(file) and file != _STATEMENTS and not through_harness:
                return []
            frame = frame.f_back
        return [] if frame is None else found


class Interrupts:
    """Delays Ctrl-C while a lab changes its own data."""

    def __init__(self) -> None:
        self._waiting = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay Ctrl-C until `check` or the end of this scope; in a HandlerTimeout, learner code still receives it."""
        try:
            with _Handling({"SIGINT": lambda previous: self._hold}):
                yield
        finally:
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C has been delayed."""
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def _hold(self, signum: int, frame: FrameType | None) -> None:
        self._waiting = True


class _Handling:
    """Handle signals in this scope with the handlers that `makers` return for the previous handlers.

    The value of the scope maps the names of the signals that are handled to the previous handlers. None is handled
    outside the main thread. A signal isn't handled if the system lacks it or the process ignores it.
    """

    def __init__(self, makers: dict[str, Callable[[Handler], Handler]]) -> None:
        self._makers = makers
        self._previous: dict[str, Any] = {}

    def __enter__(self) -> dict[str, Any]:
        if threading.get_ident() == threading.main_thread().ident:
            try:
                for name, make in self._makers.items():
                    number = getattr(_signal, name, None)
                    previous: Any = None if number is None else _signal.getsignal(number)
                    if previous is not None and previous != _signal.SIG_IGN:
                        self._previous[name] = previous
                        _signal.signal(number, make(previous))
            except BaseException:  # such as Ctrl-C
                self.__exit__()
                raise
        return self._previous

    def __exit__(self, *error: object) -> None:
        for name, previous in self._previous.items():
            _signal.signal(getattr(_signal, name), previous)
