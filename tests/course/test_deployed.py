"""The check of 8.1 starts programs: they end with the check, and a graded answer starts none. 8.2 can be graded."""

import shlex
import threading

import psutil
import pytest

from harness.classroom.grading.__main__ import IsolatedLab, _verdict
from harness.course.catalogue import body, find_exercise, solution_cells, stub_cells
from harness.course.check_process import CheckProcess
from harness.course.checks import deployed08, stand_in08
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome
from harness.course.workspace import Answer
from harness.serve.rpc_endpoint import RpcEndpoint

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
    assert verdict.text.splitlines()[0].startswith(
        "8.1 not graded automatically. The check would start a program of the learner"
    )
    assert "Grade this exercise by hand" in verdict.text
    assert "hint" not in verdict.text


def test_a_graded_answer_is_seen_to_write_a_row_for_a_job_of_cron():
    files = {name: body(cell) for name, cell in solution_cells(find_exercise("8.2")).items()}
    outcome, text, _ = _verdict("8.2", files, stub_cells(find_exercise("8.2")))
    assert outcome == "correct", text


def check_entrypoint(entrypoint, main=FILES["main.py"]):
    app_yaml = FILES["app.yaml"].replace("gunicorn -b :$PORT main:app", entrypoint)
    return check_answer(EXERCISE, {"app.yaml": app_yaml, "main.py": main})


def test_an_interrupted_start_ends_the_endpoint(monkeypatch):
    def interrupt(endpoint):
        start(endpoint)
        raise KeyboardInterrupt

    start = RpcEndpoint.start
    monkeypatch.setattr(RpcEndpoint, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        check_answer(EXERCISE, FILES)
    assert "rpc" not in [each.name for each in threading.enumerate()]


def test_a_slow_start_is_not_called_a_wrong_port(monkeypatch):
    monkeypatch.setattr(deployed08, "_START_SECONDS", 0.5)
    verdict = check_answer(EXERCISE, {**FILES, "main.py": HANGS})
    assert (verdict.outcome, verdict.mistake) == (CheckOutcome.WRONG, None)
    assert "didn't listen on port" in verdict.text


def test_a_printed_port_counts_if_the_process_ends_or_the_port_accepts_connections(monkeypatch):
    monkeypatch.setattr(deployed08, "_START_SECONDS", 600.0)
    line = "print('Serving on http://127.0.0.1:9', flush=True)\n"
    assert check_entrypoint("gunicorn main:app", f"{line}raise SystemExit\n").mistake == "wrong-port"
    monkeypatch.setattr(deployed08, "_OTHER_SECONDS", 0.0)  # so that an accepted connection decides immediately
    assert check_entrypoint("waitress-serve --listen=127.0.0.1:8975 main:app").mistake == "wrong-port"
    slow = line + "import time\ntime.sleep(0.3)\n" + FILES["main.py"]
    assert check_entrypoint("gunicorn main:app", slow).outcome is CheckOutcome.CORRECT


def test_the_application_gets_no_secret_of_the_environment(monkeypatch):
    monkeypatch.setenv("CI_JOB_TOKEN", "s3cret")
    values = "os.environ.get('CI_JOB_TOKEN'), os.environ.get('API_HOST')"
    verdict = check_entrypoint("gunicorn main:app", f"import os\nprint({values})\nraise SystemExit\n")
    assert verdict.mistake == "no-start"
    assert "None 127.0.0.1" in verdict.text


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("gunicorn main:app", "GUNICORN main:app"),
        ("exec gunicorn -n gunicorn main:app", "exec GUNICORN -n gunicorn main:app"),
        ("env X=gunicorn gunicorn main:app", "env X=gunicorn GUNICORN main:app"),
        ("cd . && gunicorn main:app", "cd . && GUNICORN main:app"),
        ("sh -c 'gunicorn main:app'", "sh -c 'GUNICORN main:app'"),
        ("exec python3 -u -m gunicorn main:app", "exec GUNICORN main:app"),
        ("bin/gunicorn main:app", "bin/gunicorn main:app"),
        ("gunicorn-2 main:app", "gunicorn-2 main:app"),
    ],
)
def test_the_stand_in_replaces_the_command_gunicorn(command, found):
    assert deployed08._GUNICORN.sub("GUNICORN", command, count=1) == found


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ("--access-logfile - main:app", "main:app"),
        ("main:app --log-level info --worker-connections 50", "main:app"),
        ("--statsd-host localhost:8125 main:app", "main:app"),
        ("main:app --statsd-host localhost:8125", "main:app"),
        ("-w 2 'main:make()' -k gthread", "main:make()"),
        ("main -w 2", "main"),
        ("--preload main", "main"),
        ("main:1", "main:1"),
        ("--preload", ""),
    ],
)
def test_the_stand_in_finds_the_application_among_options(arguments, target):
    assert stand_in08._target(shlex.split(arguments)) == target


@pytest.mark.parametrize(
    ("target", "printed"),
    [
        ("no_application", "Failed to find attribute 'no_application' in 'shlex'."),
        ("a.b", "Failed to parse 'a.b' as an attribute name or function call."),
        ("a b", "Failed to parse 'a b' as an attribute name or function call."),
    ],
)
def test_the_stand_in_prints_what_gunicorn_prints(target, printed, capsys):
    assert stand_in08.main([f"shlex:{target}"]) == 4
    assert capsys.readouterr().err == f"{printed}\n"
