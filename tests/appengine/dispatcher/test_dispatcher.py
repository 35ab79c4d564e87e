"""The dispatcher by itself: events in virtual time, what `step` and `run` promise, and what interrupts them."""

import time
from datetime import timedelta

import pytest

from harness.appengine.clock import START
from harness.appengine.dispatcher.push_queues import TokenBucket
from harness.appengine.taskqueue import RetryParameters, parse_queue_yaml
from harness.errors import HarnessError, NothingDueError, RunawayError
from harness.records import QueueSample, Request, Response, TaskState
from tests.support.stage import NOW, Stage, names, notes, starts

FAST = "queue: [{name: default, rate: 500/s, bucket_size: 500}]"
TWO = """
queue:
- {name: default, rate: 500/s, bucket_size: 500}
- {name: other, rate: 500/s, bucket_size: 500}
- {name: leased, mode: pull}
"""
NEVER_AGAIN = RetryParameters(task_retry_limit=0)
OK = Response(200)


def slow(request: Request) -> int:
    time.sleep(10)
    return 200


def broken(request: Request) -> int:
    time.sleep(3)
    raise KeyboardInterrupt


# -- step


def test_a_step_is_one_attempt_and_leaves_the_clock_at_its_end() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("a", eta=5, url="/slow")
    stage.add("b", eta=6)
    attempt = stage.step()
    assert (attempt.task.name, attempt.number, stage.seconds) == ("a", 1, 15)
    assert [task.name for task in stage.queue().waiting()] == ["b"]


def test_a_step_starts_at_once_what_fell_due_during_the_step_before() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("a", url="/slow")
    stage.add("b", eta=1)
    assert starts([stage.step(), stage.step()]) == [0, 10]


def test_a_step_without_tasks_says_so() -> None:
    with pytest.raises(NothingDueError, match="no task waits on any push queue; add one first$"):
        Stage(TWO).step()


def test_a_step_names_what_holds_the_tasks_back() -> None:
    stage = Stage("queue: [{name: default, rate: 0}, {name: other}, {name: empty, rate: 0}]")
    stage.queue("other").paused = True
    stage.add("a")
    stage.add("b", queue="other")
    stage.add("c", queue="other")
    with pytest.raises(NothingDueError) as caught:
        stage.step()
    assert "queue 'default' has the rate 0 and holds 1 task, and queue 'other' is paused and holds 2 tasks" in str(
        caught.value
    )


def test_a_step_completes_an_attempt_that_was_left_in_flight() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("a", url="/slow")
    stage.add("b", eta=20)
    assert stage.run(until=NOW + 1) == []
    assert names([stage.step()]) == ["a"]
    assert stage.seconds == 10
    assert starts([stage.step()]) == [20]


def test_a_step_starts_a_task_that_is_due_before_the_attempt_in_flight_ends() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("a", url="/slow")
    stage.add("b", eta=5)
    stage.run(until=NOW + 1)
    assert names([stage.step()]) == ["b"]
    assert (stage.seconds, list(stage.queue().in_flight)) == (5, ["a"])


def test_a_step_completes_on_its_way_what_ends_before_its_own_attempt() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("a", url="/slow")
    stage.add("b", eta=5, url="/slow")
    stage.run(until=NOW + 1)
    assert names([stage.step()]) == ["b"]
    assert names(stage.dispatcher.attempts) == ["a", "b"]
    assert (stage.seconds, stage.queue().in_flight) == (15, {})


# -- run


def test_run_jumps_from_eta_to_eta() -> None:
    stage = Stage(FAST)
    for hours in (2, 1, 3):
        stage.add(f"t{hours}", eta=3600 * hours)
    assert starts(stage.run()) == [3600, 7200, 10800]
    assert stage.seconds == 10800


def test_run_until_leaves_running_attempts_in_flight_and_the_clock_at_the_instant() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    task = stage.add("a", url="/slow")
    assert stage.run(until=NOW + 4) == []
    assert (stage.seconds, task.state, len(stage.queue())) == (4, TaskState.RUNNING, 1)
    assert stage.dispatcher.attempts == []
    (attempt,) = stage.run(until=NOW + 10)
    assert (starts([attempt]), attempt.elapsed, task.state) == ([0], 10, TaskState.DONE)


def test_run_until_an_instant_in_the_past_starts_nothing() -> None:
    stage = Stage(FAST)
    stage.clock.advance(10)
    stage.add("a")
    assert stage.run(until=NOW + 5) == []
    assert stage.seconds == 10


