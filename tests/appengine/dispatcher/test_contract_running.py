"""Rows T21 to T38 of harness/FIDELITY.md: tasks added with Google's real client, and what App Engine does with them."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from harness.appengine import wsgi
from harness.appengine.dispatcher import deferred_application, strip_appengine_headers
from harness.errors import NothingDueError, RunawayError
from harness.records import Outcome, Request, Response, TaskState
from tests.support.stage import NOW, Handler, Stage, appengine_headers, import_deferred, names, notes, starts

QUEUES = """
queue:
- name: default
  rate: 500/s
  bucket_size: 500
- name: doubling
  rate: 500/s
  retry_parameters: {min_backoff_seconds: 10, max_backoff_seconds: 300, max_doublings: 3}
- name: linear
  rate: 500/s
  retry_parameters: {min_backoff_seconds: 10, max_backoff_seconds: 200, max_doublings: 0}
- name: twice
  rate: 500/s
  retry_parameters: {task_retry_limit: 2, min_backoff_seconds: 1}
- name: once
  rate: 500/s
  retry_parameters: {task_retry_limit: 0}
- name: both
  rate: 500/s
  retry_parameters: {task_retry_limit: 2, task_age_limit: 100s, min_backoff_seconds: 10, max_doublings: 0}
- name: aged
  rate: 500/s
  retry_parameters: {task_age_limit: 100s, min_backoff_seconds: 10, max_doublings: 0}
- name: slow
  rate: 1/s
  bucket_size: 3
- name: held
  rate: 0
- name: narrow
  rate: 500/s
  bucket_size: 500
  max_concurrent_requests: 2
- name: aimed
  target: worker
- name: patient
  retry_parameters: {max_backoff_seconds: 20000}
- name: busy
  rate: 500/s
  bucket_size: 500
  retry_parameters: {min_backoff_seconds: 0, max_backoff_seconds: 0}
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(QUEUES).connected() as stage:
        yield stage


@pytest.fixture
def taskqueue(stage: Stage) -> ModuleType:
    from google.appengine.api import taskqueue

    return taskqueue


@pytest.fixture
def staged() -> Iterator[Callable[..., Stage]]:
    """Build further stages, each with the client connected to it until the next one or the test's end."""
    scopes = []

    def build(**chance: float) -> Stage:
        stage = Stage(QUEUES, **chance)
        scopes.append(stage.connected())
        return scopes[-1].__enter__()

    yield build
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)


def answers(*statuses: int) -> Handler:
    """A handler that answers with one status after the other, and with the last one ever after."""
    left = list(statuses)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def sleeps(seconds: float, status: int = 200) -> Handler:
    def handler(request: Request) -> int:
        time.sleep(seconds)
        return status

    return handler


def waits(stage: Stage, count: int) -> list[float]:
    """Run so many attempts, and return the seconds between the end of each and the ETA of the next."""
    attempts = [stage.step() for _ in range(count)]
    return [round((each.next_eta - each.started).total_seconds() - each.elapsed, 6) for each in attempts]


# -- T21 to T22


@pytest.mark.row("T21")
def test_a_task_runs_at_its_eta_and_not_before(stage: Stage, taskqueue: ModuleType) -> None:
    taskqueue.add(url="/x", countdown=10)
    assert stage.run(until=NOW + 9.999999) == []
    assert starts(stage.run(until=NOW + 10)) == [10.0]


@pytest.mark.row("T21")
def test_tasks_run_in_the_order_of_eta_as_long_as_nothing_is_shuffled(stage: Stage, taskqueue: ModuleType) -> None:
    for name, countdown in (("late", 2), ("soon", 1), ("sooner", 0), ("soon-too", 1)):
        taskqueue.add(url="/x", name=name, countdown=countdown)
    assert names(stage.run()) == ["sooner", "soon", "soon-too", "late"]


