"""The checks of lesson 04, When a task fails. Their texts are in lesson04.toml, and their rows in scenarios04.py."""

from collections.abc import Mapping

from harness.course.checks.expectations import by_text, leaves_unset, let_pass
from harness.course.checks.letters04 import run_letters, run_wakes
from harness.course.scenarios.scenarios04 import ASKS, LETTERS, ORDERS, RATINGS, WAKES, Asks, NumberedRatings, Orders
from harness.course.scenarios.work04 import (
    Leave,
    add_task,
    add_tasks,
    added_by,
    first_instance,
    is_changed,
    is_form_of,
    of_task,
    replace_body,
    run,
    statuses,
    step,
)
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Outcome, Overlap, TaskInfo

_LIMIT = 3  # attempts that 4.1 asks for
_MOST = 8  # attempts of a task; an answer that needs more has no limit
_TEN_DAYS = 10 * 86_400 + 0.5  # seconds
_OTHER_PAGE = """
def second():
    db.rating.insert(number=request.vars['number'], stars=request.vars['stars'])
"""


# 4.1 Three tries, then stop


def _run_asks(trial: Trial, row: Asks) -> None:
    with first_instance(trial, row) as leave:
        tasks: list[TaskInfo] = []
        for day in row.days:
            tasks.append(add_task(trial, row, "ex4_1/ask", _tides, day=day))
            if not row.together:
                _expect_tries(trial, row, leave, tasks[-1:], (day,))
        if row.together:
            _expect_tries(trial, row, leave, tasks, row.days)
    if row.has_other_task:
        _expect_fetch(trial, row)


def _tides(trial: Trial) -> Rows:
    return trial.rows("tide", "day")


def _expect_tries(trial: Trial, row: Asks, leave: Leave, tasks: list[TaskInfo], days: tuple[str, ...]) -> None:
    done = len(_tides(trial))
    attempts = run(trial, row, leave, _MOST * len(tasks))
    for task, day in zip(tasks, days, strict=True):
        _expect_limit(trial, task, day, of_task(attempts, task))
    rows: Rows = _tides(trial)[done:]
    made = [of_task(attempts, task) for task in tasks]
    expected: Rows = [(day,) for day, each in zip(days, made, strict=True) if _recovers(day, each) <= _LIMIT]
    key = _why_rows(rows, expected, row.days)
    trial.expect_equal(by_text(rows), by_text(expected), key, "the new rows of tide are")


def _expect_limit(trial: Trial, task: TaskInfo, day: str, made: list[Attempt]) -> None:
    trial.expect_address(task, "fetch")
    if made[0].response.hint:
        trial.succeed(made[0], "wrong-address")
    waits = any(each.identity == task.identity for each in trial.lab.tasks())
    happened = f"the task for {day!r} got {quantity(len(made), 'attempt')}, with statuses {statuses(made)}"
    happened += ", and still waits" if waits else f"; its last outcome is “{made[-1].outcome}”"
    first = _recovers(day, made)
    if first > _LIMIT:
        expected = "three attempts that fail, after which the queue drops the task"
        right = len(made) == _LIMIT and made[-1].outcome is Outcome.DROPPED
    else:
        expected = f"{first} attempts, of which the last one succeeds"
        right = len(made) == first and made[-1].ok
    trial.expect(right, _why_tries(trial, task, day, made), happened, expected)


def _recovers(day: str, made: list[Attempt]) -> int:
    """Return the number of the first attempt in which `fetch` succeeds, if no attempt is missing."""
    able = [each.task.retries + 1 for each in made if not each.response.killed and each.task.retries > 0]
    return _MOST if day == "never" else min(able, default=_MOST)


