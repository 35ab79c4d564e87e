"""Commands for a learner: how do I stand, and what helps?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import click

from harness.classroom.screen import STYLES, Program, console, in_terminal, progress_table, verdict_line
from harness.course import api, progress_file
from harness.course.answers import Answer
from harness.course.catalogue import exercises, find_exercise, lesson_title
from harness.course.check_process import CheckProcess
from harness.course.exercise import Exercise
from harness.course.verdict import CheckOutcome, Verdict, wrap
from harness.course.workspace import Restored, find_course, read_answers, restore, select
from harness.errors import CourseError, NotebookError
from harness.state import quoted

# What the commands for learners share: which exercises are asked for, in which course, and how to answer.


class ExerciseList(click.ParamType[list[Exercise]]):
    """What a learner names: 2.1, 02 or all; a list of exercises."""

    name = "exercises"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return select(value) if isinstance(value, str) else value
        except CourseError as error:
            self.fail(str(error), parameter, context)


class ExerciseNumber(click.ParamType[str]):
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How one exercise stands: the verdict on it, or (None) why its notebook cannot be read."""

    exercise: Exercise
    verdict: Verdict | None
    remarks: tuple[str, ...]
    is_whole: bool = True  # no cell is missing

    @property
    def outcome(self) -> CheckOutcome | None:
        return self.verdict.outcome if self.verdict else None

    @property
    def is_untouched(self) -> bool:
        return self.outcome is CheckOutcome.NOT_ATTEMPTED and self.is_whole


@click.command()
@click.argument("wanted", metavar="[WHAT]", type=ExerciseList(), default="all")
@in_course
def check(wanted: list[Exercise], course: Path) -> int:
    """Check saved answers: 2.1, a lesson (02) or all.

    They are read out of the notebooks in exercises/ as JupyterLab saved them. The exit status is 0 when all of them are
    correct, and 1 when one is not.
    """
    with CheckProcess() as check_process:
        standings = (_standing(check_process, exercise, answer) for exercise, answer in read_answers(course, wanted))
        found = [_show_whole(standing) for standing in standings] if len(wanted) == 1 else _list(standings)
    correct = sum(standing.outcome is CheckOutcome.CORRECT for standing in found)
    if len(wanted) > 1:
        click.echo(f"\n{correct} of {len(wanted)} correct.{_in_full(found)}")
    return 0 if correct == len(wanted) else 1


def _standing(check_process: CheckProcess, exercise: Exercise, answer: Answer | NotebookError) -> Standing:
    """Judge one answer, and remember what came of it."""
    if isinstance(answer, NotebookError):
        return Standing(exercise, None, (f"{answer}.\nTo keep a copy of it and start anew: {_reset(exercise)}",))
    verdict = check_process.check(exercise, answer)
    api.remember(verdict)
    return Standing(exercise, verdict, answer.remarks, not answer.missing)


def _reset(exercise: Exercise) -> str:
    return f"taskqueue-course reset {exercise.lesson}"


def _show_whole(standing: Standing) -> Standing:
    for remark in standing.remarks:
        say(wrap(remark))
    if standing.verdict is not None:
        say(standing.verdict.text, STYLES[standing.verdict.outcome])
    if standing.outcome is CheckOutcome.NOT_ATTEMPTED:
        say(wrap("What counts here is the notebook as it was saved: press Ctrl-S in JupyterLab first."))
    return standing


def _list(standings: Iterator[Standing]) -> list[Standing]:
    """Show a line per exercise, each lesson as soon as all of it is checked."""
    found: list[Standing] = []
    for lesson, group in groupby(standings, key=lambda standing: standing.exercise.lesson):
        of_lesson = list(group)
        untouched = all(standing.is_untouched for standing in of_lesson)
        click.echo(f"{lesson} {lesson_title(lesson)}{': not attempted' if untouched else ''}")
        if not untouched:
            _list_lesson(of_lesson)
        found += of_lesson
    return found


def _list_lesson(standings: list[Standing]) -> None:
    out, said = console(), set[str]()
    for standing in standings:
        if standing.verdict is not None:
            line = verdict_line(standing.verdict)
            if out.is_terminal:
                line.truncate(out.width, overflow="ellipsis")
            out.print(line, soft_wrap=True)
        for remark in standing.remarks:
            if remark not in said:  # one notebook, one trouble
                say(wrap(remark))
            said.add(remark)


