"""Tasks in the order of their ETA."""

from __future__ import annotations

from itertools import count

from sortedcontainers import SortedList

from harness.taskqueue.task import Task

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
