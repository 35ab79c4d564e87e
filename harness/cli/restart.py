"""The command that starts exercises again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from harness.checks import ledger
from harness.checks.course import exercises
from harness.checks.exercise import Exercise
from harness.checks.layout import wrap
from harness.checks.restore import Restored, restore
from harness.cli.asked import Exercises, in_course, program, say
from harness.errors import NotebookError
from harness.terminal.words import in_terminal


@click.command()
@click.argument("wanted", metavar="WHAT", type=Exercises())
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
    solved = [exercise.number for exercise in changed if exercise.number in ledger.solved()]
    if solved:
        say(wrap(f"Your progress stays: {', '.join(solved)} solved once is solved."))
