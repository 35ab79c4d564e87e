"""Verdicts as single lines, and the course as a table with a bar for each lesson."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.checks.course import exercises, lessons
from harness.checks.verdict import Outcome, Verdict

STYLES = {Outcome.CORRECT: "green", Outcome.WRONG: "red", Outcome.ERROR: "red", Outcome.NOT_ATTEMPTED: "yellow"}
_STANDS = len("1.1 error in your code  ")
_BAR = 24  # columns


def console() -> Console:
    """Return a console for the standard output that leaves text as it is."""
    return Console(highlight=False, markup=False, emoji=False)


def verdict_line(verdict: Verdict) -> Text:
    """Say in one line how an exercise stands, and why where it is not correct."""
    stands, _, why = verdict.headline.partition(": ")
    return Text.assemble((f"{stands:<{_STANDS}}", STYLES[verdict.outcome]), why)


def progress_table(solved: Collection[str]) -> Table:
    """Return the course as a table: a row per lesson, with what is done and a bar."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for lesson in lessons():
        if lesson.exercises:
            _add_row(table, lesson.number, lesson.title, [each.number for each in lesson.exercises], solved)
    table.add_row()
    _add_row(table, "all", "", [each.number for each in exercises()], solved)
    return table


def _add_row(table: Table, number: str, title: str, wanted: list[str], solved: Collection[str]) -> None:
    done = sum(exercise in solved for exercise in wanted)
    table.add_row(number, title, bar(done, len(wanted)), f"{done} of {len(wanted)}")


def bar(done: int, every: int) -> ProgressBar:
    """Return a bar that is full when all is done."""
    return ProgressBar(every, done, width=_BAR, style="bright_black", complete_style="green", finished_style="green")
