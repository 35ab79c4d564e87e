"""A task name that depends on PYTHONHASHSEED is reported, and no other name is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.testing import TASK_NAMES
from harness.testing.hash_seed import TaskNames
from tests.support.inner_pytest import InnerRun, run_pytest, write_files

HEAD = "task names that differ in another process"
CONTROLLER = """
def start():
    import hashlib, uuid
    from google.appengine.api import taskqueue
    words = set(request.args[1:])
    names = {
        'hash': lambda: ['task%s' % abs(hash(words.pop()))],  # like the names that the queue chooses
        'random': lambda: ['job-' + uuid.uuid4().hex],
        'joined': lambda: ['-'.join(words)],
        'values': lambda: ['a-%s' % len(words)],
        'ordered': lambda: ['-'.join(sorted(words))],
        'digest': lambda: [hashlib.sha256(b'a').hexdigest()],
        'each': lambda: words,
        'none': lambda: [None, None][:len(words) if hash('a') % 2 else 1],
    }[request.args[0]]()
    for name in names:
        taskqueue.add(url=URL('work'), name=name)
    return ''

def work():
    return ''
"""
TESTS = """
import pytest

@pytest.mark.parametrize("kind", ["hash", "random", "joined", "values", "ordered", "digest", "each", "none"])
def test_names(appengine, kind):
    appengine.get(f"default/start/{kind}/one/two/three/four/five/six/seven/eight/nine")
    appengine.run()

def test_fails(appengine):
    appengine.get("default/start/hash/x")
    assert False
"""
FILES = {
    # The other process reads neither these options, which would write the user's report again, nor PYTEST_ADDOPTS.
    "setup.cfg": "[tool:pytest]\nappengine_folder = app\naddopts = --junitxml=report.xml\n",
    "app/controllers/default.py": CONTROLLER,
    "tests/test_app.py": TESTS,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> InnerRun:
    folder = write_files(tmp_path_factory.mktemp("names"), FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONHASHSEED", raising=False)
        run = run_pytest(folder, "tests", "--appengine-chaos", "2")
    assert 'name="test_names[seed1-each]"' in (folder / "report.xml").read_text("utf-8"), "it was written again"
    return run


@pytest.fixture(scope="module")
def lines(run: InnerRun) -> list[str]:
    return run.output.partition(HEAD)[2].splitlines()


@pytest.mark.parametrize("kind", ["hash", "joined"])
def test_a_name_that_depends_on_the_hash_of_a_string_or_the_order_of_a_set_is_reported(lines, kind):
    (line,) = [line for line in lines if line.startswith(f"tests/test_app.py::test_names[seed0-{kind}]: ")]
    assert re.search(r"with PYTHONHASHSEED=1, it adds a task '[\w-]+' and no task '[\w-]+'\.$", line)


def test_the_names_of_a_test_that_fails_are_compared_too(lines):
    assert any(line.startswith("tests/test_app.py::test_fails[seed0]: ") for line in lines)


def test_a_name_that_is_random_in_each_run_is_not_said_to_depend_on_the_hash(lines):
    (line,) = [line for line in lines if line.startswith("tests/test_app.py::test_names[seed0-random]: ")]
    assert re.search(r": the names of its tasks differ in each run: 'job-\w{32}', 'job-\w{32}'\.$", line)


def test_no_other_name_is_reported(run, lines):
    assert len([line for line in lines if line.startswith("tests/")]) == 4
    assert "Running 8 tests again with PYTHONHASHSEED=1, to compare the names of tasks." in run.output


def test_the_report_says_why_and_what_to_use(lines):
    text = " ".join(lines)
    assert "two instances give the same task different names, and both tasks run" in text
    assert "a sorted list, or hashlib.sha256" in text


class Terminal:
    """Keeps what pytest's terminal reporter would write."""

    def __init__(self) -> None:
        self.text = ""

    def section(self, title: str, **_: object) -> None:
        self.text += f"{title}\n"

    def line(self, text: str) -> None:
        self.text += f"{text}\n"

    def flush(self) -> None:
        pass

    write = line


