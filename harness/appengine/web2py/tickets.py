"""From an exception in a handler to the Ticket that a learner reads: their own frames, and nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from harness.records import Frame, Ticket

_ENDS = 10  # frames kept at either end of an endless recursion
_WRITES = "response.write("


class Sources:
    """Reads the files below a site's folder `applications`, each once, to show lines of them.

    Args:
        applications: that folder.
        generated: the Python code that web2py made of the view that failed, if one did. Line numbers in a view are
            those of this code (yatl keeps no others).
    """

    def __init__(self, applications: Path, generated: str = "") -> None:
        self._applications = applications
        self._generated = generated.splitlines()
        self._lines: dict[Path, list[str]] = {}

    def frame(self, filename: str, line: int, function: str) -> Frame | None:
        """Return a line of a learner's file as a Frame; None for a line of any other file.

        None, too, for the line that web2py appends to a controller, which calls the action.
        """
        path = Path(filename)
        if not path.is_relative_to(self._applications):
            return None
        parts = path.relative_to(self._applications).parts
        if parts[1:2] == ("views",):
            path, line = self._in_template(path, line)
        lines = self._read(path)
        if lines and line > len(lines):
            return None
        source = lines[line - 1].strip() if lines else ""
        return Frame(path.relative_to(self._applications).as_posix(), line, function, source)

    def _in_template(self, view: Path, line: int) -> tuple[Path, int]:
        """Find the line of a template, of the view itself or one that it includes, that a generated line comes from."""
        text = self._generated[line - 1].strip() if 0 < line <= len(self._generated) else ""
        if text.startswith(_WRITES) and text.endswith(")"):
            text = text[len(_WRITES) : -1]
        folder = self._applications.joinpath(*view.relative_to(self._applications).parts[:2])
        for path in [view, *sorted(folder.rglob("*.*"))]:
            for number, candidate in enumerate(self._read(path), 1):
                if text and text in candidate:
                    return path, number
        return view, 1

    def _read(self, path: Path) -> list[str]:
        if path not in self._lines:
            try:
                self._lines[path] = path.read_text("utf-8", "replace").splitlines()
            except OSError:  # a handler may remove even its own file
                self._lines[path] = []
        return self._lines[path]


def make_ticket(id: str, error: BaseException, sources: Sources) -> Ticket:
    """Return an exception as a Ticket.

    Args:
        id: web2py's name of the ticket.
        error: what was raised.
        sources: reads the learner's files.
    """
    frames = learner_frames(error, sources)
    if len(frames) > 2 * _ENDS:
        frames = (*frames[:_ENDS], *frames[-_ENDS:])
    return Ticket(id, type(error).__name__, message_of(error), frames, format_traceback(error, frames))


def learner_frames(error: BaseException, sources: Sources) -> tuple[Frame, ...]:
    """Return the learner's frames of an exception, outermost first; of a SyntaxError, the line that has it."""
    seen = [
        sources.frame(each.f_code.co_filename, line, each.f_code.co_name)
        for each, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        seen.append(sources.frame(error.filename, error.lineno or 1, "<module>"))
    return tuple(frame for frame in seen if frame is not None)


def message_of(error: BaseException) -> str:
    """Return the text of an exception, even of one whose own `__str__` fails."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its text cannot be shown: {type(failure).__name__})"


def format_traceback(error: BaseException, frames: Iterable[Frame]) -> str:
    """Return the traceback as Python prints it, with the learner's frames only."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"    {frame.source}"] if frame.source else []
    message = message_of(error)
    return "\n".join([*lines, f"{type(error).__name__}: {message}" if message else type(error).__name__])
