"""The check of 8.1 starts programs: they end with the check, and a graded answer starts none. 8.2 can be graded."""

import psutil
import pytest

from harness.classroom.grading.__main__ import IsolatedLab, _verdict
from harness.course.catalogue import body, find_exercise, solution_cells, stub_cells
from harness.course.check_process import CheckProcess
from harness.course.checks import deployed08
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome
from harness.course.workspace import Answer

EXERCISE = find_exercise("8.1")
FILES = {name: body(cell) for name, cell in solution_cells(EXERCISE).items()}
HANGS = "import threading\n\nopen('started', 'w').close()\nthreading.Event().wait()\n"
SECONDS = 30


def programs() -> list[psutil.Process]:
    """Return the processes that this one has started, without those of multiprocessing."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_an_interrupted_check_ends_the_server(monkeypatch):
    before = programs()
    started = []

    def interrupt(*_):
        started.extend(each for each in programs() if each not in before)
        raise KeyboardInterrupt

    monkeypatch.setattr(deployed08, "_expect_page", interrupt)
    with pytest.raises(KeyboardInterrupt):
        check_answer(EXERCISE, FILES)
    assert started
    assert psutil.wait_procs(started, timeout=SECONDS)[1] == []
    assert programs() == before


def test_a_check_process_that_is_killed_ends_the_server():
    """A server that never listens is still starting when the time limit of the check ends."""
    with CheckProcess(limit=2.0) as checker:
        verdict = checker.check(EXERCISE, Answer({**FILES, "main.py": HANGS}))
        assert verdict.outcome is CheckOutcome.ERROR
        assert [*checker.folder.rglob("started")]
        left = [each for each in psutil.process_iter() if str(checker.folder) in " ".join(command(each))]
        assert psutil.wait_procs(left, timeout=SECONDS)[1] == []


def command(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), process.cwd()]
    except psutil.Error:
        return []


def test_a_graded_answer_starts_no_program(monkeypatch):
    monkeypatch.setattr(deployed08, "_start", None)
    verdict = check_answer(EXERCISE, FILES, make_lab=IsolatedLab)
    assert verdict.text.splitlines()[0].startswith("8.1 not graded automatically. Its check starts a program")
    assert "Grade this exercise by hand" in verdict.text
    assert "hint" not in verdict.text


def test_a_graded_answer_is_seen_to_write_a_row_for_a_job_of_cron():
    files = {name: body(cell) for name, cell in solution_cells(find_exercise("8.2")).items()}
    outcome, text, _ = _verdict("8.2", files, stub_cells(find_exercise("8.2")))
    assert outcome == "correct", text
