"""One of several requests that run in turn, each as on an App Engine instance of its own.

Two instances share the database. Each has its own connection, and SQLite's own locks decide what each may do
(https://sqlite.org/lockingv3.html). SQLite treats two connections of one process like those of two processes
(https://sqlite.org/isolation.html). So a statement fails with "database is locked" where it would fail between two.

Only waiting for a lock differs. If a lock is taken, SQLite calls its busy handler, which Python's `timeout` sets, and
which blocks the thread. Here the thread must run the other request instead. So the real timeout is 0, and a statement
that would wait is repeated after each event of the other request, until the timeout has passed in virtual time. SQLite
doesn't call the busy handler if a connection that reads wants to write while another one writes, because waiting would
be a deadlock (https://sqlite.org/c3ref/busy_handler.html). Such a statement fails immediately, here too.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakSet

from harness.appengine.turns import Turns, active, turn
from harness.appengine.web2py.instrumentation import RequestRecorder, Watched, watch
from harness.appengine.web2py.process_state import Output
from harness.records import Request, Response

T = TypeVar("T")
_TIMEOUT = 5.0  # seconds that Python's sqlite3 waits for a lock by default
_PROBE = "harness_probe"
_NO_LOCK = ("BEGIN", "SAVEPOINT")  # statements that begin a transaction without a lock
_ENDS = ("COMMIT", "END", "ROLLBACK")  # statements that may end a transaction


class TurnConnection(sqlite3.Connection):
    """A connection whose statements are events of its request.

    The statements of models and of pydal itself are not. `recorder` records the request. `patience` is the virtual
    seconds that a statement waits for a lock.
    """

    recorder: RequestRecorder
    patience: float

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        self._has_lock = False  # whether the open transaction has read or written
        self.create_function(_PROBE, 0, int)

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor whose statements are events."""
        cursor = super().cursor(factory or TurnCursor)
        self._cursors.add(cursor)
        return cursor

    def commit(self) -> None:
        """Commit; an event if there is a transaction."""
        if self.in_transaction:
            self.run("COMMIT", super().commit, self.recorder.acted)

    def rollback(self) -> None:
        """Roll back; an event if there is a transaction."""
        if self.in_transaction:
            self.run("ROLLBACK", super().rollback, self.recorder.acted)

    def abandon(self) -> None:
        """Roll back and close, as the system does if the process ends.

        Python's `close` alone would keep the transaction open as long as a cursor exists.
        """
        with suppress(sqlite3.ProgrammingError):  # it is closed already
            super().rollback()
            for cursor in self._cursors:
                cursor.close()
            self.close()

    def run(self, statement: str, action: Callable[[], T], is_event: bool, record: bool = False) -> T:
        """Call `action`, which runs a statement, and wait for locks as SQLite's busy handler does.

        Args:
            statement: the SQL.
            action: runs it.
            is_event: wait until it is the statement's turn.
            record: record the statement as one of the action's.
        """
        turns = active()
        if turns is None:
            return action()
        if not is_event:
            try:
                return self._wait_and_run(turns, statement, action)
            finally:
                turns.progress()
        with turn(statement):
            if record:
                self.recorder.record_sql(statement)
            return self._wait_and_run(turns, statement, action)

    def _wait_and_run(self, turns: Turns, statement: str, action: Callable[[], T]) -> T:
        takes_no_lock, ends = (statement.lstrip().upper().startswith(words) for words in (_NO_LOCK, _ENDS))
        until = turns.elapsed + self.patience
        while True:
            busy = False
            try:
                return action()
            except sqlite3.OperationalError as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or not (ends or self._may_wait()) or turns.elapsed >= until:
                    raise
                turns.wait(until)
            finally:
                self._has_lock = self.in_transaction and (self._has_lock or not (busy or takes_no_lock))

    def _may_wait(self) -> bool:
        """Return whether SQLite calls its busy handler: the connection holds no lock yet.

        It holds one in a transaction that has read, and while a SELECT has rows left (sqlite3BtreeBeginTrans in
        SQLite's btree.c). Python's API doesn't show the second case. But SQLite refuses to replace a function while a
        statement runs.
        """
        if self._has_lock and self.in_transaction:
            return False
        try:
            self.create_function(_PROBE, 0, int)
        except sqlite3.OperationalError:
            return False
        return True


