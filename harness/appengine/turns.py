"""Let several requests run in turn, as on several App Engine instances.

Each request runs in a greenlet: a function that can be paused in the middle and resumed later, in the same thread. A
request is paused before each *event* (a database statement, COMMIT, ROLLBACK, or a call that adds tasks). The schedule
decides which request runs its next event. So only one request runs at a time, and the same schedule gives the same run.

Threads would not do. Signals, and with them the time limit and Ctrl-C, reach only the main thread. A graded answer may
not start threads. A thread can't be killed, and a greenlet can: it is never resumed, so neither its `except` and
`finally` clauses nor web2py's rollback run. Python can't free the frames of such a greenlet, so they stay in memory
until the process ends.

All requests share the virtual clock. A statement takes no time. `time.sleep` pauses a request while the others run. A
request that waits for a lock tries again after each event of another request, until its timeout in virtual seconds.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from random import Random
from threading import get_ident
from typing import Any

from greenlet import getcurrent, greenlet

from harness.appengine.clock import TravelScope
from harness.errors import BadValueError, quoted
from harness.records import Request, Turn

Arrival = Callable[[], tuple[Request, float] | None]  # returns a request and its deadline; None if it hasn't arrived
_MOST, _LENGTH = 200, 2000  # the events that are kept of a request, and the characters of each
_killed: list[greenlet] = []  # never resumed; without a reference, Python would run their `finally` clauses
_active: "Turns | None" = None  # those of the request that runs now; None if it takes no turns


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which request runs the next event, and which instance is shut down.

    Args:
        seed: seeds the random choices that are made without an `order`.
        order: the requests by number, one character per event, such as "1122"; it is repeated. A request that can't
            run (it has ended, sleeps or waits for a lock) is passed over.
        kill_after: for the number of a request, the events after which its instance is shut down; 0 means before its
            first event. If there are fewer events, the instance is shut down before it responds.

    Raises:
        BadValueError: the order or `kill_after` isn't as described.
    """

    seed: int = 0
    order: str = ""
    kill_after: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.order, str) or not set(self.order) <= {"1", "2"}:
            raise BadValueError(f'order is a string of the digits 1 and 2, such as "1122", not {quoted(self.order)}')
        if not isinstance(self.kill_after, Mapping) or not all(
            request in (1, 2) and type(events) is int and events >= 0 for request, events in self.kill_after.items()
        ):
            raise BadValueError(
                "kill_after is a dict from 1 or 2 (which request) to the number of its turns, such as {1: 2}, "
                f"not {quoted(self.kill_after)}"
            )


class Runner:
    """One of the requests that take turns; a subclass handles the request.

    `number` is 1 for the first request. `events` counts its events, and `turns` contains the first ones. `error` is
    the exception that `handle` raised. `killed` is True if the instance was shut down. `began` and `elapsed` are
    virtual seconds, from the start of the first request to that of this one, and from there to its end.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.turns: list[Turn] = []
        self.events = 0
        self.error: BaseException | None = None
        self.killed = self.ended = False
        self.began = self.elapsed = 0.0
        self.greenlet: greenlet | None = None  # None until the request starts
        self.ready_at = math.inf
        self.waits = self.waited = False  # for a lock, now and in the present event

    def arrives(self) -> bool:
        """Return whether the request can start; it is called at the beginning and after each event of another one."""
        return True

    def handle(self) -> None:
        """Handle the request."""
        raise NotImplementedError

    def inside(self) -> AbstractContextManager[Any]:
        """Return a context manager that is entered each time the request runs, and left when it is paused."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise an exception in the request, which has just been resumed, if it has taken too much time."""

    def discard(self) -> None:
        """Free what the operating system frees when an instance is killed; this is called `inside`."""


