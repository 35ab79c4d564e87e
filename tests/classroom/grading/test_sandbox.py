"""An answer that attacks the grading gets no points.

Each attack is an answer to exercise 1.1 that would be correct, or end soon, if it worked. One process checks all.
"""

import builtins
import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace

import pytest

from harness.classroom.grading import grading_child, reply, sandbox, seccomp, submission
from harness.classroom.grading.grading_child import ChildLost, run_apart
from harness.classroom.grading.reply import dump, load
from harness.classroom.grading.sandbox import Limits, become_nobody, limit, watch
from harness.classroom.grading.submission import Grade, check_in_isolation
from harness.course import catalogue
from harness.course.catalogue import find_exercise, solution_cells, stub_cells
from harness.course.verdict import CheckOutcome
from harness.errors import GradingError
from harness.records import Response
from tests.support.desk import Desk
from tests.support.isolation import exception_name

ROOT = Path(__file__).parents[3]
SOLUTION = ROOT / "solutions" / "01_first_task.ipynb"
STRICT = """
from harness.classroom.grading import __main__, isolated_engine as engine
engine.IsolatedEngine.limits = engine.Limits(seconds=1, patience=4, file=1 << 20)
__main__.main()
"""
ADD = "taskqueue.add(url=URL('log_edit'), params=dict(old=old, new=new))"
# Ways to read the solution into `source`; then the part between its markers runs.
READS = {
    "its file": f"source = open({str(SOLUTION)!r}).read()",
    "its file by number": f"import os; source = os.read(os.open({str(SOLUTION)!r}, os.O_RDONLY), 99999).decode()",
    "by a link": "import os; os.path.exists('link') or "
    f"os.symlink({str(SOLUTION)!r}, 'link'); source = open('link').read()",
    "the answers of the tests": f"source = open({str(ROOT / 'tests' / 'answers' / '1.1.txt')!r}).read()",
    "the harness's own reader": "from harness.course import catalogue as course\n"
    "source = course.solution_cells(course.find_exercise('1.1'))['controllers/ex1_1.py']",
    "giving up": "import io, contextlib, harness; out = io.StringIO()\n"
    "with contextlib.redirect_stdout(out):\n    harness.solution('1.1', give_up=True)\nsource = out.getvalue()",
    "git": f"import subprocess; source = subprocess.run(['git', '-c', 'safe.directory=*', '-C', "
    f"{str(ROOT)!r}, 'show', 'HEAD:solutions/{SOLUTION.name}'], capture_output=True, text=True).stdout",
}
ACTS = {
    "a fork": "import os\nif os.fork() == 0: os._exit(0)\n" + ADD,
    "a program": "import subprocess; subprocess.run(['true'])\n" + ADD,
    "a program, without Python's knowledge": "import _posixsubprocess, os\n"
    "_posixsubprocess.fork_exec([b'true'], [b'/bin/true'], True, (), None, None, -1, -1, -1, -1, -1, -1, *os.pipe(), "
    "True, False, -1, None, None, None, -1, None, False)\n" + ADD,
    "a thread": "import threading; threading.Thread(target=len, args=['']).start()\n" + ADD,
    "memory": "hog = bytearray(1 << 30)\n" + ADD,
    "a large file": "open('large', 'wb').write(bytes(2 << 20))\n" + ADD,
    "many files": "for number in range(100): open(f'file{number}', 'w').close()\n" + ADD,
    "a file elsewhere": "open('../elsewhere', 'w').close()\n" + ADD,
    "a connection": "import socket; socket.create_connection(('127.0.0.1', PORT), 1)\n" + ADD,
    "an end to the judge": "import os; os.kill(os.getppid(), 9)\n" + ADD,
    "an end to itself": "import os; os._exit(0)",
    "a loop": "while True: pass",
    "a loop that swallows": "while True:\n    try:\n        while True: pass\n    finally: continue",
    "a wait that no signal ends": "import select, signal\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nselect.select([], [], [])",
    "a patched judge": "from harness.course import trial, verdict\n"
    "def passes(self, *a, **k): raise trial.Decided(verdict.correct(self.exercise))\n"
    "trial.Trial.wrong = trial.Trial.expect = passes",
    "noise to the judge": "import os\nfor number in range(3, 40):\n    try: os.write(number, bytes(64))\n"
    "    except OSError: pass\n" + ADD,
    "a forged verdict": """import os; os.write(1, b'["correct", "forged", null]\\n')""",
    "a forged call": "from harness.classroom.grading import isolated_engine as engine\n"
    "dump = engine.dump\n"
    "engine.dump = lambda reply: dump(('', '', None, [('BulkAdd', 1 << 40, 0.0)]))\n" + ADD,
    "half of a character": r"raise ValueError('\ud800')",
    "a slow cookie": r"response.cookies['b'] = '\\' * 150000",
    "a huge answer": ADD + "\nreturn 'x' * (33 << 20)",
}


