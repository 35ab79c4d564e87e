"""What the reports contain if several tasks, requests or labs fail, and which faults the seeds choose for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.appengine.dispatcher import Chaos
from harness.testing.faults import Fault, FaultKind
from harness.testing.runs import ChaosRun
from tests.support.inner_pytest import InnerRun, run_pytest, write_files

CONTROLLER = """
from google.appengine.api import taskqueue
seen = []

def start():
    for name in request.args:
        taskqueue.add(url=URL('flaky'), name=name)

def flaky():
    if request.env.http_x_appengine_taskretrycount == '0':
        raise RuntimeError('not yet')

def broken():
    return 1 / 0

def insert():
    for name in request.args:
        taskqueue.add(url=URL('put'), name=name)

def put():
    db.line.insert(text='x')

def kept():
    return cache.ram('n', lambda: request.args(0), 3600)

def refused():
    raise HTTP(503, 'The shop is closed.')
"""
TESTS = """
import pytest

@pytest.mark.parametrize("names", ["ab", "abcdefg"])
def test_fails(appengine, names):
    appengine.get("default/start/" + "/".join(names))
    for name in names:
        appengine.get("default/broken/" + name)
    appengine.run()
    assert False

def test_refused(appengine):
    assert appengine.get("default/refused").ok
"""
FILES = {
    "pytest.ini": "[pytest]\nappengine_folder = app\n",
    "app/models/db.py": "db = DAL('sqlite://storage.sqlite')\ndb.define_table('line', Field('text'))\n",
    "app/controllers/default.py": CONTROLLER,
    "test_app.py": TESTS,
}
ROOT = Path(__file__).parents[2]
NAMES = [f"n{number}" for number in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("reports"), FILES)


@pytest.fixture(scope="module")
def run(folder: Path) -> InnerRun:
    return run_pytest(folder)


def test_a_request_that_the_application_refuses_is_shown_with_its_text(run):
    sections = run.failed("test_refused").sections
    assert sections == [("App Engine: /app/default/refused, status 503", "The shop is closed.")]


def insert(run: ChaosRun, folder: Path, labs: int) -> list[int]:
    """Let the same tasks run in several labs, and return how many rows each lab has."""
    made = [run.make(folder / "app", {}) for _ in range(labs)]
    for lab in made:
        lab.get("default/insert/" + "/".join(NAMES))
        lab.run()
    return [len(lab.table("line")) for lab in made]


def faults(folder: Path) -> list[tuple[int, Fault]]:
    """Return the faults of a seed."""
    run = ChaosRun(3, None)
    insert(run, folder, labs=2)
    run.close()
    return run.happened


def test_each_failed_task_and_each_failed_request_has_a_section_of_its_own(run):
    few, many = [[name.removeprefix("App Engine: ") for name, _ in each.sections] for each in run.of("test_fails")]
    requests = [f"/app/default/broken/{name}, status 500" for name in "abcde"]
    assert few == ["task a", "task b", *requests[:2]]
    assert many == [*(f"task {name}" for name in "abcde"), *requests, "App Engine"]


def test_a_report_with_many_failures_says_how_many_it_leaves_out(run):
    assert run.of("test_fails")[1].sections[-1] == ("App Engine", "4 more failed tasks and requests")


def test_each_lab_of_a_test_has_faults_of_its_own(folder):
    happened = faults(folder)
    first, second = [[fault for at, fault in happened if at == number] for number in (0, 1)]
    assert first and second and first != second


def test_a_seed_has_the_same_faults_in_a_process_with_another_hash_seed(folder):
    program = f"from tests.testing.test_reports import Path, faults; print(faults(Path({str(folder)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": "5" if os.environ.get("PYTHONHASHSEED") != "5" else "6"}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{faults(folder)}\n"


def test_a_fault_that_is_injected_again_happens_only_in_its_own_lab(folder):
    run = ChaosRun(3, [(1, Fault(FaultKind.AGAIN, "n4"))])
    rows = insert(run, folder, labs=3)
    run.close()
    assert rows == [len(NAMES), len(NAMES) + 1, len(NAMES)]


def test_an_instance_can_lose_its_memory_before_the_request_of_a_user(folder):
    run = ChaosRun(0, [(0, Fault(FaultKind.MEMORY, "request 3"))])
    lab = run.make(folder / "app", {})
    texts = [lab.get(f"default/kept/{name}").text for name in "abcd"]
    run.close()
    assert texts == ["a", "a", "c", "c"]


def killed(size: int) -> list[tuple[int, int]]:
    """Return which worker of a group is killed, and after how many steps, for many seeds."""
    schedules = [Chaos(seed, overlap=True).schedule([object()] * size, True) for seed in range(2000)]
    return [kill for schedule in schedules if schedule is not None for kill in (schedule.kill_after or {}).items()]


def test_each_worker_of_a_group_is_killed_in_about_half_of_the_cases():
    positions = [position for position, _ in killed(2)]
    assert 0.4 < positions.count(1) / len(positions) < 0.6
    assert {*positions} == {1, 2}


def test_most_workers_are_killed_early_and_a_long_one_also_at_each_later_step():
    steps = [after for _, after in killed(1)]
    assert {*range(15)} <= {*steps}
    assert 0.7 < sum(after < 5 for after in steps) / len(steps) < 0.95
