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
from harness.terminal.lines import console
from harness.terminal.words import in_terminal, refit


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
    said = in_terminal(text, program())
    first, newline, rest = (refit(said, out.width) if out.is_terminal else said).partition("\n")
    out.print(first, style=style, soft_wrap=True)
    if newline:
        out.print(rest, soft_wrap=True)


def program() -> str:
    """Return how the learner called us: "taskqueue-course" or "python -m harness"."""
    return click.get_current_context().find_root().info_name or "taskqueue-course"
