"""The checks of lesson 01, Your first background task. Their texts are in lesson01.toml, and their rows in
scenarios01.py.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from harness.course.checks.expectations import (
    NO_COOKIE,
    by_text,
    expect_short_wait,
    instance,
    let_pass,
    names_tried,
)
from harness.course.checks.values01 import MAIL, mistaken_values
from harness.course.scenarios.scenarios01 import (
    LOCKED,
    MOVE_THE_MAIL,
    QUEUE_IT,
    TWO_TASKS,
    WRITE_THE_WORKER,
    Requests,
    Values,
)
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Response

# An action of the check, which prepares mytable.
_PREPARE = """
def index():
    for number in range({deleted}):
        db.mytable.insert(old='deleted', new=str(number))
    db(db.mytable).delete()
    for old, new in {earlier!r}:
        db.mytable.insert(old=old, new=new)
"""
_OTHER_PAGE = """

def other_page():
    send_mail('other@example.com')
    return 'Sent.'
"""


def _queue_it(trial: Trial, row: Requests) -> None:
    known = _prepare(trial, row)
    for requests in row.rounds:
        for old, new in requests:
            added, refused = _visit(trial, row, known, "ex1_1/save", "called-directly", old=old, new=new)
            mistake = "several-tasks" if added > 1 else _missing(trial, row, refused, (old, new)) or "not-queued"
            _expect_added(trial, added, 1, mistake)
        for task in trial.lab.tasks():
            trial.expect_address(task, "log_edit")
        _work(trial, row, known, requests)


def _write_the_worker(trial: Trial, row: Requests) -> None:
    known = _prepare(trial, row)
    for requests in row.rounds:
        for old, new in requests:
            added, _ = _visit(trial, row, known, "ex1_2/save", "in-each-request", old=old, new=new)
            _expect_added(trial, added, 1, "changed-save")
        if row.fails or row.kill_after is not None:
            _expect_recovery(trial, row, known, requests[0])
        else:
            _write_each(trial, row, known, requests)


def _write_each(trial: Trial, row: Requests, known: Rows, requests: Sequence[Values]) -> None:
    found: Rows = []
    for _ in requests:
        waiting = _waiting(trial)
        attempt = trial.step()
        rows = _new(trial, known)
        if attempt.status != 404:
            mistake = "empty" if not rows and any("" in values for values in requests) else "failure"
            trial.expect_ok(attempt, mistake, f"the worker wrote {rows or 'no row'} and responded with")
        trial.succeed(attempt, "no-action")
        trial.expect_no_echo(waiting)
        found += rows
    _expect_rows(trial, row, found, requests)


def _expect_recovery(trial: Trial, row: Requests, known: Rows, values: Values) -> None:
    """Let the first attempt fail, and require that the row is complete and isn't lost."""
    attempt = _fail(trial, row)
    left = [_without_null(found, [values]) for found in _new(trial, known)]
    happened = f"the first attempt ended with {attempt.status or 'no response'}, and the new rows of mytable are"
    trial.expect(set(left) <= {values}, "half", f"{happened} {left}", f"no row, or the complete row {values}")
    _expect_retry(trial, attempt, "the row", bool(left))
    if trial.lab.tasks():
        trial.succeed(trial.step(), "no-action")
    rows = left + [_without_null(found, [values]) for found in _new(trial, known)]
    happened = f"after the second attempt, the new rows of mytable are {rows}"
    trial.expect(set(rows) == {values} and len(rows) <= 1 + len(left), "not-again", happened, f"[{values}]")


def _fail(trial: Trial, row: Requests) -> Attempt:
    """Run the first attempt of a task, which the row lets fail."""
    if row.kill_after is not None:
        trial.called = f"lab.step(kill_after={row.kill_after})"
        return trial.lab.step(kill_after=row.kill_after)
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and LOCKED not in ticket.message:
        trial.failed(ticket)
    return attempt


def _expect_retry(trial: Trial, attempt: Attempt, what: str, is_done: bool) -> None:
    """Require that the task of a failed attempt still waits, if its work isn't done."""
    expected = "a status outside 200 to 299, after which the queue tries again"
    happened = f"the first attempt could not write {what}, but it responded with {attempt.status}"
    trial.expect(is_done or not attempt.ok, "swallowed", happened, expected)
    happened = f"the first attempt ended with {attempt.status or 'no response'}, and the queue is empty"
    trial.expect(is_done or trial.lab.tasks(), "gone", happened, "the task stays in the queue for another attempt")


def _move_the_mail(trial: Trial, row: Requests) -> None:
    if row.other_page:
        _expect_unchanged(trial)
    _prepare(trial, row)
    for requests in row.rounds:
        before = _mails(trial)
        for (address,) in requests:
            added, refused = _register(trial, row, before, address)
            mistake = "several-tasks" if added > 1 else _missing(trial, row, refused, (address,)) or "mail-lost"
            _expect_added(trial, added, 1, mistake)
        if row.fails:
            _expect_second_mail(trial, row, requests[0][0])
        else:
            _send_each(trial, row, requests)


