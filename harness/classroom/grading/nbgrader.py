"""What the course puts in the place of some of nbgrader's (0.9.6) own steps; only nbgrader imports this."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, DeduplicateIds, Execute, NbGraderPreprocessor

from harness.classroom.grading.submission import Grade, grade
from harness.errors import GradingError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.stubs import to_exercise

_CHECK = re.compile(r"""^check\(["'](\d+\.\d+)["']\)$""", re.MULTILINE)
_UNKNOWN = "This cell checks no exercise of the course, and nothing but answers is run here: grade it by hand."
Resources = Any
_Steps = list[type[Any]]


def configure(config: Any) -> None:
    """Set up nbgrader for the course; `config` is what `get_config()` gives in nbgrader_config.py."""
    assignment: _Steps = GenerateAssignment.preprocessors.default()
    config.GenerateAssignment.preprocessors = [MakeExercise, *(each for each in assignment if each != ClearSolutions)]
    sanitize: _Steps = Autograde.sanitize_preprocessors.default()
    config.Autograde.sanitize_preprocessors = [RestoreCells if each == DeduplicateIds else each for each in sanitize]
    autograde: _Steps = Autograde.autograde_preprocessors.default()
    config.Autograde.autograde_preprocessors = [CheckAnswers if each == Execute else each for each in autograde]


class MakeExercise(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no types
    """In the place of ClearSolutions: students get the course's own exercise, with its stubs and first lines."""

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the exercise of a solution notebook."""
        return to_exercise(nb, str(resources["nbgrader"]["notebook"])), resources


class RestoreCells(NbGraderPreprocessor):  # type: ignore[misc]
    """In the place of DeduplicateIds: a submission gets back what its author changed in nbgrader's own notes.

    Each cell of the assignment is there once, with its points and its lock; a check that was deleted comes back at the
    end. nbgrader itself fails on some of these submissions, and gives the points that the others name.
    """

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the notebook with the notes of the gradebook."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            assigned = gradebook.find_notebook(names["notebook"], names["assignment"])
            missing = {each.name: each for each in assigned.source_cells}
            notes = {name: _notes(each, assigned) for name, each in missing.items()}
            for cell in nb.cells:
                name = cell.metadata.pop("nbgrader", {}).get("grade_id")
                if missing.pop(name, None):
                    cell.metadata["nbgrader"] = notes[name]
            for name, lost in missing.items():
                if lost.locked:
                    self.log.warning("Cell '%s' was deleted, and is added again", name)
                    nb.cells.append(_cell(lost, notes[name]))
        return nb, resources


class CheckAnswers(NbGraderPreprocessor):  # type: ignore[misc]
    """In the place of Execute: no cell of the student's runs; each check shows what the judge says of the answer."""

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the notebook with the outputs of its checks."""
        checks = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade")]
        numbers = [found[1] if (found := _CHECK.search(cell.source)) else None for cell in checks]
        grades = {each.exercise: each for each in grade(nb, sorted({number for number in numbers if number}))}
        for cell, number in zip(checks, numbers, strict=True):
            cell.outputs = [_output(grades[number]) if number else _error(_UNKNOWN)]
        return nb, resources


def _notes(cell: Any, assigned: Any) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell of the assignment, as `generate_assignment` wrote it."""
    points = {each.name: each.max_score for each in assigned.grade_cells}
    notes = {
        "grade_id": cell.name,
        "grade": cell.name in points,
        "solution": cell.name in {each.name for each in assigned.solution_cells},
        "task": cell.name in {each.name for each in assigned.task_cells},
        "locked": cell.locked,
        "checksum": cell.checksum,
        "cell_type": cell.cell_type,
        "schema_version": 3,
    }
    return notes | ({"points": points[cell.name]} if cell.name in points else {})


def _cell(lost: Any, notes: dict[str, Any]) -> Cell:
    from nbformat import v4

    make = v4.new_code_cell if lost.cell_type == "code" else v4.new_markdown_cell
    return make(lost.source, metadata={"nbgrader": notes})


def _output(verdict: Grade) -> Any:
    from nbformat import v4

    return v4.new_output("stream", text=f"{verdict.text}\n") if verdict.is_correct else _error(verdict.text)


def _error(text: str) -> Any:
    """Make the output that nbgrader takes for no points."""
    from nbformat import v4

    return v4.new_output("error", ename="CheckError", evalue=text.partition("\n")[0], traceback=text.splitlines())


# The course folder of nbgrader, laid out from the solutions: one assignment per lesson.

_CONFIG = '''\
"""nbgrader's settings for this course; yours go below. `nbgrader` is called in this folder."""

from harness.classroom.grading.nbgrader import configure

c = get_config()
configure(c)
c.CourseDirectory.course_id = "web2py-taskqueue"
'''


def lay_out(root: Path, folder: Path, say: Callable[[str], None] = print) -> int:
    """Make a course folder, or bring the sources of one up to date; all else in it stays as it is.

    Args:
        root: holds solutions/.
        folder: the course folder, with or without submissions and grades.
        say: called with each line of the report.

    Returns:
        The number of files written.

    Raises:
        GradingError: there are no solutions, or the folder cannot be written.
    """
    solutions = files.find(root, "solutions")
    if not solutions:
        raise GradingError(f"{root} holds no solutions/; run this in the repository's top folder")
    try:
        written = [_write(folder / "nbgrader_config.py", _CONFIG, say)] if not _has_config(folder) else []
        for path in solutions:
            lesson = path.name.partition("_")[0]
            written.append(_replace(folder, Path("source", lesson, path.name), path.read_text("utf-8"), say))
    except OSError as error:
        raise GradingError(f"{folder} cannot be made a course folder: {error}") from None
    return sum(written)


def _has_config(folder: Path) -> bool:
    return (folder / "nbgrader_config.py").exists()


def _replace(folder: Path, name: Path, text: str, say: Callable[[str], None]) -> bool:
    """Write a file that may have been edited by hand; the one of before is kept."""
    path = folder / name
    before = path.read_text("utf-8") if path.exists() else None
    if before == text:
        return False
    if before is not None:
        _write(folder / "before" / name.relative_to("source"), before, say)
    return _write(path, text, say)


def _write(path: Path, text: str, say: Callable[[str], None]) -> bool:
    files.write(path, text)
    say(f"wrote {path}")
    return True
