"""Tables: immutable sequences that are displayed as tables. `table[1:3]` is a table, and `table == [...]` works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar, overload

from harness.errors import quantity
from harness.records import Attempt, Outcome, Overlap, Response, TaskInfo, TaskState, Turn
from harness.show.card import unfold
from harness.show.record_cards import status, symbol
from harness.show.task_cards import retry_time, task_data
from harness.show.text import LONG, clean, clock, duration, excerpt, plain, relative, shorten, width

T = TypeVar("T")
_MANY = 40  # rows that are shown; a longer table shows only its first and last rows
_HEAD, _TAIL = 20, 10
_PAD = "padding:0 0.5em"  # that of a cell, so that the text above a table begins where the text in it does
# Where a browser may break a URL or a name. Otherwise a table is wider than a small page.
_BREAKS = re.compile(r"(?<=\w)(?=/)|(?<=_)(?=\w)")
_SHORT = 40  # characters of a caption that isn't broken, also if its table is narrower


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table: its title, and a function that returns the cell of an item as a string.

    `right` aligns the cells to the right. A cell wider than `limit` columns of a terminal is shortened in its middle.
    """

    title: str
    show: Callable[[T], str]
    right: bool = False
    limit: int = 48


class Cell(NamedTuple):
    """The string that a cell shows, whether it was shortened, and the whole string if that isn't too long."""

    short: str
    cut: bool
    full: str


class Table(Sequence[T]):
    """An immutable sequence of items that is displayed as a table.

    Args:
        items: the rows.
        columns: the columns, from left to right.
        caption: returns the caption of some rows ("2 tasks wait").
        empty: the text that is shown if there are no rows ("no task waits").
        note: a text that is shown below the rows.
        whole: how a user gets the full value if it was shortened.
        note_html: the note as HTML, if it contains more than text, such as a link.
    """

    __slots__ = ("_caption", "_columns", "_empty", "_items", "_note", "_note_html", "_whole")
    __hash__ = None  # type: ignore[assignment]  # a table equals a list, which has no hash either

    def __init__(
        self,
        items: Iterable[T],
        columns: Iterable[Column[T]],
        caption: Callable[[Sequence[T]], str],
        empty: str,
        note: str = "",
        whole: str = "index the row, as in [0], to see all of it",
        note_html: str = "",
    ) -> None:
        self._items = tuple(items)
        self._columns = tuple(columns)
        self._caption = caption
        self._empty = empty
        self._note = clean(note)
        self._note_html = note_html or (f'<p style="{_PAD}">{escape(self._note)}</p>' if note else "")
        self._whole = whole

    @property
    def columns(self) -> tuple[str, ...]:
        """The titles of all columns, from left to right."""
        return tuple(column.title for column in self._columns)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Table[T]: ...
    def __getitem__(self, index: int | slice) -> T | Table[T]:
        if isinstance(index, slice):
            items, note = self._items[index], self._note
            return Table(items, self._columns, self._caption, self._empty, note, self._whole, self._note_html)
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
        empty = f'<p style="{_PAD}">{escape(clean(self._empty))}</p>'
        return (self._html() if self._items else empty) + self._note_html

    def _grid(self) -> tuple[list[Column[T]], list[list[Cell]]]:
        """Return the columns and the rows that are shown; a long table has a gap after the first rows."""
        items = self._items if len(self) <= _MANY else [*self._items[:_HEAD], *self._items[-_TAIL:]]
        rows = [[_cell(column, item) for column in self._columns] for item in items]
        used = [number for number in range(len(self._columns)) if any(row[number].short for row in rows)]
        return [self._columns[number] for number in used], [[row[number] for number in used] for row in rows]

    def _gap(self) -> str:
        return f"… {len(self) - _HEAD - _TAIL:,} more rows: a slice such as [{_HEAD}:{_HEAD + 30}] shows them …"

    def _heading(self, rows: list[list[Cell]]) -> str:
        cut = any(cell.cut for row in rows for cell in row)
        explanation = f" (… means that a value was shortened: {self._whole})"
        return clean(self._caption(self._items)) + (explanation if cut else "")

    def _text(self) -> list[str]:
        if not self._items:
            return [clean(self._empty)]
        columns, rows = self._grid()
        cells = [[_title(column) for column in columns], *([cell.short for cell in row] for row in rows)]
        widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
        lines = [_line(row, widths, columns) for row in cells]
        lines.insert(1, "  ".join("-" * wide for wide in widths))
        if len(self) > _MANY:
            lines.insert(2 + _HEAD, self._gap())
        return [self._heading(rows), *lines]

    def _html(self) -> str:
        columns, rows = self._grid()
        sides = [f'style="text-align:{"right;white-space:nowrap" if column.right else "left"}"' for column in columns]
        titles = zip(columns, sides, strict=True)
        head = "".join(f'<th scope="col" {side}>{escape(_title(column))}</th>' for column, side in titles)
        lines = [_html_row(row, sides) for row in rows]
        if len(self) > _MANY:
            gap = f'<td colspan="{len(columns)}" style="text-align:left">{escape(self._gap())}</td>'
            lines.insert(_HEAD, f"<tr>{gap}</tr>")
        body = "".join(lines)
        heading = self._heading(rows)
        wrap = "nowrap" if len(heading) <= _SHORT else "normal"
        caption = f'<caption style="text-align:left;{_PAD};white-space:{wrap}">{escape(heading)}</caption>'
        return f'<table style="margin:0">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _title(column: Column[Any]) -> str:
    return shorten(clean(column.title), column.limit)


