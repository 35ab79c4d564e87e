"""Rows T40 to T44 of harness/FIDELITY.md: what can be done with whole queues (queue.yaml is in test_queueyaml.py)."""

from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

import pytest

from harness.appengine.clock import START, Clock
from harness.appengine.dispatcher import Dispatcher
from harness.appengine.taskqueue import QueueConfig, Task, TaskQueueService, connect, parse_queue_yaml
from harness.records import Response, TaskState
from tests.support.labs import count_calls

NOW = START.timestamp()
QUEUES = parse_queue_yaml("""
queue:
- name: mail
  rate: 2/s
- name: later
  mode: pull
- name: thrice
  mode: pull
  retry_parameters:
    task_retry_limit: 3
""")


@pytest.fixture
def later(taskqueue: ModuleType):
    """The pull queue, as the client sees it."""
    return taskqueue.Queue("later")


@pytest.fixture
def pull(taskqueue: ModuleType) -> Callable[..., object]:
    """Add a task to a pull queue: its name, and what else there is to say."""

    def add(name: str, queue: str = "later", **kwargs: object) -> object:
        return taskqueue.add(f"text of {name}", name=name, method="PULL", queue_name=queue, **kwargs)

    return add


def names(tasks) -> list[str]:
    return [task.name for task in tasks]


def run_one(service: TaskQueueService, queue: str = "default") -> Task:
    task = service.queues[queue].take(service.clock.timestamp)
    assert task is not None
    return task


@pytest.mark.row("T40")
def test_a_lab_without_a_queue_yaml_has_the_default_queue():
    assert TaskQueueService(Clock()).queues["default"].config == QueueConfig("default", 5, 5, 1000)
    changed = TaskQueueService(Clock(), [QueueConfig("default", rate=1)])
    assert [queue.config.rate for queue in changed.queues.values()] == [1]


@pytest.mark.row("T41")
def test_deleting_a_task_tells_whether_it_was_there(service, taskqueue):
    taskqueue.add(url="/x", name="a")
    queue = taskqueue.Queue()
    assert [task.was_deleted for task in queue.delete_tasks_by_name(["a", "never"])] == [True, False]
    assert queue.delete_tasks_by_name("a").was_deleted is False
    assert (len(service.queues["default"]), service.history["a"][0].state) == (0, TaskState.DELETED)


@pytest.mark.row("T41")
def test_deleting_a_task_that_runs_counts_at_once(service, taskqueue):
    taskqueue.add(url="/x", name="a")
    run_one(service)
    assert taskqueue.Queue().delete_tasks_by_name("a").was_deleted
    assert taskqueue.Queue().fetch_statistics().tasks == 0


@pytest.mark.row("T41")
def test_a_deleted_task_is_never_sent(service, taskqueue):
    for name in ("a", "b"):
        taskqueue.add(url="/x", name=name)
    taskqueue.Queue().delete_tasks_by_name("a")
    attempts = Dispatcher(service, service.clock, lambda *_: Response(200)).run()
    assert [attempt.task.name for attempt in attempts] == ["b"]


@pytest.mark.row("T41")
def test_purging_empties_one_queue_only(service, taskqueue):
    for queue in ("default", "mail"):
        taskqueue.Queue(queue).add([taskqueue.Task(url="/x") for _ in range(3)])
    taskqueue.Queue("mail").purge()
    assert [len(service.queues[queue]) for queue in ("default", "mail")] == [3, 0]


@pytest.mark.row("T41")
@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.purge(),
        lambda queue: queue.delete_tasks_by_name("a"),
        lambda queue: queue.fetch_statistics(),
        lambda queue: queue.lease_tasks(60, 1),
    ],
)
def test_a_queue_that_does_not_exist_is_named(taskqueue, call):
    with pytest.raises(taskqueue.UnknownQueueError, match="the queue 'post' isn't in queue.yaml"):
        call(taskqueue.Queue("post"))


@pytest.mark.row("T41")
def test_the_statistics_are_true(service, taskqueue):
    for seconds in (30, 0, 10):
        taskqueue.add(url="/x", countdown=seconds, queue_name="mail")
    run_one(service, "mail")
    statistics = taskqueue.Queue("mail").fetch_statistics()
    assert (statistics.tasks, statistics.in_flight, statistics.executed_last_minute) == (3, 1, 1)
    assert (statistics.oldest_eta_usec, statistics.enforced_rate) == (NOW * 1e6, 2)


