"""The learner's exercise notebooks, in my-course/ or in exercises/: the answers in them, and how to reset them."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from harness.course.catalogue import (
    ROOT,
    Exercise,
    exercise_file,
    exercise_key,
    exercise_notebook,
    exercises,
    find_exercise,
    lesson_file,
    lesson_notebook,
    lessons,
)
from harness.errors import CourseError, MagicError, NotebookError, quoted
from harness.notebooks import files
from harness.notebooks.cells import cell_body, cell_target, magic_first
from harness.notebooks.copies import MY_COURSE, copy_name, to_copy
from harness.notebooks.files import CONFLICT, Cell, Notebook, read_saved
from harness.notebooks.stubs import grade_id

# A learner's answers, read from a saved exercise notebook without a kernel.


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Args:
        files: the text of each file that its cells write, named as in `Exercise.files`, and of the exercise's others.
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
        return exercise_key(exercise, target) if target else ""


def read_answer(notebook: Notebook, exercise: Exercise) -> Answer:
    """Return the answer to one exercise.

    Args:
        notebook: the learner's, from `read_saved`. Its cells may be moved, copied or deleted.
        exercise: the exercise.
    """
    places = list(cell_places(notebook))
    files = dict[str, str]()
    remarks = list[str]()
    written = {place.writes(exercise): None for place in places if place.kind == "code"}
    for name in dict.fromkeys([*exercise.files, *filter(exercise.owns, written)]):
        copies = [place for place in places if place.kind == "code" and place.writes(exercise) == name]
        if not copies:
            return Answer(files, _why_missing(places, exercise, name), tuple(remarks))
        place = max(copies, key=lambda copy: (copy.count, copy.position))
        text = cell_body(place.source)  # the magic keeps the line numbers of Python, but not of other files
        files[name] = f"{text if name.endswith('.py') else text.removeprefix(chr(10))}\n"
        remarks += _remarks(place, copies)
    return Answer(files, remarks=tuple(remarks))


def _find_cells(notebook: Notebook, exercise: Exercise, name: str, original: Cell) -> list[int]:
    """Return the indices of the cells that write a file, or else the index of the original cell, if it still exists."""
    places = list(cell_places(notebook))
    writing = [place.position - 1 for place in places if place.writes(exercise) == name]
    return writing or [place.position - 1 for place in places if place.names & _place(1, original).names][:1]


def _original_cell(exercise: Exercise, name: str, source: Path = ROOT) -> Cell:
    """Return the cell that writes a file of an exercise, as the course in the folder `source` delivers it.

    Raises:
        CourseError: the solutions, from which it is made, are not installed, or they don't contain it.
    """
    for cell in _original_cells(exercise, source):
        if _place(1, cell).writes(exercise) == name:
            return cell
    raise CourseError(f"the course in {source} has no cell that writes {name}")


def _original_cells(exercise: Exercise, source: Path) -> list[Cell]:
    """Return the cells of the notebook that contains an exercise."""
    found = (lesson_notebook if exercise.is_small else exercise_notebook)(exercise.lesson, source)
    return list(found.cells)


def cell_places(notebook: Notebook) -> Iterator[Place]:
    """Yield the cells of a notebook from `read_saved`, from top to bottom."""
    for position, cell in enumerate(notebook.cells, 1):
        yield _place(position, cell)


def _place(position: int, cell: Cell) -> Place:
    """Read a cell in which any field may be missing or of another type."""
    source, count = cell.get("source"), cell.get("execution_count")
    return Place(
        position,
        kind=str(cell.get("cell_type")),
        source=magic_first(_clean(source)) if isinstance(source, str) else "",
        count=count if isinstance(count, int) else 0,
        names=frozenset(name for name in (cell.get("id"), grade_id(cell)) if name and isinstance(name, str)),
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
        original = _place(1, _original_cell(exercise, name))
    except CourseError:
        return f"The notebook doesn't contain the cell that writes {name}."
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
        f"The notebook doesn't contain the cell `{magic}`. To get the original cell back and keep your other answers: "
        f"{reset}"
    )


def _resembles(place: Place, magic: str) -> bool:
    """Return whether a code cell has the magic below its first line, or with another application."""
    lines = [line.strip() for line in place.source.splitlines()]
    without_app = magic.partition(" --app ")[0]
    return place.kind == "code" and (magic in lines or place.first_line.partition(" --app")[0].strip() == without_app)


FOLDER = "exercises"


def find_course(start: Path) -> Path:
    """Return the folder of the course that contains `start`.

    Raises:
        CourseError: neither `start` nor a folder above it contains my-course/ or exercises/.
    """
    for folder in (start, *start.absolute().parents):
        if (folder / MY_COURSE).is_dir() or (folder / FOLDER).is_dir():
            return folder
    raise CourseError(
        f"{start} contains no course, because it has no folder {MY_COURSE}/ or {FOLDER}/. Go to the folder of the "
        "course first (cd), or name it: --course FOLDER"
    )


def answers_folder(course: Path) -> Path:
    """Return the folder with the learner's saved answers: my-course/ if it exists, or else exercises/."""
    copies = course / MY_COURSE
    return copies if copies.is_dir() else course / FOLDER