class TurnCursor(sqlite3.Cursor):
    """A cursor of a TurnConnection."""

    connection: TurnConnection

    def execute(self, sql: str, *parameters: Any) -> Any:
        """Run a statement in its turn."""
        return self._run(sql, lambda: super(TurnCursor, self).execute(sql, *parameters))

    def executemany(self, sql: str, *parameters: Any) -> Any:
        """Run a statement several times, in one turn."""
        return self._run(sql, lambda: super(TurnCursor, self).executemany(sql, *parameters))

    def _run(self, sql: str, action: Callable[[], Any]) -> Any:
        is_event = self.connection.recorder.records(sql)
        return self.connection.run(sql, action, is_event, record=is_event)


class Instance:
    """What belongs to one request while several requests take turns.

    Args:
        recorder: records the request.
        shared: the data that web2py and pydal keep for the thread.
        own: what `shared` contains when the request starts.
    """

    def __init__(self, recorder: RequestRecorder, shared: list[dict[str, Any]], own: list[dict[str, Any]]) -> None:
        self.recorder = recorder
        self._output = Output()
        self._streams: tuple[Any, Any] = self._output, self._output
        self._connections: list[TurnConnection] = []
        self._shared = shared
        self._own = own
        recorder.connect = self._connect

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the request run in this scope: web2py and pydal find their thread's data of this request."""
        outer = [each.copy() for each in self._shared], sys.stdout, sys.stderr
        self._exchange(self._own)
        sys.stdout, sys.stderr = self._streams
        watch(self.recorder)
        try:
            yield
        finally:
            self._own = [each.copy() for each in self._shared]
            self._streams = sys.stdout, sys.stderr  # a handler may have redirected them
            self._exchange(outer[0])
            _, sys.stdout, sys.stderr = outer

    def discard(self) -> None:
        """Close what the system closes when an instance is killed: connections, which rolls back, and files."""
        self.close()
        for each in self._shared:
            with suppress(KeyError, AttributeError):  # `current.response` exists if the request opened a session
                each["response"].session_file.close()
            each.clear()

    def close(self) -> None:
        """Close the connections that the request left open."""
        for connection in self._connections:
            connection.abandon()

    def complete(self, response: Response) -> Response:
        """Return the response with what was recorded."""
        return self.recorder.complete(response, self._output.text)

    def _connect(self, adapter: Any) -> TurnConnection:
        connection = TurnConnection(adapter.dbpath, **{**adapter.driver_args, "timeout": 0})
        connection.patience = adapter.driver_args.get("timeout", _TIMEOUT)
        connection.recorder = self.recorder
        self._connections.append(connection)
        return connection

    def _exchange(self, values: list[dict[str, Any]]) -> None:
        for shared, value in zip(self._shared, values, strict=True):
            shared.clear()
            shared.update(value)


class SharedSite:
    """A site whose requests take turns.

    Args:
        gluon: web2py.
        make_recorder: makes the recorder of a request.
        answer: sends a request through web2py, with its recorder.
    """

    def __init__(
        self,
        gluon: ModuleType,
        make_recorder: Callable[[Request], RequestRecorder],
        answer: Callable[[Request, RequestRecorder], Response],
    ) -> None:
        self._gluon = gluon
        self._make_recorder = make_recorder
        self._answer = answer
        self._instances: list[Instance] = []
        self._shared: list[dict[str, Any]] = []
        self._base: list[dict[str, Any]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let the recorders of the instances record in this scope; close their connections at its end."""
        from pydal._globals import THREAD_LOCAL

        of_thread = (THREAD_LOCAL, self._gluon.globals.current, self._gluon.rewrite.THREAD_LOCAL)
        self._shared = [vars(each) for each in of_thread]
        self._base = [each.copy() for each in self._shared]
        with Watched(self._gluon):
            try:
                yield
            finally:
                for instance in self._instances:
                    instance.close()

    def instance(self, request: Request) -> Instance:
        """Return an instance for a request."""
        own = [each.copy() for each in self._base]
        self._instances.append(Instance(self._make_recorder(request), self._shared, own))
        return self._instances[-1]

    def answer(self, request: Request, instance: Instance) -> Response:
        """Send a request through web2py, inside its instance."""
        return self._answer(request, instance.recorder)
