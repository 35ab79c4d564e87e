"""An App Engine whose web server handles each request in a new child process.

The queue, the clock and the check stay in the parent. The child works on copies, and returns the response and its calls
to the task queue or to Cloud Tasks, which the parent repeats. Parent and child share the files, which include the
database. Data that an application keeps in memory (`cache.ram`) is lost with the child, as on App Engine when an
instance ends. A request to another server stays in the parent, because only a check mounts such servers.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from harness.appengine.app_engine import AppEngine
from harness.appengine.clock import DEADLINE, to_datetime
from harness.appengine.server import Server
from harness.appengine.turns import Arrival, Schedule
from harness.appengine.wsgi import WSGIApp
from harness.classroom.grading.grading_child import ChildLost, run_apart
from harness.classroom.grading.reply import dump, load
from harness.classroom.grading.sandbox import Limits, confine
from harness.course.verdict import cut
from harness.errors import (
    DiskError,
    GradingError,
    HarnessError,
    NameRefusedError,
    SourceError,
    UnknownTableError,
    Web2pyNotFoundError,
)
from harness.records import Request, Response

_Reply = tuple[
    str, str, Any, list[tuple[str, bytes, float]]
]  # an error's name or "", its message, the result, the calls
# The errors of a request, of a table and of a file.
_ERRORS = {
    kind.__name__: kind
    for kind in (DiskError, GradingError, NameRefusedError, SourceError, UnknownTableError, Web2pyNotFoundError)
}
MOST_FILES = 2_000  # files and folders that all labs of one answer may have together
_MOST_BYTES = 64 << 20  # of those files
_MOST_ROWS = 10_000  # of a table; pydal reads about 4,000 in a second
_MOST_CALLS = 10_000  # to the task queue, in one request
_ROUTES = "routes.py"


class Budget:
    """What all requests of one answer may use together: time, and space for files.

    Args:
        seconds: the limit of time, measured by `Stopwatch`.

    Attributes:
        folders: the folders of the answer's labs.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spent = 0.0
        self.folders: list[Path] = []

    def spend(self, seconds: float) -> None:
        """Subtract the time of a request."""
        self._spent += seconds

    def left(self) -> float:
        """Return the seconds that are left; raise GradingError if no time is left."""
        left = self._seconds - self._spent
        if left <= 0:
            raise GradingError(
                f"your code took more than {self._seconds:g} seconds in total; is there an endless loop?"
            )
        return left

    def require_room(self) -> None:
        """Raise GradingError if the folders contain too many files and folders, or too many bytes."""
        files = size = 0
        for folder in self.folders:
            for place, inner, names in os.walk(folder):
                files += len(inner) + len(names)
                if files > MOST_FILES:
                    raise GradingError(f"your code made more than {MOST_FILES:,} files and folders")
                for name in names:
                    with suppress(OSError):  # deleted in the meantime
                        size += os.lstat(f"{place}/{name}").st_size
        if size > _MOST_BYTES:
            raise GradingError(f"the files of your code have more than {_MOST_BYTES >> 20} MB")


