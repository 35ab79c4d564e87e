"""The one screen of `watch`: how far you are, how the exercise stands, and what to do next."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from harness.classroom.watch_session import WatchSession
from harness.course.catalogue import exercises, lessons
from harness.course.verdict import COMMAND, GLUE, WIDTH, CheckOutcome, Verdict, wrap

# What is said in a notebook, said in a terminal: its calls as commands, its lines as wide as the window.

_OF_A_COURSE = ("check", "reset", "watch", "doctor")  # these commands take --course
_CALLS = (
    (r'solution\("([\d.]+)", give_up=True\)', r"taskqueue-course solution \1 --give-up"),
    (r'(check|hint|solution)\("([\d.]+)"\)', r"taskqueue-course \1 \2"),
)
_FACT = re.compile(r"  \S.*?  +(?=\S)")  # "  Diagnosis      " and the like


@dataclass(frozen=True, slots=True)
class Program:
    """How the learner can call our commands.

    Args:
        name: "taskqueue-course", ".venv/bin/taskqueue-course" or "python -m harness".
        course: "--course FOLDER" where the current folder is not in the course, else "".
    """

    name: str
    course: str = ""

    def line(self, arguments: str) -> str:
        """Return a command line that works in the current folder.

        Args:
            arguments: "reset 1.1".
        """
        option = self.course if arguments.split()[0] in _OF_A_COURSE else ""
        return " ".join(filter(None, (self.name, arguments, option)))


def in_terminal(text: str, program: Program, width: int = WIDTH) -> str:
    """Turn the calls and commands in a message into command lines that work, and break it for a narrow window.

    Args:
        text: the message: 'Stuck? hint("1.1")', "To get it back: taskqueue-course reset 1.1".
        program: how the learner can call the commands.
        width: columns.
    """
    for pattern, command in _CALLS:
        text = re.sub(pattern, command, text)
    return refit(_with_lines(text, program), width).replace(GLUE, " ")


def with_commands(text: str, program: Program) -> str:
    """Turn only the commands in a message into command lines that work; calls such as check("1.1") stay."""
    return _with_lines(text, program).replace(GLUE, " ")


def _with_lines(text: str, program: Program) -> str:
    return COMMAND.sub(lambda found: program.line(found[1]).replace(" ", GLUE) if found[1] else found[0], text)


def without_advice(text: str) -> str:
    """Leave the last line out, 'Stuck? …', where a key does the same."""
    return text.rpartition("\nStuck? ")[0] or text


def refit(text: str, width: int) -> str:
    """Break a verdict anew for a window that is narrower than a notebook.

    Args:
        text: broken into lines for a notebook.
        width: columns.
    """
    if width >= WIDTH:
        return text
    return "\n".join(_filled(paragraph, indent, width) for paragraph, indent in _paragraphs(text))


def _paragraphs(text: str) -> list[tuple[str, int]]:
    """Put lines that were one back together; with each comes the indentation of its second line."""
    found: list[tuple[str, int]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        continues = found and indent == found[-1][1] != 2 and not line.startswith("Stuck? ")
        if continues:
            found[-1] = (f"{found[-1][0]} {line.strip()}", indent)
        else:
            fact = _FACT.match(line)
            found.append((line, fact.end() if fact else indent))
    return found


def _filled(line: str, indent: int, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(
        line,
        max(width, indent + 20),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


# Verdicts as single lines, and the course as a table with a bar for each lesson.

STYLES = {
    CheckOutcome.CORRECT: "green",
    CheckOutcome.WRONG: "red",
    CheckOutcome.ERROR: "red",
    CheckOutcome.NOT_ATTEMPTED: "yellow",
}
_STANDS = len("1.1 error in your code  ")
_BAR = 24  # columns


def console() -> Console:
    """Return a console for the standard output that leaves text as it is."""
    return Console(highlight=False, markup=False, emoji=False)


def verdict_line(verdict: Verdict) -> Text:
    """Say in one line how an exercise stands, and why where it is not correct."""
    stands, _, why = verdict.headline.partition(": ")
    return Text.assemble((f"{stands:<{_STANDS}}", STYLES[verdict.outcome]), why)


def progress_table(solved: Collection[str]) -> Table:
    """Return the course as a table: a row per lesson, with what is done and a bar."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for lesson in lessons():
        if lesson.exercises:
            _add_row(table, lesson.number, lesson.title, [each.number for each in lesson.exercises], solved)
    table.add_row()
    _add_row(table, "all", "", [each.number for each in exercises()], solved)
    return table


def _add_row(table: Table, number: str, title: str, wanted: list[str], solved: Collection[str]) -> None:
    done = sum(exercise in solved for exercise in wanted)
    table.add_row(number, title, bar(done, len(wanted)), f"{done} of {len(wanted)}")


def bar(done: int, every: int) -> ProgressBar:
    """Return a bar that is full when all is done."""
    return ProgressBar(every, done, width=_BAR, style="bright_black", complete_style="green", finished_style="green")


