"""A push queue as the dispatcher sees it."""

from __future__ import annotations

import math
from array import array

from harness.clock import to_datetime
from harness.dispatcher.bucket import TokenBucket
from harness.records import QueueSample, TaskState
from harness.taskqueue import Queue, QueueConfig

_FIELDS = 4  # of a sample: instant, tokens, waiting, running


class Lane:
    """One push queue, the bucket that holds it to its rate, and what was measured of it.

    `served` is the number of the queue's last attempt, 0 before the first: among queues that could go at the same
    instant, the one that was served longest ago goes first, so that none starves another (T33; Docs).
    """

    __slots__ = ("_config", "_measured", "bucket", "queue", "served")

    def __init__(self, queue: Queue, now: float) -> None:
        self.queue = queue
        self.bucket = _fill_bucket(queue.config, now)
        self.served = 0
        self._config = queue.config
        self._measured = array("d")

    def follow_config(self, now: float) -> None:
        """Begin with a full bucket where queue.yaml gave the queue another rate or size."""
        config = self.queue.config
        if (config.rate, config.bucket_size) != (self._config.rate, self._config.bucket_size):
            self.bucket = _fill_bucket(config, now)
        self._config = config

    def next_start(self, now: float) -> float:
        """Return when the queue could start its next attempt: now or later, infinite when nothing waits or all is held.

        A task waits for its ETA (T21), for a token (T32), for one of the concurrent requests to end (T33), and for a
        paused queue to be resumed (T32).
        """
        queue = self.queue
        if queue.paused or len(queue.in_flight) >= queue.config.max_concurrent_requests:
            return math.inf
        eta = queue.next_eta()
        return math.inf if eta is None else max(eta, self.bucket.next_token, now)

    def precedes(self, other: Lane) -> bool:
        """Tell which of two queues goes first when both could go at the same instant."""
        if self.served or other.served:
            return self.served < other.served
        return (self.queue.next_eta() or 0.0) < (other.queue.next_eta() or 0.0)

    def hindrance(self) -> str | None:
        """Return in words what holds the queue's tasks back for good, or None."""
        if self.queue.paused:
            return "is paused"
        return None if self.bucket.rate else "has the rate 0"

    def measure(self, now: float) -> None:
        """Write down the level of the bucket and how many tasks wait and run."""
        queue = self.queue
        states = [task.state for task in queue.in_flight.values()]  # also DELETED, which the queue no longer counts
        waiting = len(queue) - states.count(TaskState.RUNNING)
        self._measured.extend((now, self.bucket.level(now), waiting, len(states)))

    def samples(self) -> list[QueueSample]:
        """Return what was measured, in the order of time."""
        columns = (self._measured[start::_FIELDS] for start in range(_FIELDS))
        return [
            QueueSample(to_datetime(at), round(tokens, 6), int(waiting), int(running))
            for at, tokens, waiting, running in zip(*columns, strict=True)
        ]


def _fill_bucket(config: QueueConfig, now: float) -> TokenBucket:
    return TokenBucket(config.rate, config.bucket_size, now)
