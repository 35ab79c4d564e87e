"""Make a Ticket of an exception that shows only the frames in the learner's files."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.appengine.web2py.boot import boot
from harness.records import Frame, Ticket

_ENDS = 10  # the frames that are kept at either end of an endless recursion
_WRITES = "response.write("


@contextmanager
def without_snapshots() -> Iterator[None]:
    """Let web2py write tickets without a snapshot, in this scope.

    The snapshot shows all variables as HTML (`snapshot` in gluon/restricted.py). It takes most of the time of a request
    that fails, and only web2py's page for tickets reads it.
    """
    restricted = boot().restricted
    snapshot = restricted.snapshot
    restricted.snapshot = lambda **_: {}
    try:
        yield
    finally:
        restricted.snapshot = snapshot


class Sources:
    """The files in a site's folder `applications`. Each is read once, to show its lines.

    `generated` is the Python code that web2py made of the view that failed, or "". The line numbers of a view count the
    lines of this code, because yatl keeps no others.
    """

    def __init__(self, applications: Path, generated: str = "") -> None:
        self._applications = applications
        self._generated = generated.splitlines()
        self._read = cache(_read_lines)

    def frame(self, filename: str, line: int, function: str) -> Frame | None:
        """Return a line as a Frame, or None if the file is not the learner's or has no such line.

        An example of such a line is the one that web2py appends to a controller to call the action.
        """
        path = Path(filename)
        if not path.is_relative_to(self._applications):
            return None
        if path.relative_to(self._applications).parts[1:2] == ("views",):
            path, line = self._in_template(path, line)
        lines = self._read(path)
        if lines and line > len(lines):
            return None
        source = lines[line - 1].strip() if lines else ""
        return Frame(path.relative_to(self._applications).as_posix(), line, function, source)

    def _in_template(self, view: Path, line: int) -> tuple[Path, int]:
        """Find the line of the view, or of a view that it includes, from which a line of code was generated."""
        code = self._generated[line - 1].strip() if 0 < line <= len(self._generated) else ""
        if code.startswith(_WRITES) and code.endswith(")"):
            code = code[len(_WRITES) : -1]
        folder = self._applications.joinpath(*view.relative_to(self._applications).parts[:2])
        for path in [view, *sorted(folder.rglob("*.*"))] if code else []:
            for number, candidate in enumerate(self._read(path), 1):
                if code in candidate:
                    return path, number
        return view, 1


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:  # a handler may remove its own file
        return []


def make_ticket(id: str, error: BaseException, frames: Iterable[Frame | None]) -> Ticket:
    """Return an exception as a Ticket. Only the first and the last ten of its frames are kept; None is left out."""
    kept = tuple(frame for frame in frames if frame is not None)
    if len(kept) > 2 * _ENDS:
        kept = (*kept[:_ENDS], *kept[-_ENDS:])
    return Ticket(id, type(error).__name__, message_of(error), kept, format_traceback(error, kept))


def learner_frames(error: BaseException, sources: Sources) -> tuple[Frame, ...]:
    """Return the learner's frames of an exception, outermost first. The last of a SyntaxError is its own line."""
    found = [
        sources.frame(frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        found.append(sources.frame(error.filename, error.lineno or 1, "<module>"))
    return tuple(frame for frame in found if frame is not None)


def message_of(error: BaseException) -> str:
    """Return the text of an exception, or a note in parentheses if its `__str__` fails."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its text cannot be shown: {type(failure).__name__})"


def name_and_message(error: BaseException) -> str:
    """Return an exception as the last line of a traceback ("ValueError: too large")."""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def format_traceback(error: BaseException, frames: Iterable[Frame]) -> str:
    """Return the traceback in the format of Python, with these frames only."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"    {frame.source}"] if frame.source else []
    return "\n".join([*lines, name_and_message(error)])
