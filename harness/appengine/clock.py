"""Virtual time: a clock that moves only on request, and scopes in which Python itself shows that time.

    clock = Clock()
    with clock.travel() as scope:       # time.time(), datetime.now() and the like now show clock.now
        time.sleep(2)                   # takes no real time
    scope.elapsed                       # 2.0; the clock itself has not moved

Python's own time is changed only inside a scope, because a lasting patch would break Jupyter's messages.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from harness.errors import BadValueError, HandlerStopped, HarnessError, quoted

DEADLINE = 600.0  # virtual seconds that a handler may take, for a user's request or for a task (T34; Docs)
START = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class DeadlineExceeded(HandlerStopped):
    """Raised in a handler that slept past its deadline (T34)."""


class TravelScope:
    """One `travel()` scope, a context manager.

    `start` is in seconds since 1970. `elapsed` is the number of virtual seconds that have passed in the scope.
    `deadline_exceeded` is True if the deadline ended a sleep. `wait` lets a sleep pass; requests that take turns
    replace it.
    """

    def __init__(self, clock: "Clock", start: float, deadline: float | None) -> None:
        self.start = start
        self.elapsed = 0.0
        self.deadline = deadline
        self.deadline_exceeded = False
        self.thread = threading.get_ident()
        self.wait: Callable[[float], None] = self.advance
        self._clock = clock
        self._travel = _time_machine_travel()
        self._zone: tuple[Any, bool] | None = None

    def __enter__(self) -> "TravelScope":
        if _scopes:
            raise HarnessError("a request is already running; a task can run only after it has ended")
        self._shift = self._travel.start().shift  # first, because it fails while freezegun is active
        try:
            self._zone = _enter_utc()
            self._shift(timedelta(seconds=self.start))
            self._clock._scope = self
            _scopes.append(self)
            time.sleep = _sleep  # type: ignore[assignment]  # narrower argument, same behaviour
        except BaseException:  # such as a ValueError for NaN, or Ctrl-C
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep = _real_sleep
        _scopes.clear()
        self._clock._scope = None
        if self._zone is not None:
            _leave_utc(*self._zone)
        self._travel.stop()

    def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass; raise DeadlineExceeded at the deadline, and the same errors as `time.sleep`."""
        left = math.inf if self.deadline is None else self.deadline - self.elapsed
        passed = min(_checked_seconds(seconds), left)
        self.wait(passed)
        if passed < seconds:
            self.deadline_exceeded = True
            raise DeadlineExceeded(f"the handler took longer than {self.deadline:g} seconds")

    def advance(self, seconds: float) -> None:
        """Let virtual seconds pass."""
        self.elapsed += seconds
        self._shift(seconds)


_scopes: list[TravelScope] = []  # the scope that is open in this process, if any
_real_sleep = time.sleep


def _sleep(seconds: float) -> None:
    """Replace `time.sleep` while a scope is open.

    A module that runs `from time import sleep` inside a scope keeps this function afterwards, so each call looks for an
    open scope. Other threads, such as Jupyter's, still sleep for real.
    """
    if _scopes and _scopes[-1].thread == threading.get_ident():
        _scopes[-1].sleep(seconds)
    else:
        _real_sleep(seconds)