@pytest.mark.row("T41")
def test_the_statistics_of_an_empty_queue_are_zero(taskqueue):
    statistics = taskqueue.Queue().fetch_statistics()
    assert (statistics.tasks, statistics.in_flight, statistics.executed_last_minute) == (0, 0, 0)
    assert (statistics.oldest_eta_usec, statistics.enforced_rate) == (None, 5)


@pytest.mark.row("T41")
def test_the_oldest_eta_may_lie_ahead(taskqueue):
    taskqueue.add(url="/x", countdown=60)
    assert taskqueue.Queue().fetch_statistics().oldest_eta_usec == (NOW + 60) * 1e6


@pytest.mark.row("T41")
def test_executions_count_for_a_minute(service, taskqueue):
    taskqueue.add(url="/x")
    run_one(service)
    service.clock.advance(59.9)
    assert taskqueue.Queue().fetch_statistics().executed_last_minute == 1
    service.clock.advance(0.1)
    assert taskqueue.Queue().fetch_statistics().executed_last_minute == 0


@pytest.mark.row("T41")
def test_the_statistics_of_several_queues_come_in_order(taskqueue):
    taskqueue.add(url="/x", queue_name="mail")
    found = taskqueue.QueueStatistics.fetch(["default", "later", "mail"])
    assert [(statistics.queue.name, statistics.tasks) for statistics in found] == [
        ("default", 0),
        ("later", 0),
        ("mail", 1),
    ]


@pytest.mark.row("T41")
def test_a_paused_queue_takes_tasks_and_enforces_a_rate_of_zero(service, taskqueue):
    queue = service.queues["default"]
    queue.pause()
    taskqueue.add(url="/x")
    assert (len(queue), taskqueue.Queue().fetch_statistics().enforced_rate) == (1, 0)
    queue.resume()
    assert taskqueue.Queue().fetch_statistics().enforced_rate == 5


@pytest.mark.row("T42")
def test_a_task_is_leased_with_its_payload_and_tag(service, pull, later):
    pull("a", tag="colour")
    pull("b")
    a, b = later.lease_tasks(60, 10)
    assert (a.name, a.payload, a.tag, a.retry_count) == ("a", b"text of a", "colour", 1)
    assert (b.name, b.payload, b.tag, b.retry_count) == ("b", b"text of b", None, 1)
    assert a.eta == b.eta == START.replace(minute=1)
    assert [(task.method, task.headers) for task in service.queues["later"].waiting()] == [("PULL", ())] * 2


@pytest.mark.row("T42")
def test_a_leased_task_is_hidden_until_its_lease_ends(service, pull, later):
    pull("a")
    later.lease_tasks(60, 10)
    service.clock.advance(59.999999)
    assert later.lease_tasks(60, 10) == []
    service.clock.advance(0.000001)
    (task,) = later.lease_tasks(60, 10)
    assert (task.name, task.retry_count) == ("a", 2)


@pytest.mark.row("T42")
def test_an_eta_of_now_can_be_leased_and_one_of_later_not(service, pull, later):
    pull("now")
    pull("soon", countdown=0.000001)
    assert names(later.lease_tasks(60, 10)) == ["now"]


@pytest.mark.row("T42")
def test_the_earliest_tasks_are_leased_first_and_no_more_than_wanted(service, pull, later):
    for name, seconds in (("c", 3), ("a", 1), ("b", 2)):
        pull(name, countdown=seconds)
    service.clock.advance(10)
    assert names(later.lease_tasks(60, 2)) == ["a", "b"]


@pytest.mark.row("T42")
def test_a_lease_of_zero_seconds_gives_each_task_once(pull, later):
    pull("a")
    pull("b")
    assert names(later.lease_tasks(0, 10)) == ["a", "b"]
    assert names(later.lease_tasks(0, 10)) == ["a", "b"]


@pytest.mark.row("T42")
def test_tasks_of_one_tag_are_leased(pull, later):
    for name, tag in (("a", "red"), ("b", "blue"), ("c", "red"), ("d", None)):
        pull(name, tag=tag)
    assert names(later.lease_tasks_by_tag(60, 10, "red")) == ["a", "c"]
    assert later.lease_tasks_by_tag(60, 10, "red") == []
    assert later.lease_tasks_by_tag(60, 10, "green") == []


