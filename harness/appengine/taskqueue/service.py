"""App Engine's task queue service, which Google's client calls."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from google.appengine.api import apiproxy_stub
from google.appengine.runtime.apiproxy_errors import ApplicationError

from harness.appengine.clock import Clock
from harness.appengine.taskqueue.call_site import find_call_site
from harness.appengine.taskqueue.messages import PULL, ErrorCode, check_add, decode, refuse, to_task
from harness.appengine.taskqueue.model import QueueConfig, Task
from harness.appengine.taskqueue.observer import QueueObserver
from harness.appengine.taskqueue.queue import PullQueue, Queue
from harness.appengine.turns import turn
from harness.errors import quoted
from harness.records import Frame

_LARGEST_REQUEST = 32 << 20  # bytes
_DELETED_QUEUE_SECONDS = 3 * 86400.0  # for which a deleted queue's name is refused (Docs: DeleteQueue of Cloud Tasks)


class TaskQueueService(apiproxy_stub.APIProxyStub):  # type: ignore[misc]  # the SDK has no type annotations
    """The queues of one lab. Google's client finds each `_Dynamic_…` method by its name.

    Args:
        clock: the virtual clock.
        configs: the queues; "default" is added if it is missing (T40; Docs). None if `restore` adds them.
        keeps_tasks: False if no history is kept, so that memory holds only the tasks that wait or run.
        observer: receives each change of the queues.

    `queues` contains the queues by name, and `revision` counts its changes. `deleted` contains the names of deleted
    queues. `history` contains every task that was ever added, by name; a name has several tasks if several queues used
    it. `chosen_names` contains the names of the tasks that were added without a name. Each of the `listeners` receives
    the name and the request of every call.
    """

    # False makes `add_async` take effect when its result is requested (T19; SDK). Threads may still call the service.
    THREADSAFE = False

    def __init__(
        self,
        clock: Clock,
        configs: Iterable[QueueConfig] | None = (),
        keeps_tasks: bool = True,
        observer: QueueObserver | None = None,
    ) -> None:
        super().__init__("taskqueue", max_request_size=_LARGEST_REQUEST)
        self._keeps_tasks = keeps_tasks
        self._observer = observer or QueueObserver()
        self.clock = clock
        self.queues: dict[str, Queue] = {}
        self.revision = 0
        self.deleted = self._observer.tombstones("", _DELETED_QUEUE_SECONDS)
        self.history: dict[str, list[Task]] = {}
        self.chosen_names: set[str] = set()
        self.listeners: list[Callable[[str, Any], None]] = []
        self._last_number = 0
        if configs is not None:
            self.configure(configs)

    def configure(self, configs: Iterable[QueueConfig]) -> None:
        """Use a new queue.yaml: queues keep their tasks, and a queue that it leaves out is paused (T39; Docs).

        A queue whose mode changes is replaced by a new one without tasks.
        """
        wanted = {config.name: config for config in (QueueConfig("default"), *configs)}
        with self._mutex:
            for name, queue in list(self.queues.items()):
                queue.follow(wanted.get(name))
                if name in wanted and wanted[name].mode != queue.config.mode:
                    queue.purge(self.clock.timestamp)
                    self._observer.drop(name, None)
                    del self.queues[name]
            for name, config in wanted.items():
                if name not in self.queues:
                    self._create(config)
            self.revision += 1

    def restore(self, queues: Iterable[Queue], last_number: int) -> None:
        """Take over the queues of an earlier service. It has chosen names "taskN" with N up to `last_number`."""
        with self._mutex:
            self.queues = {queue.config.name: queue for queue in queues}
            self._last_number = last_number
            self.revision += 1

    def set_queue(self, config: QueueConfig) -> Queue:
        """Create a push queue, or change the configuration of one, as Cloud Tasks' API does; return the queue."""
        with self._mutex:
            queue = self.queues.get(config.name)
            if queue is None:
                queue = self._create(config)
            else:
                queue.set(config=config)
            self.revision += 1
            return queue

    def delete_queue(self, name: str) -> None:
        """Delete a queue and its tasks, as Cloud Tasks' API does. Running attempts are completed."""
        with self._mutex:
            now = self.clock.timestamp
            self.queues[name].purge(now)
            self._observer.drop(name, now + self.deleted.lifetime)
            self.deleted.bury(name, now)
            del self.queues[name]
            self.revision += 1

    def add(self, queue: Queue, task: Task, now: float, taken: frozenset[str] = frozenset()) -> None:
        """Add a task to a queue and to the history. If its name is empty, choose a new name that isn't in `taken`.

        Raises:
            ApplicationError: TASK_ALREADY_EXISTS or TOMBSTONED_TASK (T12; Docs).
        """
        with self._mutex:
            chosen = "" if task.name else self._choose_name(queue, taken, now)
            task.name = task.name or chosen
            queue.add(task, now)
            if self._keeps_tasks:
                self.history.setdefault(task.name, []).append(task)
                if chosen:
                    self.chosen_names.add(chosen)

    def _create(self, config: QueueConfig) -> Queue:
        queue = (PullQueue if config.mode == "pull" else Queue)(config, self._observer)
        self._observer.configure(queue)
        self.queues[config.name] = queue
        return queue

    def _choose_name(self, queue: Queue, taken: frozenset[str], now: float) -> str:
        """Return the next of "task1", "task2", … that no task in the history or of the queue has, nor of the batch."""
        while True:
            self._last_number += 1
            name = f"task{self._last_number}"
            if name not in self.history and name not in taken and queue.is_free(name, now):
                return name

    def MakeSyncCall(self, service: str, call: str, request: Any, response: Any, request_id: Any = None) -> None:
        """Report a call of Google's client to the listeners, and make it; its result goes into `response`."""
        urls = ", ".join(f"'{decode(each.url)}'" for each in request.add_request) if call == "BulkAdd" else ""
        with turn(f"taskqueue.add {urls}") if urls else nullcontext():
            for listener in self.listeners:
                listener(call, request)
            super().MakeSyncCall(service, call, request, response, request_id)

    def _Dynamic_BulkAdd(self, request: Any, response: Any) -> None:
        """Add tasks to one queue; if some tasks of a batch are invalid, the others are still added (T14; SDK)."""
        now, call_site = self.clock.timestamp, find_call_site()
        with self._mutex:
            messages = request.add_request
            queue = self._queue_for(messages[0])
            results = [response.taskresult.add() for _ in messages]
            if len(messages) == 1:
                self._add(queue, messages[0], results[0], now, call_site, frozenset())
                return
            taken = frozenset(decode(message.task_name) for message in messages)
            for message, result in zip(messages, results, strict=True):
                try:
                    self._add(queue, message, result, now, call_site, taken)
                except ApplicationError as error:  # for a batch the client reads only the code of each result
                    result.result = error.application_error

    def _Dynamic_Delete(self, request: Any, response: Any) -> None:
        """Delete tasks by name; a missing task is not an error (T41; SDK)."""
        queue = self._queue(request.queue_name)
        for name in request.task_name:
            response.result.append(int(queue.delete(decode(name), self.clock.timestamp)))

    def _Dynamic_PurgeQueue(self, request: Any, response: Any) -> None:
        """Delete all tasks of a queue (T13, T41; SDK)."""
        self._queue(request.queue_name).purge(self.clock.timestamp)

    def _Dynamic_FetchQueueStats(self, request: Any, response: Any) -> None:
        """Report the statistics of queues, as they really are (T41; SDK)."""
        for name in request.queue_name:
            queue, stats = self._queue(name), response.queuestats.add()
            oldest = queue.oldest_eta()
            stats.num_tasks = len(queue)
            stats.oldest_eta_usec = -1 if oldest is None else round(oldest * 1e6)
            executed = queue.executed_last_minute(self.clock.timestamp)
            stats.scanner_info.executed_last_minute = executed
            # A message without the next two fields can't be sent. Google's client doesn't read them.
            stats.scanner_info.executed_last_hour, stats.scanner_info.sampling_duration_seconds = executed, 60.0
            stats.scanner_info.requests_in_flight = len(queue.in_flight)
            stats.scanner_info.enforced_rate = 0.0 if queue.paused else queue.config.rate

    def _Dynamic_QueryAndOwnTasks(self, request: Any, response: Any) -> None:
        """Lease tasks of a pull queue (T42; SDK)."""
        tag = decode(request.tag) or None  # an empty tag means the tag of the earliest task, as a missing one does
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
        """Extend, shorten or end a lease (T42; SDK)."""
        name, eta = decode(request.task_name), request.eta_usec / 1e6
        queue = self._pull_queue(request.queue_name)
        response.updated_eta_usec = round(queue.extend(name, eta, request.lease_seconds, self.clock.timestamp) * 1e6)

    def _add(
        self, queue: Queue, message: Any, result: Any, now: float, call_site: Frame | None, taken: frozenset[str]
    ) -> None:
        check_add(message, now)
        task = to_task(message, message.task_name.decode(), now, call_site)
        self.add(queue, task, now, taken)
        result.result = int(ErrorCode.OK)
        if not message.task_name:
            result.chosen_task_name = task.name.encode()

    def _queue(self, encoded: bytes) -> Queue:
        name = decode(encoded)
        if name not in self.queues:
            known = ", ".join(map(repr, self.queues))
            refuse(ErrorCode.UNKNOWN_QUEUE, f"the queue {quoted(name)} isn't in queue.yaml; the queues are {known}")
        return self.queues[name]

    def _queue_for(self, message: Any) -> Queue:
        queue = self._queue(message.queue_name)
        wanted, mode = "pull" if message.mode == PULL else "push", queue.config.mode
        if mode != wanted:
            advice = "add the task to a queue with `mode: pull`" if wanted == "pull" else "add it with method='PULL'"
            detail = f"queue {queue.config.name!r} is a {mode} queue and takes no {wanted} tasks; {advice}"
            refuse(ErrorCode.INVALID_QUEUE_MODE, detail)
        return queue

    def _pull_queue(self, encoded: bytes) -> PullQueue:
        queue = self._queue(encoded)
        if not isinstance(queue, PullQueue):
            detail = "is a push queue; tasks can be leased only from queues with `mode: pull`"
            refuse(ErrorCode.INVALID_QUEUE_MODE, f"queue {queue.config.name!r} {detail}")
        return queue
