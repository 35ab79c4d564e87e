"""The learner's copies of lessons, exercises and recaps: their names, links and cells, and how they are updated.

All copies are in one flat folder, in which a lesson is followed by its exercises and its recap. The pages and pictures
to which lessons link are in a subfolder of it, which JupyterLab's file browser hides.

The metadata of a copy contains digests of the cells that were delivered. They show what the learner has changed, and
whether the course has a newer version.
"""

import copy
import json
import posixpath
import re
import sys
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import chain

from harness.notebooks.files import PAGES as LESSON_PAGES
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.normal_form import give_ids, normalise
from harness.notebooks.stubs import BLANK, DIGEST, digest, grade_id, origin

# The pages and pictures that are delivered beside the copies
PAGE_FILES = ("notebooks/GLOSSARY.md", "notebooks/REFERENCE_CARD.md", "notebooks/images/*", "harness/FIDELITY.md")
MY_COURSE = "my-course"  # the learner's folder
PAGES = "course-pages"  # in MY_COURSE; harness/classroom/server_extension.py hides it

_DELIVERED = "course_copy"  # in the metadata of a copy, which JupyterLab keeps when it saves
# What a kernel reports about this Python. JupyterLab marks a notebook as modified if its metadata has anything else.
_LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": sys.version_info.major},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": sys.version.split()[0],
}

_KINDS = {"notebooks": "a_lesson_", "exercises": "b_exercises_", LESSON_PAGES: "c_"}
_SOURCE = re.compile(rf"(?:.*/)?(notebooks|exercises|{LESSON_PAGES}(?=/\d\d_recap\.))/(\d\d)_(\w+\.ipynb)")
_COPY = re.compile(r"(\d\d)(a_lesson_|b_exercises_|c_(?=recap\.))(\w+\.ipynb)")
_FOLDERS = {kind: folder for folder, kind in _KINDS.items()}
# Code, or an inline link or picture with its text and its target.
_INLINE = re.compile(
    r"```.*?```|`[^`\n]*`|!?\[([^\[\]\n]*)\]\(<?(?![a-z][a-z0-9+.-]*:)([^\s()<>#]+)[^()\n]*\)",
    re.IGNORECASE | re.DOTALL,
)
# The target of an inline link or picture, and that of a reference, without the fragment.
_LINK = re.compile(r"(\]\(<?|^\[[^\]\n]+\]: *<?)(?![a-z][a-z0-9+.-]*:)([^\s()<>#]+)", re.IGNORECASE | re.MULTILINE)


def copy_name(path: str) -> str:
    """Return the name of the learner's copy of a notebook ("notebooks/01_first_task.ipynb").

    Returns:
        "01a_lesson_first_task.ipynb" for a lesson, "01b_exercises_first_task.ipynb" for an exercise notebook,
        "03c_recap.ipynb" for a recap, or "" for any other file.
    """
    match = _SOURCE.fullmatch(path)
    return f"{match[2]}{_KINDS[match[1]]}{match[3]}" if match else ""


def source_path(name: str) -> str:
    """Return the path in the course of the notebook that a copy was made from, or "" if no copy has this name."""
    match = _COPY.fullmatch(name)
    return f"{_FOLDERS[match[2]]}/{match[1]}_{match[3]}" if match else ""


def page_name(path: str) -> str:
    """Return the path below PAGES of a page or picture ("notebooks/images/a.svg" becomes "images/a.svg").

    Returns:
        The path, or "" for a file that isn't delivered.
    """
    return path.partition("/")[2] if any(fnmatchcase(path, page) for page in PAGE_FILES) else ""


def relink(source: str, folder: str, place: str = "") -> str:
    """Return Markdown whose links lead to the copies and to the pages beside them.

    An inline link to a file that isn't delivered becomes text, because a copy may be in a folder without the course.

    Args:
        source: the Markdown.
        folder: its folder in the course ("notebooks").
        place: its folder in MY_COURSE (PAGES for a page).
    """

    def delivered(target: str) -> str:
        path = posixpath.normpath(posixpath.join(folder, target))
        page = page_name(path)
        return copy_name(path) or (posixpath.join(PAGES, page) if page else "")

    def link(match: re.Match[str]) -> str:
        copied = delivered(match[2])
        return f"{match[1]}{posixpath.relpath(copied, place or '.')}" if copied else match[0]

    source = _INLINE.sub(lambda match: match[1] if match[2] and not delivered(match[2]) else match[0], source)
    return _LINK.sub(link, source)


