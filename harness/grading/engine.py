"""An App Engine whose web server answers each request in a child process of its own.

The queue, the clock and the judge are the parent's. The child works on a copy of them, and tells what it did: the
response, and the calls to the task queue, which the parent then makes itself. Files, and the database among them, the
two have in common. What an application keeps in memory (`cache.ram`) is gone with the child, as it may be on App Engine
with any instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from harness import errors
from harness.appengine import AppEngine
from harness.clock import DEADLINE, to_datetime
from harness.errors import GradingError, HarnessError
from harness.grading.confine import Limits, confine
from harness.grading.fork import ChildLost, run_apart
from harness.grading.plain import dump, load
from harness.records import Request, Response
from harness.server import Server
from harness.wsgi import WSGIApp

_MOST_CALLS = 10_000  # to the task queue, in one request
_ROUTES = "routes.py"


class Budget:
    """How long one answer may run or wait in all (`fork.Stopwatch`), however many requests it takes that for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spent = 0.0

    def spend(self, seconds: float) -> None:
        """Take note of what a request took."""
        self._spent += seconds

    def left(self) -> float:
        """Return what is left; GradingError when that is nothing."""
        left = self._seconds - self._spent
        if left <= 0:
            raise GradingError(f"your code took more than {self._seconds:g} seconds in all; is there an endless loop?")
        return left


class ApartServer:
    """What `Server` is, with the learner's code in child processes.

    Args:
        server: answers the requests in the child.
        engine: the lab that it belongs to.
        limits: what a child may use up.
        budget: what they may take together.
    """

    def __init__(self, server: Server, engine: AppEngine, limits: Limits, budget: Budget) -> None:
        self._server = server
        self._engine = engine
        self._limits = limits
        self._budget = budget
        self._routes: list[tuple[str, str]] = []  # source and application; each child reads it anew

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """See `Server.mount`."""
        self._server.mount(prefix, app)

    def send(self, request: Request, start: float, deadline: float = DEADLINE) -> Response:
        """See `Server.send`; GradingError where the child is lost."""
        response = self._apart(lambda: self._server.send(request, start, deadline))
        if not isinstance(response, Response):
            raise GradingError("the process that ran your code answered with something that is no response")
        return replace(response, request=request, started=to_datetime(start))

    def rows(self, table: str, app: str) -> list[dict[str, Any]]:
        """See `Server.rows`."""
        rows = self._apart(lambda: self._server.rows(table, app))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise GradingError("the process that ran your models answered with something that is no table")
        return rows

    def write(self, path: str, source: str, app: str) -> None:
        """See `Server.write`. routes.py is code that runs when it is written, so only children write that."""
        if path != _ROUTES:
            self._server.write(path, source, app)
            return
        self._apart(lambda: self._server.write(path, source, app))
        self._routes = [(source, app)]

    def _apart(self, action: Callable[[], Any]) -> Any:
        """Return what an action in a child returns, or raise its HarnessError, after making its calls to the queue."""
        seconds = min(self._limits.patience, self._budget.left())
        try:
            data = run_apart(lambda: self._in_the_child(action), seconds, self._budget.spend)
            kind, value, calls = load(data)
            for name, message, moment in calls[:_MOST_CALLS]:
                self._make_call(str(name), bytes(message), float(moment))
        except ChildLost as lost:
            raise GradingError(f"the process that ran your code {lost}") from None
        except (ValueError, TypeError):
            raise GradingError("the process that ran your code answered with something unreadable") from None
        if kind == "":
            return value
        known = getattr(errors, str(kind), None)
        ours = known if isinstance(known, type) and issubclass(known, HarnessError) else GradingError
        raise ours(str(value))

    def _in_the_child(self, action: Callable[[], Any]) -> bytes:
        calls = self._recorded_calls()
        confine(self._limits, self._engine.site.root)
        try:
            for source, app in self._routes:
                self._server.write(_ROUTES, source, app)
            kind, value = "", action()
        except HarnessError as error:
            kind, value = type(error).__name__, str(error)
        return dump([kind, value, calls])

    def _recorded_calls(self) -> list[tuple[str, bytes, float]]:
        """Return a list that fills with the calls to the queue: which, with what message, and when."""
        service, clock = self._engine.service, self._engine.clock
        call, calls = service.MakeSyncCall, list[tuple[str, bytes, float]]()

        def recorded(package: str, name: str, request: Any, *rest: Any) -> None:
            calls.append((name, request.SerializeToString(), clock.timestamp))
            call(package, name, request, *rest)

        service.MakeSyncCall = recorded
        return calls

    def _make_call(self, name: str, message: bytes, moment: float) -> None:
        """Make a call that the child made; where it was refused there, it is here, too."""
        from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as messages
        from google.appengine.runtime.apiproxy_errors import Error
        from google.protobuf.message import DecodeError

        kinds: list[Any] = [getattr(messages, f"TaskQueue{name}{end}", None) for end in ("Request", "Response")]
        if not all(kinds):
            raise ValueError(name)
        request, response = (kind() for kind in kinds)
        try:
            request.ParseFromString(message)
            with self._engine.clock.travel(moment):
                self._engine.service.MakeSyncCall("taskqueue", name, request, response)
        except DecodeError:
            raise ValueError(name) from None
        except Error:
            return


class ApartEngine(AppEngine):
    """An App Engine for the judge's labs; `limits` and `budget` are set before the first."""

    limits = Limits()
    budget = Budget(0)

    def __init__(self, queue_yaml: str | None, apps: Iterable[str], seed: int, shuffle: bool, dup: float) -> None:
        super().__init__(queue_yaml, apps, seed, shuffle, dup)
        self.server = ApartServer(self.server, self, self.limits, self.budget)  # type: ignore[assignment]
