"""What the commands for learners share: which exercises are asked for, in which course, and how to answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.checks.course import find_exercise
from harness.checks.exercise import Exercise
from harness.checks.workspace import find_course, select
from harness.errors import CourseError
from harness.state import quoted
from harness.terminal.lines import console
from harness.terminal.words import Program, in_terminal


class Exercises(click.ParamType[list[Exercise]]):
    """What a learner names: 2.1, 02 or all; a list of exercises."""

    name = "exercises"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return select(value) if isinstance(value, str) else value
        except CourseError as error:
            self.fail(str(error), parameter, context)


class Number(click.ParamType[str]):
    """One exercise: 2.1."""

    name = "exercise"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return find_exercise(value).number
        except CourseError as error:
            self.fail(str(error), parameter, context)


def _course(context: click.Context, parameter: click.Parameter, folder: Path | None) -> Path:
    try:
        return find_course(folder or Path.cwd())
    except CourseError as error:
        raise click.UsageError(str(error), context) from None


in_course: Callable[[Any], Any] = click.option(
    "--course",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    callback=_course,
    help="The folder that holds exercises/; without it the current one, or one above it.",
)


def say(text: str, style: str = "") -> None:
    """Print a message as it reads in a terminal, as wide as that is; the style is for its first line."""
    out = console()
    said = in_terminal(text, program(), out.width) if out.is_terminal else in_terminal(text, program())
    first, newline, rest = said.partition("\n")
    out.print(first, style=style, soft_wrap=True)
    if newline:
        out.print(rest, soft_wrap=True)


def program() -> Program:
    """Return how the learner can call our commands from the current folder, for the course of this one."""
    context = click.get_current_context()
    course = context.params.get("course")
    option = "" if course is None or _is_current(course) else f"--course {quoted(course.absolute())}"
    return Program(str(context.find_root().info_name), option)


def _is_current(course: Path) -> bool:
    """Return whether the commands find the course without an option."""
    try:
        return find_course(Path.cwd()).samefile(course)
    except (CourseError, OSError):
        return False
