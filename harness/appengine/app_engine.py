"""A small App Engine: web2py, a task queue, a dispatcher and a clock in one object. `Lab` is its public facade.

Importing this module loads Google's SDK, and the first AppEngine loads web2py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from harness.appengine.clock import START, Clock
from harness.appengine.dispatcher import Chaos, Dispatcher, deferred_application, strip_appengine_headers
from harness.appengine.server import Server
from harness.appengine.taskqueue import (
    Connection,
    Mode,
    PullQueue,
    Queue,
    Task,
    TaskQueueService,
    connect,
    parse_queue_yaml,
    preload,
)
from harness.appengine.time_limit import Interrupts
from harness.appengine.turns import Arrival, Schedule
from harness.appengine.user_client import UserClient
from harness.appengine.web2py import AppFolder, Site
from harness.appengine.web2py.app_files import check_text
from harness.appengine.web2py.database import OpenDatabase
from harness.errors import (
    BadRequestError,
    HarnessError,
    LabClosedError,
    NameRefusedError,
    UnknownQueueError,
    UnknownTaskError,
    quoted,
)
from harness.records import Overlap, QueueSample, Request, Response, TaskInfo, find_header

T = TypeVar("T")
QUEUE_YAML = "queue.yaml"
_DEPLOYED = ("app.yaml", "main.py")  # they have an effect only on App Engine
_SHOWN = 10  # task names in a message


class AppEngine:
    """One web2py root with a task queue, on one virtual clock.

    Args:
        queue_yaml: the text of a queue.yaml. If it is None, the queue.yaml of the folder is used, if it has one.
        apps: the names of the applications, if no folder is given.
        chaos: makes the random decisions.
        folder: the applications that are copied, or None.
        start: the first instant, or None for 2012-09-03 09:00 UTC.

    `queue_yaml` is the text of the newest valid queue.yaml, or None. `closed` is True after `close`. Ctrl-C takes
    effect in handlers and between them, never while the engine moves a task.
    """

    def __init__(
        self,
        queue_yaml: str | None,
        apps: Iterable[str],
        chaos: Chaos,
        folder: AppFolder | None = None,
        start: datetime | None = None,
    ) -> None:
        self.closed = False
        self._chaos = chaos
        if folder is not None:
            apps, queue_yaml = folder.apps, folder.queue_yaml if queue_yaml is None else queue_yaml
        self._configs = parse_queue_yaml(queue_yaml) if queue_yaml is not None else ()
        self.queue_yaml = queue_yaml
        self._deployed: dict[str, str] = {}
        self.clock = Clock(START if start is None else start)
        self.site = Site(_checked_apps(apps), folder)
        self.service = TaskQueueService(self.clock, self._configs)
        self.server = Server(self.site, self.clock, self._connected)
        self.server.mount("/_ah/queue/deferred", deferred_application, in_root=True)
        self.dispatcher = Dispatcher(self.service, self.clock, self._send, chaos, self._send_together)
        self.user_client = UserClient(self.site.apps[0], lambda: self.clock.timestamp)
        self.responses: list[Response] = []
        self._databases: list[tuple[str, OpenDatabase]] = []  # the open ones, each with its application's name
        self._interrupts = Interrupts()
        self._on_attempt: Callable[[], None] = lambda: None
        self._connection = connect(self.service)

    def write(self, path: str, source: str, app: str) -> None:
        """Write a file; see `Lab.write` for the errors. If the new text is invalid, the old text is kept."""
        with self._interrupts.held():
            if path in _DEPLOYED:
                check_text(source, path)
                self._deployed[path] = source
                return
            if path != QUEUE_YAML:
                self.server.write(path, source, app)
                return
            self._configs = parse_queue_yaml(source)
            self.service.configure(self._configs)
            self.queue_yaml = source

    def read(self, path: str, app: str) -> str:
        """Return the text of a file; NameRefusedError if the file does not exist."""
        if path in _DEPLOYED:
            if path not in self._deployed:
                raise NameRefusedError(f"the lab has no {path} yet; write one")
            return self._deployed[path]
        if path != QUEUE_YAML:
            return self.site.read(path, app)
        if self.queue_yaml is None:
            raise NameRefusedError("the lab has no queue.yaml yet; write one, or pass it to Lab(queue_yaml=...)")
        return self.queue_yaml

    @contextmanager
    def database(self, app: str) -> Iterator[Any]:
        """Yield the DAL of an application; see `Lab.db`."""
        self.require_open()
        self._require_committed("another `with lab.db()`", app)
        preload()  # a model may import Google's client
        with self._interrupts.held():
            opened = self.server.open_database(app)
        self._databases.append((app, opened))
        try:
            with self._connection.active(), opened.used() as dal:
                yield dal
        finally:
            self._databases.remove((app, opened))

    def rows(self, table: str, app: str) -> list[dict[str, Any]]:
        """Return the rows of a table; see `Lab.table`."""
        self._require_committed("lab.table", app)
        preload()
        return self.server.rows(table, app)

    def visit(self, request: Request) -> Response:
        """Send a user's request without the headers of App Engine (T26), move the clock, and return the response."""
        self._require_committed("a request")
        request = self._users(request)
        preload()
        with self._interrupts.held():
            self._lose_memory(self._name(request))
            response = self.server.send(request, self.clock.timestamp)
            self.clock.advance(response.elapsed)
            self.user_client.remember(response)
            self.responses.append(response)
        return response

    def work(self, action: Callable[[], T], on_attempt: Callable[[], None]) -> T:
        """Run an action of the dispatcher, call `on_attempt` after each attempt, and return the action's result."""
        self._require_committed("a request")
        preload()
        self._on_attempt = on_attempt
        with self._interrupts.held():
            return action()

    def overlap(
        self,
        first: TaskInfo | Request | str,
        second: TaskInfo | Request | str | None,
        order: str,
        kill_after: Mapping[int, int],
    ) -> Overlap:
        """Let requests and attempts run in turn; see `Lab.overlap`."""
        schedule = Schedule(self._chaos.seed, order, kill_after)
        parties = [self._party(each) for each in (first, second) if each is not None]
        before = set(self._all_tasks())
        results = self.work(
            lambda: self.dispatcher.deliver(parties, lambda: self._added(before), schedule), lambda: None
        )
        for each in results:
            if isinstance(each, Response):
                self.user_client.remember(each)
                self.responses.append(each)
        return Overlap(*results)

    def queue(self, name: str) -> Queue:
        """Return a queue; UnknownQueueError, which lists the queues, if queue.yaml has no queue of that name."""
        self.require_open()
        try:
            return self.service.queues[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self.service.queues))
            raise UnknownQueueError(f"the queue {quoted(name)} isn't in queue.yaml; the queues are: {known}") from None

    def waiting(self, queue: str | None) -> list[Task]:
        """Return the waiting tasks of one queue, or of all queues for None, ordered by ETA."""
        queues = self.service.queues.values() if queue is None else [self.queue(queue)]
        return sorted((task for each in queues for task in each.waiting()), key=lambda task: task.eta)

    def task(self, name: str, queue: str | None) -> Task:
        """Return the newest task of this name in a queue, or in any queue for None; UnknownTaskError if none exists."""
        history = self.service.history
        named = history.get(name, ()) if isinstance(name, str) else ()
        found = [task for task in named if queue in (None, task.queue)]
        if not found:
            place = "" if queue is None else f" to the queue {quoted(queue)}"
            raise UnknownTaskError(f"no task named {quoted(name)} was ever added{place}; {_name_some(list(history))}")
        return found[-1]

    def samples(self, queue: str) -> list[QueueSample]:
        """Return the dispatcher's samples of a queue, ordered by time."""
        return self.dispatcher.samples.get(queue, [])

    def require_open(self) -> None:
        """Raise LabClosedError if `close` was called."""
        if self.closed:
            raise LabClosedError("this lab was closed, and its queue and files are gone; make a new one: lab = Lab()")

    def use(self, mode: Mode) -> None:
        """Set the mode in which the client sends its calls to the queues."""
        self._connection.use(mode)

    def close(self) -> None:
        """Delete the queue and the files; a second call does nothing."""
        self.closed = True
        self._connection.close()
        self.site.close()

    def _connected(self, host: str | None) -> AbstractContextManager[object]:
        """Return the scope of a request to a host. For None, return a scope in which added tasks are dropped."""
        if host is not None:
            return self._connection.active(host)
        return Connection(TaskQueueService(self.clock, self._configs)).active()

    def _require_committed(self, what: str, app: str | None = None) -> None:
        """Raise HarnessError if `with lab.db()` has changed rows that aren't committed yet.

        Args:
            what: the action that needs these rows; the message contains it.
            app: the application whose rows the action needs, or None for all applications.
        """
        if any(opened.has_changes() for each, opened in self._databases if app in (None, each)):
            raise HarnessError(
                f"`with lab.db()` has changed rows that aren't committed yet, so {what} would not see the changes. "
                "Before this line, end the block or call db.commit()."
            )

    def _party(self, given: TaskInfo | Request | str) -> Task | Request:
        """Return the task of a record, or a user's request."""
        if isinstance(given, TaskInfo):
            return self._waiting_task(given)
        if not isinstance(given, Request | str):
            raise BadRequestError(f"a waiting task, a Request or a path is needed, not {quoted(given)}")
        return self._users(self.user_client.request("GET", given) if isinstance(given, str) else given)

    def _waiting_task(self, info: TaskInfo) -> Task:
        waiting = [task for task in self.waiting(None) if task.info().identity == info.identity]
        if not waiting or isinstance(self.queue(info.queue), PullQueue):
            raise UnknownTaskError(
                f"the task {quoted(info.name)} doesn't wait in a push queue, so it can't be delivered"
            )
        return waiting[0]

    def _added(self, before: set[Task]) -> Task | None:
        """Return the first task that was added since then to a push queue, and was due immediately, or None."""
        new = (task for task in self._all_tasks() if task not in before and task.eta <= task.created)
        return next((task for task in new if not isinstance(self.service.queues.get(task.queue), PullQueue)), None)

    def _all_tasks(self) -> list[Task]:
        return [task for named in self.service.history.values() for task in named]

    def _users(self, request: Request) -> Request:
        """Return a user's request without the headers of App Engine (T26)."""
        return replace(request, headers=strip_appengine_headers(request.headers))

    def _lose_memory(self, before: str) -> None:
        """Empty the instance's memory before a task or a request, which `before` names, if `chaos` decides so."""
        if self._chaos.forgets(before):
            self.site.forget_ram()

    def _send_together(self, arrivals: Sequence[Arrival], start: float, schedule: Schedule) -> list[Response]:
        self._interrupts.check()
        first = arrivals[0]()
        self._lose_memory(self._name(first[0]) if first is not None else "")
        responses = self.server.send_together(arrivals, start, schedule)
        for _ in responses:
            self._on_attempt()
        return responses

    def _send(self, request: Request, start: float, deadline: float) -> Response:
        self._interrupts.check()
        self._lose_memory(self._name(request))
        response = self.server.send(request, start, deadline)
        self._on_attempt()
        return response

    def _name(self, request: Request) -> str:
        """Return the name of a request's task. The name of a user's request is its number, such as "request 2"."""
        headers = request.headers
        found = find_header(headers, "X-AppEngine-TaskName") or find_header(headers, "X-CloudTasks-TaskName")
        return found or f"request {len(self.responses) + 1}"


def _checked_apps(apps: Iterable[str]) -> tuple[str, ...]:
    names = (apps,) if isinstance(apps, str) else tuple(apps) if isinstance(apps, Iterable) else ()
    if not names:
        raise NameRefusedError(
            f'a lab needs at least one application, as in Lab(apps=("tutorial",)), not {quoted(apps)}'
        )
    return names


def _name_some(names: list[str]) -> str:
    if not names:
        return "no task was added yet"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"the added tasks are {', '.join(names[:_SHOWN])}{more}"
