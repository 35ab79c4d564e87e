"""From a visit to the worker: what several exercises expect of a task on its way."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.course.trial import Trial
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


# Another instance of the application: App Engine runs several, and what they share is the database and the queue.

_SHARED = ("databases", "errors", "sessions")  # sessions stand for those in a database, which App Engine asks for
_FORGETS = "def index():\n    cache.ram.clear()\n    cache.disk.clear()\n"


@contextmanager
def own_instance(trial: Trial) -> Iterator[None]:
    """Let an instance of its own serve what happens in this scope.

    What the learner's code kept in its memory, or wrote on its disk, is gone afterwards, as it is for another instance
    and for the same one after a restart. What is in the database, the sessions and the queue stays.
    """
    modules, names, environ, files = set(sys.modules), set(vars(builtins)), dict(os.environ), _files(trial)
    try:
        yield
    finally:
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__spec__", None) is None:  # no import made it
                del sys.modules[name]
        for name in set(vars(builtins)) - names:
            delattr(builtins, name)
        os.environ.clear()
        os.environ.update(environ)
        for file in _files(trial) - files:
            file.unlink(missing_ok=True)
        trial.lab.write("controllers/instance.py", _FORGETS)
        trial.lab.get("instance/index")


def _files(trial: Trial) -> set[Path]:
    """Return the files of the lab that belong to one instance."""
    root = trial.lab._engine.site.root
    found = (Path(folder) / file for folder, _, files in os.walk(root) for file in files)
    return {file for file in found if not set(_SHARED) & set(file.relative_to(root).parts)}
