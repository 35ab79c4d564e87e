"""One queue: its tasks, their names, and what is said about it in figures."""

from __future__ import annotations

from collections import deque
from itertools import count
from threading import RLock

from sortedcontainers import SortedList

from harness.appengine.taskqueue.messages import ErrorCode, refuse
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.records import TaskState

# Tasks in the order of their ETA.

_Entry = tuple[float, int, Task]


class EtaOrder:
    """Tasks by (ETA, order of arrival).

    In a heap each task taken costs the logarithm of those that wait; at the front of a sorted list it does not (T44).
    """

    __slots__ = ("_entries", "_numbers", "_sorted")

    def __init__(self) -> None:
        self._sorted: SortedList[_Entry] = SortedList()
        self._entries: dict[str, _Entry] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, task: Task) -> None:
        """Put a task in at its `eta`; one that is in already moves to its new place."""
        self.discard(task)
        entry = self._entries[task.name] = (task.eta, next(self._numbers), task)
        self._sorted.add(entry)

    def discard(self, task: Task) -> None:
        """Take a task out, wherever it is; one that is not in changes nothing."""
        entry = self._entries.pop(task.name, None)
        if entry is not None:
            self._sorted.remove(entry)

    def first(self) -> Task | None:
        """Return the task with the earliest ETA, which stays in."""
        return self._sorted[0][2] if self._sorted else None

    def pop_due(self, now: float) -> Task | None:
        """Take out the task with the earliest ETA, if that is not later than `now`."""
        if not self._sorted or self._sorted[0][0] > now:
            return None
        task = self._sorted.pop(0)[2]
        del self._entries[task.name]
        return task

    def ordered(self) -> list[Task]:
        """Return all tasks in the order of their ETA."""
        return [entry[2] for entry in self._sorted]


# Names of tasks that are gone, and may not be used again for a while.

TOMBSTONE_SECONDS = 9 * 86400.0


class Tombstones:
    """The names that a queue refuses although no such task waits (T12, T13; Docs).

    Args:
        lifetime: virtual seconds until a name is free again.
    """

    __slots__ = ("_expiry", "_lifetime")

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expiry: dict[str, float] = {}  # in the order of time, near enough to drop the old ones from the front

    def __len__(self) -> int:
        return len(self._expiry)

    def bury(self, name: str, now: float) -> None:
        """Set a tombstone, and drop those at the front that have lapsed."""
        self._expiry[name] = now + self._lifetime
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                break
            del self._expiry[oldest]

    def holds(self, name: str, now: float) -> bool:
        """Tell whether a name is still refused."""
        return self._expiry.get(name, now) > now


_MINUTE = 60.0


