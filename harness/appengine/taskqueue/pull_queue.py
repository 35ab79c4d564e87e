"""Pull queues: workers lease their tasks, and no handler is called."""

import math

from harness.appengine.taskqueue.messages import ErrorCode, refuse
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.appengine.taskqueue.queue import EtaOrder, Queue
from harness.records import TaskState


class PullQueue(Queue):
    """A queue whose tasks can be leased (T42; SDK). A leased task keeps waiting; its ETA is the end of its lease."""

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self._by_tag: dict[str | None, EtaOrder] = {}

    def lease(self, count: int, seconds: float, now: float, group_by_tag: bool, tag: str | None) -> list[Task]:
        """Lease tasks whose ETA is not later than now, the earliest first (T42; SDK).

        Args:
            count: the most tasks to lease.
            seconds: the virtual seconds until others can lease them.
            now: virtual seconds since 1970.
            group_by_tag: lease tasks of one tag only, which is `tag` or that of the earliest task.
            tag: see `group_by_tag`.

        Returns:
            The tasks with their new ETA. A task that has been leased `task_retry_limit` times is dropped instead.

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
        """Change the end of a lease, and return it as the task's new ETA (T42; SDK).

        Args:
            name: the task's name.
            eta: the present end of the lease. If it is not the task's ETA, another worker has leased the task since.
            seconds: the virtual seconds from now to the new end; 0 returns the task to the queue.
            now: virtual seconds since 1970.

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
        for task in leased:  # not earlier, or a lease of 0 seconds would be taken again in the loop above
            self._schedule(task)
        return leased

    def _schedule(self, task: Task) -> None:
        super()._schedule(task)
        self._by_tag.setdefault(task.tag, EtaOrder()).push(task)

    def _bury(self, task: Task, now: float) -> None:
        super()._bury(task, now)
        self._by_tag[task.tag].discard(task)


def _check_length(seconds: float) -> None:
    if not 0 <= seconds < math.inf:  # Google's client accepts NaN
        refuse(ErrorCode.INVALID_REQUEST, f"a lease cannot last {seconds:g} seconds; give it 0 or more")
