"""Our service beside the one of Google's SDK: the same calls through the same client give the same answers.

Google's `TaskQueueServiceStub` (SDK 3.1.0) knows no rates, concurrency or pauses, and has mistakes of its own. Each of
those that the client can see is an entry of DIFFERENCES, which shows it at work; everything else is compared.
"""

import math
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harness.appengine.clock import Clock
from harness.appengine.taskqueue import (
    Connection,
    RetryParameters,
    TaskQueueService,
    connect,
    parse_queue_yaml,
    preload,
)

# Since Python 3.12, utcnow() warns, which is used in the stub.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
EXAMPLES = int(os.environ.get("HARNESS_SOAK", "50"))  # how many sequences are generated
QUEUE_YAML = """
queue:
- name: default
  rate: 5/s
- name: few
  rate: 1/s
  retry_parameters:
    task_retry_limit: 2
    min_backoff_seconds: 3
    max_backoff_seconds: 10
    max_doublings: 1
- name: old
  rate: 1/s
  retry_parameters:
    task_retry_limit: 1
    task_age_limit: 60s
    max_doublings: 0
- name: later
  mode: pull
- name: thrice
  mode: pull
  retry_parameters:
    task_retry_limit: 3
"""
PUSH, PULL = ("default", "few", "old"), ("later", "thrice")
NAMES = st.sampled_from("abcdefgh")
SECONDS = st.integers(-60, 30)  # mostly due at once
_DAY = 86400


@pytest.fixture(scope="module")
def taskqueue() -> ModuleType:
    preload()
    from google.appengine.api import taskqueue

    return taskqueue


def google_stub(clock: Clock) -> Any:
    """Google's service, on our clock and with the same queue.yaml."""
    from google.appengine.api import queueinfo
    from google.appengine.api.taskqueue.taskqueue_stub import TaskQueueServiceStub

    class Stub(TaskQueueServiceStub):
        def __init__(self) -> None:
            super().__init__(gettime=lambda: clock.timestamp)
            self.clock = clock
            self.queue_yaml_parser = lambda _: info

    info = queueinfo.LoadSingleQueue(QUEUE_YAML)
    return Stub()


class Pair:
    """Our service and Google's, connected, on one clock."""

    def __init__(self) -> None:
        preload()
        self.clock = Clock()
        self.ours = TaskQueueService(self.clock, parse_queue_yaml(QUEUE_YAML))
        self.google = google_stub(self.clock)
        self.connections = [connect(self.ours), connect(self.google)]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def both(self, call: Callable[[], Any]) -> tuple[Any, Any]:
        """Make a call to ours and to Google's, and return what each gave: a value, or the class of an exception."""
        ours, google = (outcome(connection, call) for connection in self.connections)
        return ours, google


def outcome(connection: Connection, call: Callable[[], Any]) -> Any:
    from google.appengine.api.taskqueue import Error

    with connection.active():
        try:
            return call()
        except Error as error:
            return type(error).__name__


# -- where Google's stub is wrong -----------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A mistake of Google's stub, and calls that give it away; the comparison leaves those calls out."""

    name: str
    reason: str
    show: Callable[[ModuleType, Clock], Any]


def _batch_names(taskqueue: ModuleType, clock: Clock) -> Any:
    return [task.name for task in taskqueue.Queue().add([taskqueue.Task(url="/x") for _ in range(100)])]


def _chosen_names(taskqueue: ModuleType, clock: Clock) -> Any:
    taskqueue.add(url="/x", name="task1")
    return taskqueue.add(url="/x").name


def _numbers(taskqueue: ModuleType, clock: Clock) -> Any:
    with pytest.raises(taskqueue.InvalidQueueModeError):
        taskqueue.add("text", method="PULL")
    return taskqueue.add(url="/x").name


def _ties(taskqueue: ModuleType, clock: Clock) -> Any:
    _add_pull(taskqueue, ["b", "a"])
    clock.advance(1)
    return _lease(taskqueue, 1)


