"""Pull queues: tasks that workers lease, instead of handlers that are called."""

from __future__ import annotations

import math

from harness.appengine.taskqueue.messages import ErrorCode, refuse
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.appengine.taskqueue.queue import TOMBSTONE_SECONDS, EtaOrder, Queue
from harness.records import TaskState


class PullQueue(Queue):
    """A queue to lease from (T42; SDK). A leased task waits on, with the end of its lease as its ETA."""

    def __init__(self, config: QueueConfig, tombstone_seconds: float = TOMBSTONE_SECONDS) -> None:
        super().__init__(config, tombstone_seconds)
        self._by_tag: dict[str | None, EtaOrder] = {}

    def lease(self, count: int, seconds: float, now: float, group_by_tag: bool, tag: str | None) -> list[Task]:
        """Lease tasks whose ETA is not later than now, the earliest first (T42; SDK).

        Args:
            count: how many at most.
            seconds: virtual seconds until others can lease them.
            now: virtual seconds since 1970.
            group_by_tag: lease tasks of one tag only: `tag`, or that of the earliest task.

        Returns:
            The tasks, with their new ETA. One that was leased as often as its task_retry_limit allows is dropped.

        Raises:
            ApplicationError: INVALID_REQUEST.
        """
        _check_length(seconds)
        with self._lock:
            order = self._order
            if group_by_tag:
                first = order.first()
                wanted = tag if tag is not None or first is None else first.tag
                order = self._by_tag.get(wanted, EtaOrder())
            return self._lease_from(order, count, now, now + seconds)

    def extend(self, name: str, eta: float, seconds: float, now: float) -> float:
        """Let a lease end `seconds` from now instead; 0 gives the task back (T42; SDK).

        Args:
            name: the task's.
            eta: when the lease ends, as the worker knows it; another value means that someone else has leased it since.
            seconds: virtual seconds.
            now: virtual seconds since 1970.

        Returns:
            The new ETA.

        Raises:
            ApplicationError: QUEUE_PAUSED, INVALID_REQUEST, UNKNOWN_TASK, TOMBSTONED_TASK or TASK_LEASE_EXPIRED.
        """
        if self.paused:
            refuse(ErrorCode.QUEUE_PAUSED, f"queue {self.config.name!r} is paused; resume it first")
        _check_length(seconds)
        with self._lock:
            task = self._names.get(name)
            if task is None:
                refuse(self._absence(name, now), f"there is no task {name!r} in queue {self.config.name!r} (any more)")
            if task.eta != eta or eta < now:
                refuse(ErrorCode.TASK_LEASE_EXPIRED, f"the lease of task {name!r} has expired; lease it again")
            task.eta = now + seconds
            self._schedule(task)
            return task.eta

    def _lease_from(self, order: EtaOrder, count: int, now: float, until: float) -> list[Task]:
        leased: list[Task] = []
        while len(leased) < count and (task := order.pop_due(now)) is not None:
            if (task.retry or self.config.retry).exhausted(task.retries, 0.0):
                task.state = TaskState.DROPPED
                self._bury(task, now)
                continue
            task.retries += 1
            task.eta = until
            leased.append(task)
            self._count_execution(now)
        for task in leased:  # only now, or a lease of 0 seconds would come round again at once
            self._schedule(task)
        return leased

    def _schedule(self, task: Task) -> None:
        super()._schedule(task)
        self._by_tag.setdefault(task.tag, EtaOrder()).push(task)

    def _bury(self, task: Task, now: float) -> None:
        super()._bury(task, now)
        self._by_tag[task.tag].discard(task)


def _check_length(seconds: float) -> None:
    if not 0 <= seconds < math.inf:  # Google's client overlooks NaN
        refuse(ErrorCode.INVALID_REQUEST, f"a lease cannot last {seconds:g} seconds; give it 0 or more")
