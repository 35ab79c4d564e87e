"""The instructors' notes are up to date and complete, and the generator reports mistakes in guide.toml."""

import copy
import re
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from harness.classroom import instructor_notes as guides
from harness.classroom.cli import main
from harness.classroom.instructor_notes import (
    GUIDE,
    common_mistakes,
    entry,
    exercise_minutes,
    facts,
    guide,
    plain,
    steps,
    totals,
)
from harness.course.catalogue import exercises, find_exercise, lessons, recaps
from harness.errors import CourseError, NotebookError
from harness.notebooks.lint import markdown
from tests.support.answers import wrong_answers

ROOT = Path(__file__).parents[2]
BANK = ROOT / "tests" / "answers"
COMMAND = ["instructors", "--answers", "tests/answers"]
WORDS = tomllib.loads(Path(guides.__file__).with_name("guide.toml").read_text(encoding="utf-8"))
PLANS = {plan["title"]: plan for plan in WORDS["plans"]}


@pytest.fixture(scope="module")
def course():
    return facts(ROOT)


@pytest.fixture(scope="module")
def text() -> str:
    return guide(ROOT, BANK)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What the notes are made from, for a test to change."""
    for folder in ("notebooks", "solutions", "tests/answers"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_the_notes_are_up_to_date(text):
    assert (ROOT / GUIDE).read_text(encoding="utf-8") == text, "make instructors"


def test_minutes_are_those_that_the_lessons_state(course, text):
    assert {number: found.minutes for number, found in course.items()}["01"] == 40
    for lesson in lessons():
        assert f"[Lesson]({course[lesson.number].file}): {course[lesson.number].minutes} minutes" in text


@pytest.mark.parametrize("title", PLANS)
def test_a_plan_adds_up_and_ends_on_time(course, title):
    plan = PLANS[title]
    found = steps(plan, course)
    assert sum(totals(found).values()) == plan["minutes"]
    times = [int(step.begins[:2]) * 60 + int(step.begins[3:]) for step in found]
    assert [times[0] + sum(step.minutes for step in found[:place]) for place in range(len(found))] == times
    assert totals(found)["breaks"] >= 30
    assert 5 <= found[-1].minutes <= 20, "some minutes are for what takes longer"


@pytest.mark.parametrize("title", PLANS)
def test_no_stretch_between_breaks_is_longer_than_two_hours(course, title):
    longest = sitting = 0
    for step in steps(PLANS[title], course):
        sitting = 0 if step.kind == "breaks" else sitting + step.minutes
        longest = max(longest, sitting)
    assert longest <= 120


@pytest.mark.parametrize("title", PLANS)
def test_a_plan_has_the_fast_track_of_its_lessons(title):
    planned = {number for step in PLANS[title]["steps"] for number in step.get("exercises", [])}
    for step in PLANS[title]["steps"]:
        assert set(WORDS["lessons"][step["lesson"]]["core"]) <= planned if "lesson" in step else True


def test_a_plan_names_one_exercise_in_the_singular(course):
    named = [step.what for title in PLANS for step in steps(PLANS[title], course) if step.kind == "exercises"]
    assert "Exercise 3.4" in named
    assert {what for what in named if what.startswith("Exercises ")} == {what for what in named if "," in what}


def test_the_room_takes_as_long_for_an_exercise_as_its_lines_say(course):
    assert course["01"].lines["1.1"] == 1
    assert exercise_minutes(["1.1", "1.3"], course) == (5 + 1) + (5 + 5)


def test_every_prediction_every_exercise_every_hint_and_every_diagnosis_is_in_the_notes(text):
    read = text.replace("\\", "")
    for lesson in lessons():
        for name, asked in lesson.predictions.items():
            assert f"### Vote {name}: {asked.question}" in read
            assert asked.why in read
        for exercise in lesson.exercises:
            section = read.partition(f"### {exercise.number} ")[2].partition("\n## ")[0].partition("\n### ")[0]
            said = [mistake.says for mistake in exercise.mistakes.values()]
            assert [part for part in [*exercise.hints, *said, exercise.then] if part not in section] == []
        written = read.partition(f"## {lesson.number} ")[2].partition("**Learners write**")[2].partition("\n")[0]
        assert [each for each in lesson.small if f"{each.number} *{each.title}*" not in written] == []


def test_the_notes_describe_each_recap_below_its_lesson(text):
    read = text.replace("\\", "")
    for recap in recaps():
        section = read.partition(f"\n## {recap.number} ")[2].partition("\n## ")[0].partition(f"### {recap.title}\n")[2]
        assert re.search(rf"\(pages/{recap.number}_recap\.ipynb\): \d+ minutes", section)
        for name, asked in recap.predictions.items():
            assert f"- {name}: {asked.question} **{asked.answer}** {asked.options[asked.answer]}" in section


def test_a_vote_says_where_the_lesson_asks_and_which_cell_decides(course):
    vote = course["01"].votes["1.a"]
    assert (vote.section, vote.decides) == ("The queue, before and after", "lab.table('mytable')")
    for lesson in lessons():
        assert set(course[lesson.number].votes) == set(lesson.predictions)


def test_stumbles_are_counted_as_the_bank_has_them():
    for exercise in exercises():
        counted = Counter(answer.key for answer in wrong_answers(exercise.number))
        found = common_mistakes(BANK, exercise)
        known = sum(count for key, count in counted.items() if not key.startswith("error"))
        assert sum(len(stumble.forms) for stumble in found) == known
        sizes = [len(stumble.forms) for stumble in found]
        assert sizes == sorted(sizes, reverse=True)
        assert min(sizes) >= 1


def test_links_lead_to_notebooks_that_are_there(text):
    links = markdown.links(text)
    assert links
    assert [link for link in links if not (ROOT / "notebooks" / link).is_file()] == []


def test_text_of_the_course_is_not_taken_for_markup(text):
    words = markdown.html(text)
    assert {re.match(r"</?(\w+)", tag)[1] for tag in words} <= {"details", "summary"}
    assert plain("a_b <b> [c] | *d* `e_f`") == r"a\_b \<b> \[c] \| \*d\* `e_f`"


def test_a_new_wrong_answer_makes_the_notes_out_of_date(copied, text):
    bank = copied / "tests" / "answers" / "1.1.txt"
    bank.write_text(
        bank.read_text(encoding="utf-8") + "=== not-queued @clock: waits for lunch\npass\n", encoding="utf-8"
    )
    changed = guide(copied, copied / "tests" / "answers")
    assert changed != text
    assert "(3 in the bank)" in changed


def test_the_command_says_what_it_would_do_does_it_and_has_nothing_left_to_do(copied, monkeypatch, capsys):
    monkeypatch.chdir(copied)
    (copied / GUIDE).write_text("old", encoding="utf-8")
    assert main([*COMMAND, "--check"]) == 1
    assert (copied / GUIDE).read_text(encoding="utf-8") == "old"
    assert main(COMMAND) == 0
    assert main([*COMMAND, "--check"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"would rewrite {GUIDE}", f"rewrote {GUIDE}", f"{GUIDE} is up to date"]


def test_a_plan_that_is_too_long_is_refused(course):
    plan = copy.deepcopy(PLANS["Half a day"]) | {"minutes": 60}
    with pytest.raises(CourseError, match=r"the plan 'Half a day' takes \d+ minutes more than its 60"):
        steps(plan, course)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"lesson": "10"}, "names the lesson '10'; the lessons are 00, 01"),
        ({"exercises": ["1.9"]}, "names the exercise '1.9', which lesson 01 doesn't have"),
    ],
)
def test_a_plan_with_what_is_not_there_is_refused(course, step, says):
    with pytest.raises(CourseError, match=says):
        steps({"title": "A", "begins": "09:00", "minutes": 60, "steps": [step]}, course)


def test_a_bank_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CourseError, match=r"1\.1\.txt can't be read"):
        common_mistakes(tmp_path, find_exercise("1.1"))


def test_a_lesson_without_minutes_is_named(copied):
    lesson = copied / "notebooks" / "01_first_task.ipynb"
    lesson.write_text(lesson.read_text(encoding="utf-8").replace("40 minutes", "a while"), encoding="utf-8")
    with pytest.raises(NotebookError, match="01_first_task.ipynb: its first cell doesn't state how many minutes"):
        guide(copied, copied / "tests" / "answers")


def test_a_prediction_that_the_notes_forget_is_named():
    with pytest.raises(CourseError, match=r"has no entry '10\.a' in \[room_says\]"):
        entry(WORDS, "room_says", "10.a")
