"""Random decisions that App Engine does not specify: the order of due tasks, and double deliveries."""

import math
from random import Random

from harness.appengine.taskqueue import Queue, Task
from harness.errors import BadValueError


class Chaos:
    """The random decisions of one dispatcher; the same seed leads to the same decisions.

    Args:
        seed: any integer.
        shuffle: True makes the order of due tasks random (T21; Docs).
        duplicates: the probability, 0 to 1, that a task that succeeded is delivered once more (T37; Docs).

    Raises:
        BadValueError: `duplicates` is not a probability, or `seed` is not an integer.
    """

    def __init__(self, seed: int = 0, shuffle: bool = False, duplicates: float = 0.0) -> None:
        if not isinstance(duplicates, (int, float)) or not 0 <= duplicates <= 1:
            raise BadValueError(f"duplicates is a probability: choose a number from 0 to 1, not {duplicates!r}")
        if not isinstance(seed, int):
            raise BadValueError(f"seed must be an integer, not {seed!r}")
        self._shuffle = shuffle
        self._duplicates = duplicates
        self._order = Random(f"order {seed}")
        self._deliveries = Random(f"deliveries {seed}")
        self._succeeded: set[Task] = set()

    def take(self, queue: Queue, now: float) -> Task:
        """Take a due task from a queue that has one, and return it: the earliest one, or a random one."""
        if self._shuffle:
            drawn = self._order.choice([task for task in queue.waiting() if task.eta <= now])
            eta = drawn.eta
            queue.put_back(drawn, -math.inf)  # to the front, where `take` finds it
            drawn.eta = eta
        task = queue.take(now)
        assert task is not None, "a queue that can start an attempt has a task that is due"
        return task

    def delivers_again(self, task: Task) -> bool:
        """Return whether a task that has just succeeded is delivered once more; this happens at most once per task."""
        if not self._duplicates or task in self._succeeded or self._deliveries.random() >= self._duplicates:
            return False
        self._succeeded.add(task)
        return True

    def is_duplicate(self, task: Task) -> bool:
        """Return whether a task that is about to run has already succeeded."""
        return task in self._succeeded