def _cell(column: Column[T], item: T) -> Cell:
    text = column.show(item)
    short, cut = excerpt(text, column.limit)
    return Cell(short, cut, "\n".join(map(clean, text.split("\n"))) if cut and len(text) <= LONG else "")


def _line(cells: list[str], widths: list[int], columns: list[Column[Any]]) -> str:
    padded = []
    for cell, wide, column in zip(cells, widths, columns, strict=True):
        gap = " " * (wide - width(cell))
        padded.append(gap + cell if column.right else cell + gap)
    return "  ".join(padded).rstrip()


def _html_row(row: list[Cell], sides: list[str]) -> str:
    cells = [unfold(_BREAKS.sub("<wbr>", escape(cell.short)), cell.full) for cell in row]
    rest = "".join(f"<td {side}>{cell}</td>" for cell, side in zip(cells[1:], sides[1:], strict=True))
    return f'<tr><th scope="row" {sides[0]}>{cells[0]}</th>{rest}</tr>'


def tasks_table(tasks: Iterable[TaskInfo], now: datetime) -> Table[TaskInfo]:
    """Return a table of tasks in the order given, with ETAs relative to the lab's virtual time `now`."""
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


def attempts_table(attempts: Iterable[Attempt], note: str = "") -> Table[Attempt]:
    """Return a table of attempts, in the order given, with a note below it."""
    attempts = tuple(attempts)
    day = attempts[0].started if attempts else None
    columns = [
        Column[Attempt]("attempt", lambda attempt: str(attempt.number), right=True),
        Column[Attempt]("at", lambda attempt: clock(attempt.started, day)),
        Column[Attempt]("task", lambda attempt: attempt.task.name),
        Column[Attempt]("queue", lambda attempt: attempt.task.queue),
        Column[Attempt]("request", lambda attempt: f"{attempt.request.method} {attempt.request.url}"),
        Column[Attempt]("status", lambda attempt: f"{symbol(attempt.response)} {attempt.status or 'none'}", right=True),
        Column[Attempt]("took", lambda attempt: duration(attempt.elapsed), right=True),
        Column[Attempt]("next", _next, limit=80),
        Column[Attempt]("turns", lambda attempt: ", ".join(str(turn.number) for turn in attempt.response.turns)),
        Column[Attempt]("remark", _remark),
    ]
    return Table(attempts, columns, _count_outcomes, "no attempt was made", note)


def _next(attempt: Attempt) -> str:
    """Return what the queue did after an attempt, without the status, which has its own column."""
    if attempt.outcome is Outcome.RETRY:
        return retry_time(attempt)
    if attempt.outcome is Outcome.DONE or not attempt.note:
        return attempt.outcome
    return f"{attempt.outcome}: {attempt.note}"


def _remark(attempt: Attempt) -> str:
    remarks = ("delivered twice" if attempt.duplicate else "", "instance shut down" if attempt.response.killed else "")
    return ", ".join(filter(None, remarks))


def _count_outcomes(attempts: Sequence[Attempt]) -> str:
    outcomes = {
        Outcome.DONE: "done",
        Outcome.RETRY: "failed and retried",
        Outcome.DROPPED: "failed and dropped",
        Outcome.DELETED: "deleted while running",
    }
    counts = Counter(attempt.outcome for attempt in attempts)
    parts = [f"{counts[outcome]:,} {text}" for outcome, text in outcomes.items() if counts[outcome]]
    return f"{quantity(len(attempts), 'attempt')}: {', '.join(parts)}"


