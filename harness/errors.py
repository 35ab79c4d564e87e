"""Every error that the harness raises itself.

    HarnessError
    ├── LabClosedError          the lab was used after it was closed
    ├── NameRefusedError        a name that web2py cannot serve (application, controller, file)
    ├── SourceError             a file that does not compile; shows the learner's line
    ├── BadRequestError         a URL, method or parameter that no browser could send
    ├── Web2pyNotFoundError     WEB2PY_PATH, or the installed package, is no web2py
    ├── QueueConfigError        a mistake in queue.yaml; names the line and the field
    ├── BadValueError           a duration, a probability or a count that the lab cannot take
    ├── UnknownTableError       no model of the application defines this table
    ├── UnknownTaskError        no such task, now or in the past
    ├── UnknownQueueError       no such queue in queue.yaml
    ├── NothingDueError         `step()` on queues in which nothing waits
    ├── RunawayError            tasks keep coming; lists those in the loop
    ├── MagicError              a magic used with options that it does not have
    ├── NotebookError           a notebook file that cannot be read, built or run; names file and cell
    ├── ProgressError           progress that cannot be kept, read or exported
    ├── CourseError             an unknown exercise or prediction, or a solution asked for too early
    ├── GradingError            a submission that cannot be graded, or an answer that uses up its time
    └── CheckError              the verdict on an exercise that is not (yet) correct

Google's own exceptions (`taskqueue.InvalidTaskError` and its relatives) are raised by Google's client and are not part
of this tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import takewhile

_LONGEST = 1000  # characters of a line


class HarnessError(Exception):
    """Base of all errors of the harness: a message for the learner, shown without a traceback.

    IPython, nbval and nbclient ask an exception for `_render_traceback_`; the answer is the class and the message, so
    a notebook shows what went wrong and what to do next instead of the harness's frames. A line that quotes a megabyte
    is cut there; `str` has all of it.
    """

    def _render_traceback_(self) -> list[str]:
        lines = f"{type(self).__name__}: {self}".split("\n")
        return ["\n".join(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines)]


def one_line(message: str) -> str:
    """Return the gist of a message: its first line and, where a quotation is indented below that, the one after it."""
    first, *rest = message.strip().splitlines() or [""]
    quoted = list(takewhile(lambda line: line.startswith("  "), rest))
    return "; ".join([first, *(rest[len(quoted) :][:1] if quoted else [])])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'mail'?" for a misspelled name, or "" if no known name is similar."""
    return "".join(f"did you mean {close!r}?" for close in get_close_matches(name, list(known), n=1))


def quantity(number: int, noun: str) -> str:
    """Return a number of things in words: "1 task", "no tasks", "2 retries"."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}" if number else f"no {plural}"


class LabClosedError(HarnessError):
    """The lab was closed; its queue and its files are gone."""


class NameRefusedError(HarnessError, ValueError):
    """An application, controller, model, view or file name that web2py would refuse."""


class SourceError(HarnessError):
    """A Python file for web2py that does not compile, or holds nothing."""


class BadRequestError(HarnessError, ValueError):
    """A request that cannot be sent: an absolute URL, an unknown method, a parameter of the wrong kind."""


class BadValueError(HarnessError, ValueError):
    """A value that the lab cannot take: seconds that are no number, a probability above 1."""


class Web2pyNotFoundError(HarnessError):
    """There is no usable web2py where the harness was told to look."""


class UnknownTableError(HarnessError, LookupError):
    """No model of the application defines this table."""


class QueueConfigError(HarnessError, ValueError):
    """A mistake in queue.yaml, with its line and its field."""


class UnknownTaskError(HarnessError, LookupError):
    """No task of that name was ever added to this lab."""


class UnknownQueueError(HarnessError, LookupError):
    """The lab has no queue of that name."""


class NothingDueError(HarnessError):
    """There is nothing to run: no task waits, or all that wait are held back."""


class RunawayError(HarnessError):
    """More attempts than the cap allows: tasks that add themselves again, or a retry without backoff."""


class MagicError(HarnessError):
    """A magic was called with an argument or option that it does not know."""


class NotebookError(HarnessError):
    """A notebook file that cannot be read, built or run; names the file and the cell."""


class ProgressError(HarnessError):
    """A learner's progress cannot be kept, read or exported; says where it is and what to do."""


class CourseError(HarnessError, LookupError):
    """An exercise, hint or prediction that the course does not have, or not yet."""


class GradingError(HarnessError):
    """Grading cannot be done, or an answer that is being graded uses up what it may."""


class CheckError(HarnessError):
    """An exercise is not solved: not attempted, an error in the learner's code, or a wrong result."""
