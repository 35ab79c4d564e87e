"""A check finds mistakes that a run of the text's example doesn't show: each pattern, wherever it can apply.

`make test` tries one pattern of each exercise, and `make soak` tries all. The answers to a small exercise show only
some patterns.
"""

import os
from random import Random

import pytest

from harness.course.catalogue import Pattern, exercises, find_exercise, small_exercises
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome
from tests.support.answers import Answer, patterns_without, to_files, wrong_answers

NUMBERS = [exercise.number for exercise in exercises()]
ALL = [*NUMBERS, *(exercise.number for exercise in small_exercises())]
SHOWN = [(pattern, answer) for number in ALL for answer in wrong_answers(number) for pattern in sorted(answer.patterns)]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("pattern", Pattern)
def test_an_answer_shows_the_pattern_or_a_reason_says_why_it_cannot_apply(pattern: Pattern, number: str) -> None:
    shown = [answer for each, answer in SHOWN if (each, answer.exercise) == (pattern, number)]
    reason = patterns_without(number).get(pattern, "")
    assert bool(shown) != reason.endswith("."), "an answer that shows it, or else a reason"


DRAWN = [Random(number).choice([each for each in SHOWN if each[1].exercise == number]) for number in ALL]


@pytest.mark.parametrize(("pattern", "answer"), SHOWN if "HARNESS_SOAK" in os.environ else DRAWN, ids=str)
def test_a_check_without_the_pattern_would_accept_the_answer(pattern: Pattern, answer: Answer) -> None:
    """If rows are for the pattern, they alone refuse the answer, and the plainest row accepts it."""
    exercise = find_exercise(answer.exercise)
    files = to_files(exercise, answer)
    rows = [row for row in exercise.scenarios if pattern in row.patterns]
    refused = check_answer(exercise, files, scenarios=rows or exercise.scenarios)
    assert refused.outcome is not CheckOutcome.CORRECT
    if rows:
        plain = check_answer(exercise, files, scenarios=exercise.scenarios[:1])
        assert plain.outcome is CheckOutcome.CORRECT, plain.text


@pytest.mark.parametrize("number", ALL)
def test_the_first_scenario_is_the_texts_example_and_every_other_one_says_what_it_is(number: str) -> None:
    first, *others = find_exercise(number).scenarios
    assert (first.what, first.patterns) == ("", frozenset())
    assert all(row.what and row.patterns for row in others)
    assert len({row.what for row in others}) == len(others)
