"""The console of a queue: its settings, its statistics and its plots, as in App Engine's administration console."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from harness.appengine.clock import Clock, to_datetime
from harness.appengine.taskqueue import Queue, QueueConfig, RetryParameters
from harness.errors import BadValueError, UnknownTaskError, quantity, quoted
from harness.records import QueueSample, QueueStatistics
from harness.show.card import Card, Fact, card, fact
from harness.show.text import clock as clock_face
from harness.show.text import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ATTEMPTS = 1000  # in a backoff plot


class QueueConsole:
    """The console of a queue of a lab.

    Args:
        name: the name of the queue.
        find: returns the current queue of that name, or raises UnknownQueueError.
        clock: the clock of the lab.
        samples: returns the dispatcher's samples of the queue.
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
        """The settings of the queue in queue.yaml."""
        return self._queue.config

    @property
    def paused(self) -> bool:
        """Whether the queue is paused, so that its tasks don't run."""
        return self._queue.paused

    def pause(self) -> None:
        """Pause the queue: tasks can still be added, but none runs (T32, T41; Docs)."""
        self._queue.pause()

    def resume(self) -> None:
        """Resume the paused queue (T41; Docs)."""
        self._queue.resume()

    def purge(self) -> None:
        """Delete all tasks of the queue. Their names can't be reused for some time (T13; Docs)."""
        self._queue.purge(self._clock.timestamp)

    def delete(self, name: str) -> None:
        """Delete a task of the queue by its name (T41; SDK).

        Raises:
            UnknownTaskError: the queue doesn't contain a task of that name.
        """
        queue = self._queue
        if not isinstance(name, str) or queue.delete(name, self._clock.timestamp):
            waiting = ", ".join(task.name for task in queue.waiting()[:10]) or "none"
            raise UnknownTaskError(
                f"the queue {self.name!r} doesn't contain a task {quoted(name)}; the waiting tasks are: {waiting}"
            )

    def statistics(self) -> QueueStatistics:
        """Return the statistics that Google's `Queue.fetch_statistics` reports (T41; SDK)."""
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
        """Return a figure of the waits before each retry of a task that always fails.

        Args:
            attempts: the number of attempts, 2 to 1,000, including the first. A task_retry_limit may reduce it.

        Raises:
            BadValueError: `attempts` is invalid, or the queue is a pull queue.
        """
        from harness.show.plots import backoff

        self._require_push("backoff")
        if isinstance(attempts, bool) or not isinstance(attempts, int) or not 2 <= attempts <= _MOST_ATTEMPTS:
            raise BadValueError(f"attempts must be an integer from 2 to {_MOST_ATTEMPTS:,}, not {quoted(attempts)}")
        return backoff(_delays(self.config.retry, attempts - 1), self.name)

    def rate_plot(self) -> Figure:
        """Return a figure of the queue's tokens, waiting tasks and running tasks over virtual time.

        Raises:
            BadValueError: the queue is a pull queue, which has no rate.
        """
        from harness.show.plots import rate

        self._require_push("rate")
        return rate(self._samples(self.name), self.name)

    @property
    def _queue(self) -> Queue:
        return self._find(self.name)

    def _require_push(self, plot: str) -> None:
        if self.config.mode != "push":
            raise BadValueError(f"{self.name!r} is a pull queue, whose tasks are leased, so it has no {plot} plot")

    def __repr__(self) -> str:
        return f"<{self._card().line}>"

    def _repr_html_(self) -> str:
        return self._card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._card().text())

    def _card(self) -> Card:
        queue, oldest = self._queue, self._queue.oldest_eta()
        tasks = quantity(len(queue), "task") + f", {len(queue.in_flight)} of them running" * bool(queue.in_flight)
        earliest = "" if oldest is None else clock_face(to_datetime(oldest), self._clock.now)
        facts = [fact("tasks", tasks), fact("earliest ETA", earliest), *_settings(queue.config)]
        state = "paused" if queue.paused else queue.config.mode
        return card(f"queue {self.name}, {state}", facts, line=f"QueueConsole {self.name}: {state}, {tasks}")


def not_run(queues: Iterable[Queue]) -> str:
    """Return a note about the tasks that can't run because of their queue, or ""."""
    reasons = [reason for queue in queues if (reason := _held_back(queue))]
    return f"Not run: {'; '.join(reasons)}." if reasons else ""


def _held_back(queue: Queue) -> str:
    """Return why the tasks of a queue never run, however much time passes, or "" if they do."""
    config = queue.config
    if not len(queue):
        return ""
    subject, tasks = f"queue {config.name!r}", f"and has {quantity(len(queue), 'task')}"
    if config.mode == "pull":
        return f"{subject} is a pull queue {tasks} (for a worker to lease)"
    if queue.paused and queue.left_out:
        return f"{subject} is paused {tasks} (add it to queue.yaml again)"
    if queue.paused:
        return f"{subject} is paused {tasks} (call lab.queue({config.name!r}).resume())"
    return "" if config.rate else f"{subject} has the rate 0 {tasks} (change the rate in queue.yaml)"


def _delays(retry: RetryParameters, retries: int) -> list[float]:
    """Return the waits in seconds before some retries, or before fewer if the queue drops the task earlier."""
    limit = retry.task_retry_limit
    if limit is not None and retry.task_age_limit is None:  # with both limits, a task is retried until both are reached
        retries = min(retries, limit)
    return [retry.delay(failures) for failures in range(1, retries + 1)]


def _settings(config: QueueConfig) -> Iterator[Fact | None]:
    """Yield the settings of a queue under their names in queue.yaml."""
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
