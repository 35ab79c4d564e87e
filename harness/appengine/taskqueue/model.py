"""A queue's configuration, its retry parameters, and a task as the queue keeps it."""

from dataclasses import dataclass, field
from typing import Protocol

from harness.appengine.clock import DEADLINE, to_datetime
from harness.records import Frame, Headers, Response, TaskInfo, TaskState

_LARGEST_EXPONENT = 1023  # of a float


@dataclass(frozen=True, slots=True)
class RetryParameters:
    """When a failed task runs again, and when it is dropped (T28–T30; SDK, Docs).

    Backoffs and the age limit are in seconds; None means no limit.
    """

    min_backoff: float = 0.1
    max_backoff: float = 3600.0
    max_doublings: int = 16
    task_retry_limit: int | None = None
    task_age_limit: float | None = None

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after a task has failed `failures` times, 1 or more (T28, T29; SDK, Docs).

        The interval doubles `max_doublings` times. After that it grows by the interval that was reached. It never
        exceeds `max_backoff`.
        """
        doublings = min(failures - 1, self.max_doublings)
        interval = self.min_backoff * 2.0 ** min(doublings, _LARGEST_EXPONENT)
        return min(self.max_backoff, interval * (failures - doublings))

    def exhausted(self, retries: int, age_seconds: float) -> str | None:
        """Return why a task that has just failed is dropped, or None if it runs again (T30; Docs, TCK).

        The reason is the limit in words ("task_retry_limit 3 reached"). With both limits, a task runs until it reaches
        both. `retries` is 0 if only the first attempt has failed. The age counts from the beginning of the first one.
        """
        reached = []
        if self.task_retry_limit is not None and retries >= self.task_retry_limit:
            reached.append(f"task_retry_limit {self.task_retry_limit}")
        if self.task_age_limit is not None and age_seconds > self.task_age_limit:
            reached.append(f"task_age_limit {self.task_age_limit:g} s")
        limits = (self.task_retry_limit is not None) + (self.task_age_limit is not None)
        return f"{' and '.join(reached)} reached" if reached and len(reached) == limits else None


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """One queue of queue.yaml (T39, T40; Docs).

    `rate` is in tasks per second, and 0 holds all tasks. `bucket_size` is in tokens. `mode` is "push" or "pull".
    `target` names the service or version to which tasks are sent. `from_yaml` is False if the queue was created
    through Cloud Tasks' API.
    """

    name: str
    rate: float = 5.0
    bucket_size: int = 5
    max_concurrent_requests: int = 1000
    retry: RetryParameters = field(default_factory=RetryParameters)
    mode: str = "push"
    target: str | None = None
    from_yaml: bool = True


@dataclass(slots=True)
class LastAttempt:
    """The last attempt of a task; times are virtual seconds since 1970. `response` is None until it has ended."""

    eta: float
    began: float
    ended: float = 0.0
    response: Response | None = None


class Authorization(Protocol):
    """Makes the header Authorization of the requests to an HTTP target of Cloud Tasks."""

    def header(self, url: str, now: float) -> str:
        """Return the header for a task's URL and a virtual time in seconds since 1970."""


@dataclass(slots=True, eq=False)
class Task:
    """One task, which the queue and the dispatcher change; `info()` returns a record of it.

    Times are virtual seconds since 1970 (UTC). `deadline` is how many virtual seconds an attempt may take (T34; Docs).
    `url` is a path if App Engine delivers the task, and a full URL for an HTTP target of Cloud Tasks. `dispatches` is
    the number of attempts that have begun. `responses` is the number of attempts that have received a response.
    `executions` is the execution count in the headers of the next attempt. `retry` is None if the queue's parameters
    apply (T31). `authorization` is None if the requests need no token. For a pull task `retries` counts its leases, and
    `eta` is when it can be leased (again).
    """

    name: str
    queue: str
    method: str
    url: str
    headers: Headers
    body: bytes
    eta: float
    created: float
    tag: str | None = None
    retry: RetryParameters | None = None
    authorization: Authorization | None = None
    retries: int = 0
    executions: int = 0
    dispatches: int = 0
    responses: int = 0
    first_try: float | None = None
    last_attempt: LastAttempt | None = None
    previous_status: int | None = None
    retry_reason: str | None = None
    deadline: float = DEADLINE
    call_site: Frame | None = None
    state: TaskState = TaskState.WAITING

    @property
    def is_http(self) -> bool:
        """Whether the task is for an HTTP target of Cloud Tasks, and not for App Engine."""
        return self.url.startswith(("http://", "https://"))

    def info(self) -> TaskInfo:
        """Return the task's present state as an immutable record."""
        return TaskInfo(
            name=self.name,
            queue=self.queue,
            method=self.method,
            url=self.url,
            eta=to_datetime(self.eta),
            created=to_datetime(self.created),
            headers=self.headers,
            body=self.body,
            tag=self.tag,
            state=self.state,
            retries=self.retries,
            executions=self.executions,
            first_try=None if self.first_try is None else to_datetime(self.first_try),
            call_site=self.call_site,
        )
