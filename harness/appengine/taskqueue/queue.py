"""One queue: its tasks ordered by ETA, the names that it refuses, and its statistics."""

import math
from collections import deque
from collections.abc import Callable
from itertools import count, islice
from threading import RLock
from typing import Any

from sortedcontainers import SortedList

from harness.appengine.taskqueue.messages import ErrorCode, refuse
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.appengine.taskqueue.observer import QueueObserver
from harness.records import TaskState

# The seconds for which the name of a finished task is refused, in a queue of queue.yaml and in a queue that was created
# through Cloud Tasks' API (T12; Docs: CreateTaskRequest.task says "up to 24 hours (or 9 days …)").
_TOMBSTONE_SECONDS, _CLOUD_TOMBSTONE_SECONDS = 9 * 86400.0, 86400.0
_MINUTE = 60.0
_Entry = tuple[float, int, Task]


class EtaOrder:
    """Tasks ordered by ETA, and by arrival for equal ETAs.

    A sorted list takes a task from its front in constant time; a heap needs logarithmic time (T44).
    """

    def __init__(self) -> None:
        self._sorted: SortedList[_Entry] = SortedList()
        self._entries: dict[str, _Entry] = {}
        self._numbers = count()

    def push(self, task: Task) -> None:
        """Add a task at its `eta`; a task that is already present moves there."""
        self.discard(task)
        entry = self._entries[task.name] = (task.eta, next(self._numbers), task)
        self._sorted.add(entry)

    def discard(self, task: Task) -> None:
        """Remove a task if it is present."""
        entry = self._entries.pop(task.name, None)
        if entry is not None:
            self._sorted.remove(entry)

    def first(self) -> Task | None:
        """Return the task with the earliest ETA without removing it, or None."""
        return self._sorted[0][2] if self._sorted else None

    def pop_due(self, now: float) -> Task | None:
        """Remove and return the task with the earliest ETA, or return None if that ETA is later than `now`."""
        if not self._sorted or self._sorted[0][0] > now:
            return None
        task = self._sorted.pop(0)[2]
        del self._entries[task.name]
        return task

    def ordered(self, most: int | None = None) -> list[Task]:
        """Return all tasks, or the first `most` of them, ordered by ETA."""
        return [entry[2] for entry in islice(self._sorted, most)]


def _lifetime(config: QueueConfig) -> float:
    return _TOMBSTONE_SECONDS if config.from_yaml else _CLOUD_TOMBSTONE_SECONDS


