"""The checks of lesson 04's small exercises. Their texts are in small04.toml."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import by_text
from harness.course.scenarios.work04 import replace_body
from harness.course.trial import SLIPS, Rows, Trial
from harness.records import Attempt

_OFFICE = "return f'tides of {{day}}' if int(request.env.http_x_appengine_taskretrycount) >= {busy} else None"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetches(Scenario):
    """Tasks that fetch tides; `days` contains each task's day and how many attempts get no response from the office."""

    days: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Likes(Scenario):
    """Likes of readers, each with its article and its reader. The lab delivers each task twice."""

    likes: Rows


def _ask_again(trial: Trial, row: _Fetches) -> None:
    right: Rows = []
    for day, busy in row.days:
        if row.what:
            office = _OFFICE.format(busy=busy)
            replace_body(trial, "controllers/ex4_x.py", "ask_office", office, "not-one-row")
        _add(trial, "ex4_x/fetch", day=day)
        for number in range(1, busy + 1):
            _expect_failure(trial, _deliver(trial), number, right)
        attempt = _deliver(trial)
        happened = f"the office responded at attempt {busy + 1}, but the attempt ended with {attempt.status}"
        # A hint means that web2py found no action or no view.
        trial.expect(attempt.ok or attempt.response.hint, "fails-anyway", happened, "a status of 200 to 299")
        trial.succeed(attempt)
        right.append((day, f"tides of {day}"))
        trial.expect_equal(trial.rows(), right, "not-one-row", "after the office responded, the table contains")


def _expect_failure(trial: Trial, attempt: Attempt, number: int, before: Rows) -> None:
    """Require that an attempt without a response from the office fails immediately, and that it leaves no row."""
    silent = f"the office didn't respond at attempt {number}"
    own = attempt.task.identity
    added = [task.url for task in trial.lab.tasks() if task.identity != own]
    trial.expect(not added, "own-retry", f"{silent}, and the worker added a task for {added[:1]}", "no other task")
    elapsed = attempt.response.elapsed
    trial.expect(elapsed < 1, "waits", f"{silent}, and the attempt lasted {elapsed:g} s", "it fails immediately")
    happened = f"{silent}, but the attempt ended with {attempt.status}"
    trial.expect(not attempt.ok, "swallowed", happened, "the attempt fails, so that the queue tries again")
    trial.expect(attempt.status != 503, "slows-queue", happened, "another status outside 200 to 299")
    trial.expect_equal(trial.rows(), before, "row-left", f"after attempt {number} failed, the table contains")


def _store_once(trial: Trial, row: _Likes) -> None:
    right: Rows = []
    for article, reader in row.likes:
        like = article, reader
        _add(trial, "ex4_y/store", article=article, reader=reader)
        for delivery in ("first", "second"):
            attempt = _deliver(trial)
            what = f"the {delivery} delivery of {like}"
            if like in right and not attempt.response.hint:
                happened = f"the like was in the table, but {what} ended with {attempt.status}"
                trial.expect(attempt.ok, "refuses", happened, "a status of 200 to 299")
            if attempt.response.ticket is not None:
                trial.failed(attempt.response.ticket)
            trial.succeed(attempt)
            right += [like] if like not in right else []
            found = trial.rows()
            mistake = _why_likes(found, right)
            trial.expect_equal(by_text(found), by_text(right), mistake, f"after {what}, the table contains")


def _why_likes(found: Rows, right: Rows) -> str:
    """Return the mistake that the rows show."""
    if not set(found) <= set(right):
        return "wrong-values"
    if len(found) > len(set(found)):
        return "twice"
    return "lost-like" if found or len(right) > 1 else "no-row"


def _add(trial: Trial, path: str, **values: str) -> None:
    from google.appengine.api import taskqueue

    taskqueue.add(url=f"/tutorial/{path}", params=values)


def _deliver(trial: Trial) -> Attempt:
    """Run one attempt. A slip, such as a NameError, ends the check. Any other exception may be intended."""
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception in SLIPS:
        trial.failed(ticket)
    return attempt


RUNS = {
    "4.x": (
        _ask_again,
        (
            _Fetches(days=(("Monday", 2),)),
            _Fetches(
                what="the office responds immediately for one day, and at the fifth attempt for another day",
                patterns=frozenset({Pattern.SIZES}),
                days=(("Tuesday", 0), ("Wednesday", 4)),
            ),
        ),
    ),
    "4.y": (
        _store_once,
        (
            _Likes(likes=[("17", "Ada")], lab={"duplicates": 1.0}),
            _Likes(
                what="two readers like one article, and one of them likes another article and clicks twice",
                patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.KEYS}),
                lab={"duplicates": 1.0},
                likes=[("17", "Ada"), ("17", "Adam"), ("7", "Ada"), ("7", "Ada")],
            ),
        ),
    ),
}
