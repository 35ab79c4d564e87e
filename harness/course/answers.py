"""A learner's answers, read from a saved exercise notebook without a kernel."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.course.catalogue import exercise_notebook, file_key
from harness.course.exercise import Exercise
from harness.errors import CourseError, MagicError
from harness.notebooks.cells import cell_body, cell_target, magic_first
from harness.notebooks.files import CONFLICT, Cell, Notebook


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Args:
        files: the text of each file that its cells write, named as in `Exercise.files`.
        missing: why a file is missing and how to get its cell back, or "".
        remarks: other messages about the cells.
    """

    files: dict[str, str]
    missing: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A cell of a notebook.

    Args:
        position: its position from the top, counted from 1.
        kind: its type ("code").
        source: its source, with "\\n" at the end of each line. It begins with the magic, if it has one; see
            `magic_first`.
        count: its execution count, or 0.
        names: its id, and the id that nbgrader gave it. A copy of the cell has the latter too.
    """

    position: int
    kind: str
    source: str
    count: int
    names: frozenset[str]

    @property
    def first_line(self) -> str:
        """Return the first line that isn't blank."""
        return self.source.lstrip().partition("\n")[0].rstrip()

    def writes(self, exercise: Exercise) -> str:
        """Return the file that the cell would write if it were code, named as in `Exercise.files`, or "" for none."""
        try:
            target = cell_target(self.source)
        except MagicError:
            return ""
        return file_key(target).removeprefix(f"{exercise.apps[0]}:") if target else ""


def read_answer(notebook: Notebook, exercise: Exercise) -> Answer:
    """Return the answer to one exercise.

    Args:
        notebook: the learner's, from `read_saved`. Its cells may be moved, copied or deleted.
        exercise: the exercise.
    """
    places = list(_places(notebook))
    files = dict[str, str]()
    remarks = list[str]()
    for name in exercise.files:
        copies = [place for place in places if place.kind == "code" and place.writes(exercise) == name]
        if not copies:
            return Answer(files, _why_missing(places, exercise, name), tuple(remarks))
        place = max(copies, key=lambda copy: (copy.count, copy.position))
        text = cell_body(place.source)  # the magic keeps the line numbers of Python, but not of other files
        files[name] = f"{text if name.endswith('.py') else text.removeprefix(chr(10))}\n"
        remarks += _remarks(place, copies)
    return Answer(files, remarks=tuple(remarks))


def find_cells(notebook: Notebook, exercise: Exercise, name: str) -> list[int]:
    """Return the indices of the cells that write a file, or else the index of the original cell, if it still exists."""
    places, original = list(_places(notebook)), _place(1, original_cell(exercise, name))
    writing = [place.position - 1 for place in places if place.writes(exercise) == name]
    return writing or [place.position - 1 for place in places if place.names & original.names][:1]


def original_cell(exercise: Exercise, name: str) -> Cell:
    """Return the cell that writes a file of an exercise, as the course delivers it.

    Raises:
        CourseError: the solutions, from which it is made, are not installed.
    """
    cells = exercise_notebook(exercise.lesson).cells
    return next(cell for cell in cells if _place(1, cell).writes(exercise) == name)


def _places(notebook: Notebook) -> Iterator[Place]:
    for position, cell in enumerate(notebook.cells, 1):
        yield _place(position, cell)


def _place(position: int, cell: Cell) -> Place:
    """Read a cell in which any field may be missing or of another type."""
    source, count, metadata = cell.get("source"), cell.get("execution_count"), cell.get("metadata")
    grader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    names = (cell.get("id"), grader.get("grade_id") if isinstance(grader, dict) else None)
    return Place(
        position,
        kind=str(cell.get("cell_type")),
        source=magic_first(_clean(source)) if isinstance(source, str) else "",
        count=count if isinstance(count, int) else 0,
        names=frozenset(name for name in names if isinstance(name, str)),
    )


def _clean(source: str) -> str:
    """Return a source with "\\n" at the end of each line, and without lone surrogates, which no file can contain."""
    return source.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def _remarks(place: Place, copies: list[Place]) -> Iterator[str]:
    magic = place.first_line
    if len({copy.source for copy in copies}) > 1:
        others = " and ".join(str(copy.position) for copy in copies if copy is not place)
        why = f"the one run last, [{place.count}]" if place.count else "none was run, so the lowest counts"
        yield (
            f"The notebook has {len(copies)} cells `{magic}`. Cell {place.position} from the top was used ({why}); "
            f"delete the other (cell {others})."
        )
    mark = CONFLICT.search(place.source)
    if mark:
        line = place.source.count("\n", 0, mark.start()) + 1
        yield f"Line {line} of the cell `{magic}` is a merge marker. Keep one of the two versions."


def _why_missing(places: list[Place], exercise: Exercise, name: str) -> str:
    """Return the most likely reason why no cell writes a file, and what to do."""
    try:
        original = _place(1, original_cell(exercise, name))
    except CourseError:
        return f"The cell that writes {name} is no longer in the notebook."
    magic = original.first_line
    reset = f"taskqueue-course reset {exercise.number}"
    for place in places:
        if place.writes(exercise) == name:
            return (
                f"The cell `{magic}` (cell {place.position} from the top) is a {place.kind} cell, so it can't run. "
                "Select it, press Esc and then Y to make it code again, run it, and save."
            )
    for place in places:
        if place.names & original.names or _resembles(place, magic):
            begins = f"begins with `{place.first_line[:60]}`" if place.first_line else "is empty"
            return (
                f"Cell {place.position} from the top {begins}; the first line must be `{magic}`, with no code above "
                f"it and nothing else on it. To get the original cell back: {reset}"
            )
    return (
        f"The cell `{magic}` is no longer in the notebook. To get the original cell back and keep your other answers: "
        f"{reset}"
    )


def _resembles(place: Place, magic: str) -> bool:
    """Return whether a code cell has the magic below its first line, or with another application."""
    lines = [line.strip() for line in place.source.splitlines()]
    without_app = magic.partition(" --app ")[0]
    return place.kind == "code" and (magic in lines or place.first_line.partition(" --app")[0].strip() == without_app)
