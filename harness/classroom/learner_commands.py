"""The commands for a learner: lab, copies, check, hint, solution, progress, watch, reset and answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TypeVar

import click
from rich.text import Text

from harness.classroom.jupyterlab import PORT
from harness.classroom.screen import STYLES, Program, console, in_terminal, progress_table, verdict_line
from harness.course import api, progress_file
from harness.course.cards import next_exercise
from harness.course.catalogue import Exercise, exercises, find_exercise, lesson_title
from harness.course.check_process import CheckProcess
from harness.course.delivery import (
    CopyChange,
    DeliveredCopy,
    deliver,
    first_lesson,
    last_saved,
    put_back,
    save_answers,
    start_again,
)
from harness.course.delivery import update as update_copies
from harness.course.verdict import CheckOutcome, Verdict, wrap
from harness.course.workspace import Answer, Restored, find_course, read_answers, select, whole_notebook
from harness.errors import CourseError, NotebookError
from harness.notebooks.copies import MY_COURSE
from harness.state import quoted

_PHRASES = {
    CopyChange.MADE: "made {path}",
    CopyChange.REPLACED: "{path} has been updated to the new version of the course",
    CopyChange.UPDATED: "{path} has been updated to the new version of the course, with your code{backup}",
    CopyChange.RESET: "{path} is now a fresh copy{backup}",
    CopyChange.SAVED: "saved your answers in {path}{backup}",
    CopyChange.KEPT: "{path} may contain newer answers, for example from another computer, so it wasn't changed. To "
    "replace it and keep a backup: taskqueue-course answers --force",
    CopyChange.OFFERED: "A new version of {path} exists. To take it and keep your code: "
    "taskqueue-course copies --update {name}",
    CopyChange.BROKEN: "{path} can't be read. To keep a backup of it and start again: taskqueue-course reset {name}",
}
_RELOAD = "If the notebook is open in JupyterLab, choose File, Reload Notebook from Disk"
T = TypeVar("T")


def _parameter(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return a type of click's parameters: a function whose CourseError is reported as a wrong command line."""

    def convert(value: str) -> T:
        try:
            return read(value)
        except CourseError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def _course(context: click.Context, parameter: click.Parameter, folder: Path | None) -> Path:
    try:
        return find_course(folder or Path.cwd())
    except CourseError as error:
        raise click.UsageError(str(error), context) from None


in_course: Callable[[Any], Any] = click.option(
    "--course",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    callback=_course,
    help="The folder that holds my-course/. The default is the current folder or a folder above it.",
)


def say(text: str, style: str = "") -> None:
    """Print a message with commands that work in this terminal.

    Args:
        text: the message, in lines for a notebook.
        style: the style of its first line, such as "red".
    """
    out = console()
    shown = Text(in_terminal(text, program(), out.width) if out.is_terminal else in_terminal(text, program()))
    shown.stylize(style, 0, len(shown.plain.partition("\n")[0]))
    out.print(shown, soft_wrap=True)


def program() -> Program:
    """Return the way in which the learner can call our commands from the current folder, with the same --course."""
    context = click.get_current_context()
    name, course = str(context.find_root().info_name), context.params.get("course")
    try:
        is_default = course is None or find_course(Path.cwd()).samefile(course)
    except (CourseError, OSError):
        is_default = False
    return Program(name, "" if course is None or is_default else f"--course {quoted(course.absolute())}")


@dataclass(frozen=True, slots=True)
class CheckedExercise:
    """The result of checking one exercise.

    Args:
        exercise: the exercise.
        verdict: the verdict, or None if the notebook can't be read.
        remarks: messages for the learner about the notebook.
        is_complete: whether the notebook has every cell of the exercise.
    """

    exercise: Exercise
    verdict: Verdict | None
    remarks: tuple[str, ...]
    is_complete: bool = True

    @property
    def outcome(self) -> CheckOutcome | None:
        """Return the outcome of the verdict, if there is a verdict."""
        return self.verdict.outcome if self.verdict else None

    @property
    def is_untouched(self) -> bool:
        """Return whether the learner hasn't started the exercise."""
        return self.outcome is CheckOutcome.NOT_ATTEMPTED and self.is_complete


@click.command()
@click.option("--port", default=PORT, show_default=True, help="The port on 127.0.0.1.")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the URL.")
@click.option("--source", is_flag=True, help="For authors: open notebooks/ instead of your copies.")
@click.option("--debug", is_flag=True, help="Show JupyterLab's log.")
def lab(port: int, browser: bool, source: bool, debug: bool) -> int:
    """Open the course in JupyterLab.

    It opens your own copies of the lessons and exercises, in my-course/, and makes the missing ones. A copy that
    you have changed is never replaced.
    """
    from harness.classroom.jupyterlab import serve

    course = find_course(Path.cwd()).absolute()
    if source:
        page = first_lesson(course)
    else:
        _report_copies(deliver(course))
        page = last_saved(course)
    solved = progress_file.solved()
    done = f"{sum(exercise.number in solved for exercise in exercises())} of {len(list(exercises()))} solved"
    following = next_exercise(solved)
    lines = [
        f"{done}, next: {following.number} {following.title}" if following else done,
        "To stop: press Ctrl-C, then y",
    ]
    return serve(course, page, port, browser=browser, debug=debug, lines=lines)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--update", is_flag=True, help="Take the new version of the course, with your code in it.")
