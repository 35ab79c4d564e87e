"""From a visit to the worker: what several exercises expect of a task on its way."""

from __future__ import annotations

from typing import Any

from harness.checks.trial import Trial
from harness.records import TaskInfo, find_header

Rows = list[tuple[Any, ...]]

_PARSED = ("none", "application/x-www-form-urlencoded", "application/json")  # what web2py puts into request.vars


def expect_nothing_new(
    trial: Trial, before: Rows, table: str = "mytable", fields: tuple[str, ...] = ("old", "new"), app: str | None = None
) -> None:
    """Go on if a table still holds the rows of before the visit: the work is the worker's."""
    new = trial.rows(table, *fields, app=app)[len(before) :]
    trial.expect(
        not new,
        "called-directly",
        happened=f"{new} was in {table} before any task ran",
        expected="a task in the queue, and no new row yet",
    )


def expect_address(trial: Trial, task: TaskInfo, worker: str) -> None:
    """Go on if a task has an address of its own."""
    trial.expect(
        not task.url.startswith("/_ah/"),
        "no-address",
        happened=f"the task goes to {task.url} and carries {task.text[:60]!r}",
        expected=f"the task goes to your action {worker}",
    )


def work(trial: Trial, task: TaskInfo) -> None:
    """Run the task that is next, and go on if its worker answered with success.

    web2py 2.26 raises a TypeError in a worker that looks for `request.vars` in a plain body, web2py 3.3 gives it empty
    ones: to the learner it is the same mistake.
    """
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception == "TypeError" and is_plain(task):
        happened = f"the worker ended with a TypeError, {ticket.message!r}"
        trial.wrong(trial.if_known("plain-payload"), happened=happened, expected="the worker finds its values")
    if ticket is not None:
        trial.failed(ticket)
    trial.succeed(attempt, "wrong-address")


def expect_no_echo(trial: Trial) -> None:
    """Go on if the task that ran last left no other behind."""
    waiting = [task.url for task in trial.lab.tasks()]
    done = trial.lab.attempts[-1].request.url
    trial.expect(
        not waiting,
        trial.if_known("itself") if _action(done) in map(_action, waiting) else None,
        happened=f"the task for {done} was done, and left another, for {', '.join(waiting)}",
        expected="an empty queue: one task does the work, and adds no other",
    )


def _action(url: str) -> list[str]:
    """Return what an address says of application, controller and function."""
    return url.partition("?")[0].split("/")[1:4]


def is_plain(task: TaskInfo) -> bool:
    """Tell whether the body is of a type that web2py does not parse."""
    return content_type(task) not in _PARSED


def content_type(task: TaskInfo) -> str:
    """Return the type of a task's body, without its charset; "none" where it has none."""
    return (find_header(task.headers, "content-type") or "none").partition(";")[0].lower()
