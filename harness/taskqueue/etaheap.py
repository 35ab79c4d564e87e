"""Tasks in the order of their ETA."""

from __future__ import annotations

import heapq
from itertools import count

from harness.taskqueue.task import Task

_Entry = tuple[float, int, Task]


class EtaHeap:
    """A heap over (ETA, order of arrival). A task that leaves early stays behind as a stale entry, dropped later."""

    __slots__ = ("_heap", "_live", "_numbers")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._live: dict[str, _Entry] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._live)

    def push(self, task: Task) -> None:
        """Put a task in at its `eta`; one that is in already moves to its new place."""
        entry = (task.eta, next(self._numbers), task)
        self._live[task.name] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = list(self._live.values())
            heapq.heapify(self._heap)

    def discard(self, task: Task) -> None:
        """Take a task out, wherever it is; one that is not in changes nothing."""
        self._live.pop(task.name, None)

    def first(self) -> Task | None:
        """Return the task with the earliest ETA, which stays in."""
        heap, live = self._heap, self._live
        while heap:
            entry = heap[0]
            if live.get(entry[2].name) is entry:
                return entry[2]
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> Task | None:
        """Take out the task with the earliest ETA, if that is not later than `now`."""
        task = self.first()
        if task is None or self._heap[0][0] > now:
            return None
        self.discard(task)
        return task

    def ordered(self) -> list[Task]:
        """Return all tasks in the order of their ETA."""
        return [entry[2] for entry in sorted(self._live.values(), key=lambda entry: entry[:2])]
