"""What holds for every schedule: generated queues, tasks and handlers, and the rules that no attempt may break."""

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.appengine.clock import Clock
from harness.appengine.dispatcher import Chaos, Dispatcher
from harness.appengine.taskqueue import QueueConfig, RetryParameters, Task, TaskQueueService
from harness.records import Attempt, Outcome, Request, Response, TaskState
from tests.support.stage import NOW, starts

MICROSECOND = 1e-6
unhurried = settings(deadline=None)


class Job(NamedTuple):
    """One task: in which queue, when, how often it fails, and how long each attempt takes."""

    queue: int
    eta: float
    failures: int
    elapsed: float


class Plan(NamedTuple):
    """A whole lab: its queues, its tasks, and what chance does."""

    queues: list[QueueConfig]
    jobs: list[Job]
    seed: int
    shuffle: bool
    duplicates: float


seconds = st.one_of(st.just(0.0), st.integers(0, 50).map(float), st.floats(0, 50).map(lambda value: round(value, 3)))
retries = st.builds(
    RetryParameters,
    min_backoff=st.sampled_from([0.0, 0.1, 1.0, 7.0]),
    max_backoff=st.sampled_from([5.0, 30.0, 3600.0]),
    max_doublings=st.integers(0, 5),
    task_retry_limit=st.one_of(st.none(), st.integers(0, 4)),
    task_age_limit=st.one_of(st.none(), st.sampled_from([1.0, 20.0])),
)
configs = st.builds(
    QueueConfig,
    name=st.just("default"),
    rate=st.sampled_from([0.1, 1 / 3, 1.0, 5.0, 500.0]),
    bucket_size=st.integers(1, 6),
    max_concurrent_requests=st.integers(1, 4),
    retry=retries,
)
jobs = st.builds(Job, queue=st.integers(0, 2), eta=seconds, failures=st.integers(0, 5), elapsed=seconds)
plans = st.builds(
    Plan,
    queues=st.lists(configs, min_size=3, max_size=3).map(
        lambda found: [
            QueueConfig(name, each.rate, each.bucket_size, each.max_concurrent_requests, each.retry)
            for name, each in zip(("default", "second", "third"), found, strict=True)
        ]
    ),
    jobs=st.lists(jobs, min_size=1, max_size=25),
    seed=st.integers(0, 3),
    shuffle=st.booleans(),
    duplicates=st.sampled_from([0.0, 0.0, 0.5]),
)


class Outcomes(NamedTuple):
    """What came of a plan."""

    dispatcher: Dispatcher
    service: TaskQueueService
    tasks: list[Task]


def carry_out(plan: Plan, until: float | None = None) -> Outcomes:
    clock = Clock()
    service = TaskQueueService(clock, plan.queues)
    failed: dict[str, int] = defaultdict(int)

    def send(request: Request, start: float, deadline: float) -> Response:
        name = request.header("X-AppEngine-TaskName") or ""
        job = plan.jobs[int(name)]
        failed[name] += 1
        return Response(500 if failed[name] <= job.failures else 200, elapsed=job.elapsed)

    dispatcher = Dispatcher(service, clock, send, Chaos(plan.seed, plan.shuffle, plan.duplicates))
    tasks = []
    for number, job in enumerate(plan.jobs):
        queue = plan.queues[job.queue].name
        tasks.append(Task(str(number), queue, "POST", "/x", (), b"", NOW + job.eta, NOW))
        service.queues[queue].add(tasks[-1], NOW)
    dispatcher.run(until)
    return Outcomes(dispatcher, service, tasks)