class Clock:
    """A virtual clock.

    Args:
        start: the first instant, an aware datetime.

    Raises:
        BadValueError: `start` isn't a datetime, is naive, or is before 1970 or after the year 9998.
    """

    def __init__(self, start: datetime = START) -> None:
        if not isinstance(start, datetime) or start.tzinfo is None:
            raise BadValueError(f"the clock needs an aware datetime, not {quoted(start)}; add tzinfo=timezone.utc")
        self._timestamp = (start - _EPOCH).total_seconds()
        if not 0 <= self._timestamp <= _LATEST:
            raise BadValueError(f"the clock can't start at {quoted(start)}, but from 1970 to the year 9998")
        self._scope: TravelScope | None = None

    @property
    def timestamp(self) -> float:
        """The virtual seconds since 1970 (UTC); in a scope they include the time that has passed in it."""
        return self._timestamp if self._scope is None else self._scope.start + self._scope.elapsed

    @property
    def now(self) -> datetime:
        """The same instant as an aware UTC datetime."""
        return to_datetime(self.timestamp)

    def after(self, seconds: float) -> float:
        """Return the instant that is `seconds` after the clock's present, in seconds since 1970.

        Raises:
            BadValueError: `seconds` is not a number of 0 or more, or the instant is after the year 9998.
        """
        try:
            timestamp = self._timestamp + _checked_seconds(seconds)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadValueError(f"the clock cannot be moved: {error}") from None
        if timestamp > _LATEST:
            raise BadValueError(f"the clock cannot be moved by {quoted(seconds)} seconds to a time after the year 9998")
        return timestamp

    def advance(self, seconds: float) -> None:
        """Move the clock forward by a number of seconds; BadValueError as for `after`."""
        self.move_to(self.after(seconds))

    def move_to(self, timestamp: float) -> None:
        """Move the clock forward to an instant, in seconds since 1970; an earlier instant changes nothing.

        Raises:
            BadValueError: the instant is after the year 9998.
            HarnessError: a scope of the clock is open.
        """
        if self._scope is not None:
            raise HarnessError("the clock cannot be moved while a request is running in it")
        if timestamp > _LATEST:
            raise BadValueError("the clock cannot be moved to a time after the year 9998")
        self._timestamp = max(self._timestamp, timestamp)

    def travel(self, at: float | None = None, deadline: float | None = None) -> TravelScope:
        """Make Python's own clocks show virtual time, and make `time.sleep` take virtual time only.

        Args:
            at: the instant at which the scope begins, in seconds since 1970; None for the clock's own instant.
            deadline: the virtual seconds after which a sleeping handler is stopped with DeadlineExceeded; None for no
                deadline.

        Returns:
            The scope, to be entered with `with`. Its `elapsed` is final when the scope ends. The clock itself does not
            move.

        Raises:
            HarnessError: at `with`, if a scope is already open in this process.
        """
        return TravelScope(self, self._timestamp if at is None else at, deadline)


class RealClock(Clock):
    """The clock of this machine, for queues that run in real time. `move_to` doesn't change it.

    Args:
        speed: how many seconds of this clock pass in a real second. Tests set it to wait less.
    """

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__()
        self.speed = speed
        self._began = time.time()

    @property
    def timestamp(self) -> float:
        """The seconds since 1970 (UTC)."""
        now = time.time()
        return now if self.speed == 1 else self._began + (now - self._began) * self.speed

    def move_to(self, timestamp: float) -> None:
        """Do nothing, because real time passes by itself."""


# The environment's own bytes: `os.environ` encodes and decodes each name and value in Python.
_environment: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
_TZ, _UTC = os.environ.encodekey("TZ"), os.environ.encodevalue("UTC")


def _enter_utc() -> tuple[Any, bool] | None:
    """Make UTC the local time zone, and return the arguments of `_leave_utc`, or None if nothing had to be changed.

    time-machine does the same for an aware datetime, but reads the files of both zones even if the zone is UTC already.
    """
    before = _environment.get(_TZ)
    differs = time.timezone != 0 or time.tzname != ("UTC", "UTC")
    if before == _UTC and not differs or not hasattr(time, "tzset"):  # Windows has no tzset
        return None
    _environment[_TZ] = _UTC
    os.putenv(_TZ, _UTC)
    if differs:
        time.tzset()
    return before, differs


def _leave_utc(before: Any, differs: bool) -> None:
    """Restore the time zone. A handler may have deleted it."""
    if before is None:
        _environment.pop(_TZ, None)
        os.unsetenv(_TZ)
    else:
        _environment[_TZ] = before
        os.putenv(_TZ, before)
    if differs:
        time.tzset()


@cache
def _time_machine_travel() -> Any:
    """Return time-machine's object that starts and stops a travel. The travel begins in 1970.

    time-machine is imported without pytest, which it would load for its fixture (3.x) and which takes half a second.
    """
    if "time_machine" not in sys.modules and "pytest" not in sys.modules:
        sys.modules["pytest"] = None  # type: ignore[assignment]  # `import pytest` fails, which time-machine expects
        try:
            import time_machine
        finally:
            del sys.modules["pytest"]
    import time_machine

    return time_machine.travel(0, tick=False)


@lru_cache(maxsize=16)  # an attempt needs most instants twice: for its task, its response and itself
def to_datetime(timestamp: float) -> datetime:
    """Return an aware UTC datetime for seconds since 1970, to the microsecond, in every time zone of the host."""
    return _EPOCH + timedelta(seconds=timestamp)


def _checked_seconds(seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {quoted(seconds)}")
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds must be 0 or more, not {quoted(seconds)}")
    return float(seconds)