def _eta_now(taskqueue: ModuleType, clock: Clock) -> Any:
    _add_pull(taskqueue, ["a"])
    return _lease(taskqueue, 1)


def _figures(taskqueue: ModuleType, clock: Clock) -> Any:
    found = [taskqueue.Queue().fetch_statistics() for _ in range(20)]
    return [(figures.executed_last_minute, figures.in_flight, figures.enforced_rate) for figures in found]


def _unknown_figures(taskqueue: ModuleType, clock: Clock) -> Any:
    return taskqueue.Queue("post").fetch_statistics().tasks


def _tombstones(taskqueue: ModuleType, clock: Clock) -> Any:
    taskqueue.add(url="/x", name="a")
    taskqueue.Queue().purge()
    clock.advance(9 * _DAY)
    return taskqueue.add(url="/x", name="a").name


def _group_without_tag(taskqueue: ModuleType, clock: Clock) -> Any:
    _add_pull(taskqueue, ["a"])
    _add_pull(taskqueue, ["b"], tag="red")
    _add_pull(taskqueue, ["c"])
    clock.advance(1)
    return [task.name for task in taskqueue.Queue("later").lease_tasks_by_tag(60, 2)]


def _worn_tasks(taskqueue: ModuleType, clock: Clock) -> Any:
    _add_pull(taskqueue, ["a"], queue="thrice")
    for _ in range(3):
        clock.advance(1)
        _lease(taskqueue, 1, "thrice")
    clock.advance(1)
    _add_pull(taskqueue, ["b"], queue="thrice")
    clock.advance(1)
    return _lease(taskqueue, 1, "thrice")


def _partly_bad_batch(taskqueue: ModuleType, clock: Clock) -> Any:
    bad = taskqueue.Task(b"x" * 102_400, url="/x", _size_check=False)
    with pytest.raises(taskqueue.TaskTooLargeError):
        taskqueue.Queue().add([taskqueue.Task(url="/x"), bad])
    return taskqueue.Queue().fetch_statistics().tasks


def _line_feed(taskqueue: ModuleType, clock: Clock) -> Any:
    return taskqueue.add(url="/x", name="a\n").name


def _add_pull(taskqueue: ModuleType, names: Iterable[str], queue: str = "later", tag: str | None = None) -> None:
    taskqueue.Queue(queue).add([taskqueue.Task("text", name=name, method="PULL", tag=tag) for name in names])


def _lease(taskqueue: ModuleType, count: int, queue: str = "later") -> list[str]:
    return [task.name for task in taskqueue.Queue(queue).lease_tasks(0.5, count)]


DIFFERENCES = [
    Difference("batch names", "results are keyed by id(), so that tasks of a batch lose their names", _batch_names),
    Difference("chosen names", "a chosen name taskN collides with one that a user took", _chosen_names),
    Difference("numbers", "a task that is refused uses up a number for chosen names", _numbers),
    Difference("ties", "tasks of one ETA are in the order of their names, not of their arrival", _ties),
    Difference("eta now", "a task whose ETA is now cannot be leased", _eta_now),
    Difference("figures", "executed_last_minute, in_flight and enforced_rate are random", _figures),
    Difference("unknown figures", "a queue that does not exist has statistics", _unknown_figures),
    Difference("tombstones", "they never lapse", _tombstones),
    Difference("group without tag", "not all tasks are searched for untagged ones", _group_without_tag),
    Difference("worn tasks", "a task that cannot be leased again takes a place of the lease", _worn_tasks),
    Difference("partly bad batch", "a task that is refused holds the others back", _partly_bad_batch),
    Difference("line feed", "a name may end with a line feed, which the client overlooks", _line_feed),
]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=[difference.name for difference in DIFFERENCES])
def test_the_stub_is_still_wrong_where_it_is_left_out(taskqueue, difference):
    ours, google = Clock(), Clock()
    with connect(TaskQueueService(ours, parse_queue_yaml(QUEUE_YAML))) as connection:
        right = outcome(connection, lambda: difference.show(taskqueue, ours))
    with connect(google_stub(google)) as connection:
        wrong = outcome(connection, lambda: difference.show(taskqueue, google))
    assert right != wrong, f"compare this too from now on: {difference.reason}"