def test_an_attempt_that_ended_while_the_clock_was_moved_ends_at_its_own_time() -> None:
    stage = Stage(FAST)
    stage.handlers["/x"] = lambda request: slow(request) and 500
    task = stage.add("a", retry=RetryParameters(min_backoff=1))
    stage.run(until=NOW)
    stage.clock.advance(60)
    (attempt,) = stage.run(until=NOW + 59)
    assert attempt.next_eta == START + timedelta(seconds=11)
    assert task.eta == NOW + 11


def test_attempts_are_listed_in_the_order_in_which_they_began() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"] = slow
    stage.add("slow", url="/slow")
    stage.add("quick", eta=1)
    assert names(stage.run()) == names(stage.dispatcher.attempts) == ["slow", "quick"]
    assert [attempt.number for attempt in stage.dispatcher.attempts] == [1, 2]


def test_an_attempt_holds_the_task_as_it_was_when_it_began() -> None:
    stage = Stage(FAST)
    stage.handlers["/x"] = lambda request: 500 if len(stage.requests) == 1 else 200
    stage.add("a")
    first, second = (attempt.task for attempt in stage.run())
    assert (first.retries, first.executions, first.first_try, first.state) == (0, 0, None, TaskState.RUNNING)
    assert (second.retries, second.executions, second.first_try) == (1, 1, START)


def test_a_task_that_a_handler_adds_runs_in_the_same_run() -> None:
    stage = Stage(FAST)
    stage.handlers["/x"] = lambda request: 200 if stage.add("b", eta=60, url="/y") else 500
    stage.add("a")
    assert starts(stage.run()) == [0, 60]


def test_ends_come_before_starts_at_the_same_instant() -> None:
    stage = Stage(FAST)
    seen: list[str] = []
    stage.handlers["/slow"] = slow
    stage.handlers["/look"] = lambda request: seen.extend(stage.queue().in_flight) or 200
    stage.add("a", url="/slow")
    stage.add("b", eta=10, url="/look")
    assert starts(stage.run()) == [0, 10]
    assert seen == ["b"]


def test_pull_queues_are_never_dispatched() -> None:
    stage = Stage(TWO)
    stage.add("a", queue="leased")
    assert stage.run() == []
    assert "leased" not in stage.dispatcher.samples


def test_queues_take_turns() -> None:
    stage = Stage(TWO)
    for number in range(3):
        stage.add(f"a{number}")
        stage.add(f"b{number}", queue="other")
    assert names(stage.run()) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_among_queues_never_served_the_earlier_eta_goes_first() -> None:
    stage = Stage(TWO)
    stage.add("late", eta=2)
    stage.add("early", eta=1, queue="other")
    stage.clock.advance(3)
    assert names(stage.run()) == ["early", "late"]


@pytest.mark.row("T32")
def test_a_new_queue_yaml_holds_from_the_next_step_on() -> None:
    stage = Stage("queue: [{name: default, rate: 1/s, bucket_size: 1}]")
    for number in range(3):
        stage.add(f"a{number}")
    stage.run(until=NOW)
    stage.service.configure(parse_queue_yaml(TWO))
    stage.add("b", queue="other")
    assert starts([stage.step(), stage.step(), *stage.run()]) == [0, 0, 0]
    assert list(stage.dispatcher.samples) == ["default", "other"]


@pytest.mark.row("T32")
def test_steps_and_runs_share_one_bucket() -> None:
    stage = Stage("queue: [{name: default, rate: 1/s, bucket_size: 2}]")
    for number in range(6):
        stage.add(f"a{number}")
    steps = [stage.step() for _ in range(3)]
    assert starts([*steps, *stage.run(until=NOW + 2), *stage.run()]) == [0, 0, 1, 2, 3, 4]


@pytest.mark.row("T32")
def test_a_bucket_that_was_changed_is_filled_once() -> None:
    stage = Stage(FAST)

    def start_of(name: str) -> float:
        stage.add(name)
        return starts([stage.step()])[0]

    assert start_of("a") == 0
    stage.service.configure(parse_queue_yaml("queue: [{name: default, rate: 1/s, bucket_size: 1}]"))
    assert [start_of(name) for name in "bcd"] == [0, 1, 2]
    stage.service.configure(parse_queue_yaml(FAST))
    assert [start_of(name) for name in "efg"] == [2, 2, 2]


