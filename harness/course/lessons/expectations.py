"""What the checks of several exercises require of a task, from the user's request to the worker."""

import builtins
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.course.trial import SLIPS, Trial
from harness.records import Attempt, Response, TaskInfo, find_header

Rows = list[tuple[Any, ...]]

EDITS = (("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))
NO_COOKIE = {"Cookie": ""}  # a program, or a browser on its first visit
_PARSED = ("none", "application/x-www-form-urlencoded", "application/json")  # web2py puts these into request.vars
_SHARED = (
    "databases",
    "errors",
    "sessions",
)  # App Engine needs sessions in the database; these folders stand in for it
_CLEAR_CACHES = "def index():\n    cache.ram.clear()\n    cache.disk.clear()\n"


def queue_task(
    trial: Trial,
    path: str,
    query: Mapping[str, Any],
    table: str = "mytable",
    fields: tuple[str, ...] = ("old", "new"),
    app: str | None = None,
) -> tuple[Rows, TaskInfo]:
    """Send a user's GET request, and require that it queues one task and leaves the work to the worker.

    Returns:
        The rows that the table had before, and the task.
    """
    before = trial.rows(table, *fields, app=app)
    trial.get(path, **query)
    expect_nothing_new(trial, before, table, fields, app)
    return before, trial.one_task(missing="not-queued")


def expect_nothing_new(
    trial: Trial, before: Rows, table: str = "mytable", fields: tuple[str, ...] = ("old", "new"), app: str | None = None
) -> None:
    """Require that a table still has the rows from before the request, because only the worker may write."""
    new = trial.rows(table, *fields, app=app)[len(before) :]
    trial.expect(
        not new,
        "called-directly",
        happened=f"{new} was in {table} before any task ran",
        expected="a task in the queue, and no new row yet",
    )


def expect_rows(trial: Trial, rows: Rows, expected: Rows, mistake: str | None, found: str = "the worker wrote") -> None:
    """Require that rows equal the expected ones; `found` introduces the rows in the message."""
    trial.expect(rows == expected, mistake, happened=f"{found} {rows or 'no row'}", expected=f"{expected}")


def expect_address(trial: Trial, task: TaskInfo, worker: str) -> None:
    """Require that a task has an address of its own."""
    trial.expect(
        not task.url.startswith("/_ah/"),
        "no-address",
        happened=f"the task goes to {task.url} and carries {task.text[:60]!r}",
        expected=f"the task goes to your action {worker}",
    )


def expect_short_wait(trial: Trial, response: Response, mistake: str) -> None:
    """Require that a user waited for less than a second."""
    trial.expect(
        response.elapsed < 1,
        mistake,
        happened=f"the user waited {response.elapsed:g} s for the response",
        expected="the user waits for less than 1 s",
    )


def work(trial: Trial, task: TaskInfo) -> None:
    """Run the next task, and require that its worker succeeds.

    If a worker looks for `request.vars` in a plain body, web2py 2.26 raises a TypeError, and web2py 3.3 finds no vars.
    Both are the same mistake to the learner.
    """
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception == "TypeError" and is_plain(task):
        happened = f"the worker ended with a TypeError, {ticket.message!r}"
        trial.wrong(trial.if_known("plain-payload"), happened=happened, expected="the worker finds its values")
    if ticket is not None:
        trial.failed(ticket)
    trial.succeed(attempt, "wrong-address")


def step_without_slip(trial: Trial) -> Attempt:
    """Run one attempt. It may fail, but an exception such as a NameError ends the check."""
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception in SLIPS:
        trial.failed(ticket)
    return attempt


def expect_no_echo(trial: Trial) -> None:
    """Require that the task that ran last left no other task."""
    waiting = [task.url for task in trial.lab.tasks()]
    done = trial.lab.attempts[-1].request.url
    trial.expect(
        not waiting,
        trial.if_known("itself") if _action(done) in map(_action, waiting) else None,
        happened=f"the task for {done} ran and left another task, for {', '.join(waiting)}",
        expected="an empty queue, because one task does the work and adds no other",
    )


def _action(url: str) -> list[str]:
    """Return the application, the controller and the function in an address."""
    return url.partition("?")[0].split("/")[1:4]


def is_plain(task: TaskInfo) -> bool:
    """Return whether web2py doesn't parse the type of a task's body."""
    return content_type(task) not in _PARSED


def content_type(task: TaskInfo) -> str:
    """Return the type of a task's body in lower case, without its charset, or "none"."""
    return (find_header(task.headers, "content-type") or "none").partition(";")[0].lower()


@contextmanager
def own_instance(trial: Trial) -> Iterator[None]:
    """Let a separate instance of the application serve the requests in this scope.

    Afterwards, the values that the learner's code kept in memory or wrote to the disk are removed, because another
    instance, or the same one after a restart, wouldn't have them. The database, the sessions and the queue stay.
    """
    modules, names, environ, files = set(sys.modules), set(vars(builtins)), dict(os.environ), _files(trial)
    try:
        yield
    finally:
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__spec__", None) is None:  # it was not imported
                del sys.modules[name]
        for name in set(vars(builtins)) - names:
            delattr(builtins, name)
        os.environ.clear()
        os.environ.update(environ)
        for file in _files(trial) - files:
            file.unlink(missing_ok=True)
        trial.lab.write("controllers/instance.py", _CLEAR_CACHES)
        trial.lab.get("instance/index")


def _files(trial: Trial) -> set[Path]:
    """Return the files of the lab that belong to one instance."""
    root = trial.lab._engine.site.root
    found = (Path(folder) / file for folder, _, files in os.walk(root) for file in files)
    return {file for file in found if not set(_SHARED) & set(file.relative_to(root).parts)}
