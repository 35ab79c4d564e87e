"""The checks of lesson 01, Your first background task. Their texts are in lesson01.toml."""

from harness.course.lessons.expectations import (
    EDITS,
    Rows,
    expect_address,
    expect_no_echo,
    expect_nothing_new,
    expect_rows,
    expect_short_wait,
    queue_task,
)
from harness.course.trial import Trial
from harness.errors import quantity


def _queue_it(trial: Trial) -> None:
    for old, new in EDITS:
        before, task = queue_task(trial, "ex1_1/save", {"old": old, "new": new})
        expect_address(trial, task, "log_edit")
        trial.succeed(trial.step(), "wrong-address")
        expect_no_echo(trial)
        _expect_one_row(trial, trial.rows()[len(before) :], old, new)


def _expect_one_row(trial: Trial, rows: Rows, old: str, new: str) -> None:
    mistakes: dict[tuple[object, ...], str] = {(None, None): "no-values", (new, old): "swapped"}
    if len(rows) == 1:
        key: str | None = mistakes.get(rows[0], "fixed-values")
    else:
        key = trial.if_known("twice") if rows else trial.if_known("not-written")
    expect_rows(trial, rows, [(old, new)], key)


def _write_the_worker(trial: Trial) -> None:
    for old, new in EDITS:
        trial.get("ex1_2/save", old=old, new=new)
        before = trial.rows()
        attempt = trial.step()
        rows = trial.rows()[len(before) :]
        trial.expect(
            attempt.ok or attempt.status == 404,
            "failure",
            happened=f"the worker wrote {rows or 'no row'} and responded with {attempt.status}",
            expected="a status of 200 to 299",
        )
        trial.succeed(attempt, "no-action")
        expect_no_echo(trial)
        _expect_one_row(trial, rows, old, new)


def _move_the_mail(trial: Trial) -> None:
    for address in ("ada@example.com", "björn+news@example.com"):
        sent = _mails(trial)
        expect_short_wait(trial, trial.get("ex1_3/register", address=address), "still-slow")
        trial.expect(
            _mails(trial) == sent,
            "changed",
            happened="the mail was sent during the request, in no time",
            expected="no mail yet, because send_mail takes 3 s",
        )
        trial.one_task(missing="mail-lost")
        attempt = trial.step()
        trial.succeed(attempt, "wrong-address")
        expect_no_echo(trial)
        mails = _mails(trial)[len(sent) :]
        trial.expect(
            mails and attempt.elapsed >= 3,
            "changed" if mails else "not-sent",
            happened=f"the worker took {attempt.elapsed:g} s and sent {mails or 'no mail'}",
            expected="the worker calls send_mail, which takes 3 s",
        )
        known = {("mail sent to", None): "no-values"}
        mistake = "twice" if len(mails) > 1 else known.get(mails[0], "fixed-values")
        expect_rows(trial, mails, [("mail sent to", address)], mistake)


def _mails(trial: Trial) -> Rows:
    """Return the rows that send_mail wrote, without other rows of the learner's code."""
    return [row for row in trial.rows() if row[0] == "mail sent to"]


def _two_tasks(trial: Trial) -> None:
    for first, second in (("Harbour", "Market"), ("Chess", "Choir"), ("Harbour", "Market")):
        before = trial.rows()
        trial.get("ex1_4/swap", first=first, second=second)
        expect_nothing_new(trial, before)
        waiting = len(trial.lab.tasks())
        trial.expect(
            waiting == 2,
            {0: "not-queued", 1: "one-task"}.get(waiting, "several-tasks"),
            happened=f"{quantity(waiting, 'task')} waiting after one request",
            expected="two tasks waiting, one for each edit",
        )
        for attempt in (trial.step(), trial.step()):
            trial.succeed(attempt, "wrong-address")
        expect_no_echo(trial)
        rows = trial.rows()[len(before) :]
        trial.expect(
            sorted(map(str, rows)) == sorted(map(str, [(first, second), (second, first)])),
            _mistaken_swap(rows, first, second),
            happened=f"the workers wrote {rows}",
            expected=f"{(first, second)} and {(second, first)}, in any order",
        )


def _mistaken_swap(rows: Rows, first: str, second: str) -> str | None:
    if set(rows) == {(None, None)}:
        return "no-values"
    if not {first, second} & {value for row in rows for value in row}:
        return "fixed-values"
    return "same-twice" if len(set(rows)) == 1 else None


RUNS = {"1.1": _queue_it, "1.2": _write_the_worker, "1.3": _move_the_mail, "1.4": _two_tasks}