@pytest.mark.row("T21")
def test_shuffle_shows_that_the_order_of_due_tasks_is_not_promised(staged: Callable[..., Stage]) -> None:
    from google.appengine.api import taskqueue

    def order(seed: int) -> list[str]:
        stage = staged(shuffle=True, seed=seed)
        for number in range(10):
            taskqueue.add(url="/x", name=f"t{number}")
        taskqueue.add(url="/x", name="later", countdown=1)
        return names(stage.run())

    drawn = order(seed=1)
    assert drawn == order(seed=1)
    assert drawn != order(seed=2)
    assert sorted(drawn[:10]) == [f"t{number}" for number in range(10)] != drawn[:10]
    assert {order(seed)[10] for seed in range(5)} == {"later"}


@pytest.mark.row("T22")
@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_200_to_299_is_success(stage: Stage, taskqueue: ModuleType, status: int) -> None:
    stage.handlers["/x"] = answers(status)
    taskqueue.add(url="/x", name="t")
    assert notes(stage.run()) == [("done", f"status {status}")]
    assert stage.service.history["t"][0].state is TaskState.DONE


@pytest.mark.row("T22")
@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 304, 400, 403, 404, 429, 500, 503])
def test_any_other_status_is_a_failure_and_is_retried(stage: Stage, taskqueue: ModuleType, status: int) -> None:
    stage.handlers["/x"] = answers(status, 200)
    taskqueue.add(url="/x")
    assert notes(stage.run()) == [("retry", f"status {status}"), ("done", "status 200")]


# -- T23 to T27: headers

AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"


def recorded(retry: int, execution: int, eta: str, **more: str) -> dict[str, str]:
    """Return the headers that the production service sent, as they were recorded."""
    return {
        "User-Agent": AGENT,
        "X-AppEngine-QueueName": "default",
        "X-AppEngine-TaskName": "t",
        "X-AppEngine-TaskRetryCount": str(retry),
        "X-AppEngine-TaskExecutionCount": str(execution),
        "X-AppEngine-TaskETA": eta,
        **{f"X-AppEngine-Task{name}": value for name, value in more.items()},
    }


@pytest.mark.row("T23")
def test_the_first_attempt_carries_the_recorded_headers(stage: Stage, taskqueue: ModuleType) -> None:
    stage.clock.advance(10.5)
    taskqueue.add(url="/x", name="t")
    stage.run()
    assert appengine_headers(stage.requests[0].headers) == recorded(0, 0, "1346662810.500000")