def _why_tries(trial: Trial, task: TaskInfo, day: str, made: list[Attempt]) -> str | None:
    """Return the mistake by which a task got another number of attempts, or another end."""
    route, retry = made[0].response.route, trial.lab._engine.task(task.name, task.queue).retry
    got = route.vars.get("day") if route else None
    if route is not None and route.function != "fetch":
        return "wrong-worker"
    if route is not None and got != day:
        return "no-values" if got is None else "changed-day" if is_form_of(got, day) else "fixed-day"
    if is_changed(trial, "controllers/ex4_1.py", "fetch"):
        return "changed-fetch"
    if retry is not None and retry.task_age_limit is not None:
        return "age-too"
    if retry is None or retry.task_retry_limit is None:
        return "some-limits" if trial.situation else "no-options" if retry is None else "no-limit"
    if retry.task_retry_limit == 0:
        return "no-retry"
    if retry.task_retry_limit == 1:
        return "one-retry"
    return None if retry.task_retry_limit == _LIMIT - 1 else "off-by-one"


def _why_rows(rows: Rows, expected: Rows, days: tuple[str, ...]) -> str | None:
    strange = [day for (day,) in rows if (day,) not in expected]
    if not strange:
        return "other-day" if len(set(rows)) < len(rows) == len(expected) else None
    if strange[0] is None:
        return "no-values"
    lost = [day for (day,) in expected if (day,) not in rows]
    is_form = strange[0] not in days and any(is_form_of(strange[0], day) for day in lost)
    return "changed-day" if is_form else "other-day"


def _expect_fetch(trial: Trial, row: Asks) -> None:
    """Require that `fetch` itself never ends the task of a day for which the office doesn't respond."""
    from google.appengine.api import taskqueue

    taskqueue.add(url="/tutorial/ex4_1/fetch", params={"day": "never"})
    made = run(trial, row, lambda: None, 5)
    trial.called = "a task for /tutorial/ex4_1/fetch with day='never' and no limit"
    happened = f"its attempts ended with {statuses(made)}"
    right = len(made) == 5 and made[-1].outcome is Outcome.RETRY
    trial.expect(right, "changed-fetch", happened, "each attempt fails, because fetch is as it was")


# 4.2 Make it idempotent


def _run_ratings(trial: Trial, row: NumberedRatings) -> None:
    tasks: dict[tuple[str, str, object], str] = {}
    with first_instance(trial, row) as leave:
        for index, (number, stars) in enumerate(row.ratings):
            if index == row.late:
                let_pass(trial, _TEN_DAYS)
            if number in tasks.values():  # a name that is made of the number may refuse a second task
                new = add_tasks(trial, row, "ex4_2/rate", _ratings, number=number, stars=stars)
            else:
                new = [add_task(trial, row, "ex4_2/rate", _ratings, number=number, stars=stars)]
            tasks |= {task.identity: number for task in new}
            if row.orders and row.orders[index]:
                _overlap(trial, new[0], row.orders[index])
            if not row.together or (row.is_first_alone and not index):
                _deliver(trial, row, leave, tasks, index, row.dies_after[index] if row.dies_after else ())
        _deliver(trial, row, leave, tasks, len(row.ratings) - 1)
    _expect_ratings(trial, row, tasks)
    if row.has_second_row:
        _expect_unique(trial, *row.ratings[0])


def _ratings(trial: Trial) -> Rows:
    return [(number or "", stars or "") for number, stars in trial.rows("rating", "number", "stars")]