@pytest.mark.row("T42")
@pytest.mark.parametrize("tag", [None, ""])
def test_without_a_tag_the_earliest_task_decides_on_it(service, pull, later, tag):
    for name, of_task in (("a", "red"), ("b", "blue"), ("c", "red")):
        pull(name, tag=of_task)
    assert names(later.lease_tasks_by_tag(60, 10, tag)) == ["a", "c"]


@pytest.mark.row("T42")
def test_tasks_without_a_tag_are_a_group_too(pull, later):
    for name, tag in (("a", None), ("b", "blue"), ("c", None)):
        pull(name, tag=tag)
    assert names(later.lease_tasks_by_tag(60, 10)) == ["a", "c"]


@pytest.mark.row("T42")
def test_an_empty_queue_has_no_tag_to_lease_by(later):
    assert later.lease_tasks_by_tag(60, 10) == []


@pytest.mark.row("T42")
def test_a_lease_can_be_extended(service, pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    service.clock.advance(30)
    later.modify_task_lease(task, 60)
    assert task.eta == START.replace(minute=1, second=30)
    service.clock.advance(59)
    assert later.lease_tasks(60, 10) == []


@pytest.mark.row("T42")
def test_a_lease_can_be_extended_up_to_its_last_instant(service, pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    service.clock.advance(60)
    later.modify_task_lease(task, 60)
    assert task.eta == START.replace(minute=2)


@pytest.mark.row("T42")
def test_a_deleted_task_cannot_be_leased_by_its_tag(pull, later):
    for name in ("a", "b"):
        pull(name, tag="red")
    later.delete_tasks_by_name("a")
    assert names(later.lease_tasks_by_tag(60, 10, "red")) == ["b"]


@pytest.mark.row("T42")
def test_a_lease_of_zero_gives_the_task_back(pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    later.modify_task_lease(task, 0)
    assert names(later.lease_tasks(60, 10)) == ["a"]


@pytest.mark.row("T42")
def test_a_lease_that_has_ended_cannot_be_extended(service, taskqueue, pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    service.clock.advance(60.000001)
    with pytest.raises(taskqueue.TaskLeaseExpiredError, match="the lease of task 'a' has expired; lease it again"):
        later.modify_task_lease(task, 60)


@pytest.mark.row("T42")
def test_a_lease_that_somebody_else_holds_cannot_be_extended(service, taskqueue, pull, later):
    pull("a")
    (mine,) = later.lease_tasks(60, 10)
    service.clock.advance(60)
    later.lease_tasks(90, 10)
    with pytest.raises(taskqueue.TaskLeaseExpiredError):
        later.modify_task_lease(mine, 60)


@pytest.mark.row("T42")
def test_the_lease_of_a_deleted_or_unknown_task_cannot_be_extended(taskqueue, pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    later.delete_tasks(task)
    with pytest.raises(taskqueue.TombstonedTaskError, match="queue 'later' has no task 'a'"):
        later.modify_task_lease(task, 60)
    with pytest.raises(taskqueue.Error, match="queue 'later' has no task 'never'"):
        later.modify_task_lease(taskqueue.Task("text", method="PULL", name="never"), 60)


@pytest.mark.row("T42")
def test_leases_of_a_paused_queue_cannot_be_extended(service, taskqueue, pull, later):
    pull("a")
    (task,) = later.lease_tasks(60, 10)
    service.queues["later"].pause()
    with pytest.raises(taskqueue.QueuePausedError, match="queue 'later' is paused"):
        later.modify_task_lease(task, 60)


@pytest.mark.row("T42")
def test_tasks_of_a_paused_queue_can_be_leased(service, pull, later):
    pull("a")
    service.queues["later"].pause()
    assert names(later.lease_tasks(60, 10)) == ["a"]


@pytest.mark.row("T42")
def test_a_leased_task_is_deleted_when_its_worker_is_done(pull, service, later):
    pull("a")
    assert later.delete_tasks(later.lease_tasks(60, 10))[0].was_deleted
    service.clock.advance(60)
    assert later.lease_tasks(60, 10) == []


@pytest.mark.row("T42")
def test_a_task_is_leased_as_often_as_its_limit_and_then_dropped(service, taskqueue, pull):
    pull("a", queue="thrice")
    queue = taskqueue.Queue("thrice")
    assert [len(queue.lease_tasks(0, 10)) for _ in range(4)] == [1, 1, 1, 0]
    assert service.history["a"][0].state is TaskState.DROPPED
    assert queue.fetch_statistics().tasks == 0


@pytest.mark.row("T42")
def test_a_dropped_task_takes_no_place_in_a_lease(pull, taskqueue):
    queue = taskqueue.Queue("thrice")
    pull("a", queue="thrice", tag="worn")
    for _ in range(3):
        assert names(queue.lease_tasks_by_tag(0, 1, "worn")) == ["a"]
    pull("b", queue="thrice")
    pull("c", queue="thrice")
    assert names(queue.lease_tasks(0, 2)) == ["b", "c"]


@pytest.mark.row("T42")
def test_a_pull_task_is_never_dispatched(service, pull):
    def send(*_: object) -> NoReturn:
        raise AssertionError("sent to a handler")

    pull("a")
    assert Dispatcher(service, service.clock, send).run() == []
    assert names(service.queues["later"].waiting()) == ["a"]


@pytest.mark.row("T42")
def test_push_and_pull_do_not_mix(taskqueue, pull):
    says = "queue 'later' is a pull queue and takes no push tasks; add it with method='PULL'"
    with pytest.raises(taskqueue.InvalidQueueModeError, match=says):
        taskqueue.add(url="/x", queue_name="later")
    says = "queue 'mail' is a push queue and takes no pull tasks; add the task to a queue with `mode: pull`"
    with pytest.raises(taskqueue.InvalidQueueModeError, match=says):
        pull("a", queue="mail")
    with pytest.raises(taskqueue.InvalidQueueModeError, match="queue 'mail' is a push queue; tasks can be leased only"):
        taskqueue.Queue("mail").lease_tasks(60, 1)


@pytest.mark.row("T42")
def test_leases_count_as_executions(taskqueue, pull, later):
    pull("a")
    pull("b")
    later.lease_tasks(60, 10)
    assert later.fetch_statistics().executed_last_minute == 2


@pytest.mark.row("T43")
def test_a_hundred_queues_cost_no_more_per_add_than_one(taskqueue):
    def work(queues: int) -> int:
        service = TaskQueueService(Clock(), [QueueConfig(f"queue-{number}") for number in range(queues)])
        with connect(service):
            taskqueue.add(url="/x", queue_name="queue-0")
            return count_calls(lambda: [taskqueue.add(url="/x", queue_name="queue-0") for _ in range(50)])

    assert work(100) <= 1.1 * work(1)  # the rest of the process may call a function or two of its own


class Instant(float):
    """A number whose comparisons are calls, so that sorting, too, is work that counts."""

    __hash__ = float.__hash__

    def __lt__(self, other: float) -> bool:
        return float.__lt__(self, other)

    def __gt__(self, other: float) -> bool:
        return float.__gt__(self, other)

    def __eq__(self, other: object) -> bool:
        return float.__eq__(self, other)


def crowded(waiting: int) -> TaskQueueService:
    """A service with so many tasks in its queue, of which a thousand are due."""
    service = TaskQueueService(Clock(), [QueueConfig("default", rate=500, bucket_size=500)])
    for number in range(waiting):
        eta = Instant(NOW + max(0, number * 7919 % waiting - 999))
        service.queues["default"].add(Task(f"old{number}", "default", "POST", "/x", (), b"", eta, NOW), NOW)
    return service


@pytest.fixture(scope="module")
def crowds() -> dict[int, TaskQueueService]:
    """Crowded services, which both modes of the client use, because it takes seconds to fill one."""
    return {waiting: crowded(waiting) for waiting in (1000, 100_000)}


@pytest.mark.row("T44")
def test_a_hundred_thousand_waiting_tasks_cost_each_no_more_than_half_as_much_again(taskqueue, crowds):
    def work(waiting: int) -> tuple[int, int]:
        service = crowds[waiting]
        dispatcher = Dispatcher(service, service.clock, lambda *_: Response(200))
        with connect(service):
            adds = count_calls(lambda: [taskqueue.add(url="/x") for _ in range(50)])
        runs = count_calls(lambda: [dispatcher.step() for _ in range(50)])
        assert len(service.queues["default"]) == waiting
        return adds, runs

    for many, few in zip(work(100_000), work(1000), strict=True):
        assert many <= 1.5 * few
