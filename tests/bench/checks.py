"""How long a learner waits for a verdict, and how long the lessons take."""

from __future__ import annotations

from pathlib import Path

from harness.checks.course import body, exercises, solution_cells
from harness.checks.exercise import Exercise
from harness.checks.judge import judge
from harness.notebooks import files
from harness.notebooks.execute import execute
from tests.bench.measure import ROUNDS, Row, percentile, timed

ROOT = Path(__file__).parents[2]


def rows() -> list[Row]:
    """Measure the check of every solution, and one run of every lesson."""
    times = {exercise: [_check(exercise) for _ in range(ROUNDS)] for exercise in exercises()}
    first = next(seconds for exercise, seconds in times.items() if exercise.number == "1.1")
    usual = [each for exercise, seconds in times.items() if exercise.lesson != "07" for each in seconds]
    capstone = [each for exercise, seconds in times.items() if exercise.lesson == "07" for each in seconds]
    found = [
        Row("checks", 'check("1.1"), 95th percentile', percentile(first, 0.95), "s", 0.3),
        Row("checks", "all but the capstone, 95th percentile", percentile(usual, 0.95), "s", 0.5),
    ]
    if capstone:
        found.append(Row("checks", "the capstone's, 95th percentile", percentile(capstone, 0.95), "s", 3.0))
    return found + [_lesson(path) for path in files.find(ROOT, "notebooks")]


def _check(exercise: Exercise) -> float:
    answer = {name: body(source) for name, source in solution_cells(exercise).items()}
    return timed(lambda: judge(exercise, answer))


def _lesson(path: Path) -> Row:
    notebook = files.read(path)
    return Row("lessons", path.stem, timed(lambda: execute(notebook, path)), "s", 15.0)
