"""The figures of virtual time. matplotlib is imported when the first figure is drawn."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from harness.records import Attempt, QueueSample, Response, TaskInfo

if TYPE_CHECKING:
    from harness.show.figure import Picture

__all__ = ["backoff", "rate", "timeline"]


def timeline(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> Picture:
    """Return a figure of the users, the queues and the workers, one lane each, over virtual time.

    Args:
        responses: the responses to the users' requests, with `request` and `started`.
        tasks: all tasks that were ever added, in their current state.
        attempts: all attempts so far, in their order.
        now: the lab's virtual time.
    """
    with _quiet():
        from harness.show.timeline import draw

    return draw(responses, tasks, attempts, now)


def backoff(delays: Sequence[float], name: str) -> Picture:
    """Return a figure of the waits before a queue's retries.

    Args:
        delays: the waits in seconds, in the order of the retries.
        name: the name of the queue.
    """
    with _quiet():
        from harness.show.queue_plots import draw_backoff

    return draw_backoff(delays, name)


def rate(samples: Sequence[QueueSample], name: str) -> Picture:
    """Return a figure of a queue's tokens, waiting tasks and running tasks over virtual time.

    Args:
        samples: the samples in the order of time.
        name: the name of the queue.
    """
    with _quiet():
        from harness.show.queue_plots import draw_rate

    return draw_rate(samples, name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable matplotlib's warning that it uses a temporary folder, which has a random name, if HOME is read-only."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
