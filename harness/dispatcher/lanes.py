"""All push queues of a lab, and which of them goes next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.dispatcher.lane import Lane
from harness.records import QueueSample
from harness.taskqueue import TaskQueueService


class Lanes:
    """The push queues of a service, which a new queue.yaml may change at any time between two runs.

    Pull queues have no lane: their tasks are leased, never sent (T42; Docs).
    """

    def __init__(self, service: TaskQueueService) -> None:
        self._service = service
        self._lanes: dict[str, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def refresh(self, now: float) -> None:
        """Follow the queues that the service has now, and their configuration."""
        before, self._lanes = self._lanes, {}
        for name, queue in self._service.queues.items():
            lane = before.get(name)
            if lane is not None and lane.queue is queue:
                lane.follow_config(now)
                self._lanes[name] = lane
            elif queue.config.mode == "push":
                self._lanes[name] = Lane(queue, now)

    def next_start(self, now: float) -> tuple[Lane | None, float]:
        """Return the queue that starts the next attempt, and when; (None, infinity) when none can.

        At the same instant the queue goes first that was served longest ago, then the one with the earlier ETA, then
        the one that queue.yaml names first.
        """
        best, earliest = None, math.inf
        for lane in self._lanes.values():
            start = lane.next_start(now)
            if start < earliest or (best is not None and start == earliest and lane.precedes(best)):
                best, earliest = lane, start
        return best, earliest

    def samples(self) -> dict[str, list[QueueSample]]:
        """Return what was measured, by queue."""
        return {name: lane.samples() for name, lane in self._lanes.items()}