class Queue:
    """A queue of tasks. It does not run them; a dispatcher calls `take`, `done` and `put_back`.

    A queue that is `paused` still accepts tasks, and the dispatcher must not run them (T32). `left_out` is True if it
    is paused because the newest queue.yaml doesn't name it. `config` is its entry in queue.yaml, and `in_flight`
    contains the running tasks by name. `forced` contains the tasks that must start now (see `force`). `purged` is when
    the queue was last purged, or None. `observer` receives each change. All methods may be called from any thread.
    """

    def __init__(self, config: QueueConfig, observer: QueueObserver | None = None) -> None:
        self._lock = RLock()
        self.config = config
        self.paused = False
        self.left_out = False
        self.purged: float | None = None
        self.in_flight: dict[str, Task] = {}
        self.forced: dict[str, Task] = {}
        self._order = EtaOrder()
        self._names: dict[str, Task] = {}
        self._sorted_names: list[str] | None = None
        self._executed: deque[float] = deque()
        self._observer = observer = observer or QueueObserver()
        self.tombstones = observer.tombstones(config.name, _lifetime(config))

    def __len__(self) -> int:
        """The number of waiting and running tasks."""
        return len(self._names)

    def add(self, task: Task, now: float) -> None:
        """Add a new task.

        Raises:
            ApplicationError: TASK_ALREADY_EXISTS or TOMBSTONED_TASK (T12; Docs).
        """
        with self._lock:
            self._check_free(task.name, now)
            self._observer.add(task)
            self.restore(task)

    def restore(self, task: Task) -> None:
        """Add a task without reporting it to the observer."""
        with self._lock:
            self._names[task.name] = task
            self._sorted_names = None
            self._schedule(task)

    def is_free(self, name: str, now: float) -> bool:
        """Return whether a new task can have this name."""
        with self._lock:
            return name not in self._names and not self.tombstones.holds(name, now)

    def find(self, name: str) -> Task | None:
        """Return the waiting or running task of this name, or None."""
        return self._names.get(name)

    def names(self) -> list[str]:
        """Return the names of the waiting and running tasks, in alphabetical order."""
        with self._lock:
            if self._sorted_names is None:
                self._sorted_names = sorted(self._names)  # kept, so that the pages of a list share it
            return self._sorted_names

    def force(self, task: Task) -> None:
        """Let a waiting task start now, whatever its ETA and the queue's limits are, even if the queue is paused."""
        with self._lock:
            if self._names.get(task.name) is task and task.state is TaskState.WAITING:
                self.forced[task.name] = task

    def waiting(self, most: int | None = None) -> list[Task]:
        """Return the waiting tasks, due or not, ordered by ETA; only the first ones if `most` is given."""
        with self._lock:
            return self._order.ordered(most)

    def next_eta(self) -> float | None:
        """Return the earliest ETA of the waiting tasks, or None; a pause does not change the result."""
        with self._lock:
            task = self._order.first()
            return None if task is None else task.eta

    def take(self, now: float) -> Task | None:
        """Return the task with the earliest ETA, which now counts as running, or None if it is not due (T21; Docs)."""
        with self._lock:
            task = self._order.pop_due(now)
            if task is not None:
                self.pick(task, now)
            return task

    def pick(self, task: Task, now: float) -> None:
        """Let a waiting task count as running, whatever its ETA is."""
        with self._lock:
            self._order.discard(task)
            self.forced.pop(task.name, None)
            task.state = TaskState.RUNNING
            self.in_flight[task.name] = task
            self._count_execution(now)

    def begin(self, task: Task, now: float) -> None:
        """Set the time of a task's first attempt, from which an age limit counts.

        Without an age limit, nothing is reported to the observer, because it soon receives the end of the attempt.
        """
        task.first_try = now
        if (task.retry or self.config.retry).task_age_limit is None:
            return
        with self._lock:
            if self._names.get(task.name) is task:
                self._observer.change(task)

    def done(self, task: Task, now: float) -> None:
        """Remove a task after its last attempt; its name becomes a tombstone (T12; Docs).

        A task that was deleted or purged while it ran already has one (T35).
        """
        with self._lock:
            self._land(task)
            if self._names.get(task.name) is task:
                self._end(task, now)

    def put_back(self, task: Task, eta: float) -> None:
        """Return a task that ran to the queue with a new ETA, unless it was deleted while it ran (T35)."""
        with self._lock:
            self._land(task)
            if self._names.get(task.name) is task:
                task.state, task.eta = TaskState.WAITING, eta
                self._change(task)

    def delete(self, name: str, now: float) -> ErrorCode:
        """Delete a waiting or running task (T41; SDK).

        Returns:
            OK, TOMBSTONED_TASK if the task has finished or was deleted, or UNKNOWN_TASK.
        """
        with self._lock:
            task = self._names.get(name)
            if task is None:
                return self._absence(name, now)
            self._observer.delete(task, now + self.tombstones.lifetime)
            task.state = TaskState.DELETED
            self._bury(task, now)
            return ErrorCode.OK

    def purge(self, now: float) -> None:
        """Delete all tasks; their names become tombstones (T13; Docs). Attempts that are running finish."""
        with self._lock:
            self._set(lambda: self._observer.purge(self, now + self.tombstones.lifetime), purged=now)
            for task in list(self._names.values()):
                task.state = TaskState.DELETED
                self._bury(task, now)

    def follow(self, config: QueueConfig | None) -> None:
        """Use a new entry of queue.yaml; for None, pause until a later queue.yaml names the queue (T39; Docs)."""
        if config is None:
            self.set(left_out=self.left_out or not self.paused, paused=True)
            return
        paused = self.paused and not self.left_out
        self.set(left_out=False, paused=paused, config=config if config.mode == self.config.mode else self.config)
        self.tombstones.lifetime = _lifetime(self.config)  # queue.yaml may take over a queue of Cloud Tasks' API

    def pause(self) -> None:
        """Hold all tasks; new ones can still be added (T32, T41; Docs)."""
        self.set(paused=True)

    def resume(self) -> None:
        """End a pause."""
        self.set(paused=False, left_out=False)

    def set(self, **attributes: Any) -> None:
        """Change some of `config`, `paused` and `left_out`."""
        with self._lock:
            self._set(lambda: self._observer.configure(self), **attributes)

    def oldest_eta(self) -> float | None:
        """Return the earliest ETA of all tasks, including running ones, or None."""
        with self._lock:
            tasks = [task for task in self.in_flight.values() if task.state is TaskState.RUNNING]
            return min((task.eta for task in [*tasks, *filter(None, [self._order.first()])]), default=None)

    def executed_last_minute(self, now: float) -> int:
        """Return how many tasks were taken or leased in the last 60 virtual seconds."""
        with self._lock:
            return sum(at > now - _MINUTE for at in self._executed)

    def _count_execution(self, now: float) -> None:
        self._executed.append(now)
        while self._executed[0] <= now - _MINUTE:
            self._executed.popleft()

    def _check_free(self, name: str, now: float) -> None:
        queue, named = f"queue {self.config.name!r}", f"a task named {name!r}"
        advice = "choose another name, or leave the name out"
        if name in self._names:
            refuse(ErrorCode.TASK_ALREADY_EXISTS, f"{queue} already has {named}; {advice}")
        if self.tombstones.holds(name, now):
            refuse(ErrorCode.TOMBSTONED_TASK, f"{queue} recently had {named}, so the name is still taken; {advice}")

    def _absence(self, name: str, now: float) -> ErrorCode:
        return ErrorCode.TOMBSTONED_TASK if self.tombstones.holds(name, now) else ErrorCode.UNKNOWN_TASK

    def _set(self, report: Callable[[], None], **attributes: Any) -> None:
        """Change attributes, and report the change. If the report fails, change nothing."""
        before = {name: getattr(self, name) for name in attributes}
        for name, value in attributes.items():
            setattr(self, name, value)
        try:
            report()
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def _change(self, task: Task) -> None:
        self._observer.change(task)
        self._schedule(task)

    def _schedule(self, task: Task) -> None:
        self._order.push(task)

    def _end(self, task: Task, now: float) -> None:
        self._observer.finish(task, now + self.tombstones.lifetime)
        self._bury(task, now)

    def _bury(self, task: Task, now: float) -> None:
        del self._names[task.name]
        self._sorted_names = None
        self._order.discard(task)
        self.forced.pop(task.name, None)
        self.tombstones.bury(task.name, now)

    def _land(self, task: Task) -> None:
        if self.in_flight.get(task.name) is task:
            del self.in_flight[task.name]


