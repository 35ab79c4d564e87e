"""The learner's copy of the course: where its exercise notebooks are, and the answers in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.course.answers import Answer, find_cells, original_cell, read_answer
from harness.course.catalogue import exercise_file, exercise_notebook, exercises, find_exercise, lessons
from harness.course.exercise import Exercise
from harness.errors import CourseError, NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook, read_saved

FOLDER = "exercises"


def find_course(start: Path) -> Path:
    """Return the folder of the course that `start` is in.

    Raises:
        CourseError: neither it nor a folder above it holds exercises/.
    """
    for folder in (start, *start.absolute().parents):
        if (folder / FOLDER).is_dir():
            return folder
    raise CourseError(
        f"there is no course in {start}: no folder {FOLDER}/. Go to the folder of the course first (cd), "
        "or name it: --course FOLDER"
    )


def select(what: str) -> list[Exercise]:
    """Return the exercises that "2.1", "02" or "all" names.

    Raises:
        CourseError: it names none.
    """
    if what == "all":
        return list(exercises())
    if what.isdecimal():
        return _of_lesson(what)
    return [find_exercise(what)]


def _of_lesson(number: str) -> list[Exercise]:
    known = {lesson.number: list(lesson.exercises) for lesson in lessons()}
    if number.zfill(2) not in known:
        raise CourseError(f"there is no lesson {number!r}; there are {', '.join(known)}")
    if not known[number.zfill(2)]:
        raise CourseError(f"lesson {number!r} has no exercises; they begin in lesson 01")
    return known[number.zfill(2)]


def notebook_path(course: Path, lesson: str) -> Path:
    """Return where the exercise notebook of a lesson is, or should be, in words as short as they can be."""
    path = course / FOLDER / exercise_file(lesson)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def read_answers(course: Path, wanted: list[Exercise]) -> Iterator[tuple[Exercise, Answer | NotebookError]]:
    """Yield each of the exercises with its answer, or with why its notebook cannot be read."""
    read: dict[str, Notebook] = {}
    for exercise in wanted:
        path = notebook_path(course, exercise.lesson)
        if exercise.lesson not in read:
            read[exercise.lesson] = _notebook_or_error(path)
        notebook = read[exercise.lesson]
        yield exercise, notebook if isinstance(notebook, NotebookError) else read_answer(notebook, exercise)


def _notebook_or_error(path: Path) -> Notebook:
    try:
        return read_saved(path)
    except NotebookError as error:
        return error


# Put the stubs of exercises back into a learner's notebook; what was there is kept in a backup.


@dataclass(frozen=True, slots=True)
class Restored:
    """A notebook that was reset: which exercises changed, and where the notebook of before is (None: there was none).

    `trouble` says why the one of before could not be read, where the whole notebook was made anew.
    """

    path: Path
    exercises: tuple[Exercise, ...]
    backup: Path | None
    trouble: str = ""


def restore(course: Path, wanted: list[Exercise], now: datetime) -> Iterator[Restored]:
    """Reset exercises, and yield each notebook that this changed.

    Args:
        course: the folder of the course.
        wanted: the exercises, in order.
        now: the moment for the names of backups.

    Raises:
        NotebookError: a notebook cannot be read and not all of its exercises are asked for, or cannot be written.
    """
    lessons = {exercise.lesson: [each for each in wanted if each.lesson == exercise.lesson] for exercise in wanted}
    for lesson, of_lesson in lessons.items():
        path = notebook_path(course, lesson)
        try:
            notebook = read_saved(path)
        except NotebookError as error:
            yield _made_anew(path, of_lesson, error, now)
            continue
        changed = tuple(exercise for exercise in of_lesson if _put_back(notebook, exercise))
        backup = _replace(path, notebook, now) if changed else None
        yield Restored(path, changed, backup)


def _made_anew(path: Path, wanted: list[Exercise], error: NotebookError, now: datetime) -> Restored:
    lesson = wanted[0].lesson
    if len(wanted) < len(select(lesson)):
        raise NotebookError(
            f"{error}.\nOne exercise of such a notebook cannot be reset. To keep a copy of it and start all of it "
            f"anew: taskqueue-course reset {lesson}"
        )
    backup = _replace(path, exercise_notebook(lesson), now)
    return Restored(path, tuple(wanted), backup, str(error))


def _replace(path: Path, notebook: Notebook, now: datetime) -> Path | None:
    backup = files.back_up(path, now) if path.exists() else None
    try:
        files.write(path, files.dump(notebook))
    except OSError as error:
        raise NotebookError(f"{path}: cannot be written: {error.strerror}; it is as it was") from None
    return backup


def _put_back(notebook: Notebook, exercise: Exercise) -> bool:
    """Put the cells of an exercise back; tell whether that changed anything."""
    changes = [_put_back_cell(notebook, exercise, name) for name in exercise.files]
    return any(changes)


def _put_back_cell(notebook: Notebook, exercise: Exercise, name: str) -> bool:
    """Replace all cells that write a file by the one that came; where it was deleted, it comes back to its place."""
    original = original_cell(exercise, name)
    places = find_cells(notebook, exercise, name)
    if [_essence(notebook.cells[place]) for place in places] == [_essence(original)]:
        return False
    at = places[0] if places else _place_of(original, notebook, exercise)
    notebook.cells = [cell for place, cell in enumerate(notebook.cells) if place not in places]
    notebook.cells.insert(at, _fresh(original, notebook))
    return True


def _essence(cell: Cell) -> tuple[str, str]:
    return cell.get("cell_type", ""), cell.get("source", "")


def _fresh(original: Cell, notebook: Notebook) -> Cell:
    cell = copy.deepcopy(original)
    taken = {other.get("id") for other in notebook.cells}
    while cell["id"] in taken:
        cell["id"] += "-again"
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        del cell["id"]  # which came with 4.5
    return cell


def _place_of(original: Cell, notebook: Notebook, exercise: Exercise) -> int:
    """Return where a deleted cell stood: below the nearest cell above it that is still there."""
    came = exercise_notebook(exercise.lesson).cells
    above = [cell.source for cell in came[: came.index(original)]]
    for source in reversed(above):
        for place, cell in enumerate(notebook.cells):
            if cell.get("source") == source or _heading(cell) == _heading({"source": source}) != "":
                return place + 1
    return len(notebook.cells)


def _heading(cell: Cell) -> str:
    """Return the heading that a text begins with: it stays where a learner adds notes below it."""
    first = str(cell.get("source", "")).partition("\n")[0]
    return first if first.startswith("#") else ""
