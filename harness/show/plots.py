"""The figures of virtual time. matplotlib is imported when the first figure is drawn.

If HOME is read-only, the import prints a warning with the random name of a temporary folder, so stderr is redirected.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from datetime import datetime
from io import StringIO
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
    with redirect_stderr(StringIO()):
        from harness.show.timeline import draw

    return draw(responses, tasks, attempts, now)


def backoff(delays: Sequence[float], name: str) -> Picture:
    """Return a figure of the waits before a queue's retries.

    Args:
        delays: the waits in seconds, in the order of the retries.
        name: the name of the queue.
    """
    with redirect_stderr(StringIO()):
        from harness.show.queue_plots import draw_backoff

    return draw_backoff(delays, name)


def rate(samples: Sequence[QueueSample], name: str) -> Picture:
    """Return a figure of a queue's tokens, waiting tasks and running tasks over virtual time.

    Args:
        samples: the samples in the order of time.
        name: the name of the queue.
    """
    with redirect_stderr(StringIO()):
        from harness.show.queue_plots import draw_rate

    return draw_rate(samples, name)
