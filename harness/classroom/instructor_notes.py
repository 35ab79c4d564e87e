"""notebooks/INSTRUCTORS.md: what the course says about itself, and what guide.toml says about teaching it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.course.catalogue import lessons
from harness.course.exercise import Exercise, Lesson, Misconception, Prediction
from harness.errors import CourseError, NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell
from harness.notebooks.lint import markdown
from harness.notebooks.slide_types import ASKS

# The wrong answers of the bank, counted by mistake.


@dataclass(frozen=True)
class CommonMistake:
    """A mistake that people make in an exercise.

    Args:
        says: what the check answers.
        forms: what learners did who made it ("drops the vars"), one for each answer in the bank.
        reread: the heading that clears it up, with the lesson where that is another one.
    """

    says: str
    forms: tuple[str, ...]
    reread: str


def common_mistakes(bank: Path, exercise: Exercise) -> list[CommonMistake]:
    """Return the mistakes of an exercise, the most frequent first; among equals in the order of the course.

    Args:
        bank: the folder with a file of answers for each exercise (1.1.txt).
        exercise: the exercise.

    Raises:
        CourseError: the bank has no file for the exercise.
    """
    forms = _forms(bank / f"{exercise.number}.txt")
    found = [
        CommonMistake(mistake.says, tuple(forms.get(key, ())), _heading(mistake))
        for key, mistake in exercise.mistakes.items()
    ]
    return sorted(found, key=lambda stumble: -len(stumble.forms))


def _heading(mistake: Misconception) -> str:
    return f"{mistake.reread} (lesson {mistake.lesson})" if mistake.lesson else mistake.reread


def _forms(path: Path) -> dict[str, list[str]]:
    """Map each mistake's key to the titles of the answers that show it (`=== KEY: what this learner did`)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise CourseError(f"{path} can't be read; name the folder that holds the answers of each exercise") from None
    forms: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("=== "):
            key, _, title = line.removeprefix("=== ").partition(": ")
            forms.setdefault(key, []).append(title)
    return forms


# What the notebooks say about themselves: minutes, sizes, and where a lesson asks its predictions.

_MINUTES = re.compile(r"\b(\d+) minutes\b")
_SIZE = re.compile(r"\b[Aa]bout (\d+) lines?\b")
_WIDTH = 40
BASE_MINUTES = 5  # of an exercise without its lines: to read it, to run the check, to talk about it


@dataclass(frozen=True)
class Vote:
    """Where a lesson asks a prediction: the section, and the first line of the cell that decides."""

    section: str
    decides: str


@dataclass(frozen=True)
class LessonFacts:
    """What one lesson, and its exercises, say about themselves.

    Args:
        number: "01".
        file: the notebook's name.
        minutes: of the lesson alone.
        votes: by the prediction's name, in the order of the lesson.
        lines: of each exercise's answer, by its number.
    """

    number: str
    file: str
    minutes: int
    votes: dict[str, Vote]
    lines: dict[str, int]

    def exercise_minutes(self, number: str) -> int:
        """Return how long an exercise takes: five minutes, and one for each line."""
        return BASE_MINUTES + self.lines[number]


def facts(root: Path) -> dict[str, LessonFacts]:
    """Return the facts of all lessons, by number, in order.

    Args:
        root: the folder that holds notebooks/ and solutions/.

    Raises:
        NotebookError: there is no lesson, or one does not say how long it takes.
    """
    lessons = files.find(root, "notebooks")
    if not lessons:
        raise NotebookError(f"{root} holds no notebooks/; run this in the repository's top folder")
    return {path.name[:2]: _facts(path) for path in lessons}


def _facts(path: Path) -> LessonFacts:
    cells = files.read(path).cells
    minutes = _MINUTES.search(cells[0].source)
    if minutes is None:
        raise NotebookError(f"{path}: its first cell does not say how many minutes the lesson takes")
    solution = path.parents[1] / "solutions" / path.name
    lines = _lines(files.read(solution).cells) if solution.exists() else {}
    return LessonFacts(path.name[:2], path.name, int(minutes[1]), _votes(cells), lines)


def _votes(cells: list[Cell]) -> dict[str, Vote]:
    section = ""
    votes: dict[str, Vote] = {}
    asked = None
    for cell in cells:
        if cell.cell_type == "markdown":
            section = ([section] + [heading for _, heading in markdown.headings(cell.source)])[-1]
        elif asked:
            votes[asked] = Vote(section, _shortened(cell.source.splitlines()[0]))
            asked = None
        if cell.cell_type == "code" and (call := ASKS.search(cell.source)):
            asked = call[1]
    return votes


