"""A learner's progress is kept and merged, and is never lost silently."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.course import progress_file
from harness.course.progress_file import Entry, Progress
from harness.course.state_file import BrokenFile, NewerFile, locked, merge
from harness.errors import ProgressError
from harness.state import VARIABLE, shown, state_folder
from tests.support.isolation import namespace, on_small_disk, python

MAY, JUNE = "2026-05-01T09:00:00Z", "2026-06-01T09:00:00Z"
BROKEN = {
    "nothing": "",
    "half": '{"version": 2, "exercises": {"1.1": {"sol',
    "conflict": "<<<<<<< HEAD\n{}\n",
    "list": "[]",
    "deep": "[" * 100_000,
    "no exercises": '{"version": 2}',
    "version 0": '{"version": 0, "exercises": {}}',
    "version of words": '{"version": "two", "exercises": {}}',
    "no version": '{"exercises": {}}',
    "no entry": '{"version": 2, "exercises": {"1.1": 1}}',
    "other fields": '{"version": 2, "exercises": {"1.1": {"passed": true}}}',
    "less than none": '{"version": 2, "exercises": {"1.1": {"checks": -1}}}',
    "true checks": '{"version": 2, "exercises": {"1.1": {"checks": true}}}',
    "solved 1": '{"version": 2, "exercises": {"1.1": {"solved": 1}}}',
    "date 1": '{"version": 2, "exercises": {"1.1": {"solved": true, "date": 1}}}',
    "shown 1": '{"version": 3, "exercises": {"1.1": {"solved": true, "shown": 1}}}',
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a learner who begins; it is not there yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    return tmp_path / "state"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.json").write_text(text, encoding="utf-8")
    return folder / "progress.json"


def saved(folder: Path) -> dict[str, Entry]:
    return Progress.parse((folder / "progress.json").read_text(encoding="utf-8"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def next_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "_session", Progress())


def test_what_two_sessions_did_adds_up_and_the_first_date_counts():
    one = {"1.1": Entry(True, JUNE, checks=2, hints=1), "1.2": Entry(checks=1)}
    other = {"1.1": Entry(True, MAY, checks=3), "1.3": Entry(hints=2)}
    assert merge(one, other) == {
        "1.1": Entry(True, MAY, checks=5, hints=1),
        "1.2": Entry(checks=1),
        "1.3": Entry(hints=2),
    }


def test_a_shown_solution_stays_recorded_when_entries_are_added():
    shown, unknown, hidden = (Entry(shown=each) for each in (True, None, False))
    for other in (unknown, hidden):
        assert shown + other == other + shown == shown
    assert unknown + hidden == hidden + unknown == unknown


def test_version_2_did_not_record_that_a_solution_was_shown(folder):
    write(folder, '{"version": 2, "exercises": {"1.1": {"solved": true, "date": null, "checks": 1, "hints": 0}}}')
    assert progress_file.saved_entries() == {"1.1": Entry(True, None, 1, shown=None)}
    progress_file.mark_shown("1.2")
    assert saved(folder) == {"1.1": Entry(True, None, 1, shown=None), "1.2": Entry(shown=True)}
    assert '"version": 3' in (folder / "progress.json").read_text(encoding="utf-8")
    assert not list(folder.glob("*broken*"))


def test_a_shown_solution_is_recorded_again_after_the_file_was_deleted(folder):
    progress_file.mark_shown("1.1")
    (folder / "progress.json").unlink()
    progress_file.mark_solved("1.1")
    assert saved(folder)["1.1"].shown is True


def test_what_is_written_is_read_again():
    entries = {"1.1": Entry(True, MAY, 2, 1), "1.2": Entry(), "1.3": Entry(True)}
    assert Progress.parse(Progress.dump(entries)) == entries


def test_what_was_solved_first_when_and_after_how_much_outlives_the_session(monkeypatch, folder):
    monkeypatch.setattr(progress_file, "now", lambda: MAY)
    progress_file.next_hint("1.1", 3)
    progress_file.count_check("1.1")
    progress_file.mark_solved("1.1")
    next_session(monkeypatch)
    monkeypatch.setattr(progress_file, "now", lambda: JUNE)
    progress_file.mark_solved("1.1")
    assert saved(folder) == {"1.1": Entry(True, MAY, checks=3, hints=1)} == progress_file.saved_entries()
    assert progress_file.solved() == {"1.1"}


def test_hints_begin_at_the_first_in_each_session(monkeypatch):
    assert [progress_file.next_hint("1.1", 3) for _ in range(4)] == [0, 1, 2, 2]
    next_session(monkeypatch)
    assert progress_file.next_hint("1.1", 3) == 0


def test_hints_of_a_session_that_goes_on_begin_after_those_of_the_one_before(monkeypatch):
    seen = []
    for _ in range(5):
        next_session(monkeypatch)
        seen.append(progress_file.next_hint("1.1", 3, go_on=True))
    assert seen == [0, 1, 2, 0, 1]


def test_asking_alone_writes_nothing(folder):
    assert progress_file.solved() == frozenset()
    assert not folder.exists()


def test_a_healthy_session_has_nothing_to_tell(capsys, folder):
    progress_file.mark_solved("1.1")
    assert progress_file.solved() == {"1.1"}
    assert capsys.readouterr() == ("", "")
    assert names(folder) == ["progress.json", "progress.lock"]


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_put_aside_under_a_name_that_is_told(folder, capsys, text):
    write(folder, text)
    progress_file.mark_solved("1.1")
    assert (folder / "progress.broken-1.json").read_text(encoding="utf-8") == text
    assert set(saved(folder)) == {"1.1"}
    told = " ".join(capsys.readouterr().err.split())
    assert f"It was renamed to {shown(folder / 'progress.broken-1.json')}" in told


def test_a_file_that_is_no_text_is_put_aside_too(folder, capsys):
    write(folder, "").write_bytes(b"\xff\xfe\x00")
    assert progress_file.solved() == frozenset()
    assert (folder / "progress.broken-1.json").read_bytes() == b"\xff\xfe\x00"


def test_a_second_broken_file_does_not_overwrite_the_first(monkeypatch, folder):
    for text in ("one", "two"):
        write(folder, text)
        progress_file.solved()
        next_session(monkeypatch)
    assert names(folder) == ["progress.broken-1.json", "progress.broken-2.json", "progress.lock"]
    assert (folder / "progress.broken-1.json").read_text(encoding="utf-8") == "one"


def test_a_session_puts_what_it_solved_into_the_file_that_follows_a_broken_one(folder):
    progress_file.mark_solved("1.1")
    write(folder, "{")
    progress_file.mark_solved("1.2")
    assert set(saved(folder)) == {"1.1", "1.2"}


def test_a_file_of_a_newer_course_stays_as_it_is_and_the_session_goes_on(folder, capsys):
    newer = '{"version": 4, "exercises": {"1.1": {"stars": 5}}}'
    path = write(folder, newer)
    progress_file.mark_solved("1.2")
    progress_file.count_check("1.3")
    assert progress_file.solved() == {"1.2"}
    assert path.read_text(encoding="utf-8") == newer
    told = " ".join(capsys.readouterr().err.split())
    problem = "was written by a newer version of the course (version 4; this one reads 3) and stays unchanged."
    assert told.count(problem) == 1
    with pytest.raises(ProgressError, match="newer version of the course"):
        progress_file.saved_entries()


def test_only_a_later_version_counts_as_newer():
    with pytest.raises(NewerFile):
        Progress.parse('{"version": 99}')
    with pytest.raises(BrokenFile):
        Progress.parse('{"version": -1}')


def test_where_nothing_can_be_written_the_session_goes_on_and_says_so_once(folder, capsys):
    folder.write_text("a file stands where the folder should be", encoding="utf-8")
    progress_file.mark_solved("1.1")
    progress_file.mark_solved("1.2")
    assert progress_file.solved() == {"1.1", "1.2"}
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("cannot be") == 1
    assert f"set {VARIABLE} to another folder" in told
    folder.unlink()
    progress_file.count_check("1.3")
    assert set(saved(folder)) == {"1.1", "1.2", "1.3"}


def test_a_folder_whose_name_is_too_long_stops_no_check(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / (300 * "x")))
    progress_file.mark_solved("1.1")
    assert progress_file.solved() == {"1.1"}
    assert "File name too long" in " ".join(capsys.readouterr().err.split())


def test_a_home_that_is_not_there_is_told_and_not_made(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    progress_file.mark_solved("1.1")
    assert progress_file.solved() == {"1.1"}
    assert "doesn't exist. Set HOME to a folder that exists, or set" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "gone").exists()


def test_without_home_the_place_is_that_of_the_users_account(monkeypatch):
    pwd = pytest.importorskip("pwd", reason="Windows has no such accounts")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert state_folder().is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_user_without_home_and_account_is_told(monkeypatch, tmp_path, capsys):
    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    progress_file.mark_solved("1.1")
    assert progress_file.solved() == {"1.1"}
    assert "Set HOME" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_a_path_is_shown_without_the_users_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    assert shown(tmp_path / "ann" / "course") == str(Path("~") / "course")
    assert shown(tmp_path / "course") == str(tmp_path / "course")
    monkeypatch.setenv("HOME", "/")
    assert shown(tmp_path) == str(tmp_path)


def test_a_lock_that_another_keeps_is_given_up_after_a_while(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(TimeoutError, match="could not be acquired"),
        locked(tmp_path / "lock", 0),
    ):
        pass
    with locked(tmp_path / "lock", 0):
        pass


def refuse_locks(code: int = errno.ENOLCK):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_session_writes_a_file_of_its_own_that_later_sessions_add_up(folder, monkeypatch, code):
    progress_file.mark_solved("1.1")
    before = saved(folder)
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse_locks(code))
        progress_file.mark_solved("1.2")
        progress_file.count_check("1.2")
    assert saved(folder) == before
    next_session(monkeypatch)
    assert progress_file.solved() == {"1.1", "1.2"}
    assert progress_file.saved_entries()["1.2"].checks == 2
    progress_file.count_check("1.2")
    assert progress_file.saved_entries()["1.2"].checks == 3
    assert set(saved(folder)) == {"1.1", "1.2"}


def test_a_broken_file_of_a_session_is_renamed_and_the_others_are_read(folder, monkeypatch, capsys):
    monkeypatch.setattr("fcntl.flock", refuse_locks())
    progress_file.mark_solved("1.1")
    (folder / "progress.session-1.json").write_text("{", encoding="utf-8")
    assert progress_file.saved_entries().keys() == {"1.1"}
    assert (folder / "progress.broken-1.json").read_text(encoding="utf-8") == "{"
    assert "It was renamed to" in " ".join(capsys.readouterr().err.split())


def run(command: list[str], *, expected: int = 0, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == expected, done.stderr
    return done


NO_LOCKS = """
import errno, fcntl
def refuse(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = refuse
"""
TOGETHER = """
import sys
from harness.course import progress_file
first = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + 15):
    progress_file.mark_solved(f"9.{number}")
    progress_file.count_check("1.1")
