"""What a run measured: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Usage:
    """What one process or several use: memory in MB, and seconds of the processor since their start.

    PSS divides what processes have in common among them, RSS counts it for each.
    """

    pss: float = 0.0
    rss: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.pss + other.pss, self.rss + other.rss, self.processor + other.processor)


@dataclass
class Outcome:
    """How one learner fared; seconds are real ones."""

    learner: str
    spawn: float | None = None  # from the login to JupyterLab's page
    kernel: float | None = None  # from there to the first kernel's first answer
    run: float | None = None  # the notebook's cells
    cells: int = 0
    server: Usage | None = None
    kernels: Usage | None = None
    failures: list[str] = field(default_factory=list)


# What the table tells: the words, the unit, and where the figure is in an outcome.
ROWS: Sequence[tuple[str, str, Callable[[Outcome], float | None]]] = (
    ("log in and spawn", "s", lambda each: each.spawn),
    ("start a kernel", "s", lambda each: each.kernel),
    ("run the notebook", "s", lambda each: each.run),
    ("server: processor", "s", lambda each: each.server and each.server.processor),
    ("server: memory, PSS", "MB", lambda each: each.server and each.server.pss),
    ("server: memory, RSS", "MB", lambda each: each.server and each.server.rss),
    ("kernel: processor", "s", lambda each: each.kernels and each.kernels.processor),
    ("kernel: memory, PSS", "MB", lambda each: each.kernels and each.kernels.pss),
    ("kernel: memory, RSS", "MB", lambda each: each.kernels and each.kernels.rss),
)


def failures(outcomes: Sequence[Outcome], left: Sequence[str]) -> list[str]:
    """Return everything that went wrong, with the learner's name; `left` is what the clean-up had to remove."""
    return [f"{each.learner}: {said}" for each in outcomes for said in each.failures] + [
        f"left behind: {said}" for said in left
    ]


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the figures of all learners as a table: median and maximum."""
    shown = Table(title="what each learner met, all at once", title_justify="left")
    shown.add_column("per learner")
    for heading in ("median", "max", "unit", "learners"):
        shown.add_column(heading, justify="right")
    for words, unit, figure in ROWS:
        known = [value for each in outcomes if (value := figure(each)) is not None]
        numbers = (f"{median(known):.1f}", f"{max(known):.1f}") if known else ("-", "-")
        shown.add_row(words, *numbers, unit, str(len(known)))
    return shown


def as_json(outcomes: Sequence[Outcome], left: Sequence[str], **about: Any) -> str:
    """Return the same as JSON, and each learner's own figures; `about` says which run it was."""
    wrong = failures(outcomes, left)
    known = {
        words: {"unit": unit, "median": round(median(found), 2), "max": round(max(found), 2)}
        for words, unit, figure in ROWS
        if (found := [value for each in outcomes if (value := figure(each)) is not None])
    }
    learners = [asdict(each) for each in outcomes]
    return json.dumps({**about, "failures": wrong, "figures": known, "learners": learners}, indent=2) + "\n"


def report(console: Console, outcomes: Sequence[Outcome], left: Sequence[str]) -> int:
    """Print the table and what went wrong; return the exit status, 0 when nothing did."""
    console.print(table(outcomes))
    wrong = failures(outcomes, left)
    for said in wrong:
        console.print(said, style="red", markup=False, highlight=False)
    console.print(f"{len(wrong)} failures", style="red" if wrong else "green", highlight=False)
    return 1 if wrong else 0