def copies(names: tuple[str, ...], update: bool) -> int:
    """Make your copies of the course without JupyterLab.

    The copies are in my-course/, in the folder of the course or else in the current folder. With --update, each
    copy is updated if the course has a new version of it. NAME limits this to some copies. Code that you changed stays
    in the new version, and the previous copy is kept in my-course/backups/. The exit status is 1 if a copy can't be
    read.
    """
    if names and not update:
        raise click.UsageError("a NAME is used only with --update")
    try:
        course = find_course(Path.cwd()).absolute()
    except CourseError:
        course = Path.cwd()
    changes = deliver(course)
    if update:
        updated = update_copies(course, names, datetime.now())
        changes = [each for each in changes if each.path not in {other.path for other in updated}] + updated
    _report_copies(changes)
    if not changes:
        click.echo(f"all copies in {quoted(course / MY_COURSE)} are up to date")
    return _status(changes)


@click.command()
@click.option("--force", is_flag=True, help="Replace notebooks that may contain newer answers, too.")
def answers(force: bool) -> int:
    """Copy your answers from my-course/ into exercises/.

    Your continuous integration checks the answers there, because git ignores my-course/. A notebook in exercises/ that
    contains earlier answers of yours is first copied to exercises/backups/. If it has changed since the last time, for
    example because of a `git pull`, it isn't replaced, and the exit status is 1.
    """
    changes = save_answers(find_course(Path.cwd()).absolute(), datetime.now(), force=force)
    _report_copies(changes)
    if not changes:
        click.echo("exercises/ already contains your answers")
    return _status(changes)


def _status(changes: Sequence[DeliveredCopy]) -> int:
    return 1 if any(each.change in (CopyChange.BROKEN, CopyChange.KEPT) for each in changes) else 0


def _report_copies(changes: Sequence[DeliveredCopy]) -> None:
    """Print what happened to each copy, and what the learner can do with it. All new copies share one line."""
    for change, phrase in _PHRASES.items():
        found = [each for each in changes if each.change is change]
        if len(found) > 1 and change is CopyChange.MADE:
            click.echo(f"made {len(found)} notebooks in {quoted(found[0].path.parent)}")
            found = [each for each in found if each.trouble]
        for each in found:
            say(wrap(phrase.format(path=quoted(each.path), name=each.path.name, backup=_backup(each))))
            if each.trouble:
                reason = each.trouble.removeprefix(str(each.path)).lstrip(",: ")
                say(wrap(f"{reason}.", indent=2))


def _backup(changed: DeliveredCopy) -> str:
    return f"; backup: {quoted(changed.backup)}" if changed.backup else ""


@click.command()
@click.argument("wanted", metavar="[WHAT]", type=_parameter(select), default="all")
@in_course
def check(wanted: list[Exercise], course: Path) -> int:
    """Check saved answers: 2.1, 2.x (in your copy of the lesson), a lesson (02) or all.

    It reads the notebooks in my-course/, or else in exercises/, as JupyterLab saved them. The exit status is 0 if all
    answers are correct, otherwise 1.
    """
    with CheckProcess() as check_process:
        checked = (_checked(check_process, exercise, answer) for exercise, answer in read_answers(course, wanted))
        found = [_show(each) for each in checked] if len(wanted) == 1 else _list(checked)
    correct = sum(each.outcome is CheckOutcome.CORRECT for each in found)
    if len(wanted) > 1:
        wrong = [each for each in found if each.outcome in (CheckOutcome.WRONG, CheckOutcome.ERROR)]
        example = f" More about one of them: {program().line(f'check {wrong[0].exercise.number}')}" if wrong else ""
        click.echo(f"\n{correct} of {len(wanted)} correct.{example}")
    return 0 if correct == len(wanted) else 1


def _checked(check_process: CheckProcess, exercise: Exercise, answer: Answer | NotebookError) -> CheckedExercise:
    """Check one answer, and remember the verdict."""
    if isinstance(answer, NotebookError):
        advice = f"To keep a copy of it and start again: taskqueue-course reset {whole_notebook(exercise)}"
        return CheckedExercise(exercise, None, (f"{answer}.\n{advice}",))
    verdict = check_process.check(exercise, answer)
    api.remember(verdict)
    return CheckedExercise(exercise, verdict, answer.remarks, not answer.missing)


def _show(checked: CheckedExercise) -> CheckedExercise:
    for remark in checked.remarks:
        say(wrap(remark))
    if checked.verdict is not None:
        say(checked.verdict.text, STYLES[checked.verdict.outcome])
    if checked.outcome is CheckOutcome.NOT_ATTEMPTED:
        say(wrap("This command reads the saved notebook, so press Ctrl-S in JupyterLab first."))
    return checked


