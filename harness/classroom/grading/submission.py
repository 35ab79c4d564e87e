"""A submitted notebook: the answers in it, and the verdicts that the judge's process gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from harness.course.answers import read_answer
from harness.course.catalogue import find_exercise, stub_cells
from harness.course.verdict import CheckOutcome
from harness.errors import GradingError
from harness.notebooks.files import Notebook

Answer = tuple[str, dict[str, str], dict[str, str]]  # an exercise, the files, the stubs
_SECONDS = 600  # real ones for one exercise: far above what the judge allows it, for a machine that is busy
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "WEB2PY_PATH")  # of the environment


@dataclass(frozen=True, slots=True)
class Grade:
    """What the judge says of one exercise of a submission."""

    exercise: str
    outcome: CheckOutcome
    text: str
    mistake: str | None = None

    @property
    def is_correct(self) -> bool:
        return self.outcome is CheckOutcome.CORRECT


def grade(notebook: Notebook, numbers: Iterable[str]) -> list[Grade]:
    """Judge the answers of a notebook; none of its other cells is looked at, and none runs here.

    Args:
        notebook: where several cells write one file, the one run last counts, and without their counts the lowest.
        numbers: the exercises ("1.1").

    Raises:
        GradingError: the judge's process does not start as it should.
        CourseError: there is no such exercise.
    """
    exercises = [find_exercise(number) for number in numbers]
    if not exercises:
        return []
    answers: list[Answer] = []
    for exercise in exercises:
        answers.append((exercise.number, read_answer(notebook, exercise).files, stub_cells(exercise)))
    return check_in_isolation(answers)


def check_in_isolation(
    answers: Sequence[Answer], command: Sequence[str] = ("-m", "harness.classroom.grading")
) -> list[Grade]:
    """Let the judge's process judge answers, each to one exercise.

    Args:
        answers: the exercise, the files and the stubs of each.
        command: what Python is to run.

    An answer on which the process breaks down gets no points, and says so; the next has a process of its own.

    Raises:
        GradingError: it broke down before it came to any answer.
    """
    grades: list[Grade] = []
    while len(grades) < len(answers):
        left = answers[len(grades) :]
        said, trouble = _run(command, json.dumps(left), _SECONDS * len(left))
        if not said:
            raise GradingError(trouble)
        judged = zip(left, said[1:], strict=False)
        grades += [Grade(number, CheckOutcome(outcome), *rest) for (number, *_), (outcome, *rest) in judged]
        if len(said) <= len(left):
            number = left[len(said) - 1][0]
            grades.append(Grade(number, CheckOutcome.ERROR, f"{number} could not be checked: {trouble}."))
    return grades


def _run(command: Sequence[str], answers: str, seconds: float) -> tuple[list[Any], str]:
    """Run the judge's process, with a folder for all that it and the answers leave behind.

    Returns:
        What it said, line by line, and what became of it, where that is not well.
    """
    with TemporaryDirectory(prefix="harness-grading-") as folder:
        os.chmod(folder, 0o1777 if os.geteuid() == 0 else 0o700)  # root's process becomes somebody else
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        call = [sys.executable, *command]
        try:
            done = subprocess.run(
                call, input=answers.encode(), capture_output=True, timeout=seconds, env=environment, cwd=folder
            )
        except subprocess.TimeoutExpired as late:
            return _read(late.stdout), f"the judge did not come to an end within {seconds:g} seconds"
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return _read(done.stdout), f"the judge did not end as it should: {last}"


def _read(said: bytes | None) -> list[Any]:
    """Return what whole lines of JSON say; the judge may have been ended in the midst of one."""
    *lines, _ = (said or b"").split(b"\n")
    return [json.loads(line) for line in lines]
