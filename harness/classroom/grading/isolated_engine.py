"""An App Engine whose web server handles each request in a new child process.

The queue, the clock and the check stay in the parent. The child works on copies, and returns the response and its calls
to the task queue, which the parent repeats. Parent and child share the files, which include the database. Data that an
application keeps in memory (`cache.ram`) is lost with the child, as on App Engine when an instance ends.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
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
    """

    def __init__(self, server: Server, engine: AppEngine, limits: Limits, budget: Budget) -> None:
        self._server = server
        self._engine = engine
        self._limits = limits
        self._budget = budget
        self.sent = 0
        self._routes: list[tuple[str, str]] = []  # source and application; each child loads it again

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """See `Server.mount`."""
        self._server.mount(prefix, app)

    def send(self, request: Request, start: float, deadline: float = DEADLINE) -> Response:
        """See `Server.send`; raise GradingError if the child returns no response."""
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
        requests = [arrived[0] for arrival in arrivals if (arrived := arrival()) is not None]
        if len(requests) != len(responses):
            raise GradingError("the process that ran your code returned too few or too many responses")
        return [replace(each, request=request) for each, request in zip(responses, requests, strict=True)]

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
        """Return a list that receives each call to the queue: its name, its message and its time."""
        clock, calls = self._engine.clock, list[tuple[str, bytes, float]]()

        def record(name: str, request: Any) -> None:
            calls.append((name, request.SerializeToString(), clock.timestamp))

        self._engine.service.listeners.append(record)
        return calls

    def _make_call(self, name: str, message: bytes, moment: float) -> None:
        """Repeat a call that the child made; the queue refuses it here if it refused it there."""
        from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as messages
        from google.appengine.runtime.apiproxy_errors import Error

        kinds: list[Any] = [getattr(messages, f"TaskQueue{name}{end}", None) for end in ("Request", "Response")]
        if not all(kinds):
            raise ValueError(name)
        request, response = (kind() for kind in kinds)
        request.ParseFromString(message)
        with suppress(Error), self._engine.clock.travel(moment):
            self._engine.service.MakeSyncCall("taskqueue", name, request, response)


class IsolatedEngine(AppEngine):
    """An App Engine for checking answers in isolation; set `budget` before a check."""

    limits = Limits()
    budget = Budget(0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.budget.folders.append(self.site.root)
        self.server = IsolatedServer(self.server, self, self.limits, self.budget)  # type: ignore[assignment]
