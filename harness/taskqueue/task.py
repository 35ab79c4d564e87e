"""A task as the queue keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.clock import to_datetime
from harness.records import Frame, Headers, TaskInfo, TaskState
from harness.taskqueue.config import RetryParameters


@dataclass(slots=True, eq=False)
class Task:
    """One task, from the `add` to its end; the queue and the dispatcher change it, `info()` is what others see.

    Times are virtual seconds since 1970 (UTC), `deadline` is in seconds. `retry` is None where the queue's own
    parameters hold (T31). For a pull task `retries` counts its leases and `eta` is when it can be leased (again).
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
    retries: int = 0
    executions: int = 0
    first_try: float | None = None
    previous_status: int | None = None
    retry_reason: str | None = None
    deadline: float | None = None
    origin: Frame | None = None
    state: TaskState = TaskState.WAITING

    def info(self) -> TaskInfo:
        """Return the task as it is now, as an immutable record."""
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
            origin=self.origin,
        )
