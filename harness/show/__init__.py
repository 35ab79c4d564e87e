"""How records look: as one line, as text for a terminal, as HTML for a notebook. Importing this registers it.

    from harness.show import tasks_table
    tasks_table(tasks, now)      # a sequence that shows itself as a table

A display is made from records alone and is the same on every run: virtual times, no addresses, no paths, no ticket
numbers. The modules that draw are imported when they are first needed, so that `import harness` is fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.records import (
    Attempt,
    Frame,
    Painter,
    QueueSample,
    QueueStatistics,
    Record,
    Request,
    Response,
    Route,
    TaskInfo,
    Ticket,
    Trace,
)
from harness.show.tables import Column, Table

if TYPE_CHECKING:
    from harness.show.card import Card

__all__ = ["Column", "Table", "attempts_table", "progress_table", "rows_table", "tasks_table"]

_CARDS: dict[type[Record], tuple[str, str]] = {
    Attempt: ("task_cards", "attempt_card"),
    Frame: ("record_cards", "frame_card"),
    QueueSample: ("task_cards", "sample_card"),
    QueueStatistics: ("task_cards", "statistics_card"),
    Request: ("record_cards", "request_card"),
    Response: ("record_cards", "response_card"),
    Route: ("record_cards", "route_card"),
    TaskInfo: ("task_cards", "task_card"),
    Ticket: ("record_cards", "ticket_card"),
    Trace: ("task_cards", "trace_card"),
}


def tasks_table(tasks: Iterable[TaskInfo], now: datetime) -> Table[TaskInfo]:
    """Show tasks as a table.

    Args:
        tasks: in the order in which they are to be shown.
        now: the lab's virtual instant, from which each ETA is seen.
    """
    from harness.show.tables import list_tasks

    return list_tasks(tasks, now)


def attempts_table(attempts: Iterable[Attempt], note: str = "") -> Table[Attempt]:
    """Show attempts as a table, in the order given; `note` stands below them."""
    from harness.show.tables import list_attempts

    return list_attempts(tuple(attempts), note)


def rows_table(rows: Iterable[Mapping[str, Any]], name: str) -> Table[dict[str, Any]]:
    """Show the rows of a database table.

    Args:
        rows: one mapping a row, from column to value.
        name: the database table's.
    """
    from harness.show.tables import list_rows

    return list_rows([dict(row) for row in rows], name)


def progress_table(exercises: Iterable[tuple[str, str, bool]]) -> Table[dict[str, str]]:
    """Show the exercises of the course.

    Args:
        exercises: number ("1.1"), title, and whether it is solved.
    """
    from harness.show.tables import list_exercises

    return list_exercises(exercises)


def _painter(module: str, name: str) -> Painter:
    def make(record: Record) -> Card:
        card: Card = getattr(import_module(f"{__name__}.{module}"), name)(record)
        return card

    return Painter(
        line=lambda record: f"<{make(record).line}>",
        text=lambda record: make(record).text(),
        html=lambda record: make(record).html(),
    )


Record.painters.update({kind: _painter(*home) for kind, home in _CARDS.items()})
