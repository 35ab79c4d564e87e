"""Display records as one line, as text for a terminal and as HTML for a notebook. Importing this registers the cards.

    from harness.show import tasks_table
    tasks_table(tasks, now)      # a sequence that is displayed as a table

A display is made from records alone and is the same on every run, because it contains only virtual times and no
memory addresses, file paths or ticket ids.
"""

from harness.records import (
    Attempt,
    Frame,
    Overlap,
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
from harness.show import record_cards, task_cards
from harness.show.tables import (
    Column,
    Table,
    attempts_table,
    mails_table,
    overlap_card,
    progress_table,
    rows_table,
    tasks_table,
)

__all__ = ["Column", "Table", "attempts_table", "mails_table", "progress_table", "rows_table", "tasks_table"]

Record.cards.update(
    {
        Attempt: task_cards.attempt_card,
        Frame: record_cards.frame_card,
        Overlap: overlap_card,
        QueueSample: task_cards.sample_card,
        QueueStatistics: task_cards.statistics_card,
        Request: record_cards.request_card,
        Response: record_cards.response_card,
        Route: record_cards.route_card,
        TaskInfo: task_cards.task_card,
        Ticket: record_cards.ticket_card,
        Trace: task_cards.trace_card,
    }
)
