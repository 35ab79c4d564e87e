"""Tasks, their attempts, and the figures of their queues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from harness.records.exchange import Frame, Headers, Request, Response
from harness.records.record import Record


class TaskState(StrEnum):
    """Where a task is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class TaskInfo(Record):
    """A task as the queue holds it, at one instant.

    `origin` is the learner's line that added it. `retries` counts retries (X-AppEngine-TaskRetryCount), `executions`
    the attempts that got an answer (X-AppEngine-TaskExecutionCount); `first_try` is None before the first attempt.
    """

    name: str
    queue: str
    method: str
    url: str
    eta: datetime
    created: datetime
    headers: Headers = ()
    body: bytes = b""
    tag: str | None = None
    state: TaskState = TaskState.WAITING
    retries: int = 0
    executions: int = 0
    first_try: datetime | None = None
    origin: Frame | None = None

    @property
    def identity(self) -> tuple[str, str, datetime]:
        """What tells it from every other task of the lab: a name may be used again when its tombstone has lapsed."""
        return self.queue, self.name, self.created

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class Outcome(StrEnum):
    """What the queue did after an attempt."""

    DONE = "done"
    RETRY = "retry"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class Attempt(Record):
    """One delivery of a task to its handler.

    `task` is the task as it was when the attempt began. `number` counts the attempts of the lab from 1. `next_eta`
    is set when the outcome is RETRY. `note` says in words why ("status 503", "deadline of 600 s exceeded",
    "task_retry_limit 3 reached").
    """

    number: int
    task: TaskInfo
    request: Request
    response: Response
    started: datetime
    outcome: Outcome
    next_eta: datetime | None = None
    note: str = ""
    duplicate: bool = False

    @property
    def elapsed(self) -> float:
        """How long the handler took, in virtual seconds."""
        return self.response.elapsed

    @property
    def status(self) -> int:
        """The HTTP status; 0 when the handler was stopped at its deadline and gave none (T25)."""
        return self.response.status

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.DONE


@dataclass(frozen=True, slots=True, repr=False)
class Trace(Record):
    """The life of one task, hop by hop: the `add`, the stored task, then every attempt."""

    task: TaskInfo
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class QueueStatistics(Record):
    """What App Engine reports about a queue: the figures of Google's own `QueueStatistics` (T41).

    `tasks` counts those that wait and those that run, `enforced_rate` is in tasks per second, 0 while it is paused.
    """

    queue: str
    tasks: int
    oldest_eta: datetime | None
    executed_last_minute: int
    in_flight: int
    enforced_rate: float


@dataclass(frozen=True, slots=True, repr=False)
class QueueSample(Record):
    """A push queue at one instant: tokens in its bucket, tasks that wait (due or not), tasks that run."""

    at: datetime
    tokens: float
    waiting: int
    running: int
