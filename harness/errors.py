"""The errors that the harness raises. Each is a `HarnessError`, and its message explains what to do next.

Google's own exceptions, such as `taskqueue.InvalidTaskError`, are raised by Google's client and aren't HarnessErrors.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import takewhile

_LONGEST = 1000  # characters of a line
_QUOTED = 200  # characters of a value


class HarnessError(Exception):
    """Base class of the errors of the harness: a message for the learner that is displayed without a traceback.

    IPython, nbval and nbclient call `_render_traceback_`, which returns only the class and the message instead of the
    harness's stack frames. It shortens long lines; `str` returns the whole message.
    """

    def _render_traceback_(self) -> list[str]:
        lines = f"{type(self).__name__}: {self}".split("\n")
        return ["\n".join(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines)]


def one_line(message: str) -> str:
    """Return the first line of a message, and the line after the indented quotation if one follows the first line."""
    first, *rest = message.strip().splitlines() or [""]
    quoted = list(takewhile(lambda line: line.startswith("  "), rest))
    return "; ".join([first, *(rest[len(quoted) :][:1] if quoted else [])])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'mail'?" for a misspelled name, or "" if no known name is similar."""
    return "".join(f"did you mean {close!r}?" for close in get_close_matches(name, list(known), n=1))


def quoted(value: object) -> str:
    """Return `repr(value)` for a message, shortened to 200 characters; the type's name if `repr` fails."""
    try:
        text = repr(value)
    except Exception:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def require_bool(name: str, value: object) -> None:
    """Raise BadValueError if the value of an argument isn't a bool."""
    if not isinstance(value, bool):
        raise BadValueError(f"{name} is True or False, not {quoted(value)}")


def quantity(number: int, noun: str) -> str:
    """Return a number of things in words: "1 task", "no tasks", "2 retries"."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}" if number else f"no {plural}"


class HandlerStopped(BaseException):
    """Base class of the exceptions that stop a handler at a limit of time.

    It is not an `Exception`, so a handler's `except Exception` does not catch it.
    """


class LabClosedError(HarnessError):
    """The lab is closed, and its queues and files are deleted."""


class NameRefusedError(HarnessError, ValueError):
    """web2py doesn't accept this name of an application, a controller or a file."""


class AppFolderError(HarnessError):
    """A folder isn't a web2py application, or one of its files can't be read or copied."""


class DiskError(HarnessError):
    """The lab can't write its files, for example because the disk is full."""


class NotInLabError(HarnessError):
    """An application starts a thread, uses web2py's scheduler or opens a database outside of the lab."""


class SourceError(HarnessError):
    """A Python file doesn't compile, fails, or is empty. The message shows the learner's line."""


class BadRequestError(HarnessError, ValueError):
    """A browser could not send this request because of its URL, its method or a parameter."""


class BadValueError(HarnessError, ValueError):
    """A duration, a probability, a count or a name is invalid."""


class Web2pyNotFoundError(HarnessError):
    """The folder in WEB2PY_PATH, or the installed package, isn't a usable web2py."""


class UnknownTableError(HarnessError, LookupError):
    """No model of the application defines this table."""


class QueueConfigError(HarnessError, ValueError):
    """queue.yaml has a mistake. The message names the line and the field."""


class AppYamlError(HarnessError, ValueError):
    """app.yaml has a mistake. The message names the line and the field."""


class UnknownTaskError(HarnessError, LookupError):
    """The lab or the queue has no task of this name."""


class UnknownQueueError(HarnessError, LookupError):
    """The lab has no queue of this name."""


class NothingDueError(HarnessError):
    """No task can run, because no task waits or all waiting tasks are in paused queues or in queues of rate 0."""


class RunawayError(HarnessError):
    """The maximum number of attempts is reached. The message lists the tasks that caused most of them."""


class MagicError(HarnessError):
    """A magic was called with an unknown argument or option."""


class NotebookError(HarnessError):
    """A notebook can't be read, built or run. The message names the file and the cell."""


class ProgressError(HarnessError):
    """A learner's progress can't be stored, read or exported. The message names the file and what to do."""


class CourseError(HarnessError, LookupError):
    """The course doesn't have this exercise, hint or prediction, or doesn't show it yet."""


class UnsolvedError(CourseError):
    """The solution of an exercise isn't shown, because the learner hasn't solved it yet."""


class GradingError(HarnessError):
    """A submission can't be graded, or an answer exceeds a limit of time or memory."""


class CheckError(HarnessError):
    """An exercise isn't solved: the learner has not attempted it, or the code has an error or a wrong result."""
