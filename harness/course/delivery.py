"""The learner's own copies of lessons, exercises and recaps in my-course/: how they are made, updated and reset."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from harness.course.catalogue import ROOT, Exercise, original_exercise
from harness.course.state_file import locked
from harness.course.workspace import FOLDER, Restored, answers_folder, restore
from harness.errors import CourseError, NotebookError, quoted
from harness.notebooks import files
from harness.notebooks.copies import (
    MY_COURSE,
    PAGE_FILES,
    PAGES,
    copy_name,
    is_untouched,
    merged,
    page_name,
    relink,
    source_path,
    to_copy,
    version,
)
from harness.notebooks.files import Notebook, read, read_saved
from harness.notebooks.stubs import digest, is_stub

_LOCK = ".lock"
_SYNCED = ".answers.json"  # in MY_COURSE: digests of the notebooks in exercises/ whose answers the copies contain
_PATIENCE = 60.0  # seconds


class CopyChange(StrEnum):
    """What happened to a copy, or what can be done with it."""

    MADE = "made"
    REPLACED = "replaced"  # by a new version, because the learner hadn't changed it
    OFFERED = "offered"  # a new version exists, and the learner has changed or run the copy
    UPDATED = "updated"  # to a new version that contains the learner's cells
    RESET = "reset"
    BROKEN = "broken"  # it can't be read, and stays as it is
    SAVED = "saved"  # in exercises/
    KEPT = "kept"  # in exercises/, because it may contain newer answers


@dataclass(frozen=True, slots=True)
class DeliveredCopy:
    """A copy, and what happened to it.

    Args:
        path: the file.
        change: what happened.
        backup: the previous file, or None.
        trouble: why a notebook couldn't be read, or "".
    """

    path: Path
    change: CopyChange
    backup: Path | None = None
    trouble: str = ""


def deliver(course: Path) -> list[DeliveredCopy]:
    """Make the copies that are missing. If a new version exists, replace the copies that the learner hasn't changed.

    Args:
        course: the folder that holds my-course/, or in which it is made. If it has no lessons of its own, the copies
            are made from the course to which this package belongs.

    Returns:
        The copies that were made or replaced, that can't be read, or for which a new version exists.

    Raises:
        CourseError: the folder can't be written.
        NotebookError: the course has no lessons, or a notebook of the course can't be read.
    """
    source = course_source(course)
    originals = _originals(source)
    with _changing(course) as folder:
        _deliver_pages(source, folder)
        changes = [_deliver(course, folder / name, new) for name, new in originals.items()]
    return [change for change in changes if change is not None]


def update(course: Path, names: Sequence[str], now: datetime) -> list[DeliveredCopy]:
    """Update copies to the new version of the course, and keep the learner's cells. Each previous copy is backed up.

    Args:
        course: the folder that holds my-course/.
        names: the names of copies; if empty, all copies for which a new version exists.
        now: the local time, for the names of backups.

    Returns:
        The copies that were updated or can't be read.

    Raises:
        CourseError: a name isn't the name of a copy, or the folder can't be written.
        NotebookError: no backup can be made.
    """
    originals = _originals(course_source(course))
    wanted = [_known(name, originals) for name in names] or [*originals]
    with _changing(course) as folder:
        changes = [_update(folder / name, originals[name], now) for name in wanted if (folder / name).exists()]
    return [change for change in changes if change is not None]


def start_again(course: Path, name: str, now: datetime) -> DeliveredCopy:
    """Replace a copy with a fresh one, and back up the previous copy.

    Args:
        course: the folder that holds my-course/.
        name: the name of the copy.
        now: the local time, for the name of the backup.

    Raises:
        CourseError: the name isn't the name of a copy, or the folder can't be written.
        NotebookError: no backup can be made.
    """
    originals = _originals(course_source(course))
    known = _known(name, originals)
    with _changing(course) as folder:
        path = folder / known
        backup = files.back_up(path, now) if path.exists() else None
        files.write(path, files.dump(originals[known]))
    return DeliveredCopy(path, CopyChange.RESET, backup)


def put_back(course: Path, wanted: list[Exercise], now: datetime) -> Iterator[Restored]:
    """Put the original cells of exercises back, as `restore` does, while no other command changes the copies.

    Args:
        course: the folder that holds my-course/ or exercises/.
        wanted: the exercises, in order.
        now: the local time, for the names of backups.

    Raises:
        CourseError: the folder can't be written, or the solutions are not installed.
        NotebookError: see `restore`.
    """
    with _changing(course) if answers_folder(course).name == MY_COURSE else nullcontext():
        yield from restore(course, wanted, now, course_source(course))


def save_answers(course: Path, now: datetime, *, force: bool = False) -> list[DeliveredCopy]:
    """Write the answers of the copies into exercises/, which git tracks.

    A notebook in exercises/ that changed since the last call, for example because of a `git pull`, stays as it is.

    Args:
        course: the folder that holds my-course/ and exercises/.
        now: the local time, for the names of backups. A notebook in exercises/ that has answers is backed up.
        force: replace a notebook that changed, too.

    Returns:
        The notebooks in exercises/ that were written or may contain newer answers, and the copies that can't be read.
    """
    changes = list[DeliveredCopy]()
    with _changing(course) as folder:
        for path in sorted(folder.glob("[0-9]*.ipynb")):
            original = source_path(path.name)
            if original.startswith(f"{FOLDER}/"):
                changes += _save_answers(course, path, Path(original).name, now, force)
    return changes


def last_saved(course: Path) -> Path:
    """Return the newest copy that the learner changed or ran, or else the copy of the first lesson."""
    copies = [path for path in sorted((course / MY_COURSE).glob("[0-9]*.ipynb")) if source_path(path.name)]
    if not copies:
        raise CourseError(f"{course / MY_COURSE} contains no copies of lessons; to make them: taskqueue-course copies")
    return max(filter(_was_used, copies), key=lambda path: path.stat().st_mtime, default=copies[0])


def first_lesson(*courses: Path) -> Path:
    """Return the first lesson in notebooks/ of the first of these folders that has lessons.

    Raises:
        NotebookError: none of them has lessons.
    """
    for course in courses:
        for path in sorted((course / "notebooks").glob("[0-9]*.ipynb")):
            return path
    raise NotebookError(f"{courses[0]} holds no lessons in notebooks/; run this in the repository's top folder")


def course_source(course: Path) -> Path:
    """Return the folder that holds notebooks/, exercises/ and solutions/ for the copies of a course.

    Raises:
        NotebookError: neither the course nor the course to which this package belongs has lessons.
    """
    return first_lesson(course, ROOT).parents[1]


def _was_used(path: Path) -> bool:
    try:
        return not is_untouched(read_saved(path))
    except NotebookError:
        return False


def _originals(source: Path) -> dict[str, Notebook]:
    """Return the copies in their newest version, by name."""
    folders = ("notebooks", files.PAGES)
    paths = [(folder, path) for folder in folders for path in files.find(source, folder) if copy_name(path.as_posix())]
    found = {copy_name(path.as_posix()): to_copy(read(path), folder) for folder, path in paths}
    names = [path.name for path in files.find(source, "solutions") or files.find(source, FOLDER)]
    return found | {copy_name(f"{FOLDER}/{name}"): to_copy(original_exercise(source, name), FOLDER) for name in names}


def _known(name: str, originals: dict[str, Notebook]) -> str:
    """Return the name of a copy, which may be given with its folder."""
    known = Path(name).name
    if known not in originals:
        raise CourseError(f"{quoted(name)} isn't a notebook of {MY_COURSE}/; its notebooks are {', '.join(originals)}")
    return known


@contextmanager
def _changing(course: Path) -> Iterator[Path]:
    """Yield my-course/, and hold its lock in this scope. An OSError becomes a CourseError."""
    folder = course / MY_COURSE
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder / _LOCK, _PATIENCE):
            yield folder
    except TimeoutError:
        raise CourseError(f"Another command is changing {folder}. Try again when it has ended.") from None
    except OSError as error:
        raise CourseError(
            f"{folder} can't be written: {error.strerror or error}. Go to a folder of your own (cd ~) and make your "
            "copies there: taskqueue-course copies"
        ) from None


def _deliver(course: Path, path: Path, new: Notebook) -> DeliveredCopy | None:
    if not path.exists():
        return _make(course, path, new)
    try:
        saved, mine = path.read_bytes(), read_saved(path)
    except NotebookError as error:
        return DeliveredCopy(path, CopyChange.BROKEN, trouble=str(error))
    if is_untouched(mine):
        if mine.metadata != new.metadata:  # a new version, or another Python, which is in the metadata
            text = files.dump(new)
            if path.read_bytes() != saved:  # JupyterLab has saved it since it was read
                return None
            files.write(path, text)
        return DeliveredCopy(path, CopyChange.REPLACED) if version(mine) != version(new) else None
    return DeliveredCopy(path, CopyChange.OFFERED) if version(mine) != version(new) else None


def _make(course: Path, path: Path, new: Notebook) -> DeliveredCopy:
    """Make a copy. If exercises/ contains answers, the copy contains them too."""
    earlier = course / source_path(path.name)
    trouble = ""
    if earlier.parent.name == FOLDER and earlier.exists():
        try:
            answered = read_saved(earlier)
        except NotebookError as error:
            trouble = str(error)
        else:
            if not is_stub(answered):
                _remember(path.parent, earlier.name, answered)
                original = original_exercise(course_source(course), earlier.name)
                _exchange_texts(answered, original, to_copy(original, FOLDER))
                files.write(path, files.dump(merged(new, answered)))
                _keep_time(path, earlier.stat())
                return DeliveredCopy(path, CopyChange.MADE)
    files.write(path, files.dump(new))
    return DeliveredCopy(path, CopyChange.MADE, trouble=trouble)


def _update(path: Path, new: Notebook, now: datetime) -> DeliveredCopy | None:
    try:
        mine = read_saved(path)
    except NotebookError as error:
        return DeliveredCopy(path, CopyChange.BROKEN, trouble=str(error))
    if version(mine) == version(new):
        return None
    was, backup = path.stat(), files.back_up(path, now)
    files.write(path, files.dump(merged(new, mine)))
    _keep_time(path, was)
    return DeliveredCopy(path, CopyChange.UPDATED, backup)


def _keep_time(path: Path, was: os.stat_result) -> None:
    """Set a file's times to those of its previous version, because `last_saved` looks for the learner's last change."""
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _save_answers(course: Path, path: Path, name: str, now: datetime, force: bool) -> Iterator[DeliveredCopy]:
    target = course / FOLDER / name
    try:
        mine = read_saved(path)
    except NotebookError as error:
        yield DeliveredCopy(path, CopyChange.BROKEN, trouble=str(error))
        return
    if is_untouched(mine):  # exercises/ may contain answers from another computer
        return
    answered = _with_answers(original_exercise(course_source(course), name), mine)
    text, backup = files.dump(answered), None
    if not target.exists() or target.read_bytes() != text.encode():
        state, trouble = _compared(target, path.parent)
        if state == "newer" and not force:
            yield DeliveredCopy(target, CopyChange.KEPT, trouble=trouble)
            return
        backup = files.back_up(target, now) if state != "stub" else None
        files.write(target, text)
        yield DeliveredCopy(target, CopyChange.SAVED, backup)
    _remember(path.parent, name, answered)


def _compared(target: Path, folder: Path) -> tuple[Literal["stub", "synced", "newer"], str]:
    """Compare a notebook in exercises/ with the answers that its copy contains.

    Returns:
        "stub" if it has no answers or doesn't exist, "synced" if the copy contained its answers at some time, or else
        "newer", and the reason if it can't be read.
    """
    if not target.exists():
        return "stub", ""
    try:
        there = read_saved(target)
    except NotebookError as error:
        return "newer", str(error)
    if is_stub(there):
        return "stub", ""
    return "synced" if _synced(folder).get(target.name) == digest(there) else "newer", ""


def _synced(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / _SYNCED).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(folder: Path, name: str, answered: Notebook) -> None:
    """Remember that a copy contains the answers of a notebook in exercises/."""
    files.write(folder / _SYNCED, json.dumps(_synced(folder) | {name: digest(answered)}, indent=1))


def _with_answers(exercise: Notebook, mine: Notebook) -> Notebook:
    """Return an exercise notebook with the learner's cells from its copy. The course's text keeps its own links."""
    new = to_copy(exercise, FOLDER)
    result = merged(new, mine)
    _exchange_texts(result, new, exercise)
    result.metadata = exercise.metadata
    return result


def _exchange_texts(notebook: Notebook, here: Notebook, there: Notebook) -> None:
    """Replace the texts of one notebook by those of another one, which has the same cells with other links.

    Args:
        notebook: the notebook that is changed. Texts that the learner has changed stay.
        here: the notebook with the texts to replace.
        there: the notebook with the new texts.
    """
    texts = {(one.id, one.source): other.source for one, other in zip(here.cells, there.cells, strict=True)}
    for cell in notebook.cells:
        cell["source"] = texts.get((cell.get("id"), cell.get("source")), cell.get("source"))


def _deliver_pages(source: Path, folder: Path) -> None:
    """Write the pages and pictures to which notebooks link."""
    for path in (path for pattern in PAGE_FILES for path in source.glob(pattern) if path.is_file()):
        inside = path.relative_to(source).as_posix()
        target, data = folder / PAGES / page_name(inside), path.read_bytes()
        if path.suffix == ".md":
            data = relink(data.decode(), path.parent.name, PAGES).encode()
        if not target.exists() or target.read_bytes() != data:
            files.write(target, data)
