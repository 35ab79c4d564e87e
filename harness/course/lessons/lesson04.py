"""The checks of lesson 04, When a task fails. Their texts are in lesson04.toml."""

from collections.abc import Sequence

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import REFUSES_ONCE, by_text, own_instance, step_without_slip
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Outcome, Overlap

_LONG = 30  # attempts; an answer that needs more has no limit
# A model after which every statement is permanent immediately, and a rollback does nothing, as on Firestore (W03).
_NO_TRANSACTIONS = "db._adapter.connection.isolation_level = None\n"
_ORDERS = ("12", "1122", "112")  # in which two deliveries take turns
_NO_INSTANCE = "def post():\n    raise HTTP(500)\n"  # stands in for App Engine when no instance takes the request


def _attempts(trial: Trial, most: int, *, may_fail: bool = True) -> list[Attempt]:
    """Run attempts until the queue is empty, but at most `most`."""
    made: list[Attempt] = []
    while trial.lab.tasks() and len(made) < most:
        made.append(trial.step(may_fail=may_fail))
    return made


def _statuses(attempts: list[Attempt]) -> str:
    shown = ", ".join(str(attempt.status) for attempt in attempts[:8])
    return f"{shown}, and so on" if len(attempts) > 8 else shown or "none"


def _three_tries(trial: Trial, _: Scenario) -> None:
    trial.get("ex4_1/ask", day="never")
    trial.expect_address(trial.one_task(missing="not-queued"), "fetch")
    attempts = _attempts(trial, _LONG)
    if attempts[0].response.hint:
        trial.succeed(attempts[0], "wrong-address")
    key = {1: "no-retry", 2: "one-retry"}.get(len(attempts), "off-by-one")
    if trial.lab.tasks():
        key = "no-limit"
    elif "age" in attempts[-1].note:
        key = "age-too"
    elif attempts[-1].ok:
        key = "no-values"
    happened = f"{len(attempts)} attempts, with statuses {_statuses(attempts)}"
    happened += ", and the task still waits" if trial.lab.tasks() else ""
    trial.expect(len(attempts) == 3, key, happened, "3 attempts, after which the task is dropped")
    happened = f"the third attempt ended with {attempts[-1].status} ({attempts[-1].outcome})"
    expected = "a third attempt that also fails, after which the task is dropped"
    trial.expect(attempts[-1].outcome is Outcome.DROPPED, "ends-itself", happened, expected)
    trial.get("ex4_1/ask", day="Tuesday")
    attempts = _attempts(trial, _LONG)
    rows = trial.rows("tide", "day")
    happened = f"the office recovered; {quantity(len(attempts), 'attempt')} left the rows {rows}"
    is_right = len(attempts) == 2 and rows == [("Tuesday",)]
    fixed = "fixed-day" if len(attempts) != 2 else None
    trial.expect(is_right, fixed, happened, "2 attempts, and the row ('Tuesday',)")


def _idempotent(trial: Trial, _: Scenario) -> None:
    with trial.again(duplicates=1.0) as unlucky, own_instance(unlucky):
        expected = [("r1", "5"), ("r2", "5")]
        for number, stars in expected:
            unlucky.lab.get("ex4_2/rate", number=number, stars=stars)
        attempts = _attempts(unlucky, 8, may_fail=False)
        unlucky.called = "two ratings, each of whose tasks is delivered twice"
        for attempt in attempts:
            unlucky.expect_ok(attempt.response, "second-fails", "one of two deliveries ended with")
        rows = _ratings(unlucky)
        key = "twice" if len(rows) > len(set(rows)) else "too-few" if rows else "no-row"
        unlucky.expect_equal(by_text(rows), by_text(expected), key, "the table contains")
    with own_instance(trial):
        _rate_once_more(trial)
        _rate_once_more(trial, "remembers-names", "the same rating was queued again, in a new task")
    _rate_once_more(trial, "own-memory", "the same rating was queued again, and another instance ran its task")
    for order in _ORDERS:
        with trial.again() as other:
            _rate_together(other, order)
    with trial.again() as refusing:
        refusing.lab.write("models/z_refusing.py", REFUSES_ONCE.format(table="rating"))
        refusing.get("ex4_2/rate", number="r9", stars="2")
        _attempts(refusing, 4)
        refusing.called = "a rating whose first insert fails, because the database is locked"
        refusing.expect_equal(_ratings(refusing), [("r9", "2")], "swallowed", "after all attempts, the table contains")