# -- everything else ------------------------------------------------------------------------------------------------


class Comparison(RuleBasedStateMachine):
    """Generated operations, each made on both services. The clock stands at whole seconds, ETAs between them."""

    @initialize()
    def begin(self) -> None:
        self.pair = Pair()
        self.leased: dict[str, tuple[Any, Any]] = {}
        self.moments = 0

    def teardown(self) -> None:
        self.pair.close()

    def moment(self, seconds: float) -> float:
        """No two tasks may have the same ETA, nor one of now (differences "ties" and "eta now")."""
        self.moments += 1
        return seconds + self.moments * 1e-5

    def agree(self, call: Callable[[], Any]) -> tuple[Any, Any]:
        ours, google = self.pair.both(call)
        assert seen(ours) == seen(google)
        return ours, google

    @rule(seconds=st.integers(1, 120))
    def advance(self, seconds: int) -> None:
        self.pair.clock.advance(seconds)

    @rule(
        queue=st.sampled_from([*PUSH, *PUSH, "later", "nowhere"]),
        name=st.none() | NAMES,
        method=st.sampled_from(["POST", "GET", "PUT", "HEAD", "DELETE"]),
        params=st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.lists(st.integers(), max_size=2)),
        seconds=SECONDS,
        limits=st.none() | st.fixed_dictionaries({}, optional={"task_retry_limit": st.integers(0, 2)}),
    )
    def add(self, queue, name, method, params, seconds, limits) -> None:
        from google.appengine.api import taskqueue

        countdown, name = self.moment(seconds), self.refused_have_names(name, queue in PULL)

        def call() -> Any:
            retry = None if limits is None else taskqueue.TaskRetryOptions(**limits)
            kwargs = {"method": method, "params": params, "countdown": countdown, "retry_options": retry}
            return taskqueue.add(url="/x", name=name, queue_name=queue, **kwargs)

        self.agree(call)

    @rule(queue=st.sampled_from(PUSH), name=NAMES, days=st.integers(28, 32))
    def add_at_the_edge_of_time(self, queue: str, name: str, days: int) -> None:
        from google.appengine.api import taskqueue

        eta = self.pair.clock.now + timedelta(days=days, seconds=self.moment(-1))
        self.agree(lambda: taskqueue.add(url="/x", name=name, queue_name=queue, eta=eta))

    @rule(queue=st.sampled_from([*PUSH, "thrice"]), names=st.lists(NAMES, min_size=1, max_size=4))
    def add_batch(self, queue: str, names: list[str]) -> None:
        from google.appengine.api import taskqueue

        countdowns = [self.moment(-9) for _ in names]

        def call() -> Any:
            tasks = [taskqueue.Task(url="/x", name=n, countdown=c) for n, c in zip(names, countdowns, strict=True)]
            try:
                taskqueue.Queue(queue).add(tasks)
            except taskqueue.Error as error:
                return type(error).__name__, [task.was_enqueued for task in tasks]
            return [task.was_enqueued for task in tasks]

        self.agree(call)

    @rule(queue=st.sampled_from(PUSH), count=st.integers(2, 5))
    def add_batch_without_names(self, queue: str, count: int) -> None:
        """The names that the client is told are not compared (difference "batch names"), those in the queue are."""
        from google.appengine.api import taskqueue

        countdowns = [self.moment(-9) for _ in range(count)]

        def call() -> Any:
            tasks = taskqueue.Queue(queue).add([taskqueue.Task(url="/x", countdown=c) for c in countdowns])
            return [task.was_enqueued for task in tasks]

        self.agree(call)

    @rule(
        queue=st.sampled_from([*PULL, *PULL, "default"]),
        name=st.none() | NAMES,
        tag=st.none() | st.sampled_from(["red", "blue"]),
        seconds=SECONDS,
    )
    def add_pull(self, queue: str, name: str | None, tag: str | None, seconds: int) -> None:
        from google.appengine.api import taskqueue

        kwargs = {"method": "PULL", "tag": tag, "countdown": self.moment(seconds)}
        name = self.refused_have_names(name, queue in PUSH)
        self.agree(lambda: taskqueue.add("text", name=name, queue_name=queue, **kwargs))

    @rule(queue=st.sampled_from([*PUSH, *PULL, "nowhere"]), names=st.lists(NAMES, min_size=1, max_size=3))
    def delete(self, queue: str, names: list[str]) -> None:
        from google.appengine.api import taskqueue

        self.agree(lambda: [task.was_deleted for task in taskqueue.Queue(queue).delete_tasks_by_name(names)])

    @rule(queue=st.sampled_from([*PUSH, *PULL, "nowhere"]), often=st.integers(0, 5))
    def purge(self, queue: str, often: int) -> None:
        from google.appengine.api import taskqueue

        if not often:
            self.agree(lambda: taskqueue.Queue(queue).purge())

    @rule(queue=st.sampled_from([*PUSH, *PULL]))
    def fetch_statistics(self, queue: str) -> None:
        from google.appengine.api import taskqueue

        def call() -> Any:
            figures = taskqueue.Queue(queue).fetch_statistics()
            return figures.tasks, None if figures.oldest_eta_usec is None else round(figures.oldest_eta_usec, -1)

        self.agree(call)

    @rule(queue=st.sampled_from([*PULL, *PULL, "default", "nowhere"]), seconds=st.integers(0, 90))
    def lease_one(self, queue: str, seconds: int) -> None:
        from google.appengine.api import taskqueue

        length = self.moment(seconds)
        if not self.worn(queue):
            self.keep(queue, self.agree(lambda: taskqueue.Queue(queue).lease_tasks(length, 1)))

    @rule(queue=st.sampled_from(PULL), seconds=st.integers(0, 90), tag=st.none() | st.sampled_from(["red", "green"]))
    def lease_by_tag(self, queue: str, seconds: int, tag: str | None) -> None:
        """All of them (difference "group without tag"), and then give each an ETA of its own (difference "ties")."""
        from google.appengine.api import taskqueue

        length = self.moment(seconds)
        self.keep(queue, self.agree(lambda: taskqueue.Queue(queue).lease_tasks_by_tag(length, 1000, tag)))

    @rule(queue=st.sampled_from(PULL), seconds=st.integers(0, 90))
    def lease_all(self, queue: str, seconds: int) -> None:
        from google.appengine.api import taskqueue

        length = self.moment(seconds)
        self.keep(queue, self.agree(lambda: taskqueue.Queue(queue).lease_tasks(length, 1000)))

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), seconds=st.integers(0, 90))
    def modify_lease(self, data: st.DataObject, seconds: int) -> None:
        self.modify(data.draw(st.sampled_from(sorted(self.leased))), self.moment(seconds))

    @rule(queue=st.sampled_from(PUSH), statuses=st.lists(st.sampled_from([200, 500, 500, 500]), min_size=1, max_size=6))
    def run_some(self, queue: str, statuses: list[int]) -> None:
        """Run the earliest task, when it is due, and let it end with a status; then the next."""
        ours, google = self.pair.ours.queues[queue], self.pair.google._GetGroup().GetQueue(queue)
        for status in statuses:
            wait = (ours.next_eta() or 0) - self.pair.clock.timestamp
            self.pair.clock.advance(math.ceil(wait) if 0 < wait < 600 else 0)  # difference "tombstones": not too far
            now, oldest = self.pair.clock.timestamp, google.Oldest()
            task = ours.take(now)
            assert (task is None) == (oldest is None or oldest / 1e6 > now)
            if task is not None:
                assert task.eta == pytest.approx(oldest / 1e6, abs=1e-5)
                decision = end_ours(ours, task, status, now)
                assert decision == pytest.approx(end_googles(google, task.name, status, now), abs=1e-5)

    @invariant()
    def both_hold_the_same_tasks(self) -> None:
        for name, queue in self.pair.ours.queues.items():
            theirs = {task.task_name.decode(): task for task in self.pair.google._GetGroup().GetQueue(name)._GetTasks()}
            assert {task.name for task in queue.waiting()} == set(theirs)
            for task in queue.waiting():
                assert stored(task) == stored_by_google(theirs[task.name])
                assert task.eta == pytest.approx(theirs[task.name].eta_usec / 1e6, abs=1e-5)

    def refused_have_names(self, name: str | None, refused: bool) -> str | None:
        """Otherwise the two services would count differently from then on (difference "numbers")."""
        return name or ("refused" if refused else None)

    def worn(self, queue: str) -> bool:
        """Whether a lease of one task would meet one that cannot be leased again (difference "worn tasks")."""
        ours = self.pair.ours.queues.get(queue)
        return ours is not None and any(ours.config.retry.exhausted(task.retries, 0) for task in ours.waiting())

    def keep(self, queue: str, tasks: tuple[Any, Any]) -> None:
        """Remember what was leased; tasks that were leased together get different ETAs (difference "ties")."""
        for ours, google in zip(*(tasks if isinstance(tasks[0], list) else ([], [])), strict=True):
            self.leased[f"{queue} {ours.name}"] = ours, google
            self.modify(f"{queue} {ours.name}", self.moment(1))

    def modify(self, key: str, length: float) -> None:
        from google.appengine.api import taskqueue

        queue, tasks = taskqueue.Queue(key.partition(" ")[0]), iter(self.leased[key])
        self.agree(lambda: queue.modify_task_lease(next(tasks), length))


