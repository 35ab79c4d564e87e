"""The course's own versions of some steps of nbgrader 0.9.6; only nbgrader imports this."""

import json
import re
from typing import Any

from nbformat import from_dict, v4
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, DeduplicateIds, Execute, NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool

from harness.classroom.grading.submission import Grade, grade
from harness.course.verdict import CheckOutcome
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.stubs import to_exercise

_CHECK = re.compile(r"""^check\(["'](\d+\.\w+)["']\)$""", re.MULTILINE)
_UNKNOWN = "This cell doesn't check an exercise of the course. Only answers run here, so grade the cell by hand."
_BY_HAND = "GradeByHand"  # the name of the error that a check shows if it isn't graded automatically
Resources = Any
_Steps = list[type[Any]]


def configure(config: Any) -> None:
    """Configure nbgrader for the course; `config` is the object that `get_config()` returns in nbgrader_config.py."""
    assignment: _Steps = GenerateAssignment.preprocessors.default()
    config.GenerateAssignment.preprocessors = [MakeExercise, *(each for each in assignment if each != ClearSolutions)]
    sanitize: _Steps = Autograde.sanitize_preprocessors.default()
    config.Autograde.sanitize_preprocessors = [RestoreCells if each == DeduplicateIds else each for each in sanitize]
    autograde: _Steps = Autograde.autograde_preprocessors.default()
    ours: dict[Any, Any] = {Execute: CheckAnswers, SaveAutoGrades: SaveGrades}
    config.Autograde.autograde_preprocessors = [ours.get(each, each) for each in autograde]


class MakeExercise(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no types
    """Replace ClearSolutions, so that students get the course's own exercise."""

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the exercise of a solution notebook."""
        return to_exercise(nb, str(resources["nbgrader"]["notebook"])), resources


class RestoreCells(NbGraderPreprocessor):  # type: ignore[misc]
    """Replace DeduplicateIds, so that a submission can't change nbgrader's metadata.

    Each cell of the assignment gets its original metadata once, with its points and its lock. A deleted check is added
    at the end. nbgrader itself fails on some of these submissions, and trusts the points in the others. A lone
    surrogate becomes "?", because no file can contain one.
    """

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the notebook with the metadata from the gradebook."""
        nb = from_dict(json.loads(json.dumps(nb, ensure_ascii=False).encode("utf-8", "replace")))
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            assigned = gradebook.find_notebook(names["notebook"], names["assignment"])
            missing = {each.name: each for each in assigned.source_cells}
            notes = {name: _notes(each, assigned) for name, each in missing.items()}
            for cell in nb.cells:
                found = cell.metadata.pop("nbgrader", None)
                name = found.get("grade_id") if isinstance(found, dict) else None
                if isinstance(name, str) and missing.pop(name, None):
                    cell.metadata["nbgrader"] = notes[name]
            for name, lost in missing.items():
                if lost.locked:
                    self.log.warning("Cell '%s' was deleted and is added again", name)
                    nb.cells.append(_cell(lost, notes[name]))
        return nb, resources


class CheckAnswers(NbGraderPreprocessor):  # type: ignore[misc]
    """Replace Execute, so that no cell of the student runs; each check shows the verdict of the checker process."""

    allow_incomplete = Bool(False, help="Whether to grade if this machine can't isolate native code.").tag(config=True)

    def preprocess(self, nb: Notebook, resources: Resources) -> tuple[Notebook, Resources]:
        """Return the notebook with an output in each check."""
        checks = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade")]
        numbers = [found[1] if (found := _CHECK.search(cell.source)) else None for cell in checks]
        wanted = sorted({number for number in numbers if number})
        grades = {each.exercise: each for each in grade(nb, wanted, self.allow_incomplete, self.log.warning)}
        for cell, number in zip(checks, numbers, strict=True):
            cell.outputs = [_output(grades[number]) if number else _error(_UNKNOWN, _BY_HAND)]
        return nb, resources


class SaveGrades(SaveAutoGrades):  # type: ignore[misc]
    """Replace SaveAutoGrades, so that formgrader lists the checks that must be graded by hand."""

    def _add_score(self, cell: Cell, resources: Resources) -> None:
        super()._add_score(cell, resources)
        if any(output.get("ename") == _BY_HAND for output in cell.get("outputs", ())):
            place = self.notebook_id, self.assignment_id, self.student_id
            saved = self.gradebook.find_grade(cell.metadata["nbgrader"]["grade_id"], *place)
            saved.auto_score, saved.needs_manual_grade = None, True
            self.gradebook.db.commit()


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
    make = v4.new_code_cell if lost.cell_type == "code" else v4.new_markdown_cell
    return make(lost.source, metadata={"nbgrader": notes})


def _output(verdict: Grade) -> Any:
    if verdict.is_correct:
        return v4.new_output("stream", text=f"{verdict.text}\n")
    return _error(verdict.text, _BY_HAND if verdict.outcome is CheckOutcome.BY_HAND else "CheckError")


def _error(text: str, name: str) -> Any:
    """Return an output for which nbgrader gives no points."""
    return v4.new_output("error", ename=name, evalue=text.partition("\n")[0], traceback=text.splitlines())
