"""`watch`: the effects of saves, verdicts and keys, the screen, and complete runs in a real terminal."""

import os
import shlex
import signal
import subprocess
import sys
from collections import deque
from io import StringIO
from pathlib import Path
from queue import SimpleQueue

import pexpect
import pytest
from rich.console import Console

from harness.classroom.screen import Program, Screen
from harness.classroom.watch import Job, Lines, checks, follow, watch_files
from harness.classroom.watch_session import Checked, Event, Failed, Following, Key, Resized, Saved, WatchSession
from harness.course.catalogue import Exercise, exercises, find_exercise
from harness.course.check_process import CheckProcess
from harness.course.verdict import Verdict
from harness.course.workspace import Answer
from harness.errors import HarnessError
from tests.support.desk import EXERCISES, Desk, SameProcess, remember_nothing

FIRST = frozenset({"01_first_task.ipynb"})


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    return remember_nothing(monkeypatch)


@pytest.fixture
def desk(tmp_path: Path, solved: set[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.chdir(desk.folder)
    return desk


@pytest.fixture
def session(desk: Desk) -> WatchSession:
    """A session whose first check has ended."""
    session = WatchSession(desk.folder)
    check(session)
    return session


def check(session: WatchSession) -> list[str]:
    """Make all checks that the session asks for, and return which."""
    asked = []
    while job := session.take_job():
        asked.append(job[0].number)
        session.handle(Checked(job[0], SameProcess().check(*job)))
    return asked


def press(session: WatchSession, keys: str) -> None:
    for key in keys:
        session.handle(Key(key))


def seen(session: WatchSession, width: int = 80, height: int = 30, **options: bool) -> str:
    """Return the screen."""
    out = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None, **options)
    out.print(Screen(session, Program("taskqueue-course")))
    return "\n".join(line.rstrip() for line in out.file.getvalue().splitlines())


def test_it_begins_with_the_first_exercise_that_is_not_solved(desk: Desk, solved: set[str]) -> None:
    solved.update(["1.1", "1.2", "2.1"])
    session = WatchSession(desk.folder)
    assert session.current.number == "1.3"
    assert check(session) == ["1.3"]


def test_a_save_checks_the_exercise_that_changed_and_shows_it(desk: Desk, session: WatchSession) -> None:
    desk.solve("2.1")
    session.handle(Saved(frozenset({"02_passing_data.ipynb"})))
    assert check(session) == ["2.1"]
    assert session.current.number == "2.1"
    assert "2.1 correct: " in seen(session)


def test_a_save_without_a_change_checks_nothing_and_says_so(session: WatchSession) -> None:
    session.handle(Saved(FIRST))
    assert check(session) == []
    assert "Saved. No answer has changed." in seen(session)


def test_outputs_and_notes_are_no_change(desk: Desk, session: WatchSession) -> None:
    notebook = desk.read("01")
    desk.cell(notebook, "ex1-1-check")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    desk.cell(notebook, "ex1-1")["source"] = "my notes"
    desk.save("01", notebook)
    session.handle(Saved(FIRST))
    assert check(session) == []


def test_other_notebooks_are_left_alone(session: WatchSession) -> None:
    session.handle(Saved(frozenset({"01_first_task-Copy1.ipynb", "scratch.ipynb"})))
    assert check(session) == []
    assert session.remark == ""


def test_of_several_changes_all_are_checked_and_the_current_stays(desk: Desk, session: WatchSession) -> None:
    for number in ("1.3", "1.1", "1.2"):
        desk.solve(number)
    session.handle(Saved(FIRST))
    assert check(session) == ["1.1", "1.2", "1.3"]
    assert session.current.number == "1.1"
    assert "1.2 correct\n 1.3 correct\n" in seen(session)


def test_what_is_correct_is_remembered_and_moves_the_bar(desk: Desk, session: WatchSession, solved: set[str]) -> None:
    assert f"0 of {EXERCISES} solved" in seen(session)
    desk.solve("1.1")
    session.handle(Saved(FIRST))
    check(session)
    assert solved == {"1.1"}
    assert f"1 of {EXERCISES} solved" in seen(session)
    assert "Press n to continue with 1.2 Write the worker" in seen(session)


def test_what_another_program_marked_as_solved_is_seen(session: WatchSession, solved: set[str]) -> None:
    solved.add("1.2")
    press(session, "r")
    check(session)
    assert session.done == 1


def test_n_goes_to_the_next_unsolved_and_round(desk: Desk, session: WatchSession, solved: set[str]) -> None:
    solved.update({exercise.number for exercise in exercises()} - {"1.1", "3.2", "7.3"})
    press(session, "r")
    check(session)
    shown = []
    for _ in range(3):
        press(session, "n")
        check(session)
        shown.append(session.current.number)
    assert shown == ["3.2", "7.3", "1.1"]


def test_when_all_is_solved_it_says_so_and_n_goes_on(session: WatchSession, solved: set[str]) -> None:
    solved.update(exercise.number for exercise in exercises())
    press(session, "r")
    check(session)
    assert "All exercises of the course are solved." in seen(session)
    press(session, "n")
    assert session.current.number == "1.2"


def test_h_gives_the_hints_and_a_right_answer_ends_them(desk: Desk, session: WatchSession) -> None:
    press(session, "h")
    assert "Hint 1 of 3: " in seen(session)
    press(session, "h")
    assert "Hint 2 of 3: " in seen(session)
    desk.solve("1.1")
    session.handle(Saved(FIRST))
    check(session)
    assert "Hint" not in seen(session)


def test_l_shows_the_course_and_hides_it(desk: Desk, session: WatchSession, solved: set[str]) -> None:
    solved.add("1.2")
    desk.spoil("1.3")
    session.handle(Saved(FIRST))
    check(session)
    press(session, "l")
    assert "01  Your first background task          1.1-  1.2+  1.3x  1.4" in seen(session)
    press(session, "l")
    assert "1.3 not right yet." in seen(session)


def test_r_reads_and_checks_again(desk: Desk, session: WatchSession) -> None:
    desk.solve("1.1")
    press(session, "r")
    assert check(session) == ["1.1"]
    assert "1.1 correct" in seen(session)


def test_any_other_key_does_nothing(session: WatchSession) -> None:
    before = seen(session)
    press(session, "xyz \n")
    assert (seen(session), session.over) == (before, False)


def test_while_a_check_runs_the_verdict_of_before_stays(desk: Desk, session: WatchSession) -> None:
    desk.solve("1.1")
    session.handle(Saved(FIRST))
    session.take_job()
    assert "1.1 not attempted." in seen(session)
    assert "Checking 1.1 …" in seen(session)
    assert session.take_job() is None


def test_a_save_during_a_check_is_checked_after_it(desk: Desk, session: WatchSession) -> None:
    desk.answer("1.1", "while True: pass")
    session.handle(Saved(FIRST))
    job = session.take_job()
    assert job is not None
    desk.solve("1.1")
    session.handle(Saved(FIRST))
    assert session.take_job() is None
    before = Answer({"controllers/ex1_1.py": "x = 1"})
    session.handle(Checked(job[0], SameProcess().check(job[0], before)))
    assert check(session) == ["1.1"]
    assert "1.1 correct" in seen(session)


@pytest.mark.parametrize("content", ["", "{", "<<<<<<< HEAD\n"])
def test_a_notebook_that_cannot_be_read_just_now_keeps_the_screen(
    desk: Desk, session: WatchSession, content: str
) -> None:
    whole = desk.path("01").read_bytes()
    desk.path("01").write_text(content)
    session.handle(Saved(FIRST))
    assert check(session) == []
    assert "1.1 not attempted." in seen(session)
    assert "exercises/01_first_task.ipynb, line 1: " in seen(session)
    desk.path("01").write_bytes(whole)
    session.handle(Saved(FIRST))
    assert "line 1" not in seen(session)
    assert check(session) == []


def test_a_cell_that_is_gone_is_told_with_the_way_back(desk: Desk, session: WatchSession) -> None:
    notebook = desk.read("01")
    notebook["cells"].remove(desk.cell(notebook, "ex1-1-answer"))
    desk.save("01", notebook)
    session.handle(Saved(FIRST))
    check(session)
    assert "taskqueue-course reset 1.1" in " ".join(seen(session).split())


def test_a_check_that_cannot_be_made_is_a_remark(session: WatchSession) -> None:
    session.handle(Checked(find_exercise("1.1"), HarnessError("there is no web2py")))
    assert "1.1 couldn't be checked: there is no web2py" in seen(session)


def test_whatever_a_check_raises_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: CheckProcess, exercise: Exercise, answer: Answer) -> Verdict:
        raise ValueError(exercise.number)

    monkeypatch.setattr(CheckProcess, "check", check)
    events: SimpleQueue[Event] = SimpleQueue()
    with checks(events.put) as start_check:
        for number in ("1.1", "1.2"):
            start_check((find_exercise(number), Answer({})))
        outcomes = [events.get(timeout=60) for _ in range(2)]
    assert [str(each.outcome) for each in outcomes if isinstance(each, Checked)] == [
        "the check itself failed: ValueError: 1.1",
        "the check itself failed: ValueError: 1.2",
    ]


