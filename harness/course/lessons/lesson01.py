"""Lesson 01, Your first background task: what its exercises try. Their words are in lesson01.toml."""

from __future__ import annotations

from harness.course.lessons.expectations import Rows, expect_address, expect_no_echo, expect_nothing_new
from harness.course.trial import Trial
from harness.show.text import quantity

_EDITS = (("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))


def _queue_it(trial: Trial) -> None:
    for old, new in _EDITS:
        before = trial.rows("mytable", "old", "new")
        trial.get("ex1_1/save", old=old, new=new)
        expect_nothing_new(trial, before)
        task = trial.one_task(missing="not-queued")
        expect_address(trial, task, "log_edit")
        _log_one_edit(trial, old, new)


def _log_one_edit(trial: Trial, old: str, new: str) -> None:
    before = trial.rows("mytable", "old", "new")
    trial.succeed(trial.step(), "wrong-address")
    expect_no_echo(trial)
    _expect_one_row(trial, trial.rows("mytable", "old", "new")[len(before) :], old, new)


def _expect_one_row(trial: Trial, rows: Rows, old: str, new: str) -> None:
    mistakes: dict[tuple[object, ...], str] = {(None, None): "no-values", (new, old): "swapped"}
    if len(rows) == 1:
        key: str | None = mistakes.get(rows[0], "fixed-values")
    else:
        key = trial.if_known("twice") if rows else trial.if_known("not-written")
    trial.expect(
        rows == [(old, new)],
        key,
        happened=f"the worker wrote {rows or 'no row'}",
        expected=f"one row: {(old, new)}",
    )


def _write_the_worker(trial: Trial) -> None:
    for old, new in _EDITS:
        trial.get("ex1_2/save", old=old, new=new)
        before = trial.rows("mytable", "old", "new")
        attempt = trial.step()
        rows = trial.rows("mytable", "old", "new")[len(before) :]
        trial.expect(
            attempt.ok or attempt.status == 404,
            "failure",
            happened=f"the worker wrote {rows or 'no row'}, and its answer was {attempt.status}",
            expected="a status of 200 to 299",
        )
        trial.succeed(attempt, "no-action")
        expect_no_echo(trial)
        _expect_one_row(trial, rows, old, new)


def _move_the_mail(trial: Trial) -> None:
    for address in ("ada@example.com", "björn+news@example.com"):
        sent = _mails(trial)
        answer = trial.get("ex1_3/register", address=address)
        trial.expect(
            answer.elapsed < 1,
            "still-slow",
            happened=f"the user waited {answer.elapsed:g} s for the answer",
            expected="the user waits for less than 1 s",
        )
        trial.expect(
            _mails(trial) == sent,
            "changed",
            happened="the mail was sent during the visit, in no time",
            expected="no mail yet: send_mail takes 3 s",
        )
        trial.one_task(missing="mail-lost")
        attempt = trial.step()
        trial.succeed(attempt, "wrong-address")
        expect_no_echo(trial)
        mails = _mails(trial)[len(sent) :]
        trial.expect(
            mails and attempt.elapsed >= 3,
            "changed" if mails else "not-sent",
            happened=f"the worker was done after {attempt.elapsed:g} s, and sent {mails or 'no mail'}",
            expected="the worker calls send_mail, which takes 3 s",
        )
        known = {("mail sent to", None): "no-values"}
        trial.expect(
            mails == [("mail sent to", address)],
            "twice" if len(mails) > 1 else known.get(mails[0], "fixed-values"),
            happened=f"mails: {mails}",
            expected=f"one mail, to {address}",
        )


def _mails(trial: Trial) -> Rows:
    """Return what send_mail wrote; the learner's own code may keep rows of another kind."""
    return [row for row in trial.rows("mytable", "old", "new") if row[0] == "mail sent to"]


def _two_tasks(trial: Trial) -> None:
    for first, second in (("Harbour", "Market"), ("Chess", "Choir"), ("Harbour", "Market")):
        sent = trial.rows("mytable", "old", "new")
        trial.get("ex1_4/swap", first=first, second=second)
        expect_nothing_new(trial, sent)
        waiting = len(trial.lab.tasks())
        trial.expect(
            waiting == 2,
            {0: "not-queued", 1: "one-task"}.get(waiting, "several-tasks"),
            happened=f"{quantity(waiting, 'task')} waiting after one visit",
            expected="two tasks waiting, one for each edit",
        )
        for attempt in (trial.step(), trial.step()):
            trial.succeed(attempt, "wrong-address")
        expect_no_echo(trial)
        rows = trial.rows("mytable", "old", "new")[len(sent) :]
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
