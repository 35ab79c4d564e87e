"""Our queue against Google's stub: adding, and taking and finishing a task, with few and with many waiting."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.appengine.api import apiproxy_stub_map, taskqueue
from google.appengine.api.taskqueue import taskqueue_stub

from harness.clock import Clock
from harness.records import TaskState
from harness.taskqueue import QueueConfig, TaskQueueService, connect
from tests.bench.measure import Row, collector_at_rest, in_turns, timed

COUNT = 1_000
SIZES = (1_000, 10_000, 100_000)
ROUNDS = 5


def rows() -> list[Row]:
    """Measure both at every size."""
    with collector_at_rest():
        added = {size: in_turns({"ours": _ours_add(size), "stub": _stub_add(size)}, ROUNDS) for size in SIZES}
        many = in_turns({"ours": _ours_add(1_000, queues=100), "stub": _stub_add(1_000, queues=100)}, ROUNDS)
        worked = {size: in_turns({"ours": _ours_work(size), "stub": _stub_work(size)}, ROUNDS) for size in SIZES}
    return [
        *(_against(f"add through the client, {size:,} waiting", added[size], 1.0) for size in SIZES),
        _against("add through the client, 100 queues", many, 1.0),
        _growth("add", added),
        *(_against(f"take and finish a task, {size:,} waiting", worked[size], 1.0) for size in SIZES),
        _growth("take and finish a task", worked),
    ]


def _against(what: str, seconds: dict[str, float], goal: float) -> Row:
    note = f"{seconds['ours'] * 1e6:.1f} µs against {seconds['stub'] * 1e6:.1f} µs"
    return Row("queue", f"{what}: ours / stub", seconds["ours"] / seconds["stub"], "ratio", goal, note)


def _growth(what: str, seconds: dict[int, dict[str, float]]) -> Row:
    few, many = seconds[SIZES[0]], seconds[SIZES[-1]]
    note = f"the stub: {many['stub'] / few['stub']:.1f}"
    return Row("queue", f"{what}: ours at 100,000 / at 1,000", many["ours"] / few["ours"], "ratio", 1.5, note)


def _names(queues: int) -> list[str]:
    return ["default", *(f"queue{number}" for number in range(1, queues))]


def _add(names: list[str], count: int) -> None:
    for number in range(count):
        taskqueue.add(url="/worker", params={"old": "a", "new": "b"}, queue_name=names[number % len(names)])


def _batches(names: list[str], count: int) -> None:
    for _ in range(count // 100):
        tasks = [taskqueue.Task(url="/worker", params={"old": "a", "new": "b"}) for _ in range(100)]
        taskqueue.Queue(names[0]).add(tasks)


def _ours_add(size: int, queues: int = 1) -> Callable[[], float]:
    names = _names(queues)

    def contestant() -> float:
        service = TaskQueueService(Clock(), [QueueConfig(name) for name in names])
        with connect(service):
            _batches(names, size)
            return timed(lambda: _add(names, COUNT), COUNT)

    return contestant


def _stub_add(size: int, queues: int = 1) -> Callable[[], float]:
    names = _names(queues)

    def contestant() -> float:
        with _stub(names) as stub:
            _fill(stub, size)
            return timed(lambda: _add(names, COUNT), COUNT)

    return contestant


def _ours_work(size: int) -> Callable[[], float]:
    def contestant() -> float:
        clock = Clock()
        service = TaskQueueService(clock)
        with connect(service):
            _batches(["default"], size)
        queue = service.queues["default"]

        def work() -> None:
            for _ in range(COUNT):
                task = queue.take(clock.timestamp)
                assert task is not None
                task.state = TaskState.DONE
                queue.done(task, clock.timestamp)

        return timed(work, COUNT)

    return contestant


def _stub_work(size: int) -> Callable[[], float]:
    def contestant() -> float:
        with _stub(["default"]) as stub:
            _fill(stub, size)
            queue = stub._GetGroup().GetQueue("default")

            def work() -> None:
                for _ in range(COUNT):
                    task = queue.OldestTask()
                    queue.RunTaskNow(task)
                    queue.Delete(task.task_name)

            return timed(work, COUNT)

    return contestant


def _fill(stub: Any, size: int) -> None:
    """Fill the stub one by one: it loses the names of unnamed tasks in a batch."""
    for number in range(size):
        taskqueue.add(url="/worker", params={"old": "a", "new": "b"}, name=f"filling-{number}")


@contextmanager
def _stub(names: list[str]) -> Iterator[Any]:
    """Make Google's stub the service behind the client, with a queue.yaml of these queues."""
    before = apiproxy_stub_map.apiproxy.GetStub("taskqueue")
    with tempfile.TemporaryDirectory() as folder:
        entries = "".join(f"- name: {name}\n  rate: 5/s\n" for name in names)
        (Path(folder) / "queue.yaml").write_text(f"queue:\n{entries}")
        stub = taskqueue_stub.TaskQueueServiceStub(root_path=folder)
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", stub)
        try:
            yield stub
        finally:
            apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", before)
