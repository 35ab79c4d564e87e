"""The state file: the queues of a service and their tasks in SQLite, written at each change."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.appengine.taskqueue import Queue, QueueConfig, QueueObserver, Task, TaskQueueService, Tombstones
from harness.appengine.taskqueue.messages import ErrorCode, refuse
from harness.errors import HarnessError, QueueConfigError, quantity
from harness.serve.saved_tasks import dump_configs, dump_queue, dump_task, load_queue, load_task
from harness.state import shown

_BEGINNING = b"SQLite format 3\0"
_VERSION = 1  # of the tables
_APPLICATION = 0x7461736B  # SQLite's application_id, which marks our files
_PATIENCE = 0.5  # seconds for which a change waits if another program locks the file
_BETWEEN = 1000  # tasks that end between two deletions of expired tombstones
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last one: a column is missing
_SUFFIXES = ("", "-wal", "-shm", "-journal")  # of the files that belong to a database
_ADVICE = "pass another file with --state, or pass --fresh to start without a file"
# A row of `task` is a task, or a tombstone if `until` isn't null. The tombstones of queues have the queue "".
_TABLES = f"""
begin;
create table task(queue text, name text, data text, body blob, until real, primary key(queue, name)) without rowid;
create index tombstone on task(until) where until is not null;
create table queue(number integer primary key, name text unique, data text);
create table configs(data text);
pragma application_id = {_APPLICATION};
pragma user_version = {_VERSION};
commit;
"""
_ADD = "insert or replace into task(queue, name, data, body) values(?, ?, ?, ?)"
_CHANGE = "update task set data = ? where queue = ? and name = ?"
_BURY = "insert or replace into task(queue, name, until) values(?, ?, ?)"
_PURGE = "update task set data = null, body = null, until = ? where queue = ? and until is null"
_CONFIGURE = "insert into queue(name, data) values(?, ?) on conflict(name) do update set data = excluded.data"
# The largest N of the names "taskN". It reads the whole table, so it finds pages that are damaged.
_LAST_NUMBER = (
    "select max(cast(substr(name, 5) as integer)) from task where name glob 'task[0-9]*' and length(name) < 20"
)
_Statement = tuple[str, Sequence[Any]]


class Journal(QueueObserver):
    """Keeps the queues of a service in a state file.

    Args:
        state: the file. It is created if it doesn't exist. None for a temporary file, which SQLite deletes itself.
        on_change: called after each change.

    Raises:
        HarnessError: another process uses the file, a newer version or another program has written it, or it can't be
            read or written.

    A change is written before it takes effect, so a task is in the file before its client gets the response. If the
    process is killed, nothing is lost. If the operating system crashes, the last changes may be lost. If the disk is
    full, changes are refused, and `problem` contains the reason. The results of attempts can't be refused, so
    they are written as soon as possible. The names of tasks that have ended are only in the file, not in memory.

    A file that SQLite can't read is renamed, and a new one is created. `notices` contains a sentence about it. Only one
    thread at a time may use the journal.
    """

    def __init__(self, state: Path | None, on_change: Callable[[], None] = lambda: None) -> None:
        self.problem = ""
        self.notices: list[str] = []
        self._state = None if state is None else Path(os.path.realpath(state))
        self._on_change = on_change
        self._owed: dict[tuple[str, str], _Statement] = {}  # by queue and task; the newest state replaces an older one
        self._ended = 0
        self._lock = None if self._state is None else _lock(self._state)
        try:
            self._database = self._open()
        except BaseException:
            self._release()
            raise

    def restore(self, service: TaskQueueService, configs: Sequence[QueueConfig]) -> None:
        """Give a service the queues of the file, and apply a queue.yaml if it isn't the one that was applied last.

        Tasks that were running wait again.
        """
        queues, last_number, applied = self._saved
        del self._saved
        service.restore(queues, last_number)
        with suppress(sqlite3.Error):
            self._delete_expired(service.clock.timestamp)
        if applied == dump_configs(configs):
            return
        try:
            self.apply(service, configs)
        except QueueConfigError as error:
            self.notices.append(f"{error} (the previous queue.yaml stays in use)")

    def apply(self, service: TaskQueueService, configs: Sequence[QueueConfig]) -> None:
        """Let a service use a new queue.yaml.

        Raises:
            QueueConfigError: it changes the mode of a queue that has tasks, which would delete them.
        """
        wanted = {config.name: config for config in (QueueConfig("default"), *configs)}
        for config in wanted.values():
            queue = service.queues.get(config.name)
            if queue is not None and len(queue) and queue.config.mode != config.mode:
                raise QueueConfigError(
                    f"queue.yaml: the queue {config.name!r} would become a {config.mode} queue, which would delete its "
                    f"{quantity(len(queue), 'task')}; purge the queue first"
                )
        service.configure(configs)
        self._write(("delete from configs", ()), ("insert into configs values(?)", (dump_configs(configs),)))

    def close(self) -> None:
        """Close the file. Later changes are refused."""
        with suppress(sqlite3.Error):
            self._pay()
        self._database.close()
        self._release()

    # What a queue reports

    def tombstones(self, queue: str, lifetime: float) -> Tombstones:
        return _TombstonesOnDisk(self, queue, lifetime)

    def add(self, task: Task) -> None:
        self._write((_ADD, (task.queue, task.name, dump_task(task), task.body)))

    def change(self, task: Task) -> None:
        self._owe(task, (_CHANGE, (dump_task(task), task.queue, task.name)))

    def finish(self, task: Task, until: float) -> None:
        self._owe(task, (_BURY, (task.queue, task.name, until)))

    def delete(self, task: Task, until: float) -> None:
        self._write((_BURY, (task.queue, task.name, until)))

    def purge(self, queue: Queue, until: float) -> None:
        name = queue.config.name
        self._write((_PURGE, (until, name)), (_CONFIGURE, (name, dump_queue(queue))))

    def configure(self, queue: Queue) -> None:
        self._write((_CONFIGURE, (queue.config.name, dump_queue(queue))))

    def drop(self, queue: str, until: float | None) -> None:
        statements: list[_Statement] = [
            ("delete from task where queue = ?", (queue,)),
            ("delete from queue where name = ?", (queue,)),
        ]
        if until is not None:
            statements.append((_BURY, ("", queue, until)))
        self._write(*statements)

    # Names

    def holds(self, queue: str, name: str, now: float) -> bool:
        """Return whether the name of a task is a tombstone.

        Raises:
            ApplicationError: TRANSIENT_ERROR; the file can't be read.
        """
        if (queue, name) in self._owed:
            return True
        query = "select 1 from task where queue = ? and name = ? and until > ?"
        try:
            return self._database.execute(query, (queue, name, now)).fetchone() is not None
        except sqlite3.Error as error:
            self._report(error)
            refuse(ErrorCode.TRANSIENT_ERROR, self.problem)

    def count_ended(self, now: float) -> None:
        """Count a task that has ended. After each 1,000 of them, delete the tombstones that have expired."""
        self._ended += 1
        if self._ended % _BETWEEN == 0:
            with suppress(sqlite3.Error):
                self._delete_expired(now)

    def _delete_expired(self, now: float) -> None:
        self._execute([("delete from task where until <= ?", (now,))])

    # Writing

    def _write(self, *statements: _Statement) -> None:
        """Execute statements in one transaction.

        Raises:
            ApplicationError: TRANSIENT_ERROR; nothing has changed.
        """
        try:
            self._pay()
            self._execute(statements)
        except sqlite3.Error as error:
            self._report(error)
            refuse(ErrorCode.TRANSIENT_ERROR, self.problem)
        self._succeed()

    def _owe(self, task: Task, statement: _Statement) -> None:
        """Execute a statement about a task now, or later if it fails."""
        self._owed[task.queue, task.name] = statement
        try:
            self._pay()
        except sqlite3.Error as error:
            self._report(error)
        else:
            self._succeed()

    def _pay(self) -> None:
        while self._owed:
            key = next(iter(self._owed))
            self._execute([self._owed[key]])
            del self._owed[key]

    def _execute(self, statements: Sequence[_Statement]) -> None:
        if len(statements) == 1:  # a transaction of its own
            self._database.execute(*statements[0])
            return
        self._database.execute("begin immediate")
        try:
            for statement in statements:
                self._database.execute(*statement)
            self._database.execute("commit")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("rollback")
            raise

    def _succeed(self) -> None:
        self.problem = ""
        self._on_change()

    def _report(self, error: sqlite3.Error) -> None:
        name = "the temporary state file" if self._state is None else f"the state file {shown(self._state)}"
        self.problem = f"{name} can't be written ({error}), so new tasks and other changes are refused"
        self._on_change()

    # Opening

    def _open(self) -> sqlite3.Connection:
        """Open the file and load it. If it is damaged, rename it, and create a new one."""
        try:
            return self._load()
        except _BrokenState as error:
            if self._state is None:
                raise HarnessError(f"SQLite can't write a temporary file: {error}") from None
            aside = _rename(self._state)
            self.notices.append(
                f"The state file {shown(self._state)} can't be read ({error}). It was renamed to {aside.name}, and a "
                "new one was created without tasks."
            )
            return self._load()

    def _load(self) -> sqlite3.Connection:
        database = None
        try:
            database = _connect(self._state)
            self._saved = self._read(database)
            return database
        except BaseException as error:
            if database is not None:
                database.close()
            if isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and _code(error) not in _BROKEN):
                name = shown(self._state or "temporary")
                raise HarnessError(f"the state file {name} can't be used: {error}; {_ADVICE}") from None
            if isinstance(error, (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError)):
                raise _BrokenState(error) from error
            raise

    def _read(self, database: sqlite3.Connection) -> tuple[list[Queue], int, str | None]:
        """Return the queues with their tasks, the largest N of the names "taskN", and the last queue.yaml."""
        rows = database.execute("select data from queue order by number")
        queues = [load_queue(data, self) for (data,) in rows]
        by_name = {queue.config.name: queue for queue in queues}
        for queue, *row in database.execute("select queue, name, data, body from task where until is null"):
            by_name[queue].restore(load_task(queue, *row))
        (last_number,) = database.execute(_LAST_NUMBER).fetchone()
        (applied,) = database.execute("select max(data) from configs").fetchone()
        return queues, last_number or 0, applied

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


class _BrokenState(Exception):
    """The state file is damaged, or its contents aren't those that a journal writes."""


