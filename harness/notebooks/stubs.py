"""Exercises are made from solutions: each region between the two markers becomes a place to fill in.

An exercise notebook carries a digest of its cells in its metadata. An answer, a note or a scratch cell changes the
cells but not that digest, so the build can see whether a notebook is still the stub that it wrote.
"""

from __future__ import annotations

import ast
import copy
import json
import warnings
from hashlib import sha256

from harness.errors import MagicError, NotebookError
from harness.notebooks.cells import MAGICS, cell_body, cell_target, magic_first
from harness.notebooks.files import Cell, Notebook, cell_label
from harness.notebooks.normal_form import normalise

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
STUB = "...  # YOUR CODE HERE"
START = "### START"  # begins a line of the code that the learner starts from, where that is not the stub
DIGEST = "course_stub"  # in the notebook's metadata, which JupyterLab keeps when it saves


def to_exercise(solution: Notebook, name: str) -> Notebook:
    """Return the exercise notebook of a solution notebook, in normal form, with the digest of its cells.

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
    exercise = normalise(exercise, blank=True)
    exercise.metadata[DIGEST] = digest(exercise)
    return exercise


def origin(notebook: Notebook) -> str:
    """Return the digest that the build gave an exercise; "" for any other notebook."""
    return str(notebook.get("metadata", {}).get(DIGEST, ""))


def is_stub(notebook: Notebook) -> bool:
    """Return whether an exercise still has the cells that the build wrote; outputs don't count."""
    return origin(notebook) == digest(notebook)


def digest(notebook: Notebook) -> str:
    """Return a digest of what a person writes in a notebook, and of what nbgrader needs; empty cells don't count."""
    cells = [_essence(cell) for cell in notebook.cells if str(cell.get("source", "")).strip()]
    return sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:16]


def _essence(cell: Cell) -> tuple[object, ...]:
    metadata = cell.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    source = str(cell.get("source")).rstrip()
    return cell.get("cell_type"), cell.get("id"), source, kept.get("nbgrader"), kept.get("tags")


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


# Does a code cell parse? Line magics are resolved, and the body of a cell magic is read as what it is.


def parse_python(source: str) -> ast.Module:
    """Parse Python, without the warnings that belong to the run and not to the reading."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def python_of(source: str) -> str:
    """Return the Python that IPython makes of a cell without a cell magic (line magics, `?` and `!` resolved)."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


def syntax_error(cell: Cell) -> str | None:
    """Say what does not parse in a code cell, or None.

    A cell tagged raises-exception may be wrong on purpose.
    """
    source = magic_first(cell.source).lstrip()
    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    if not source.startswith("%%"):
        return _python_error(python_of(source))
    try:
        target = cell_target(source)
    except MagicError as error:
        return str(error)
    if target is None:
        return f"unknown cell magic {source.split()[0]}; known are {', '.join(f'%%{magic}' for magic in MAGICS)}"
    if target.is_python:
        return _python_error(cell_body(source))
    return _yaml_error(cell_body(source)) if target.path.endswith(".yaml") else None


def _python_error(body: str) -> str | None:
    try:
        parse_python(body)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno} of the cell)"
    return None


def _yaml_error(body: str) -> str | None:
    import yaml

    try:
        yaml.safe_load(body)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"{error.problem} (line {line} of the cell)"
    return None
