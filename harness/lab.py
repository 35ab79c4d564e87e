"""`Lab`: a small App Engine on your own machine, with real web2py in it and a task queue behind it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from harness.browser import Browser
from harness.clock import Clock
from harness.dispatcher import CAP, Dispatcher, deferred_application, strip_appengine_headers
from harness.display import Table, attempts_table, rows_table, tasks_table
from harness.errors import LabClosedError, UnknownQueueError, UnknownTaskError
from harness.records import Attempt, Response, TaskInfo, Trace
from harness.server import Server
from harness.taskqueue import Queue, Task, TaskQueueService, connect, parse_queue_yaml, preload
from harness.web2py import Site
from harness.wsgi import WSGIApp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_open: list[weakref.ref[Lab]] = []  # the newest last


def current_lab() -> Lab:
    """Return the newest lab that is still open; LabClosedError when there is none."""
    for reference in reversed(_open):
        lab = reference()
        if lab is not None and not lab.closed:
            return lab
    raise LabClosedError("there is no open lab; make one first: lab = Lab()")


class Lab:
    """A fresh web2py with empty applications, an empty task queue, and a clock at 2012-09-03 09:00 UTC.

    Args:
        queue_yaml: the text of a queue.yaml; without it there is the queue "default" only.
        apps: the names of the applications; the first is the one that relative paths belong to.
        seed: what chance there is (`shuffle`, `duplicates`) is drawn from this number.
        shuffle: run tasks that are due at the same time in a random order (T21).
        duplicates: the share of tasks, 0 to 1, that are delivered twice (T37).

    Raises:
        QueueConfigError: a mistake in queue.yaml.
        NameRefusedError: an application name that web2py refuses.
    """

    def __init__(
        self,
        queue_yaml: str | None = None,
        *,
        apps: Iterable[str] = ("tutorial",),
        seed: int = 0,
        shuffle: bool = False,
        duplicates: float = 0.0,
    ) -> None:
        self.closed = False
        configs = parse_queue_yaml(queue_yaml) if queue_yaml is not None else ()
        self._site = Site(apps)
        self._clock = Clock()
        self._service = TaskQueueService(self._clock, configs)
        self._connection = connect(self._service)
        self._server = Server(self._site, self._clock, self._connection.active)
        self._server.mount("/_ah/queue/deferred", deferred_application)
        self._dispatcher = Dispatcher(
            self._service, self._clock, self._server.send, seed=seed, shuffle=shuffle, duplicates=duplicates
        )
        self._browser = Browser(self._site.apps[0])
        self._responses: list[Response] = []
        self._finalizer = weakref.finalize(self, _release, self._connection, self._site)
        _open.append(weakref.ref(self, _open.remove))

    # -- the application --

    def write(self, path: str, source: str, app: str | None = None) -> None:
        """Write a file of an application: "controllers/default.py", "models/db.py", "views/default/index.html".

        "routes.py" and "queue.yaml" belong to no application. Python is compiled first, so that a mistake is told
        here and the file of before stays.

        Raises:
            SourceError: the source does not compile.
            NameRefusedError: web2py would not find a file of that name.
            QueueConfigError: a mistake in queue.yaml.
        """
        self._require_open()
        if path == "queue.yaml":
            self._service.configure(parse_queue_yaml(source))
        else:
            self._site.write(path, source, app or self._site.apps[0])

    def read(self, path: str, app: str | None = None) -> str:
        """Return the text of a file of an application; NameRefusedError when there is none."""
        self._require_open()
        return self._site.read(path, app or self._site.apps[0])

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """Serve all paths below `prefix` with a WSGI application: a target that is not web2py."""
        self._require_open()
        self._server.mount(prefix, app)

    # -- users --

    def get(self, path: str, /, headers: Mapping[str, str] | None = None, **query: Any) -> Response:
        """Send a user's GET request, and wait for the answer; the clock moves by as long as it takes.

        Args:
            path: "controller/function", or "/application/controller/function"; it may hold args and a query string.
            headers: further request headers.
            **query: the query string.

        Raises:
            BadRequestError: a request that no browser could send.
        """
        return self._user("GET", path, query=query, headers=headers)

    def post(
        self,
        path: str,
        /,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a user's POST request: a dict goes as a form, text and bytes as they are."""
        return self._user("POST", path, data=data, headers=headers)

    def _user(self, method: str, path: str, **parts: Any) -> Response:
        self._require_open()
        request = self._browser.request(method, path, **parts)
        request = replace(request, headers=strip_appengine_headers(request.headers))
        preload()
        response = self._server.send(request, self._clock.timestamp)
        self._clock.advance(response.elapsed)
        self._browser.remember(response)
        self._responses.append(response)
        return response

    # -- the queue --

    def tasks(self, queue: str | None = None) -> Table[TaskInfo]:
        """Return what waits, in the order of ETA, in one queue or in all."""
        self._require_open()
        queues = self._service.queues.values() if queue is None else [self._queue(queue)]
        waiting = sorted((task for each in queues for task in each.waiting()), key=lambda task: task.eta)
        return tasks_table([task.info() for task in waiting], self.now)

    def step(self) -> Attempt:
        """Run exactly one attempt, moving the clock to its end.

        Raises:
            NothingDueError: no task waits, or all that wait are held back.
        """
        self._require_open()
        preload()
        return self._dispatcher.step()

    def run(self, cap: int = CAP) -> Table[Attempt]:
        """Run until nothing waits any more, moving the clock from ETA to ETA.

        Args:
            cap: how many attempts to make at most.

        Raises:
            RunawayError: the cap is reached, and still tasks wait.
        """
        self._require_open()
        preload()
        return attempts_table(self._dispatcher.run(cap=cap))

    def advance(self, seconds: float) -> Table[Attempt]:
        """Let virtual seconds pass, running what falls due meanwhile."""
        self._require_open()
        preload()
        end = self._clock.timestamp + seconds
        attempts = self._dispatcher.run(until=end)
        self._clock.move_to(end)
        return attempts_table(attempts)

    @property
    def now(self) -> datetime:
        """The virtual time, an aware UTC datetime."""
        return self._clock.now

    # -- what happened --

    @property
    def attempts(self) -> Table[Attempt]:
        """Every attempt so far."""
        return attempts_table(self._dispatcher.attempts)

    @property
    def responses(self) -> tuple[Response, ...]:
        """The answers to every user's request so far."""
        return tuple(self._responses)

    def trace(self, name: str, queue: str | None = None) -> Trace:
        """Follow one task hop by hop: the `add`, the stored task, each attempt.

        Args:
            name: its name; where two queues have had one of that name, say which queue.

        Raises:
            UnknownTaskError: there never was such a task.
        """
        task = self._find_task(name, queue).info()
        mine = (each for each in self._dispatcher.attempts if (each.task.queue, each.task.name) == (task.queue, name))
        return Trace(task, tuple(mine))

    def timeline(self) -> Figure:
        """Draw what users, queue and workers did over virtual time."""
        from harness.timeline import timeline

        tasks = [task.info() for named in self._service.history.values() for task in named]
        return timeline(self._responses, tasks, self._dispatcher.attempts, self.now)

    def table(self, name: str, app: str | None = None) -> Table[dict[str, Any]]:
        """Return the rows of a table, as the application's own database connection sees them."""
        self._require_open()
        return rows_table(self._site.rows(name, app or self._site.apps[0]), name)

    def _find_task(self, name: str, queue: str | None) -> Task:
        self._require_open()
        found = [task for task in self._service.history.get(name, ()) if queue in (None, task.queue)]
        if not found:
            known = ", ".join(list(self._service.history)[:10]) or "none was added yet"
            place = "" if queue is None else f" in the queue {queue!r}"
            raise UnknownTaskError(f"there never was a task named {name!r}{place}; the tasks so far: {known}")
        return found[-1]

    def _queue(self, name: str) -> Queue:
        try:
            return self._service.queues[name]
        except KeyError:
            known = ", ".join(sorted(self._service.queues))
            raise UnknownQueueError(f"there is no queue {name!r}; queue.yaml has: {known}") from None

    # -- the end --

    def close(self) -> None:
        """Forget the queue and remove the files; what was shown stays. A second time does nothing."""
        self.closed = True
        self._finalizer()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<Lab, closed>"
        waiting = sum(len(queue) for queue in self._service.queues.values())
        apps = ", ".join(self._site.apps)
        return f"<Lab {apps}: {self.now:%Y-%m-%d %H:%M:%S} UTC, {waiting} task{'s' * (waiting != 1)} waiting>"

    def _require_open(self) -> None:
        if self.closed:
            raise LabClosedError("this lab was closed; make a new one: lab = Lab()")


def _release(connection: Any, site: Site) -> None:
    connection.close()
    site.close()