class Turns:
    """Runs requests in turn.

    Args:
        schedule: whose turn it is.
        scope: the virtual time that the requests share.

    `thread` is the thread in which they run.
    """

    def __init__(self, schedule: Schedule, scope: TravelScope) -> None:
        self._schedule = schedule
        self._scope = scope
        self._random = Random(f"turns {schedule.seed}")
        self._count = 0
        self._runners: list[Runner] = []
        self._runner: Runner | None = None  # the one that runs now
        self._main = getcurrent()
        self.thread = get_ident()
        scope.wait = self._sleep

    def run(self, runners: Sequence[Runner]) -> None:
        """Run all requests that arrive to their ends; each first runs up to its first event.

        If one raises an exception, such as KeyboardInterrupt, the others are killed, and the exception is raised.
        """
        self._runners = list(runners)
        try:
            self._admit()
            for runner in self._alive():
                self._resume(runner)
            while alive := self._alive():
                ready = [runner for runner in alive if runner.ready_at <= self._scope.elapsed]
                if ready:
                    self._resume(self._choose(ready))
                else:
                    self._scope.advance(min(runner.ready_at for runner in alive) - self._scope.elapsed)
        finally:
            for runner in self._alive():
                self._kill(runner)

    def pause(self) -> None:
        """Let the schedule decide which request runs the next event, the current one or another."""
        runner = self._running()
        if self._kills(runner):
            self._die(runner)
        runner.ready_at = self._scope.elapsed
        self._main.switch()
        runner.check()

    def record(self, text: str, error: str = "") -> None:
        """Record an event of the current request, which has just run; if its instance is to be killed now, kill it."""
        runner = self._running()
        self._count += 1
        runner.events += 1
        if runner.events <= _MOST:
            result = ", then ".join(filter(None, ("waited for a lock" if runner.waited else "", _limited(error))))
            runner.turns.append(Turn(self._count, runner.number, _limited(text), result))
        runner.waited = False
        self._admit()
        self.progress()
        if self._kills(runner):
            self._die(runner)

    def progress(self) -> None:
        """Let the other requests that wait for a lock try again, because the current one may have released it."""
        for other in self._runners:
            if other is not self._runner and other.waits:
                other.ready_at = self._scope.elapsed

    def wait(self, until: float) -> None:
        """Pause the current request until another one makes progress, or until a virtual second of the scope."""
        runner = self._running()
        runner.ready_at, runner.waits, runner.waited = until, True, True
        self._main.switch()
        runner.waits = False

    @property
    def elapsed(self) -> float:
        """The virtual seconds since the requests started."""
        return self._scope.elapsed

    def _alive(self) -> list[Runner]:
        return [runner for runner in self._runners if runner.greenlet is not None and not runner.ended]

    def _admit(self) -> None:
        """Prepare the start of the requests that have arrived."""
        for runner in self._runners:
            if runner.greenlet is None and runner.arrives():
                runner.greenlet = greenlet(partial(self._call, runner), self._main)
                runner.greenlet.gr_context = copy_context()  # a greenlet starts with an empty one
                runner.began = runner.ready_at = self._scope.elapsed

    def _call(self, runner: Runner) -> None:
        try:
            runner.handle()
        except BaseException as error:
            runner.error = error
        self._end(runner, runner.number in self._schedule.kill_after)

    def _end(self, runner: Runner, killed: bool) -> None:
        runner.ended, runner.killed = True, killed
        runner.elapsed = self._scope.elapsed - runner.began
        self.progress()

    def _resume(self, runner: Runner) -> None:
        global _active
        assert runner.greenlet is not None
        _active, self._runner = self, runner
        try:
            with runner.inside():
                runner.greenlet.switch()
        finally:
            _active = self._runner = None
        if runner.killed and not runner.ended:
            self._kill(runner)
        if runner.error is not None:
            raise runner.error

    def _choose(self, ready: list[Runner]) -> Runner:
        if len(ready) == 1:
            return ready[0]
        order = self._schedule.order
        if not order:
            return self._random.choice(ready)
        wanted = int(order[self._count % len(order)])
        return next((runner for runner in ready if runner.number == wanted), ready[0])

    def _kills(self, runner: Runner) -> bool:
        return self._schedule.kill_after.get(runner.number) == runner.events

    def _die(self, runner: Runner) -> None:
        """Leave the current request, which is never resumed."""
        runner.killed = True
        self._main.switch()

    def _kill(self, runner: Runner) -> None:
        if runner.greenlet is not None:
            _killed.append(runner.greenlet)
        with runner.inside():
            runner.discard()
        self._end(runner, True)

    def _running(self) -> Runner:
        assert self._runner is not None, "no requests are taking turns now"
        return self._runner

    def _sleep(self, seconds: float) -> None:
        runner = self._running()
        runner.ready_at = self._scope.elapsed + seconds
        self._main.switch()
        runner.check()


def active() -> Turns | None:
    """Return the turns of the request that runs now; None if it takes no turns, or in a thread that it has started."""
    return _active if _active is not None and _active.thread == get_ident() else None


def _limited(text: str) -> str:
    more = len(text) - _LENGTH
    return text if more <= 0 else f"{text[:_LENGTH]}… ({more} more characters)"


@contextmanager
def turn(text: str) -> Iterator[None]:
    """Make this scope an event of the current request; do nothing if the request takes no turns."""
    turns = active()
    if turns is None:
        yield
        return
    turns.pause()
    try:
        yield
    except Exception as error:
        turns.record(text, f"{type(error).__name__}: {error}")
        raise
    turns.record(text)