def _shortened(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"


def _lines(cells: list[Cell]) -> dict[str, int]:
    found = {}
    for cell in cells:
        heading = re.match(r"## (\d+\.\d+) ", cell.source)
        size = _SIZE.search(cell.source)
        if cell.cell_type == "markdown" and heading and size:
            found[heading[1]] = int(size[1])
    return found


# A day's plan: steps with minutes that add up.


@dataclass(frozen=True)
class Step:
    """One line of a plan: when it begins, how long it takes, what it is, and of which kind."""

    begins: str
    minutes: int
    what: str
    kind: str  # "lessons", "exercises", "breaks" or "talk"


def steps(plan: dict[str, Any], course: dict[str, LessonFacts]) -> list[Step]:
    """Return the steps of a plan; the last is the time that is left.

    Args:
        plan: from guide.toml: `title`, `begins` ("09:00"), `minutes`, and `steps`, each with a `lesson`, or with
            `exercises`, or with `what` and `minutes` (`rest` when it is a break).
        course: the facts of the lessons.

    Raises:
        CourseError: the plan names a lesson or an exercise that is not there, or takes longer than it may.
    """
    clock = datetime.strptime(plan["begins"], "%H:%M")
    found: list[Step] = []
    for what, minutes, kind in [line for step in plan["steps"] for line in _plan_lines(step, course)]:
        found.append(Step(f"{clock:%H:%M}", minutes, what, kind))
        clock += timedelta(minutes=minutes)
    left = plan["minutes"] - sum(step.minutes for step in found)
    if left < 0:
        raise CourseError(f"the plan {plan['title']!r} takes {-left} minutes more than its {plan['minutes']}")
    return [*found, Step(f"{clock:%H:%M}", left, "Left for questions, and for what took longer", "talk")]


def totals(found: list[Step]) -> dict[str, int]:
    """Return the minutes of each kind of step, in the order in which the kinds appear."""
    kinds = dict.fromkeys(step.kind for step in found)
    return {kind: sum(step.minutes for step in found if step.kind == kind) for kind in kinds}


def _plan_lines(step: dict[str, Any], course: dict[str, LessonFacts]) -> Iterator[tuple[str, int, str]]:
    if "lesson" in step:
        lesson = _planned_lesson(step["lesson"], course)
        yield f"**[Lesson {lesson.number}]({lesson.file})**", lesson.minutes, "lessons"
    elif "exercises" in step:
        yield f"Exercises {', '.join(step['exercises'])}", exercise_minutes(step["exercises"], course), "exercises"
    else:
        yield step["what"], step["minutes"], "breaks" if step.get("rest") else "talk"


def exercise_minutes(numbers: list[str], course: dict[str, LessonFacts]) -> int:
    """Return how long some exercises take, one after the other; CourseError for one that is not there."""
    total = 0
    for number in numbers:
        lesson = _planned_lesson(number.partition(".")[0].zfill(2), course)
        if number not in lesson.lines:
            raise CourseError(f"guide.toml names the exercise {number!r}, which lesson {lesson.number} does not have")
        total += lesson.exercise_minutes(number)
    return total


def _planned_lesson(number: str, course: dict[str, LessonFacts]) -> LessonFacts:
    if number not in course:
        raise CourseError(f"guide.toml names the lesson {number!r}; there are {', '.join(course)}")
    return course[number]


GUIDE = "notebooks/INSTRUCTORS.md"
_TOP = """\
# Notes for instructors

<!-- Made by `make instructors`; a change made here by hand is lost. What needs judgment is in
harness/classroom/guide.toml; minutes, predictions, mistakes and hints come from the lessons,
harness/course/lessons/lessonNN.toml and tests/answers/. -->

For whoever teaches this tomorrow, and for the first time. Read *Before the day*, choose a plan, then open the lesson's
section beside your slides: what it is for, when to vote, where people stumble, what to ask them."""
_SHOWN = 3  # stumbles in full; the others are folded away
_CODE = re.compile(r"(`[^`]*`)")


def guide(root: Path, bank: Path) -> str:
    """Return the text of the instructors' notes.

    Args:
        root: the repository.
        bank: the folder with a file of answers for each exercise.

    Raises:
        CourseError: guide.toml leaves out a lesson or a prediction, names one that is not there, or a plan is too long.
        NotebookError: a notebook that cannot be read, or does not say how long it takes.
    """
    words = tomllib.loads(Path(__file__).with_name("guide.toml").read_text(encoding="utf-8"))
    course = facts(root)
    blocks = [_TOP, *_opening(words), *_plans(words, course), *_room(words["room"])]
    for lesson in lessons():
        blocks += _lesson(bank, lesson, course[lesson.number], words)
    return "\n\n".join(blocks) + "\n"


def _opening(words: dict[str, Any]) -> Iterator[str]:
    yield "## Before the day"
    yield "\n".join(f"- [ ] {line}" for line in words["before"])
    yield "## The rhythm of a lesson"
    yield "\n".join(f"{place}. {line}" for place, line in enumerate(words["rhythm"], 1))


def _plans(words: dict[str, Any], course: dict[str, LessonFacts]) -> Iterator[str]:
    yield "## Plans"
    yield words["plans_note"]
    for plan in words["plans"]:
        found = steps(plan, course)
        hours = f"{plan['minutes'] // 60} h {plan['minutes'] % 60:02}"
        yield f"### {plan['title']}: {hours}"
        yield f"**Aim:** {plan['aim']}"
        rows = [f"| {step.begins} | {step.minutes} | {step.what} |" for step in found]
        yield "\n".join(["| at | minutes | what |", "|---|---:|---|", *rows])
        sums = ", ".join(f"{kind} {minutes}" for kind, minutes in totals(found).items())
        yield f"{sums[0].upper()}{sums[1:]}: {plan['minutes']} minutes together."
        yield f"**Late?** {plan['late'][0].upper()}{plan['late'][1:]} **For home:** {plan['home']}."


def _room(problems: list[dict[str, str]]) -> Iterator[str]:
    yield "## When something goes wrong in the room"
    rows = [f"| {problem['problem']} | {problem['answer']} |" for problem in problems]
    yield "\n".join(["| what you hear | what to do |", "|---|---|", *rows])


def _lesson(bank: Path, lesson: Lesson, found: LessonFacts, words: dict[str, Any]) -> Iterator[str]:
    said = _said(words["lessons"], lesson.number, "lesson")
    total = sum(map(found.exercise_minutes, found.lines))
    more = f", its exercises {total}" if total else ""
    yield f"## {lesson.number} {lesson.title}"
    yield f"[Lesson]({found.file}): {found.minutes} minutes{more}."
    yield f"**For:** {said['for']}\n\n**Slow down:** {said['slow']}\n\n**Short of time:** {said['short']}"
    for name, asked in lesson.predictions.items():
        yield _vote(name, asked, found.votes[name], _said(words["room_says"], name, "prediction"))
    yield from _fast_track(lesson, said["core"])
    for exercise in lesson.exercises:
        yield from _exercise(exercise, found, common_mistakes(bank, exercise), exercise.number in said["core"])


def _said(known: dict[str, Any], name: str, kind: str) -> Any:
    if name not in known:
        raise CourseError(f"harness/classroom/guide.toml says nothing about the {kind} {name!r}")
    return known[name]


def _vote(name: str, asked: Prediction, where: Vote, room: str) -> str:
    options = "\n".join(
        f"- {'**' if letter == asked.answer else ''}{letter}{'**' if letter == asked.answer else ''} {_plain(text)}"
        for letter, text in asked.options.items()
    )
    return "\n\n".join(
        [
            f"### Vote {name}: {_plain(asked.question)}",
            f"In *{where.section}*, before `{where.decides}` runs.",
            options,
            f"**The room:** {room} **Then:** {asked.answer}. {_plain(asked.why)}",
        ]
    )


def _fast_track(lesson: Lesson, core: list[str]) -> Iterator[str]:
    numbers = [exercise.number for exercise in lesson.exercises]
    missing = set(core) - set(numbers)
    if missing:
        raise CourseError(f"guide.toml names exercises that lesson {lesson.number} does not have: {sorted(missing)}")
    if numbers:
        rest = ", ".join(number for number in numbers if number not in core)
        yield f"**Fast track:** {', '.join(core)}. Skip {rest}; give them to the quick ones, or for home."


def _exercise(exercise: Exercise, found: LessonFacts, known: list[CommonMistake], core: bool) -> Iterator[str]:
    lines = found.lines[exercise.number]
    size = f"{lines} line{'s' * (lines != 1)}, {found.exercise_minutes(exercise.number)} minutes"
    yield f"### {exercise.number} {_plain(exercise.title)} ({size}{', fast track' if core else ''})"
    yield "\n".join(["**Stumbles**, the most frequent first:", "", *map(_stumble, known[:_SHOWN])])
    if known[_SHOWN:]:
        rest = "\n".join(map(_stumble, known[_SHOWN:]))
        yield f"<details><summary>{len(known[_SHOWN:])} rarer ones</summary>\n\n{rest}\n\n</details>"
    asks = [f"{place}. {_plain(hint)}" for place, hint in enumerate(exercise.hints, 1)]
    yield "\n".join(["**Ask**, one at a time:", "", *asks])
    yield f"**Next**, for the quick ones: {_plain(exercise.then)}"


def _stumble(stumble: CommonMistake) -> str:
    seen = f"{stumble.forms[0]}, … ({len(stumble.forms)} in the bank)" if len(stumble.forms) > 1 else stumble.forms[0]
    return f"- *{_plain(seen)}*: {_plain(stumble.says)} Reread *{stumble.reread}*."


def _plain(text: str) -> str:
    """Write words of the course as Markdown: what is not in backticks has no markup."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<|\[])", r"\\\1", part) for part in parts)
