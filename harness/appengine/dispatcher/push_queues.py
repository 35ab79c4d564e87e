"""All push queues of a lab, and which of them goes next."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

from harness.appengine.clock import to_datetime
from harness.appengine.taskqueue import Queue, QueueConfig, TaskQueueService
from harness.records import QueueSample, TaskState

# The token bucket that holds a queue to its rate.


def instant(timestamp: float) -> float:
    """Return a timestamp to the microsecond, App Engine's unit of time, so that sums of floats do not drift."""
    return round(timestamp, 6)


class TokenBucket:
    """Tokens that come in at a steady rate, up to a size; each attempt takes one, retries too (T32; Docs).

    The level is never stored, so it cannot drift: the bucket remembers when it was last full and how many tokens it
    has given out since. `next_token` is the instant from which a token is there; it may lie in the past, and is
    infinite at rate 0.

    Args:
        rate: tokens per second; 0 gives none at all, not even those of a full bucket.
        size: the most tokens that the bucket holds; it begins full.
        now: the instant at which it begins, in seconds since 1970.
    """

    __slots__ = ("_full_at", "_given", "next_token", "rate", "size")

    def __init__(self, rate: float, size: int, now: float) -> None:
        self.rate = rate
        self.size = size
        self._full_at = now
        self._given = 0
        self.next_token = self._refilled(1 - size)

    def take(self, now: float) -> None:
        """Take one token, at an instant not before `next_token`."""
        if now > self._refilled(self._given):
            self._full_at, self._given = now, 0
        self._give(1)

    def give_back(self) -> None:
        """Undo the last `take`: its attempt never happened."""
        self._give(-1)

    def level(self, now: float) -> float:
        """Return how many tokens, and parts of one, are in the bucket."""
        return min(self.size, self.size - self._given + (now - self._full_at) * self.rate)

    def _give(self, tokens: int) -> None:
        self._given += tokens
        self.next_token = self._refilled(self._given + 1 - self.size)

    def _refilled(self, tokens: int) -> float:
        """Return the instant at which so many tokens have come in since the bucket was last full."""
        return instant(self._full_at + tokens / self.rate) if self.rate else math.inf


# A push queue as the dispatcher sees it.

_FIELDS = 4  # of a sample: instant, tokens, waiting, running


class PushQueue:
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

    def precedes(self, other: PushQueue) -> bool:
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


class PushQueues:
    """The push queues of a service, which a new queue.yaml may change at any time between two runs.

    Pull queues have no push_queue: their tasks are leased, never sent (T42; Docs).
    """

    def __init__(self, service: TaskQueueService) -> None:
        self._service = service
        self._lanes: dict[str, PushQueue] = {}

    def __iter__(self) -> Iterator[PushQueue]:
        return iter(self._lanes.values())

    def refresh(self, now: float) -> None:
        """Follow the queues that the service has now, and their configuration."""
        before, self._lanes = self._lanes, {}
        for name, queue in self._service.queues.items():
            push_queue = before.get(name)
            if push_queue is not None and push_queue.queue is queue:
                push_queue.follow_config(now)
                self._lanes[name] = push_queue
            elif queue.config.mode == "push":
                self._lanes[name] = PushQueue(queue, now)

    def next_start(self, now: float) -> tuple[PushQueue | None, float]:
        """Return the queue that starts the next attempt, and when; (None, infinity) when none can.

        At the same instant the queue goes first that was served longest ago, then the one with the earlier ETA, then
        the one that queue.yaml names first.
        """
        best, earliest = None, math.inf
        for push_queue in self._lanes.values():
            start = push_queue.next_start(now)
            if start < earliest or (best is not None and start == earliest and push_queue.precedes(best)):
                best, earliest = push_queue, start
        return best, earliest

    def samples(self) -> dict[str, list[QueueSample]]:
        """Return what was measured, by queue."""
        return {name: push_queue.samples() for name, push_queue in self._lanes.items()}
