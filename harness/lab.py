"""`Lab`: a small App Engine on your own machine, with real web2py in it and a task queue behind it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import BadRequestError, LabClosedError
from harness.records import Attempt, Response, TaskInfo, Trace
from harness.show import Table, attempts_table, rows_table, tasks_table
from harness.show.progress_bar import Meter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.appengine.engine import AppEngine
    from harness.appengine.wsgi import WSGIApp
    from harness.queue_console import QueueConsole

T = TypeVar("T")
_labs: list[weakref.ref[Lab]] = []  # the newest last
_written: dict[tuple[str | None, str], str] = {}  # sources by application and path, the newest last
_MOST_WRITTEN = 200  # entries; a file of a first application has two
_OF_NO_APP = ("routes.py", "queue.yaml")


def current_lab() -> Lab:
    """Return the newest lab that is still open; LabClosedError when there is none."""
    for reference in reversed(_labs):
        lab = reference()
        if lab is not None and not lab.closed:
            return lab
    raise LabClosedError("there is no open lab; make one first:\n    from harness import Lab\n    lab = Lab()")


def last_written(path: str, app: str | None = None) -> str | None:
    """Return what was written last into a file, in whichever lab of this process, or None.

    The lab may be closed or gone. Only the most recent files are remembered.

    Args:
        path: "controllers/default.py", "routes.py", "queue.yaml".
        app: an application; None for the first one of the lab that was written to.
    """
    return _written.get((app, path))


def _remember(path: str, source: str, apps: Iterable[str | None]) -> None:
    for key in [(app, path) for app in apps]:
        _written.pop(key, None)
        _written[key] = source
    for key in list(_written)[:-_MOST_WRITTEN]:
        del _written[key]


class Lab:
    """A fresh web2py with empty applications, an empty task queue, and a clock at 2012-09-03 09:00 UTC.

    Args:
        queue_yaml: the text of a queue.yaml; without it there is the queue "default" only.
        apps: the names of the applications; the first is the one that relative paths belong to.
        seed: what chance there is (`shuffle`, `duplicates`) is drawn from this whole number.
        shuffle: run tasks that are due at the same time in a random order (T21).
        duplicates: the share of tasks, 0 to 1, that are delivered twice (T37).

    Raises:
        QueueConfigError: a mistake in queue.yaml.
        NameRefusedError: an application name that web2py refuses.
        BadValueError: `duplicates` is no share, or `seed` no whole number.
        Web2pyNotFoundError: WEB2PY_PATH names no web2py.
    """

    _is_learners = True  # what is written into it is the learner's; a check's own labs differ

    def __init__(
        self,
        queue_yaml: str | None = None,
        *,
        apps: Iterable[str] = ("tutorial",),
        seed: int = 0,
        shuffle: bool = False,
        duplicates: float = 0.0,
    ) -> None:
        engine = self._make_engine(queue_yaml, apps, seed, shuffle, duplicates)
        self._appengine = engine
        self._end = weakref.finalize(self, engine.close)
        _labs.append(weakref.ref(self, _labs.remove))
        if queue_yaml is not None and self._is_learners:
            _remember("queue.yaml", queue_yaml, [None])

    @staticmethod
    def _make_engine(
        queue_yaml: str | None, apps: Iterable[str], seed: int, shuffle: bool, duplicates: float
    ) -> AppEngine:
        """Return a new engine; a subclass may return one of another class."""
        from harness.appengine.engine import AppEngine  # loads Google's SDK and web2py, which `import harness` does not

        return AppEngine(queue_yaml, apps, seed, shuffle, duplicates)

    def write(self, path: str, source: str, app: str | None = None) -> None:
        """Write a file of an application: "controllers/default.py", "models/db.py", "views/default/index.html".

        "routes.py" and "queue.yaml" belong to no application, any other file to `app` (None: the lab's first). Python
        is compiled first, so that a mistake is told here and the file of before stays.

        Raises:
            SourceError: the source does not compile, or is no text.
            NameRefusedError: web2py would not find a file of that name, or there is no such application.
            QueueConfigError: a mistake in queue.yaml.
        """
        app, first = self._app(app), self._app(None)
        self._engine.write(path, source, app)
        if self._is_learners:
            _remember(path, source, [app, None] if app == first or path in _OF_NO_APP else [app])

    def read(self, path: str, app: str | None = None) -> str:
        """Return the text of a file of an application (None: the lab's first); NameRefusedError when there is none."""
        return self._engine.read(path, self._app(app))

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """Serve all paths below `prefix` ("/plain") with a WSGI application: a target that is not web2py.

        Raises:
            BadRequestError: a prefix that is no path, or an application that cannot be called.
        """
        self._engine.server.mount(prefix, app)

    def table(self, name: str, app: str | None = None) -> Table[dict[str, Any]]:
        """Return the rows of a table, in the order of their id, as the application's own database connection sees them.

        Raises:
            UnknownTableError: no model defines it.
            SourceError: a model does not work.
            NameRefusedError: there is no such application.
        """
        return rows_table(self._engine.server.rows(name, self._app(app)), name)

    def get(
        self,
        path: str,
        /,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Response:
        """Send a user's GET request, and return the response; the clock moves by as long as it takes.

        Args:
            path: "controller/function", or "/application/controller/function"; it may hold args and a query string.
            headers: further request headers.
            query: variables of the query string, of any name: query={"headers": "all"}.
            **variables: further variables of the query string; a list repeats its name.

        Raises:
            BadRequestError: a request that no browser could send.
        """
        return self._visit("GET", path, headers, query, variables)

    def post(
        self,
        path: str,
        /,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Response:
        """Send a user's POST request, and return the response; see `get`.

        The same keyword means the same in both: `**variables` go into the query string (`request.get_vars`). The fields
        of a form (`request.post_vars`) are in `data`.

        Args:
            path: see `get`.
            data: the body: a dict is sent as a form, str as UTF-8, bytes as they are.
            headers: see `get`.
            query: see `get`.
            **variables: see `get`.

        Raises:
            BadRequestError: a request that no browser could send.
        """
        return self._visit("POST", path, headers, query, variables, data)

    def tasks(self, queue: str | None = None) -> Table[TaskInfo]:
        """Return what waits, in the order of ETA, in one queue or in all; UnknownQueueError when it is not there."""
        return tasks_table([task.info() for task in self._engine.waiting(queue)], self.now)

    def queue(self, name: str) -> QueueConsole:
        """Return what App Engine's console shows of a queue: figures, plots, and buttons to pause, purge and delete.

        Raises:
            UnknownQueueError: queue.yaml has no such queue.
        """
        from harness.queue_console import QueueConsole

        engine = self._engine
        return QueueConsole(name, engine.queue, engine.clock, engine.samples)

    def step(self) -> Attempt:
        """Run exactly one attempt, of the task that is due first, moving the clock to its end; return the attempt.

        Raises:
            NothingDueError: no task waits, or all that wait are held back.
        """
        return self._work(self._engine.dispatcher.step)

    def run(self, cap: int = 10_000) -> Table[Attempt]:
        """Run until nothing waits any more, moving the clock from ETA to ETA.

        Args:
            cap: how many attempts to make at most.

        Returns:
            The attempts; a note says which tasks are held back all the same (a paused queue, a rate of 0).

        Raises:
            BadValueError: a cap that is no whole number, or below 0.
            RunawayError: the cap is reached, and still tasks wait.
        """
        engine = self._engine
        attempts = self._work(lambda: engine.dispatcher.run(cap=cap))
        return attempts_table(attempts, self._not_run())

    def advance(self, seconds: float, cap: int = 10_000) -> Table[Attempt]:
        """Let virtual seconds pass, running what falls due meanwhile; else like `run`.

        Raises:
            BadValueError: seconds that are no number, or below 0, or lead beyond the year 9998; or such a cap.
            RunawayError: see `run`.
        """
        engine = self._engine
        end = engine.clock.after(seconds)
        attempts = self._work(lambda: engine.dispatcher.run(end, cap))
        return attempts_table(attempts, self._not_run())

    @property
    def now(self) -> datetime:
        """The virtual time, an aware UTC datetime."""
        return self._engine.clock.now

    @property
    def attempts(self) -> Table[Attempt]:
        """Every attempt so far."""
        return attempts_table(self._engine.dispatcher.attempts)

    @property
    def responses(self) -> tuple[Response, ...]:
        """The answers to every user's request so far."""
        return tuple(self._engine.responses)

    def trace(self, name: str, queue: str | None = None) -> Trace:
        """Follow one task hop by hop: the `add`, the stored task, each attempt.

        Args:
            name: its name; where several tasks have had that name, the newest is followed.
            queue: the queue that it was in; None for any.

        Raises:
            UnknownTaskError: there never was such a task.
        """
        task = self._engine.task(name, queue).info()
        every = self._engine.dispatcher.attempts
        return Trace(task, tuple(attempt for attempt in every if attempt.task.identity == task.identity))

    def timeline(self) -> Figure:
        """Draw what users, queue and workers did over virtual time."""
        from harness.show.plots import timeline

        engine = self._engine
        tasks = [task.info() for named in engine.service.history.values() for task in named]
        return timeline(engine.responses, tasks, engine.dispatcher.attempts, engine.clock.now)

    @property
    def closed(self) -> bool:
        """Whether the lab was closed."""
        return self._appengine.closed

    def close(self) -> None:
        """Forget the queue and remove the files; what was shown stays. A second time does nothing."""
        self._end()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<Lab, closed>"
        waiting = len(self._engine.waiting(None))
        apps = ", ".join(self._engine.site.apps)
        return f"<Lab {apps}: {self.now:%Y-%m-%d %H:%M:%S} UTC, {waiting} task{'s' * (waiting != 1)} waiting>"

    @property
    def _engine(self) -> AppEngine:
        self._appengine.require_open()
        return self._appengine

    def _visit(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        query: Mapping[str, Any] | None,
        variables: dict[str, Any],
        data: Mapping[str, Any] | str | bytes | None = None,
    ) -> Response:
        if not isinstance(query, Mapping | None):
            raise BadRequestError(
                f'query must be a dict such as {{"page": 2}}, not {query!r}. To send a variable named query: '
                f'query={{"query": {query!r}}}'
            )
        engine = self._engine
        request = engine.user_client.request(method, path, {**(query or {}), **variables}, data, headers)
        return engine.visit(request)

    def _work(self, action: Callable[[], T]) -> T:
        """Let the dispatcher act, with a progress bar if that takes many attempts."""
        with closing(Meter()) as meter:
            return self._engine.work(action, meter.count)

    def _not_run(self) -> str:
        """Return a note that lists the tasks that a paused queue or a rate of 0 holds back; "" if there are none."""
        from harness.queue_console import held_back

        held = [words for queue in self._engine.service.queues.values() if (words := held_back(queue))]
        return f"Not run: {'; '.join(held)}." if held else ""

    def _app(self, app: str | None) -> str:
        return self._engine.site.apps[0] if app is None else app
