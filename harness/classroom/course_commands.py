"""The commands that build and check the course, those that report on a learner's work, and those for instructors."""

import json
import shutil
import sys
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from harness.course import progress_file
from harness.course.catalogue import Exercise, exercises, small_exercises
from harness.course.certificates.certificate import read_name
from harness.course.progress_file import Entry
from harness.course.workspace import find_course
from harness.errors import BadValueError, CourseError, ProgressError

SCHEMA = "taskqueue-course/progress"  # of an export
_REVEAL = Path(".venv", "reveal", "sphinx_revealjs", "_static", "revealjs")
_WIDEST = 110  # characters; longer lines are hard to read


@click.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; fail if anything would change.")
def build(notebooks: tuple[Path, ...], check: bool) -> int:
    """Run the notebooks, and make exercises from solutions.

    Without NOTEBOOKS it builds all lessons and solutions. An exercise that you changed stays as it is. If its solution
    has changed too, the exercise is rebuilt, and a copy of yours is kept in exercises/backups/.
    """
    from harness.notebooks.build import build

    changes = build(Path.cwd(), list(notebooks), check=check)
    if not changes:
        click.echo("all notebooks are up to date")
    return 1 if check and changes else 0


@click.command()
@click.argument("number")
def exercise(number: str) -> int:
    """Write a new exercise NUMBER (2.6) to edit.

    It writes cells, a check, texts and answers. Edit every text that contains TODO. CONTRIBUTING.md explains each step.
    """
    from harness.classroom.new_exercise import scaffold

    for path in scaffold(Path.cwd(), number):
        click.echo(f"wrote {path}")
    click.echo("Replace each TODO, then run: make build")
    return 0


@click.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path))
def lint(notebooks: tuple[Path, ...]) -> int:
    """Check notebooks (default: all) against the course's rules."""
    from harness.classroom.learner_commands import program
    from harness.classroom.screen import with_commands
    from harness.notebooks.lint import lint

    findings = lint(Path.cwd(), list(notebooks))
    for finding in findings:
        click.echo(with_commands(str(finding), program()))
    click.echo(f"{len(findings)} to fix" if findings else "all notebooks follow the rules")
    return 1 if findings else 0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("build", "nbgrader"))
def nbgrader(folder: Path) -> int:
    """Make a course FOLDER for nbgrader from the solutions.

    Submissions and grades in an existing FOLDER are kept.
    """
    from harness.classroom.grading.course_folder import lay_out

    if not lay_out(Path.cwd(), folder):
        click.echo(f"{folder} is up to date")
    return 0


@click.command()
@click.argument("lessons", nargs=-1, type=click.Path(path_type=Path))
@click.option("--reveal", default=_REVEAL, type=click.Path(path_type=Path), help="The folder of reveal.js 5.")
@click.option("--to", default=Path("build", "slides"), type=click.Path(path_type=Path), help="The folder to write to.")
@click.option("--answers", type=click.Path(path_type=Path), help="The bank of answers; it adds notes for the speaker.")
def slides(lessons: tuple[Path, ...], reveal: Path, to: Path, answers: Path | None) -> int:
    """Make slides of LESSONS (default: all), and an index page."""
    from harness.classroom.slides import make_slides

    make_slides(Path.cwd(), reveal, to, lessons, answers=answers, say=click.echo)
    return 0


@click.command()
@click.option("--to", default=Path("build", "card.pdf"), type=click.Path(path_type=Path), help="The PDF to write.")
@click.option("--browser", help="The path of Chromium, Chrome or Edge; the default is the Chromium on PATH.")
def card(to: Path, browser: str | None) -> int:
    """Print the reference card as a PDF of two pages."""
    from harness.notebooks.reference_card import make_card

    make_card(Path.cwd(), to, browser)
    click.echo(f"wrote {to}")
    return 0


@click.command()
@click.option("--answers", required=True, type=click.Path(path_type=Path), help="The folder with the bank of answers.")
@click.option("--check", is_flag=True, help="Change nothing; fail if anything would change.")
def instructors(answers: Path, check: bool) -> int:
    """Write notebooks/INSTRUCTORS.md, the notes for instructors."""
    from harness.classroom.instructor_notes import GUIDE, guide
    from harness.notebooks import files

    path = Path.cwd() / GUIDE
    text = guide(Path.cwd(), answers)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        click.echo(f"{GUIDE} is up to date")
        return 0
    if not check:
        files.write(path, text)
    click.echo(f"{'would rewrite' if check else 'rewrote'} {GUIDE}")
    return 1 if check else 0


