"""The course folder of nbgrader, laid out from the solutions: one assignment per lesson."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import GradingError
from harness.notebooks import files

_CONFIG = '''\
"""nbgrader's settings for this course; yours go below. `nbgrader` is called in this folder."""

from harness.grading.preprocessors import configure

c = get_config()
configure(c)
c.CourseDirectory.course_id = "web2py-taskqueue"
'''


def lay_out(root: Path, folder: Path, say: Callable[[str], None] = print) -> int:
    """Make a course folder, or bring the sources of one up to date; all else in it stays as it is.

    Args:
        root: holds solutions/.
        folder: the course folder, with or without submissions and grades.
        say: called with each line of the report.

    Returns:
        The number of files written.

    Raises:
        GradingError: there are no solutions, or the folder cannot be written.
    """
    solutions = files.find(root, "solutions")
    if not solutions:
        raise GradingError(f"{root} holds no solutions/; run this in the repository's top folder")
    try:
        written = [_write(folder / "nbgrader_config.py", _CONFIG, say)] if not _has_config(folder) else []
        for path in solutions:
            lesson = path.name.partition("_")[0]
            written.append(_replace(folder, Path("source", lesson, path.name), path.read_text("utf-8"), say))
    except OSError as error:
        raise GradingError(f"{folder} cannot be made a course folder: {error}") from None
    return sum(written)


def _has_config(folder: Path) -> bool:
    return (folder / "nbgrader_config.py").exists()


def _replace(folder: Path, name: Path, text: str, say: Callable[[str], None]) -> bool:
    """Write a file that may have been edited by hand; the one of before is kept."""
    path = folder / name
    before = path.read_text("utf-8") if path.exists() else None
    if before == text:
        return False
    if before is not None:
        _write(folder / "before" / name.relative_to("source"), before, say)
    return _write(path, text, say)


def _write(path: Path, text: str, say: Callable[[str], None]) -> bool:
    files.write(path, text)
    say(f"wrote {path}")
    return True
