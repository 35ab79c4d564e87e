"""A day's plan: steps with minutes that add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from harness.errors import CourseError
from harness.workshop.facts import Facts


@dataclass(frozen=True)
class Step:
    """One line of a plan: when it begins, how long it takes, what it is, and of which kind."""

    begins: str
    minutes: int
    what: str
    kind: str  # "lessons", "exercises", "breaks" or "talk"


def steps(plan: dict[str, Any], course: dict[str, Facts]) -> list[Step]:
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
    for what, minutes, kind in [line for step in plan["steps"] for line in _lines(step, course)]:
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


def _lines(step: dict[str, Any], course: dict[str, Facts]) -> Iterator[tuple[str, int, str]]:
    if "lesson" in step:
        lesson = _lesson(step["lesson"], course)
        yield f"**[Lesson {lesson.number}]({lesson.file})**", lesson.minutes, "lessons"
    elif "exercises" in step:
        yield f"Exercises {', '.join(step['exercises'])}", exercise_minutes(step["exercises"], course), "exercises"
    else:
        yield step["what"], step["minutes"], "breaks" if step.get("rest") else "talk"


def exercise_minutes(numbers: list[str], course: dict[str, Facts]) -> int:
    """Return how long some exercises take, one after the other; CourseError for one that is not there."""
    total = 0
    for number in numbers:
        lesson = _lesson(number.partition(".")[0].zfill(2), course)
        if number not in lesson.lines:
            raise CourseError(f"guide.toml names the exercise {number!r}, which lesson {lesson.number} does not have")
        total += lesson.exercise_minutes(number)
    return total


def _lesson(number: str, course: dict[str, Facts]) -> Facts:
    if number not in course:
        raise CourseError(f"guide.toml names the lesson {number!r}; there are {', '.join(course)}")
    return course[number]
