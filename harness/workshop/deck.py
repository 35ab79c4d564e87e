"""A lesson and its exercises as one notebook of slides."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path

from harness.checks.course import find_prediction
from harness.checks.exercise import Prediction
from harness.notebooks import files
from harness.notebooks.exercise import to_exercise
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.slides import ASKS, SCREEN, TELLS, height, parts, room_taken

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")  # the other notebooks are not beside the slides


def deck(lesson: Path) -> Notebook:
    """Return the slides of a lesson: its cells, then each of its exercises with the command that checks it.

    Args:
        lesson: the notebook in notebooks/. Its exercises, if it has any, come from solutions/, because a notebook in
            exercises/ may hold somebody's answers.

    Raises:
        NotebookError: a notebook that cannot be read.
    """
    notebook = copy.deepcopy(files.read(lesson))
    solution = lesson.parents[1] / "solutions" / lesson.name
    cells = list(_lesson(notebook.cells))
    if solution.exists():
        cells += _exercises(to_exercise(files.read(solution), str(solution)).cells)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(r"\1", cell.source)
    notebook.cells = cells
    return notebook


def _lesson(cells: list[Cell]) -> Iterator[Cell]:
    """Yield the cells; one with a section in its middle is two, and its beginning stays with the slide before."""
    used = 0.0
    for cell in cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        *before, source = parts(cell)
        for text in before:
            tail = _with(cell, text, "fragment" if used + height(text, cell) <= SCREEN else "subslide")
            tail["id"] = f"{cell.id}-before"[:64]
            yield tail
        yield _with(cell, source, kind) if cell.cell_type == "markdown" else _vote(cell, kind)
        used = room_taken(cell, kind, used)


def _vote(cell: Cell, kind: str) -> Cell:
    """Return the cell, or, for one that asks a prediction or clears it up, its words as large as those of a text."""
    from nbformat.v4 import new_markdown_cell

    asks = ASKS.fullmatch(cell.source)
    call = asks or TELLS.match(cell.source)
    if call is None:
        return _with(cell, cell.source, kind)
    asked = find_prediction(call[1])
    text = _question(asked) if asks else _answer(asked)
    return _with(new_markdown_cell(id=cell.id), text, kind)


def _question(asked: Prediction) -> str:
    options = "\n".join(f"- **{letter}** {text}" for letter, text in asked.options.items())
    return f"### {asked.question}\n\n{options}"


def _answer(asked: Prediction) -> str:
    return f"> **{asked.answer}: {asked.options[asked.answer]}** {asked.why}"


def _exercises(cells: list[Cell]) -> Iterator[Cell]:
    """Yield, for each exercise, what it asks for and the check, on one slide; the answer cell stays in the notebook."""
    for cell in cells:
        first = cell.id == cells[0].id
        if cell.cell_type == "markdown" and (first or re.match(r"## \d+\.\d+ ", cell.source)):
            source = cell.source.replace("# ", "## ", 1) if first else cell.source
            yield _with(cell, source, "slide" if first else "subslide", prefix="ex-")
        elif cell.cell_type == "code" and _is_check(cell.source):
            yield _with(cell, cell.source, "-", prefix="ex-")


def _is_check(source: str) -> bool:
    return bool(re.match(r"check\(", source)) and isinstance(ast.parse(source).body[0], ast.Expr)


def _with(cell: Cell, source: str, kind: str, prefix: str = "") -> Cell:
    changed = copy.deepcopy(cell)
    changed.source = source
    changed["id"] = f"{prefix}{cell.id}"[:64]
    changed.metadata["slideshow"] = {"slide_type": kind}
    return changed