def _deliver(
    trial: Trial,
    row: NumberedRatings,
    leave: Leave,
    tasks: dict[tuple[str, str, object], str],
    index: int,
    dies_after: tuple[int, ...] = (),
) -> None:
    """Run attempts until the queue is empty; each must succeed if it can. The last rating sent has this index."""
    kills = list(dies_after)
    done = {tasks.get(attempt.task.identity) for attempt in trial.lab.attempts if attempt.ok}
    for _ in range(4 * len(row.ratings)):
        if not trial.lab.tasks():
            return
        attempt = step(trial, row, leave, kills.pop(0) if kills else None)
        number, ticket = tasks.get(attempt.task.identity), attempt.response.ticket
        done |= {number} if attempt.ok else set()
        if attempt.ok or attempt.response.killed or (number in row.refused and attempt.task.retries == 0):
            continue
        happened = f"the rating {number!r} was stored; another delivery of it ended with {attempt.status}"
        happened += f" {ticket.exception}: {ticket.message}" if ticket is not None else ""
        is_stored = number in [each for each, _ in _ratings(trial)] and (ticket is not None or number in done)
        if is_stored and ticket is not None and ticket.exception == "SyntaxError":  # of a query without a table
            trial.failed(ticket)
        key = _why_failed(attempt)
        if row.late is not None:  # each new task for the rating differs in one thing
            key = "own-memory" if index > row.late else "expires" if index == row.late else "by-task"
        trial.expect(not is_stored, key, happened, "a status of 200 to 299")
        if ticket is not None:
            is_double = sum(each.startswith('INSERT INTO "rating"') for each in attempt.response.sql) > 1
            is_double = is_double and ticket.exception == "IntegrityError"
            happened = f"the attempt inserted two rows: {ticket.message}"
            trial.expect(not is_double, "inserts-twice", happened, "one insert for each rating")
            strange = [each for each in _ratings(trial) if each not in row.ratings]
            happened = f"the table contains {strange}, and the next insert failed: {ticket.message}"
            is_refused = ticket.exception == "IntegrityError" and strange
            is_form = any(all(map(is_form_of, strange[0], each)) for each in row.ratings) if strange else False
            key = "changed-values" if is_form else "other-values"
            key = "exchanged" if strange and strange[0][::-1] in row.ratings else key
            trial.expect(not is_refused, key, happened, f"rows from {list(row.ratings)}")
            trial.failed(ticket)
        trial.succeed(attempt)


def _why_failed(attempt: Attempt) -> str:
    """Return the mistake by which a later delivery of a stored rating failed."""
    ticket = attempt.response.ticket
    if ticket is None or ticket.exception != "IntegrityError":
        return "raises-own"
    kinds = [each.partition(" ")[0] for each in attempt.response.sql]
    if "SELECT" not in kinds:
        return "second-fails"
    return "looks-past" if kinds.index("SELECT") < kinds.index("INSERT") else "raises-anyway"


def _expect_ratings(trial: Trial, row: NumberedRatings, tasks: Mapping[tuple[str, str, object], str]) -> None:
    rows, first = _ratings(trial), {number: (number, stars) for number, stars in reversed(row.ratings)}
    expected = [each if each in row.ratings else first[each[0]] for each in rows if each[0] in first]
    expected = list(dict.fromkeys(expected)) + [first[number] for number in first if number not in dict(expected)]
    lost = [number for number, _ in row.ratings if number not in dict(rows)]
    key = _why_ratings(trial, rows, expected) or (_why_lost(trial, row, tasks, lost) if lost else None)
    trial.expect_equal(by_text(rows), by_text(expected), key, "after all attempts, the table contains")


def _why_lost(trial: Trial, row: NumberedRatings, tasks: Mapping[tuple[str, str, object], str], lost: list[str]) -> str:
    """Return the mistake by which ratings are missing, although no attempt failed at last."""
    if not row.what:
        kinds = {each.partition(" ")[0] for attempt in trial.lab.attempts for each in attempt.response.sql}
        return "undone" if "INSERT" in kinds else "only-updates" if "UPDATE" in kinds else "no-row"
    mine = [attempt for attempt in trial.lab.attempts if tasks.get(attempt.task.identity) == lost[0]]
    if any(not attempt.ok for attempt in mine):
        return "marked-first"
    if not all(attempt.response.header("X-Locked") for attempt in mine):  # it didn't try to insert a row
        return "too-few"
    return "swallowed" if row.ratings[0][0] in lost else "similar-row"  # the table was empty before the first one