def rows_table(rows: Iterable[Mapping[str, Any]], name: str) -> Table[dict[str, Any]]:
    """Return a table of the rows of the database table `name`, each of which maps column names to values."""
    items = [dict(row) for row in rows]
    columns = [_row_column(key, items) for key in dict.fromkeys(key for row in items for key in row)]
    return Table(items, columns, lambda rows: f"{name}: {quantity(len(rows), 'row')}", f"{name} is empty")


def _row_column(key: str, rows: Sequence[Mapping[str, Any]]) -> Column[dict[str, Any]]:
    values = [row.get(key) for row in rows]
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values if value is not None
    )
    return Column(str(key), lambda row: plain(row[key]) if key in row else "", right=numbers)


def mails_table(mails: Iterable[Mapping[str, Any]]) -> Table[dict[str, Any]]:
    """Return a table of mails, each with the keys at (a datetime), sender, recipients (a list), subject and text."""
    items = [dict(mail) for mail in mails]
    day = items[0]["at"] if items else None
    columns = [
        Column[dict[str, Any]]("at", lambda mail: clock(mail["at"], day)),
        Column[dict[str, Any]]("sender", itemgetter("sender")),
        Column[dict[str, Any]]("recipients", lambda mail: ", ".join(mail["recipients"])),
        Column[dict[str, Any]]("subject", itemgetter("subject")),
        Column[dict[str, Any]]("text", itemgetter("text")),
    ]
    return Table(items, columns, lambda rows: quantity(len(rows), "mail"), "no mail was sent")


def turns_table(overlap: Overlap) -> Table[Turn]:
    """Return a table with a row for each turn: what each of the two requests ran, and how it ended."""
    first, second = (_party(each) for each in (overlap.first, overlap.second))
    columns = [
        Column[Turn]("turn", lambda turn: str(turn.number), right=True),
        *(
            Column[Turn](f"{which}: {name}", partial(_statement, which))
            for which, name in ((1, first), (2, second))
            if name
        ),
        Column[Turn]("result", lambda turn: turn.result, limit=80),
    ]
    results = [f"{which}: {_result(each)}" for which, each in ((1, overlap.first), (2, overlap.second)) if each]
    caption = f"{first} and {second} take turns" if second else first
    return Table(
        overlap.turns,
        columns,
        lambda turns: caption,
        f"{caption}, without a statement",
        "; ".join(results),
        ".turns[0] contains the whole statement of turn 1",
    )


def _statement(which: int, turn: Turn) -> str:
    return turn.statement if turn.request == which else ""


def _party(party: Attempt | Response | None) -> str:
    if isinstance(party, Attempt):
        return f"{party.task.name} (second delivery)" if party.duplicate else party.task.name
    request = party.request if party else None
    return f"{request.method} {request.url}" if request else ""


def _result(party: Attempt | Response) -> str:
    if isinstance(party, Attempt):
        return f"{party.outcome} ({party.note})"
    return "no response, because its instance was shut down" if party.killed else status(party)


def overlap_card(overlap: Overlap) -> TableCard:
    """Return the card of an overlap: the table of its turns, with the results below."""
    return TableCard(f"Overlap {_party(overlap.first)} | {_party(overlap.second)}", turns_table(overlap))


class TableCard(NamedTuple):
    """A card that consists of a table."""

    line: str
    table: Table[Any]

    def text(self) -> str:
        """Return the table as text for a terminal."""
        return repr(self.table)

    def html(self) -> str:
        """Return the table as HTML for a notebook."""
        return self.table._repr_html_()


def progress_table(
    lessons: Iterable[tuple[str, str, Sequence[bool]]], note: str, note_html: str = ""
) -> Table[dict[str, str]]:
    """Return a table of lessons.

    Args:
        lessons: for each lesson, its number ("01"), its title, and whether each of its exercises is solved.
        note: what comes next.
        note_html: the same as HTML, if it contains a link.
    """
    lessons = list(lessons)
    rows = [
        {
            "lesson": number,
            "title": title,
            "progress": "".join("■" if each else "□" for each in solved),
            "solved": f"{sum(solved)} of {len(solved)}",
        }
        for number, title, solved in lessons
    ]
    every = [each for _, _, solved in lessons for each in solved]
    caption = f"{sum(every)} of {quantity(len(every), 'exercise')} solved"
    columns = [Column[dict[str, str]](key, itemgetter(key), limit=80) for key in rows[0]] if rows else []
    return Table(rows, columns, lambda _: caption, "the course has no exercises", note, note_html=note_html)