_KEYS = {"n": "next", "h": "hint", "l": "list", "r": "check again", "q": "quit"}
_MARKS = {CheckOutcome.WRONG: "x", CheckOutcome.ERROR: "x", CheckOutcome.NOT_ATTEMPTED: "-"}
_EDGES = 6  # lines above and below the body


class Screen:
    """A session as it is now, as large as the window.

    Args:
        session: what to show.
        program: how the learner can call the commands.
    """

    def __init__(self, session: WatchSession, program: Program) -> None:
        self._session = session
        self._program = program

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width, height = options.max_width - 2, max(options.size.height - _EDGES, 1)
        parts = self._listing() if self._session.listing else self._exercise(width)
        body = console.render_lines(Group(*parts), options.update(width=width, height=None), pad=False)
        if len(body) > height:
            hidden = len(body) - height + 1
            body = [*body[: height - 1], [Segment(f"… {hidden} more lines: make the window higher"[:width])]]
        lines = Segments(segment for line in body for segment in [*line, Segment.line()])
        rest = (Text(), self._what_next(), Text(), self._keys())
        yield Padding(Group(self._head(width), Text(), lines, *rest), (0, 1))

    def _head(self, width: int) -> Table:
        done, every = self._session.done, len(self._session.exercises)
        head = Table.grid(padding=(0, 2))
        for _ in range(3):
            head.add_column(no_wrap=True)
        title = "Background tasks in web2py" if width > 70 else ""
        head.add_row(f"{done} of {every} solved", bar(done, every), Text(title, "dim"))
        return head

    def _keys(self) -> Text:
        keys = [Text.assemble((key, "bold reverse"), f" {what}") for key, what in _KEYS.items()]
        line = Text("   ").join(keys)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line

    def _exercise(self, width: int) -> Iterator[RenderableType]:
        session = self._session
        exercise = session.current
        yield Text.assemble((f"{exercise.number} {exercise.title}", "bold"), (f"   {session.path}", "dim"))
        yield Text()
        yield from self._notices(width)
        yield from self._verdict(width)
        if session.hint:
            yield Text(f"\n{refit(session.hint, width)}", "cyan")
        if session.also:
            yield Text()
            yield from (self._line(number) for number in session.also)

    def _verdict(self, width: int) -> Iterator[Text]:
        verdict = self._session.verdicts.get(self._session.current.number)
        if verdict is None:
            return
        text = Text(in_terminal(without_advice(verdict.text), self._program, width))
        text.stylize(STYLES[verdict.outcome], 0, len(text.plain.partition("\n")[0]))
        if self._session.is_checking:
            text.stylize("dim")
        yield text

    def _line(self, number: str) -> Text:
        verdict = self._session.verdicts.get(number)
        line = Text(f"{number}  checking …") if verdict is None else verdict_line(verdict)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line

    def _notices(self, width: int) -> Iterator[Text]:
        session = self._session
        troubles = [f"{why}." for why in session.troubles.values()]
        remarks = session.answer.remarks if session.answer else ()
        for text in filter(None, [session.remark, *troubles, *remarks]):
            yield Text(f"{self._said(text, width)}\n", "yellow")

    def _said(self, text: str, width: int) -> str:
        return in_terminal(wrap(text), self._program, width)

    def _what_next(self) -> Text:
        line = Text(self._next_step(), no_wrap=True, overflow="ellipsis")
        line.stylize("bold" if self._session.is_checking else "")
        return line

    def _next_step(self) -> str:
        session = self._session
        if session.listing:
            return "Save an exercise in JupyterLab to come to it; n goes to the next, l back."
        verdict = session.verdicts.get(session.current.number)
        if session.is_checking:
            return f"Checking {session.current.number} …"
        if session.done == len(session.exercises):
            return "All exercises of the course are solved. Well done!"
        if verdict is not None and verdict.outcome is CheckOutcome.CORRECT:
            return f"n leads on: {session.next.number} {session.next.title}"
        return "Change the cell in JupyterLab and save it (Ctrl-S): this screen follows."

    def _listing(self) -> Iterator[RenderableType]:
        table = Table(box=None, pad_edge=False, show_header=False)
        for lesson in lessons():
            if lesson.exercises:
                marks = [self._mark(exercise.number) for exercise in lesson.exercises]
                table.add_row(lesson.number, lesson.title, Text("  ").join(marks))
        yield table
        yield Text("\n+ solved   x not right yet   - not attempted   no sign: not checked yet", "dim")

    def _mark(self, number: str) -> Text:
        verdict = self._session.verdicts.get(number)
        current = "reverse" if number == self._session.current.number else ""
        if number in self._session.solved:
            return Text(f"{number}+", f"green {current}")
        mark = " " if verdict is None else _MARKS.get(verdict.outcome, " ")
        return Text(f"{number}{mark}", f"{STYLES[verdict.outcome] if verdict else ''} {current}".strip())
