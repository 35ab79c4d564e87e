"""notebooks/INSTRUCTORS.md: what the course says about itself, and what guide.toml says about teaching it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.checks.course import lessons
from harness.checks.exercise import Exercise, Lesson, Prediction
from harness.errors import CourseError
from harness.workshop.bank import Stumble, stumbles
from harness.workshop.facts import Facts, Vote, facts
from harness.workshop.plan import steps, totals

GUIDE = "notebooks/INSTRUCTORS.md"
_TOP = """\
# Notes for instructors

<!-- Made by `make instructors`; a change made here by hand is lost. What needs judgment is in
harness/workshop/guide.toml; minutes, predictions, mistakes and hints come from the lessons,
harness/checks/lessonNN.toml and tests/wrong_answers/. -->

For whoever teaches this tomorrow, and for the first time. Read *Before the day*, choose a plan, then open the lesson's
section beside your slides: what it is for, when to vote, where people stumble, what to ask them."""
_SHOWN = 3  # stumbles in full; the others are folded away
_CODE = re.compile(r"(`[^`]*`)")


def guide(root: Path) -> str:
    """Return the text of the instructors' notes.

    Args:
        root: the repository.

    Raises:
        CourseError: guide.toml leaves out a lesson or a prediction, names one that is not there, or a plan is too long.
        NotebookError: a notebook that cannot be read, or does not say how long it takes.
    """
    words = tomllib.loads(Path(__file__).with_name("guide.toml").read_text(encoding="utf-8"))
    course = facts(root)
    blocks = [_TOP, *_opening(words), *_plans(words, course), *_room(words["room"])]
    for lesson in lessons():
        blocks += _lesson(root, lesson, course[lesson.number], words)
    return "\n\n".join(blocks) + "\n"


def _opening(words: dict[str, Any]) -> Iterator[str]:
    yield "## Before the day"
    yield "\n".join(f"- [ ] {line}" for line in words["before"])
    yield "## The rhythm of a lesson"
    yield "\n".join(f"{place}. {line}" for place, line in enumerate(words["rhythm"], 1))


def _plans(words: dict[str, Any], course: dict[str, Facts]) -> Iterator[str]:
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


def _lesson(root: Path, lesson: Lesson, found: Facts, words: dict[str, Any]) -> Iterator[str]:
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
        yield from _exercise(exercise, found, stumbles(root, exercise), exercise.number in said["core"])


def _said(known: dict[str, Any], name: str, kind: str) -> Any:
    if name not in known:
        raise CourseError(f"harness/workshop/guide.toml says nothing about the {kind} {name!r}")
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


def _exercise(exercise: Exercise, found: Facts, known: list[Stumble], core: bool) -> Iterator[str]:
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


def _stumble(stumble: Stumble) -> str:
    seen = f"{stumble.forms[0]}, … ({len(stumble.forms)} in the bank)" if len(stumble.forms) > 1 else stumble.forms[0]
    return f"- *{_plain(seen)}*: {_plain(stumble.says)} Reread *{stumble.reread}*."


def _plain(text: str) -> str:
    """Write words of the course as Markdown: what is not in backticks has no markup."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<|\[])", r"\\\1", part) for part in parts)
