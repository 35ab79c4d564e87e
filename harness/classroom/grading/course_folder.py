"""The course folder of nbgrader; this module doesn't need nbgrader."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.errors import GradingError
from harness.notebooks import files

_CONFIG = '''\
"""nbgrader's settings for this course; add yours below, and run `nbgrader` in this folder."""

from harness.classroom.grading.nbgrader import configure

c = get_config()
configure(c)
c.CourseDirectory.course_id = "web2py-taskqueue"
'''


def lay_out(root: Path, folder: Path, say: Callable[[str], None] = print) -> int:
    """Make a course folder with an assignment for each lesson, or update the sources in one.

    Args:
        root: the folder that holds solutions/.
        folder: the course folder. Its submissions and grades stay, and an edited source is copied into before/.
        say: receives each line of the report.

    Returns:
        The number of files written, without the copies.

    Raises:
        GradingError: there are no solutions, or the folder can't be written.
    """
    solutions = files.find(root, "solutions")
    if not solutions:
        raise GradingError(f"{root} holds no solutions/; run this in the repository's top folder")
    written: dict[Path, str] = {}
    try:
        if not (folder / "nbgrader_config.py").exists():
            written[folder / "nbgrader_config.py"] = _CONFIG
        for solution in solutions:
            name = Path(solution.name.partition("_")[0], solution.name)
            source, text = folder / "source" / name, solution.read_text("utf-8")
            edited = source.read_text("utf-8") if source.exists() else text
            if edited != text:
                written[folder / "before" / name.with_stem(f"{name.stem}.{datetime.now():%Y-%m-%d-%H%M%S-%f}")] = edited
            if edited != text or not source.exists():
                written[source] = text
        for path, text in written.items():
            files.write(path, text)
            say(f"wrote {path}")
    except OSError as error:
        raise GradingError(f"{folder} can't be made a course folder: {error}") from None
    return sum("before" not in path.relative_to(folder).parts for path in written)
