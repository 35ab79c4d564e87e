"""The checks of 4.4 (a dead-letter table) and 4.5 (read the headers)."""

from harness.course.checks.expectations import leaves_unset
from harness.course.scenarios.scenarios04 import Letters, Wakes
from harness.course.scenarios.work04 import (
    Leave,
    add_task,
    added_by,
    first_instance,
    is_form_of,
    of_task,
    replace_body,
    run,
    statuses,
    step,
)
from harness.course.trial import Rows, Trial
from harness.records import Attempt, Outcome, TaskInfo

_MOST = 8  # attempts of a letter; an answer that needs more never gives up
_FILE = "controllers/ex4_4.py"
_CALLED = "check: "
# It takes the place of the body of `deliver`, and prints each call.
_DELIVER = """
def check_deliver(letter, retries):
    print('{called}deliver(%r, %r)' % (letter, retries))
    first = {delivered!r}.get(letter)
    if first is None or retries + 1 < first:
        raise RuntimeError('no such partner: ' + letter)
"""


# 4.4 A dead-letter table


def run_letters(trial: Trial, row: Letters) -> None:
    """Send the letters of a row."""
    trial.lab.write("models/check_deliver.py", _DELIVER.format(called=_CALLED, delivered=dict(row.delivered)))
    replace_body(trial, _FILE, "deliver", "return check_deliver(letter, retries)", "changed-deliver")
    with first_instance(trial, row) as leave:
        tasks: list[TaskInfo] = []
        for letter in row.letters:
            tasks.append(_send(trial, row, letter))
            if not row.together:
                _post(trial, row, leave, tasks[-1:], (letter,))
        if row.together:
            _post(trial, row, leave, tasks, row.letters)


def _send(trial: Trial, row: Letters, letter: str) -> TaskInfo:
    task = add_task(trial, row, "ex4_4/send", _dead_letters, letter=letter)
    is_called = _CALLED in trial.lab.responses[-1].output
    trial.expect(not is_called, "foreground", "the user's request called deliver", "only the worker calls deliver")
    return task


def _dead_letters(trial: Trial) -> Rows:
    return [(letter or "", attempts) for letter, attempts in trial.rows("dead_letter", "letter", "attempts")]


def _post(trial: Trial, row: Letters, leave: Leave, tasks: list[TaskInfo], letters: tuple[str, ...]) -> None:
    """Run all attempts of these tasks, and look at the calls of `deliver` and at the table after each one."""
    made: list[Attempt] = []
    rows = _dead_letters(trial)
    for _ in range(_MOST * len(tasks)):
        if not trial.lab.tasks():
            return
        attempt = step(trial, row, leave)
        made.append(attempt)
        happened = f"attempt {attempt.task.retries + 1} didn't end, and the queue dropped the task"
        dropped = attempt.response.killed and attempt.outcome is not Outcome.RETRY
        trial.expect(not dropped, "dropped", happened, "the queue tries again, and the worker then gives up")
        if not attempt.response.killed:
            index = [task.identity for task in tasks].index(attempt.task.identity)
            rows = _expect_post(trial, row, of_task(made, tasks[index]), letters[index], rows)


