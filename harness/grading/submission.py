"""A submitted notebook: the answers in it, and the verdicts that the judge's process gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory

from harness.checks.answers import read_answer
from harness.checks.course import find_exercise, stub_cells
from harness.checks.verdict import Outcome
from harness.errors import GradingError
from harness.notebooks.files import Notebook

Answer = tuple[str, dict[str, str], dict[str, str]]  # an exercise, the files, the stubs
_SECONDS = 150  # for one exercise: what the judge allows it, and a share of the start
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "WEB2PY_PATH")  # of the environment


@dataclass(frozen=True, slots=True)
class Grade:
    """What the judge says of one exercise of a submission."""

    exercise: str
    outcome: Outcome
    text: str
    mistake: str | None = None

    @property
    def is_correct(self) -> bool:
        return self.outcome is Outcome.CORRECT


def grade(notebook: Notebook, numbers: Iterable[str]) -> list[Grade]:
    """Judge the answers of a notebook; none of its other cells is looked at, and none runs here.

    Args:
        notebook: where several cells write one file, the one run last counts, and without their counts the lowest.
        numbers: the exercises ("1.1").

    Raises:
        GradingError: the judge's process did not end as it should.
        CourseError: there is no such exercise.
    """
    exercises = [find_exercise(number) for number in numbers]
    if not exercises:
        return []
    answers: list[Answer] = []
    for exercise in exercises:
        answers.append((exercise.number, read_answer(notebook, exercise).files, stub_cells(exercise)))
    return judge_apart(answers)


def judge_apart(answers: Sequence[Answer], command: Sequence[str] = ("-m", "harness.grading")) -> list[Grade]:
    """Let the judge's process judge answers, each to one exercise.

    Args:
        answers: the exercise, the files and the stubs of each.
        command: what Python is to run.
    """
    said = json.loads(_run(command, json.dumps(answers), _SECONDS * len(answers)))
    return [
        Grade(number, Outcome(outcome), text, mistake)
        for (number, *_), (outcome, text, mistake) in zip(answers, said, strict=True)
    ]


def _run(command: Sequence[str], answers: str, seconds: float) -> str:
    """Run the judge's process, with a folder for all that it and the answers leave behind."""
    with TemporaryDirectory(prefix="harness-grading-") as folder:
        os.chmod(folder, 0o1777 if os.geteuid() == 0 else 0o700)  # root's process becomes somebody else
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        call = partial(subprocess.run, [sys.executable, *command], env=environment, cwd=folder)
        try:
            done = call(input=answers, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise GradingError(f"the judge did not come to an end within {seconds:g} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise GradingError(f"the judge did not end as it should: {last}")
    return str(done.stdout)
