"""Exercises are made from solutions: the learner replaces each region between the two markers with their own code.

An exercise notebook has a digest of its cells in its metadata. An answer, a note or a scratch cell changes the cells
but not that digest, so the build can detect whether a notebook is still the stub that it wrote.
"""

import ast
import copy
import json
import re
import warnings
from collections import Counter
from hashlib import sha256
from pathlib import Path

from harness.errors import MagicError, NotebookError
from harness.notebooks.cells import MAGICS, cell_body, cell_target, magic_first
from harness.notebooks.files import Cell, Notebook, cell_label
from harness.notebooks.normal_form import normalise

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
BLANK = "# YOUR CODE HERE"  # in each answer cell of an exercise notebook
STUB = f"...  {BLANK}"
START = "### START"  # begins a line of the starting code, if that differs from STUB
DIGEST = "course_stub"  # in the notebook's metadata, which JupyterLab keeps when it saves
_EXERCISE_CELL = re.compile(r"ex(\d+)[-_]\d+[-_]")  # begins a cell's id, or its grade_id of nbgrader
_NUMBERED = re.compile(r"(\d\d)(?P<copy>b_exercises)?_\w+\.ipynb")


def to_exercise(solution: Notebook, name: str) -> Notebook:
    """Make the exercise notebook of a solution notebook, which isn't changed.

    Returns:
        The exercise in normal form, with the digest of its cells.

    Raises:
        NotebookError: a begin or end marker has no partner; the message names the file `name`, the cell and the line.
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


def exercise_lesson(notebook: Notebook, path: Path) -> str:
    """Return the number of the lesson ("01") whose exercises a notebook seems to contain; "" if it contains none.

    A notebook is an exercise if the build made it, or if its name has a lesson's number and either the name's folder
    or an id of a cell is that of an exercise. Deleted or changed cells don't change the result.
    """
    named = _NUMBERED.fullmatch(path.name)
    ids = Counter(match[1].zfill(2) for cell in notebook.cells if (match := _EXERCISE_CELL.match(_exercise_id(cell))))
    if origin(notebook) or (named and (ids or named["copy"] or path.parent.name == "exercises")):
        return named[1] if named else next((lesson for lesson, _ in ids.most_common(1)), "")
    return ""


def _exercise_id(cell: Cell) -> str:
    return grade_id(cell) or str(cell.get("id"))


def grade_id(cell: Cell) -> str:
    """Return the id that nbgrader gave a cell, or ""."""
    metadata = cell.get("metadata")
    grading = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return str(grading.get("grade_id") or "") if isinstance(grading, dict) else ""


def is_stub(notebook: Notebook) -> bool:
    """Return whether an exercise still has the cells that the build wrote; outputs don't count."""
    return origin(notebook) == digest(notebook)


def digest(notebook: Notebook) -> str:
    """Return a digest of the cells' sources, ids, tags and nbgrader metadata; empty cells don't count."""
    cells = [_authored(cell) for cell in notebook.cells if str(cell.get("source", "")).strip()]
    return sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:16]


def _authored(cell: Cell) -> tuple[object, ...]:
    metadata = cell.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    source = str(cell.get("source")).rstrip()
    return cell.get("cell_type"), cell.get("id"), source, kept.get("nbgrader"), kept.get("tags")


def has_region(cell: Cell) -> bool:
    """Return whether a cell contains code that the learner must write."""
    return cell.cell_type == "code" and any(line.strip() in (BEGIN, END) for line in cell.source.splitlines())


def blank_regions(source: str, where: str) -> str:
    """Replace every region of a cell's source by the stub, at the indentation of the region's markers.

    A region can contain other starting code for the learner, in lines that begin with `### START`.

    Returns:
        The source without the solution.

    Raises:
        NotebookError: a begin or end marker has no partner. `where` names the file and the cell in the message.
    """
    lines: list[str] = []
    begun = 0  # the line number of the open region's begin marker
    for number, line in enumerate(source.splitlines(), 1):
        marker = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if marker == BEGIN:
            if begun:
                raise NotebookError(f"{where}, line {number}: a second {BEGIN!r}, but line {begun} has no {END!r} yet")
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


def parse_python(source: str) -> ast.Module:
    """Return the syntax tree of Python code; the compiler's warnings are suppressed until the code runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def python_of(source: str) -> str:
    """Return a cell without a cell magic as pure Python, in which IPython has resolved line magics, `?` and `!`."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


def syntax_error(cell: Cell) -> str | None:
    """Return the first syntax error in a code cell or in the file that it writes.

    Return None for valid code, or if the cell is tagged raises-exception.
    """
    import yaml

    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    source = magic_first(cell.source).lstrip()
    try:
        target = cell_target(source)
        if target is None and source.startswith("%%"):
            return f"unknown cell magic {source.split()[0]}; the course has %%{', %%'.join(MAGICS)}"
        if target is None or target.is_python:
            parse_python(cell_body(source) if target else python_of(source))
        elif target.path.endswith(".yaml"):
            yaml.safe_load(cell_body(source))
    except MagicError as error:
        return str(error)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno} of the cell)"
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"{error.problem} (line {line} of the cell)"
    return None