def select(what: str) -> list[Exercise]:
    """Return the exercises that a text selects: one ("2.1" or "2.x"), those of a lesson ("02" or "2"), or all ("all").

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
        raise CourseError(f"the course has no lesson {quoted(what)}; its lessons are {', '.join(known)}")
    if not found:
        raise CourseError(f"lesson {quoted(what)} has no exercises; they begin in lesson 01")
    return found


def notebook_path(course: Path, lesson: str) -> Path:
    """Return the path of a lesson's exercise notebook, relative to the current folder if that contains it.

    The notebook need not exist.
    """
    folder, name = answers_folder(course), exercise_file(lesson)
    path = folder / (copy_name(f"{FOLDER}/{name}") if folder.name == MY_COURSE else name)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _answer_path(course: Path, exercise: Exercise) -> Path:
    """Return the path of the notebook that contains an exercise, as `notebook_path` does.

    Raises:
        CourseError: it is a small exercise, and the learner has no copy of its lesson.
    """
    path = notebook_path(course, exercise.lesson)
    if exercise.is_small:
        path = path.with_name(copy_name(f"notebooks/{lesson_file(exercise.lesson)}"))
        if path.parent.name != MY_COURSE or not path.exists():
            raise CourseError(
                f"{exercise.number} is a cell of lesson {exercise.lesson}, and you have no copy of this lesson in "
                f"{MY_COURSE}/. To make the copies: taskqueue-course copies"
            )
    return path


def whole_notebook(exercise: Exercise) -> str:
    """Return what `reset` needs to start the whole notebook of an exercise again: a lesson or the name of a copy."""
    return copy_name(f"notebooks/{lesson_file(exercise.lesson)}") if exercise.is_small else exercise.lesson


def read_answers(course: Path, wanted: list[Exercise]) -> Iterator[tuple[Exercise, Answer | NotebookError]]:
    """Yield each of the exercises with its answer, or with the error of a notebook that can't be read.

    Raises:
        CourseError: the learner has no copy of the lesson that contains a small exercise.
    """
    notebook: Notebook | NotebookError
    for path, group in groupby(wanted, key=lambda exercise: _answer_path(course, exercise)):
        try:
            notebook = read_saved(path)
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


def restore(course: Path, wanted: list[Exercise], now: datetime, source: Path = ROOT) -> Iterator[Restored]:
    """Put the original cells of exercises back, and yield each notebook of theirs. Changed ones are backed up first.

    Args:
        course: the folder of the course.
        wanted: the exercises, in order.
        now: the local time, for the names of backups.
        source: the folder of the course that delivers the original cells.

    Raises:
        CourseError: the solutions, from which the original cells are made, are not installed, or the learner has no
            copy of the lesson that contains a small exercise.
        NotebookError: a notebook can't be written, or can't be read and not all of its exercises are wanted.
    """
    for path, group in groupby(wanted, key=lambda exercise: _answer_path(course, exercise)):
        in_lesson = tuple(group)
        first = in_lesson[0]
        try:
            notebook = read_saved(path)
        except NotebookError as error:
            if first.is_small or len(in_lesson) < len(select(first.lesson)):
                raise NotebookError(
                    f"{error}.\nThis notebook can't be read, so a single exercise in it can't be reset. To keep a copy "
                    f"and reset the whole notebook: taskqueue-course reset {whole_notebook(first)}"
                ) from None
            backup = _replace(path, _original_notebook(first.lesson, path, source), now)
            yield Restored(path, in_lesson, backup, str(error))
        else:
            changed = tuple(exercise for exercise in in_lesson if _put_back(notebook, exercise, source))
            yield Restored(path, changed, _replace(path, notebook, now) if changed else None)


def _original_notebook(lesson: str, path: Path, source: Path) -> Notebook:
    """Return an exercise notebook as the course delivers it to a path."""
    original = exercise_notebook(lesson, source)
    return to_copy(original, FOLDER) if path.parent.name == MY_COURSE else original


def _replace(path: Path, notebook: Notebook, now: datetime) -> Path | None:
    backup = files.back_up(path, now) if path.exists() else None
    try:
        files.write(path, files.dump(notebook))
    except OSError as error:
        raise NotebookError(f"{path}: cannot be written ({error.strerror}), so it is unchanged") from None
    return backup


def _put_back(notebook: Notebook, exercise: Exercise, source: Path) -> bool:
    """Put the original cells of an exercise back, and return whether that changed the notebook."""
    changes = [_put_back_cell(notebook, exercise, name, source) for name in exercise.files]
    return any(changes)


def _put_back_cell(notebook: Notebook, exercise: Exercise, name: str, source: Path) -> bool:
    """Replace all cells that write a file with the original one. If none exists, insert it where it was."""
    original = _original_cell(exercise, name, source)
    places = _find_cells(notebook, exercise, name, original)
    if [_essence(notebook.cells[place]) for place in places] == [_essence(original)]:
        return False
    at = places[0] if places else _original_place(original, notebook, _original_cells(exercise, source))
    notebook.cells = [cell for place, cell in enumerate(notebook.cells) if place not in places]
    notebook.cells.insert(at, _fresh(original, notebook))
    return True


def _essence(cell: Cell) -> tuple[str, str]:
    return cell.get("cell_type", ""), cell.get("source", "")


def _fresh(original: Cell, notebook: Notebook) -> Cell:
    """Return a copy of a code cell without outputs, with an id that the notebook doesn't use yet."""
    cell = copy.deepcopy(original)
    cell.update(outputs=[], execution_count=None)
    used = {other.get("id") for other in notebook.cells}
    while cell["id"] in used:
        cell["id"] += "-again"
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        del cell["id"]  # format 4.5 introduced it
    return cell


def _original_place(original: Cell, notebook: Notebook, cells: list[Cell]) -> int:
    """Return the index for a deleted cell: below the nearest of the original `cells` above it that still exists."""
    for above in reversed(cells[: cells.index(original)]):
        for place, cell in enumerate(notebook.cells):
            if cell.get("source") == above.source or _heading(cell) == _heading(above) != "":
                return place + 1
    return len(notebook.cells)


def _heading(cell: Cell) -> str:
    """Return the heading at the beginning of a cell, or "". A learner who adds notes below it doesn't change it."""
    first = str(cell.get("source", "")).partition("\n")[0]
    return first if first.startswith("#") else ""
