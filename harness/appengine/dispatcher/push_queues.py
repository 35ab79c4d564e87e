"""All push queues of a lab, and the choice of the queue that starts the next attempt."""

import math
from array import array
from operator import itemgetter

from harness.appengine.clock import to_datetime
from harness.appengine.taskqueue import Queue, TaskQueueService
from harness.records import QueueSample, TaskState

_FIELDS = 4  # of a sample: instant, tokens, waiting, running


def instant(timestamp: float) -> float:
    """Return a timestamp rounded to the microsecond, App Engine's unit of time, so that sums of floats do not drift."""
    return round(timestamp, 6)


class TokenBucket:
    """Tokens that arrive at a steady rate, up to a size; each attempt, including a retry, takes one (T32; Docs).

    The bucket stores when it was last full and how many tokens it has given out since, so its level cannot drift.
    `next_token` is the instant from which a token is available. It may be in the past, and is infinite at rate 0.

    `rate` is in tokens per second; 0 gives out no tokens, not even those of a full bucket. The bucket is full at first.
    """

    def __init__(self, rate: float, size: int, now: float) -> None:
        self.rate = rate
        self.size = size
        self._full_at = now
        self._given = 0
        self.next_token = self._refilled(1 - size)

    def take(self, now: float) -> None:
        """Take one token, at `next_token` or later."""
        if now > self._refilled(self._given):
            self._full_at, self._given = now, 0
        self._give(1)

    def give_back(self) -> None:
        """Undo the last `take`, whose attempt did not happen."""
        self._give(-1)

    def level(self, now: float) -> float:
        """Return the number of tokens in the bucket, including fractions."""
        return min(self.size, self.size - self._given + (now - self._full_at) * self.rate)

    def _give(self, tokens: int) -> None:
        self._given += tokens
        self.next_token = self._refilled(self._given + 1 - self.size)

    def _refilled(self, tokens: int) -> float:
        """Return the instant at which so many tokens have arrived since the bucket was last full."""
        return instant(self._full_at + tokens / self.rate) if self.rate else math.inf


class PushQueue:
    """One push queue with its token bucket and its samples.

    `served` is the number of the queue's last attempt, 0 before the first.
    """

    def __init__(self, queue: Queue, now: float) -> None:
        self.queue = queue
        self.bucket = TokenBucket(queue.config.rate, queue.config.bucket_size, now)
        self.served = 0
        self._measured = array("d")

    def follow_config(self, now: float) -> None:
        """Replace the bucket by a full one if queue.yaml has changed the queue's rate or bucket size."""
        config = self.queue.config
        if (config.rate, config.bucket_size) != (self.bucket.rate, self.bucket.size):
            self.bucket = TokenBucket(config.rate, config.bucket_size, now)

    def next_start(self, now: float) -> tuple[float, int, float]:
        """Return when the queue can start its next attempt, then `served` and the ETA, which order equal instants.

        The instant is now or later, or infinity if no task can start. A task waits for its ETA (T21), for a token
        (T32), for the end of one of the concurrent requests (T33), and for a paused queue to be resumed (T32). A forced
        task doesn't wait (Docs: RunTask of Cloud Tasks).
        """
        queue = self.queue
        if queue.forced:
            return now, self.served, now
        eta = queue.next_eta()
        if eta is None or queue.paused or len(queue.in_flight) >= queue.config.max_concurrent_requests:
            return math.inf, 0, 0.0
        return max(eta, self.bucket.next_token, now), self.served, eta

    def measure(self, now: float) -> None:
        """Record the level of the bucket and the numbers of waiting and running tasks."""
        queue = self.queue
        states = [task.state for task in queue.in_flight.values()]  # some are DELETED, which len(queue) leaves out
        waiting = len(queue) - states.count(TaskState.RUNNING)
        self._measured.extend((now, self.bucket.level(now), waiting, len(states)))

    def samples(self) -> list[QueueSample]:
        """Return the recorded samples, ordered by time."""
        columns = (self._measured[start::_FIELDS] for start in range(_FIELDS))
        return [
            QueueSample(to_datetime(at), round(tokens, 6), int(waiting), int(running))
            for at, tokens, waiting, running in zip(*columns, strict=True)
        ]


class PushQueues(dict[str, PushQueue]):
    """The push queues of a service by name, which a new queue.yaml may change between two runs.

    Pull queues are left out, because their tasks are leased and never sent (T42; Docs).
    """

    def __init__(self, service: TaskQueueService) -> None:
        super().__init__()
        self._service = service
        self._revision = -1
        self._deleted: dict[str, PushQueue] = {}

    def refresh(self, now: float) -> None:
        """Take over the service's present queues and their configuration, if they have changed."""
        if self._revision == self._service.revision:
            return
        self._revision = self._service.revision
        previous = self.copy()
        self.clear()
        for name, queue in self._service.queues.items():
            push_queue = previous.get(name)
            if push_queue is not None and push_queue.queue is queue:
                push_queue.follow_config(now)
                self[name] = push_queue
            elif queue.config.mode == "push":
                self[name] = PushQueue(queue, now)
        self._deleted |= {name: each for name, each in previous.items() if name not in self}

    def samples(self) -> dict[str, list[QueueSample]]:
        """Return the samples by the names of the queues, also of those that were deleted."""
        return {name: push_queue.samples() for name, push_queue in (self._deleted | self).items()}

    def next_start(self, now: float) -> tuple[PushQueue | None, float]:
        """Return the queue that starts the next attempt, and when; infinity if no queue can start one.

        At the same instant, the queue that was served longest ago starts, so each queue gets its turn (T33; Docs).
        Before the first attempts it is the queue with the earlier ETA, and for equal ETAs the one that queue.yaml names
        first.
        """
        starts = [(push_queue.next_start(now), push_queue) for push_queue in self.values()]
        (start, _, _), push_queue = min(starts, key=itemgetter(0), default=((math.inf, 0, 0.0), None))
        return push_queue, start

    def ready(self, now: float) -> list[Queue]:
        """Return the queues that can start an attempt now, in the order of `next_start`."""
        starts = sorted(((each.next_start(now), each) for each in self.values()), key=itemgetter(0))
        return [push_queue.queue for (start, _, _), push_queue in starts if start <= now]
