"""How long a learner waits for a verdict, and how long the lessons take."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from harness.course.catalogue import Exercise, body, exercises, find_exercise, solution_cells
from harness.course.trial import check_answer
from harness.notebooks import files
from harness.notebooks.build import execute
from tests.bench.measure import ROUNDS, Row, fresh, percentile, timed

ROOT = Path(__file__).parents[2]
_MANY = 40  # of which the 95th percentile is not the slowest
_FIRST = """
import time
from harness import Lab
from tests.bench.checks import _check, find_exercise
Lab()
print(_check(find_exercise("1.1")))
"""


def rows() -> list[Row]:
    """Measure the check of every solution, and one run of every lesson.

    What the first check of a kernel waits for besides, Google's client, has a row of its own.
    """
    loading = median(fresh(_FIRST) for _ in range(ROUNDS))
    _check(find_exercise("1.1"))
    first = [_check(find_exercise("1.1")) for _ in range(_MANY)]
    times = {exercise: [_check(exercise) for _ in range(ROUNDS)] for exercise in exercises()}
    usual = [each for exercise, seconds in times.items() if exercise.lesson != "07" for each in seconds]
    capstone = [each for exercise, seconds in times.items() if exercise.lesson == "07" for each in seconds]
    found = [
        Row("checks", 'the first check("1.1") of a kernel, after Lab()', loading, "s", note="loads Google's client"),
        Row("checks", 'check("1.1"), 95th percentile', percentile(first, 0.95), "s", 0.3),
        Row("checks", "all but the capstone, 95th percentile", percentile(usual, 0.95), "s", 0.3),
    ]
    if capstone:
        found.append(Row("checks", "the capstone's, 95th percentile", percentile(capstone, 0.95), "s", 3.0))
    return found + [_lesson(path) for path in files.find(ROOT, "notebooks")]


def _check(exercise: Exercise) -> float:
    answer = {name: body(source) for name, source in solution_cells(exercise).items()}
    return timed(lambda: check_answer(exercise, answer))


def _lesson(path: Path) -> Row:
    notebook = files.read(path)
    return Row("lessons", path.stem, timed(lambda: execute(notebook, path)), "s", 15.0)