@pytest.mark.row("T24")
def test_503_then_404_then_200_sends_the_headers_that_production_sent(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(503, 404, 200)
    taskqueue.add(url="/x", name="t")
    stage.run()
    assert [appengine_headers(request.headers) for request in stage.requests] == [
        recorded(0, 0, "1346662800.000000"),
        recorded(1, 1, "1346662800.100000", PreviousResponse="503", RetryReason="App Error"),
        recorded(2, 2, "1346662800.300000", PreviousResponse="404", RetryReason="App Error"),
    ]


@pytest.mark.row("T25")
def test_a_timeout_sends_the_headers_that_production_sent(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = lambda request: 200 if len(stage.requests) > 1 else sleeps(601)(request)
    taskqueue.add(url="/x", name="t")
    attempts = stage.run()
    assert [appengine_headers(request.headers) for request in stage.requests] == [
        recorded(0, 0, "1346662800.000000"),
        recorded(1, 0, "1346663400.100000", PreviousResponse="0", RetryReason="Instance Unavailable"),
    ]
    assert [attempt.status for attempt in attempts] == [0, 200]


@pytest.mark.row("T25")
def test_an_answer_after_a_timeout_counts_one_execution_fewer_than_retries(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = lambda request: (sleeps(601), answers(500), answers(200))[len(stage.requests) - 1](request)
    taskqueue.add(url="/x", name="t")
    stage.run()
    last = stage.requests[2]
    assert last.header("X-AppEngine-TaskRetryCount") == "2"
    assert last.header("X-AppEngine-TaskExecutionCount") == "1"
    assert last.header("X-AppEngine-TaskRetryReason") == "App Error"


@pytest.mark.row("T26")
def test_appengine_headers_that_a_task_brings_are_dropped(stage: Stage, taskqueue: ModuleType) -> None:
    forged = {"X-AppEngine-TaskRetryCount": "7", "x-appengine-cron": "true", "X_AppEngine_QueueName": "other"}
    taskqueue.add(url="/x", name="t", headers={**forged, "X-Own": "1"})
    stage.run()
    request = stage.requests[0]
    assert appengine_headers(request.headers) == recorded(0, 0, "1346662800.000000")
    assert request.header("x-own") == "1"
    assert request.header("X_AppEngine_QueueName") is None


@pytest.mark.row("T26")
def test_the_namespace_that_the_client_puts_in_arrives(stage: Stage, taskqueue: ModuleType) -> None:
    from google.appengine.api import namespace_manager

    before = namespace_manager.get_namespace()
    namespace_manager.set_namespace("school")
    try:
        taskqueue.add(url="/x", headers={"X-AppEngine-Default-Namespace": "town"})
    finally:
        namespace_manager.set_namespace(before)
    stage.run()
    assert stage.requests[0].header("X-AppEngine-Current-Namespace") == "school"
    assert stage.requests[0].header("X-AppEngine-Default-Namespace") == "town"


@pytest.mark.row("T26")
def test_appengine_headers_of_a_users_request_are_stripped() -> None:
    forged = (
        ("X-AppEngine-QueueName", "default"),
        ("x-appengine-taskname", "t"),
        ("X_APPENGINE_TaskName", "t"),
        ("X-AppEngine-Current-Namespace", "school"),
        ("X-AppEngineer", "me"),
        ("Cookie", "a=1"),
    )
    assert strip_appengine_headers(forged) == (("X-AppEngineer", "me"), ("Cookie", "a=1"))


@pytest.mark.row("T27")
def test_tasks_come_from_the_address_of_the_task_queue(stage: Stage, taskqueue: ModuleType) -> None:
    taskqueue.add(url="/x")
    stage.run()
    assert stage.requests[0].remote_addr == "0.1.0.2"


@pytest.mark.row("T27")
def test_custom_headers_keep_their_spelling_and_repeats(stage: Stage, taskqueue: ModuleType) -> None:
    taskqueue.add(url="/x", headers={"x-MIXED-Case": ["1", "2"], "Content-Type": "application/json"}, payload="{}")
    stage.run()
    mine = [pair for pair in stage.requests[0].headers if pair[0].lower() in ("x-mixed-case", "content-type")]
    assert sorted(mine) == [("Content-Type", "application/json"), ("x-MIXED-Case", "1"), ("x-MIXED-Case", "2")]


@pytest.mark.row("T27")
def test_app_engine_appends_itself_to_a_tasks_own_user_agent(stage: Stage, taskqueue: ModuleType) -> None:
    taskqueue.add(url="/x", headers={"User-Agent": "mine/1.0"})
    stage.run()
    agents = [value for name, value in stage.requests[0].headers if name.lower() == "user-agent"]
    assert agents == [f"mine/1.0 {AGENT}"]


@pytest.mark.row("T27")
@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        ({}, "tutorial.appspot.com"),
        ({"headers": {"Host": "www.example.com"}}, "www.example.com"),
        ({"target": "v2.stats"}, "v2.stats.tutorial.appspot.com"),
        ({"queue_name": "aimed"}, "worker.tutorial.appspot.com"),
        ({"queue_name": "aimed", "target": "v2"}, "worker.tutorial.appspot.com"),
    ],
)
def test_the_host_is_the_tasks_own_unless_the_queue_has_a_target(
    stage: Stage, taskqueue: ModuleType, arguments: dict[str, Any], host: str
) -> None:
    taskqueue.add(url="/x", **arguments)
    stage.run()
    assert stage.requests[0].host == host
    assert stage.requests[0].header("Host") is None


@pytest.mark.row("T27")
def test_the_content_length_is_that_of_the_body(stage: Stage, taskqueue: ModuleType) -> None:
    taskqueue.add(url="/x", payload="12345", headers={"Content-Length": "99"})
    stage.run()
    assert stage.requests[0].header("Content-Length") is None
    assert wsgi.to_environ(stage.requests[0])["CONTENT_LENGTH"] == "5"


@pytest.mark.row("T09")
@pytest.mark.row("T27")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "DELETE"])
def test_method_path_and_query_arrive_as_they_were_added(stage: Stage, taskqueue: ModuleType, method: str) -> None:
    url = "/x/caf%C3%A9" if method == "POST" else "/x/caf%C3%A9?a=1&b=%20"
    taskqueue.add(url=url, method=method, **({"payload": b"\x00\xff"} if method in ("POST", "PUT") else {}))
    stage.run()
    request = stage.requests[0]
    assert (request.method, request.url) == (method, url)
    assert request.body == (b"\x00\xff" if method in ("POST", "PUT") else b"")