def _course(context: click.Context, parameter: click.Parameter, folder: Path) -> Path:
    """Return the course that contains a folder, or the folder itself, because `doctor` reports a missing course."""
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
    help="The folder that holds my-course/. The default is the current folder or a folder above it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which you can paste into an issue.")
def doctor(course: Path, as_json: bool) -> int:
    """Check this set-up, and explain how to fix each problem."""
    from harness.classroom.doctor import examine_setup
    from harness.classroom.doctor_report import SetupState, lines, summary, to_json
    from harness.classroom.learner_commands import program
    from harness.classroom.screen import with_commands

    width = min(shutil.get_terminal_size().columns, _WIDEST)
    findings = {}
    for name, found in examine_setup(course):
        findings[name] = found = replace(found, fix=with_commands(found.fix, program()))
        if not as_json:
            click.echo(lines(name, found, width, sys.stdout.encoding))
    click.echo(to_json(findings) if as_json else f"\n{summary(findings)}")
    return 1 if any(found.state is SetupState.PROBLEM for found in findings.values()) else 0


@click.command()
@click.option("--output", type=click.Path(path_type=Path), help="The file to write; the default is the terminal.")
def export(output: Path | None) -> int:
    """Write your progress as JSON, without personal data."""
    report = progress_report()
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        _write_export(output, text)
        click.echo(f"{report['solved']} of {report['of']} exercises solved; written to {output}")
    return 0


def _name(value: str) -> str:
    """Return a name that a certificate can show, or report a wrong command line."""
    try:
        return read_name(value)
    except BadValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--name", type=_name, metavar="NAME", help="Your name, as it should appear on the certificate.")
def certificate(name: str | None) -> None:
    """Make a certificate of what you have solved, as SVG and PDF.

    It lists the exercises that you solved without looking at the solution, those that you solved after looking, and
    those that are open. Without --name, the command asks for your name. It writes the files into my-course/ or, if this
    folder doesn't exist, into the current folder. Previous files are kept in the folder backups/. No data is sent.
    """
    from harness.course.certificates.certificate_files import save

    click.echo(save(name or _ask_name(), datetime.now()).text)


def _ask_name() -> str:
    from harness.classroom.learner_commands import program

    try:
        return str(click.prompt("Your name, as it should appear on the certificate", value_proc=_name))
    except click.Abort:
        click.echo(f"\nNothing was written. In a script, run: {program().line('certificate --name NAME')}")
        raise


def progress_report() -> dict[str, Any]:
    """Return the learner's progress in every exercise, ready for JSON. Small exercises are counted separately.

    It contains days in UTC, but no time of day, no name and no path.

    Raises:
        ProgressError: the progress can't be read, or was written by a newer version of the course.
    """
    entries = progress_file.saved_entries()
    rows = [_report(each, entries.get(each.number, Entry())) for each in exercises()]
    return {
        "schema": SCHEMA,
        "schema_version": 1,
        "course_version": metadata.version("harness"),
        "solved": sum(bool(row["solved"]) for row in rows),
        "of": len(rows),
        "exercises": rows,
        "small_exercises": [_report(each, entries.get(each.number, Entry())) for each in small_exercises()],
    }


def _report(exercise: Exercise, entry: Entry) -> dict[str, Any]:
    day = entry.date and entry.date.partition("T")[0]
    numbers = {"solved": entry.solved, "date": day, "checks": entry.checks, "hints": entry.hints}
    return {"number": exercise.number, "title": exercise.title, **numbers}


def _write_export(path: Path, text: str) -> None:
    """Write an export; replace an earlier export, but no other file."""
    from harness.notebooks.files import write

    if path.exists() and not _is_export(path):
        raise ProgressError(f"{path} exists and isn't an earlier export; choose another name.")
    if not path.parent.is_dir():
        raise ProgressError(f"{path} can't be written, because the folder {path.parent} doesn't exist.")
    try:
        write(path, text)
    except OSError as error:
        raise ProgressError(f"{path} can't be written: {error.strerror or error}.") from None


def _is_export(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA
