"""Commands that look after a learner's set-up and progress: `doctor`, `export`."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from harness.checks.workspace import find_course
from harness.errors import CourseError, ProgressError

_WIDEST = 110  # characters; longer lines are hard to read


def _course(context: click.Context, parameter: click.Parameter, folder: Path) -> Path:
    """Return the folder of the course that a folder is in, or the folder: that it is none is a finding."""
    try:
        return find_course(folder).absolute()
    except CourseError:
        return folder.absolute()


@click.command()
@click.option(
    "--course",
    type=click.Path(path_type=Path),
    default=".",
    callback=_course,
    help="The folder that holds exercises/; without it the current one, or one above it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, to be put into an issue.")
def doctor(course: Path, as_json: bool) -> int:
    """Say what is wrong with this set-up, and how to mend it."""
    from harness.checkup import State, checkup
    from harness.checkup.report import dump, lines, summary, to_json
    from harness.cli.asked import program
    from harness.terminal.words import with_commands

    width = min(shutil.get_terminal_size().columns, _WIDEST)
    findings = {}
    for name, found in checkup(course):
        findings[name] = found = replace(found, mend=with_commands(found.mend, program()))
        if not as_json:
            click.echo(lines(name, found, width, sys.stdout.encoding))
    click.echo(dump(to_json(findings)) if as_json else f"\n{summary(findings)}")
    return 1 if any(found.state is State.PROBLEM for found in findings.values()) else 0


@click.command()
@click.option("--output", type=click.Path(path_type=Path), help="The file to write; without it JSON is printed.")
def export(output: Path | None) -> int:
    """Write your progress as JSON, without anything about you."""
    from harness.checks.export import progress_report

    report = progress_report()
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return 0
    _write(output, text)
    click.echo(f"{report['solved']} of {report['of']} exercises solved: written to {output}")
    return 0


def _write(path: Path, text: str) -> None:
    """Write an export, over an earlier one if need be, and over nothing else."""
    from harness.notebooks.files import write

    if path.exists() and not _is_export(path):
        raise ProgressError(f"{path} is there already and is no earlier export: choose another name.")
    if not path.parent.is_dir():
        raise ProgressError(f"{path} cannot be written: there is no folder {path.parent}.")
    try:
        write(path, text)
    except OSError as error:
        raise ProgressError(f"{path} cannot be written: {error.strerror or error}.") from None


def _is_export(path: Path) -> bool:
    from harness.checks.export import SCHEMA

    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and held.get("schema") == SCHEMA