def _why_ratings(trial: Trial, rows: Rows, expected: Rows) -> str | None:
    """Return the mistake that the rows themselves show; None if a rating is missing."""
    numbers = [number for number, _ in rows if number]  # a unique index accepts several rows without a number
    if len(numbers) > len(set(numbers)):
        return "twice"
    strange = [each for each in rows if each not in expected]
    if not strange:
        return None
    inserted = [attempt.response for attempt in trial.lab.attempts]
    if any(leaves_unset(each, "rating", field) for each in inserted for field in ("number", "stars")):
        return "unset"
    lost = [each for each in expected if each not in rows]
    if any(all(map(is_form_of, strange[0], each)) for each in lost):
        return "changed-values" if len(lost) <= len(strange) else "too-few"
    return "mixed-up" if len(expected) > 1 else "other-values"


def _overlap(trial: Trial, task: TaskInfo, order: str) -> None:
    """Deliver a task twice at the same time, on two instances that take turns in this order."""
    both = trial.lab.overlap(task, task, order=order)
    trial.called = "lab.overlap(task, task)"
    deliveries = [each for each in (both.first, both.second) if isinstance(each, Attempt)]
    for ticket in (each.response.ticket for each in deliveries):
        refused = ticket is not None and ticket.exception == "IntegrityError"
        happened = f"both ran {_statements(both)}; the second row was refused with an IntegrityError"
        looked = any(turn.statement.startswith("SELECT") for turn in both.turns)
        key = "looks-first" if looked else "second-fails"
        trial.expect(not refused, key, happened, "a status of 200 to 299 for both deliveries")
        if ticket is not None and ticket.exception != "OperationalError":  # the database may be locked
            trial.failed(ticket)


def _statements(both: Overlap) -> str:
    return ", ".join(f"{turn.statement.split(' ')[0]} ({turn.request})" for turn in both.turns[:6])


def _expect_unique(trial: Trial, number: str, stars: str) -> None:
    """Require that the database itself refuses a second row."""
    trial.lab.write("controllers/other_page.py", _OTHER_PAGE)
    trial.called = "another page: db.rating.insert(...) for the same number"
    ticket = trial.lab.get("other_page/second", number=number, stars=stars).ticket
    happened = f"the table now contains {_ratings(trial)}"
    trial.expect(ticket is not None, "twice", happened, "the database refuses the row with an IntegrityError")


# 4.3 Fail without leaving rows


def _run_orders(trial: Trial, row: Orders) -> None:
    is_theirs = is_changed(trial, "controllers/ex4_3.py", "office_is_busy")
    if row.busy is not None:
        body = f"return int(request.env.http_x_appengine_taskretrycount) < {row.busy}"
        replace_body(trial, "controllers/ex4_3.py", "office_is_busy", body, "changed-office")
    with first_instance(trial, row) as leave:
        tasks: list[TaskInfo] = []
        for pages in row.pages:
            tasks.append(add_task(trial, row, "ex4_3/order", _orders, pages=pages))
            if not row.together:
                _print(trial, row, leave, tasks[-1:], (pages,), is_theirs)
        if row.together:
            _print(trial, row, leave, tasks, row.pages, is_theirs)


def _orders(trial: Trial) -> Rows:
    return [(pages or "",) for (pages,) in trial.rows("print_order", "pages")]


def _print(
    trial: Trial, row: Orders, leave: Leave, tasks: list[TaskInfo], pages: tuple[str, ...], is_theirs: bool
) -> None:
    """Run all attempts of these tasks, and look at the table after each one.

    `is_theirs` is whether the learner has changed `office_is_busy`.
    """
    before = _orders(trial)
    ordered: Rows = []
    for _ in range(len(tasks) * ((2 if row.busy is None else row.busy) + len(row.deaths) + 1)):
        if not trial.lab.tasks():
            break
        attempt = step(trial, row, leave)
        number = attempt.task.retries + 1
        is_busy = number <= (2 if row.busy is None else row.busy)
        if is_busy:
            _expect_failure(trial, row, attempt, before + ordered, is_theirs)
        elif attempt.response.killed:
            _expect_no_new_row(trial, attempt, before + ordered, "early-commit", "its instance was shut down")
        else:
            _expect_success(trial, row, attempt, is_theirs)
            mine = [each for task, each in zip(tasks, pages, strict=True) if task.identity == attempt.task.identity]
            ordered += [(each,) for each in mine]
            _expect_order(trial, row, attempt, before, ordered)
    waiting = trial.lab.tasks()
    happened = f"the order is in the table, but the queue still contains {quantity(len(waiting), 'task')}"
    trial.expect(not waiting, "own-retry", happened, "an empty queue")


