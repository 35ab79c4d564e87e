"""Text for a terminal: messages whose commands can be copied, verdicts in a line, and the screen of `watch`."""

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

_WITH_COURSE = ("check", "reset", "watch", "doctor")  # the commands that have the option --course
_CALLS = (
    (r'solution\("(\d+\.\w+)", give_up=True\)', r"taskqueue-course solution \1 --give-up"),
    (r'(check|hint|solution)\("(\d+\.\w+)"\)', r"taskqueue-course \1 \2"),
)
_LABEL = re.compile(r"  \S.*?  +(?=\S)")  # such as "  Diagnosis      "

STYLES = {
    CheckOutcome.CORRECT: "green",
    CheckOutcome.WRONG: "red",
    CheckOutcome.ERROR: "red",
    CheckOutcome.NOT_ATTEMPTED: "yellow",
    CheckOutcome.EDITED: "yellow",
    CheckOutcome.SOLVED_EARLIER: "green",
}
_MARKS = {CheckOutcome.WRONG: "x", CheckOutcome.ERROR: "x", CheckOutcome.NOT_ATTEMPTED: "-"}
_KEYS = {"n": "next", "h": "hint", "l": "list", "r": "check again", "q": "quit"}
_OUTCOME_WIDTH = len("1.1 error in your code  ")
_BAR_WIDTH = 24  # columns
_EDGES = 6  # lines above and below the body


@dataclass(frozen=True, slots=True)
class Program:
    """The way in which the learner can call our commands.

    Args:
        name: "taskqueue-course", ".venv/bin/taskqueue-course" or "python -m harness".
        course: "--course FOLDER" if the current folder isn't in the course, else "".
    """

    name: str
    course: str = ""

    def line(self, arguments: str) -> str:
        """Return the command line for some arguments ("reset 1.1") that works in the current folder."""
        option = self.course if arguments.split()[0] in _WITH_COURSE else ""
        return " ".join(filter(None, (self.name, arguments, option)))


def in_terminal(text: str, program: Program, width: int = WIDTH) -> str:
    """Return a message with its calls and commands as command lines that work, in lines for a narrow window.

    Args:
        text: the message, such as 'Stuck? hint("1.1")' or "To get it back: taskqueue-course reset 1.1".
        program: the way in which the learner can call the commands.
        width: the width of the window, in columns.
    """
    for pattern, command in _CALLS:
        text = re.sub(pattern, command, text)
    return refit(with_commands(text, program, GLUE), width).replace(GLUE, " ")


def with_commands(text: str, program: Program, space: str = " ") -> str:
    """Return a message with its commands as command lines that work; calls such as check("1.1") stay.

    Args:
        text: the message.
        program: the way in which the learner can call the commands.
        space: replaces the spaces in a command line.
    """
    return COMMAND.sub(lambda found: program.line(found[1]).replace(" ", space) if found[1] else found[0], text)


