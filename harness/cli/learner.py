"""Commands for a learner: how do I stand, and what helps?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shutil import get_terminal_size

import click

from harness.checks import engine, ledger
from harness.checks.answers import Answer
from harness.checks.course import exercises, lesson_title
from harness.checks.examiner import Examiner
from harness.checks.exercise import Exercise
from harness.checks.layout import wrap
from harness.checks.verdict import Outcome, Verdict
from harness.checks.workspace import read_answers
from harness.cli.asked import Exercises, Number, in_course, program, say
from harness.errors import CourseError, NotebookError
from harness.terminal.lines import STYLES, console, progress_table, verdict_line
from harness.terminal.words import in_terminal


@dataclass(frozen=True, slots=True)
class Standing:
    """How one exercise stands: the verdict on it, or (None) why its notebook cannot be read."""

    exercise: Exercise
    verdict: Verdict | None
    remarks: tuple[str, ...]
    is_whole: bool = True  # no cell is missing

    @property
    def outcome(self) -> Outcome | None:
        return self.verdict.outcome if self.verdict else None

    @property
    def is_untouched(self) -> bool:
        return self.outcome is Outcome.NOT_ATTEMPTED and self.is_whole


@click.command()
@click.argument("wanted", metavar="[WHAT]", type=Exercises(), default="all")
@in_course
def check(wanted: list[Exercise], course: Path) -> int:
    """Check saved answers: 2.1, a lesson (02) or all.

    They are read out of the notebooks in exercises/ as JupyterLab saved them. The exit status is 0 when all of them are
    correct, and 1 when one is not.
    """
    with Examiner() as examiner:
        standings = (_standing(examiner, exercise, answer) for exercise, answer in read_answers(course, wanted))
        found = [_show_whole(standing) for standing in standings] if len(wanted) == 1 else _list(standings)
    correct = sum(standing.outcome is Outcome.CORRECT for standing in found)
    if len(wanted) > 1:
        click.echo(f"\n{correct} of {len(wanted)} correct.{_in_full(found)}")
    return 0 if correct == len(wanted) else 1


def _standing(examiner: Examiner, exercise: Exercise, answer: Answer | NotebookError) -> Standing:
    """Judge one answer, and remember what came of it."""
    if isinstance(answer, NotebookError):
        return Standing(exercise, None, (f"{answer}.\nTo keep a copy of it and start anew: {_reset(exercise)}",))
    verdict = examiner.judge(exercise, answer)
    engine.remember(verdict)
    return Standing(exercise, verdict, answer.remarks, not answer.missing)


def _reset(exercise: Exercise) -> str:
    return f"taskqueue-course reset {exercise.lesson}"


def _show_whole(standing: Standing) -> Standing:
    for remark in standing.remarks:
        say(wrap(remark))
    if standing.verdict is not None:
        say(standing.verdict.text, STYLES[standing.verdict.outcome])
    if standing.outcome is Outcome.NOT_ATTEMPTED:
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
    wrong = [standing for standing in found if standing.outcome in (Outcome.WRONG, Outcome.ERROR)]
    return f" All about one of them: {program().line(f'check {wrong[0].exercise.number}')}" if wrong else ""


@click.command()
def progress() -> None:
    """Show what is solved of the whole course."""
    solved = ledger.solved()
    left = [exercise for exercise in exercises() if exercise.number not in solved]
    console().print(progress_table(solved))
    click.echo(f"\nNext: {left[0].number} {left[0].title}" if left else "\nAll is solved.")


@click.command()
@click.argument("number", metavar="EXERCISE", type=Number())
def hint(number: str) -> None:
    """Give the next of three hints for 2.1.

    First the idea, then the place, then nearly the code.
    """
    say(engine.next_hint(number, go_on=True))


@click.command()
@click.argument("number", metavar="EXERCISE", type=Number())
@click.option("--give-up", is_flag=True, help="Show it though the exercise is not solved yet.")
def solution(number: str, give_up: bool) -> None:
    """Show the solution of 2.1, once it is solved."""
    try:
        click.echo(engine.solution_text(number, give_up), nl=False)
    except CourseError as error:
        raise CourseError(in_terminal(wrap(str(error)), program(), get_terminal_size().columns)) from None


@click.command()
@in_course
def watch(course: Path) -> None:
    """Check each exercise as you save it in JupyterLab.

    One screen follows what you save: the verdict on the exercise that changed, your progress, and what to do next.
    Without a terminal (in a pipe) the verdicts come one after the other; Ctrl-C ends it.
    """
    from harness.terminal.watch import watch

    watch(course, program())