def _list(every: Iterator[CheckedExercise]) -> list[CheckedExercise]:
    """Show a line for each exercise, a lesson at a time."""
    found: list[CheckedExercise] = []
    for lesson, group in groupby(every, key=lambda checked: checked.exercise.lesson):
        of_lesson = list(group)
        is_untouched = all(checked.is_untouched for checked in of_lesson)
        click.echo(f"{lesson} {lesson_title(lesson)}{': not attempted' if is_untouched else ''}")
        if not is_untouched:
            _list_lesson(of_lesson)
        found += of_lesson
    return found


def _list_lesson(of_lesson: list[CheckedExercise]) -> None:
    out, shown = console(), set[str]()
    for checked in of_lesson:
        if checked.verdict is not None:
            line = verdict_line(checked.verdict)
            if out.is_terminal:
                line.truncate(out.width, overflow="ellipsis")
            out.print(line, soft_wrap=True)
        for remark in checked.remarks:
            if remark not in shown:  # all exercises of a broken notebook have the same remark
                say(wrap(remark))
            shown.add(remark)


@click.command()
def progress() -> None:
    """Show which part of the course is solved."""
    solved = progress_file.solved()
    following = next_exercise(solved)
    console().print(progress_table(solved))
    done = f"All exercises are solved. To make your certificate, run: {program().line('certificate')}"
    click.echo(f"\nNext: {following.number} {following.title}" if following else f"\n{done}")


@click.command()
@click.argument("exercise", metavar="EXERCISE", type=_parameter(find_exercise))
def hint(exercise: Exercise) -> None:
    """Show the next of three hints for 2.1.

    The first hint gives the idea, the second one gives the place, and the third one gives most of the code.
    """
    say(api.next_hint(exercise.number, go_on=True))


@click.command()
@click.argument("exercise", metavar="EXERCISE", type=_parameter(find_exercise))
@click.option("--give-up", is_flag=True, help="Show it even if the exercise isn't solved yet.")
def solution(exercise: Exercise, give_up: bool) -> None:
    """Show the solution of 2.1, once it is solved."""
    try:
        click.echo(api.solution_text(exercise.number, give_up), nl=False)
    except CourseError as error:
        raise CourseError(in_terminal(wrap(str(error)), program(), get_terminal_size().columns)) from None


@click.command()
@in_course
def watch(course: Path) -> None:
    """Check each exercise as you save it in JupyterLab.

    One screen shows the verdict on the exercise that you saved, your progress, and the next step. In a pipe, the
    command prints each verdict instead, until you press Ctrl-C.
    """
    from harness.classroom.watch import watch

    if (course / "notebooks").is_dir():
        _report_copies(deliver(course))  # so that it follows the notebooks that `lab` opens
    watch(course, program())


def _to_reset(what: str) -> list[Exercise] | str:
    return what if what.endswith(".ipynb") else select(what)


@click.command()
@click.argument("wanted", metavar="WHAT", type=_parameter(_to_reset))
@click.option("--yes", is_flag=True, help="Don't ask before all exercises are reset.")
@in_course
def reset(wanted: list[Exercise] | str, yes: bool, course: Path) -> int:
    """Start 2.1, 2.x, a lesson (02) or all again; with a backup.

    It puts the original stubs into the answer cells, and keeps the previous notebook in backups/, beside the notebook.
    Your notes and your answers to other exercises stay, and solved exercises still count as solved. With the name of a
    notebook in my-course/, such as 02a_lesson_passing_data.ipynb, it replaces this notebook with a fresh copy.
    """
    if isinstance(wanted, str):
        _report_copies([start_again(course, wanted, datetime.now())])
        say(wrap(f"{_RELOAD}."))
        return 0
    if len(wanted) == len(list(exercises())) and not yes and not _confirm(len(wanted)):
        click.echo("Nothing was changed.")
        return 1
    changed: list[Exercise] = []
    try:
        for restored in put_back(course, wanted, datetime.now()):
            say(_report(restored))
            changed += restored.exercises
    except NotebookError as error:
        raise NotebookError(in_terminal(str(error), program())) from None
    finally:
        _say_next_step(changed)
    return 0


def _confirm(number: int) -> bool:
    try:
        return click.confirm(f"Put the stubs back into all {number} exercises? Each notebook is copied first")
    except click.Abort:
        click.echo(f"\nNothing was changed. In a script: {program().line('reset all --yes')}")
        raise


def _report(restored: Restored) -> str:
    numbers = ", ".join(exercise.number for exercise in restored.exercises)
    if not numbers:
        return f"{restored.path}: nothing to reset, because the stubs are unchanged."
    reason = restored.trouble.removeprefix(str(restored.path)).lstrip(",: ")
    change = f"a new notebook was written ({reason})." if reason else f"{numbers} reset."
    return f"{wrap(f'{restored.path}: {change}')}\n  Backup: {restored.backup or 'none'}"


def _say_next_step(changed: Sequence[Exercise]) -> None:
    if not changed:
        return
    say(wrap(f"{_RELOAD}, then run the cell."))
    solved = [exercise.number for exercise in changed if exercise.number in progress_file.solved()]
    if solved:
        say(wrap(f"Still counted as solved: {', '.join(solved)}."))