def _ratings(trial: Trial) -> Rows:
    return trial.rows("rating", "number", "stars")


def _rate_once_more(trial: Trial, mistake: str | None = None, what: str = "a rating was queued") -> None:
    trial.get("ex4_2/rate", number="r7", stars="3")
    for attempt in _attempts(trial, 2):
        ticket = attempt.response.ticket
        if ticket is not None and (mistake is None or ticket.exception != "IntegrityError"):
            trial.failed(ticket)
        happened = f"{what}; the worker ended with {attempt.status} {ticket.exception if ticket else ''}".rstrip()
        trial.expect(attempt.ok, mistake or "second-fails", happened, "a status of 200 to 299")
    trial.expect_equal(_ratings(trial), [("r7", "3")], mistake, f"{what}; the table contains")


def _rate_together(trial: Trial, order: str) -> None:
    """Deliver a task twice at the same time, on two instances that take turns in this order."""
    trial.get("ex4_2/rate", number="r3", stars="4")
    task = trial.one_task(missing=None)
    both = trial.lab.overlap(task, task, order=order)
    trial.called = "two deliveries of one task at the same time, on two instances"
    deliveries = [each for each in (both.first, both.second) if isinstance(each, Attempt)]
    for ticket in (each.response.ticket for each in deliveries):
        refused = ticket is not None and ticket.exception == "IntegrityError"
        happened = f"both ran {_statements(both)}; the second row was refused with an IntegrityError"
        trial.expect(not refused, "looks-first", happened, "a status of 200 to 299 for both deliveries")
        if ticket is not None and ticket.exception != "OperationalError":  # the database may be locked
            trial.failed(ticket)
    trial.run()
    trial.expect_equal(_ratings(trial), [("r3", "4")], "looks-first", "two deliveries overlapped; the table contains")


def _statements(both: Overlap) -> str:
    return ", ".join(f"{turn.statement.split(' ')[0]} ({turn.request})" for turn in both.turns[:6])


def _no_rows(trial: Trial, _: Scenario) -> None:
    for pages in ("8", "16"):
        _order_pages(trial, pages, "committed", "")
    with trial.again() as other:
        other.lab.write("models/no_transactions.py", _NO_TRANSACTIONS)
        _order_pages(other, "24", "needs-rollback", "on a database that can't roll back, ")


def _order_pages(trial: Trial, pages: str, mistake: str, where: str) -> None:
    """Order pages of an office that is busy twice; `mistake` means that a failed attempt left a row."""
    done = _orders(trial)
    trial.get("ex4_3/order", pages=pages)
    for number in (1, 2):
        attempt = step_without_slip(trial)
        happened = f"attempt {number} took {attempt.elapsed:g} s"
        expected = "an immediate failure, because the queue waits before the next attempt"
        trial.expect(attempt.elapsed < 60, "waits", happened, expected)
        happened = f"the office was busy, but attempt {number} succeeded with {attempt.status}"
        expected = "a failure, so that the queue tries again"
        trial.expect(attempt.outcome is Outcome.RETRY, "swallowed", happened, expected)
        happened = f"{where}attempt {number} failed with {attempt.status} and left"
        trial.expect_equal(_orders(trial)[len(done) :], [], mistake, happened)
    trial.succeed(trial.step(), None)
    found = f"{where}the office responded at the third attempt; the table contains"
    trial.expect_equal(_orders(trial)[len(done) :], [(pages,)], "not-ordered", found)


def _orders(trial: Trial) -> Rows:
    return trial.rows("print_order", "pages")


