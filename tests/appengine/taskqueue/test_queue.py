"""The queue by itself: the order of tasks, their names, what a dispatcher does with them, and retry arithmetic."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from google.appengine.runtime.apiproxy_errors import ApplicationError
from hypothesis import given
from hypothesis import strategies as st

from harness.appengine.clock import START
from harness.appengine.taskqueue import Queue, QueueConfig, RetryParameters, Task
from harness.appengine.taskqueue.messages import ErrorCode
from harness.appengine.taskqueue.observer import Tombstones
from harness.appengine.taskqueue.queue import EtaOrder, PullQueue
from harness.records import Frame, TaskInfo, TaskState

NOW = START.timestamp()
QUEUES = [QueueConfig("mail")]


def new_task(name: str, eta: float = NOW) -> Task:
    return Task(name, "default", "POST", "/x", (), b"", eta, NOW)


def new_queue(*etas: float) -> Queue:
    """A queue with the tasks "a", "b", … at these seconds from now."""
    queue = Queue(QueueConfig("default"))
    for name, eta in zip("abcdefgh", etas, strict=False):
        queue.add(new_task(name, NOW + eta), NOW)
    return queue


def names(tasks: list[Task]) -> list[str]:
    return [task.name for task in tasks]


def test_tasks_wait_in_the_order_of_eta_then_of_arrival():
    queue = new_queue(20, 10, 20, 10)
    assert names(queue.waiting()) == ["b", "d", "a", "c"]
    assert queue.next_eta() == NOW + 10


def test_an_empty_queue_has_no_next_eta():
    assert new_queue().next_eta() is None
    assert new_queue().take(NOW) is None


def test_a_task_is_taken_at_its_eta_and_not_before():
    queue = new_queue(10)
    assert queue.take(NOW + 9.999999) is None
    task = queue.take(NOW + 10)
    assert task is not None and task.state is TaskState.RUNNING
    assert queue.in_flight == {"a": task}
    assert (queue.waiting(), queue.next_eta(), len(queue)) == ([], None, 1)


def test_a_task_that_is_done_leaves_a_tombstone_only():
    queue = new_queue(0)
    task = queue.take(NOW)
    queue.done(task, NOW)
    assert (len(queue), queue.in_flight) == (0, {})
    assert queue.delete("a", NOW) is ErrorCode.TOMBSTONED_TASK


def test_a_task_that_is_put_back_waits_until_its_new_eta():
    queue = new_queue(0)
    task = queue.take(NOW)
    queue.put_back(task, NOW + 5)
    assert (task.state, queue.next_eta(), queue.in_flight) == (TaskState.WAITING, NOW + 5, {})
    assert queue.take(NOW + 5) is task


@pytest.mark.parametrize("finish", ["done", "put_back"])
@pytest.mark.parametrize("how", ["delete", "purge"])
def test_a_task_that_was_deleted_while_it_ran_stays_deleted(finish, how):
    queue = new_queue(0, 0)
    task = queue.take(NOW)
    if how == "delete":
        queue.delete("a", NOW)
    else:
        queue.purge(NOW)
    assert queue.in_flight == {"a": task}, "it runs on"
    getattr(queue, finish)(task, NOW + 5)
    assert (task.state, queue.in_flight) == (TaskState.DELETED, {})
    assert "a" not in names(queue.waiting())


def test_a_deleted_task_is_never_taken():
    queue = new_queue(0, 1, 2)
    assert queue.delete("a", NOW) is ErrorCode.OK
    assert queue.next_eta() == NOW + 1
    assert names([queue.take(NOW + 9), queue.take(NOW + 9)]) == ["b", "c"]


def test_deleting_what_never_was_is_no_error():
    assert new_queue().delete("a", NOW) is ErrorCode.UNKNOWN_TASK


def test_a_pause_holds_nothing_but_itself():
    queue = new_queue(10)
    queue.pause()
    assert queue.paused and queue.next_eta() == NOW + 10
    queue.resume()
    assert not queue.paused


def test_an_order_keeps_nothing_of_deleted_tasks():
    order = EtaOrder()
    for number in range(1000):
        task = new_task(str(number), NOW + number)
        order.push(task)
        order.discard(task)
    assert len(order._entries) == len(order._sorted) == 0


def test_what_stays_after_many_are_deleted_is_still_in_order():
    order = EtaOrder()
    tasks = [new_task(str(number), NOW + number * 7919 % 1000) for number in range(1000)]
    for task in tasks:
        order.push(task)
    for task in tasks[100:]:
        order.discard(task)
    order.push(new_task("last", NOW + 1000))
    taken = [order.pop_due(NOW + 1000).eta for _ in range(101)]
    assert taken == sorted(taken)


def test_a_task_that_is_put_in_again_comes_after_those_of_the_same_eta():
    order = EtaOrder()
    first, second = new_task("first"), new_task("second")
    for task in (first, second, first):
        order.push(task)
    assert names(order.ordered()) == ["second", "first"]
    assert order.pop_due(NOW) is second


@given(st.lists(st.tuples(st.sampled_from("pdt"), st.integers(0, 9), st.integers(0, 20))))
def test_an_order_gives_the_earliest_first_and_of_equals_the_oldest(steps):
    order, expected, arrivals = EtaOrder(), {}, 0
    for step, name, eta in steps:
        if step == "p":
            task = new_task(str(name), eta)
            order.push(task)
            expected[task.name] = (eta, arrivals)
            arrivals += 1
        elif step == "d":
            order.discard(new_task(str(name)))
            expected.pop(str(name), None)
        else:
            due = [name for name in expected if expected[name][0] <= eta]
            wanted = min(due, key=expected.__getitem__, default=None)
            taken = order.pop_due(eta)
            assert (taken.name if taken else None) == wanted
            expected.pop(wanted, None)
        assert names(order.ordered()) == sorted(expected, key=expected.__getitem__)


def test_tombstones_lapse_and_are_forgotten():
    tombstones = Tombstones(lifetime=10)
    for number in range(1000):
        tombstones.bury(str(number), float(number))
    assert tombstones.holds("999", 1008.9) and not tombstones.holds("999", 1009)
    assert len(tombstones._expiry) == 10


def test_a_tombstone_that_is_set_again_lasts_from_then_on():
    tombstones = Tombstones(lifetime=10)
    tombstones.bury("a", 0)
    tombstones.bury("a", 5)
    assert tombstones.holds("a", 14)


def test_the_record_of_a_task_does_not_change_with_it():
    task = new_task("a")
    before = task.info()
    task.state, task.retries = TaskState.RUNNING, 3
    assert isinstance(before, TaskInfo)
    assert (before.state, before.retries, before.eta) == (TaskState.WAITING, 0, START)


def test_the_record_of_a_task_holds_all_that_the_queue_knows():
    task = Task("a", "mail", "PUT", "/x", (("X-Colour", "blue"),), b"text", NOW + 5, NOW, "red")
    task.retries, task.executions, task.first_try, task.state = 2, 1, NOW + 3, TaskState.DONE
    task.call_site = Frame("default.py", 4, "gen_task", "taskqueue.add()")
    assert task.info() == TaskInfo(
        name="a",
        queue="mail",
        method="PUT",
        url="/x",
        eta=START + timedelta(seconds=5),
        created=START,
        headers=(("X-Colour", "blue"),),
        body=b"text",
        tag="red",
        state=TaskState.DONE,
        retries=2,
        executions=1,
        first_try=START + timedelta(seconds=3),
        call_site=task.call_site,
    )


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (RetryParameters(10, 300, 3), [10, 20, 40, 80, 160, 240, 300, 300]),
        (RetryParameters(10, 200, 0), [*range(10, 201, 10), 200]),
        (RetryParameters(), [0.1 * 2**doublings for doublings in range(16)] + [3600, 3600]),
        (RetryParameters(0, 0), [0, 0, 0]),
    ],
)
def test_the_delay_doubles_then_grows_evenly_up_to_a_limit(retry, delays):
    assert [retry.delay(failures) for failures in range(1, len(delays) + 1)] == pytest.approx(delays)


def test_a_delay_never_overflows():
    assert RetryParameters(0.1, 3600, 2**31 - 1).delay(2**31) == 3600


@pytest.mark.parametrize(
    ("retry", "retries", "age", "words"),
    [
        (RetryParameters(), 10_000, 1e9, None),
        (RetryParameters(task_retry_limit=0), 0, 0, "task_retry_limit 0 reached"),
        (RetryParameters(task_retry_limit=3), 2, 1e9, None),
        (RetryParameters(task_retry_limit=3), 3, 0, "task_retry_limit 3 reached"),
        (RetryParameters(task_age_limit=60), 99, 60, None),
        (RetryParameters(task_age_limit=60), 0, 60.1, "task_age_limit 60 s reached"),
        (RetryParameters(task_retry_limit=3, task_age_limit=60), 9, 60, None),
        (RetryParameters(task_retry_limit=3, task_age_limit=60), 2, 61, None),
        (
            RetryParameters(task_retry_limit=3, task_age_limit=60),
            3,
            61,
            "task_retry_limit 3 and task_age_limit 60 s reached",
        ),
    ],
)
def test_a_task_is_given_up_when_all_its_limits_are_reached(retry, retries, age, words):
    assert retry.exhausted(retries, age) == words


def test_the_error_codes_are_googles(taskqueue):
    from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as pb

    google = dict(pb.TaskQueueServiceError.ErrorCode.items())
    assert {code.name: code.value for code in ErrorCode} == {code.name: google[code.name] for code in ErrorCode}


def test_the_method_numbers_are_googles(taskqueue):
    from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as pb

    from harness.appengine.taskqueue import messages

    google = pb.TaskQueueAddRequest.RequestMethod.items()
    assert {name: number for number, name in messages._METHODS.items()} == dict(google)
    assert pb.TaskQueueMode.PULL == messages.PULL


def test_the_service_takes_a_task_of_exactly_100_kb_and_no_byte_more(taskqueue):
    from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as pb

    from harness.appengine.taskqueue import messages

    message = pb.TaskQueueAddRequest(queue_name=b"default", task_name=b"", eta_usec=0, body=b"x" * 102_300)
    message.body += b"x" * (102_400 - message.ByteSize())
    messages.check_add(message, NOW)
    message.body += b"x"
    with pytest.raises(ApplicationError, match="the task has 102401 bytes; at most 102400 are allowed"):
        messages.check_add(message, NOW)


def test_eight_threads_may_add_at_once(service, taskqueue):
    def add_many(worker: int) -> list[str]:
        return [taskqueue.add(url="/x", params={"worker": worker}).name for _ in range(500)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            chosen = [name for names in pool.map(add_many, range(8)) for name in names]
    finally:
        sys.setswitchinterval(interval)
    assert len(set(chosen)) == 4000
    assert sorted(names(service.queues["default"].waiting())) == sorted(chosen) == sorted(service.history)


def test_threads_that_want_the_same_name_get_it_once(service, taskqueue):
    def add(number: int) -> bool:
        try:
            taskqueue.add(url="/x", name=f"task-{number % 50}")
        except taskqueue.TaskAlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(400))) == 50


def test_a_pull_queue_remembers_only_the_executions_of_the_last_minute():
    queue = PullQueue(QueueConfig("later", mode="pull"))
    queue.add(new_task("a"), NOW)
    for number in range(200):
        queue.lease(1, 30, NOW + 30 * number, False, None)
    assert len(queue._executed) == queue.executed_last_minute(NOW + 30 * 199) == 2


class Guarded(PullQueue):
    """A queue that lets nobody at its tasks who does not hold its lock."""

    _OPEN_TO_ALL = frozenset({"_lock", "_schedule", "_bury", "_land", "_lease_from", "_check_free", "_absence"})

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("__") and name not in Guarded._OPEN_TO_ALL:
            assert object.__getattribute__(self, "_lock")._is_owned(), f"{name} is used without the lock"
        return object.__getattribute__(self, name)


@pytest.mark.parametrize(
    "use",
    [
        lambda queue: queue.add(new_task("new"), NOW),
        lambda queue: queue.waiting(),
        lambda queue: queue.next_eta(),
        lambda queue: queue.take(NOW),
        lambda queue: queue.done(new_task("old"), NOW),
        lambda queue: queue.put_back(new_task("old"), NOW),
        lambda queue: queue.delete("old", NOW),
        lambda queue: queue.purge(NOW),
        lambda queue: queue.pause(),
        lambda queue: queue.begin(new_task("old"), NOW),
        lambda queue: queue.is_free("old", NOW),
        lambda queue: queue.oldest_eta(),
        lambda queue: queue.executed_last_minute(NOW),
        lambda queue: queue.lease(1, 60, NOW, False, None),
        lambda queue: queue.extend("old", NOW, 60, NOW),
    ],
)
def test_whoever_touches_the_tasks_of_a_queue_holds_its_lock(use):
    queue = Guarded(QueueConfig("later", mode="pull"))
    queue.add(new_task("old"), NOW)
    use(queue)


def test_a_name_is_chosen_and_taken_under_the_lock_of_the_service(service, taskqueue, monkeypatch):
    choose = service._choose_name
    monkeypatch.setattr(service, "_choose_name", lambda *args: service._mutex._is_owned() and choose(*args))
    assert taskqueue.add(url="/x").name == "task1"
    batch = taskqueue.Queue().add([taskqueue.Task(url="/x"), taskqueue.Task(url="/y")])
    assert names(batch) == ["task2", "task3"]


def test_queues_come_and_go_under_the_lock_of_the_service(service):
    class Watched(dict[str, Queue]):
        def __setitem__(self, name: str, queue: Queue) -> None:
            assert service._mutex._is_owned()
            super().__setitem__(name, queue)

        def __delitem__(self, name: str) -> None:
            assert service._mutex._is_owned()
            super().__delitem__(name)

    service.queues = Watched(service.queues)
    service.configure([QueueConfig("stats"), QueueConfig("mail", mode="pull")])
    assert list(service.queues) == ["default", "stats", "mail"]


@pytest.mark.row("T39")
def test_a_new_configuration_keeps_the_tasks_of_a_queue(service, taskqueue):
    taskqueue.add(url="/x", queue_name="mail")
    queue = service.queues["mail"]
    service.configure([QueueConfig("mail", rate=1), QueueConfig("stats")])
    assert service.queues["mail"] is queue
    assert (queue.config.rate, len(queue), list(service.queues)) == (1, 1, ["default", "mail", "stats"])


@pytest.mark.row("T39")
def test_a_queue_that_is_left_out_keeps_its_tasks_takes_new_ones_and_pauses(service, taskqueue):
    taskqueue.add(url="/x", queue_name="mail", name="letter")
    mail = service.queues["mail"]
    service.configure([])
    taskqueue.add(url="/x", queue_name="mail", name="card")
    assert (mail.paused, len(mail), service.queues["default"].paused) == (True, 2, False)
    service.configure([QueueConfig("mail")])
    assert service.queues["mail"] is mail
    assert (mail.paused, len(mail)) == (False, 2)


@pytest.mark.row("T39")
def test_a_queue_that_was_paused_before_it_was_left_out_is_so_when_it_comes_back(service):
    service.queues["mail"].pause()
    for configs in ([], [], [QueueConfig("mail")]):
        service.configure(configs)
    assert service.queues["mail"].paused


@pytest.mark.row("T39")
def test_a_queue_that_changes_its_mode_begins_anew(service, taskqueue):
    taskqueue.add(url="/x", queue_name="mail", name="letter")
    service.configure([QueueConfig("mail", mode="pull")])
    assert service.history["letter"][0].state is TaskState.DELETED
    taskqueue.add("text", method="PULL", queue_name="mail")
    assert len(service.queues["mail"]) == 1


def test_a_second_task_of_a_name_is_refused_with_its_code():
    with pytest.raises(ApplicationError) as refusal:
        new_queue(0).add(new_task("a"), NOW)
    assert refusal.value.application_error == ErrorCode.TASK_ALREADY_EXISTS