def refit(text: str, width: int) -> str:
    """Return a verdict in lines for a window that is narrower than a notebook.

    Args:
        text: the verdict, in lines for a notebook.
        width: the width of the window, in columns.
    """
    if width >= WIDTH:
        return text
    return "\n".join(
        textwrap.fill(
            paragraph,
            max(width, indent + 20),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        if len(paragraph) > width
        else paragraph
        for paragraph, indent in _paragraphs(text)
    )


def _paragraphs(text: str) -> list[tuple[str, int]]:
    """Return the paragraphs that were broken into lines, each with the indentation of its second line."""
    found: list[tuple[str, int]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if found and indent == found[-1][1] != 2 and not line.startswith("Stuck? "):
            found[-1] = (f"{found[-1][0]} {line.strip()}", indent)
        else:
            label = _LABEL.match(line)
            found.append((line, label.end() if label else indent))
    return found


def console() -> Console:
    """Return a console for the standard output that highlights nothing and interprets no markup."""
    return Console(highlight=False, markup=False, emoji=False)


def verdict_line(verdict: Verdict) -> Text:
    """Return a verdict in one line: the exercise, the outcome, and the reason if the answer isn't correct."""
    outcome, _, reason = verdict.headline.partition(": ")
    return Text.assemble((f"{outcome:<{_OUTCOME_WIDTH}}", STYLES[verdict.outcome]), reason)


def progress_table(solved: Collection[str]) -> Table:
    """Return a table with a bar and a count of solved exercises for each lesson and for the whole course."""
    table = Table(box=None, pad_edge=False, show_header=False)
    rows = [(lesson.number, lesson.title, lesson.exercises) for lesson in lessons() if lesson.exercises]
    for number, title, group in [*rows, ("all", "", tuple(exercises()))]:
        if number == "all":
            table.add_row()
        done = sum(exercise.number in solved for exercise in group)
        table.add_row(number, title, _bar(done, len(group)), f"{done} of {len(group)}")
    return table


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(
        total, done, width=_BAR_WIDTH, style="bright_black", complete_style="green", finished_style="green"
    )


class Screen:
    """The current state of a session, drawn in the size of the window.

    Args:
        session: the session.
        program: the way in which the learner can call the commands.
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
            body = [*body[: height - 1], [Segment(f"… {hidden} more lines; make the window taller"[:width])]]
        lines = Segments(segment for line in body for segment in [*line, Segment.line()])
        step = Text(self._next_step(), "bold" if self._session.is_checking else "", no_wrap=True, overflow="ellipsis")
        keys = Text("   ", no_wrap=True, overflow="ellipsis").join(
            Text.assemble((key, "bold reverse"), f" {effect}") for key, effect in _KEYS.items()
        )
        yield Padding(Group(self._head(width), Text(), lines, Text(), step, Text(), keys), (0, 1))

    def _head(self, width: int) -> Table:
        done, total = self._session.done, len(self._session.exercises)
        head = Table.grid(padding=(0, 2))
        for _ in range(3):
            head.add_column(no_wrap=True)
        title = "Background tasks in web2py" if width > 70 else ""
        head.add_row(f"{done} of {total} solved", _bar(done, total), Text(title, "dim"))
        return head

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
        without_hint = verdict.text.rpartition("\nStuck? ")[0] or verdict.text  # the key h shows the hint
        text = Text(in_terminal(without_hint, self._program, width))
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
        troubles = [f"{trouble}." for trouble in session.troubles.values()]
        remarks = session.answer.remarks if session.answer else ()
        for text in filter(None, [session.remark, *troubles, *remarks]):
            yield Text(f"{in_terminal(wrap(text), self._program, width)}\n", "yellow")

    def _next_step(self) -> str:
        session = self._session
        if session.listing:
            return "Save an exercise to show it here. Press n for the next one, l to go back."
        verdict = session.verdicts.get(session.current.number)
        if session.is_checking:
            return f"Checking {session.current.number} …"
        if session.done == len(session.exercises):
            return "All exercises of the course are solved. Well done!"
        if verdict is not None and verdict.outcome is CheckOutcome.CORRECT:
            return f"Press n to continue with {session.next.number} {session.next.title}"
        return "Change the cell in JupyterLab, then save it (Ctrl-S) to check it again."

    def _listing(self) -> Iterator[RenderableType]:
        table = Table(box=None, pad_edge=False, show_header=False)
        for lesson in lessons():
            if lesson.exercises:
                marks = [self._mark(exercise.number) for exercise in lesson.exercises]
                table.add_row(lesson.number, lesson.title, Text("  ").join(marks))
        yield table
        yield Text("\n+ solved   x not right yet   - not attempted   unmarked: not checked yet", "dim")

    def _mark(self, number: str) -> Text:
        verdict = self._session.verdicts.get(number)
        current = "reverse" if number == self._session.current.number else ""
        if number in self._session.solved:
            return Text(f"{number}+", f"green {current}")
        mark = " " if verdict is None else _MARKS.get(verdict.outcome, " ")
        return Text(f"{number}{mark}", f"{STYLES[verdict.outcome] if verdict else ''} {current}".strip())
