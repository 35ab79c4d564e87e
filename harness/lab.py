"""`Lab`: a local App Engine that runs real web2py with a task queue."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from harness.appengine.written_files import remember
from harness.errors import LabClosedError, NameRefusedError, QueueConfigError, SourceError, quoted, require_bool
from harness.records import Attempt, Overlap, Request, TaskInfo, Trace
from harness.show import Table, attempts_table, rows_table, tasks_table
from harness.show.progress_bar import Meter
from harness.visitor import Visitor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.appengine.app_engine import AppEngine
    from harness.appengine.dispatcher import Chaos, Dispatcher
    from harness.appengine.wsgi import WSGIApp
    from harness.queue_console import QueueConsole

T = TypeVar("T")
Party = TaskInfo | Request | str
_labs: list[weakref.ref[Lab]] = []  # the newest is the last
_WITHOUT_APP = ("routes.py", "queue.yaml", "app.yaml", "main.py")


def current_lab() -> Lab:
    """Return the newest open lab.

    Raises:
        LabClosedError: no lab is open.
    """
    for reference in reversed(_labs):
        lab = reference()
        if lab is not None and not lab.closed:
            return lab
    raise LabClosedError("no lab is open; make one first:\n    from harness import Lab\n    lab = Lab()")


class Lab(Visitor):
    """A local App Engine with empty web2py applications, a task queue, and a virtual clock at 2012-09-03 09:00 UTC.

    Args:
        queue_yaml: the text of a queue.yaml; None means that only the queue "default" exists.
        apps: the names of the applications; relative paths refer to the first one.
        seed: the integer that seeds the random numbers of `shuffle`, `duplicates` and `overlap`.
        shuffle: whether tasks that are due at the same time run in a random order (T21).
        duplicates: the probability, 0 to 1, that a task is delivered twice (T37).
        overlap: whether the first attempts of some tasks overlap, statement by statement, with a second delivery of the
            same task or with another task (T45), and whether some instances are shut down while they work (T46).
        cloud_tasks: whether Google's client sends tasks to Cloud Tasks' API (`harness/cloudtasks/`).

    Raises:
        QueueConfigError: queue.yaml has a mistake.
        NameRefusedError: web2py doesn't accept the name of an application.
        BadValueError: `duplicates` isn't a probability, `seed` isn't an integer, or a flag isn't a bool.
        Web2pyNotFoundError: the folder in WEB2PY_PATH doesn't contain web2py.
        DiskError: the folder for temporary files is full, or can't be used.
    """

    _is_learners = True  # False in the labs of a check, whose files are not the learner's

    def __init__(
        self,
        queue_yaml: str | None = None,
        *,
        apps: Iterable[str] = ("tutorial",),
        seed: int = 0,
        shuffle: bool = False,
        duplicates: float = 0.0,
        overlap: bool = False,
        cloud_tasks: bool = False,
    ) -> None:
        require_bool("cloud_tasks", cloud_tasks)
        chaos = self._make_chaos(seed, shuffle, duplicates, overlap)
        self._open(self._make_engine(queue_yaml, apps, chaos), cloud_tasks)
        if queue_yaml is not None:
            self._remember("queue.yaml", queue_yaml, [None])

    @classmethod
    def from_folder(
        cls,
        path: str | PathLike[str],
        *,
        databases: bool = False,
        start: datetime | None = None,
        queue_yaml: str | None = None,
        name: str | None = None,
        seed: int = 0,
        shuffle: bool = False,
        duplicates: float = 0.0,
        overlap: bool = False,
        cloud_tasks: bool = False,
    ) -> Lab:
        """Return a lab with a copy of an existing web2py application, or of all applications of a web2py tree.

        The lab never writes to the folder, and `DAL` can open only databases in the copy (T52). Sessions,
        errors, caches and uploads aren't copied. A later change of the folder takes effect in the next lab. The lab
        runs the installed web2py or that of WEB2PY_PATH, and never the web2py of the tree.

        Args:
            path: the folder of the application, which contains controllers/; or a tree, which contains applications/.
                queue.yaml and routes.py can be in the application's folder, or in its tree. Without a tree, they can be
                beside the folder. If there are two, the application's queue.yaml is used, but the other routes.py. The
                first application of a tree is its `default_application`, or else the first by name; `welcome` is last.
            databases: whether the files of the databases are copied too. Otherwise, the models make empty tables. If
                they pass `migrate=False`, they make no tables, so the files of the databases are needed.
            start: the first instant, an aware datetime; by default 2012-09-03 09:00 UTC. If the application compares
                its times with those of another program, pass an instant near today.
            queue_yaml: the text of a queue.yaml, instead of the folder's.
            name: the name of the application in URLs and imports. By default, it is the name of its folder, with _
                instead of each character that web2py doesn't allow. For a tree, it must be None.
            seed: see `Lab`, also for `shuffle`, `duplicates`, `overlap` and `cloud_tasks`.

        Raises:
            AppFolderError: the folder isn't a web2py application, or a file can't be read.
            SourceError: a model doesn't compile, for example because it is Python 2, or web2py refuses routes.py.
        """
        from harness.appengine.web2py import find_applications

        require_bool("cloud_tasks", cloud_tasks)
        folder, chaos = find_applications(path, name, databases), cls._make_chaos(seed, shuffle, duplicates, overlap)
        lab = cls.__new__(cls)
        lab._is_learners = False
        lab._open(cls._make_engine(queue_yaml, (), chaos, folder, start), cloud_tasks)
        return lab

    def _open(self, engine: AppEngine, cloud_tasks: bool) -> None:
        self._appengine = engine
        self._end = weakref.finalize(self, engine.close)
        _labs.append(weakref.ref(self, _labs.remove))
        if cloud_tasks:
            from harness.cloudtasks import CloudTasksMode  # slow, because it imports gRPC

            engine.use(CloudTasksMode(engine.service))

    @staticmethod
    def _make_engine(*args: Any) -> AppEngine:
        """Return a new engine with the arguments of AppEngine; a subclass may return one of another class."""
        from harness.appengine.app_engine import AppEngine  # slow, because it imports Google's SDK and web2py

        return AppEngine(*args)

    @staticmethod
    def _make_chaos(seed: int, shuffle: bool, duplicates: float, overlap: bool) -> Chaos:
        """Return the object that makes the random decisions; a subclass may return one of another class."""
        from harness.appengine.dispatcher import Chaos

        return Chaos(seed, shuffle, duplicates, overlap)

    def write(self, path: str, source: str, app: str | None = None) -> None:
        """Write a file of an application. If the source has a mistake, the previous file is kept.

        Args:
            path: such as "controllers/default.py", "routes.py" or "queue.yaml". "app.yaml" and "main.py" aren't run.
            source: the text of the file.
            app: the application, by default the lab's first one. The last four files don't have one.

        Raises:
            SourceError: the source doesn't compile, or isn't a string.
            NameRefusedError: web2py would not find a file of that name, or the application doesn't exist.
            QueueConfigError: queue.yaml has a mistake.
            DiskError: the disk is full or read-only. The previous file is kept.
        """
        app, first = self._app(app), self._app(None)
        apps = [app, None] if app == first or path in _WITHOUT_APP else [app]
        try:
            self._engine.write(path, source, app)
        except (SourceError, QueueConfigError):
            self._remember(path, str(source), apps)  # a check judges this source, and not the one before it
            raise
        self._remember(path, source, apps)

    def _remember(self, path: str, source: str, apps: Iterable[str | None]) -> None:
        if self._is_learners:
            remember(path, source, apps)

    def read(self, path: str, app: str | None = None) -> str:
        """Return the text of a file of an application, by default of the lab's first one.

        Raises:
            NameRefusedError: the file or the application doesn't exist, or the file isn't text.
        """
        return self._engine.read(path, self._app(app))

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """Let a WSGI application handle all URLs below a path ("/plain") or of another server ("https://example.com").

        Raises:
            BadRequestError: the prefix is neither a path nor a URL, or the application isn't callable.
        """
        self._engine.server.mount(prefix, app)

    def table(self, name: str, app: str | None = None) -> Table[dict[str, Any]]:
        """Return the rows of a database table as dicts, ordered by id.

        Args:
            name: the name of the table.
            app: the application, by default the lab's first one.

        Raises:
            UnknownTableError: no model defines the table.
            SourceError: a model fails, or defines the table with `migrate=False`, and the database doesn't contain it.
            NameRefusedError: the application doesn't exist.
        """
        return rows_table(self._engine.rows(name, self._app(app)), name)

    def db(self, app: str | None = None) -> AbstractContextManager[Any]:
        """Return a context manager whose value is the application's own DAL with its tables, to write or read rows.

        The end of the block commits the changes, and an exception rolls them back. If the models define several DALs,
        the value is the one with the name `db`, or else the first one. The models run once, as for a request at the
        lab's time, but without adding tasks. Inside the block, Python's `time` and `datetime` return the real time.

            with lab.db() as db:
                db.product.insert(name="Tea", price=3)

        Args:
            app: the application, by default the lab's first one.

        Raises:
            SourceError: a model fails, or none defines a DAL.
            NameRefusedError: the application doesn't exist.
        """
        return self._engine.database(self._app(app))

    def tasks(self, queue: str | None = None) -> Table[TaskInfo]:
        """Return the waiting tasks of one queue, by default of all queues, ordered by ETA.

        Raises:
            UnknownQueueError: the queue doesn't exist.
        """
        return tasks_table([task.info() for task in self._engine.waiting(queue)], self.now)

    def queue(self, name: str) -> QueueConsole:
        """Return the console of a queue, with its statistics and plots, which can pause and purge it.

        Raises:
            UnknownQueueError: the queue isn't in queue.yaml.
        """
        from harness.queue_console import QueueConsole

        engine = self._engine
        return QueueConsole(name, engine.queue, engine.clock, engine.samples)

    def step(self, kill_after: int | None = None) -> Attempt:
        """Run one attempt of the task that is due first, advance the clock to its end, and return the attempt.

        With `overlap=True` a second attempt may run in turn with it.

        Args:
            kill_after: shut the worker's instance down after so many turns (see `overlap`), or 0 for before the first.

        Raises:
            NothingDueError: no task waits, or no queue with waiting tasks runs them (it is paused, or its rate is 0).
            BadValueError: `kill_after` isn't an integer of 0 or more.
        """
        return self._work(lambda dispatcher: dispatcher.step(kill_after))

    def overlap(
        self, first: Party, second: Party | None = None, *, order: str = "", kill_after: Mapping[int, int] | None = None
    ) -> Overlap:
        """Let two requests run in turn, each as on an App Engine instance of its own, and return both.

        A turn is a database statement of the action, a COMMIT, a ROLLBACK, or a call of `taskqueue.add`. A task is
        delivered at its ETA or later; the rate and the other limits of its queue don't apply.

        Args:
            first: a waiting task, a user's Request, or the path of a user's GET request, as in `get`.
            second: the same, or None for the task that `first` adds, which starts as soon as it is added. The same task
                twice means two deliveries.
            order: who takes each turn, such as "1221"; it is repeated. By default the lab's seed decides.
            kill_after: shuts an instance down: {1: 2} means the first one, after it has taken two turns.

        Raises:
            UnknownTaskError: the task doesn't wait in a push queue.
            BadRequestError: a browser could not send this request.
            BadValueError: `order` or `kill_after` isn't as described.
        """
        return self._engine.overlap(first, second, order, {} if kill_after is None else kill_after)

    def run(self, cap: int = 10_000) -> Table[Attempt]:
        """Run tasks until the queues are empty. The clock advances to the ETA of each task.

        Args:
            cap: the maximum number of attempts.

        Returns:
            The attempts, with a note about the tasks that can't run (their queue is paused, or its rate is 0).

        Raises:
            BadValueError: the cap isn't an integer, or is negative.
            RunawayError: tasks still wait after `cap` attempts.
        """
        return attempts_table(self._work(lambda dispatcher: dispatcher.run(cap=cap)), self._not_run())

    def advance(self, seconds: float, cap: int = 10_000) -> Table[Attempt]:
        """Advance the clock and run the tasks that become due in this time.

        Args:
            seconds: the virtual seconds.
            cap: the maximum number of attempts.

        Returns:
            The attempts, with a note as in `run`.

        Raises:
            BadValueError: `seconds` isn't a number, is negative, or leads beyond the year 9998; or `cap` is invalid.
            RunawayError: more tasks are due after `cap` attempts.
        """
        end = self._engine.clock.after(seconds)
        return attempts_table(self._work(lambda dispatcher: dispatcher.run(end, cap)), self._not_run())

    @property
    def now(self) -> datetime:
        """The virtual time as an aware UTC datetime."""
        return self._engine.clock.now

    @property
    def attempts(self) -> Table[Attempt]:
        """All attempts until now."""
        return attempts_table(self._engine.dispatcher.attempts)

    def trace(self, name: str, queue: str | None = None) -> Trace:
        """Return the history of a task: the call of `add`, the stored task, and all attempts.

        Args:
            name: the name of the task. If several tasks have had that name, it means the newest one.
            queue: the queue of the task, by default any queue.

        Raises:
            UnknownTaskError: no such task was ever added.
        """
        task = self._engine.task(name, queue).info()
        every = self._engine.dispatcher.attempts
        return Trace(task, tuple(attempt for attempt in every if attempt.task.identity == task.identity))

    def cloud_tasks_client(self) -> Any:
        """Return Google's `CloudTasksClient` for this lab (project "tutorial", location "us-central1")."""
        from harness.cloudtasks import connect_client

        return connect_client(self._engine.service, self._engine.require_open)

    def timeline(self) -> Figure:
        """Return a figure of the users, the queues and the workers over virtual time."""
        from harness.show.plots import timeline

        engine = self._engine
        tasks = [task.info() for named in engine.service.history.values() for task in named]
        return timeline(engine.responses, tasks, engine.dispatcher.attempts, engine.clock.now)

    @property
    def closed(self) -> bool:
        """Whether the lab is closed."""
        return self._appengine.closed

    def close(self) -> None:
        """Delete the tasks and the files. Records and figures remain valid. A second call does nothing."""
        self._end()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *error: object) -> None:
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

    def _work(self, action: Callable[[Dispatcher], T]) -> T:
        """Call the dispatcher, with a progress bar if it makes many attempts."""
        engine = self._engine
        with closing(Meter()) as meter:
            return engine.work(lambda: action(engine.dispatcher), meter.count)

    def _not_run(self) -> str:
        """Return a note about the tasks that can't run because of their queue, or ""."""
        from harness.queue_console import not_run

        return not_run(self._engine.service.queues.values())

    def _app(self, app: str | None) -> str:
        if not isinstance(app, str | None):
            raise NameRefusedError(f"app must be the name of an application, not {quoted(app)}")
        return self._engine.site.apps[0] if app is None else app