def _register(trial: Trial, row: Requests, before: Rows, address: str) -> tuple[int, list[str]]:
    with _added(trial, row) as (waiting, refused):
        response = _get(trial, row, "ex1_3/register", address=address)
    expect_short_wait(trial, response, "still-slow")
    early = _mails(trial)[len(before) :]
    happened = f"the row of a mail was written during the request, which took {response.elapsed:g} s"
    trial.expect(not early, "changed", happened, "no mail yet, because send_mail takes 3 s")
    return len(trial.lab.tasks()) - waiting, refused


def _send_each(trial: Trial, row: Requests, requests: Sequence[Values]) -> None:
    before = _mails(trial)
    for count, _ in enumerate(requests, 1):
        waiting = _waiting(trial)
        attempt = trial.step()
        trial.succeed(attempt, "wrong-address")
        trial.expect_no_echo(waiting)
        mails = _mails(trial)[len(before) :]
        happened = f"the worker took {attempt.elapsed:g} s and sent {mails[count - 1 :] or 'no mail'}"
        expected = "the worker calls send_mail, which takes 3 s"
        lost = "memory" if row.elsewhere else "no-mail" if row.what else "not-sent"
        trial.expect(len(mails) >= count, lost, happened, expected)
        trial.expect(attempt.elapsed >= 3, "changed", happened, expected)
        trial.expect(len(mails) == count, "twice", happened, "one mail for each task")
    sent = [(MAIL, address) for (address,) in requests]
    every = [(MAIL, address) for (address,) in row.requests]
    mistake = mistaken_values(trial, row, mails, sent, every)
    trial.expect_equal(by_text(mails), by_text(sent), mistake, "send_mail wrote")


def _expect_second_mail(trial: Trial, row: Requests, address: str) -> None:
    """Let send_mail fail in the first attempt, and require that the next attempt sends the mail."""
    before = _mails(trial)
    attempt = _fail(trial, row)
    _expect_retry(trial, attempt, "the mail", len(_mails(trial)) > len(before))
    if trial.lab.tasks():
        trial.succeed(trial.step(), "wrong-address")
    mails = _mails(trial)[len(before) :]
    happened = f"after the second attempt, the mails are {mails}"
    trial.expect(mails == [(MAIL, address)], "not-again", happened, f"[{(MAIL, address)}]")


def _expect_unchanged(trial: Trial) -> None:
    """Require that send_mail still sends a mail if another action of the learner's file calls it."""
    trial.lab.write("controllers/ex1_3_other.py", trial.lab.read("controllers/ex1_3.py") + _OTHER_PAGE)
    trial.called = "as a user: a new action in your file, which calls send_mail('other@example.com')"
    response = trial.lab.get("ex1_3_other/other_page")
    ended = f"ended with {response.ticket.exception}" if response.ticket else f"took {response.elapsed:g} s"
    happened = f"the action {ended} and wrote {trial.rows() or 'no row'}"
    right = response.elapsed == 3 and trial.rows() == [(MAIL, "other@example.com")]
    expected = f"the action takes 3 s and writes {[(MAIL, 'other@example.com')]}"
    trial.expect(right and not trial.lab.tasks(), "changed", happened, expected)


def _mails(trial: Trial) -> Rows:
    """Return the rows that send_mail wrote, without other rows of the learner's code."""
    return [row for row in trial.rows() if row[0] == MAIL]


def _two_tasks(trial: Trial, row: Requests) -> None:
    known = _prepare(trial, row)
    for requests in row.rounds:
        for first, second in requests:
            added, refused = _visit(trial, row, known, "ex1_4/swap", "called-directly", first=first, second=second)
            few = _missing(trial, row, refused, (first, second)) or {0: "not-queued"}.get(added, "one-task")
            few = "one-task-of-equal" if first == second and added == 1 and not refused else few
            _expect_added(trial, added, 2, "several-tasks" if added > 2 else few)
        _work(trial, row, known, [pair for values in requests for pair in (values, values[::-1])])
    for attempt in trial.lab.attempts:
        action = attempt.request.url.partition("?")[0].split("/")[3:4]
        right = [name.partition(".")[0] for name in action] == ["log_edit"]
        happened = f"the URL of a task was {attempt.request.url}"
        trial.expect(right, "other-worker", happened, "both tasks have the URL of log_edit")


# What the exercises share: the requests, the attempts, and the mistakes that rows show.