def _expect_post(trial: Trial, row: Letters, made: list[Attempt], letter: str, before: Rows) -> Rows:
    """Require that the last attempt of a letter ended as it should, and return the rows of dead_letter."""
    attempt, number = made[-1], made[-1].task.retries + 1
    rows, calls = _dead_letters(trial), attempt.response.output.count(_CALLED)
    is_delivered = row.delivered.get(letter, _MOST) <= number
    gives_up = number > 3 and not is_delivered
    _expect_only_task(trial, attempt)
    happened = f"attempt {number} ended with {attempt.status}"
    if is_delivered:
        key = "delivered-too" if calls else "never-tries"
        if attempt.ok or calls == 0:
            happened += f"; dead_letter contains {rows}"
            trial.expect(rows == before, key, happened, "the letter is delivered, and no row is written")
            trial.expect(attempt.ok and calls, "never-tries", f"{happened}; deliver wasn't called", "a call of deliver")
        trial.succeed(attempt)
    elif gives_up:
        _expect_letter(trial, row, made, letter, before, rows)
    else:
        if attempt.ok:
            key = "too-early" if rows != before else "swallowed" if calls else "never-tries"
            trial.wrong(key, f"{happened}, a success", "a failure, so that the queue tries again")
        happened += f", and its outcome is “{attempt.outcome}”"
        trial.expect(attempt.outcome is Outcome.RETRY, "dropped", happened, "the queue tries again")
        what = f"attempt {number} failed; dead_letter contains"
        trial.expect_equal(rows, before, "every-time", what)
    key = "calls-twice" if calls else "never-tries"
    trial.expect(calls == 1, key, f"attempt {number} called deliver {calls} times", "one call in each attempt")
    call, called = f"deliver({letter!r}, {number - 1})", attempt.response.output.partition(_CALLED)[2].splitlines()[0]
    trial.expect(called == call, "other-call", f"attempt {number} called {called}", call)
    return rows


def _expect_only_task(trial: Trial, attempt: Attempt) -> None:
    """Require that the worker added no task."""
    happened = f"attempt {attempt.task.retries + 1} ended with {attempt.status}, and added another task"
    trial.expect(not added_by(trial, attempt), "requeued", happened, "the queue itself tries again, with the same task")


def _expect_letter(trial: Trial, row: Letters, made: list[Attempt], letter: str, before: Rows, rows: Rows) -> None:
    """Require that the worker gave up in the last attempt."""
    attempt, number = made[-1], made[-1].task.retries + 1
    new = rows[len(before) :]
    happened = f"attempt {number} of the letter {letter!r} ended with {attempt.status}"
    expected = "the worker writes one row to dead_letter, and responds with a status of 200 to 299"
    if not attempt.ok:
        key = _why_no_end(trial, row, attempt, letter)
        if attempt.outcome is Outcome.DROPPED:
            happened += ", and the queue dropped the task"
        elif key in ("too-late", "never-stops", "exactly", "by-letter"):
            later = of_task(list(trial.lab.attempts), attempt.task)[number:]
            happened += f"; the next attempts ended with {statuses(later)}"
        trial.wrong(key, happened, expected)
    key = "two-rows" if new else "equal-letter" if letter in [each for each, _ in before] else "no-letter"
    trial.expect(len(new) == 1, key, f"{happened}; its new rows in dead_letter are {new or 'missing'}", expected)
    found, attempts = new[0]
    key = _why_row(row, attempt, found, attempts, letter)
    trial.expect_equal(new, [(letter, number)], key, f"attempt {number} gave up; the new row of dead_letter is")


def _why_no_end(trial: Trial, row: Letters, attempt: Attempt, letter: str) -> str | None:
    """Return the mistake by which the fourth or a later attempt didn't end the task."""
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception != "RuntimeError" and f"class {ticket.exception}" not in _source(trial):
        trial.failed(ticket)
    if attempt.outcome is Outcome.DROPPED:
        return "dropped"
    if "the view" in attempt.response.hint:
        return "dict-without-view"
    if any('INTO "dead_letter"' in statement for statement in attempt.response.sql):
        return "fails-after-letter"
    later = run(trial, Letters(), lambda: None, _MOST - attempt.task.retries)
    if any(each.ok for each in later):
        return "misses-attempts" if row.deaths else "too-late"
    if letter != "lost":
        return "by-letter"
    return "exactly" if 4 in row.deaths else "never-stops"


def _source(trial: Trial) -> str:
    return trial.lab.read(_FILE)


def _why_row(row: Letters, attempt: Attempt, found: str, attempts: int, letter: str) -> str:
    if any(leaves_unset(attempt.response, "dead_letter", field) for field in ("letter", "attempts")):
        return "unset"
    if found != letter:
        return "changed-letter" if found not in row.letters and is_form_of(found, letter) else "other-letter"
    if attempts == attempt.task.retries == 3:
        return "counts-retries"
    return "fixed-count" if row.deaths else "wrong-count"


# 4.5 Read the headers


