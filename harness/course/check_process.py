"""Check answers in a separate process, so that an answer that hangs or crashes does no harm.

The time limit inside that process (`harness.appengine.time_limit`) stops code that Python can interrupt. Anything else
ends with the process: a C call that never returns, a loop that catches every exception, `os._exit`, a lack of memory.
Output that an answer prints outside web2py is discarded, so that it doesn't overwrite the screen.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Self, TypeVar

from harness.appengine.web2py.app_files import temporary_folder
from harness.course import verdict
from harness.course.catalogue import Exercise, find_exercise, stub_cells
from harness.course.trial import check_answer, is_stub
from harness.course.verdict import Verdict
from harness.course.workspace import Answer
from harness.errors import HarnessError
from harness.lab import Lab

T = TypeVar("T")
LIMIT = 20.0  # real seconds for one check


class CheckProcess:
    """A process that checks answers one by one. If an answer ends it, a new process checks the next one.

    It is a context manager. The process ends with its scope.

    Args:
        limit: after how many real seconds a check is stopped.

    `folder` contains the temporary files of the process, because a process that is killed leaves its files behind.

    Raises:
        DiskError: the folder can't be made.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._closed = False
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._end = ExitStack()
        self.folder = self._end.enter_context(temporary_folder("check-process"))

    def check(self, exercise: Exercise, answer: Answer) -> Verdict:
        """Return the verdict on an answer; see `harness.course.trial.check_answer`.

        Raises:
            HarnessError: the check can't run, because web2py, space for its files or a process is missing.
        """
        if answer.missing or is_stub(exercise, answer.files, stub_cells(exercise)):
            return verdict.not_attempted(exercise, answer.missing)
        connection = self._ready_connection()
        try:
            connection.send((exercise.number, answer.files))
            if not connection.poll(self._limit):
                self._kill()
                self._exit_status()  # waits; otherwise the next answer could be sent to a process that is ending
                return verdict.never_ended(exercise, self._limit)
            reply = connection.recv()
        except (EOFError, OSError):
            return verdict.took_down(exercise, self._exit_status())
        if isinstance(reply, HarnessError):
            raise reply
        assert isinstance(reply, Verdict)
        return reply

    def close(self) -> None:
        """Kill the process and start no other. A `check` that another thread waits for returns or raises."""
        self._closed = True
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _ready_connection(self) -> Connection:
        """Return the connection to a process that has loaded web2py. That takes a second, which isn't limited."""
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        try:
            self._process, self._connection = self._started()
        except OSError as error:
            raise HarnessError(f"no process can be started to check answers: {error.strerror or error}") from None
        if self._closed:
            self._kill()
        try:
            failure = self._connection.recv()
        except (EOFError, OSError):
            status = self._exit_status()
            raise HarnessError(f"the process that checks answers did not start (status {status})") from None
        if failure is not None:
            raise failure
        return self._connection

    def _started(self) -> tuple[BaseProcess, Connection]:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, str(self.folder), self._limit), name="check_process", daemon=True
        )
        process.start()
        theirs.close()  # otherwise `ours` would stay open after the process ends
        return process, ours

    def _exit_status(self) -> int | None:
        """Wait for the end of the process."""
        assert self._process is not None
        self._process.join()
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._process is not None:
            self._process.join()
        self._end.close()


def _work(connection: Connection, folder: str, limit: float) -> None:
    """Check the answers that arrive, until the connection is closed. Temporary files go into the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C
    tempfile.tempdir = folder
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    failure = attempt(lambda: Lab().close())
    connection.send(failure)
    while failure is None:
        try:
            number, files = connection.recv()
        except (EOFError, OSError):
            return
        with at_most(3 * limit):
            result = attempt(partial(_check, number, files))
        connection.send(result)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End this process by SIGVTALRM after this many seconds of processor time in this scope, without its children.

    The operating system does it, because a C call may never return to Python. No other process is needed, so the limit
    also holds after the parent process was killed. Windows has no such limit.
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
    """Return the result of an action, or a HarnessError if it raised any exception."""
    try:
        return action()
    except HarnessError as error:
        return error
    except Exception as error:
        return HarnessError(f"the check itself failed: {type(error).__name__}: {error}")