# -- T28 to T31: retries


@pytest.mark.row("T28")
def test_by_default_the_backoff_doubles_from_a_tenth_of_a_second_to_an_hour(
    stage: Stage, taskqueue: ModuleType
) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x")
    doubled = [round(0.1 * 2**doublings, 1) for doublings in range(16)]
    assert waits(stage, 40) == doubled + [3600.0] * 24


@pytest.mark.row("T28")
def test_sixteen_doublings_are_the_default_where_the_backoff_may_grow(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", queue_name="patient")
    assert waits(stage, 20)[15:] == [3276.8, 6553.6, 13107.2, 19660.8, 20000]


@pytest.mark.row("T28")
def test_the_backoff_counts_from_the_end_of_the_attempt(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = sleeps(5, status=500)
    taskqueue.add(url="/x", queue_name="linear")
    assert starts(stage.run(until=NOW + 60)) == [0.0, 15.0, 40.0]


@pytest.mark.row("T29")
@pytest.mark.parametrize(
    ("queue", "documented"),
    [
        ("doubling", [10, 20, 40, 80, 160, 240, 300, 300, 300]),
        ("linear", [*range(10, 200, 10), 200, 200, 200]),
    ],
)
def test_the_backoffs_are_those_of_the_documentation(
    stage: Stage, taskqueue: ModuleType, queue: str, documented: list[float]
) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", queue_name=queue)
    assert waits(stage, len(documented)) == documented


@pytest.mark.row("T30")
def test_retry_limit_n_means_n_plus_one_attempts(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", name="t", queue_name="twice")
    attempts = stage.run()
    assert [str(attempt.outcome) for attempt in attempts] == ["retry", "retry", "dropped"]
    assert attempts[-1].note == "status 500; task_retry_limit 2 reached"
    assert stage.service.history["t"][0].state is TaskState.DROPPED
    assert stage.queue("twice").waiting() == []


@pytest.mark.row("T30")
def test_retry_limit_zero_means_one_attempt(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", queue_name="once")
    assert notes(stage.run()) == [("dropped", "status 500; task_retry_limit 0 reached")]


@pytest.mark.row("T30")
def test_with_two_limits_a_task_is_retried_until_both_are_reached(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", queue_name="both")
    attempts = stage.run()
    assert starts(attempts) == [0, 10, 30, 60, 100, 150]
    assert attempts[-1].note == "status 500; task_retry_limit 2 and task_age_limit 100 s reached"


@pytest.mark.row("T30")
def test_the_age_counts_from_the_first_attempt(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", queue_name="aged", countdown=1000)
    attempts = stage.run()
    assert starts(attempts) == [1000, 1010, 1030, 1060, 1100, 1150]
    assert attempts[-1].note == "status 500; task_age_limit 100 s reached"


@pytest.mark.row("T31")
def test_a_tasks_own_options_replace_the_queues_as_a_whole(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    options = taskqueue.TaskRetryOptions(min_backoff_seconds=7)
    taskqueue.add(url="/x", queue_name="twice", retry_options=options)
    assert waits(stage, 5) == [7, 14, 28, 56, 112]  # the queue's limit of two retries does not hold


@pytest.mark.row("T31")
def test_each_of_a_tasks_own_options_holds(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    backoff = {"min_backoff_seconds": 1, "max_backoff_seconds": 9, "max_doublings": 1}
    options = taskqueue.TaskRetryOptions(**backoff, task_retry_limit=3, task_age_limit=30)
    taskqueue.add(url="/x", queue_name="linear", retry_options=options)
    attempts = stage.run()
    assert starts(attempts) == [0, 1, 3, 7, 13, 21, 30, 39]
    assert attempts[-1].note == "status 500; task_retry_limit 3 and task_age_limit 30 s reached"


# -- T32 to T34: rate, concurrency, deadline


@pytest.mark.row("T32")
def test_a_full_bucket_lets_a_burst_through_and_then_the_rate_holds(stage: Stage, taskqueue: ModuleType) -> None:
    for _ in range(6):
        taskqueue.add(url="/x", queue_name="slow")
    assert starts(stage.run()) == [0, 0, 0, 1, 2, 3]


@pytest.mark.row("T32")
def test_an_idle_bucket_fills_up_to_its_size_only(stage: Stage, taskqueue: ModuleType) -> None:
    for countdown in (0, 0, 0, 100, 100, 100, 100):
        taskqueue.add(url="/x", queue_name="slow", countdown=countdown)
    assert starts(stage.run()) == [0, 0, 0, 100, 100, 100, 101]


@pytest.mark.row("T32")
def test_retries_take_tokens_too(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500, 500, 500, 500, 200)
    retry = taskqueue.TaskRetryOptions(min_backoff_seconds=0, max_backoff_seconds=0)
    taskqueue.add(url="/x", queue_name="slow", retry_options=retry)
    assert starts(stage.run()) == [0, 0, 0, 1, 2]


@pytest.mark.row("T32")
def test_rate_zero_holds_everything_while_adding_goes_on(stage: Stage, taskqueue: ModuleType) -> None:
    for _ in range(3):
        taskqueue.add(url="/x", queue_name="held")
    assert stage.run() == []
    assert len(stage.queue("held")) == 3
    with pytest.raises(NothingDueError, match="'held' has the rate 0 and holds 3 tasks"):
        stage.step()


@pytest.mark.row("T32")
def test_a_paused_queue_holds_everything_until_it_is_resumed(stage: Stage, taskqueue: ModuleType) -> None:
    stage.queue().paused = True
    taskqueue.add(url="/x", name="t")
    assert stage.run(until=NOW + 60) == []
    stage.queue().paused = False
    assert starts(stage.run()) == [60]


@pytest.mark.row("T33")
def test_no_more_than_max_concurrent_requests_overlap(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = sleeps(10)
    for _ in range(5):
        taskqueue.add(url="/x", queue_name="narrow")
    assert starts(stage.run()) == [0, 0, 10, 10, 20]
    assert stage.seconds == 30


@pytest.mark.row("T33")
def test_without_a_limit_slow_tasks_overlap(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = sleeps(10)
    for _ in range(5):
        taskqueue.add(url="/x")
    assert starts(stage.run()) == [0] * 5
    assert stage.seconds == 10


@pytest.mark.row("T33")
def test_a_busy_queue_does_not_starve_another(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/fail"] = answers(500)
    taskqueue.add(url="/fail", queue_name="busy")
    for number in range(3):
        taskqueue.add(url="/x", name=f"t{number}")
    with pytest.raises(RunawayError):
        stage.run(cap=10)
    assert [request.url for request in stage.requests[:6]] == ["/x", "/fail", "/x", "/fail", "/x", "/fail"]


@pytest.mark.row("T34")
def test_a_handler_has_600_seconds(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/short"], stage.handlers["/long"] = sleeps(600), sleeps(600.5)
    taskqueue.add(url="/short", queue_name="once")
    taskqueue.add(url="/long", queue_name="once")
    short, long = stage.run()
    assert (short.status, short.elapsed, short.note) == (200, 600, "status 200")
    assert (long.status, long.elapsed) == (0, 600)
    assert long.note == "deadline of 600 s exceeded; task_retry_limit 0 reached"


@pytest.mark.row("T34")
def test_a_tasks_own_dispatch_deadline_holds_instead(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = sleeps(31)
    taskqueue.add(url="/x", queue_name="once", dispatch_deadline_usec=30_000_000)
    attempt = stage.step()
    assert (attempt.status, attempt.elapsed) == (0, 30)
    assert attempt.note == "deadline of 30 s exceeded; task_retry_limit 0 reached"


# -- T35 to T37


@pytest.mark.row("T35")
@pytest.mark.parametrize("status", [200, 500])
def test_a_handler_may_delete_its_own_task(stage: Stage, taskqueue: ModuleType, status: int) -> None:
    def handler(request: Request) -> int:
        taskqueue.Queue().delete_tasks_by_name("t")
        return status

    stage.handlers["/x"] = handler
    taskqueue.add(url="/x", name="t")
    assert notes(stage.run()) == [("deleted", f"status {status}; the task was deleted while it ran")]
    assert (len(stage.queue()), stage.queue().in_flight) == (0, {})
    assert stage.service.history["t"][0].state is TaskState.DELETED


@pytest.mark.row("T35")
@pytest.mark.parametrize("status", [200, 500])
def test_a_handler_may_purge_its_queue(stage: Stage, taskqueue: ModuleType, status: int) -> None:
    def handler(request: Request) -> int:
        taskqueue.Queue().purge()
        taskqueue.add(url="/after", name="after")
        return status

    stage.handlers["/x"] = handler
    for name in ("first", "second", "third"):
        taskqueue.add(url="/x", name=name)
    attempts = stage.run()
    assert names(attempts) == ["first", "after"]
    assert [str(attempt.outcome) for attempt in attempts] == ["deleted", "done"]
    assert (len(stage.queue()), stage.queue().in_flight) == (0, {})


@pytest.mark.row("T35")
def test_a_task_deleted_by_another_while_it_runs_ends_deleted(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/slow"] = sleeps(10, status=500)
    stage.handlers["/x"] = lambda request: taskqueue.Queue().delete_tasks_by_name("slow") and 200
    taskqueue.add(url="/slow", name="slow")
    taskqueue.add(url="/x", countdown=5)
    assert [(each.task.name, str(each.outcome)) for each in stage.run()] == [("slow", "deleted"), ("task1", "done")]


@pytest.mark.row("T35")
def test_a_handler_may_add_tasks_and_then_fail(stage: Stage, taskqueue: ModuleType) -> None:
    def handler(request: Request) -> int:
        taskqueue.add(url="/more")
        return 500 if len(stage.requests) == 1 else 200

    stage.handlers["/x"] = handler
    taskqueue.add(url="/x")
    stage.run()
    assert [request.url for request in stage.requests] == ["/x", "/more", "/x", "/more"]


@pytest.mark.row("T35")
def test_a_handler_runs_at_its_start_whatever_it_sleeps(stage: Stage, taskqueue: ModuleType) -> None:
    def handler(request: Request) -> int:
        time.sleep(10)
        taskqueue.Queue().delete_tasks_by_name("meanwhile")
        taskqueue.add(url="/y", name="added", countdown=1)
        return 200

    stage.handlers["/x"] = handler
    taskqueue.add(url="/x", name="t")
    taskqueue.add(url="/y", name="meanwhile", countdown=5)
    attempts = stage.run()
    assert (names(attempts), starts(attempts)) == (["t", "added"], [0, 11])


@pytest.mark.row("T36")
def test_zero_backoff_ends_in_the_cap(stage: Stage, taskqueue: ModuleType) -> None:
    stage.handlers["/x"] = answers(500)
    taskqueue.add(url="/x", name="t", queue_name="busy")
    with pytest.raises(RunawayError, match="stopped after 50 attempts") as caught:
        stage.run(cap=50)
    assert "/x: 50 attempts of task 't' on queue 'busy'" in str(caught.value)


@pytest.mark.row("T37")
def test_duplicates_delivers_tasks_that_succeeded_a_second_time(staged: Callable[..., Stage]) -> None:
    from google.appengine.api import taskqueue

    def twice(seed: int) -> list[str]:
        stage = staged(duplicates=0.5, seed=seed)
        for number in range(20):
            taskqueue.add(url="/x", name=f"t{number}")
        attempts = stage.run()
        assert {attempt.outcome for attempt in attempts} == {Outcome.DONE}
        assert {names(attempts).count(f"t{number}") for number in range(20)} == {1, 2}
        return [attempt.task.name for attempt in attempts if attempt.duplicate]

    assert twice(1) == twice(1) != twice(2)


@pytest.mark.row("T37")
def test_a_handler_cannot_tell_a_duplicate(staged: Callable[..., Stage]) -> None:
    from google.appengine.api import taskqueue

    stage = staged(duplicates=1.0)
    stage.handlers["/x"] = sleeps(1)
    taskqueue.add(url="/x", name="t")
    first, second = stage.run()
    assert first.request == second.request
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.note == "status 200; will be delivered once more"
    assert len(stage.queue()) == 0


# -- T38: deferred tasks

RAN: list[tuple[object, ...]] = []


def record(*arguments: object) -> None:
    RAN.append(arguments)


def fail_with(kind: str) -> None:
    RAN.append((kind,))
    raise getattr(import_deferred(), kind, ValueError)("on purpose")


@pytest.fixture
def deferred(stage: Stage) -> Iterator[ModuleType]:
    """Google's module, with its handler mounted as the lab mounts it."""

    def handler(request: Request) -> Response:
        try:
            return wsgi.call(deferred_application, wsgi.to_environ(request), request)
        except Exception:
            return Response(500)

    stage.handlers["/_ah/queue/deferred"] = handler
    RAN.clear()
    yield import_deferred()
    RAN.clear()


@pytest.mark.row("T38")
def test_a_deferred_function_runs_with_its_arguments(stage: Stage, deferred: ModuleType) -> None:
    deferred.defer(record, "a", 1, _countdown=5)
    (attempt,) = stage.run()
    assert RAN == [("a", 1)]
    assert (attempt.status, attempt.response.text) == (200, "Success")


@pytest.mark.row("T38")
def test_a_permanent_failure_drops_the_deferred_task(stage: Stage, deferred: ModuleType) -> None:
    deferred.defer(fail_with, "PermanentTaskFailure")
    assert notes(stage.run()) == [("done", "status 200")]
    assert RAN == [("PermanentTaskFailure",)]


@pytest.mark.row("T38")
@pytest.mark.parametrize(("kind", "status"), [("SingularTaskFailure", 408), ("ValueError", 500)])
def test_any_other_failure_is_retried(stage: Stage, deferred: ModuleType, kind: str, status: int) -> None:
    deferred.defer(fail_with, kind, _queue="twice")
    assert [each.note for each in stage.run()] == [f"status {status}"] * 2 + [
        f"status {status}; task_retry_limit 2 reached"
    ]
    assert len(RAN) == 3


@pytest.mark.row("T38")
def test_what_cannot_be_unpickled_is_dropped(stage: Stage, taskqueue: ModuleType, deferred: ModuleType) -> None:
    taskqueue.add(url="/_ah/queue/deferred", payload=b"no pickle")
    assert notes(stage.run()) == [("done", "status 200")]


def warn() -> None:
    logging.warning("mind the gap")


def test_a_deferred_function_logs_on_stderr_and_leaves_no_handler_behind(
    stage: Stage, deferred: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a notebook; pytest has some of its own
    deferred.defer(warn)
    assert notes(stage.run()) == [("done", "status 200")]
    assert capsys.readouterr().err == "mind the gap\n"
    assert logging.root.handlers == []


def test_a_deferred_function_logs_where_the_root_logger_says(
    stage: Stage, deferred: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(written)])
    deferred.defer(warn)
    stage.run()
    assert (written.getvalue(), capsys.readouterr().err) == ("mind the gap\n", "")


@pytest.mark.row("T38")
def test_what_is_too_large_to_be_deferred_is_refused(stage: Stage, deferred: ModuleType) -> None:
    from google.appengine.api.datastore_errors import BadArgumentError

    with pytest.raises((AssertionError, BadArgumentError), match="app must not be empty|no datastore|No api proxy"):
        deferred.defer(record, "x" * 102_400)
    assert len(stage.queue()) == 0


@pytest.mark.row("T38")
@pytest.mark.parametrize(
    ("headers", "address"),
    [((), "0.1.0.2"), ((("X-AppEngine-TaskName", "t"),), "203.0.113.7")],
)
def test_who_is_not_the_task_queue_gets_403(headers: tuple[tuple[str, str], ...], address: str) -> None:
    import_deferred()
    request = Request("POST", "/_ah/queue/deferred", headers, b"", remote_addr=address)
    assert wsgi.call(deferred_application, wsgi.to_environ(request), request).status == 403


@pytest.mark.row("T38")
def test_the_deferred_handler_takes_post_only() -> None:
    request = Request("GET", "/_ah/queue/deferred")
    response = wsgi.call(deferred_application, wsgi.to_environ(request), request)
    assert (response.status, response.header("Allow")) == (405, "POST")