def summary(config: pytest.Config, exitstatus: int = 1) -> str:
    """Return what is written to the terminal after a test that has named a task."""
    names, terminal = TaskNames(config, None), Terminal()
    report = pytest.TestReport("test_a[seed0]", ("", 0, ""), {}, "passed", None, "call", task_names=["test_a", ["n"]])
    names.pytest_runtest_logreport(report)
    names.pytest_terminal_summary(terminal, exitstatus)
    return terminal.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (subprocess.TimeoutExpired("pytest", 600), "timed out after 600 seconds"),
        (OSError("no process"), "no process"),
        (None, "pytest ended with the exit code 4.\nfirst\nsecond\nthird\nfourth\nno option --env"),
    ],
)
def test_names_that_could_not_be_compared_are_reported_without_advice(request, monkeypatch, error, reason):
    def fail(*_: object, **options: object) -> subprocess.CompletedProcess[str]:
        if error is not None:
            raise error
        return subprocess.CompletedProcess([], 4, "zeroth\nfirst\nsecond\nthird\nfourth\nno option --env\n")

    monkeypatch.setattr(subprocess, "run", fail)
    assert summary(request.config).endswith(
        f"The tests couldn't be run again, so no names were compared: {error or reason}\n"
    )
    assert reason in summary(request.config)


@pytest.mark.parametrize("code", [pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR])
def test_after_an_interrupt_no_process_is_started(request, code):
    assert summary(request.config, code) == ""


def test_additional_names_in_the_other_process_are_not_reported(request, monkeypatch):
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        Path(options["env"][TASK_NAMES]).write_text('{"test_a[seed0]": ["n", "m"]}')
        return subprocess.CompletedProcess([], 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert re.fullmatch("Running 1 test again with PYTHONHASHSEED=., .*\n", summary(request.config))


def test_the_seed_is_passed_on_and_a_test_without_names_in_the_other_process_is_named(request, monkeypatch):
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        lines = Path(command[-1].removeprefix("@")).read_text("utf-8").splitlines()
        assert "--appengine-seed=5" in lines
        Path(options["env"][TASK_NAMES]).write_text("{}")
        return subprocess.CompletedProcess([], 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(request.config.option, "appengine_seed", 5)
    assert summary(request.config).endswith("test_a[seed0]: it has no result in the other process.\n")


def test_without_named_tasks_no_process_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    files = {"test_a.py": "def test_a(appengine): appengine.get('default/start/none')\n"}
    run = run_pytest(write_files(tmp_path, {**FILES, **files}), "test_a.py", "--appengine-chaos", "2")
    assert (run.outcomes("test_a"), HEAD in run.output) == ("p p", False)


def test_in_the_other_process_no_fault_is_searched_for(tmp_path, monkeypatch):
    monkeypatch.setenv(TASK_NAMES, str(tmp_path / "names.json"))
    run = run_pytest(write_files(tmp_path, FILES), "tests", "--appengine-chaos", "1", "-k", "fails")
    assert run.explanation("test_fails") == ""
    assert "test_fails[seed0]" in (tmp_path / "names.json").read_text("utf-8")


def test_after_five_tests_only_the_number_of_the_others_is_written(request, monkeypatch):
    tests = [f"test_{number}: other names" for number in range(7)]
    monkeypatch.setattr(TaskNames, "_compare", lambda *_: (tests, ["advice"]))
    assert summary(request.config).splitlines()[2:] == [*tests[:5], "and 2 more tests", "advice"]


def test_one_seed_alone_is_not_compared_with_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    run = run_pytest(write_files(tmp_path, FILES), "tests", "--appengine-seed", "3", "-k", "ordered")
    assert [report.nodeid for report in run.of("test_names")] == ["tests/test_app.py::test_names[seed3-ordered]"]
    assert (run.outcomes("test_names"), "PYTHONHASHSEED" in run.output) == ("p", False)
