"""What a queue reports to an observer, which can keep the queues on disk, and the names that a queue refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.appengine.taskqueue.model import Task

if TYPE_CHECKING:
    from harness.appengine.taskqueue.queue import Queue


class Tombstones:
    """The names that a queue refuses because a task of that name existed recently (T12, T13; Docs).

    `lifetime` is the virtual seconds until a name can be used again.
    """

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self._expiry: dict[str, float] = {}  # nearly ordered by time, so `bury` removes the old ones from the front

    def bury(self, name: str, now: float) -> None:
        """Add a name, and remove the names at the front that have expired."""
        self._expiry[name] = now + self.lifetime
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                break
            del self._expiry[oldest]

    def holds(self, name: str, now: float) -> bool:
        """Return whether a name is still refused."""
        return self._expiry.get(name, now) > now


class QueueObserver:
    """Receives each change of the queues of a service. This class does nothing.

    A queue holds its lock while it calls the observer. If `add`, `delete`, `purge`, `configure` or `drop` raises an
    ApplicationError, the queue doesn't change. The other methods must not raise exceptions. `until` is the end of the
    time for which a name is refused, in seconds since 1970.
    """

    def tombstones(self, queue: str, lifetime: float) -> Tombstones:
        """Return the names that a queue refuses; for the queue "" those of deleted queues."""
        return Tombstones(lifetime)

    def add(self, task: Task) -> None:
        """Receive a new task."""

    def change(self, task: Task) -> None:
        """Receive a task of which a value, such as the ETA, has changed. It is waiting or running."""

    def finish(self, task: Task, until: float) -> None:
        """Receive a task that is done or dropped."""

    def delete(self, task: Task, until: float) -> None:
        """Receive a task that is to be deleted."""

    def purge(self, queue: Queue, until: float) -> None:
        """Receive a queue whose tasks are all to be deleted. Its `purged` has already been set."""

    def configure(self, queue: Queue) -> None:
        """Receive a queue that is new, or whose configuration or pause has changed."""

    def drop(self, queue: str, until: float | None) -> None:
        """Receive the name of a queue that is to be deleted. It can be used again immediately if `until` is None."""
