"""Exercises are made from solutions: each region between the two markers becomes a place to fill in."""

from __future__ import annotations

import copy

from harness.errors import NotebookError
from harness.notebooks.files import Cell, Notebook, cell_label
from harness.notebooks.normal_form import normalise

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
STUB = "...  # YOUR CODE HERE"
START = "### START"  # begins a line of the code that the learner starts from, where that is not the stub


def to_exercise(solution: Notebook, name: str) -> Notebook:
    """Return the exercise notebook of a solution notebook, in normal form.

    Args:
        solution: the solution notebook; it is not changed.
        name: stands for the file in errors.

    Raises:
        NotebookError: a marker without its partner, with the cell and the line.
    """
    exercise = copy.deepcopy(solution)
    for position, cell in enumerate(exercise.cells):
        if cell.cell_type == "code":
            cell.source = blank_regions(cell.source, f"{name}, {cell_label(cell, position)}")
    return normalise(exercise, blank=True)


def has_region(cell: Cell) -> bool:
    """Tell whether a cell holds code that the learner is to write."""
    return cell.cell_type == "code" and any(line.strip() in (BEGIN, END) for line in cell.source.splitlines())


def blank_regions(source: str, where: str) -> str:
    """Replace every region of a cell's source by the stub, at the indentation of the region's markers.

    A region may say itself what the learner starts from, in lines that begin with `### START`.

    Args:
        source: the text of the cell.
        where: the file and the cell, for errors.

    Raises:
        NotebookError: a marker without its partner.
    """
    lines: list[str] = []
    begun = 0  # the line at which the region that is open began
    for number, line in enumerate(source.splitlines(), 1):
        marker = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if marker == BEGIN:
            if begun:
                raise NotebookError(f"{where}, line {number}: a second {BEGIN!r}; that of line {begun} is still open")
            begun, blank = number, len(lines)
        elif marker == END:
            if not begun:
                raise NotebookError(f"{where}, line {number}: {END!r} without {BEGIN!r} before it")
            if len(lines) == blank:
                lines.append(indent + STUB)
            begun = 0
        elif begun and marker.startswith(START):
            lines.append((indent + marker.removeprefix(START).removeprefix(" ")).rstrip())
        elif not begun:
            lines.append(line)
    if begun:
        raise NotebookError(f"{where}, line {begun}: {BEGIN!r} without {END!r} after it")
    return "\n".join(lines)
