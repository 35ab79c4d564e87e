"""Figures of virtual time. They are matplotlib figures that show themselves as an image with a text in its place.

matplotlib is loaded when the first figure is drawn, pyplot never.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from harness.records import Attempt, QueueSample, Response, TaskInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["backoff", "rate", "timeline"]


def timeline(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> Figure:
    """Draw what users, queues and workers did: one lane each, over virtual time.

    Args:
        responses: the answers to the users' requests, with `request` and `started`.
        tasks: every task that was ever added, as it is now.
        attempts: every attempt so far, in the order in which they were made.
        now: the lab's virtual instant.
    """
    with _silent():
        from harness.show.timeline import draw

    return draw(responses, tasks, attempts, now)


def backoff(delays: Sequence[float], name: str) -> Figure:
    """Draw how long a queue waits before each retry.

    Args:
        delays: the waits in seconds, the first retry's first.
        name: the queue's.
    """
    with _silent():
        from harness.show.queue_plots import draw_backoff

    return draw_backoff(delays, name)


def rate(samples: Sequence[QueueSample], name: str) -> Figure:
    """Draw the tokens of a queue, and how many of its tasks wait and run, over virtual time.

    Args:
        samples: in the order of time.
        name: the queue's.
    """
    with _silent():
        from harness.show.queue_plots import draw_rate

    return draw_rate(samples, name)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep matplotlib quiet while it is loaded: where HOME is read-only, 3.11 logs a folder with a random name."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
