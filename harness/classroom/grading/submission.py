"""Grade a submitted notebook: read its answers, and let the checker process check them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from harness.appengine.web2py import roots
from harness.classroom.grading import sandbox
from harness.course.catalogue import find_exercise, stub_cells
from harness.course.verdict import CheckOutcome, cut
from harness.course.workspace import read_answer
from harness.errors import GradingError
from harness.notebooks.files import Notebook

Answer = tuple[str, dict[str, str], dict[str, str]]  # an exercise, the files, the stubs
_SECONDS = 600  # real seconds for one exercise; the checker process allows far less, except on a busy machine
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "WEB2PY_PATH")  # environment variables

_OPTION = "--CheckAnswers.allow_incomplete=True"
_DANGER = "this machine's kernel can't isolate answers completely, so native code in an answer could {}. "
_REFUSAL = (
    f"{_DANGER}Grade on Linux 6.2 or later with Landlock and seccomp, or grade each submission in its own container. "
    f"In that container, or to accept the risk, add {_OPTION} to the command."
)
_WARNING = f"{_DANGER}The answers are graded because {_OPTION} allows it."


@dataclass(frozen=True, slots=True)
class Grade:
    """The result of one exercise: its number, the outcome, the text of the verdict, and the mistake's key."""

    exercise: str
    outcome: CheckOutcome
    text: str
    mistake: str | None = None

    @property
    def is_correct(self) -> bool:
        """Return whether the answer is correct."""
        return self.outcome is CheckOutcome.CORRECT


def grade(
    notebook: Notebook,
    numbers: Iterable[str],
    allow_incomplete: bool = False,
    warn: Callable[[str], object] = lambda text: None,
) -> list[Grade]:
    """Grade the answers in a notebook; its other cells aren't read, and no cell runs in this process.

    Args:
        notebook: the notebook. If several cells write one file, the cell that ran last counts, or the lowest one if
            the notebook has no execution counts.
        numbers: the exercises' numbers ("1.1").
        allow_incomplete: grade even if this machine can't isolate native code completely.
        warn: receives a warning if the answers are graded on such a machine.

    Returns:
        The grades in the same order.

    Raises:
        GradingError: this machine can't isolate native code, or the checker process doesn't start.
        CourseError: an exercise doesn't exist.
    """
    if gaps := ", and ".join(sandbox.gaps()):
        if not allow_incomplete:
            raise GradingError(_REFUSAL.format(gaps))
        warn(_WARNING.format(gaps))
    exercises = [find_exercise(number) for number in numbers]
    return check_in_isolation(
        [(each.number, read_answer(notebook, each).files, stub_cells(each)) for each in exercises]
    )


def check_in_isolation(
    answers: Sequence[Answer], command: Sequence[str] = ("-m", "harness.classroom.grading")
) -> list[Grade]:
    """Check answers in the checker process.

    If the process fails during an answer, that answer is wrong, and a new process checks the next one.

    Args:
        answers: the exercise, the files and the stubs of each answer.
        command: the arguments of Python that start the process.

    Returns:
        The grades in the same order.

    Raises:
        GradingError: the process failed before the first answer.
    """
    grades: list[Grade] = []
    while len(grades) < len(answers):
        left = answers[len(grades) :]
        lines, failure = _run(command, json.dumps(left), _SECONDS * len(left))
        if not lines:
            raise GradingError(failure)
        checked = zip(left, lines[1:], strict=False)
        grades += [Grade(number, CheckOutcome(outcome), *rest) for (number, *_), (outcome, *rest) in checked]
        if len(lines) <= len(left):
            number = left[len(lines) - 1][0]
            grades.append(Grade(number, CheckOutcome.ERROR, f"{number} couldn't be checked: {failure}."))
    return grades


def _run(command: Sequence[str], answers: str, seconds: float) -> tuple[list[Any], str]:
    """Run the checker process in a temporary folder; return the lines of its output, and its failure if it failed.

    If this process is killed, the folder stays, and the next call removes it.
    """
    roots.sweep(Path(gettempdir()))
    with TemporaryDirectory(prefix=f"{roots.PREFIX}grading-") as folder, roots.held(Path(folder)):
        os.chmod(folder, 0o1777 if os.geteuid() == 0 else 0o700)  # root's process becomes the user nobody
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        call = [sys.executable, *command]
        try:
            done = subprocess.run(
                call, input=answers.encode(), capture_output=True, timeout=seconds, env=environment, cwd=folder
            )
        except subprocess.TimeoutExpired as late:
            return _read(late.stdout), f"the checker process didn't finish within {seconds:g} seconds"
    if done.returncode == -signal.SIGVTALRM:  # see `at_most`
        return _read(done.stdout), "the check of this answer took too long, and was stopped"
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return _read(done.stdout), f"the checker process failed: {cut(last)}"


def _read(output: bytes | None) -> list[Any]:
    """Return "ready" and the verdicts in complete lines of JSON, up to the first line that is something else.

    The process may have ended in the middle of a line.
    """
    *lines, _ = (output or b"").split(b"\n")
    values: list[Any] = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not _is_verdict(value) if values else value != "ready":
            break
        values.append(value)
    return values


def _is_verdict(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(each, str) for each in value[:2]):
        return False
    return value[0] in set(CheckOutcome) and isinstance(value[2], str | None)