def test_that_saves_cannot_be_followed_is_told(session: WatchSession) -> None:
    session.handle(Failed("no more watches; the key r checks again"))
    assert "no more watches; the key r checks again" in seen(session)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (40, 10), (200, 60), (20, 3)])
def test_the_screen_fits_into_the_window(desk: Desk, session: WatchSession, width: int, height: int) -> None:
    desk.spoil("2.1")
    session.handle(Saved(frozenset({"02_passing_data.ipynb"})))
    check(session)
    press(session, "h")
    lines = seen(session, width, height).splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= max(height, 9)


def test_what_does_not_fit_is_told(desk: Desk, session: WatchSession) -> None:
    desk.spoil("2.1")
    session.handle(Saved(frozenset({"02_passing_data.ipynb"})))
    check(session)
    shown = seen(session, height=14)
    assert "more lines; make the window taller" in shown
    assert "q quit" in shown


def test_the_loop_takes_events_until_q(desk: Desk, session: WatchSession) -> None:
    desk.solve("1.1")
    events: deque[Event] = deque([Resized(), Saved(FIRST), Key("q"), Key("h")])
    shown: list[str] = []
    jobs: list[Job] = []
    follow(session, events.popleft, jobs.append, lambda now: shown.append(seen(now)))
    assert list(events) == [Key("h")]
    assert [exercise.number for exercise, _ in jobs] == ["1.1"]
    assert "Checking 1.1 …" in shown[-1]