def _dead_letter(trial: Trial, _: Scenario) -> None:
    trial.get("ex4_4/send", letter="lost")
    attempts = _attempts(trial, _LONG)
    _expect_no_slip(trial, attempts)
    rows = _dead_letters(trial)
    key = "too-early" if len(attempts) < 4 else "too-late" if len(attempts) > 4 else "no-letter"
    if attempts[-1].outcome is Outcome.DROPPED:
        key = "dropped"
    elif len(rows) > 1:
        key = "every-time"
    elif any("the view" in attempt.response.hint for attempt in attempts):
        key = "dict-without-view"
    elif len(attempts) == _LONG:
        key = "never-stops"
    happened = f"attempts with statuses {_statuses(attempts)}; dead_letter contains {rows[:4]}"
    expected = "four attempts, the last with status 200, and one row"
    trial.expect(len(attempts) == 4 and len(rows) == 1, key, happened, expected)
    trial.expect_equal(rows, [("lost", 4)], "wrong-row", "dead_letter contains")
    _deliver_late(trial)
    with trial.again() as other:
        _skip_an_attempt(other)


def _deliver_late(trial: Trial) -> None:
    trial.get("ex4_4/send", letter="late")
    attempts = _attempts(trial, _LONG)
    rows = _dead_letters(trial)
    made = quantity(len(attempts), "attempt")
    happened = f"the fourth attempt can deliver the letter; the queue made {made}, and dead_letter contains {rows[:4]}"
    expected = "four attempts, and no new row in dead_letter"
    key = "living-letter" if len(attempts) < 4 else "never-tries"
    trial.expect(len(attempts) == 4 and len(rows) == 1, key, happened, expected)


def _skip_an_attempt(trial: Trial) -> None:
    """Let the fourth attempt of a letter fail before it reaches the worker."""
    trial.get("ex4_4/send", letter="lost")
    _attempts(trial, 3)
    trial.lab.write("controllers/ex4_4.py", _NO_INSTANCE)
    _attempts(trial, 1)
    trial.install()
    attempts = _attempts(trial, 4)
    _expect_no_slip(trial, attempts)
    letters = [letter for letter, _ in _dead_letters(trial)]
    happened = "the fourth attempt didn't reach the worker, because no instance was free; "
    happened += f"the next attempts ended with {_statuses(attempts)}; dead_letter contains {letters}"
    expected = "the fifth attempt gives up, with status 200 and one row"
    trial.expect(len(attempts) == 1 and letters == ["lost"], "exactly", happened, expected)


def _expect_no_slip(trial: Trial, attempts: Sequence[Attempt]) -> None:
    """Require that no attempt ended with an exception other than that of the failed delivery."""
    tickets = [attempt.response.ticket for attempt in attempts]
    strange = [ticket for ticket in tickets if ticket is not None and ticket.exception != "RuntimeError"]
    if strange:
        trial.failed(strange[0])


def _dead_letters(trial: Trial) -> Rows:
    return trial.rows("dead_letter", "letter", "attempts")


def _headers(trial: Trial, _: Scenario) -> None:
    for times in (3, 3, 2):
        done = len(_log(trial))
        trial.get("ex4_5/wake", times=times)
        task = trial.one_task(missing=None)
        _attempts(trial, times, may_fail=False)
        rows: Rows = _log(trial)[done:]
        expected: Rows = [(task.name, str(number)) for number in range(1, times + 1)]
        trial.expect_equal(rows, expected, _misread(rows, expected, done), "these rows were logged:")


def _log(trial: Trial) -> Rows:
    return trial.rows("attempt_log", "task", "number")


def _misread(rows: Rows, expected: Rows, done: int) -> str | None:
    """Return the mistake in a log to which earlier tasks added `done` rows."""
    name = expected[0][0]
    if len(rows) < len(expected):
        return "no-row"
    if rows == [(name, str(number)) for number in range(len(expected))]:
        return "from-zero"
    if done and rows == [(name, str(done + int(number))) for _, number in expected]:
        return "counts-rows"
    if rows == [(number, name) for name, number in expected]:
        return "swapped"
    names = {task for task, _ in rows}
    if names == {None}:
        return "no-name"
    if names != {name}:
        return "wrong-name"
    return "same-number" if len({new for _, new in rows}) == 1 else None


RUNS = {
    "4.1": (_three_tries, (Scenario(),)),
    "4.2": (_idempotent, (Scenario(),)),
    "4.3": (_no_rows, (Scenario(),)),
    "4.4": (_dead_letter, (Scenario(),)),
    "4.5": (_headers, (Scenario(),)),
}