def answer(body: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return an answer to 1.1 with these lines in the place of the stub."""
    exercise = find_exercise("1.1")
    stubs = stub_cells(exercise)
    (name,) = stubs
    filled = stubs[name].partition("\n")[2].replace("    ...  # YOUR CODE HERE", indent(body, "    "))
    return exercise.number, {name: filled}, stubs


def then_run(reads: str) -> str:
    """Return lines that read a source, and run the part between the markers, or the whole source."""
    run = [
        "import json, re, textwrap",
        "try: cells = [''.join(cell['source']) for cell in json.loads(source)['cells']]",
        "except ValueError: pass",
        "else: source = next(cell for cell in cells if cell.startswith('%%controller ex1_1'))",
        "lines = re.search(r'BEGIN SOLUTION\\n(.*)\\n *### END', source, re.S)",
        "line = lines[1] if lines else next(line for line in source.splitlines() if 'taskqueue.add' in line)",
        "exec(textwrap.dedent(line))",
    ]
    return "\n".join([reads, *run])


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Grade]]:
    """The grades of every attack, and of a correct answer at the end, from one process with low limits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        bodies = {name: then_run(reads) for name, reads in READS.items()}
        bodies |= {name: act.replace("PORT", port) for name, act in ACTS.items()} | {"right": ADD}
        grades = check_in_isolation([answer(body) for body in bodies.values()], ("-c", STRICT))
    yield dict(zip(bodies, grades, strict=True))


@pytest.mark.parametrize("attack", [*READS, *ACTS])
def test_an_attack_gets_no_points(verdicts, attack):
    assert verdicts[attack].outcome in (CheckOutcome.ERROR, CheckOutcome.WRONG)
    assert 0 < len(verdicts[attack].text.encode()) < 1500


def test_a_correct_answer_after_all_attacks_gets_its_points(verdicts):
    assert verdicts["right"].is_correct


@pytest.mark.parametrize("attack", ["its file", "a program", "a connection", "an end to the judge"])
def test_the_student_reads_what_was_refused(verdicts, attack):
    assert "an answer that is being graded may not" in " ".join(verdicts[attack].text.split())


LOST = {
    "an end to itself": "ended, or was ended by a limit, before it returned a result",
    "a loop that swallows": "ended, or was ended by a limit, before it returned a result",
    "a wait that no signal ends": "didn't finish, and was stopped",
    "noise to the judge": "returned something unreadable",
    "a huge answer": "returned more than 32 MB",
}


@pytest.mark.parametrize("attack", LOST)
def test_the_student_reads_why_a_process_gave_no_answer(verdicts, attack):
    assert f"the process that ran your code {LOST[attack]}" in " ".join(verdicts[attack].text.split())


def test_a_message_keeps_plain_values_and_the_text_of_others():
    response = Response(200, vars={"a": object, "b": [1, 2.5, None]})
    assert load(dump(response)).vars == {"a": "<class 'object'>", "b": [1, 2.5, None]}


def nested(depth: int, width: int = 1) -> tuple[object, ...]:
    """Return tuples inside each other; with a width of 2, the depth doubles their number."""
    value: tuple[object, ...] = ()
    for _ in range(depth):
        value = (value,) * width
    return value


UNLIKE_A_REPLY = {
    "too large": nested(10, 2),
    "too large, in a record": Response(200, vars={"a": nested(10, 2)}),
    "too deep": nested(200),
}


@pytest.mark.parametrize("value", UNLIKE_A_REPLY.values(), ids=UNLIKE_A_REPLY)
def test_a_message_that_no_child_sends_is_refused_before_anything_uses_it(monkeypatch, value):
    monkeypatch.setattr(reply, "_MOST_VALUES", 1_000)  # instead of a million, which takes seconds to read
    with pytest.raises(ValueError, match="unreadable: "):
        load(dump(["", [{"old": value}], []]))


def test_a_number_in_the_place_of_a_call_to_the_queue_is_refused(verdicts):
    text = " ".join(verdicts["a forged call"].text.split())
    assert "the process that ran your code returned something unreadable" in text


def refusal(act) -> str:
    """Return the name of the exception that an act raises in a child process, or "" without an exception."""
    return run_apart(lambda: exception_name(act), 20).decode()


def test_the_kernel_keeps_a_process_to_its_folders_without_pythons_help(tmp_path):
    def act() -> None:
        assert sandbox.restrict([sys.prefix], [str(tmp_path)]) == bool(sandbox.version())
        (tmp_path / "mine").write_text("")
        SOLUTION.read_text("utf-8")

    assert refusal(act) == ("PermissionError" if sandbox.version() else "")


def test_pythons_audit_hook_alone_keeps_an_answer_to_its_folders(tmp_path):
    def act() -> None:
        watch([sys.prefix], [str(tmp_path)], 5)
        (tmp_path / "mine").write_text("")
        SOLUTION.read_text("utf-8")

    assert refusal(act) == "PermissionError"


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path):
    def act() -> None:
        watch([str(tmp_path)], [str(tmp_path)], 5)
        open(f"{tmp_path}/../{tmp_path.name}/mine", "w").close()
        open(f"{tmp_path}/../other", "w").close()

    assert refusal(act) == "PermissionError"
    assert not (tmp_path.parent / "other").exists()