class Queue:
    """A queue of tasks. It runs nothing: `take`, `done` and `put_back` are for whoever does.

    Args:
        config: its entry of queue.yaml.
        tombstone_seconds: virtual seconds for which the name of a task that is gone stays refused.

    `paused` is for the dispatcher to honour: a paused queue still accepts tasks (T32). `left_out` tells that it is so
    because queue.yaml names the queue no more. `in_flight` holds the tasks that are running, by name. All methods may
    be called from any thread.
    """

    def __init__(self, config: QueueConfig, tombstone_seconds: float = TOMBSTONE_SECONDS) -> None:
        self.config = config
        self.paused = False
        self.left_out = False
        self.in_flight: dict[str, Task] = {}
        self._order = EtaOrder()
        self._names: dict[str, Task] = {}
        self._tombstones = Tombstones(tombstone_seconds)
        self._executed: deque[float] = deque()
        self._lock = RLock()

    def __len__(self) -> int:
        """The number of tasks that wait or run."""
        return len(self._names)

    def add(self, task: Task, now: float) -> None:
        """Let a new task wait; its name must be free.

        Raises:
            ApplicationError: TASK_ALREADY_EXISTS or TOMBSTONED_TASK (T12; Docs).
        """
        with self._lock:
            self._check_free(task.name, now)
            self._names[task.name] = task
            self._schedule(task)

    def waiting(self) -> list[Task]:
        """Return the tasks that wait, due or not, in the order of their ETA."""
        with self._lock:
            return self._order.ordered()

    def next_eta(self) -> float | None:
        """Return the earliest ETA of the tasks that wait, or None; a pause makes no difference."""
        with self._lock:
            task = self._order.first()
            return None if task is None else task.eta

    def take(self, now: float) -> Task | None:
        """Take the task with the earliest ETA, if it is due (T21; Docs): it runs now, and is in flight."""
        with self._lock:
            task = self._order.pop_due(now)
            if task is not None:
                task.state = TaskState.RUNNING
                self.in_flight[task.name] = task
                self._count_execution(now)
            return task

    def done(self, task: Task, now: float) -> None:
        """Forget a task that ran for the last time; its name becomes a tombstone (T12; Docs).

        One that was deleted or purged while it ran is gone already, and only lands (T35).
        """
        with self._lock:
            self._land(task)
            if self._names.get(task.name) is task:
                self._bury(task, now)

    def put_back(self, task: Task, eta: float) -> None:
        """Let a task that ran wait again, until `eta`; one that was deleted while it ran only lands (T35)."""
        with self._lock:
            self._land(task)
            if self._names.get(task.name) is task:
                task.state, task.eta = TaskState.WAITING, eta
                self._schedule(task)

    def delete(self, name: str, now: float) -> ErrorCode:
        """Delete a task, waiting or running (T41; SDK).

        Returns:
            OK, or TOMBSTONED_TASK for one that is gone already, or UNKNOWN_TASK.
        """
        with self._lock:
            task = self._names.get(name)
            if task is None:
                return self._absence(name, now)
            task.state = TaskState.DELETED
            self._bury(task, now)
            return ErrorCode.OK

    def purge(self, now: float) -> None:
        """Delete all tasks; their names become tombstones (T13; Docs). Those that run finish."""
        with self._lock:
            for name in list(self._names):
                self.delete(name, now)

    def follow(self, config: QueueConfig | None) -> None:
        """Take a new entry of queue.yaml; None leaves the queue out, which pauses it until there is one (T39; Docs)."""
        if config is None:
            self.left_out = self.left_out or not self.paused
            self.pause()
            return
        if self.left_out:
            self.left_out = False
            self.resume()
        if config.mode == self.config.mode:
            self.config = config

    def pause(self) -> None:
        """Hold all tasks back; adding goes on (T32, T41; Docs)."""
        self.paused = True

    def resume(self) -> None:
        """End a pause."""
        self.paused = False

    def oldest_eta(self) -> float | None:
        """Return the earliest ETA of all tasks, those that run included, or None."""
        with self._lock:
            tasks = [task for task in self.in_flight.values() if task.state is TaskState.RUNNING]
            return min((task.eta for task in [*tasks, *filter(None, [self._order.first()])]), default=None)

    def executed_last_minute(self, now: float) -> int:
        """Return how many tasks were taken or leased in the last 60 virtual seconds."""
        with self._lock:
            self._forget_executions(now)
            return len(self._executed)

    def _count_execution(self, now: float) -> None:
        self._executed.append(now)
        self._forget_executions(now)

    def _forget_executions(self, now: float) -> None:
        """Drop the executions that are older than a minute."""
        while self._executed and self._executed[0] <= now - _MINUTE:
            self._executed.popleft()

    def _check_free(self, name: str, now: float) -> None:
        if name in self._names:
            refuse(
                ErrorCode.TASK_ALREADY_EXISTS,
                f"queue {self.config.name!r} has a task named {name!r} already; choose another name, or none at all",
            )
        if self._tombstones.holds(name, now):
            refuse(
                ErrorCode.TOMBSTONED_TASK,
                f"queue {self.config.name!r} had a task named {name!r} not long ago, and its name is still taken; "
                "choose another name, or none at all",
            )

    def _absence(self, name: str, now: float) -> ErrorCode:
        return ErrorCode.TOMBSTONED_TASK if self._tombstones.holds(name, now) else ErrorCode.UNKNOWN_TASK

    def _schedule(self, task: Task) -> None:
        self._order.push(task)

    def _bury(self, task: Task, now: float) -> None:
        del self._names[task.name]
        self._order.discard(task)
        self._tombstones.bury(task.name, now)

    def _land(self, task: Task) -> None:
        if self.in_flight.get(task.name) is task:
            del self.in_flight[task.name]
