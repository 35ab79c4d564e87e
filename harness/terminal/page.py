"""The one screen of `watch`: how far you are, how the exercise stands, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from harness.checks.course import lessons
from harness.checks.layout import wrap
from harness.checks.verdict import Outcome
from harness.terminal.lines import STYLES, bar, verdict_line
from harness.terminal.session import Session
from harness.terminal.words import Program, in_terminal, refit, without_advice

_KEYS = {"n": "next", "h": "hint", "l": "list", "r": "check again", "q": "quit"}
_MARKS = {Outcome.WRONG: "x", Outcome.ERROR: "x", Outcome.NOT_ATTEMPTED: "-"}
_EDGES = 6  # lines above and below the body


class Page:
    """A session as it is now, as large as the window.

    Args:
        session: what to show.
        program: how the learner can call the commands.
    """

    def __init__(self, session: Session, program: Program) -> None:
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
        if verdict is not None and verdict.outcome is Outcome.CORRECT:
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
