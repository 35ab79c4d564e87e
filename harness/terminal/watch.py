"""`watch`: saves, verdicts and keys become events, one after the other, and each shows at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.live import Live

from harness.checks.answers import Answer
from harness.checks.examiner import Examiner, attempt
from harness.checks.exercise import Exercise
from harness.checks.verdict import Verdict
from harness.checks.workspace import FOLDER
from harness.terminal.keys import can_read_keys, keys, signals
from harness.terminal.lines import console
from harness.terminal.page import Page
from harness.terminal.saves import saves
from harness.terminal.session import Event, Failed, Following, Judged, Key, Resized, Saved, Session
from harness.terminal.words import Program, in_terminal

Show = Callable[[Session], None]
Job = tuple[Exercise, Answer]


def watch(course: Path, program: Program) -> None:
    """Follow a course until q or Ctrl-C.

    Args:
        course: its folder.
        program: how the learner can call the commands.
    """
    session, out = Session(course), console()
    events: SimpleQueue[Event] = SimpleQueue()
    with_keys = can_read_keys() and not out.is_dumb_terminal
    try:
        with ExitStack() as stack:
            stack.enter_context(_following(course, events))
            examine = stack.enter_context(_examining(events))
            stack.enter_context(signals(lambda: events.put(Resized())))
            show = stack.enter_context(_screen(out, program)) if with_keys else Lines(out, program)
            if with_keys:
                stack.enter_context(keys(lambda key: events.put(Key(key))))
            follow(session, events.get, examine, show)
    except KeyboardInterrupt:
        pass  # the other way to say q
    out.print(f"{session.done} of {len(session.exercises)} solved. To go on: {program.line('watch')}", soft_wrap=True)


def follow(session: Session, take: Callable[[], Event], examine: Callable[[Job], None], show: Show) -> None:
    """Let a session take one event after the other until it is over.

    Args:
        session: the session.
        take: waits for the next event and returns it.
        examine: starts a check, which leads to a `Judged` event.
        show: shows the session.
    """
    while not session.over:
        job = session.take_job()
        if job:
            examine(job)
        show(session)
        session.handle(take())


class Lines:
    """Shows a session where there is no terminal to draw on: each verdict and each remark once, as it comes."""

    def __init__(self, out: Console, program: Program) -> None:
        self._out = out
        self._program = program
        self._shown: dict[str, Verdict] = {}
        self._said: list[str] = []

    def __call__(self, session: Session) -> None:
        for number, verdict in session.verdicts.items():
            if self._shown.get(number) is not verdict:
                self._say(verdict.text)
        self._shown = dict(session.verdicts)
        said = [session.remark, *session.troubles.values()]
        for text in said:
            if text and text not in self._said:
                self._say(text)
        self._said = said

    def _say(self, text: str) -> None:
        self._out.print(in_terminal(text, self._program), soft_wrap=True)
        self._out.file.flush()  # a pipe would keep it


def _following(course: Path, events: SimpleQueue[Event]) -> AbstractContextManager[None]:
    return saves(
        course / FOLDER,
        saved=lambda names: events.put(Saved(names)),
        following=lambda: events.put(Following()),
        failed=lambda why: events.put(Failed(why)),
    )


@contextmanager
def _screen(out: Console, program: Program) -> Iterator[Show]:
    """Draw on a screen of its own, and give the one of before back."""
    said = StringIO()  # by the ledger, in a line on the standard error

    def show(session: Session) -> None:
        if said.getvalue():
            session.troubles["progress"] = said.getvalue().strip().rstrip(".")
        live.update(Page(session, program), refresh=True)

    live = Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    try:
        with redirect_stderr(said), live:
            yield show
    finally:
        sys.stderr.write(said.getvalue())


@contextmanager
def _examining(events: SimpleQueue[Event]) -> Iterator[Callable[[Job], None]]:
    """Check in a thread, so that saves and keys are heard meanwhile; on leaving, a check that still runs is ended."""
    jobs: SimpleQueue[Job | None] = SimpleQueue()
    with Examiner() as examiner:
        worker = threading.Thread(target=_examine, args=(examiner, jobs, events), daemon=True)
        worker.start()
        try:
            yield jobs.put
        finally:
            jobs.put(None)
            examiner.close()
            worker.join()


def _examine(examiner: Examiner, jobs: SimpleQueue[Job | None], events: SimpleQueue[Event]) -> None:
    while job := jobs.get():
        exercise, answer = job
        events.put(Judged(exercise, attempt(partial(examiner.judge, exercise, answer))))
