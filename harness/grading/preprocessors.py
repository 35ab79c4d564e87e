"""What the course puts in the place of some of nbgrader's (0.9.6) own steps; only nbgrader imports this."""

from __future__ import annotations

import re
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, DeduplicateIds, Execute, NbGraderPreprocessor

from harness.grading.submission import Grade, grade
from harness.notebooks.exercise import to_exercise
from harness.notebooks.files import Cell, Notebook

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
    config.Autograde.autograde_preprocessors = [JudgeAnswers if each == Execute else each for each in autograde]


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


class JudgeAnswers(NbGraderPreprocessor):  # type: ignore[misc]
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