def test_without_a_terminal_each_verdict_is_printed_once(desk: Desk, session: WatchSession) -> None:
    out = Console(file=StringIO(), width=60, highlight=False)
    lines = Lines(out, Program("python -m harness"))
    lines(session)
    lines(session)
    desk.path("01").write_text("{")
    session.handle(Saved(FIRST))
    lines(session)
    lines(session)
    said = out.file.getvalue()
    assert said.count("1.1 not attempted.") == 1
    assert said.count("Stuck? python -m harness hint 1.1") == 1
    assert said.count("the file ends here") == 1


def test_a_save_as_jupyterlab_does_it_is_noticed_and_its_drafts_are_not(desk: Desk) -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    checkpoints = desk.exercises / ".ipynb_checkpoints"
    checkpoints.mkdir()
    with watch_files(desk.exercises, events.put):
        assert events.get(timeout=60) == Following()
        (checkpoints / "02_passing_data-checkpoint.ipynb").write_text("{}")
        desk.solve("1.1")
        found = events.get(timeout=60)
    assert isinstance(found, Saved)
    assert {name for name in found.names if not name.startswith(".")} == {"01_first_task.ipynb"}


def test_a_folder_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    with watch_files(tmp_path / "nowhere", events.put):
        failed = events.get(timeout=60)
    assert isinstance(failed, Failed)
    assert "can't be followed" in failed.why


