"""The examiner's process outlives no answer that breaks it, and breaks nothing of ours."""

from __future__ import annotations

import errno
import signal
import threading
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.checks import examiner as module
from harness.checks.answers import Answer
from harness.checks.course import body, find_exercise, solution_cells
from harness.checks.examiner import Examiner
from harness.checks.verdict import Outcome
from harness.errors import HarnessError

EXERCISE = find_exercise("1.1")
RIGHT = Answer({name: body(source) for name, source in solution_cells(EXERCISE).items()})


def saying(code: str) -> Answer:
    return Answer({"controllers/ex1_1.py": f"\ndef save():\n    {code}\n"})


def test_answers_that_break_the_process_get_a_verdict_and_the_next_is_judged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Examiner() as examiner:
        loud = examiner.judge(EXERCISE, saying("import os; os.write(1, b'smeared'); os.write(2, b'smeared')"))
        assert loud.outcome is Outcome.WRONG
        ended = examiner.judge(EXERCISE, saying("import os; os._exit(3)"))
        assert ended.outcome is Outcome.ERROR
        assert "It ended Python itself (status 3)" in ended.text
        assert examiner.judge(EXERCISE, RIGHT).outcome is Outcome.CORRECT
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_nothing_stops_is_ended_from_outside_and_leaves_no_files() -> None:
    with Examiner(limit=0.5) as examiner:
        folder = Path(examiner._folder.name)
        verdict = examiner.judge(EXERCISE, saying("sum(range(10 ** 15))"))
        assert any(folder.iterdir())
    assert verdict.outcome is Outcome.ERROR
    assert "Your code never came to an end" in verdict.text
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
            examiner.judge(EXERCISE, saying("sum(range(10 ** 15))"))

    with Examiner(limit=600) as examiner:
        waiting = threading.Thread(target=wait, daemon=True)
        examiner.judge(EXERCISE, RIGHT)
        waiting.start()
        examiner.close()
        waiting.join(60)
    assert not waiting.is_alive()


def test_a_stub_and_a_missing_cell_need_no_process() -> None:
    with Examiner() as examiner:
        verdict = examiner.judge(EXERCISE, Answer({}, missing="The cell is gone."))
        assert (verdict.outcome, verdict.headline) == (Outcome.NOT_ATTEMPTED, "1.1 not attempted: the cell is gone.")
        assert examiner._process is None


def test_what_keeps_the_process_from_starting_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEB2PY_PATH", str(tmp_path))
    with Examiner() as examiner, pytest.raises(HarnessError, match="WEB2PY_PATH"):
        examiner.judge(EXERCISE, RIGHT)


def test_no_room_for_a_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: Examiner) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(Examiner, "_started", no_room)
    with Examiner() as examiner, pytest.raises(HarnessError, match="no process can be started .*: Resource temp"):
        examiner.judge(EXERCISE, RIGHT)


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
    with Examiner() as examiner:
        examiner._process = examiner._line = process = SlowToDie()  # type: ignore[assignment]
        assert "Your code never came to an end" in examiner.judge(EXERCISE, RIGHT).text
        assert not process.alive


def test_a_check_that_fails_itself_is_no_verdict() -> None:
    failed = module.attempt(lambda: 1 // 0)
    assert isinstance(failed, HarnessError)
    assert "ZeroDivisionError" in str(failed)
