"""Virtual time: a clock that moves only when it is moved, and scopes in which Python itself sees that time.

    clock = Clock()
    with clock.travel() as trip:        # time.time(), datetime.now() and friends now show clock.now
        time.sleep(2)                   # costs no real time
    trip.elapsed                        # 2.0; the clock itself did not move

Only inside a scope is Python's own time touched: an open-ended patch would break Jupyter's messages.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.errors import BadValueError, HarnessError

DEADLINE = 600.0  # virtual seconds that a handler may take, user's request or task (T34; Docs)
START = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class DeadlineExceeded(BaseException):
    """Raised in a handler that slept past its deadline (T34).

    It is no `Exception`, so that a handler's `except Exception` does not swallow it.
    """


class TravelScope:
    """One `travel()` scope: when it began and how many virtual seconds have passed in it."""

    def __init__(self, start: float, deadline: float | None, shift: Callable[[float], None]) -> None:
        self.start = start
        self.elapsed = 0.0
        self.deadline = deadline
        self.deadline_exceeded = False
        self.thread = threading.get_ident()
        self._shift = shift

    def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass; raise DeadlineExceeded where the deadline cuts the sleep short."""
        seconds = _checked_seconds(seconds)
        if self.deadline is not None and self.elapsed + seconds > self.deadline:
            self._pass(self.deadline - self.elapsed)
            self.deadline_exceeded = True
            raise DeadlineExceeded(f"the handler took longer than {self.deadline:g} seconds")
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self.elapsed += seconds
        self._shift(seconds)


_trips: list[TravelScope] = []  # the scope that is open in this process, if any
_real_sleep = time.sleep


def _sleep(seconds: float) -> None:
    """Stand in for `time.sleep` while a scope is open.

    A module that did `from time import sleep` inside one scope keeps this function for ever, hence the look-up; and
    other threads (Jupyter's) must go on sleeping for real.
    """
    if _trips and _trips[-1].thread == threading.get_ident():
        _trips[-1].sleep(seconds)
    else:
        _real_sleep(seconds)


class Clock:
    """A virtual clock.

    Args:
        start: the first instant, an aware datetime.
    """

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise BadValueError(f"the clock needs an aware datetime, not the naive {start!r}; add tzinfo=timezone.utc")
        self._timestamp = start.timestamp()
        self._trip: TravelScope | None = None

    @property
    def timestamp(self) -> float:
        """Virtual seconds since 1970 (UTC), inside a scope with what has passed in it."""
        if self._trip is not None:
            return self._trip.start + self._trip.elapsed
        return self._timestamp

    @property
    def now(self) -> datetime:
        """The same instant as an aware UTC datetime."""
        return to_datetime(self.timestamp)

    def after(self, seconds: float) -> float:
        """Return the instant so many seconds, 0 or more, from now; BadValueError when the clock cannot go there."""
        try:
            timestamp = self._timestamp + _checked_seconds(seconds)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadValueError(f"the clock cannot be moved: {error}") from None
        if timestamp > _LATEST:
            raise BadValueError(f"the clock cannot be moved by {seconds!r} seconds, beyond the year 9998")
        return timestamp

    def advance(self, seconds: float) -> None:
        """Move the clock forward by a number of seconds, 0 or more; BadValueError when it cannot go there."""
        self.move_to(self.after(seconds))

    def move_to(self, timestamp: float) -> None:
        """Move the clock to an instant (seconds since 1970); it never goes back, an earlier one changes nothing."""
        if self._trip is not None:
            raise HarnessError("the clock cannot be moved while a request is running in it")
        if timestamp > _LATEST:
            raise BadValueError("the clock cannot be moved beyond the year 9998")
        self._timestamp = max(self._timestamp, timestamp)

    @contextmanager
    def travel(self, at: float | None = None, deadline: float | None = None) -> Iterator[TravelScope]:
        """Let Python's own clocks show virtual time, and make `time.sleep` cost virtual time only.

        Args:
            at: the instant (seconds since 1970) at which the scope begins; the clock's own when None.
            deadline: virtual seconds after which a sleeping handler is stopped with DeadlineExceeded; None for none.

        Yields:
            The Trip; its `elapsed` is final when the scope is left. The clock itself does not move.
        """
        time_machine = _import_time_machine()
        if self._trip is not None or _trips:
            raise HarnessError("a request is already running; a task can run only after it has ended")
        start = self._timestamp if at is None else at
        with time_machine.travel(to_datetime(start), tick=False) as traveller:
            trip = self._trip = TravelScope(start, deadline, traveller.shift)
            _trips.append(trip)
            time.sleep = _sleep  # type: ignore[assignment]  # narrower argument, same behaviour
            try:
                yield trip
            finally:
                time.sleep = _real_sleep
                _trips.remove(trip)
                self._trip = None


def _import_time_machine() -> Any:
    """Import time-machine without the half second of pytest that it would load for its fixture (3.x, at import)."""
    if "time_machine" not in sys.modules and "pytest" not in sys.modules:
        sys.modules["pytest"] = None  # type: ignore[assignment]  # makes `import pytest` fail, which it expects
        try:
            import time_machine
        finally:
            del sys.modules["pytest"]
    import time_machine

    return time_machine


def to_datetime(timestamp: float) -> datetime:
    """Return an aware UTC datetime for seconds since 1970, to the microsecond, on every host time zone."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=timestamp)


def _checked_seconds(seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {seconds!r}")
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
    return float(seconds)
