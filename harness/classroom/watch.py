"""`watch`: saves, verdicts and keys become events, one after the other, and each shows at once."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from rich.console import Console
from rich.live import Live

from harness.classroom.screen import Program, Screen, console, in_terminal
from harness.classroom.watch_session import Checked, Event, Failed, Following, Key, Resized, Saved, WatchSession
from harness.course.answers import Answer
from harness.course.check_process import CheckProcess, attempt
from harness.course.exercise import Exercise
from harness.course.verdict import Verdict
from harness.course.workspace import FOLDER

# Tells when a notebook was saved.

_DEBOUNCE = 400  # ms at most; JupyterLab writes beside the notebook and then renames, all within a few
_STEP = 50  # ms of quiet that end a save
_PATIENCE = 500  # ms without a save after which it tells that there was none


@contextmanager
def watch_files(
    folder: Path,
    saved: Callable[[frozenset[str]], None],
    following: Callable[[], None],
    failed: Callable[[str], None],
) -> Iterator[None]:
    """Call `saved` with the names of the notebooks in a folder that were written, in this scope, from a thread.

    Args:
        folder: where they are; folders in it (.ipynb_checkpoints, backups) do not count.
        saved: takes names of files.
        following: called once, within a second or two, when no save is missed from now on.
        failed: takes the reason why saves cannot be followed; called once, at most.
    """
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(folder, saved, following, failed, stop), daemon=True)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


def _follow(
    folder: Path,
    saved: Callable[[frozenset[str]], None],
    following: Callable[[], None],
    failed: Callable[[str], None],
    stop: threading.Event,
) -> None:
    from watchfiles import watch

    begun = False
    try:
        for changes in watch(
            folder,
            debounce=_DEBOUNCE,
            step=_STEP,
            rust_timeout=_PATIENCE,
            yield_on_timeout=True,
            recursive=False,
            stop_event=stop,
        ):
            if not begun:  # it yields nothing when it begins, but something, maybe nothing new, soon after
                begun = True
                following()
            names = frozenset(Path(path).name for _, path in changes if path.endswith(".ipynb"))
            if names:
                saved(names)
    except (OSError, RuntimeError) as error:
        failed(f"What is saved in {folder} cannot be followed ({error}); the key r checks again")


# Keys as they are pressed, and a terminal that is left as it was, however that comes about.

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]


def can_read_keys() -> bool:
    """Tell whether there is a terminal on both sides, and keys of it can be read one by one."""
    return termios is not None and sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def keys(press: Callable[[str], None]) -> Iterator[None]:
    """Call `press` with each key in this scope, from a thread; nothing shows what is typed.

    Args:
        press: takes a lower-case character; "q" when the terminal is gone. Arrows and the like do not come.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    awake, wake = os.pipe()
    reader = threading.Thread(target=_read, args=(descriptor, awake, press), daemon=True)
    try:
        tty.setcbreak(descriptor)
        _without_suspension(descriptor)
        reader.start()
        yield
    finally:
        os.close(wake)
        if reader.ident is not None:
            reader.join()
        os.close(awake)
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _without_suspension(descriptor: int) -> None:
    """Let Ctrl-Z do nothing: it would leave the shell on our screen."""
    settings = termios.tcgetattr(descriptor)
    settings[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def _read(descriptor: int, awake: int, press: Callable[[str], None]) -> None:
    """Read keys until the other end of `awake` is closed."""
    while True:
        ready = select.select([descriptor, awake], [], [])[0]
        if awake in ready:
            return
        try:
            typed = os.read(descriptor, 64).decode("utf-8", "ignore")
        except OSError:
            typed = ""
        if not typed:
            press("q")
            return
        for key in "" if typed.startswith("\x1b") else typed.lower():
            press(key)


@contextmanager
def signals(resized: Callable[[], None]) -> Iterator[None]:
    """Call `resized` when the window changes, and leave by an exception, which tidies up, when we are to end."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGWINCH") if hasattr(signal, name)]

    def handle(number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGWINCH", None):
            resized()
        else:
            raise SystemExit(128 + number)

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Show = Callable[[WatchSession], None]
Job = tuple[Exercise, Answer]


def watch(course: Path, program: Program) -> None:
    """Follow a course until q or Ctrl-C.

    Args:
        course: its folder.
        program: how the learner can call the commands.
    """
    session, out = WatchSession(course), console()
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


def follow(session: WatchSession, take: Callable[[], Event], examine: Callable[[Job], None], show: Show) -> None:
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

    def __call__(self, session: WatchSession) -> None:
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
    return watch_files(
        course / FOLDER,
        saved=lambda names: events.put(Saved(names)),
        following=lambda: events.put(Following()),
        failed=lambda why: events.put(Failed(why)),
    )


@contextmanager
def _screen(out: Console, program: Program) -> Iterator[Show]:
    """Draw on a screen of its own, and give the one of before back."""
    said = StringIO()  # by the ledger, in a line on the standard error

    def show(session: WatchSession) -> None:
        if said.getvalue():
            session.troubles["progress"] = said.getvalue().strip().rstrip(".")
        live.update(Screen(session, program), refresh=True)

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
    with CheckProcess() as check_process:
        worker = threading.Thread(target=_examine, args=(check_process, jobs, events), daemon=True)
        worker.start()
        try:
            yield jobs.put
        finally:
            jobs.put(None)
            check_process.close()
            worker.join()


def _examine(check_process: CheckProcess, jobs: SimpleQueue[Job | None], events: SimpleQueue[Event]) -> None:
    while job := jobs.get():
        exercise, answer = job
        events.put(Checked(exercise, attempt(partial(check_process.check, exercise, answer))))
