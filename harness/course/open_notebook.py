"""The notebook that the learner has open: its links to lessons and exercises, and which cells were edited after a run.

JupyterLab 4.6 doesn't scroll to a heading if the link also opens the notebook. So a link names a cell by its id.
"""

import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from harness.course import verdict
from harness.course.catalogue import (
    Exercise,
    exercise_file,
    exercise_key,
    exercise_notebook,
    lesson_file,
    lesson_notebook,
)
from harness.course.verdict import Verdict
from harness.course.workspace import cell_places
from harness.errors import CourseError, NotebookError
from harness.notebooks.cells import cell_body, cell_target
from harness.notebooks.copies import copy_name, source_path
from harness.notebooks.files import FOLDERS, PAGES, Notebook, read_saved
from harness.notebooks.session import CellRun, cell_runs

_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LESSON = re.compile(r"notebooks/(\d\d)_\w+\.ipynb")
_LARGEST = 20_000_000  # bytes of a notebook that is compared; a larger one takes more than a second to read


def section_link(notebook: Path, lesson: str, heading: str) -> str:
    """Return a link to the section of a lesson, or "" if the lesson isn't beside the open notebook."""
    return _link(notebook, *_section(lesson, heading))


def exercise_link(notebook: Path, exercise: Exercise) -> str:
    """Return a link to an exercise, or "" if its notebook isn't beside the open notebook."""
    return _link(notebook, *_place(exercise))


def counts(notebook: Path | None, exercise: Exercise) -> bool:
    """Return whether a check or a hint counts as the learner's progress.

    It doesn't count in solutions/. It doesn't count in another lesson either, because it is a demonstration there.

    Args:
        notebook: the open notebook. If it is None, the current folder decides, because programs run a notebook in
            its own folder.
        exercise: the exercise.
    """
    path = notebook or Path("a notebook")
    with suppress(OSError):  # the current folder was deleted
        path = path.absolute()
    lesson = _LESSON.fullmatch(source_path(path.name) or f"{path.parent.name}/{path.name}")
    return path.parent.name != "solutions" and (lesson is None or lesson[1] == exercise.lesson)


def _link(notebook: Path, target: str, cell: str) -> str:
    """Return a relative link from a notebook to a cell of another notebook, or "" if that notebook doesn't exist.

    Args:
        notebook: the open notebook. If it is in the learner's folder, the link leads to a copy there.
        target: the other notebook's path in the course ("notebooks/01_first_task.ipynb").
        cell: the cell's id, or "".
    """
    folder = notebook.parent
    if folder.match(PAGES):
        path = folder.parents[1] / target
    else:
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


def stale_verdict(exercise: Exercise, files: Mapping[str, str], notebook: Path | None) -> Verdict | None:
    """Return a verdict if an exercise's files differ from the cells that the learner sees, or else None.

    Args:
        exercise: the exercise.
        files: the text of each file that the check would judge, named as in `Exercise.files`.
        notebook: the path of the open notebook, or None if none is open.
    """
    named = [(exercise_key(exercise, target), run) for target, run in cell_runs().items()]
    # If a file was written in another way after its cell ran, the file is judged.
    runs = {name: run for name, run in named if exercise.owns(name) and files.get(name) == run.stored}
    for name, run in runs.items():
        if run.refused and run.stored != run.source:
            return verdict.refused(exercise, name, run.refused)
    edited = _edited(exercise, runs, notebook) if notebook else ""
    return verdict.edited(exercise, edited) if edited else None


def _edited(exercise: Exercise, runs: Mapping[str, CellRun], notebook: Path) -> str:
    """Return the first file whose cell was edited and saved after it ran, or "".

    A saved cell is the one that ran if the notebook was saved after the run and the cell has the run's execution count.
    The time alone isn't enough, because the clock of a file server may differ from this computer's clock. The count
    alone isn't enough, because an earlier kernel may have given the same one.
    """
    try:
        saved = notebook.stat().st_mtime_ns
        runs = {name: run for name, run in runs.items() if saved > run.at}
        if not runs:
            return ""
        places = [place for place in cell_places(read_saved(notebook, _LARGEST)) if place.kind == "code"]
    except (NotebookError, OSError):
        return ""
    for name, run in runs.items():
        cells = [place for place in places if place.writes(exercise) == name]
        same = any(_plain(cell_body(cell.source)) == _plain(run.source) for cell in cells)
        if not same and any(cell.count == run.count for cell in cells):
            return name
    return ""


def _plain(source: str) -> list[str]:
    """Return the lines of a source without the white space that IPython may remove before it runs a cell."""
    lines = [line.rstrip() for line in textwrap.dedent(source).splitlines()]
    return "\n".join(lines).strip("\n").split("\n")
