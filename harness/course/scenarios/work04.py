"""What the checks of lesson 04 share: a user's request, the attempts that follow, and functions that must stay."""

import ast
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.course.catalogue import body, stub_cells
from harness.course.checks.expectations import letters, names_tried, own_instance
from harness.course.scenarios.scenarios04 import Work
from harness.course.trial import SLIPS, Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Response, TaskInfo

Leave = Callable[[], None]
_SHOWN = 8  # statuses in a message


@contextmanager
def first_instance(trial: Trial, row: Work) -> Iterator[Leave]:
    """Let an instance serve the requests in this scope, and yield a function with which `step` leaves it."""
    with ExitStack() as instance:
        if row.elsewhere is not None:
            instance.enter_context(own_instance(trial))
        yield instance.close


def add_task(trial: Trial, row: Work, path: str, table: Callable[[Trial], Rows], **query: Any) -> TaskInfo:
    """Send a user's request, require that it adds one task and writes no row, and return the task."""
    with names_tried(trial) as names:
        new = add_tasks(trial, row, path, table, **query)
    happened = f"the request added {quantity(len(new), 'task')}"
    key = _why_not_one(trial, len(new), any(names))
    trial.expect(len(new) == 1, key, happened, "each request adds exactly one task")
    return new[0]


def add_tasks(trial: Trial, row: Work, path: str, table: Callable[[Trial], Rows], **query: Any) -> list[TaskInfo]:
    """Send a user's request, require that it writes no row, and return the tasks that it has added."""
    before, known = table(trial), {task.identity for task in trial.lab.tasks()}
    trial.get(path, **query)
    rows, new = table(trial), [task for task in trial.lab.tasks() if task.identity not in known]
    happened = f"after the request, and before any attempt of its task, the table contains {rows[-3:] or 'no row'}"
    trial.expect(rows == before, "foreground", happened, f"{before[-3:] or 'no row'}, because the worker writes")
    trial.lab._engine.clock.advance(row.pause)
    return new


def _why_not_one(trial: Trial, count: int, is_named: bool) -> str | None:
    if count:
        return trial.if_known("several-tasks")
    if is_named:
        return trial.if_known("name-taken")
    if trial.situation or trial.lab.attempts or trial.lab.tasks():
        return trial.if_known("lost-request")
    return trial.if_known("not-queued")


def step(trial: Trial, row: Work, leave: Leave, kill_after: int | None = None) -> Attempt:
    """Run one attempt on the instance that the row names. A slip, such as a NameError, ends the check."""
    if row.elsewhere is not None and len(trial.lab.attempts) + 1 >= row.elsewhere:
        leave()
    trial.called = "lab.step()"
    if row.gap and trial.lab.attempts:
        trial.lab._engine.clock.advance(row.gap)
    turns = row.deaths.get(trial.lab.tasks()[0].retries + 1, kill_after)
    attempt = _step_without_instance(trial) if turns == 0 else trial.lab.step(turns)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception in SLIPS:
        trial.failed(ticket)
    return attempt


def _step_without_instance(trial: Trial) -> Attempt:
    """Run one attempt that never reaches the worker, and so gets no response."""
    dispatcher = trial.lab._engine.dispatcher
    send = dispatcher._send_together
    dispatcher._send_together = lambda *_: [Response(0, killed=True)]
    try:
        return trial.lab.step(0)
    finally:
        dispatcher._send_together = send


def run(trial: Trial, row: Work, leave: Leave, most: int) -> list[Attempt]:
    """Run attempts until the queue is empty, but at most `most`."""
    made: list[Attempt] = []
    while trial.lab.tasks() and len(made) < most:
        made.append(step(trial, row, leave))
    return made


def of_task(attempts: list[Attempt], task: TaskInfo) -> list[Attempt]:
    """Return the attempts of one task."""
    return [attempt for attempt in attempts if attempt.task.identity == task.identity]


def added_by(trial: Trial, attempt: Attempt) -> list[TaskInfo]:
    """Return the tasks that an attempt has added and that still wait."""
    own = attempt.task.identity
    return [task for task in trial.lab.tasks() if task.identity != own and task.created >= attempt.started]


def is_form_of(found: object, given: str) -> bool:
    """Return whether a value may have been made of a given one, by `strip`, `lower`, a slice or a default."""
    short = letters(str(found)).casefold()
    return found is not None and (not given.strip() or (bool(short) and short in letters(given).casefold()))


def statuses(attempts: list[Attempt]) -> str:
    """Return the statuses of attempts for a message: "500, 500, 200"."""
    shown = ", ".join("none" if attempt.response.killed else str(attempt.status) for attempt in attempts[:_SHOWN])
    return f"{shown}, and so on" if len(attempts) > _SHOWN else shown or "none"


def is_changed(trial: Trial, file: str, name: str) -> bool:
    """Return whether a function that the learner has to leave as it is differs from that of the exercise."""
    stub = _functions(body(stub_cells(trial.exercise)[file]), name)
    return [ast.dump(each) for each in stub] != [ast.dump(each) for each in _functions(trial.lab.read(file), name)]


def _functions(source: str, name: str) -> list[ast.FunctionDef]:
    return [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef) and each.name == name]


def replace_body(trial: Trial, file: str, name: str, line: str, mistake: str) -> None:
    """Replace the body of a function that the learner has to leave as it is by one line; no other line moves."""
    source = trial.lab.read(file)
    found = _functions(source, name)
    expected = f"a function {name} at the top level of the file, as the exercise has it"
    trial.expect(found, mistake, f"{file} defines no function {name}", expected)
    first, last = found[-1].body[0].lineno - 1, found[-1].body[-1].end_lineno or 0
    lines = source.splitlines()
    if first == found[-1].lineno - 1:  # `def name(): ...` in one line
        lines[first] = f"{lines[first][: found[-1].body[0].col_offset]}{line}"
    else:
        lines[first] = f"    {line}"
    lines[first + 1 : last] = [""] * (last - first - 1)
    trial.lab.write(file, "\n".join(lines) + "\n")
