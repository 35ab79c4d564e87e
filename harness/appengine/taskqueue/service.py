"""App Engine's task queue service: what answers Google's client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.appengine.api import apiproxy_stub
from google.appengine.runtime.apiproxy_errors import ApplicationError

from harness.appengine.clock import Clock
from harness.appengine.taskqueue.call_site import find_call_site
from harness.appengine.taskqueue.messages import PULL, ErrorCode, check_add, refuse, to_task
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.appengine.taskqueue.pull_queue import PullQueue
from harness.appengine.taskqueue.queue import TOMBSTONE_SECONDS, Queue
from harness.records import Frame

_LARGEST_REQUEST = 32 << 20


class TaskQueueService(apiproxy_stub.APIProxyStub):  # type: ignore[misc]  # the SDK has no type annotations
    """The queues of one lab, behind Google's client (which finds each `_Dynamic_…` method by its name).

    Args:
        clock: what time it is.
        configs: the queues; "default" is added where it is missing (T40; Docs).
        tombstone_seconds: virtual seconds for which the name of a task that is gone stays refused (T12; Docs).

    `queues` holds the queues by name, `history` every task that was ever added, by name: names are unique in a queue
    only, so that a name may stand for several tasks.
    """

    # False lets `add_async` take effect when it is waited for (T19; SDK). Threads may call the service all the same.
    THREADSAFE = False

    def __init__(
        self, clock: Clock, configs: Iterable[QueueConfig] = (), tombstone_seconds: float = TOMBSTONE_SECONDS
    ) -> None:
        super().__init__("taskqueue", max_request_size=_LARGEST_REQUEST)
        self.clock = clock
        self.queues: dict[str, Queue] = {}
        self.history: dict[str, list[Task]] = {}
        self._last_number = 0
        self._tombstone_seconds = tombstone_seconds
        self.configure(configs)

    def configure(self, configs: Iterable[QueueConfig]) -> None:
        """Take a new queue.yaml: a queue keeps its tasks, and one that is left out pauses (T39; Docs).

        One that comes in another mode begins anew, without its tasks.

        Args:
            configs: the queues; "default" is added where it is missing (T40; Docs).
        """
        wanted = {config.name: config for config in (QueueConfig("default"), *configs)}
        with self._mutex:
            for name, queue in list(self.queues.items()):
                queue.follow(wanted.get(name))
                if name in wanted and wanted[name].mode != queue.config.mode:
                    queue.purge(self.clock.timestamp)
                    del self.queues[name]
            for name, config in wanted.items():
                if name not in self.queues:
                    kind = PullQueue if config.mode == "pull" else Queue
                    self.queues[name] = kind(config, self._tombstone_seconds)

    def _Dynamic_BulkAdd(self, request: Any, response: Any) -> None:
        """Add tasks, all to one queue; in a partly bad batch the good ones are queued (T14; SDK)."""
        now, origin = self.clock.timestamp, find_call_site()
        with self._mutex:
            messages = request.add_request
            queue = self._queue_for(messages[0])
            results = [response.taskresult.add() for _ in messages]
            if len(messages) == 1:
                self._add(queue, messages[0], results[0], now, origin, frozenset())
                return
            taken = frozenset(message.task_name.decode("utf-8", "replace") for message in messages)
            for message, result in zip(messages, results, strict=True):
                try:
                    self._add(queue, message, result, now, origin, taken)
                except ApplicationError as error:  # the client reads the code of each result, and no words
                    result.result = error.application_error

    def _Dynamic_Delete(self, request: Any, response: Any) -> None:
        """Delete tasks by name; what is not there is no error (T41; SDK)."""
        queue = self._queue(request.queue_name)
        for name in request.task_name:
            response.result.append(int(queue.delete(name.decode("utf-8", "replace"), self.clock.timestamp)))

    def _Dynamic_PurgeQueue(self, request: Any, response: Any) -> None:
        """Delete all tasks of a queue (T13, T41; SDK)."""
        self._queue(request.queue_name).purge(self.clock.timestamp)

    def _Dynamic_FetchQueueStats(self, request: Any, response: Any) -> None:
        """Report true figures (T41; SDK)."""
        for name in request.queue_name:
            queue, stats = self._queue(name), response.queuestats.add()
            oldest = queue.oldest_eta()
            stats.num_tasks = len(queue)
            stats.oldest_eta_usec = -1 if oldest is None else round(oldest * 1e6)
            stats.scanner_info.executed_last_minute = queue.executed_last_minute(self.clock.timestamp)
            stats.scanner_info.requests_in_flight = len(queue.in_flight)
            stats.scanner_info.enforced_rate = 0.0 if queue.paused else queue.config.rate

    def _Dynamic_QueryAndOwnTasks(self, request: Any, response: Any) -> None:
        """Lease tasks of a pull queue (T42; SDK)."""
        tag = request.tag.decode("utf-8", "replace") or None  # an empty tag means the earliest task's, like none
        leased = self._pull_queue(request.queue_name).lease(
            request.max_tasks, request.lease_seconds, self.clock.timestamp, request.group_by_tag, tag
        )
        for task in leased:
            message = response.task.add()
            message.task_name = task.name.encode()
            message.eta_usec = round(task.eta * 1e6)
            message.retry_count = task.retries
            message.body = task.body
            if task.tag is not None:
                message.tag = task.tag.encode()

    def _Dynamic_ModifyTaskLease(self, request: Any, response: Any) -> None:
        """Extend, shorten or give back a lease (T42; SDK)."""
        name, eta = request.task_name.decode("utf-8", "replace"), request.eta_usec / 1e6
        queue = self._pull_queue(request.queue_name)
        response.updated_eta_usec = round(queue.extend(name, eta, request.lease_seconds, self.clock.timestamp) * 1e6)

    def _add(
        self, queue: Queue, message: Any, result: Any, now: float, origin: Frame | None, taken: frozenset[str]
    ) -> None:
        check_add(message, now)
        name = message.task_name.decode() or self._choose_name(taken)
        task = to_task(message, name, now, origin)
        queue.add(task, now)
        self.history.setdefault(name, []).append(task)
        result.result = int(ErrorCode.OK)
        if not message.task_name:
            result.chosen_task_name = name.encode()

    def _choose_name(self, taken: frozenset[str]) -> str:
        """Return "task1", "task2", … without those that were ever used in the lab, or that the batch brings along."""
        while True:
            self._last_number += 1
            name = f"task{self._last_number}"
            if name not in self.history and name not in taken:
                return name

    def _queue(self, encoded: bytes) -> Queue:
        name = encoded.decode("utf-8", "replace")
        if name not in self.queues:
            known = ", ".join(repr(known) for known in self.queues)
            refuse(ErrorCode.UNKNOWN_QUEUE, f"there is no queue {name!r} in queue.yaml; the queues are {known}")
        return self.queues[name]

    def _queue_for(self, message: Any) -> Queue:
        queue = self._queue(message.queue_name)
        wanted = "pull" if message.mode == PULL else "push"
        if queue.config.mode != wanted:
            refuse(
                ErrorCode.INVALID_QUEUE_MODE,
                f"queue {queue.config.name!r} is a {queue.config.mode} queue and takes no {wanted} task; "
                + ("pull tasks need a queue with `mode: pull`" if wanted == "pull" else "add it with method='PULL'"),
            )
        return queue

    def _pull_queue(self, encoded: bytes) -> PullQueue:
        queue = self._queue(encoded)
        if not isinstance(queue, PullQueue):
            refuse(
                ErrorCode.INVALID_QUEUE_MODE,
                f"queue {queue.config.name!r} is a push queue; only a queue with `mode: pull` can be leased from",
            )
        return queue