def _prepare(trial: Trial, row: Requests) -> Rows:
    """Write the rows that mytable contains before the first request, and return them with their ids."""
    if row.earlier or row.deleted:
        trial.lab.write("controllers/prepare.py", _PREPARE.format(deleted=row.deleted, earlier=row.earlier))
        trial.lab.get("prepare/index")
        return trial.rows("mytable", "id", "old", "new")
    return []


def _visit(trial: Trial, row: Requests, known: Rows, path: str, early: str, **query: str) -> tuple[int, list[str]]:
    """Send a user's request, and require that it leaves mytable as it was.

    Args:
        trial: the run.
        row: the scenario.
        known: the rows of mytable until now.
        path: the action.
        early: the mistake if the request writes a row.
        **query: what the user sends.

    Returns:
        How many tasks the request added, and the names of those that the queue refused.
    """
    with _added(trial, row) as (waiting, refused):
        _get(trial, row, path, **query)
    new = _new(trial, known)
    trial.expect_equal(new, [], early, "before any task ran, the new rows of mytable were")
    return len(trial.lab.tasks()) - waiting, refused


def _get(trial: Trial, row: Requests, path: str, **query: str) -> Response:
    let_pass(trial, row.pause)
    return trial.get(path, NO_COOKIE if row.browsers else None, **query)


@contextmanager
def _added(trial: Trial, row: Requests) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of waiting tasks, and a list that gets the names of tasks that the queue refuses."""
    refused = list[str]()
    waiting = {task.name for task in trial.lab.tasks()}
    with names_tried(trial) as tried, instance(trial, row.elsewhere):
        yield len(waiting), refused
    new = [task.name for task in trial.lab.tasks() if task.name not in waiting]
    refused += Counter(filter(None, tried)) - Counter(new)


def _missing(trial: Trial, row: Requests, refused: Sequence[str], values: Values) -> str | None:
    """Return the mistake by which a request added too few tasks, if the evidence shows one."""
    if refused:
        return "name-taken"
    if not row.what:
        return None
    return trial.if_known("empty") if "" in values else "skipped"


def _expect_added(trial: Trial, added: int, count: int, mistake: str | None) -> None:
    happened = f"the request added {quantity(added, 'task')}"
    trial.expect(added == count, mistake, happened, f"the request adds {quantity(count, 'task')}")


def _work(trial: Trial, row: Requests, known: Rows, expected: Sequence[Values]) -> None:
    """Run the waiting tasks, and require that they write these rows."""
    found: Rows = []
    for _ in expected:
        waiting = _waiting(trial)
        trial.succeed(trial.step(), "wrong-address")
        trial.expect_no_echo(waiting)
        found += _new(trial, known)
    _expect_rows(trial, row, found, expected)


def _waiting(trial: Trial) -> list[tuple[str, str, datetime]]:
    return [task.identity for task in trial.lab.tasks()]


def _new(trial: Trial, known: Rows) -> Rows:
    """Return the rows that are new in mytable, and add them to `known`, whose rows must still be there."""
    after = trial.rows("mytable", "id", "old", "new")
    lost = [row[1:] for row in known if row not in after]
    happened = f"the row {lost[:1]} of mytable was changed or deleted"
    trial.expect(not lost, "overwrites", happened, "the earlier rows of mytable stay unchanged")
    new = [row for row in after if row not in known]
    known += new
    return [row[1:] for row in new]


def _expect_rows(trial: Trial, row: Requests, found: Rows, expected: Sequence[Values]) -> None:
    found = [_without_null(values, expected) for values in found]
    mistake = _mistaken_number(trial, row, found, expected)
    if len(found) == len(expected):
        swaps = [pair for values in row.requests for pair in (values, values[::-1])]
        mistake = mistaken_values(trial, row, found, expected, swaps)
    what = "the worker wrote" if len(expected) == 1 else "the workers wrote"
    trial.expect_equal(by_text(found), by_text(list(expected)), mistake, what)


def _without_null(found: Values, expected: Sequence[Values]) -> Values:
    """Return the expected row that a row is if NULL stands for an empty string, or else the row."""
    for right in expected:
        if all(one == other or (one is None and not other.strip()) for one, other in zip(found, right, strict=True)):
            return right
    return found


def _mistaken_number(trial: Trial, row: Requests, found: Rows, expected: Sequence[Values]) -> str | None:
    """Return the mistake by which the workers wrote too few or too many rows."""
    if len(found) > len(expected):
        return trial.if_known("twice")
    if row.elsewhere:
        return "memory"
    if not row.what:
        return trial.if_known("not-written")
    lost = Counter(expected) - Counter(found)
    return "empty" if any("" in values for values in lost) else "no-row"


RUNS = {
    "1.1": (_queue_it, QUEUE_IT),
    "1.2": (_write_the_worker, WRITE_THE_WORKER),
    "1.3": (_move_the_mail, MOVE_THE_MAIL),
    "1.4": (_two_tasks, TWO_TASKS),
}
