"""Small mistakes in a solution are refused: mutation testing of the checks.

Each run tries a few mutants of each exercise, and `make soak` tries all of them.
"""

import os
import tomllib
from functools import cache
from pathlib import Path
from random import Random

import pytest

from harness.course.catalogue import exercises, find_exercise, small_exercises
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome
from tests.support.mutants import Mutant, mutants
from tests.support.stage import import_deferred

import_deferred()  # some solutions do, too
NUMBERS = [exercise.number for exercise in [*exercises(), *small_exercises()]]
DRAWS = int(os.environ.get("HARNESS_SOAK", 1))  # of an exercise
EQUIVALENT = tomllib.loads((Path(__file__).parents[1] / "answers" / "equivalent.toml").read_text(encoding="utf-8"))


@cache
def all_mutants(number: str) -> list[Mutant]:
    return mutants(find_exercise(number))


def drawn(number: str) -> list[Mutant]:
    found = [mutant for mutant in all_mutants(number) if mutant.change not in dict(EQUIVALENT.get(number, []))]
    return Random(number).sample(found, min(DRAWS, len(found)))


@pytest.mark.parametrize("number", NUMBERS)
def test_mutants_of_a_solution_are_refused(number: str) -> None:
    exercise = find_exercise(number)
    verdicts = {str(mutant): check_answer(exercise, mutant.files) for mutant in drawn(number)}
    assert verdicts
    accepted = [name for name, verdict in verdicts.items() if verdict.outcome is CheckOutcome.CORRECT]
    assert accepted == [], "if a mutant is right, explain it in equivalent.toml"


@pytest.mark.parametrize("number", NUMBERS)
def test_each_exercise_has_mutants_and_each_explained_one_is_among_them(number: str) -> None:
    changes = {mutant.change for mutant in all_mutants(number)}
    explained = dict(EQUIVALENT.get(number, []))
    assert len(changes) > len(explained)
    assert set(explained) - changes == set()
    assert all(why.endswith(".") for why in explained.values())