# Pull queues: workers lease their tasks, and no handler is called.


class PullQueue(Queue):
    """A queue whose tasks can be leased (T42; SDK). A leased task keeps waiting; its ETA is the end of its lease."""

    def __init__(self, config: QueueConfig, observer: QueueObserver | None = None) -> None:
        super().__init__(config, observer)
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
                message = f"queue {self.config.name!r} has no task {name!r}; it was deleted or never added"
                refuse(self._absence(name, now), message)
            if round(task.eta * 1e6) != round(eta * 1e6) or eta < now:  # the client rounds it to microseconds
                refuse(ErrorCode.TASK_LEASE_EXPIRED, f"the lease of task {name!r} has expired; lease it again")
            task.eta = now + seconds
            self._change(task)
            return task.eta

    def _lease_from(self, order: EtaOrder, count: int, now: float, until: float) -> list[Task]:
        leased: list[Task] = []
        while len(leased) < count and (task := order.pop_due(now)) is not None:
            if (task.retry or self.config.retry).exhausted(task.retries, 0.0):
                task.state = TaskState.DROPPED
                self._end(task, now)
                continue
            task.retries += 1
            task.eta = until
            leased.append(task)
            self._count_execution(now)
        for task in leased:  # not earlier, or a lease of 0 seconds would be taken again in the loop above
            self._change(task)
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
