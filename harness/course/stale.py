"""Whether the text that a check would judge is the text that the learner sees in the open notebook."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from harness.course import verdict
from harness.course.catalogue import Exercise, exercise_key
from harness.course.verdict import Verdict
from harness.course.workspace import cell_places
from harness.errors import NotebookError
from harness.notebooks.cells import cell_body
from harness.notebooks.files import read_saved
from harness.notebooks.session import CellRun, cell_runs

_LARGEST = 20_000_000  # bytes of a notebook that is compared; a larger one takes more than a second to read


def stale_verdict(exercise: Exercise, files: Mapping[str, str], notebook: Path | None) -> Verdict | None:
    """Return the verdict on an exercise whose files aren't the text that the learner sees, or None if they may be.

    Args:
        exercise: the exercise.
        files: the text of each file that the check would judge, named as in `Exercise.files`.
        notebook: the path of the open notebook, or None if none is open.
    """
    named = [(exercise_key(exercise, target), run) for target, run in cell_runs().items()]
    # A file that was written in another way after the run is judged.
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
