"""A sequence that shows itself as a table; it is otherwise like a list that cannot be changed.

>>> table[0], len(table), table[1:3], table == [...]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar, overload

from harness.records import Attempt, Outcome, TaskInfo, TaskState
from harness.show.card import unfold
from harness.show.task_cards import retry_words, task_data
from harness.show.text import LONG, clean, clock, duration, plain, quantity, relative, shorten, width

T = TypeVar("T")
_MANY = 40  # rows that are shown; of a longer table the first and the last
_HEAD, _TAIL = 20, 10


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column: its title, how to write the value of an item ("" leaves the cell empty), on which side it is set.

    A column whose cells are all empty is left out, unless `keep` is set. Values wider than `limit` columns of a
    terminal are cut in the middle.
    """

    title: str
    show: Callable[[T], str]
    right: bool = False
    keep: bool = False
    limit: int = 48


class Cell(NamedTuple):
    """What a cell shows, whether that was cut short, and all of it where that is not too long."""

    short: str
    cut: bool = False
    full: str = ""


class Table(Sequence[T]):
    """An immutable sequence of items, shown as a table.

    Args:
        items: the rows.
        columns: how an item becomes cells.
        caption: what the rows are, in words, from the rows ("2 tasks wait").
        empty: what to say when there is no row ("no task waits").
        note: what else there is to say, below the rows, or where there is none.
    """

    __slots__ = ("_caption", "_columns", "_empty", "_items", "_note")
    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has no hash either

    def __init__(
        self,
        items: Iterable[T],
        columns: Iterable[Column[T]],
        caption: Callable[[Sequence[T]], str],
        empty: str,
        note: str = "",
    ) -> None:
        self._items = tuple(items)
        self._columns = tuple(columns)
        self._caption = caption
        self._empty = empty
        self._note = clean(note)

    @property
    def columns(self) -> tuple[str, ...]:
        """The titles of the columns, left to right."""
        return tuple(column.title for column in self._columns)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Table[T]: ...
    def __getitem__(self, index: int | slice) -> T | Table[T]:
        if isinstance(index, slice):
            return Table(self._items[index], self._columns, self._caption, self._empty, self._note)
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Table):
            return self._items == other._items
        if isinstance(other, (list, tuple)):
            return list(self._items) == list(other)
        return NotImplemented

    def __repr__(self) -> str:
        return "\n".join([*self._text(), *([self._note] if self._note else [])])

    def _repr_html_(self) -> str:
        note = f"<p>{escape(self._note)}</p>" if self._note else ""
        return (self._html() if self._items else f"<p>{escape(clean(self._empty))}</p>") + note

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _rows(self) -> tuple[list[Column[T]], list[list[Cell] | None]]:
        """Return the columns that say something, and the cells that are shown; None stands for rows left out."""
        items: Sequence[T | None] = self._items
        if len(items) > _MANY:
            items = [*items[:_HEAD], None, *items[-_TAIL:]]
        cells = [
            None if item is None else [_cell(column.show(item), column.limit) for column in self._columns]
            for item in items
        ]
        used = [
            place
            for place, column in enumerate(self._columns)
            if column.keep or any(row and row[place].short for row in cells)
        ]
        return [self._columns[place] for place in used], [row and [row[place] for place in used] for row in cells]

    def _left_out(self) -> str:
        hidden = f"{len(self) - _HEAD - _TAIL:,} more rows"
        return f"… {hidden}: a slice such as [{_HEAD}:{_HEAD + 30}] shows them …"

    def _heading(self, rows: list[list[Cell] | None]) -> str:
        cut = any(cell.cut for row in rows if row for cell in row)
        return clean(self._caption(self._items)) + (
            " (… is a value cut short: index the row, as in [0], for all of it)" if cut else ""
        )

    def _text(self) -> Iterable[str]:
        if not self._items:
            return [clean(self._empty)]
        columns, rows = self._rows()
        grid = [[shorten(clean(column.title), column.limit) for column in columns]]
        grid += [[cell.short for cell in row] for row in rows if row is not None]
        widths = [max(map(width, cells)) for cells in zip(*grid, strict=True)]
        lines = [_line(cells, widths, columns) for cells in grid]
        lines.insert(1, "  ".join("-" * wide for wide in widths))
        if None in rows:
            lines.insert(2 + _HEAD, self._left_out())
        return [self._heading(rows), *lines]

    def _html(self) -> str:
        columns, rows = self._rows()
        sides = [f'style="text-align:{"right" if column.right else "left"}"' for column in columns]
        head = "".join(
            f'<th scope="col" {side}>{escape(shorten(clean(column.title), column.limit))}</th>'
            for column, side in zip(columns, sides, strict=True)
        )
        gap = f'<tr><td colspan="{len(columns)}" style="text-align:left">{escape(self._left_out())}</td></tr>'
        body = "".join(gap if row is None else _html_row(row, sides) for row in rows)
        caption = f'<caption style="text-align:left">{escape(self._heading(rows))}</caption>'
        return f'<table style="margin:0">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(text: str, limit: int) -> Cell:
    sample = clean(text if len(text) < 2000 else text[:1000] + text[-1000:])
    short = shorten(sample, limit)
    if short == sample:
        return Cell(short)
    return Cell(short, True, "\n".join(map(clean, text.split("\n"))) if len(text) <= LONG else "")


def _line(cells: list[str], widths: list[int], columns: list[Column[Any]]) -> str:
    padded = []
    for cell, wide, column in zip(cells, widths, columns, strict=True):
        gap = " " * (wide - width(cell))
        padded.append(gap + cell if column.right else cell + gap)
    return "  ".join(padded).rstrip()


def _html_row(row: list[Cell], sides: list[str]) -> str:
    cells = [unfold(escape(cell.short), cell.full) for cell in row]
    rest = "".join(f"<td {side}>{cell}</td>" for cell, side in zip(cells[1:], sides[1:], strict=True))
    return f'<tr><th scope="row" {sides[0]}>{cells[0]}</th>{rest}</tr>'


# Tables of tasks, of attempts and of database rows.


def list_tasks(tasks: Iterable[TaskInfo], now: datetime) -> Table[TaskInfo]:
    """See `harness.show.tasks_table`."""
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
    """See `harness.show.attempts_table`."""
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
    """See `harness.show.rows_table`."""
    columns = [_row_column(key, rows) for key in dict.fromkeys(key for row in rows for key in row)]
    return Table(rows, columns, lambda rows: f"{name}: {quantity(len(rows), 'row')}", f"{name} is empty")


def _row_column(key: str, rows: Sequence[dict[str, Any]]) -> Column[dict[str, Any]]:
    values = [row.get(key) for row in rows]
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values if value is not None
    )
    return Column(str(key), lambda row: plain(row[key]) if key in row else "", right=numbers, keep=True)


def list_exercises(exercises: Iterable[tuple[str, str, bool]]) -> Table[dict[str, str]]:
    """See `harness.show.progress_table`."""
    rows = [
        {"exercise": number, "title": title, "solved": "yes" if solved else "not yet"}
        for number, title, solved in exercises
    ]
    columns = [Column[dict[str, str]](key, itemgetter(key), limit=80) for key in ("exercise", "title", "solved")]
    return Table(rows, columns, _count_solved, "the course has no exercises")


def _count_solved(rows: Sequence[Mapping[str, str]]) -> str:
    solved = sum(row["solved"] == "yes" for row in rows)
    return f"{solved} of {quantity(len(rows), 'exercise')} solved"
