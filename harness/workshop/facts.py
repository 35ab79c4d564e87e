"""What the notebooks say about themselves: minutes, sizes, and where a lesson asks its predictions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import NotebookError
from harness.linter import markdown
from harness.notebooks import files
from harness.notebooks.files import Cell
from harness.notebooks.slides import ASKS

_MINUTES = re.compile(r"\b(\d+) minutes\b")
_SIZE = re.compile(r"\b[Aa]bout (\d+) lines?\b")
_WIDTH = 40
BASE_MINUTES = 5  # of an exercise without its lines: to read it, to run the check, to talk about it


@dataclass(frozen=True)
class Vote:
    """Where a lesson asks a prediction: the section, and the first line of the cell that decides."""

    section: str
    decides: str


@dataclass(frozen=True)
class Facts:
    """What one lesson, and its exercises, say about themselves.

    Args:
        number: "01".
        file: the notebook's name.
        minutes: of the lesson alone.
        votes: by the prediction's name, in the order of the lesson.
        lines: of each exercise's answer, by its number.
    """

    number: str
    file: str
    minutes: int
    votes: dict[str, Vote]
    lines: dict[str, int]

    def exercise_minutes(self, number: str) -> int:
        """Return how long an exercise takes: five minutes, and one for each line."""
        return BASE_MINUTES + self.lines[number]


def facts(root: Path) -> dict[str, Facts]:
    """Return the facts of all lessons, by number, in order.

    Args:
        root: the folder that holds notebooks/ and solutions/.

    Raises:
        NotebookError: there is no lesson, or one does not say how long it takes.
    """
    lessons = files.find(root, "notebooks")
    if not lessons:
        raise NotebookError(f"{root} holds no notebooks/; run this in the repository's top folder")
    return {path.name[:2]: _facts(path) for path in lessons}


def _facts(path: Path) -> Facts:
    cells = files.read(path).cells
    minutes = _MINUTES.search(cells[0].source)
    if minutes is None:
        raise NotebookError(f"{path}: its first cell does not say how many minutes the lesson takes")
    solution = path.parents[1] / "solutions" / path.name
    lines = _lines(files.read(solution).cells) if solution.exists() else {}
    return Facts(path.name[:2], path.name, int(minutes[1]), _votes(cells), lines)


def _votes(cells: list[Cell]) -> dict[str, Vote]:
    section = ""
    votes: dict[str, Vote] = {}
    asked = None
    for cell in cells:
        if cell.cell_type == "markdown":
            section = ([section] + [heading for _, heading in markdown.headings(cell.source)])[-1]
        elif asked:
            votes[asked] = Vote(section, _shortened(cell.source.splitlines()[0]))
            asked = None
        if cell.cell_type == "code" and (call := ASKS.search(cell.source)):
            asked = call[1]
    return votes


def _shortened(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"


def _lines(cells: list[Cell]) -> dict[str, int]:
    found = {}
    for cell in cells:
        heading = re.match(r"## (\d+\.\d+) ", cell.source)
        size = _SIZE.search(cell.source)
        if cell.cell_type == "markdown" and heading and size:
            found[heading[1]] = int(size[1])
    return found
