"""Links from the open notebook to a section of a lesson and to an exercise.

JupyterLab 4.6 doesn't scroll to a heading if the link also opens the notebook. So a link names a cell by its id.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from harness.course.catalogue import (
    Exercise,
    exercise_file,
    exercise_key,
    exercise_notebook,
    lesson_file,
    lesson_notebook,
)
from harness.errors import CourseError, NotebookError
from harness.notebooks.cells import cell_target
from harness.notebooks.copies import copy_name, source_path
from harness.notebooks.files import FOLDERS, Notebook

_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LESSON = re.compile(r"notebooks/(\d\d)_\w+\.ipynb")


def section_link(notebook: Path, lesson: str, heading: str) -> str:
    """Return a link to the section of a lesson, or "" if the lesson isn't beside the open notebook."""
    return _link(notebook, *_section(lesson, heading))


def exercise_link(notebook: Path, exercise: Exercise) -> str:
    """Return a link to an exercise, or "" if its notebook isn't beside the open notebook."""
    return _link(notebook, *_place(exercise))


def counts(notebook: Path | None, exercise: Exercise) -> bool:
    """Return whether a check or a hint counts as the learner's progress.

    It doesn't count in solutions/, or if it is a demonstration in a lesson to which the exercise doesn't belong.

    Args:
        notebook: the open notebook. If it is None, the current folder counts, in which a program runs a notebook.
        exercise: the exercise.
    """
    path = notebook or Path("a notebook")
    with suppress(OSError):  # the current folder was deleted
        path = path.absolute()
    lesson = _LESSON.fullmatch(source_path(path.name) or f"{path.parent.name}/{path.name}")
    return path.parent.name != "solutions" and (lesson is None or lesson[1] == exercise.lesson)


def _link(notebook: Path, target: str, cell: str) -> str:
    """Return a relative link from a notebook to a cell of another notebook of the course, if that exists.

    Args:
        notebook: the open notebook. If it is in the learner's folder, the link leads to a copy there.
        target: the other notebook's path in the course ("notebooks/01_first_task.ipynb").
        cell: the cell's id, or "".
    """
    folder = notebook.parent
    path = folder.parent / target if folder.name in FOLDERS else folder / copy_name(target)
    if not target or not path.is_file():
        return ""
    return quote(os.path.relpath(path, folder).replace(os.sep, "/")) + (f"#cell-id={quote(cell)}" if cell else "")


@cache
def _section(lesson: str, heading: str) -> tuple[str, str]:
    """Return the path of a lesson in the course, and the id of the cell that contains a heading, or "" for each."""
    with suppress(CourseError, NotebookError):
        cells = [cell for cell in lesson_notebook(lesson).cells if heading in _HEADING.findall(cell.source)]
        return f"notebooks/{lesson_file(lesson)}", next((cell.id for cell in cells), "")
    return "", ""


@cache
def _place(exercise: Exercise) -> tuple[str, str]:
    """Return the path of the notebook that contains an exercise, and the id of its first cell, or "" for each."""
    for path, notebook in _homes(exercise):
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                found = any(heading.startswith(f"{exercise.number} ") for heading in _HEADING.findall(cell.source))
            else:
                target = cell_target(cell.source)
                found = target is not None and exercise_key(exercise, target) in exercise.files
            if found:
                return path, cell.id
    return "", ""


def _homes(exercise: Exercise) -> Iterator[tuple[str, Notebook]]:
    """Yield the notebooks of a lesson in which an exercise may be, each with its path."""
    with suppress(CourseError, NotebookError):
        yield f"exercises/{exercise_file(exercise.lesson)}", exercise_notebook(exercise.lesson)
    with suppress(CourseError, NotebookError):
        yield f"notebooks/{lesson_file(exercise.lesson)}", lesson_notebook(exercise.lesson)