def _in_full(found: list[Standing]) -> str:
    """Say how to see all of a verdict, for the first exercise that needs it."""
    wrong = [standing for standing in found if standing.outcome in (CheckOutcome.WRONG, CheckOutcome.ERROR)]
    return f" All about one of them: {program().line(f'check {wrong[0].exercise.number}')}" if wrong else ""


@click.command()
def progress() -> None:
    """Show what is solved of the whole course."""
    solved = progress_file.solved()
    left = [exercise for exercise in exercises() if exercise.number not in solved]
    console().print(progress_table(solved))
    click.echo(f"\nNext: {left[0].number} {left[0].title}" if left else "\nAll is solved.")


@click.command()
@click.argument("number", metavar="EXERCISE", type=ExerciseNumber())
def hint(number: str) -> None:
    """Give the next of three hints for 2.1.

    First the idea, then the place, then nearly the code.
    """
    say(api.next_hint(number, go_on=True))


@click.command()
@click.argument("number", metavar="EXERCISE", type=ExerciseNumber())
@click.option("--give-up", is_flag=True, help="Show it though the exercise is not solved yet.")
def solution(number: str, give_up: bool) -> None:
    """Show the solution of 2.1, once it is solved."""
    try:
        click.echo(api.solution_text(number, give_up), nl=False)
    except CourseError as error:
        raise CourseError(in_terminal(wrap(str(error)), program(), get_terminal_size().columns)) from None


@click.command()
@in_course
def watch(course: Path) -> None:
    """Check each exercise as you save it in JupyterLab.

    One screen follows what you save: the verdict on the exercise that changed, your progress, and what to do next.
    Without a terminal (in a pipe) the verdicts come one after the other; Ctrl-C ends it.
    """
    from harness.classroom.watch import watch

    watch(course, program())


# The command that starts exercises again.


@click.command()
@click.argument("wanted", metavar="WHAT", type=ExerciseList())
@click.option("--yes", is_flag=True, help="Do not ask before all is reset.")
@in_course
def reset(wanted: list[Exercise], yes: bool, course: Path) -> int:
    """Start 2.1, a lesson (02) or all again; with a backup.

    The stubs go back into the cells to fill. The notebook of before is kept in exercises/backups/. Your notes and your
    answers to other exercises stay, and what you have solved counts as solved.
    """
    if len(wanted) == len(list(exercises())) and not yes and not _agreed(len(wanted)):
        click.echo("Nothing was changed.")
        return 1
    changed: list[Exercise] = []
    try:
        for restored in restore(course, wanted, datetime.now()):
            say(_told(restored))
            changed += restored.exercises
    except NotebookError as error:
        raise NotebookError(in_terminal(str(error), program())) from None
    finally:
        _say_what_follows(changed)
    return 0


def _agreed(number: int) -> bool:
    try:
        return click.confirm(f"Put the stubs back into all {number} exercises? Each notebook is copied first")
    except click.Abort:
        click.echo(f"\nNothing was changed. In a script: {program().line('reset all --yes')}")
        raise


def _told(restored: Restored) -> str:
    numbers = ", ".join(exercise.number for exercise in restored.exercises)
    if not numbers:
        return f"{restored.path}: nothing to reset, it is as it came."
    why = restored.trouble.removeprefix(str(restored.path)).lstrip(",: ")
    what = f"made anew ({why})." if why else f"{numbers} reset."
    kept = f"Before: {restored.backup}" if restored.backup else "Before: nothing."
    return f"{wrap(f'{restored.path}: {what}')}\n  {kept}"


def _say_what_follows(changed: Sequence[Exercise]) -> None:
    if not changed:
        return
    say(wrap("Is it open in JupyterLab? Take it from the disk (File, Reload Notebook from Disk) and run the cell."))
    solved = [exercise.number for exercise in changed if exercise.number in progress_file.solved()]
    if solved:
        say(wrap(f"Your progress stays: {', '.join(solved)} solved once is solved."))
