"""For each exercise: the stub is not attempted, the solution passes, each wrong answer gets its own diagnosis.

`make test` takes six mistakes and three right answers of each exercise, and `make soak` takes all answers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest

from harness.course.catalogue import (
    body,
    exercises,
    find_exercise,
    lessons,
    small_exercises,
    solution_cells,
    stub_cells,
)
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome, Verdict, known_advice
from harness.notebooks.files import read
from tests.support.answers import Answer, right_answers, to_files, wrong_answers
from tests.support.named_mistakes import named_mistakes
from tests.support.stage import import_deferred

# Since Python 3.12, utcnow() warns, which is used in answers.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
import_deferred()  # some answers do, too
SMALL = [exercise.number for exercise in small_exercises()]
NUMBERS = [*(exercise.number for exercise in exercises()), *SMALL]
WRONG = [answer for number in NUMBERS for answer in wrong_answers(number)]
RIGHT = [answer for number in NUMBERS for answer in right_answers(number)]
IS_SOAK = "HARNESS_SOAK" in os.environ
FIRST = {
    number: list({answer.key: answer for answer in reversed(wrong_answers(number))}.values()) for number in NUMBERS
}
SIX = [answer for number in NUMBERS for answer in Random(number).sample(FIRST[number], min(6, len(FIRST[number])))]
THREE = [
    answer
    for number in NUMBERS
    for answer in Random(number).sample(right_answers(number), min(3, len(right_answers(number))))
]
ADVICE = {name: says for name, (_, says) in known_advice().items()}
ROOT = Path(__file__).parents[2]


def assert_headline_says_why(verdict: Verdict) -> None:
    words = {CheckOutcome.ERROR: "error in your code", CheckOutcome.WRONG: "not right yet"}[verdict.outcome]
    mistakes = find_exercise(verdict.exercise).mistakes
    known = (
        {key: mistake.says for key, mistake in mistakes.items()} if verdict.outcome is CheckOutcome.WRONG else ADVICE
    )
    begins = f"{verdict.exercise} {words}: "
    says = known[verdict.mistake] if verdict.mistake else ""
    assert verdict.headline.startswith(begins + (says if verdict.outcome is CheckOutcome.WRONG else ""))
    assert says in verdict.headline
    assert len(begins) < len(verdict.headline.splitlines()[0]) == len(verdict.headline)


@pytest.mark.parametrize("number", NUMBERS)
def test_stub_is_not_attempted(number: str) -> None:
    exercise = find_exercise(number)
    verdict = check_answer(exercise, {name: body(source) for name, source in stub_cells(exercise).items()})
    assert (verdict.outcome, verdict.exercise) == (CheckOutcome.NOT_ATTEMPTED, number)
    assert exercise.fill in " ".join(verdict.text.split())


@pytest.mark.parametrize("number", NUMBERS)
def test_a_cell_that_was_not_run_is_not_attempted(number: str) -> None:
    verdict = check_answer(find_exercise(number), {})
    assert verdict.outcome is CheckOutcome.NOT_ATTEMPTED
    assert "%%" in verdict.text


@pytest.mark.parametrize("number", NUMBERS)
def test_solution_is_correct(number: str) -> None:
    exercise = find_exercise(number)
    verdict = check_answer(exercise, {name: body(source) for name, source in solution_cells(exercise).items()})
    assert verdict.outcome is CheckOutcome.CORRECT, verdict.text


@pytest.mark.parametrize("answer", RIGHT if IS_SOAK else THREE, ids=str)
def test_right_answer_is_correct(answer: Answer) -> None:
    exercise = find_exercise(answer.exercise)
    verdict = check_answer(exercise, to_files(exercise, answer))
    assert verdict.outcome is CheckOutcome.CORRECT, verdict.text


@pytest.mark.parametrize("answer", WRONG if IS_SOAK else SIX, ids=str)
def test_wrong_answer_gets_its_own_diagnosis(answer: Answer) -> None:
    exercise = find_exercise(answer.exercise)
    verdict = check_answer(exercise, to_files(exercise, answer))
    kind, _, advice = answer.key.partition(" ")
    expected = (CheckOutcome.ERROR, advice or None) if kind == "error" else (CheckOutcome.WRONG, answer.key)
    assert (verdict.outcome, verdict.mistake) == expected, verdict.text
    assert len(verdict.text.splitlines()) <= 16, verdict.text
    assert "Traceback" not in verdict.text
    assert_headline_says_why(verdict)


@pytest.mark.parametrize("number", NUMBERS)
def test_bank_is_large_enough(number: str) -> None:
    keys = {answer.key for answer in WRONG if answer.exercise == number and not answer.key.startswith("error")}
    assert len(keys) >= 3
    assert len([answer for answer in RIGHT if answer.exercise == number]) >= 2
    assert keys == set(find_exercise(number).mistakes), "a mistake without an answer that shows it"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_check_names_only_mistakes_that_its_toml_defines_and_all_of_them(number: str) -> None:
    exercise = find_exercise(number)
    named = named_mistakes(exercise)
    assert named.unreadable == []
    assert {name: where for name, where in named.required.items() if name not in exercise.mistakes} == {}
    raised = {name for name, mistake in exercise.mistakes.items() if mistake.raises}
    assert set(exercise.mistakes) - raised <= named.required.keys() | named.optional.keys()


def test_a_mistake_that_a_check_may_lack_is_known_to_another_exercise_with_the_same_check() -> None:
    named = {exercise: named_mistakes(exercise).optional for exercise in [*exercises(), *small_exercises()]}
    places = {(where, name): False for optional in named.values() for name, where in optional.items()}
    for exercise, optional in named.items():
        places |= {(where, name): True for name, where in optional.items() if name in exercise.mistakes}
    assert places
    assert [place for place, is_known in places.items() if not is_known] == []


def test_each_advice_is_given_to_an_answer_of_the_bank() -> None:
    given = {answer.key.partition(" ")[2] for answer in WRONG if answer.key.startswith("error ")}
    assert given == set(ADVICE)


@pytest.mark.parametrize("number", NUMBERS)
def test_no_text_of_an_exercise_still_has_to_be_written(number: str) -> None:
    exercise = find_exercise(number)
    mistakes = [mistake.says for mistake in exercise.mistakes.values()]
    texts = [exercise.title, *exercise.hints, exercise.proves, exercise.then, exercise.explains, *mistakes]
    folder = "notebooks" if exercise.is_small else "solutions"
    notebook = next((ROOT / folder).glob(f"{exercise.lesson}_*.ipynb")).read_text(encoding="utf-8")
    assert [text for text in texts if "TODO" in text] == []
    assert "TODO" not in notebook


@pytest.mark.parametrize("lesson", [lesson.number for lesson in lessons()])
def test_each_solution_of_a_lesson_explains_itself_in_three_to_five_sentences(lesson: str) -> None:
    explained = {each.number: each.explains for each in map(find_exercise, NUMBERS) if each.lesson == lesson}
    counted = {number: len(re.split(r"(?<=[.?!])\s+", text)) for number, text in explained.items() if text}
    assert {number: counted.get(number, 0) for number in explained if counted.get(number, 0) not in (3, 4, 5)} == {}


def headings(lesson: str) -> set[str]:
    cells = read(next((ROOT / "notebooks").glob(f"{lesson}_*.ipynb"))).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"^#+ (.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("number", NUMBERS)
def test_what_to_reread_is_a_heading_of_the_lesson(number: str) -> None:
    exercise = find_exercise(number)
    for mistake in exercise.mistakes.values():
        assert mistake.reread in headings(mistake.lesson or exercise.lesson)


def test_each_lesson_has_two_small_exercises() -> None:
    assert [[f"{int(each.number)}.{name}" for name in "xy"] for each in lessons()] == [
        [small.number for small in each.small] for each in lessons()
    ]


@pytest.mark.parametrize("number", SMALL)
def test_a_small_exercise_is_a_cell_of_its_lesson_and_the_cell_below_checks_it(number: str) -> None:
    exercise = find_exercise(number)
    cells = read(next((ROOT / "notebooks").glob(f"{exercise.lesson}_*.ipynb"))).cells
    sources = [cell.source for cell in cells]
    [stub] = stub_cells(exercise).values()
    assert stub in sources, f"the lesson must contain this cell:\n{stub}"
    place = sources.index(stub)
    assert sources[place - 1].startswith(f"### {number} {exercise.title}\n")
    assert sources[place + 1] == f"check('{number}')"