def run_wakes(trial: Trial, row: Wakes) -> None:
    """Add the tasks of a row."""
    needed: dict[object, int] = {}
    with first_instance(trial, row) as leave:
        for times in row.times:
            task = add_task(trial, row, "ex4_5/wake", _log, times=str(times))
            needed[task.identity] = times
            if not row.together:
                _ring(trial, row, leave, needed)
        if row.names:
            _add_named(trial, row, needed)
        _ring(trial, row, leave, needed)


def _log(trial: Trial) -> Rows:
    return trial.rows("attempt_log", "task", "number")


def _add_named(trial: Trial, row: Wakes, needed: dict[object, int]) -> None:
    from google.appengine.api import taskqueue

    for name in row.names:
        taskqueue.add(url="/tutorial/ex4_5/ring", name=name, params={"times": 1})
    needed |= {task.identity: 1 for task in trial.lab.tasks()}


def _ring(trial: Trial, row: Wakes, leave: Leave, needed: dict[object, int]) -> None:
    """Run attempts until the queue is empty, and look at the log after each one."""
    rows = _log(trial)
    for _ in range(4 * sum(needed.values()) + 4):
        if not trial.lab.tasks():
            return
        attempt = step(trial, row, leave)
        if attempt.task.identity not in needed:
            trial.wrong(None, f"the worker added a task for {attempt.request.url}", "only wake adds tasks")
        _expect_no_ticket(trial, attempt)
        if not attempt.response.killed:
            rows = _expect_logged(trial, attempt, rows)
            is_awake = len(rows) % needed[attempt.task.identity] == 0
            happened = f"attempt {attempt.task.retries + 1} wrote its row and ended with {attempt.status}"
            expected = f"the status {200 if is_awake else 500}, as the lines below your code choose it"
            trial.expect(attempt.ok == is_awake, "last-lines", happened, expected)


def _expect_no_ticket(trial: Trial, attempt: Attempt) -> None:
    ticket = attempt.response.ticket
    if ticket is not None:
        happened = f"attempt {attempt.task.retries + 1} ended with {ticket.exception}: {ticket.message}"
        raised = ticket.exception in ("RuntimeError", "Exception")
        trial.expect(not raised, "rolls-back", happened, "the status 500 from raise HTTP(500), or 200")
        trial.failed(ticket)


def _expect_logged(trial: Trial, attempt: Attempt, before: Rows) -> Rows:
    name, number = attempt.task.name, str(attempt.task.retries + 1)
    rows = _log(trial)
    key = _misread(rows[len(before) :], before, rows, attempt)
    what = f"attempt {number} of the task {name} ended with {attempt.status}; the last rows of the log are"
    trial.expect(rows == [*before, (name, number)], key, f"{what} {rows[-3:]}", str([*before, (name, number)][-3:]))
    return rows


def _misread(new: Rows, before: Rows, rows: Rows, attempt: Attempt) -> str | None:
    """Return the mistake in the rows that an attempt has added to the log."""
    name, number = attempt.task.name, attempt.task.retries + 1
    if len(new) != 1:
        return "two-rows" if new else "no-row" if rows == before else "overwrites"
    found, logged = new[0]
    if any(leaves_unset(attempt.response, "attempt_log", field) for field in ("task", "number")):
        return "unset"
    if (found, logged) == (str(number), name):
        return "swapped"
    if found != name:
        return _misread_name(found, before, name)
    if number == 1:
        return "from-zero" if logged == "0" else "counts-rows" if logged == str(len(rows)) else "wrong-number"
    if number >= 10:
        return "limited"
    earlier = [each for task, each in before if task == name]
    if [logged] == earlier[-1:]:
        return "same-number"
    if earlier and logged == "1":
        return "restarts"
    return "misses-attempts" if logged == str(attempt.task.executions + 1) else "wrong-number"


def _misread_name(found: str | None, before: Rows, name: str) -> str:
    if found is None:
        return "no-name"
    if found in [task for task, _ in before]:
        return "kept-name"
    return "changed-name" if is_form_of(found, name) else "wrong-name"