def _expect_success(trial: Trial, row: Orders, attempt: Attempt, is_theirs: bool) -> None:
    ticket, number = attempt.response.ticket, attempt.task.retries + 1
    if ticket is not None and ticket.exception not in ("RuntimeError", "Exception", "HTTP"):
        trial.failed(ticket)
    happened = f"the office wasn't busy, but attempt {number} failed with {attempt.status}"
    if row.busy is not None and number <= 2:
        trial.expect(attempt.ok, "changed-office" if is_theirs else "ignores-office", happened, "a success")
    trial.expect(attempt.ok or attempt.response.hint, "failure", happened, "a success")
    trial.succeed(attempt)


def _expect_failure(trial: Trial, row: Orders, attempt: Attempt, rows: Rows, is_theirs: bool) -> None:
    number = attempt.task.retries + 1
    happened = f"attempt {number} took {attempt.elapsed:g} s"
    expected = "an immediate failure, because the queue waits before the next attempt"
    trial.expect(attempt.elapsed < 60, "waits", happened, expected)
    happened = f"the office was busy, but attempt {number} succeeded with {attempt.status}"
    if attempt.ok:
        is_ignored = row.busy is not None and number > 2
        key = "changed-office" if is_theirs else "ignores-office" if is_ignored else "swallowed"
        key = "own-retry" if added_by(trial, attempt) else key
        trial.wrong(key, happened, "a failure, so that the queue tries again")
    happened = f"attempt {number} failed with {attempt.status}, and the queue dropped the task"
    trial.expect(attempt.outcome is Outcome.RETRY, "dropped", happened, "the queue tries again")
    key = "committed"
    if not row.has_rollback:
        key = "needs-rollback"
    elif attempt.response.killed or attempt.response.ticket is not None:
        key = "early-commit"
    ended = "its instance was shut down" if attempt.response.killed else f"failed with {attempt.status}"
    _expect_no_new_row(trial, attempt, rows, key, ended)


def _expect_no_new_row(trial: Trial, attempt: Attempt, rows: Rows, mistake: str, ended: str) -> None:
    found = _orders(trial)
    what = f"attempt {attempt.task.retries + 1}: {ended}; the table contains"
    trial.expect_equal(found, rows, "deleted" if len(found) < len(rows) else mistake, what)


def _expect_order(trial: Trial, row: Orders, attempt: Attempt, before: Rows, ordered: Rows) -> None:
    rows = _orders(trial)
    expected = before + ordered
    key = "not-ordered"
    if not set(before) <= set(rows):
        key = "deleted"
    elif len(rows) > len(expected):
        key = "two-rows"
    elif len(rows) == len(expected):
        is_form = rows[-1][0] not in row.pages and is_form_of(rows[-1][0], ordered[-1][0])
        key = "changed-pages" if is_form else "other-pages"
        if trial.rows("print_order", "pages")[-1][0] is None:
            key = "unset" if leaves_unset(attempt.response, "print_order", "pages") else "no-pages"
    elif any(ordered[-1][0] and ordered[-1][0] in pages for (pages,) in before + ordered[:-1]):
        key = "other-order"
    what = f"attempt {attempt.task.retries + 1} succeeded; the table contains"
    trial.expect_equal(by_text(rows), by_text(expected), key, what)


RUNS = {
    "4.1": (_run_asks, ASKS),
    "4.2": (_run_ratings, RATINGS),
    "4.3": (_run_orders, ORDERS),
    "4.4": (run_letters, LETTERS),
    "4.5": (run_wakes, WAKES),
}
