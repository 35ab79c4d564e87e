"""How records look: as one line, as text for a terminal, as HTML for a notebook. Importing this registers it.

    from harness.display import tasks_table
    tasks_table(tasks, now)      # a sequence that shows itself as a table

What is shown is made of records alone, and is the same on every run: virtual times, no addresses, no paths, no ticket
numbers. The modules that draw are loaded when the first record is shown: `import harness` is light, and each of them
can be run to show itself (`python -m harness.display.trace`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.records import (
    Attempt,
    Frame,
    Painter,
    QueueSample,
    Record,
    Request,
    Response,
    Route,
    TaskInfo,
    Ticket,
    Trace,
)

if TYPE_CHECKING:
    from harness.display.card import Card
    from harness.display.listings import attempts_table, progress_table, rows_table, tasks_table
    from harness.display.table import Column, Table

__all__ = ["Column", "Table", "attempts_table", "progress_table", "rows_table", "tasks_table"]

_HOMES = {
    "Column": "table",
    "Table": "table",
    "attempts_table": "listings",
    "progress_table": "listings",
    "rows_table": "listings",
    "tasks_table": "listings",
}
_CARDS: dict[type[Record], tuple[str, str]] = {
    Attempt: ("task", "attempt_card"),
    Frame: ("code", "frame_card"),
    QueueSample: ("task", "sample_card"),
    Request: ("exchange", "request_card"),
    Response: ("exchange", "response_card"),
    Route: ("code", "route_card"),
    TaskInfo: ("task", "task_card"),
    Ticket: ("code", "ticket_card"),
    Trace: ("trace", "trace_card"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _find(_HOMES[name], name)


def _find(module: str, name: str) -> Any:
    return getattr(import_module(f"{__name__}.{module}"), name)


def _painter(module: str, name: str) -> Painter:
    def make(record: Record) -> Card:
        card: Card = _find(module, name)(record)
        return card

    return Painter(
        line=lambda record: f"<{make(record).line}>",
        text=lambda record: make(record).text(),
        html=lambda record: make(record).html(),
    )


Record.painters.update({kind: _painter(*home) for kind, home in _CARDS.items()})
