"""An answer that hangs or crashes ends only the process that checks it."""

from __future__ import annotations

import errno
import signal
import threading
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.course import check_process as module
from harness.course.catalogue import body, find_exercise, solution_cells
from harness.course.check_process import CheckProcess
from harness.course.verdict import CheckOutcome
from harness.course.workspace import Answer
from harness.errors import DiskError, HarnessError

EXERCISE = find_exercise("1.1")
RIGHT = Answer({name: body(source) for name, source in solution_cells(EXERCISE).items()})


def saying(code: str) -> Answer:
    return Answer({"controllers/ex1_1.py": f"\ndef save():\n    {code}\n"})


def test_answers_that_break_the_process_get_a_verdict_and_the_next_is_judged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with CheckProcess() as check_process:
        loud = check_process.check(EXERCISE, saying("import os; os.write(1, b'smeared'); os.write(2, b'smeared')"))
        assert loud.outcome is CheckOutcome.WRONG
        ended = check_process.check(EXERCISE, saying("import os; os._exit(3)"))
        assert ended.outcome is CheckOutcome.ERROR
        assert "It ended Python itself (status 3)" in ended.text
        assert check_process.check(EXERCISE, RIGHT).outcome is CheckOutcome.CORRECT
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_nothing_stops_is_ended_from_outside_and_leaves_no_files() -> None:
    with CheckProcess(limit=0.5) as check_process:
        folder = check_process.folder
        verdict = check_process.check(EXERCISE, saying("sum(range(10 ** 15))"))
        assert any(folder.iterdir())
    assert verdict.outcome is CheckOutcome.ERROR
    assert "Your code never ended" in verdict.text
    assert not folder.exists()


def test_a_process_that_lost_who_started_it_ends_by_itself(tmp_path: Path) -> None:
    context = get_context("spawn")
    line, other = context.Pipe()
    process = context.Process(target=module._work, args=(other, str(tmp_path), 0.5), daemon=True)
    process.start()
    assert line.recv() is None
    line.send((EXERCISE.number, saying("sum(range(10 ** 15))").files))
    process.join(60)
    assert process.exitcode == -signal.SIGVTALRM


def test_closing_ends_a_check_that_another_thread_waits_for() -> None:
    def wait() -> None:
        with suppress(HarnessError):  # it was closed before it began
            check_process.check(EXERCISE, saying("sum(range(10 ** 15))"))

    with CheckProcess(limit=600) as check_process:
        waiting = threading.Thread(target=wait, daemon=True)
        check_process.check(EXERCISE, RIGHT)
        waiting.start()
        check_process.close()
        waiting.join(60)
    assert not waiting.is_alive()


def test_a_stub_and_a_missing_cell_need_no_process() -> None:
    with CheckProcess() as check_process:
        verdict = check_process.check(EXERCISE, Answer({}, missing="The cell is gone."))
        assert (verdict.outcome, verdict.headline) == (
            CheckOutcome.NOT_ATTEMPTED,
            "1.1 not attempted: the cell is gone.",
        )
        assert check_process._process is None


def test_what_keeps_the_process_from_starting_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEB2PY_PATH", str(tmp_path))
    with CheckProcess() as check_process, pytest.raises(HarnessError, match="WEB2PY_PATH"):
        check_process.check(EXERCISE, RIGHT)


def test_no_room_for_a_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: CheckProcess) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(CheckProcess, "_started", no_room)
    with (
        CheckProcess() as check_process,
        pytest.raises(HarnessError, match="no process can be started .*: Resource temp"),
    ):
        check_process.check(EXERCISE, RIGHT)


def test_no_room_for_the_files_of_a_process_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(DiskError, match="cannot write its files in .*nowhere: No such file or directory"):
        CheckProcess()


class SlowToDie:
    """A process that lives on after `kill`, until it is waited for; as its own line it never answers."""

    alive, exitcode = True, -signal.SIGKILL

    def is_alive(self) -> bool:
        return self.alive

    def send(self, message: object) -> None:
        pass

    def poll(self, seconds: float) -> bool:
        return False

    def kill(self) -> None:
        pass

    def join(self) -> None:
        self.alive = False


def test_a_process_that_was_ended_is_gone_before_the_next_answer_comes() -> None:
    with CheckProcess() as check_process:
        check_process._process = check_process._connection = process = SlowToDie()  # type: ignore[assignment]
        assert "Your code never ended" in check_process.check(EXERCISE, RIGHT).text
        assert not process.alive


def test_a_check_that_fails_itself_is_no_verdict() -> None:
    failed = module.attempt(lambda: 1 // 0)
    assert isinstance(failed, HarnessError)
    assert "ZeroDivisionError" in str(failed)