class _TombstonesOnDisk(Tombstones):
    """The names that a queue refuses. The journal has written them to the file when the tasks ended."""

    def __init__(self, journal: Journal, queue: str, lifetime: float) -> None:
        super().__init__(lifetime)
        self._journal = journal
        self._queue = queue

    def bury(self, name: str, now: float) -> None:
        self._journal.count_ended(now)

    def holds(self, name: str, now: float) -> bool:
        return self._journal.holds(self._queue, name, now)


def _code(error: sqlite3.Error) -> int:
    """Return the primary code of an error. Python's own errors have no code, for example if a text isn't UTF-8."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _lock(state: Path) -> FileLock:
    """Lock a state file for this process. The operating system releases the lock when the process ends."""
    lock = FileLock(f"{state}.lock", timeout=0, fallback_to_soft=False, thread_local=False)
    try:
        state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except TimeoutError:
        text = f"another server already uses the state file {shown(state)}; stop it, or {_ADVICE}"
        raise HarnessError(text) from None
    except OSError as error:
        raise HarnessError(
            f"the state file {shown(state)} can't be locked: {error.strerror or error}; {_ADVICE}"
        ) from None
    return lock


def _connect(state: Path | None) -> sqlite3.Connection:
    """Open a state file, and create its tables if it is new.

    Raises:
        HarnessError: a newer version or another program has written it.
        sqlite3.Error: it can't be opened, or is damaged.
        ValueError: it isn't a database.
    """
    if state is not None and state.is_file():
        with state.open("rb") as file:
            if not _BEGINNING.startswith(file.read(len(_BEGINNING))):
                raise ValueError("it isn't a database")  # SQLite would delete the log of such a file
    database = sqlite3.connect(
        "" if state is None else state, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        (application,), (version,), (tables,) = (
            database.execute(query).fetchone()
            for query in ("pragma application_id", "pragma user_version", "select count(*) from sqlite_master")
        )
        if tables and application != _APPLICATION:
            raise HarnessError(f"{shown(state)} is a database of another program; {_ADVICE}")
        if version > _VERSION:
            raise HarnessError(
                f"a newer version of this program has written the state file {shown(state)}, and this version can't "
                f"read it; update the program, or {_ADVICE}"
            )
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        if not tables:
            database.executescript(_TABLES)
        return database
    except BaseException:
        database.close()
        raise


def _rename(state: Path) -> Path:
    """Rename a state file to STATE.broken-1, or with the next free number. Also rename the files that belong to it."""
    names = (f"{state}.broken-{number}" for number in count(1))
    aside = next(name for name in names if not any(os.path.lexists(f"{name}{suffix}") for suffix in _SUFFIXES))
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            os.rename(f"{state}{suffix}", f"{aside}{suffix}")
    return Path(aside)
