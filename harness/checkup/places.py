"""Where the course lives and writes: notebooks, exercises, progress, temporary files; the terminal; the port."""

from __future__ import annotations

import locale
import os
import shlex
import socket
import sys
import tempfile
from pathlib import Path

from harness.checks import ledger
from harness.checks.course import exercises as all_exercises
from harness.checks.ledger.book import FILE
from harness.checks.ledger.schema import VERSION, BrokenFile, NewerFile, parse
from harness.checkup.finding import Finding, note, ok, problem
from harness.checkup.packages import some
from harness.errors import NotebookError, ProgressError
from harness.jupyterlab import PORT
from harness.notebooks import files
from harness.notebooks.saved import read_saved
from harness.state import VARIABLE, quoted, state_folder

_TRIAL = bytes(64 * 1024)  # more than progress will ever take


def lessons(course: Path) -> Finding:
    """Read every lesson."""
    found, broken = _read_all(course, "notebooks")
    if not found:
        return problem(f"{course} holds no notebooks/", "run this in the course's top folder, or name it: --course")
    return _broken(broken, course) if broken else ok(f"{found} in {course / 'notebooks'}")


def exercises(course: Path) -> Finding:
    """Read every exercise, and ask whether answers can be saved."""
    found, broken = _read_all(course, "exercises")
    if not found:
        return problem(f"{course} holds no exercises/", "run this in the course's top folder, or name it: --course")
    if broken:
        return _broken(broken, course)
    unwritable = [
        path for path in [course / "exercises", *files.find(course, "exercises")] if not os.access(path, os.W_OK)
    ]
    if unwritable:
        return note(
            f"{some([str(path.relative_to(course)) for path in unwritable])} cannot be written: a check works, saving "
            "answers does not",
            f"work in a copy: cp -r {quoted(course)} ~/taskqueue-course",
        )
    return ok(f"{found} in {course / 'exercises'}, answers can be saved")


def progress(course: Path) -> Finding:
    """Write something to the state folder, and read the progress in it."""
    another = f"let {VARIABLE} name another folder"
    try:
        folder = state_folder()
    except ProgressError as error:
        return problem(*str(error).rsplit(". ", 1))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _try_to_write(folder)
        if (folder / FILE).exists():
            parse((folder / FILE).read_text(encoding="utf-8"))
    except NewerFile as error:
        return problem(f"{folder / FILE} is of a newer course ({error}; this one knows {VERSION})", "update the course")
    except (BrokenFile, UnicodeDecodeError) as error:
        return note(f"{folder / FILE} is broken ({error})", "the next check puts it aside and begins a new one")
    except OSError as error:
        return problem(f"{folder} cannot be used: {error.strerror or error}", f"mend that, or {another}")
    every = [exercise.number for exercise in all_exercises()]
    return ok(f"{len(ledger.solved() & set(every))} of {len(every)} exercises solved; kept in {folder}")


def temporary(course: Path) -> Finding:
    """Write something where labs put their files."""
    try:
        _try_to_write(Path(tempfile.gettempdir()))
    except OSError as error:
        return problem(f"no temporary folder can be used: {error.strerror or error}", "let TMPDIR name one with room")
    return ok(tempfile.gettempdir())


def text(course: Path) -> Finding:
    """Ask whether words of all languages can be shown and saved."""
    shown, saved = sys.stdout.encoding or "ascii", locale.getpreferredencoding(False)
    if all(name.lower().replace("-", "") == "utf8" for name in (shown, saved)):
        return ok("UTF-8")
    return note(
        f"the terminal takes {shown}, files are {saved}: what is not English may be lost",
        "set PYTHONUTF8=1, or LC_ALL=C.UTF-8",
    )


def port(course: Path) -> Finding:
    """Ask whether JupyterLab gets the port that it begins with."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            return note(f"{PORT} is not free ({error.strerror}): `lab` takes the next one that is")
    return ok(f"{PORT} on 127.0.0.1 is free")


def _read_all(course: Path, folder: str) -> tuple[int, list[str]]:
    paths = files.find(course, folder)
    broken = []
    for path in paths:
        try:
            read_saved(path)
        except NotebookError as error:
            broken.append(str(error).replace(f"{course}{os.sep}", ""))
    return len(paths), broken


def _broken(broken: list[str], course: Path) -> Finding:
    path = Path(broken[0].partition(".ipynb")[0] + ".ipynb")
    if path.parent.name == "exercises":
        return problem("; ".join(broken), f"or keep a copy and start anew: taskqueue-course reset {path.name[:2]}")
    return problem("; ".join(broken), f"git -C {quoted(course)} checkout {shlex.quote(str(path))}")


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_TRIAL)
        file.flush()
        os.fsync(file.fileno())
