"""The checks of lesson 01, Your first background task. Their texts are in lesson01.toml."""

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import EDITS, by_text, expect_short_wait
from harness.course.trial import Rows, Trial


def _queue_it(trial: Trial, _: Scenario) -> None:
    for old, new in EDITS:
        before, task = trial.queue_task("ex1_1/save", {"old": old, "new": new})
        trial.expect_address(task, "log_edit")
        trial.succeed(trial.step(), "wrong-address")
        trial.expect_no_echo()
        _expect_one_row(trial, trial.rows()[len(before) :], old, new)


def _expect_one_row(trial: Trial, rows: Rows, old: str, new: str) -> None:
    mistakes: dict[tuple[object, ...], str] = {(None, None): "no-values", (new, old): "swapped"}
    if len(rows) == 1:
        key: str | None = mistakes.get(rows[0], "fixed-values")
    else:
        key = trial.if_known("twice") if rows else trial.if_known("not-written")
    trial.expect_equal(rows, [(old, new)], key)


def _write_the_worker(trial: Trial, _: Scenario) -> None:
    for old, new in EDITS:
        trial.get("ex1_2/save", old=old, new=new)
        before = trial.rows()
        attempt = trial.step()
        rows = trial.rows()[len(before) :]
        if attempt.status != 404:
            trial.expect_ok(attempt, "failure", f"the worker wrote {rows or 'no row'} and responded with")
        trial.succeed(attempt, "no-action")
        trial.expect_no_echo()
        _expect_one_row(trial, rows, old, new)


def _move_the_mail(trial: Trial, _: Scenario) -> None:
    for address in ("ada@example.com", "björn+news@example.com"):
        sent = _mails(trial)
        expect_short_wait(trial, trial.get("ex1_3/register", address=address), "still-slow")
        happened = "the mail was sent during the request, and it took 0 s"
        trial.expect(_mails(trial) == sent, "changed", happened, "no mail yet, because send_mail takes 3 s")
        trial.one_task(missing="mail-lost")
        attempt = trial.step()
        trial.succeed(attempt, "wrong-address")
        trial.expect_no_echo()
        mails = _mails(trial)[len(sent) :]
        mistake = "changed" if mails else "not-sent"
        happened = f"the worker took {attempt.elapsed:g} s and sent {mails or 'no mail'}"
        trial.expect(mails and attempt.elapsed >= 3, mistake, happened, "the worker calls send_mail, which takes 3 s")
        known = {("mail sent to", None): "no-values"}
        mistake = "twice" if len(mails) > 1 else known.get(mails[0], "fixed-values")
        trial.expect_equal(mails, [("mail sent to", address)], mistake)


def _mails(trial: Trial) -> Rows:
    """Return the rows that send_mail wrote, without other rows of the learner's code."""
    return [row for row in trial.rows() if row[0] == "mail sent to"]


def _two_tasks(trial: Trial, _: Scenario) -> None:
    for first, second in (("Harbour", "Market"), ("Chess", "Choir"), ("Harbour", "Market")):
        before = trial.rows()
        trial.get("ex1_4/swap", first=first, second=second)
        trial.expect_nothing_new(before)
        tasks = trial.lab.tasks()
        mistakes = {0: "not-queued", 1: "one-task"}
        trial.expect_tasks(tasks, 2, mistakes.get(len(tasks), "several-tasks"), "after one request: ")
        for attempt in (trial.step(), trial.step()):
            trial.succeed(attempt, "wrong-address")
        trial.expect_no_echo()
        rows, expected = trial.rows()[len(before) :], [(first, second), (second, first)]
        trial.expect_equal(by_text(rows), by_text(expected), _mistaken_swap(rows, first, second), "the workers wrote")


def _mistaken_swap(rows: Rows, first: str, second: str) -> str | None:
    if set(rows) == {(None, None)}:
        return "no-values"
    if not {first, second} & {value for row in rows for value in row}:
        return "fixed-values"
    return "same-twice" if len(set(rows)) == 1 else None


RUNS = {
    "1.1": (_queue_it, (Scenario(),)),
    "1.2": (_write_the_worker, (Scenario(),)),
    "1.3": (_move_the_mail, (Scenario(),)),
    "1.4": (_two_tasks, (Scenario(),)),
}