def test_a_queue_that_was_left_out_and_comes_back_is_served() -> None:
    stage = Stage(TWO)
    stage.add("a", queue="other")
    stage.run()
    for text in (FAST, TWO):
        stage.service.configure(parse_queue_yaml(text))
    stage.add("b", queue="other")
    assert names(stage.run()) == ["b"]


def test_a_queue_never_served_goes_before_one_that_was_although_its_eta_is_later() -> None:
    stage = Stage(TWO)
    stage.add("first", queue="other")
    stage.run()
    stage.add("early", eta=1, queue="other")
    stage.add("late", eta=2)
    stage.clock.advance(3)
    assert names(stage.run()) == ["late", "early"]


def test_a_new_queue_yaml_holds_from_the_next_run_on() -> None:
    stage = Stage("queue: [{name: default, rate: 0}]")
    stage.add("a")
    stage.service.configure(parse_queue_yaml(FAST))
    assert starts(stage.run()) == [0]


def test_a_task_without_a_host_is_sent_to_the_application() -> None:
    stage = Stage(FAST)
    stage.add("a")
    assert stage.step().request.host == "tutorial.appspot.com"


def test_a_running_attempt_outlives_its_queue() -> None:
    stage = Stage(TWO)
    stage.handlers["/slow"] = slow
    stage.add("a", queue="other", url="/slow")
    stage.run(until=NOW)
    stage.service.configure(parse_queue_yaml("queue: [{name: other, mode: pull}]"))
    assert notes(stage.run()) == [("deleted", "status 200; the task was deleted while it ran")]
    assert set(stage.dispatcher.samples) == {"default", "other"}  # what was measured before stays


@pytest.mark.row("T34")
def test_a_real_time_stop_counts_as_a_missed_deadline() -> None:
    stage = Stage(FAST)
    stage.dispatcher._send = lambda *arguments: Response(500, elapsed=600.0, deadline="real")
    task = stage.add("a", retry=NEVER_AGAIN)
    (attempt,) = stage.run()
    assert (attempt.status, task.executions) == (0, 0)
    assert "kept the processor busy for too long, which counts as a missed deadline; task_retry" in attempt.note


# -- interruptions


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_exception_leaves_the_task_waiting_with_nothing_counted(error: type[BaseException]) -> None:
    stage = Stage("queue: [{name: default, rate: 1/s, bucket_size: 1}]")

    def handler(request: Request) -> int:
        time.sleep(3)
        if len(stage.requests) == 1:
            raise error("on purpose")
        return 200

    stage.handlers["/x"] = handler
    task = stage.add("a", eta=2)
    with pytest.raises(error, match="on purpose"):
        stage.run()
    assert (stage.queue().in_flight, stage.queue().waiting(), stage.seconds) == ({}, [task], 2)
    assert (task.state, task.eta, task.first_try, task.retries) == (TaskState.WAITING, NOW + 2, None, 0)
    (attempt,) = stage.run()
    assert (attempt.number, starts([attempt]), attempt.task.first_try) == (1, [2], None)


def test_an_interrupted_retry_keeps_its_first_try() -> None:
    stage = Stage(FAST)
    stage.handlers["/x"] = lambda request: 500 if len(stage.requests) == 1 else broken(request)
    task = stage.add("a", eta=1)
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert (task.first_try, task.retries, task.executions) == (NOW + 1, 1, 1)


def test_an_interrupted_task_that_deleted_itself_is_gone() -> None:
    stage = Stage(FAST)

    def handler(request: Request) -> int:
        stage.queue().delete("a", NOW)
        raise KeyboardInterrupt

    stage.handlers["/x"] = handler
    task = stage.add("a")
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert (stage.run(), stage.queue().in_flight, task.state) == ([], {}, TaskState.DELETED)


def test_attempts_in_flight_survive_an_interruption() -> None:
    stage = Stage(FAST)
    stage.handlers["/slow"], stage.handlers["/broken"] = slow, broken
    stage.add("a", url="/slow")
    stage.add("b", eta=1, url="/broken")
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    stage.handlers["/broken"] = slow
    assert [(each.task.name, each.number) for each in stage.run()] == [("a", 1), ("b", 2)]


def test_a_handler_that_runs_the_queue_is_refused() -> None:
    stage = Stage(FAST)
    stage.handlers["/x"] = lambda request: len(stage.run())
    stage.add("a")
    stage.add("b")
    with pytest.raises(HarnessError, match="while a request is running"):
        stage.run()
    assert len(stage.queue().waiting()) == 2


# -- the cap


