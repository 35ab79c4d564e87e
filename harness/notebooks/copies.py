"""The learner's copies of lessons and exercises: their names and links.

All copies are in one flat folder, in which a lesson is followed by its exercises. The pages and pictures to which
lessons link are in a subfolder of it, which JupyterLab's file browser hides.
"""

import posixpath
import re

MY_COURSE = "my-course"  # the learner's folder
PAGES = "course-pages"  # in MY_COURSE; harness/classroom/jupyter/ hides it

_SOURCE = re.compile(r"(?:.*/)?(notebooks|exercises)/(\d\d)_(\w+\.ipynb)")
_COPY = re.compile(r"(\d\d)(a_lesson|b_exercises)_(\w+\.ipynb)")
_KINDS = {"notebooks": "a_lesson", "exercises": "b_exercises"}
_FOLDERS = {kind: folder for folder, kind in _KINDS.items()}
# The target of an inline link or picture, and that of a reference, without the fragment.
_LINK = re.compile(r"(\]\(<?|^\[[^\]\n]+\]: *<?)(?![a-z][a-z0-9+.-]*:)([^\s()<>#]+)", re.IGNORECASE | re.MULTILINE)


def copy_name(path: str) -> str:
    """Return the name of the learner's copy of a notebook ("notebooks/01_first_task.ipynb").

    Returns:
        "01a_lesson_first_task.ipynb" for a lesson, "01b_exercises_first_task.ipynb" for an exercise notebook, or "" for
        any other file.
    """
    match = _SOURCE.fullmatch(path)
    return f"{match[2]}{_KINDS[match[1]]}_{match[3]}" if match else ""


def source_path(name: str) -> str:
    """Return the path in the course of the notebook that a copy was made from, or "" if no copy has this name."""
    match = _COPY.fullmatch(name)
    return f"{_FOLDERS[match[2]]}/{match[1]}_{match[3]}" if match else ""


def page_name(path: str) -> str:
    """Return the path below PAGES of a page or picture ("notebooks/images/a.svg" becomes "images/a.svg")."""
    return path.partition("/")[2]


def linked(source: str, folder: str) -> set[str]:
    """Return the paths in the course of the files to which Markdown links, if the Markdown is in `folder`."""
    return {posixpath.normpath(posixpath.join(folder, match[2])) for match in _LINK.finditer(source)}


def relink(source: str, folder: str, place: str = "") -> str:
    """Return Markdown whose links lead to the copies and to the pages beside them.

    Args:
        source: the Markdown.
        folder: its folder in the course ("notebooks").
        place: its folder in MY_COURSE (PAGES for a page).
    """

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        copied = copy_name(path) or posixpath.join(PAGES, page_name(path))
        return f"{match[1]}{posixpath.relpath(copied, place or '.')}"

    return _LINK.sub(link, source)
