"""Tables of tasks, of attempts and of database rows. `python -m harness.display.listings` shows one each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from harness.display.table import Column, Table
from harness.display.task import retry_words, task_data
from harness.display.times import clock, duration, quantity, relative
from harness.display.values import plain
from harness.records import Attempt, Outcome, TaskInfo, TaskState


def list_tasks(tasks: Iterable[TaskInfo], now: datetime) -> Table[TaskInfo]:
    """See `harness.display.tasks_table`."""
    columns = [
        Column[TaskInfo]("task", lambda task: task.name),
        Column[TaskInfo]("queue", lambda task: task.queue),
        Column[TaskInfo]("request", lambda task: f"{task.method} {task.url}"),
        Column[TaskInfo]("data", task_data),
        Column[TaskInfo]("ETA", lambda task: f"{clock(task.eta, now)} ({relative(task.eta, now)})"),
        Column[TaskInfo]("state", lambda task: "" if task.state is TaskState.WAITING else task.state),
        Column[TaskInfo]("retries", lambda task: str(task.retries or ""), right=True),
        Column[TaskInfo]("tag", lambda task: task.tag or ""),
    ]
    return Table(tasks, columns, _count_states, "no task waits")


def _count_states(tasks: Sequence[TaskInfo]) -> str:
    states = Counter(task.state for task in tasks)
    if list(states) == [TaskState.WAITING]:
        return f"{quantity(len(tasks), 'task')} {'waits' if len(tasks) == 1 else 'wait'}"
    parts = [f"{states[state]:,} {state}" for state in TaskState if states[state]]
    return f"{quantity(len(tasks), 'task')}: {', '.join(parts)}"


def list_attempts(attempts: Sequence[Attempt], note: str = "") -> Table[Attempt]:
    """See `harness.display.attempts_table`."""
    day = attempts[0].started if attempts else None
    columns = [
        Column[Attempt]("attempt", lambda attempt: str(attempt.number), right=True),
        Column[Attempt]("at", lambda attempt: clock(attempt.started, day)),
        Column[Attempt]("task", lambda attempt: attempt.task.name),
        Column[Attempt]("queue", lambda attempt: attempt.task.queue),
        Column[Attempt]("request", lambda attempt: f"{attempt.request.method} {attempt.request.url}"),
        Column[Attempt]("status", lambda attempt: str(attempt.status or "none"), right=True),
        Column[Attempt]("took", lambda attempt: duration(attempt.elapsed), right=True),
        Column[Attempt]("then", _then, limit=80),
        Column[Attempt]("remark", lambda attempt: "delivered twice" if attempt.duplicate else ""),
    ]
    return Table(attempts, columns, _count_outcomes, "no attempt was made", note)


def _then(attempt: Attempt) -> str:
    """Say what the queue did after an attempt; the status stands in a column of its own."""
    if attempt.outcome is Outcome.RETRY:
        return retry_words(attempt)
    if attempt.outcome is Outcome.DONE or not attempt.note:
        return attempt.outcome
    return f"{attempt.outcome}: {attempt.note}"


def _count_outcomes(attempts: Sequence[Attempt]) -> str:
    words = {
        Outcome.DONE: "done",
        Outcome.RETRY: "failed and retried",
        Outcome.DROPPED: "failed and dropped",
        Outcome.DELETED: "deleted meanwhile",
    }
    outcomes = Counter(attempt.outcome for attempt in attempts)
    parts = [f"{outcomes[outcome]:,} {words[outcome]}" for outcome in Outcome if outcomes[outcome]]
    return f"{quantity(len(attempts), 'attempt')}: {', '.join(parts)}"


def list_rows(rows: Sequence[dict[str, Any]], name: str) -> Table[dict[str, Any]]:
    """See `harness.display.rows_table`."""
    columns = [_row_column(key, rows) for key in dict.fromkeys(key for row in rows for key in row)]
    return Table(rows, columns, lambda rows: f"{name}: {quantity(len(rows), 'row')}", f"{name} is empty")


def _row_column(key: str, rows: Sequence[dict[str, Any]]) -> Column[dict[str, Any]]:
    values = [row.get(key) for row in rows]
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values if value is not None
    )
    return Column(str(key), lambda row: plain(row[key]) if key in row else "", right=numbers, keep=True)


def list_exercises(exercises: Iterable[tuple[str, str, bool]]) -> Table[dict[str, str]]:
    """See `harness.display.progress_table`."""
    rows = [
        {"exercise": number, "title": title, "solved": "yes" if solved else "not yet"}
        for number, title, solved in exercises
    ]
    columns = [Column[dict[str, str]](key, itemgetter(key), limit=80) for key in ("exercise", "title", "solved")]
    return Table(rows, columns, _count_solved, "the course has no exercises")


def _count_solved(rows: Sequence[Mapping[str, str]]) -> str:
    solved = sum(row["solved"] == "yes" for row in rows)
    return f"{solved} of {quantity(len(rows), 'exercise')} solved"


if __name__ == "__main__":
    from harness.display.example import ATTEMPTS, TASK

    print(list_tasks([TASK], TASK.created), list_attempts(ATTEMPTS), sep="\n\n")
    print(list_rows([{"id": 1, "old": "original text", "new": None}], "mytable"), sep="\n\n")