def test_the_limit_of_processes_holds_root_who_became_nobody():
    def act() -> None:
        become_nobody()
        limit(Limits())
        os.fork()

    assert refusal(act) == "BlockingIOError"


def test_the_user_nobody_reads_every_file_and_writes_none(tmp_path):
    os.chmod(tmp_path, 0o755)

    def act() -> None:
        become_nobody()
        os.listdir(os.path.dirname(os.__file__))
        (tmp_path / "file").write_text("")

    assert refusal(act) == ("PermissionError" if os.geteuid() == 0 else "")


def test_a_child_without_a_result_is_ended_with_its_children(monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    begun = time.monotonic()

    def act() -> bytes:
        writing = os.open(tmp_path / "alive", os.O_WRONLY)
        if os.fork() == 0:  # both hold it open until they are killed
            os.write(writing, b"x")
        signal.pause()
        return b""

    def is_readable(seconds: float) -> bool:
        return bool(select.select([alive], [], [], seconds)[0])

    monkeypatch.setattr(grading_child, "queued", lambda process: 0.0 if is_readable(0) else time.monotonic() - begun)
    with pytest.raises(ChildLost, match="didn't finish"):
        run_apart(act, 0.05)  # which begin when both are there
    assert os.read(alive, 1) == b"x"
    assert is_readable(60)
    assert os.read(alive, 1) == b""  # nobody is left who could write
    os.close(alive)


def test_a_checker_process_that_fails_gives_no_grade():
    with pytest.raises(GradingError, match=r"checker process failed: ValueError: broken"):
        check_in_isolation([answer("pass")], ("-c", "raise ValueError('broken')"))


KILLED = """
import os
from harness.classroom.grading.submission import check_in_isolation
stalls = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
check_in_isolation([("1.1", {}, {})], ("-c", stalls))
"""


def test_the_folder_of_a_killed_grading_goes_with_the_next_grading(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(GradingError):
        check_in_isolation([answer("pass")], ("-c", "raise ValueError('broken')"))
    assert list(tmp_path.iterdir()) == []


# Scripts with another process of the grading that writes a byte and waits; it holds the file open for writing.
ORPHANS = {
    "the checker process": """
import sys
from harness.classroom.grading.submission import check_in_isolation

judge = '''
import os, select, sys
from harness.classroom.grading import __main__

def waits(*answer):
    os.write(alive, b"x")
    select.select([], [], [], 600)

alive = os.open(sys.argv[1], os.O_WRONLY)
__main__.check_answer = waits
__main__.main()
'''
check_in_isolation([("1.1", {}, {})], ("-c", judge, sys.argv[1]))
""",
    "the process of a request": """
import os, select, sys
from harness.classroom.grading.grading_child import run_apart

def waits():
    os.write(os.open(sys.argv[1], os.O_WRONLY), b"x")
    select.select([], [], [], 600)

run_apart(waits, 600)
""",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process together with its parent")
@pytest.mark.parametrize("orphan", ORPHANS)
def test_a_process_of_the_grading_ends_with_its_parent(tmp_path, orphan):
    os.mkfifo(tmp_path / "alive")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", ORPHANS[orphan], str(tmp_path / "alive")]
    with subprocess.Popen(command, env=environment) as parent, open(tmp_path / "alive", "rb", buffering=0) as alive:
        assert alive.read(1) == b"x"
        parent.kill()
        assert select.select([alive], [], [], 20)[0], "the process didn't end"
        assert alive.read(1) == b""


BREAKS = """
import os
from harness.classroom.grading import __main__
check_answer = __main__.check_answer
__main__.OWN_SECONDS = 1.0

def check_or_break(exercise, files, *more):
    source = "".join(files.values())
    if "raises" in source:
        raise AssertionError("a check that is wrong itself")
    if "exits" in source:
        raise SystemExit("a check that exits")
    if "swells" in source:
        return repr("x" * (3 << 30))
    if "dies" in source:
        os.abort()
    if "stalls" in source:
        nested = ()
        for _ in range(64):
            nested = (nested, nested)
        hash(nested)
    return check_answer(exercise, files, *more)

__main__.check_answer = check_or_break
__main__.main()
"""


def test_a_check_that_breaks_down_gives_no_points_for_that_answer_alone():
    answers = [answer(body) for body in ("raises = 1", ADD, "swells = 1", "exits = 1", "dies = 1", "stalls = 1", ADD)]
    raises, before, swells, exits, dies, stalls, after = check_in_isolation(answers, ("-c", BREAKS))
    assert (before.is_correct, after.is_correct) == (True, True)
    assert [each.outcome for each in (raises, swells, exits, dies, stalls)] == [CheckOutcome.ERROR] * 5
    assert raises.text == "1.1 couldn't be checked: AssertionError: a check that is wrong itself"
    assert swells.text.startswith("1.1 couldn't be checked: MemoryError")
    assert exits.text == "1.1 couldn't be checked: the checker process failed: a check that exits."
    assert dies.text.startswith("1.1 couldn't be checked: the checker process failed: ")
    assert stalls.text == "1.1 couldn't be checked: the check of this answer took too long, and was stopped."


def test_the_verdicts_of_a_checker_process_that_does_not_finish_count(monkeypatch):
    def late(*command, **options):
        raise subprocess.TimeoutExpired("judge", 600, b'"ready"\n["correct", "1.1 correct", null]\n["wrong", "half a ')

    monkeypatch.setattr(subprocess, "run", late)
    before, grade = check_in_isolation([answer(ADD), answer("pass")])
    assert before.is_correct
    assert grade.outcome is CheckOutcome.ERROR
    assert grade.text == "1.1 couldn't be checked: the checker process didn't finish within 1200 seconds."


def test_time_in_line_for_the_processor_counts_neither_for_a_request_nor_for_the_answer(monkeypatch):
    """As on a busy machine, this child only continues after its parent has read the time three times."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    begun, looks, spent = time.monotonic(), list[int](), list[float]()

    def in_line(process: int) -> float:
        looks.append(process)
        if len(looks) == 3:
            os.kill(process, signal.SIGUSR1)
        return time.monotonic() - begun

    monkeypatch.setattr(grading_child, "queued", in_line)
    try:
        said = run_apart(lambda: signal.sigwait([signal.SIGUSR1]).name.encode(), 0.05, spent.append)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert said == b"SIGUSR1"
    assert len(looks) >= 4
    assert spent[0] <= 0.05


SLOW = """
from harness.classroom.grading import __main__, isolated_engine as engine
run_apart = engine.run_apart
engine.run_apart = lambda action, seconds, spend, *more: run_apart(
    action, seconds, lambda own: spend(50.0), *more
)
__main__.main()
"""


def test_many_slow_requests_use_up_what_one_answer_may_take():
    grade, after = check_in_isolation([answer(ADD), answer("pass")], ("-c", SLOW))
    assert "your code took more than 120 seconds in total" in " ".join(grade.text.split())
    assert after.outcome is CheckOutcome.WRONG  # the next begins anew


def test_where_the_solutions_are_not_installed_the_stub_comes_from_the_exercises(tmp_path, monkeypatch):
    exercise = find_exercise("1.3")
    expected = stub_cells(exercise)
    Desk(tmp_path)
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    assert stub_cells.__wrapped__(exercise) == expected


def test_the_checker_process_receives_no_solution():
    told = json.dumps(answer("pass"))
    for source in solution_cells(find_exercise("1.1")).values():
        assert source.partition("BEGIN SOLUTION")[2].splitlines()[1].strip() not in told


@pytest.mark.parametrize(("landlock", "filtered"), [(0, True), (2, True), (7, False), (0, False)])
def test_a_machine_that_isolates_incompletely_grades_only_if_that_is_allowed(monkeypatch, landlock, filtered):
    monkeypatch.setattr(sandbox, "version", lambda: landlock)
    monkeypatch.setattr(seccomp, "available", lambda: filtered)
    monkeypatch.setattr(submission, "check_in_isolation", lambda answers: [number for number, *_ in answers])
    notebook, warnings = catalogue.exercise_notebook("01"), list[str]()
    with pytest.raises(GradingError, match=r"--CheckAnswers\.allow_incomplete=True") as refused:
        submission.grade(notebook, ["1.1"])
    assert submission.grade(notebook, ["1.1"], True, warnings.append) == ["1.1"]
    (warning,) = warnings
    assert all(gap in str(refused.value) and gap in warning for gap in sandbox.gaps())


@pytest.mark.parametrize("landlock", [3, 7])
def test_a_machine_with_both_layers_isolates_completely(monkeypatch, landlock):
    monkeypatch.setattr(sandbox, "version", lambda: landlock)
    monkeypatch.setattr(seccomp, "available", lambda: True)
    assert sandbox.gaps() == []
    assert sandbox.layers() == [f"Landlock {landlock}", "seccomp"]


def test_a_layer_that_the_kernel_does_not_enforce_stops_the_request(monkeypatch, tmp_path):
    monkeypatch.setattr(seccomp, "available", lambda: True)
    monkeypatch.setattr(seccomp, "restrict", lambda: False)
    assert refusal(lambda: sandbox.confine(Limits(), tmp_path)) == "GradingError"


@pytest.mark.parametrize(
    "name",
    ["_require_inside", "_absolute", "_REFUSED", "_READS", "_CHANGES", "_ALLOWED", "any", "isinstance", "set", "os"],
)
def test_an_answer_cannot_replace_what_the_audit_hook_uses(tmp_path, name):
    def act() -> None:
        watch([sys.prefix], [str(tmp_path)], 5)
        fakes = {"_require_inside": lambda *anything: None, "_absolute": lambda *anything: str(tmp_path)}
        fakes |= {"isinstance": lambda *anything: True, "set": lambda text: frozenset()}
        fakes |= {"any": lambda found: True, "os": SimpleNamespace(fsdecode=lambda path: str(tmp_path))}
        vars(sandbox)[name] = fakes.get(name, ())
        if name == "os":
            os.fsdecode = fakes["os"].fsdecode
        elif hasattr(builtins, name):
            vars(builtins)[name] = fakes[name]
        os.link(tmp_path / "none", tmp_path / "other") if name == "_REFUSED" else SOLUTION.read_text("utf-8")

    assert refusal(act) == "PermissionError"


def tampered(error: BaseException) -> None:
    """Change everything that can be changed in the frames of the audit hook that raised an error."""
    trace = error.__traceback__
    while trace is not None:
        names = trace.tb_frame.f_locals if trace.tb_frame.f_code.co_filename == sandbox.__file__ else {}
        for name, value in list(names.items()):
            if isinstance(value, (dict, set, list)):
                value.clear()
            free = getattr(getattr(value, "__code__", None), "co_freevars", ())
            for variable, cell in zip(free, getattr(value, "__closure__", None) or (), strict=True):
                cell.cell_contents = {"opened": -100, "files": 5}.get(variable, lambda *anything: True)
            with suppress(Exception):
                value.__setstate__(0)
            with suppress(Exception):
                names[name] = ("/",)
        trace = trace.tb_next


def read_after_a_refusal(folder: Path) -> None:
    try:
        SOLUTION.read_text("utf-8")
    except PermissionError as error:
        tampered(error)
    SOLUTION.read_text("utf-8")


def remove_after_a_refusal(folder: Path) -> None:
    try:
        os.remove(SOLUTION.with_name("none"))
    except PermissionError as error:
        tampered(error)
    os.remove(SOLUTION.with_name("none"))


def write_after_a_refusal(folder: Path) -> None:
    for number in range(20):
        try:
            (folder / str(number)).touch()
        except PermissionError as error:
            tampered(error)
    (folder / "more").touch()


class Inside(str):
    """A text that claims to be a path of the current folder."""

    def startswith(self, *prefix: object) -> bool:
        return False

    def split(self, *separator: object) -> list[str]:
        return ["", *os.getcwd()[1:].split("/"), "mine"]

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Changing:
    """A path that is another one at the second look."""

    def __init__(self, *paths: str) -> None:
        self.paths = list(paths)

    def __fspath__(self) -> str:
        return self.paths.pop(0)


def by_a_folders_number(folder: Path) -> None:
    number = os.open(folder.parent / "readable", os.O_RDONLY)
    os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=number))


def by_a_link_of_the_readable_folder(folder: Path) -> None:
    (folder.parent / "readable" / "link" / ".." / "secret").read_text("utf-8")


def by_a_socket_for_http(folder: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 9)
    connection.sock = socket.socket()
    connection.sock.connect(("127.0.0.1", 9))
    connection.request("GET", "/")


ESCAPES = {
    "a refusal's frames, to read": read_after_a_refusal,
    "a refusal's frames, to remove": remove_after_a_refusal,
    "a refusal's frames, to write more files": write_after_a_refusal,
    "a text of another type": lambda folder: open(Inside(SOLUTION)).close(),
    "a path that changes": lambda folder: sqlite3.connect(Changing(f"{folder}/mine", f"{folder}/../other")).execute(
        "create table a (b)"
    ),
    "a URI": lambda folder: sqlite3.connect(f"file:{folder.parent}/other", uri=True).execute("create table a (b)"),
    "the number of a folder": by_a_folders_number,
    "the number of a folder, to make one": lambda folder: os.mkdir("new", dir_fd=0),
    "a link": by_a_link_of_the_readable_folder,
    "a socket for HTTP": by_a_socket_for_http,
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_pythons_audit_hook_alone_refuses_an_answer_that_tries_to_get_around_it(tmp_path, escape):
    readable, elsewhere, folder = (tmp_path / name for name in ("readable", "elsewhere", "lab"))
    for each in (readable, elsewhere / "inner", folder):
        each.mkdir(parents=True)
    (readable / "link").symlink_to(elsewhere / "inner")
    (elsewhere / "secret").touch()

    def act() -> None:
        os.chdir(folder)
        watch([sys.prefix, str(readable)], [str(folder)], 5)
        ESCAPES[escape](folder)

    assert refusal(act) == "PermissionError"
    assert not [path.name for path in (tmp_path / "other", readable / "new") if path.exists()]