"""


@pytest.mark.parametrize("locks", ["", NO_LOCKS], ids=["locks", "no locks"])
def test_eight_sessions_that_write_at_once_lose_nothing(locks):
    processes = [
        subprocess.Popen([*python(locks + TOGETHER), str(15 * first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for first in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:  # all are ready: let them go
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    entries = progress_file.saved_entries()
    assert {number for number, entry in entries.items() if entry.solved} == {f"9.{each}" for each in range(120)}
    assert entries["1.1"].checks == 120


KILLED_FIFTY_TIMES = """
import os, signal
from itertools import count
from harness.course import progress_file
reading, writing = os.pipe()
def start_session():
    process = os.fork()
    if process == 0:
        for number in count():
            name = f"{os.getpid()}.{number}"
            progress_file.mark_solved(name)
            os.write(writing, f"{name}\\n".encode())
    return process
def kill(process):
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
progress_file.mark_solved("1.1")  # loads all modules before the first fork
sessions = [start_session() for _ in range(8)]
lines = os.fdopen(reading)
written = set()
for _ in range(50):
    written |= {lines.readline().strip() for _ in range(2)}
    kill(sessions.pop(0))
    sessions.append(start_session())
for session in sessions:
    kill(session)
os.close(writing)
written |= {line.strip() for line in lines}
assert len(written) >= 100
assert written <= progress_file.solved(), written - progress_file.solved()
"""


@pytest.mark.parametrize("locks", ["", NO_LOCKS], ids=["locks", "no locks"])
def test_eight_sessions_of_which_fifty_are_killed_lose_nothing(folder, locks):
    assert run(python(locks + KILLED_FIFTY_TIMES)).stderr == ""
    assert not list(folder.glob("progress.broken-*"))


KILLED_WHILE_WRITING = """
import os, signal
from harness.course import progress_file
os.replace = lambda draft, path: os.kill(os.getpid(), signal.SIGKILL)
progress_file.mark_solved("1.2")
"""


def test_a_session_killed_between_draft_and_file_leaves_the_file_whole(folder):
    progress_file.mark_solved("1.1")
    run(python(KILLED_WHILE_WRITING), expected=-signal.SIGKILL)
    assert names(folder) == [".progress.json.draft", "progress.json", "progress.lock"]
    assert set(saved(folder)) == {"1.1"}
    progress_file.mark_solved("1.3")
    assert set(saved(folder)) == {"1.1", "1.3"}
    assert names(folder) == ["progress.json", "progress.lock"]


FILL = """
import os
def fill(folder):
    with open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
