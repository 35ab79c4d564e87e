"""A learner's answers as they stand in a saved exercise notebook, read without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.course.catalogue import exercise_notebook, file_key
from harness.course.exercise import Exercise
from harness.errors import CourseError, MagicError
from harness.notebooks.cells import cell_body, cell_target, magic_first
from harness.notebooks.files import CONFLICT, Cell, Notebook


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the text of each file that its cells write, named as in `Exercise.files`.

    `missing` says why a file is not there, and how to get its cell back; `remarks` what else to know about the cells.
    """

    files: dict[str, str]
    missing: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A cell of a notebook: its place from the top, counted from 1, its kind, its text, and when it was last run.

    The text begins with the magic, if it has one; see `magic_first`.
    """

    position: int
    kind: str
    source: str
    count: int
    names: frozenset[str]  # its id, and nbgrader's

    @property
    def first_line(self) -> str:
        return self.source.lstrip().partition("\n")[0].rstrip()

    def writes(self, exercise: Exercise) -> str:
        """Return the file that the cell writes, whatever its kind, or "" for none; MagicError for a line that fails."""
        target = cell_target(self.source)
        if target is None:
            return ""
        name = file_key(target)
        return name.removeprefix(f"{exercise.apps[0]}:")  # what relative paths belong to


def read_answer(notebook: Notebook, exercise: Exercise) -> Answer:
    """Read the answer to one exercise.

    Args:
        notebook: the learner's, from `read_saved`; its cells may be anywhere, twice, or gone.
        exercise: the exercise.
    """
    places = list(_places(notebook))
    files = dict[str, str]()
    remarks = list[str]()
    for name in exercise.files:
        twins = [place for place in places if place.kind == "code" and _written(place, exercise) == name]
        if not twins:
            return Answer(files, _why_missing(places, exercise, name), tuple(remarks))
        place = max(twins, key=lambda twin: (twin.count, twin.position))
        files[name] = _text(place, name)
        remarks += _remarks(place, twins)
    return Answer(files, remarks=tuple(remarks))


def find_cells(notebook: Notebook, exercise: Exercise, name: str) -> list[int]:
    """Return the places, from 0, of the cells that write a file; else that of the one that came for it."""
    places, came = list(_places(notebook)), _place(1, original_cell(exercise, name))
    writing = [place.position - 1 for place in places if _written(place, exercise) == name]
    return writing or [place.position - 1 for place in places if place.names & came.names][:1]


def original_cell(exercise: Exercise, name: str) -> Cell:
    """Return the cell that writes a file of an exercise, as it came."""
    cells = exercise_notebook(exercise.lesson).cells
    return next(cell for cell in cells if _written(_place(1, cell), exercise) == name)


def _places(notebook: Notebook) -> Iterator[Place]:
    for position, cell in enumerate(notebook.cells, 1):
        yield _place(position, cell)


def _place(position: int, cell: Cell) -> Place:
    """Take a cell as it is: every field of it may be missing or of another kind."""
    source, count = cell.get("source"), cell.get("execution_count")
    names = (cell.get("id"), _grade_id(cell.get("metadata")))
    return Place(
        position,
        kind=str(cell.get("cell_type")),
        source=magic_first(_clean(source)) if isinstance(source, str) else "",
        count=count if isinstance(count, int) else 0,
        names=frozenset(name for name in names if isinstance(name, str)),
    )


def _grade_id(metadata: object) -> object:
    """Return nbgrader's name for a cell, which a copy of the cell has too."""
    grader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return grader.get("grade_id") if isinstance(grader, dict) else None


def _clean(source: str) -> str:
    """Return a source with plain ends of lines, and without the half characters that no file can hold."""
    return source.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def _written(place: Place, exercise: Exercise) -> str:
    try:
        return place.writes(exercise)
    except MagicError:
        return ""


def _text(place: Place, name: str) -> str:
    """Return what the magic would write: Python keeps the number of lines of the cell."""
    text = cell_body(place.source)
    return f"{text if name.endswith('.py') else text.removeprefix(chr(10))}\n"


def _remarks(place: Place, twins: list[Place]) -> Iterator[str]:
    magic = place.first_line
    if len({twin.source for twin in twins}) > 1:
        others = " and ".join(str(twin.position) for twin in twins if twin is not place)
        why = f"the one run last, [{place.count}]" if place.count else "none was run, so the lowest counts"
        yield (
            f"The cell `{magic}` is there {len(twins)} times. Cell {place.position} from the top was taken ({why}); "
            f"delete the other (cell {others})."
        )
    mark = CONFLICT.search(place.source)
    if mark:
        line = place.source.count("\n", 0, mark.start()) + 1
        yield f"Line {line} of the cell `{magic}` is the mark of a merge: keep one of the two versions."


def _why_missing(places: list[Place], exercise: Exercise, name: str) -> str:
    """Say what became of the cell that writes a file: the most likely thing that a learner did to it."""
    try:
        original = _place(1, original_cell(exercise, name))
    except CourseError:  # no solutions here, and so nothing to compare with
        return f"The cell that writes {name} is not in the notebook any more."
    magic = original.first_line
    for place in places:
        if _written(place, exercise) == name:
            return (
                f"The cell `{magic}` (cell {place.position} from the top) is a {place.kind} cell, which nothing runs. "
                "Select it, press Esc and then Y to make it code again, run it, and save."
            )
    for place in places:
        if place.names & original.names or _resembles(place, magic):
            begins = f"begins with `{place.first_line[:60]}`" if place.first_line else "is empty"
            return (
                f"Cell {place.position} from the top {begins}; the first line must be `{magic}`, with no code above "
                f"it and nothing else on it. To have it as it came: {_reset(exercise)}"
            )
    return (
        f"The cell `{magic}` is not in the notebook any more. To get it back as it came, with your other answers left "
        f"as they are: {_reset(exercise)}"
    )


def _resembles(place: Place, magic: str) -> bool:
    """Tell whether a cell has the magic with something above it, or with another application."""
    lines = [line.strip() for line in place.source.splitlines()]
    words = magic.partition(" --app ")[0]
    return place.kind == "code" and (magic in lines or place.first_line.partition(" --app")[0].strip() == words)


def _reset(exercise: Exercise) -> str:
    return f"taskqueue-course reset {exercise.number}"
