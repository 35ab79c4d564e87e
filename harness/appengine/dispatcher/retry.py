"""Decides what happens to a task after an attempt."""

from typing import NamedTuple

from harness.appengine.dispatcher.push_queues import instant
from harness.appengine.taskqueue import QueueConfig, Task
from harness.records import Outcome, Response, TaskState


class RetryDecision(NamedTuple):
    """An outcome, the reason in words, and the next ETA (seconds since 1970) if the task runs again."""

    outcome: Outcome
    note: str
    next_eta: float | None = None


def decide(task: Task, config: QueueConfig, response: Response, now: float) -> RetryDecision:
    """Return what the queue does with a task whose attempt has ended; this changes nothing.

    A status from 200 to 299 is a success (T22; Docs). With any other status the task runs again after a backoff (T28,
    T29), unless it has reached a limit (T30). The task's own parameters replace all of the queue's parameters (T31). A
    task that was deleted while it ran is removed, whatever its status (T35). `now` is the end of the attempt (seconds
    since 1970).
    """
    note = _describe(task, response)
    if task.state is TaskState.DELETED:
        return RetryDecision(Outcome.DELETED, f"{note}; the task was deleted while it ran")
    if response.ok:
        return RetryDecision(Outcome.DONE, note)
    retry = config.retry if task.retry is None else task.retry
    limit = retry.exhausted(task.retries, now - (task.first_try or now))
    if limit is not None:
        return RetryDecision(Outcome.DROPPED, f"{note}; {limit}")
    return RetryDecision(Outcome.RETRY, note, instant(now + retry.delay(task.retries + 1)))


def count_attempt(task: Task, response: Response, outcome: Outcome) -> None:
    """Add an attempt that has ended to the task's counters, which the next attempt's headers contain (T24, T25).

    The execution count of an HTTP target leaves out responses of 500 and above (Prod).
    """
    answered = response.deadline is None and response.status != 0
    task.responses += answered
    task.executions += answered and not (task.is_http and response.status >= 500)
    if outcome is Outcome.RETRY:
        task.retries += 1
        task.previous_status = response.status
        task.retry_reason = "App Error" if answered else "Instance Unavailable"


def decide_late(task: Task, response: Response) -> RetryDecision | None:
    """Return what happens after the attempt of a task that another delivery has settled; None if none has.

    The queue counts a task as done if one delivery succeeds. If both fail, it runs again once.
    """
    note = _describe(task, response)
    if task.state is TaskState.DONE:
        return RetryDecision(Outcome.DONE, f"{note}; another delivery of the task has succeeded")
    if task.state is TaskState.WAITING and not response.ok:
        return RetryDecision(Outcome.RETRY, f"{note}; the retry is already waiting", task.eta)
    if task.state is TaskState.DROPPED and not response.ok:
        return RetryDecision(Outcome.DROPPED, f"{note}; the task is already dropped")
    return None


def _describe(task: Task, response: Response) -> str:
    if response.killed:
        return "the instance was shut down"
    if response.deadline is None:
        return f"status {response.status}" if response.status else f"no request was sent to {_server(task)}"
    if response.deadline == "real":
        return "kept the processor busy for too long, which counts as a missed deadline"
    return f"deadline of {task.deadline:g} s exceeded"


def _server(task: Task) -> str:
    """Return the scheme and the host of a full URL, such as "https://example.com"."""
    return "/".join(task.url.split("/")[:3])
