"""Connections that take turns wait for locks where SQLite waits, and fail immediately where SQLite does."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import get_ident
from types import SimpleNamespace

import pytest

from harness.appengine import turns
from harness.appengine.web2py.instance import TurnConnection

TIMEOUT = 0.2  # real seconds
TRIES = 3  # because a slow machine may take longer than TIMEOUT for a statement that fails immediately
CHANGE = "UPDATE t SET n = n + 1"
# What connection A and then connection B run without a conflict, and what B then wants to run. The word "rows" leaves a
# SELECT with a row that is not fetched.
SITUATIONS = {
    "a writer meets a writer": (["BEGIN", CHANGE], [], CHANGE),
    "a transaction without a lock meets a writer": (["BEGIN", CHANGE], ["BEGIN"], CHANGE),
    "a savepoint without a lock meets a writer": (["BEGIN", CHANGE], ["SAVEPOINT one"], CHANGE),
    "BEGIN IMMEDIATE meets a writer": (["BEGIN", CHANGE], [], "BEGIN IMMEDIATE"),
    "a reader in a transaction meets a writer": (["BEGIN", CHANGE], ["BEGIN", "SELECT * FROM t"], CHANGE),
    "a reader in a savepoint meets a writer": (["BEGIN", CHANGE], ["SAVEPOINT one", "SELECT * FROM t"], CHANGE),
    "an unfinished SELECT meets a writer": (["BEGIN", CHANGE], ["rows"], CHANGE),
    "a finished SELECT meets a writer": (["BEGIN", CHANGE], ["SELECT count(*) FROM t"], CHANGE),
    "a reader meets a committing writer": (["BEGIN EXCLUSIVE"], [], "SELECT * FROM t"),
    "a reader in a transaction meets a committing writer": (["BEGIN EXCLUSIVE"], ["BEGIN"], "SELECT * FROM t"),
    "a COMMIT meets a reader": (["rows"], ["BEGIN", CHANGE], "COMMIT"),
    "a COMMIT meets a reader in a transaction": (["BEGIN", "SELECT * FROM t"], ["BEGIN", CHANGE], "COMMIT"),
    "BEGIN EXCLUSIVE meets a reader": (["rows"], [], "BEGIN EXCLUSIVE"),
    "a second change meets a reader": (["rows"], ["BEGIN", CHANGE], CHANGE),
}


class PatientTurns:
    """Turns of a request whose locks are never released."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.thread = get_ident()

    def wait(self, until: float) -> None:
        self.elapsed = until

    def progress(self) -> None:
        """Nothing else waits."""


def use(connection: sqlite3.Connection, statements: list[str]) -> list[sqlite3.Cursor]:
    cursors = []
    for statement in statements:
        cursors.append(connection.cursor().execute("SELECT * FROM t" if statement == "rows" else statement))
        if statement != "rows":
            cursors[-1].fetchall()
    return cursors


def outcome(make: Callable[[Path], sqlite3.Connection], clock: Callable[[], float], situation: str, path: Path) -> str:
    """Return whether B's last statement succeeds, or fails immediately or after a wait."""
    before_a, before_b, last = SITUATIONS[situation]
    with closing(sqlite3.connect(path, isolation_level=None)) as a, closing(make(path)) as b:
        kept = [*use(a, before_a), *use(b, before_b)]
        begun = clock()
        try:
            use(b, [last])
        except sqlite3.OperationalError as error:
            assert error.sqlite_errorname == "SQLITE_BUSY", kept
            return "waits" if clock() - begun >= TIMEOUT else "fails immediately"
        return "succeeds"


@pytest.fixture(params=["DELETE", "MEMORY"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        connection.executescript("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);")
    return tmp_path / "db"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[PatientTurns]:
    monkeypatch.setattr(turns, "_active", PatientTurns())
    yield turns.active()


def turn_connection(path: Path) -> TurnConnection:
    connection = TurnConnection(path, timeout=0, isolation_level=None)
    connection.recorder = SimpleNamespace(records=lambda statement: False, acted=True)
    connection.patience = TIMEOUT
    return connection


@pytest.mark.row("T45")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_statement_waits_for_a_lock_where_sqlite_calls_its_busy_handler(situation, path, patient):
    ours = outcome(turn_connection, lambda: patient.elapsed, situation, path)
    tries = (
        outcome(
            lambda path: sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None), time.monotonic, situation, path
        )
        for _ in range(TRIES)
    )
    assert ours == "waits" or any(theirs == ours for theirs in tries)
    assert ours != "waits" or all(theirs == ours for theirs in tries)


def test_the_situations_have_all_three_outcomes(path, patient):
    found = {}
    for situation in SITUATIONS:
        patient.elapsed = 0.0  # a difference of two floats could be less than TIMEOUT
        found[situation] = outcome(turn_connection, lambda: patient.elapsed, situation, path)
    assert set(found.values()) == {"waits", "fails immediately", "succeeds"}
    assert [each for each, what in found.items() if what == "fails immediately"] == [
        "a reader in a transaction meets a writer",
        "a reader in a savepoint meets a writer",
        "an unfinished SELECT meets a writer",
    ]


class RealThread:
    """A thread with a connection of its own, which waits for locks for up to a minute."""

    def __init__(self, path: Path) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._connection = self._pool.submit(sqlite3.connect, path, timeout=60.0, isolation_level=None).result()

    def start(self, statement: str) -> Future[list[tuple[int]]]:
        return self._pool.submit(lambda: self._connection.execute(statement).fetchall())

    def run(self, statement: str) -> list[tuple[int]]:
        return self.start(statement).result()

    def end(self) -> None:
        self._pool.submit(self._connection.close).result()
        self._pool.shutdown()


@pytest.fixture
def threads(path: Path) -> Iterator[list[RealThread]]:
    both = [RealThread(path), RealThread(path)]
    yield both
    for each in both:
        each.end()


def test_two_real_threads_lose_an_update_as_two_requests_in_turn_do(threads):
    one, two = threads
    number = one.run("SELECT max(n) FROM t")[0][0]
    assert two.run("SELECT max(n) FROM t")[0][0] == number
    one.run("BEGIN")
    one.run(f"UPDATE t SET n = {number + 1}")
    waiting = two.start(f"UPDATE t SET n = {number + 1}")
    one.run("COMMIT")
    waiting.result()
    assert one.run("SELECT max(n) FROM t") == [(number + 1,)]


def test_of_two_real_threads_that_read_and_then_write_one_fails_and_the_other_commits(threads):
    one, two = threads
    for each in threads:
        each.run("BEGIN")
        each.run("SELECT n FROM t")
    one.run(CHANGE)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        two.run(CHANGE)
    committing = one.start("COMMIT")
    two.run("ROLLBACK")
    committing.result()
    assert two.run("SELECT max(n) FROM t") == [(3,)]


def test_an_abandoned_connection_releases_its_locks_though_a_cursor_exists(path, patient):
    abandoned = turn_connection(path)
    kept = use(abandoned, ["rows", "BEGIN", CHANGE])
    abandoned.abandon()
    with closing(sqlite3.connect(path, timeout=0)) as other:
        assert other.execute("SELECT n FROM t").fetchall() == [(1,), (2,)]
        other.execute(CHANGE)
        other.commit()
    assert len(kept) == 3
    with suppress(sqlite3.ProgrammingError):
        abandoned.abandon()


def test_a_connection_takes_no_turns_outside_of_a_request(path):
    with closing(turn_connection(path)) as connection:
        use(connection, ["BEGIN", CHANGE])
        connection.commit()
        assert connection.execute("SELECT max(n) FROM t").fetchone() == (3,)
