"""The learner's copy of the course: where its exercise notebooks are, and the answers in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.checks.answers import Answer, read_answer
from harness.checks.course import exercise_file, exercises, find_exercise, lessons
from harness.checks.exercise import Exercise
from harness.errors import CourseError, NotebookError
from harness.notebooks.files import Notebook
from harness.notebooks.saved import read_saved

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