def to_copy(notebook: Notebook, folder: str) -> Notebook:
    """Return the copy of a lesson or an exercise for the learner, without outputs and execution counts.

    Args:
        notebook: the notebook in the course, which isn't changed.
        folder: its folder ("notebooks").
    """
    made = normalise(notebook, blank=True)
    made.metadata["language_info"] = _LANGUAGE
    if origin(notebook):
        made.metadata[DIGEST] = origin(notebook)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, folder)
    cells = {cell.id: _digest(cell) for cell in made.cells}
    made.metadata[_DELIVERED] = {"version": digest(made), "cells": cells}
    return made


def version(copied: Notebook) -> str:
    """Return the version of the course's notebook from which a copy was made, or "" for any other notebook."""
    found = _delivered(copied).get("version")
    return found if isinstance(found, str) else ""


def is_untouched(copied: Notebook) -> bool:
    """Return whether a copy has only the cells that were delivered, and no cell was run."""
    was_run = any(cell.get("outputs") or cell.get("execution_count") for cell in copied.cells)
    return not was_run and version(copied) == digest(copied)


def merged(new: Notebook, old: Notebook) -> Notebook:
    """Return a new version of a notebook in which the learner's cells of the old one are kept.

    A code cell that the learner changed replaces the new one. A text cell that the learner changed replaces the new
    one unless the course has changed it, too. A cell that the learner added stays below the same cell. Cells that the
    learner deleted are inserted again.

    An exercise notebook that isn't a copy has no digests of its cells. If it is from another version of the course,
    only answers and added cells are kept, because any other difference may be a change of the course.

    Args:
        new: the new version, which isn't changed.
        old: the learner's notebook: a copy, or an exercise notebook with the texts of a copy.
    """
    result = copy.deepcopy(new)
    before = _delivered(old).get("cells")
    is_same = not before and origin(old) == origin(new) != ""
    delivered = (
        {cell.id: _digest(cell) for cell in new.cells} if is_same else before if isinstance(before, dict) else {}
    )
    known = {cell.get("id") or grade_id(cell) for cell in old.cells}
    at = -1  # the index of the cell above
    for cell in old.cells:
        mine, place = _digest(cell), _place(result, cell, known)
        was = delivered.get(result.cells[place].id if place is not None else cell.get("id"))
        if place is None:
            if mine != was and str(cell.get("source", "")).strip():
                at += 1
                result.cells.insert(at, _blank(cell))
            continue
        at, fresh = place, _digest(result.cells[place])
        known.add(result.cells[at].id)
        may_be_old = not delivered and not (_is_code(result.cells[at]) and BLANK in result.cells[at].source)
        if mine not in (fresh, was) and (_is_code(cell) or fresh == was) and not may_be_old:
            replaced = result.cells[at]
            result.cells[at] = _blank(cell)
            result.cells[at].update(id=replaced.id, metadata=replaced.metadata)
    give_ids(result.cells)
    return result


def _place(notebook: Notebook, cell: Cell, known: set[str | None]) -> int | None:
    """Return the index of the cell that corresponds to a cell of another notebook, or None.

    It is the cell with the same id. If no cell has this id, it is a cell with the same source.

    Args:
        notebook: the notebook.
        cell: the other notebook's cell.
        known: the ids of the other notebook's cells, and of cells that were found before. A cell with one of these ids
            is never found by its source, because a learner may add a cell with the source of another one.
    """
    name = cell.get("id") or grade_id(cell)
    named = (index for index, other in enumerate(notebook.cells) if name and other.get("id") == name)
    free = ((index, other) for index, other in enumerate(notebook.cells) if other.get("id") and other.id not in known)
    equal = (index for index, other in free if _digest(other) == _digest(cell))
    return next(chain(named, equal), None)


def _delivered(copied: Notebook) -> dict[str, object]:
    found = copied.get("metadata", {}).get(_DELIVERED)
    return found if isinstance(found, dict) else {}


def _is_code(cell: Cell) -> bool:
    return bool(cell.get("cell_type") == "code")


def _digest(cell: Cell) -> str:
    """Return a digest of a cell's type and source."""
    essence = [cell.get("cell_type"), str(cell.get("source", "")).rstrip()]
    return sha256(json.dumps(essence).encode()).hexdigest()[:8]


def _blank(cell: Cell) -> Cell:
    """Return a copy of a cell without its results."""
    blank = copy.deepcopy(cell)
    if _is_code(cell):
        blank["outputs"], blank["execution_count"] = [], None
    return blank