def by_queue(attempts: list[Attempt]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        found[attempt.task.queue].append(attempt)
    return found


@unhurried
@given(plans)
def test_no_attempt_starts_before_its_eta(plan: Plan) -> None:
    attempts = carry_out(plan).dispatcher.attempts
    assert len(attempts) >= len(plan.jobs)
    assert all(attempt.started >= attempt.task.eta for attempt in attempts)


@unhurried
@given(plans)
def test_no_more_attempts_overlap_than_the_queue_allows(plan: Plan) -> None:
    attempts = by_queue(carry_out(plan).dispatcher.attempts)
    for config in plan.queues:
        spans = [(at, at + each.elapsed) for each in attempts[config.name] for at in starts([each])]
        for start, _ in spans:
            running = sum(begin <= start < end - MICROSECOND for begin, end in spans)
            assert running <= config.max_concurrent_requests


@unhurried
@given(plans)
def test_no_window_holds_more_starts_than_bucket_and_rate_allow(plan: Plan) -> None:
    attempts = by_queue(carry_out(plan).dispatcher.attempts)
    for config in plan.queues:
        at = starts(attempts[config.name])
        for first in range(len(at)):
            for last in range(first, len(at)):
                window = at[last] - at[first] + 2 * MICROSECOND
                assert last - first + 1 <= config.bucket_size + config.rate * window


@unhurried
@given(plans)
def test_an_idle_queue_lets_no_due_task_wait(plan: Plan) -> None:
    """The converse of the three above: a start that is late has a reason."""
    attempts = by_queue(carry_out(plan).dispatcher.attempts)
    for config in plan.queues:
        seen = attempts[config.name]
        at = starts(seen)
        for number, (attempt, start) in enumerate(zip(seen, at, strict=True)):
            late = (attempt.started - attempt.task.eta).total_seconds() > MICROSECOND and not attempt.duplicate
            busy = sum(s <= start <= s + e.elapsed + MICROSECOND for s, e in zip(at[:number], seen, strict=False))
            spent = any(
                number - first + 1 > config.bucket_size - 1 + config.rate * (start - at[first]) - 1e-4
                for first in range(number + 1)
            )
            assert not late or busy >= config.max_concurrent_requests or spent


def documented_backoffs(retry: RetryParameters, count: int) -> list[float]:
    """The intervals as the documentation describes them, step by step."""
    interval, step, found = retry.min_backoff, 0.0, []
    for number in range(count):
        found.append(min(interval, retry.max_backoff))
        if number < retry.max_doublings:
            interval *= 2
            step = interval
        else:
            step = step or interval
            interval += step
    return found


@unhurried
@given(plans)
def test_retries_keep_the_documented_distance(plan: Plan) -> None:
    outcomes = carry_out(plan)
    retry_of = {config.name: config.retry for config in plan.queues}
    for task in outcomes.tasks:
        mine = [each for each in outcomes.dispatcher.attempts if each.task.name == task.name]
        failed = [each for each in mine if each.outcome is Outcome.RETRY]
        ends = [at + each.elapsed for each in failed for at in starts([each])]
        etas = [(each.next_eta - each.started).total_seconds() + at for each in failed for at in starts([each])]
        waits = [eta - end for eta, end in zip(etas, ends, strict=True)]
        assert waits == pytest.approx(documented_backoffs(retry_of[task.queue], len(waits)), abs=3 * MICROSECOND)
        assert all(late.task.eta == early.next_eta for early, late in pairwise(mine) if early in failed)


@unhurried
@given(plans)
def test_every_task_ends_once(plan: Plan) -> None:
    outcomes = carry_out(plan)
    for task in outcomes.tasks:
        mine = [each for each in outcomes.dispatcher.attempts if each.task.name == task.name]
        final = [each for each in mine if each.outcome is not Outcome.RETRY and not each.duplicate]
        assert task.state in (TaskState.DONE, TaskState.DROPPED)
        assert len(final) == 1
        assert len(mine) <= 1 + plan.jobs[int(task.name)].failures + bool(plan.duplicates)
    assert all(len(queue) == 0 and not queue.in_flight for queue in outcomes.service.queues.values())


@unhurried
@given(plans)
def test_the_same_seed_gives_the_same_schedule(plan: Plan) -> None:
    assert carry_out(plan).dispatcher.attempts == carry_out(plan).dispatcher.attempts


@unhurried
@given(plans, st.lists(seconds, max_size=5))
def test_a_run_in_pieces_is_the_same_as_one_run(plan: Plan, pieces: list[float]) -> None:
    whole = carry_out(plan).dispatcher
    parted = carry_out(plan, until=NOW).dispatcher
    for piece in sorted(pieces):
        parted.run(until=NOW + piece)
    parted.run()
    assert [(each.number, each.task.name, each.started, each.outcome) for each in parted.attempts] == [
        (each.number, each.task.name, each.started, each.outcome) for each in whole.attempts
    ]


@unhurried
@given(plans)
def test_steps_break_no_rule_and_lose_no_task(plan: Plan) -> None:
    outcomes = carry_out(plan, until=NOW - 1)
    while any(len(queue) for queue in outcomes.service.queues.values()):
        attempt = outcomes.dispatcher.step()
        assert attempt.started >= attempt.task.eta
    at = starts(outcomes.dispatcher.attempts)
    assert at == sorted(at)
    assert {each.task.name for each in outcomes.dispatcher.attempts} == {task.name for task in outcomes.tasks}
