"""What becomes of a task after an attempt."""

from __future__ import annotations

from typing import NamedTuple

from harness.appengine.clock import DEADLINE
from harness.appengine.dispatcher.push_queues import instant
from harness.appengine.taskqueue import QueueConfig, Task
from harness.records import Outcome, Response, TaskState


class RetryDecision(NamedTuple):
    """The outcome, why in words, and the next ETA (seconds since 1970) when the task runs again."""

    outcome: Outcome
    note: str
    next_eta: float | None = None


def deadline_of(task: Task) -> float:
    """Return how many virtual seconds an attempt may take: the task's own deadline, or App Engine's 600 (T34; Docs)."""
    return DEADLINE if task.deadline is None else task.deadline


def judge(task: Task, config: QueueConfig, response: Response, now: float) -> RetryDecision:
    """Decide what the queue does with a task whose attempt has ended; changes nothing.

    200 to 299 is success (T22; Docs). Anything else runs again after a backoff (T28, T29), unless a limit is reached
    (T30); the task's own parameters replace the queue's as a whole (T31). A task that was deleted while it ran is
    gone, whatever its handler answered (T35).

    Args:
        task: the task, in in_flight.
        config: its queue's.
        response: the answer, with status 0 when there was none.
        now: when the attempt ended, in seconds since 1970.
    """
    words = _describe(task, response)
    if task.state is TaskState.DELETED:
        return RetryDecision(Outcome.DELETED, f"{words}; the task was deleted while it ran")
    if response.ok:
        return RetryDecision(Outcome.DONE, words)
    retry = config.retry if task.retry is None else task.retry
    limit = retry.exhausted(task.retries, now - (task.first_try or now))
    if limit is not None:
        return RetryDecision(Outcome.DROPPED, f"{words}; {limit}")
    return RetryDecision(Outcome.RETRY, words, instant(now + retry.delay(task.retries + 1)))


def count(task: Task, response: Response, outcome: Outcome) -> None:
    """Write an attempt that has ended into the task's own figures, which the next attempt's headers show (T24, T25)."""
    answered = response.deadline is None
    task.executions += answered
    if outcome is Outcome.RETRY:
        task.retries += 1
        task.previous_status = response.status
        task.retry_reason = "App Error" if answered else "Instance Unavailable"


def _describe(task: Task, response: Response) -> str:
    if response.deadline is None:
        return f"status {response.status}"
    if response.deadline == "real":
        return "kept the processor busy for too long, which counts as a missed deadline"
    return f"deadline of {deadline_of(task):g} s exceeded"