def end_ours(queue: Any, task: Any, status: int, now: float) -> float | None:
    """End an attempt; return the ETA of the next one, or None when there is none."""
    retry, task.first_try = task.retry or queue.config.retry, task.first_try or now
    if 200 <= status < 300 or retry.exhausted(task.retries, now - task.first_try):
        queue.done(task, now)
        return None
    task.retries += 1
    queue.put_back(task, now + retry.delay(task.retries))
    return task.eta


def end_googles(queue: Any, name: str, status: int, now: float) -> float | None:
    """The same with Google's queue: what `_BackgroundTaskScheduler._ProcessQueues` does, on its own classes."""
    from google.appengine.api.taskqueue.taskqueue_stub import Retry

    (task,) = queue.Lookup(1, name=name)
    if task.retry_count == 0:
        task.first_try_usec = int(now * 1e6)
    retry = Retry(task, queue)
    if 200 <= status < 300 or not retry.CanRetry(task.retry_count + 1, int(now * 1e6) - task.first_try_usec):
        queue.Delete(name)
        return None
    queue.PostponeTask(task, int(now * 1e6) + retry.CalculateBackoffUsec(task.retry_count + 1))
    return task.eta_usec / 1e6


def seen(result: Any) -> Any:
    """What is compared of a result: of a task its state, with the ETA to a hundred-thousandth of a second."""
    if isinstance(result, list):
        return [seen(item) for item in result]
    if not hasattr(result, "was_enqueued"):
        return result
    flags = result.was_enqueued, result.was_deleted
    return result.name, result.queue_name, result.tag, result.payload, result.retry_count, *flags


