"""The faults of a seed can be injected again: all of them, and each of them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.testing.faults import AT_END, Fault, FaultKind
from harness.testing.runs import ChaosRun
from tests.support.inner_pytest import write_files

CONTROLLER = """
def start():
    from google.appengine.api import taskqueue
    for number, name in enumerate(request.args):
        queue = 'default' if request.vars.queues is None else 'q%s' % (number % int(request.vars.queues))
        taskqueue.add(url=URL('default', name), queue_name=queue)

def insert():
    db.line.insert(text='x')

def twice():
    db.line.insert(text='x')
    db.line.insert(text='y')

def late():
    import time
    if request.env.http_x_appengine_taskretrycount == '0':
        time.sleep(1)
        raise RuntimeError('not yet')

def nothing():
    pass
"""
FILES = {
    "app/models/db.py": "db = DAL('sqlite://storage.sqlite')\ndb.define_table('line', Field('text'))\n",
    "app/controllers/default.py": CONTROLLER,
    "app/queue.yaml": "queue:\n" + "".join(f"- name: q{number}\n  rate: 5/s\n" for number in range(3)),
}
LATER = Fault(FaultKind.MEMORY, "task1", attempt=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("faults"), FILES) / "app"


def run_once(folder: Path, page: str, seed: int, only: list[tuple[int, Fault]] | None) -> tuple[object, ...]:
    """Return the faults that happened in a run, and what its attempts did."""
    run = ChaosRun(seed, only)
    lab = run.make(folder, {})
    lab.get(page)
    lab.get("default/start/insert")
    lab.run()
    attempts = [(each.task.name, each.started, each.outcome, each.response) for each in lab.attempts]
    run.close()
    return run.happened, [(*each, response.status, len(response.turns)) for *each, response in attempts]


@pytest.mark.parametrize("queues", ["", "?queues=3"])
def test_a_run_with_all_faults_of_a_seed_is_the_same_as_the_run_of_the_seed(folder, queues):
    page = f"default/start/insert/twice/late/nothing/twice/late{queues}"
    for seed in range(4):
        happened, attempts = run_once(folder, page, seed, None)
        assert happened
        assert run_once(folder, page, seed, happened) == (happened, attempts)


@pytest.mark.parametrize(
    ("fault", "queues"),
    [
        (Fault(FaultKind.AGAIN, "task2"), "?queues=3"),
        (Fault(FaultKind.ORDER, "task3", "task1"), ""),
        (Fault(FaultKind.ORDER, "task4", "task1"), "?queues=3"),
        (Fault(FaultKind.KILL, "task3", number=1), "?queues=3"),
        (Fault(FaultKind.KILL, "task2", number=1, position=2), ""),  # without an overlap, task2 runs alone
        (Fault(FaultKind.OVERLAP, "task1", "task3", 5), ""),
        (Fault(FaultKind.OVERLAP, "task1", "task3", 5), "?queues=3"),
        (Fault(FaultKind.OVERLAP, "task2", "task2", 5), "?queues=3"),
        (Fault(FaultKind.MEMORY, "task3"), "?queues=3"),
        (Fault(FaultKind.MEMORY, "request 1"), ""),
    ],
    ids=str,
)
def test_a_fault_is_injected_alone(folder, fault, queues):
    run = ChaosRun(0, [(0, fault)])
    lab = run.make(folder, {})
    lab.get(f"default/start/insert/twice/insert/insert{queues}")
    lab.run()
    ((_, happened),) = run.happened
    run.close()
    assert happened == fault


def test_a_fault_that_did_not_happen_is_not_recorded_and_the_steps_are_those_that_ran(folder):
    faults = [
        Fault(FaultKind.OVERLAP, "task1", "task9"),
        Fault(FaultKind.ORDER, "task9", "task1"),
        Fault(FaultKind.KILL, "task9"),
        Fault(FaultKind.KILL, "task2", number=50),
        Fault(FaultKind.AGAIN, "task9"),
        LATER,
    ]
    run = ChaosRun(0, [(0, fault) for fault in faults])
    lab = run.make(folder, {})
    lab.get("default/start/insert/twice")
    lab.run()
    ((_, fault),) = run.happened
    run.close()
    assert fault == Fault(FaultKind.KILL, "task2", number=AT_END)
    assert str(fault) == (
        "The instance that ran task2 was shut down after its last step, before it responded, and then task2 ran again."
    )


def test_a_user_whose_request_overlaps_is_named_and_the_turns_are_those_of_a_test_without_faults(folder):
    run = ChaosRun(3, [(0, Fault(FaultKind.MEMORY, "request 2"))])
    with ChaosRun(None, None).make(folder, {"seed": 1}) as plain:
        lab, turns = run.make(folder, {"seed": 1}), []
        for each in (plain, lab):
            each.get("default/start")
            page = "default/start/insert/insert/insert/insert/insert/insert"
            turns.append(each.overlap(page, page).turns)
        assert turns[0] == turns[1]
    assert [str(fault) for _, fault in run.happened] == [
        "The instance lost its memory (cache.ram and the variables of modules) before request 2."
    ]
    run.close()
    assert str(LATER).endswith(" before task1 ran again.")


def test_the_task_to_which_a_fault_happened_is_shown_before_others_that_failed(folder):
    run = ChaosRun(0, [(0, Fault(FaultKind.AGAIN, "task7"))])
    lab = run.make(folder, {})
    lab.get("default/start/late/late/late/late/late/late/insert")
    lab.run()
    names = [name for name, _ in run.failures()]
    run.close()
    assert names == ["App Engine: task task7", *(f"App Engine: task task{n}" for n in range(1, 5)), "App Engine"]
