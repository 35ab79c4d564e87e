"""`watch`: threads turn saves, verdicts and keys into events, and one loop handles each event and shows the result."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import watchfiles
from prompt_toolkit.input import create_input
from prompt_toolkit.keys import Keys
from rich.console import Console
from rich.live import Live

from harness.classroom.screen import Program, Screen, console, in_terminal
from harness.classroom.watch_session import Checked, Event, Failed, Following, Key, Resized, Saved, WatchSession
from harness.course.catalogue import Exercise
from harness.course.check_process import CheckProcess, attempt
from harness.course.verdict import Verdict
from harness.course.workspace import Answer, answers_folder

_DEBOUNCE = 400  # ms at most; JupyterLab writes a file beside the notebook and renames it within a few ms
_STEP = 50  # ms without a change that end a save
_PATIENCE = 500  # ms without a save after which `watchfiles` yields an empty set

Put = Callable[[Event], None]
Show = Callable[[WatchSession], None]
Job = tuple[Exercise, Answer]


@contextmanager
def watch_files(folder: Path, put: Put) -> Iterator[None]:
    """Put events about the notebooks in a folder, in this scope, from a thread.

    Args:
        folder: the folder; its subfolders (.ipynb_checkpoints, backups) don't count.
        put: receives `Following` once, as soon as no save can be missed; `Saved` after each save; and `Failed` at most
            once, if saves can't be followed.
    """
    stop = threading.Event()

    def follow_saves() -> None:
        is_following = False
        try:
            for changes in watchfiles.watch(
                folder,
                debounce=_DEBOUNCE,
                step=_STEP,
                rust_timeout=_PATIENCE,
                yield_on_timeout=True,
                recursive=False,
                stop_event=stop,
            ):
                if not is_following:  # `watch` yields its first set, which may be empty, soon after it began to watch
                    is_following = True
                    put(Following())
                names = frozenset(Path(path).name for _, path in changes if path.endswith(".ipynb"))
                if names:
                    put(Saved(names))
        except (OSError, RuntimeError) as error:
            put(Failed(f"Saves in {folder} can't be followed ({error}). Press r after each save to check again"))

    follower = threading.Thread(target=follow_saves, daemon=True)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


@contextmanager
def keys(put: Put) -> Iterator[None]:
    """Put a `Key` for each key that is pressed, in this scope, from a thread; the terminal doesn't show the keys.

    Args:
        put: receives the events. Ctrl-C and the end of the terminal count as the key q. Ctrl-Z does nothing, because it
            would leave our screen in the shell.
    """
    source, loop, is_over = create_input(), asyncio.new_event_loop(), asyncio.Event()

    def take_keys() -> None:
        for pressed in source.read_keys():
            put(Key("q" if pressed.key is Keys.ControlC else pressed.key.lower()))
        if source.closed:
            put(Key("q"))

    async def read() -> None:
        with source.attach(take_keys):
            await is_over.wait()

    with source.raw_mode():
        reader = threading.Thread(target=loop.run_until_complete, args=[read()], daemon=True)
        reader.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(is_over.set)
            reader.join()
            loop.close()


@contextmanager
def signals(put: Put) -> Iterator[None]:
    """Put `Resized` when the window's size changes; turn SIGTERM and SIGHUP into SystemExit, so that we tidy up."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGWINCH") if hasattr(signal, name)]

    def handle(number: int, frame: FrameType | None) -> None:
        if number != getattr(signal, "SIGWINCH", None):
            raise SystemExit(128 + number)
        put(Resized())

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def checks(put: Put) -> Iterator[Callable[[Job], None]]:
    """Yield a function that starts a check in a thread; `put` receives `Checked` when the check ends.

    Leaving the scope ends a running check.
    """
    jobs: SimpleQueue[Job | None] = SimpleQueue()

    def run() -> None:
        while job := jobs.get():
            exercise, answer = job
            put(Checked(exercise, attempt(partial(check_process.check, exercise, answer))))

    with CheckProcess() as check_process:
        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        try:
            yield jobs.put
        finally:
            jobs.put(None)
            check_process.close()
            worker.join()


@contextmanager
def _screen(out: Console, program: Program) -> Iterator[Show]:
    """Yield a function that draws a session on an alternate screen; restore the previous screen at the end."""
    warnings = StringIO()  # the progress file's, which would be written to the standard error

    def show(session: WatchSession) -> None:
        if warnings.getvalue():
            session.troubles["progress"] = warnings.getvalue().strip().rstrip(".")
        live.update(Screen(session, program), refresh=True)

    live = Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    try:
        with redirect_stderr(warnings), live:
            yield show
    finally:
        sys.stderr.write(warnings.getvalue())


class Lines:
    """Print a session without a terminal: each new verdict and each new message once."""

    def __init__(self, out: Console, program: Program) -> None:
        self._out = out
        self._program = program
        self._verdicts: dict[str, Verdict] = {}
        self._messages: list[str] = []

    def __call__(self, session: WatchSession) -> None:
        for number, verdict in session.verdicts.items():
            if self._verdicts.get(number) is not verdict:
                self._print(verdict.text)
        self._verdicts = dict(session.verdicts)
        messages = [session.remark, *session.troubles.values()]
        for text in messages:
            if text and text not in self._messages:
                self._print(text)
        self._messages = messages

    def _print(self, text: str) -> None:
        self._out.print(in_terminal(text, self._program), soft_wrap=True)
        self._out.file.flush()  # because a pipe is buffered


def watch(course: Path, program: Program) -> None:
    """Follow a course until the key q or Ctrl-C is pressed.

    Args:
        course: the course's folder.
        program: how the learner can call the commands.
    """
    session, out = WatchSession(course), console()
    events: SimpleQueue[Event] = SimpleQueue()
    is_terminal = sys.stdin.isatty() and out.is_terminal and not out.is_dumb_terminal
    with_keys = is_terminal and os.name == "posix"  # because we haven't tested prompt_toolkit's keys on Windows
    try:
        with ExitStack() as stack:
            stack.enter_context(watch_files(answers_folder(course), events.put))
            check = stack.enter_context(checks(events.put))
            stack.enter_context(signals(events.put))
            show = stack.enter_context(_screen(out, program)) if with_keys else Lines(out, program)
            if with_keys:
                stack.enter_context(keys(events.put))
            follow(session, events.get, check, show)
    except KeyboardInterrupt:
        pass
    out.print(f"{session.done} of {len(session.exercises)} solved. To go on: {program.line('watch')}", soft_wrap=True)


def follow(session: WatchSession, take: Callable[[], Event], check: Callable[[Job], None], show: Show) -> None:
    """Let a session handle one event after the other until it is over.

    Args:
        session: the session.
        take: waits for the next event and returns it.
        check: starts a check, which leads to a `Checked` event.
        show: shows the session.
    """
    while not session.over:
        job = session.take_job()
        if job:
            check(job)
        show(session)
        session.handle(take())