def stored(task: Any) -> Any:
    method = "POST" if task.method == "PULL" else task.method  # Google's stub keeps the default for a pull task
    headers = [pair for pair in task.headers if pair != ("content-type", "application/octet-stream")]
    return method, task.url, task.body, task.tag, task.retries, headers


def stored_by_google(task: Any) -> Any:
    headers = [(header.key.decode(), header.value.decode()) for header in task.header]
    # Google's stub adds this one to a pull task; it is of no use to anyone
    headers = [pair for pair in headers if pair != ("host", "default.localhost")]
    tag = task.tag.decode() if task.HasField("tag") else None
    return task.RequestMethod.Name(task.method), task.url.decode(), task.body, tag, task.retry_count, headers


def test_the_same_operations_give_the_same_results(taskqueue):
    run_state_machine_as_test(
        Comparison,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )


def optional_limits() -> st.SearchStrategy[RetryParameters]:
    return st.builds(
        RetryParameters,
        min_backoff=st.integers(0, 10_000).map(lambda milliseconds: milliseconds / 1000),
        max_backoff=st.integers(10, 5000).map(float),
        max_doublings=st.integers(0, 40),
        task_retry_limit=st.none() | st.integers(0, 9),
        task_age_limit=st.none() | st.integers(0, 99).map(float),
    )