def test_the_cap_names_the_urls_in_the_loop_and_a_further_run_goes_on() -> None:
    stage = Stage(FAST)

    def chain(request: Request) -> int:
        stage.add(f"link{len(stage.requests)}", url="/chain", eta=len(stage.requests))
        return 200

    stage.handlers["/chain"] = chain
    stage.add("first", url="/chain")
    stage.add("single", url="/once")
    with pytest.raises(RunawayError) as caught:
        stage.run(cap=100)
    message = str(caught.value)
    assert "stopped after 100 attempts, and tasks still wait:" in message
    assert "/chain: 99 attempts of 99 tasks, the last of them 'link99' on queue 'default', retries 0" in message
    assert "/once: 1 attempt of task 'single'" in message
    assert len(stage.dispatcher.attempts) == 100
    stage.handlers.clear()
    assert names(stage.run(cap=1)) == ["link100"]


def test_the_cap_counts_attempts_in_flight_and_lists_the_busiest_urls() -> None:
    stage = Stage(FAST)
    for number in range(20):
        stage.handlers[f"/{number % 7}"] = slow
        stage.add(f"t{number}", url=f"/{number % 7}")
    with pytest.raises(RunawayError, match="and 2 more URLs") as caught:
        stage.run(cap=15)
    assert "/0: 3 attempts of 3 tasks, the last of them 't14'" in str(caught.value)
    assert str(caught.value).count(" attempts of ") == 5
    assert (len(stage.queue().in_flight), stage.dispatcher.attempts) == (15, [])
    assert len(stage.run()) == 20


def test_a_runaway_is_told_with_the_busiest_url_first_and_with_what_to_do() -> None:
    stage = Stage(FAST)
    for number, url in enumerate(["/b", "/z", "/z", "/z", "/y", "/y", "/a", "/c", "/last"]):
        stage.add(f"t{number}", url=url)
    with pytest.raises(RunawayError) as caught:
        stage.run(cap=8)
    assert (
        str(caught.value)
        == """\
stopped after 8 attempts, and tasks still wait:
  /z: 3 attempts of 3 tasks, the last of them 't3' on queue 'default', retries 0
  /y: 2 attempts of 2 tasks, the last of them 't5' on queue 'default', retries 0
  /b: 1 attempt of task 't0' on queue 'default', retries 0
  /a: 1 attempt of task 't6' on queue 'default', retries 0
  /c: 1 attempt of task 't7' on queue 'default', retries 0
A worker that adds a task for itself must stop doing so at some point, and a task that
always fails needs a task_retry_limit. If you expect so many tasks, run again: the queue
continues where it stopped."""
    )


def test_a_runaway_tells_of_its_own_run_in_the_order_of_starts() -> None:
    stage = Stage(FAST)
    for number in range(7):
        stage.add(f"t{number}", url="/x")
    stage.handlers["/x"] = lambda request: slow(request) if len(stage.requests) in (1, 5) else 200
    with pytest.raises(RunawayError, match="/x: 3 attempts of 3 tasks, the last of them 't2'"):
        stage.run(cap=3)
    with pytest.raises(RunawayError, match="/x: 2 attempts of 2 tasks, the last of them 't4'"):
        stage.run(cap=2)
    with pytest.raises(RunawayError, match="stopped after 1 attempt, .*\n  /x: 1 attempt of task 't5'"):
        stage.run(cap=1)


def test_exactly_as_many_attempts_as_the_cap_are_no_runaway() -> None:
    stage = Stage(FAST)
    for number in range(5):
        stage.add(f"t{number}")
    assert len(stage.run(cap=5)) == 5


# -- the bucket


@pytest.mark.parametrize("rate", [5.0, 3.0, 1 / 7, 1 / 86400, 500.0])
def test_the_bucket_does_not_drift_over_ten_thousand_tokens(rate: float) -> None:
    bucket = TokenBucket(rate, 1, NOW)
    for _ in range(10_000):
        bucket.take(max(NOW, bucket.next_token))
    assert bucket.next_token == pytest.approx(NOW + 10_000 / rate, abs=2e-6, rel=0)


def test_the_bucket_gives_back_what_was_never_used() -> None:
    bucket = TokenBucket(1.0, 2, NOW)
    bucket.take(NOW + 5)
    bucket.take(NOW + 5)
    assert (bucket.level(NOW + 5), bucket.next_token) == (0, NOW + 6)
    bucket.give_back()
    assert (bucket.level(NOW + 5), bucket.next_token) == (1, NOW + 5)
    assert bucket.level(NOW + 60) == 2


