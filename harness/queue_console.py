"""One queue as App Engine's administration console shows it: its settings, its figures, and what can be done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.appengine.clock import Clock, to_datetime
from harness.appengine.taskqueue import Queue, QueueConfig, RetryParameters
from harness.errors import BadValueError, UnknownTaskError
from harness.records import QueueSample, QueueStatistics
from harness.show.card import Card, Fact, card, fact
from harness.show.text import clock as clock_face
from harness.show.text import duration, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ATTEMPTS = 1000  # in one plot


class QueueConsole:
    """One queue of a lab.

    Args:
        name: the queue's.
        find: returns the queue of that name, as the lab has it now; raises where there is none any more.
        clock: the lab's.
        samples: returns what the dispatcher measured of the queue.
    """

    def __init__(
        self, name: str, find: Callable[[str], Queue], clock: Clock, samples: Callable[[str], list[QueueSample]]
    ) -> None:
        find(name)
        self.name = name
        self._find = find
        self._clock = clock
        self._samples = samples

    @property
    def config(self) -> QueueConfig:
        """What queue.yaml says about it."""
        return self._queue.config

    @property
    def paused(self) -> bool:
        """Whether its tasks are held back by `pause`."""
        return self._queue.paused

    def pause(self) -> None:
        """Hold all its tasks back; adding goes on (T32, T41; Docs)."""
        self._queue.pause()

    def resume(self) -> None:
        """End a pause (T41; Docs)."""
        self._queue.resume()

    def purge(self) -> None:
        """Delete all its tasks; their names stay taken for a while (T13; Docs)."""
        self._queue.purge(self._clock.timestamp)

    def delete(self, name: str) -> None:
        """Delete one of its tasks (T41; SDK).

        Raises:
            UnknownTaskError: it holds no task of that name (any more).
        """
        queue = self._queue
        if not isinstance(name, str) or queue.delete(name, self._clock.timestamp):
            waiting = ", ".join(task.name for task in queue.waiting()[:10]) or "none"
            raise UnknownTaskError(
                f"the queue {self.name!r} holds no task {name!r}, or no longer; those that wait: {waiting}"
            )

    def statistics(self) -> QueueStatistics:
        """Return its figures, those that Google's `Queue.fetch_statistics` reports (T41; SDK)."""
        queue, oldest = self._queue, self._queue.oldest_eta()
        return QueueStatistics(
            queue=self.name,
            tasks=len(queue),
            oldest_eta=None if oldest is None else to_datetime(oldest),
            executed_last_minute=queue.executed_last_minute(self._clock.timestamp),
            in_flight=len(queue.in_flight),
            enforced_rate=0.0 if queue.paused else queue.config.rate,
        )

    def backoff_plot(self, attempts: int = 20) -> Figure:
        """Draw how long it waits before each retry of a task that always fails.

        Args:
            attempts: how many, the first included, 2 to 1,000; a task_retry_limit may make them fewer.

        Raises:
            BadValueError: another number, or a pull queue.
        """
        from harness.show.plots import backoff

        self._require_push("backoff")
        if isinstance(attempts, bool) or not isinstance(attempts, int) or not 2 <= attempts <= _MOST_ATTEMPTS:
            raise BadValueError(f"attempts must be a whole number from 2 to {_MOST_ATTEMPTS:,}, not {attempts!r}")
        return backoff(_delays(self.config.retry, attempts - 1), self.name)

    def rate_plot(self) -> Figure:
        """Draw its tokens, and how many of its tasks waited and ran, over virtual time.

        Raises:
            BadValueError: a pull queue, which has no rate.
        """
        from harness.show.plots import rate

        self._require_push("rate")
        return rate(self._samples(self.name), self.name)

    @property
    def _queue(self) -> Queue:
        return self._find(self.name)

    def _require_push(self, what: str) -> None:
        if self.config.mode != "push":
            raise BadValueError(f"{self.name!r} is a pull queue: its tasks are leased, so it has no {what} to draw")

    def __repr__(self) -> str:
        return f"<{self._card().line}>"

    def _repr_html_(self) -> str:
        return self._card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._card().text())

    def _card(self) -> Card:
        queue, oldest = self._queue, self._queue.oldest_eta()
        holds = quantity(len(queue), "task") + f", {len(queue.in_flight)} of them running" * bool(queue.in_flight)
        earliest = "" if oldest is None else clock_face(to_datetime(oldest), self._clock.now)
        facts = [fact("holds", holds), fact("earliest ETA", earliest), *_settings(queue.config)]
        state = "paused" if queue.paused else queue.config.mode
        return card(f"queue {self.name}, {state}", facts, line=f"QueueConsole {self.name}: {state}, {holds}")


def held_back(queue: Queue) -> str:
    """Say in words what keeps the tasks of a queue from running although time passes; "" where nothing does."""
    config = queue.config
    holds = f"and holds {quantity(len(queue), 'task')}"
    if not len(queue):
        return ""
    if config.mode == "pull":
        return f"queue {config.name!r} is a pull queue {holds}, for a worker to lease"
    if queue.left_out:
        return f"queue {config.name!r} is paused {holds}, because queue.yaml leaves it out"
    if queue.paused:
        return f"queue {config.name!r} is paused {holds}, until lab.queue({config.name!r}).resume()"
    return "" if config.rate else f"queue {config.name!r} has the rate 0 {holds}, until queue.yaml gives it another"


def _delays(retry: RetryParameters, retries: int) -> list[float]:
    """Return the waits before so many retries, seconds; fewer where the task is given up before."""
    limit = retry.task_retry_limit
    if limit is not None and retry.task_age_limit is None:  # with both, the task goes on until both are reached
        retries = min(retries, limit)
    return [retry.delay(failures) for failures in range(1, retries + 1)]


def _settings(config: QueueConfig) -> Iterator[Fact | None]:
    """Yield what queue.yaml says, by its own names."""
    retry = config.retry
    if config.mode == "push":
        yield fact("rate", f"{config.rate:g}/s")
        yield fact("bucket_size", f"{config.bucket_size:,}")
        yield fact("max_concurrent_requests", f"{config.max_concurrent_requests:,}")
        yield fact("min_backoff_seconds", f"{retry.min_backoff:g}")
        yield fact("max_backoff_seconds", f"{retry.max_backoff:g}")
        yield fact("max_doublings", f"{retry.max_doublings}")
    yield fact("task_retry_limit", "" if retry.task_retry_limit is None else f"{retry.task_retry_limit}")
    yield fact("task_age_limit", "" if retry.task_age_limit is None else duration(retry.task_age_limit))
    yield fact("target", config.target or "")