def to_google(retry: RetryParameters) -> Any:
    from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as messages
    from google.appengine.api.taskqueue.taskqueue_stub import Retry

    task = messages.TaskQueueQueryTasksResponse.Task()
    task.retry_parameters.min_backoff_sec = retry.min_backoff
    task.retry_parameters.max_backoff_sec = retry.max_backoff
    task.retry_parameters.max_doublings = retry.max_doublings
    if retry.task_retry_limit is not None:
        task.retry_parameters.retry_limit = retry.task_retry_limit
    if retry.task_age_limit is not None:
        task.retry_parameters.age_limit_sec = int(retry.task_age_limit)
    return Retry(task, None)


@settings(max_examples=EXAMPLES, deadline=None)
@given(retry=optional_limits(), failures=st.integers(1, 2000))
def test_the_delay_is_googles(taskqueue, retry, failures):
    expected = to_google(retry).CalculateBackoffUsec(failures) / 1e6
    assert retry.delay(failures) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@settings(max_examples=EXAMPLES, deadline=None)
@given(retry=optional_limits(), retries=st.integers(0, 12), age=st.integers(0, 120))
def test_a_task_is_given_up_when_google_gives_it_up(taskqueue, retry, retries, age):
    assert (retry.exhausted(retries, age) is None) == to_google(retry).CanRetry(retries + 1, age * 1_000_000)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rate=st.from_regex(r"\A(0|[0-9]{1,4}(\.[0-9]{0,3})?/[smhd])\Z"))
def test_a_rate_is_read_as_google_reads_it(taskqueue, rate):
    from google.appengine.api import queueinfo

    expected = queueinfo.ParseRate(rate)
    assume(expected <= 500)
    config = parse_queue_yaml(f"queue:\n- name: mail\n  rate: {rate}")[1]
    assert config.rate == pytest.approx(expected)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    lines=st.fixed_dictionaries(
        {},
        optional={
            "task_retry_limit": st.integers(0, 99),
            "task_age_limit": st.builds("{}{}".format, st.integers(1, 99), st.sampled_from("smhd")),
            "min_backoff_seconds": st.integers(0, 5000),
            "max_backoff_seconds": st.integers(0, 5000),
            "max_doublings": st.integers(0, 99),
        },
    ).filter(bool)
)
def test_retry_parameters_are_read_as_google_reads_them(taskqueue, lines):
    from google.appengine.api import queueinfo

    assume(lines.get("min_backoff_seconds", 0) <= lines.get("max_backoff_seconds", 5000))
    text = "queue:\n- name: mail\n  rate: 1/s\n  retry_parameters:\n"
    text += "".join(f"    {field}: {value}\n" for field, value in lines.items())
    ours = parse_queue_yaml(text)[1].retry
    google = queueinfo.TranslateRetryParameters(queueinfo.LoadSingleQueue(text).queue[0].retry_parameters)
    assert (ours.min_backoff, ours.max_backoff) == (google.min_backoff_sec, google.max_backoff_sec)
    assert ours.max_doublings == google.max_doublings
    assert ours.task_retry_limit == (google.retry_limit if google.HasField("retry_limit") else None)
    assert ours.task_age_limit == (google.age_limit_sec if google.HasField("age_limit_sec") else None)
