"""A learner's progress for somebody else: what was solved, when, after how much; nothing about who or where."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from harness.checks import ledger
from harness.checks.course import exercises
from harness.checks.ledger.schema import Entry

SCHEMA = "taskqueue-course/progress"


def progress_report() -> dict[str, Any]:
    """Return the progress in every exercise of the course, ready for JSON.

    Days are in UTC; the time of day is left out, as nobody else's business.

    Raises:
        ProgressError: the progress cannot be read, or is of a newer course.
    """
    entries = ledger.saved_entries()
    rows = [
        {"number": each.number, "title": each.title, **_said(entries.get(each.number, Entry()))} for each in exercises()
    ]
    return {
        "schema": SCHEMA,
        "schema_version": 1,
        "course_version": metadata.version("harness"),
        "solved": sum(row["solved"] for row in rows),
        "of": len(rows),
        "exercises": rows,
    }


def _said(entry: Entry) -> dict[str, Any]:
    day = entry.date and entry.date.partition("T")[0]
    return {"solved": entry.solved, "date": day, "checks": entry.checks, "hints": entry.hints}
