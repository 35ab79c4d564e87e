"""The learner's copy of the course: its exercise notebooks, the answers in them, and how to reset them."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from harness.course.answers import Answer, find_cells, original_cell, read_answer
from harness.course.catalogue import exercise_file, exercise_notebook, exercises, find_exercise, lessons
from harness.course.exercise import Exercise
from harness.errors import CourseError, NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook, read_saved

FOLDER = "exercises"


def find_course(start: Path) -> Path:
    """Return the folder of the course that contains `start`.

    Raises:
        CourseError: neither `start` nor a folder above it contains exercises/.
    """
    for folder in (start, *start.absolute().parents):
        if (folder / FOLDER).is_dir():
            return folder
    raise CourseError(
        f"there is no course in {start}, because it has no folder {FOLDER}/. Go to the folder of the course first "
        "(cd), or name it: --course FOLDER"
    )


def select(what: str) -> list[Exercise]:
    """Return the exercises that a text selects: one ("2.1"), those of a lesson ("02" or "2"), or all ("all").

    Raises:
        CourseError: it selects none.
    """
    if what == "all":
        return list(exercises())
    if not what.isdecimal():
        return [find_exercise(what)]
    known = {lesson.number: list(lesson.exercises) for lesson in lessons()}
    found = known.get(what.zfill(2))
    if found is None:
        raise CourseError(f"there is no lesson {what!r}; there are {', '.join(known)}")
    if not found:
        raise CourseError(f"lesson {what!r} has no exercises; they begin in lesson 01")
    return found


def notebook_path(course: Path, lesson: str) -> Path:
    """Return the path of a lesson's exercise notebook, relative to the current folder if that contains it.

    The notebook need not exist.
    """
    path = course / FOLDER / exercise_file(lesson)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def read_answers(course: Path, wanted: list[Exercise]) -> Iterator[tuple[Exercise, Answer | NotebookError]]:
    """Yield each of the exercises with its answer, or with the error of a notebook that can't be read."""
    notebook: Notebook | NotebookError
    for lesson, group in groupby(wanted, key=lambda exercise: exercise.lesson):
        try:
            notebook = read_saved(notebook_path(course, lesson))
        except NotebookError as error:
            notebook = error
        for exercise in group:
            yield exercise, notebook if isinstance(notebook, NotebookError) else read_answer(notebook, exercise)


@dataclass(frozen=True, slots=True)
class Restored:
    """A notebook after a reset.

    Args:
        path: the notebook.
        exercises: the exercises that changed.
        backup: the copy of the previous notebook, or None if there was none or nothing changed.
        trouble: why the previous notebook could not be read, or "". In that case all of it was replaced.
    """

    path: Path
    exercises: tuple[Exercise, ...]
    backup: Path | None
    trouble: str = ""


def restore(course: Path, wanted: list[Exercise], now: datetime) -> Iterator[Restored]:
    """Put the original cells of exercises back, and yield each notebook of theirs. Changed ones are backed up first.

    Args:
        course: the folder of the course.
        wanted: the exercises, in order.
        now: the local time, for the names of backups.

    Raises:
        NotebookError: a notebook can't be written, or can't be read and not all of its exercises are wanted.
    """
    for lesson, group in groupby(wanted, key=lambda exercise: exercise.lesson):
        in_lesson, path = tuple(group), notebook_path(course, lesson)
        try:
            notebook = read_saved(path)
        except NotebookError as error:
            if len(in_lesson) < len(select(lesson)):
                raise NotebookError(
                    f"{error}.\nThis notebook can't be read, so a single exercise in it can't be reset. To keep a copy "
                    f"and reset the whole notebook: taskqueue-course reset {lesson}"
                ) from None
            backup = _replace(path, exercise_notebook(lesson), now)
            yield Restored(path, in_lesson, backup, str(error))
        else:
            changed = tuple(exercise for exercise in in_lesson if _put_back(notebook, exercise))
            yield Restored(path, changed, _replace(path, notebook, now) if changed else None)


def _replace(path: Path, notebook: Notebook, now: datetime) -> Path | None:
    backup = files.back_up(path, now) if path.exists() else None
    try:
        files.write(path, files.dump(notebook))
    except OSError as error:
        raise NotebookError(f"{path}: cannot be written ({error.strerror}), so it is unchanged") from None
    return backup


def _put_back(notebook: Notebook, exercise: Exercise) -> bool:
    """Put the original cells of an exercise back, and return whether that changed the notebook."""
    changes = [_put_back_cell(notebook, exercise, name) for name in exercise.files]
    return any(changes)


def _put_back_cell(notebook: Notebook, exercise: Exercise, name: str) -> bool:
    """Replace all cells that write a file with the original one. If there is none, insert it where it was."""
    original = original_cell(exercise, name)
    places = find_cells(notebook, exercise, name)
    if [_essence(notebook.cells[place]) for place in places] == [_essence(original)]:
        return False
    at = places[0] if places else _original_place(original, notebook, exercise)
    notebook.cells = [cell for place, cell in enumerate(notebook.cells) if place not in places]
    notebook.cells.insert(at, _fresh(original, notebook))
    return True


def _essence(cell: Cell) -> tuple[str, str]:
    return cell.get("cell_type", ""), cell.get("source", "")


def _fresh(original: Cell, notebook: Notebook) -> Cell:
    """Return a copy of a cell with an id that the notebook doesn't use yet."""
    cell = copy.deepcopy(original)
    used = {other.get("id") for other in notebook.cells}
    while cell["id"] in used:
        cell["id"] += "-again"
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        del cell["id"]  # format 4.5 introduced it
    return cell


def _original_place(original: Cell, notebook: Notebook, exercise: Exercise) -> int:
    """Return the index for a deleted cell: below the nearest cell above it that still exists."""
    cells = exercise_notebook(exercise.lesson).cells
    for above in reversed(cells[: cells.index(original)]):
        for place, cell in enumerate(notebook.cells):
            if cell.get("source") == above.source or _heading(cell) == _heading(above) != "":
                return place + 1
    return len(notebook.cells)


def _heading(cell: Cell) -> str:
    """Return the heading at the beginning of a cell, or "". A learner who adds notes below it doesn't change it."""
    first = str(cell.get("source", "")).partition("\n")[0]
    return first if first.startswith("#") else ""
