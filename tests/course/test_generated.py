"""Right answers stay right in scenarios that nobody wrote: hypothesis draws values, sizes, orders and faults.

`make test` draws a few for each solution, and `make soak` draws many for each right answer of the bank too.
"""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.course.catalogue import body, exercises, find_exercise, solution_cells
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome
from tests.support.answers import right_answers, to_files
from tests.support.draws import DRAWS
from tests.support.fuzz import examples
from tests.support.stage import import_deferred

# Since Python 3.12, utcnow() warns, which is used in answers.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
import_deferred()  # some answers do, too
NUMBERS = [exercise.number for exercise in exercises()]
SOLUTIONS = {
    f"{each.number} solution": (each.number, {name: body(cell) for name, cell in solution_cells(each).items()})
    for each in exercises()
}
BANK = {
    str(answer): (number, to_files(find_exercise(number), answer))
    for number in NUMBERS
    for answer in right_answers(number)
}
ANSWERS = SOLUTIONS | (BANK if os.environ.get("HARNESS_SOAK") else {})


def test_every_exercise_has_generated_scenarios() -> None:
    assert list(DRAWS) == NUMBERS


@pytest.mark.parametrize("answer", ANSWERS)
@examples(3, share=4)
@given(data=st.data())
def test_a_right_answer_is_right_in_every_scenario(answer: str, data: st.DataObject) -> None:
    number, files = ANSWERS[answer]
    row = data.draw(DRAWS[number])
    verdict = check_answer(find_exercise(number), files, scenarios=[row])
    assert verdict.outcome is CheckOutcome.CORRECT, f"{row}\n{verdict.text}"