class IsolatedServer:
    """A replacement for `Server` that runs the learner's code in child processes.

    Args:
        server: handles the requests in the child.
        engine: the engine that it belongs to.
        limits: the limits of each child.
        budget: the time for all children together.

    Attributes:
        sent: the number of children that have handled requests.
        cloud_tasks: repeats the calls to Cloud Tasks (a `CloudTasks`), or None if requests can't make such calls.
    """

    def __init__(self, server: Server, engine: AppEngine, limits: Limits, budget: Budget) -> None:
        self._server = server
        self._engine = engine
        self._limits = limits
        self._budget = budget
        self.sent = 0
        self.cloud_tasks: Any = None
        self._routes: list[tuple[str, str]] = []  # source and application; each child loads it again

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """See `Server.mount`."""
        self._server.mount(prefix, app)

    def send(self, request: Request, start: float, deadline: float = DEADLINE) -> Response:
        """See `Server.send`; raise GradingError if the child returns no response."""
        if self._server.is_elsewhere(request):
            return self._server.send(request, start, deadline)
        self.sent += 1
        response = self._apart(lambda: self._server.send(request, start, deadline))
        if (
            not isinstance(response, Response)
            or not 100 <= response.status <= 999
            or not 0 <= response.elapsed <= deadline
        ):
            raise GradingError("the process that ran your code returned something that isn't a response")
        return replace(response, request=request, started=to_datetime(start))

    def send_together(self, arrivals: Sequence[Arrival], start: float, schedule: Schedule) -> list[Response]:
        """See `Server.send_together`. One child runs all requests, which take turns there."""
        self.sent += 1
        responses = self._apart(lambda: self._server.send_together(arrivals, start, schedule))
        if not isinstance(responses, list) or not all(isinstance(each, Response) for each in responses):
            raise GradingError("the process that ran your code returned something that isn't a list of responses")
        moments = [_moment(each, start) for each in responses]
        with self._engine.clock.travel(max(moments, default=start)):  # one request may arrive after the other has begun
            arrived = [each for arrival in arrivals if (each := arrival()) is not None]
        if len(arrived) != len(responses):
            raise GradingError("the process that ran your code returned too few or too many responses")
        longest = sum(deadline for _, deadline in arrived)
        for each, moment in zip(responses, moments, strict=True):
            known = each.status == 0 or 100 <= each.status <= 999
            if not known or not 0 <= each.elapsed <= longest or moment > start + longest:
                raise GradingError("the process that ran your code returned something that isn't a response")
        return [
            replace(each, request=request, started=to_datetime(moment))
            for each, moment, (request, _) in zip(responses, moments, arrived, strict=True)
        ]

    def rows(self, table: str, app: str) -> list[dict[str, Any]]:
        """See `Server.rows`."""
        rows = self._apart(lambda: self._server.rows(table, app, _MOST_ROWS))
        if not isinstance(rows, list) or len(rows) > _MOST_ROWS or not all(isinstance(row, dict) for row in rows):
            raise GradingError("the process that ran your models returned something that isn't a table")
        return rows

    def write(self, path: str, source: str, app: str) -> None:
        """See `Server.write`. Only children write routes.py, because its code runs when it is written."""
        if path != _ROUTES:
            self._server.write(path, source, app)
            return
        self._apart(lambda: self._server.write(path, source, app))
        self._routes = [(source, app)]

    def _apart(self, action: Callable[[], Any]) -> Any:
        """Run an action in a child, make its calls to the queue, and return its result or raise its HarnessError."""
        seconds = min(self._limits.patience, self._budget.left())
        try:
            data = run_apart(lambda: self._in_the_child(action), seconds, self._budget.spend, self._budget.require_room)
            kind, message, value, calls = load(data, _Reply)
            for name, message, moment in calls[:_MOST_CALLS]:
                self._make_call(name, message, moment)
        except ChildLost as lost:
            raise GradingError(f"the process that ran your code {lost}") from None
        except HarnessError:
            raise
        except Exception:  # a forged call to the queue can have any content
            raise GradingError("the process that ran your code returned something unreadable") from None
        if kind == "":
            return value
        raise _ERRORS.get(kind, GradingError)(cut(message) or "the process that ran your code gave no reason")

    def _in_the_child(self, action: Callable[[], Any]) -> bytes:
        calls = self._recorded_calls()
        try:
            confine(self._limits, self._engine.site.root)
            for source, app in self._routes:
                self._server.write(_ROUTES, source, app)
            kind, message, value = "", "", action()
        except HarnessError as error:
            kind, message, value = type(error).__name__, str(error), None
        return dump((kind, message, value, calls))

    def _recorded_calls(self) -> list[tuple[str, bytes, float]]:
        """Return a list that receives each call: its name (or the method of Cloud Tasks), its message and its time."""
        clock, calls = self._engine.clock, list[tuple[str, bytes, float]]()
        methods = {} if self.cloud_tasks is None else self.cloud_tasks.methods
        names = {kind: method for method, (kind, _) in methods.items()}

        def record(name: str, request: Any) -> None:
            calls.append((names.get(type(request), name), request.SerializeToString(), clock.timestamp))

        self._engine.service.listeners.append(record)
        return calls

    def _make_call(self, name: str, message: bytes, moment: float) -> None:
        """Repeat a call that the child made; the queue refuses it here if it refused it there."""
        from google.appengine.runtime.apiproxy_errors import Error

        is_cloud_tasks = self.cloud_tasks is not None and name in self.cloud_tasks.methods
        make = self._cloud_tasks_call(name, message) if is_cloud_tasks else self._queue_call(name, message)
        with suppress(Error), self._engine.clock.travel(moment):
            make()

    def _queue_call(self, name: str, message: bytes) -> Callable[[], None]:
        from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as messages

        kinds: list[Any] = [getattr(messages, f"TaskQueue{name}{end}", None) for end in ("Request", "Response")]
        if not all(kinds):
            raise ValueError(name)
        request, response = (kind() for kind in kinds)
        request.ParseFromString(message)
        return lambda: self._engine.service.MakeSyncCall("taskqueue", name, request, response)

    def _cloud_tasks_call(self, method: str, message: bytes) -> Callable[[], None]:
        from harness.cloudtasks.names import CallError

        request = self.cloud_tasks.methods[method][0].FromString(message)

        def make() -> None:
            with suppress(CallError):
                self.cloud_tasks.respond(method, request)

        return make


def _moment(response: Response, start: float) -> float:
    """Return when the handler of a response began, in seconds since 1970, and at the earliest at the start."""
    return start if response.started is None else max(start, response.started.replace(tzinfo=UTC).timestamp())


class IsolatedEngine(AppEngine):
    """An App Engine for checking answers in isolation; set `budget` before a check."""

    limits = Limits()
    budget = Budget(0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.budget.folders.append(self.site.root)
        self._isolated = IsolatedServer(self.server, self, self.limits, self.budget)
        self.server = self._isolated  # type: ignore[assignment]

    def use(self, mode: Any) -> None:
        """See `AppEngine.use`. The mode is `CloudTasksMode`, the only one."""
        super().use(mode)
        self._isolated.cloud_tasks = mode.servicer
