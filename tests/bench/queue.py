"""Our queue against Google's stub: adding, and taking and finishing a task, with few and with many waiting."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.appengine.api import apiproxy_stub_map, taskqueue
from google.appengine.api.taskqueue import taskqueue_stub

from harness.appengine.clock import Clock
from harness.appengine.taskqueue import QueueConfig, TaskQueueService, connect
from harness.records import TaskState
from tests.bench.measure import Row, collector_at_rest, in_turns, timed

COUNT = 1_000
SIZES = (1_000, 10_000, 100_000)
ROUNDS = 5
TAKEN = 100  # in a round; all rounds together take half of the fewest


def rows() -> list[Row]:
    """Measure both at every size."""
    added, worked = {}, {}
    with connect(TaskQueueService(Clock())), collector_at_rest():  # open all the time: it sets the client's environment
        for size in SIZES:
            with _contestants(["default"], size) as pair:
                added[size] = in_turns({name: each.add for name, each in pair.items()}, ROUNDS)
            with _contestants(["default"], size) as pair:
                worked[size] = in_turns({name: each.work for name, each in pair.items()}, ROUNDS)
        with _contestants(["default", *(f"queue{number}" for number in range(1, 100))], 1_000) as pair:
            many = in_turns({name: each.add for name, each in pair.items()}, ROUNDS)
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


class _Ours:
    """Our service, with tasks waiting in its first queue."""

    def __init__(self, names: list[str], size: int) -> None:
        self._names = names
        self._clock = Clock()
        self._service = TaskQueueService(self._clock, [QueueConfig(name) for name in names])
        self._connection = connect(self._service)
        with self._connection.active():
            _fill(names[0], size)

    def add(self) -> float:
        with self._connection.active():
            return timed(lambda: _add(self._names), COUNT)

    def work(self) -> float:
        queue, now = self._service.queues[self._names[0]], self._clock.timestamp

        def take_and_finish() -> None:
            for _ in range(TAKEN):
                task = queue.take(now)
                assert task is not None
                task.state = TaskState.DONE
                queue.done(task, now)

        return timed(take_and_finish, TAKEN)

    def close(self) -> None:
        self._connection.close()


class _Stub:
    """Google's stub, with tasks waiting in its first queue; it answers while one of its methods is running."""

    def __init__(self, names: list[str], size: int) -> None:
        self._names = names
        self._folder = tempfile.TemporaryDirectory()  # the stub looks at queue.yaml again and again
        entries = "".join(f"- name: {name}\n  rate: 5/s\n" for name in names)
        Path(self._folder.name, "queue.yaml").write_text(f"queue:\n{entries}")
        self._stub = taskqueue_stub.TaskQueueServiceStub(root_path=self._folder.name)
        with self._answering():
            _fill(names[0], size)

    def add(self) -> float:
        with self._answering():
            return timed(lambda: _add(self._names), COUNT)

    def work(self) -> float:
        queue = self._stub._GetGroup().GetQueue(self._names[0])

        def take_and_finish() -> None:
            for _ in range(TAKEN):
                task = queue.OldestTask()
                queue.RunTaskNow(task)
                queue.Delete(task.task_name)

        return timed(take_and_finish, TAKEN)

    def close(self) -> None:
        self._stub.Shutdown()
        self._folder.cleanup()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        before = apiproxy_stub_map.apiproxy.GetStub("taskqueue")
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", self._stub)
        try:
            yield
        finally:
            apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", before)


@contextmanager
def _contestants(names: list[str], size: int) -> Iterator[dict[str, _Ours | _Stub]]:
    pair: dict[str, _Ours | _Stub] = {"ours": _Ours(names, size), "stub": _Stub(names, size)}
    try:
        yield pair
    finally:
        for each in pair.values():
            each.close()


def _add(names: list[str]) -> None:
    for number in range(COUNT):
        taskqueue.add(url="/worker", params={"old": "a", "new": "b"}, queue_name=names[number % len(names)])


def _fill(name: str, size: int) -> None:
    """Fill a queue one by one: Google's stub loses the names of unnamed tasks in a batch."""
    for number in range(size):
        taskqueue.add(url="/worker", params={"old": "a", "new": "b"}, name=f"filling-{number}", queue_name=name)