def test_what_was_saved_before_saves_were_followed_is_checked(desk: Desk, session: WatchSession) -> None:
    desk.solve("1.1")
    session.handle(Following())
    assert check(session) == ["1.1"]
    assert session.remark == ""


def start(desk: Desk, **environment: str) -> tuple[list[str], dict[str, str]]:
    home = desk.folder / "home"
    home.mkdir()
    homes = {name: str(home) for name in ("HOME", "JUPYTER_DATA_DIR", "TASKQUEUE_COURSE_STATE")}
    variables = {**os.environ, **homes, "TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **environment}
    return [sys.executable, "-m", "harness", "watch"], variables


def test_in_a_terminal_a_save_a_hint_and_q_and_the_terminal_is_as_it_was(desk: Desk) -> None:
    command, environment = start(desk)
    shell = pexpect.spawn("/bin/sh", env={**environment, "PS1": "ready> "}, dimensions=(30, 90), timeout=60)
    try:
        shell.sendline("stty -a > before")
        shell.sendline(shlex.join(command))
        shell.expect_exact("1.1 not attempted.")
        desk.answer("1.1", "import os; os.write(1, b'smear' + b'ed')")
        shell.expect_exact("1.1 not right yet.")
        shell.send("\x1ah")  # Ctrl-Z, which does nothing
        shell.expect_exact("Hint 1 of 3")
        desk.answer("1.1", "sum(range(10 ** 15))")
        shell.expect_exact("Checking 1.1")
        shell.send("q")
        shell.expect_exact(f"0 of {EXERCISES} solved. To go on: ")
        shell.sendline("stty -a > after; echo fin''ished")
        shell.expect_exact("finished")
    finally:
        shell.close(force=True)
    assert (desk.folder / "after").read_text() == (desk.folder / "before").read_text()


def test_in_a_terminal_progress_that_cannot_be_written_is_told_on_the_screen_and_after_it(desk: Desk) -> None:
    [program, *arguments], environment = start(desk, TASKQUEUE_COURSE_STATE=str(desk.path("02")))
    watch = pexpect.spawn(program, arguments, env=environment, dimensions=(30, 90), timeout=60)
    watch.expect_exact("1.1 not attempted.")
    desk.solve("1.1")
    watch.expect("Progress cannot be saved")
    watch.send("q")
    watch.expect_exact("\x1b[?1049l")
    watch.expect("Progress cannot be saved")
    watch.expect(pexpect.EOF)
    watch.close()


@pytest.mark.parametrize(("end", "status"), [("\x03", 0), (signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_in_a_terminal_ctrl_c_and_an_end_from_outside_leave_its_screen(
    desk: Desk, end: str | signal.Signals, status: int
) -> None:
    [program, *arguments], environment = start(desk)
    watch = pexpect.spawn(program, arguments, env=environment, dimensions=(30, 90), timeout=60)
    watch.expect_exact("1.1 not attempted.")
    watch.send(end) if isinstance(end, str) else watch.kill(end)
    watch.expect_exact("\x1b[?1049l")
    watch.expect(pexpect.EOF)
    watch.close()
    assert watch.exitstatus == status


def test_in_a_pipe_the_verdicts_come_line_by_line_until_ctrl_c(desk: Desk) -> None:
    command, environment = start(desk)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        said = [watch.stdout.readline()]
        desk.solve("1.1")
        while not said[-1].startswith("1.1 correct"):
            said.append(watch.stdout.readline())
            assert said[-1]
        watch.send_signal(signal.SIGINT)
        rest = watch.stdout.read()
    assert said[0].startswith("1.1 not attempted.")
    assert "\x1b" not in "".join(said)
    assert watch.returncode == 0
    told, _, again = rest.splitlines()[-1].partition(" To go on: ")
    assert told == f"1 of {EXERCISES} solved."
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {again}"], env=environment, stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().startswith("1.2 not attempted.")
        watch.send_signal(signal.SIGINT)