def test_the_level_of_a_bucket_rises_at_its_rate() -> None:
    bucket = TokenBucket(0.5, 3, NOW)
    for _ in range(3):
        bucket.take(NOW)
    assert [bucket.level(NOW + seconds) for seconds in (0, 1, 4, 6, 60)] == [0, 0.5, 2, 3, 3]


def test_starts_do_not_drift_over_ten_thousand_tasks() -> None:
    stage = Stage("queue: [{name: default, rate: 3/s, bucket_size: 1}]")
    stage.dispatcher._send = lambda *arguments: OK
    for number in range(10_000):
        stage.add(f"t{number}")
    drift = [abs(start - number / 3) for number, start in enumerate(starts(stage.run()))]
    assert max(drift) <= 1e-6


# -- samples and statistics


def test_samples_show_the_bucket_and_the_tasks_at_each_event() -> None:
    stage = Stage("queue: [{name: default, rate: 1/s, bucket_size: 2}]")
    stage.handlers["/x"] = slow
    stage.add("a")
    stage.add("b", eta=1)
    stage.run()
    at = [START + timedelta(seconds=seconds) for seconds in (0, 1, 10, 11)]
    assert stage.dispatcher.samples == {
        "default": [
            QueueSample(at[0], 1.0, 1, 1),
            QueueSample(at[1], 1.0, 0, 2),
            QueueSample(at[2], 2.0, 0, 1),
            QueueSample(at[3], 2.0, 0, 0),
        ]
    }


def test_samples_are_whole_tasks_and_tokens_to_the_millionth() -> None:
    stage = Stage("queue: [{name: default, rate: 20/m, bucket_size: 2}]")
    for eta in (0, 1):
        stage.add(f"t{eta}", eta=eta)
    stage.run()
    last = stage.dispatcher.samples["default"][-1]
    assert repr((last.tokens, last.waiting, last.running)) == "(0.333333, 0, 0)"


def test_a_task_deleted_while_it_runs_counts_as_running_and_not_as_waiting() -> None:
    stage = Stage(FAST)

    def handler(request: Request) -> int:
        stage.queue().delete("a", NOW)
        time.sleep(1)
        return 200

    stage.handlers["/x"] = handler
    stage.add("a")
    stage.add("b", eta=60)
    stage.run(until=NOW + 1)
    assert [(sample.waiting, sample.running) for sample in stage.dispatcher.samples["default"]] == [(1, 1), (1, 0)]


def test_the_queue_knows_what_ran_in_the_last_minute() -> None:
    stage = Stage(FAST)
    for number in range(4):
        stage.add(f"t{number}", eta=30 * number)
    stage.run()
    assert stage.queue().executed_last_minute(stage.clock.timestamp) == 2


def test_a_queue_remembers_only_the_executions_of_the_last_minute() -> None:
    stage = Stage(FAST)
    for number in range(200):
        stage.add(f"t{number}", eta=30 * number)
    stage.run()
    assert len(stage.queue()._executed) == 2


# -- chance


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_duplicates_must_be_a_probability(share: float) -> None:
    with pytest.raises(ValueError, match="duplicates is a probability, a number from 0 to 1, not"):
        Stage(duplicates=share)


def test_a_duplicate_that_fails_is_retried_and_is_no_third_success() -> None:
    stage = Stage(FAST, duplicates=1.0)
    stage.handlers["/x"] = lambda request: 500 if len(stage.requests) == 2 else 200
    stage.add("a")
    attempts = stage.run()
    assert [(str(each.outcome), each.duplicate) for each in attempts] == [
        ("done", False),
        ("retry", True),
        ("done", True),
    ]
    assert len(stage.queue()) == 0


def test_a_task_that_fails_is_never_delivered_as_a_duplicate() -> None:
    stage = Stage(FAST, duplicates=1.0)
    stage.handlers["/x"] = lambda request: 500 if len(stage.requests) == 1 else 200
    stage.add("a")
    attempts = stage.run()
    assert [(str(each.outcome), each.duplicate, each.task.retries) for each in attempts] == [
        ("retry", False, 0),
        ("done", False, 1),
        ("done", True, 1),
    ]


def test_shuffle_keeps_the_eta_of_the_tasks() -> None:
    stage = Stage(FAST, shuffle=True)
    for number in range(5):
        stage.add(f"t{number}", eta=number)
    stage.clock.advance(10)
    attempts = stage.run()
    assert {each.task.name: each.task.eta for each in attempts} == {
        f"t{number}": START + timedelta(seconds=number) for number in range(5)
    }
