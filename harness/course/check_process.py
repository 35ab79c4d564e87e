"""Check answers in a separate process, so that an answer that hangs or crashes does no harm.

The time limit inside that process (`harness.appengine.time_limit`) ends code that Python can interrupt. Anything else
is ended from outside: a C call that never returns, a loop that catches everything, `os._exit`, running out of memory.
Whatever an answer prints outside web2py is discarded, so that it doesn't overwrite the screen.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TypeVar

from harness.course import verdict
from harness.course.answers import Answer
from harness.course.catalogue import find_exercise, stub_cells
from harness.course.checker import check_answer, is_stub
from harness.course.exercise import Exercise
from harness.course.verdict import Verdict
from harness.errors import HarnessError
from harness.lab import Lab

T = TypeVar("T")
LIMIT = 20.0  # real seconds for one check


class CheckProcess:
    """One process that judges one answer after the other; where one breaks it, the next gets a new one.

    Args:
        limit: real seconds after which a check is ended.

    A context manager; on leaving the process ends.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._closed = False
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        # Of its own, because a process that is killed leaves its temporary files behind.
        self._folder = tempfile.TemporaryDirectory(prefix="harness-check_process-", ignore_cleanup_errors=True)

    def check(self, exercise: Exercise, answer: Answer) -> Verdict:
        """Decide how an answer stands, as `harness.course.checker.judge` does.

        Raises:
            HarnessError: the check itself cannot be made (no web2py, no room for its files, no process).
        """
        if answer.missing or is_stub(exercise, answer.files, stub_cells(exercise)):
            return verdict.not_attempted(exercise, answer.missing)
        line = self._ready_line()
        try:
            line.send((exercise.number, answer.files))
            if not line.poll(self._limit):
                self._kill()
                self._ended()  # one that is still on its way out would be taken for ready by the next answer
                return verdict.never_ended(exercise, self._limit)
            reply = line.recv()
        except (EOFError, OSError):
            return verdict.took_down(exercise, self._ended())
        if isinstance(reply, HarnessError):
            raise reply
        assert isinstance(reply, Verdict)
        return reply

    def close(self) -> None:
        """End the process for good, whatever it is doing; a `judge` in another thread returns or raises."""
        self._closed = True
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _ready_line(self) -> Connection:
        """Return the line to the process, once it is ready: web2py takes a second to load, which no answer pays for."""
        if self._process is not None and self._process.is_alive() and self._line is not None:
            return self._line
        try:
            self._process, self._line = self._started()
        except OSError as error:
            raise HarnessError(f"no process can be started to check answers: {error.strerror or error}") from None
        if self._closed:
            self._kill()
        try:
            ready = self._line.recv()
        except (EOFError, OSError):
            raise HarnessError(f"the process that checks answers did not start (status {self._ended()})") from None
        if isinstance(ready, HarnessError):
            raise ready
        return self._line

    def _started(self) -> tuple[BaseProcess, Connection]:
        context = get_context("spawn")
        line, other = context.Pipe()
        process = context.Process(
            target=_work, args=(other, self._folder.name, self._limit), name="check_process", daemon=True
        )
        process.start()
        other.close()  # else the end of the process would not end the line
        return process, line

    def _ended(self) -> int | None:
        assert self._process is not None
        self._process.join()
        return self._process.exitcode

    def __enter__(self) -> CheckProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._process is not None:
            self._process.join()
        self._folder.cleanup()


def _work(line: Connection, folder: str, limit: float) -> None:
    """Judge what comes down the line, until it ends; temporary files go into the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this
    tempfile.tempdir = folder
    _be_silent()
    ready = attempt(lambda: Lab().close())
    line.send(ready)
    while ready is None:
        try:
            number, files = line.recv()
        except (EOFError, OSError):
            return
        with _at_most(3 * limit):
            outcome = attempt(partial(_check, number, files))
        line.send(outcome)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End this process after so many seconds of the processor in this scope.

    For the day when who started it was killed, and can end it no more. The system does that, not Python, which a call
    into C may never let come to its turn.
    """
    if not hasattr(signal, "ITIMER_VIRTUAL"):  # Windows
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _check(number: str, files: Mapping[str, str]) -> Verdict:
    return check_answer(find_exercise(number), files)


def attempt(action: Callable[[], T]) -> T | HarnessError:
    """Return what comes of a check: its result, or a HarnessError where it raised, whatever it was."""
    try:
        return action()
    except HarnessError as error:
        return error
    except Exception as error:
        return HarnessError(f"the check itself failed: {type(error).__name__}: {error}")


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