def empty(folder):
    os.remove(os.path.join(folder, "filler"))
"""
LIMIT = """
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def fill(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
def empty(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""
FULL = """
import os, sys
from harness.course import progress_file
folder = sys.argv[1]
path = os.path.join(folder, "progress.json")
progress_file.mark_solved("1.1")
before = open(path).read()
fill(folder)
for number in ("1.2", "1.3"):
    progress_file.mark_solved(number)
assert open(path).read() == before, "the old file is not whole"
assert progress_file.solved() == {"1.1", "1.2", "1.3"}, progress_file.solved()
assert not [name for name in os.listdir(folder) if "draft" in name], os.listdir(folder)
empty(folder)
progress_file.count_check("1.3")
print(open(path).read())
"""
DISKS = {"limit": LIMIT} | ({"tmpfs": FILL} if namespace("mount") else {})


@pytest.mark.parametrize("disk", DISKS)
def test_on_a_full_disk_the_old_file_stays_whole_and_what_is_new_waits(folder, disk):
    folder.mkdir()
    command = [*python(DISKS[disk] + FULL), str(folder)]
    done = run(on_small_disk(folder, *command) if disk == "tmpfs" else command)
    entries = Progress.parse(done.stdout)
    assert {number: entry.solved for number, entry in entries.items()} == dict.fromkeys(("1.1", "1.2", "1.3"), True)
    assert entries["1.3"].checks == 2
    told = " ".join(done.stderr.split())
    assert told.count("Progress cannot be saved in") == 1, told
    assert ("No space left on device" if disk == "tmpfs" else "File too large") in told
