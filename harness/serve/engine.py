"""The queues of one application in real time: the service, its state file, and the loop that runs the tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from heapq import merge
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from google.appengine.runtime.apiproxy_errors import ApplicationError

from harness.appengine.clock import RealClock
from harness.appengine.dispatcher import InFlight, RealTimeDispatcher, Send
from harness.appengine.taskqueue import Queue, QueueConfig, Task, TaskQueueService, parse_queue_yaml
from harness.errors import BadRequestError, DiskError, did_you_mean, quoted
from harness.records import Attempt, Request, TaskState
from harness.serve.attempt_log import AttemptLog
from harness.serve.journal import Journal

USER_ADDRESS = "X-Appengine-User-Ip"  # Google's handler of deferred functions accepts only the task queue's address
ATTEMPT = "X-Harness-Attempt"  # the number of an attempt, which the application's log lines refer to
_MOST_TASKS = 200  # in a snapshot


class QueueEngine:
    """The queues, their state file, and the loop that runs their tasks in real time.

    Args:
        send: sends a request to the application, and returns its response (see `Dispatcher`). `request.host` is the
            task's host, such as "worker.tutorial.appspot.com". The headers include `USER_ADDRESS` and `ATTEMPT`.
        queue_yaml: the content of queue.yaml; without it, only the queue "default" exists.
        state: the state file, which is created if it doesn't exist; None to lose the tasks when the engine stops.
        workers: the maximum number of attempts that run at the same time.
        kept: how many attempts the log keeps after they have ended.
        on_attempt: called with each attempt that has ended, in the attempt's thread.
        on_error: called with the error if an attempt can't start; the loop tries again after a second.
        is_ready: returns whether attempts may start at present; call `wake` when this changes.
        clock: the clock. A test can pass a faster one.

    Raises:
        HarnessError: queue.yaml is invalid, or the state file can't be used (see `Journal`).

    `service` contains the queues, and `log` the attempts. `dispatcher` is the loop, and `notices` are sentences for the
    user about the state file. One lock guards the queues, the state file and the loop (see `changing`).
    """

    def __init__(
        self,
        send: Send,
        *,
        queue_yaml: bytes | None = None,
        state: Path | None = None,
        workers: int = 8,
        kept: int = 1000,
        on_attempt: Callable[[Attempt], None] | None = None,
        on_error: Callable[[Exception], None] = print,
        is_ready: Callable[[], bool] = lambda: True,
        clock: RealClock | None = None,
    ) -> None:
        configs = _parse(queue_yaml)
        clock = clock or RealClock()
        self.changes = 0
        self._news = threading.Condition(threading.Lock())  # no other lock is acquired while this one is held
        self._started = self._stopped = False
        self._journal = Journal(state, self._count_change)
        self.notices = self._journal.notices
        self.log = AttemptLog(kept, self._count_change)
        self.service = TaskQueueService(clock, None, keeps_tasks=False, observer=self._journal)
        self.dispatcher = RealTimeDispatcher(
            self.service,
            clock,
            send,
            on_attempt or (lambda attempt: None),
            on_error,
            most_running=workers,
            on_start=self._begin,
            on_end=self.log.end,
            is_ready=is_ready,
        )
        try:
            self._journal.restore(self.service, configs)
        except ApplicationError as error:
            self._journal.close()
            raise DiskError(error.error_detail) from None

    @property
    def problem(self) -> str:
        """Why changes are refused at present, for example because the disk is full; "" if they are accepted."""
        return self._journal.problem

    def start(self) -> None:
        """Start the loop."""
        self._started = True
        self.dispatcher.start()

    def stop(self) -> None:
        """Stop the loop, and close the state file. The tasks that are running run again after the next start."""
        if self._stopped:
            return
        self._stopped = True
        self.dispatcher.stop()
        with self.dispatcher.changing():
            self._journal.close()
        self._count_change()

    def wake(self) -> None:
        """Let the loop call `is_ready` again."""
        with self.changing():
            pass

    def changing(self) -> AbstractContextManager[None]:
        """Hold the lock. All code that reads or changes the queues must hold it."""
        return self.dispatcher.changing()

    def wait_for_change(self, counter: int, timeout: float) -> int:
        """Return the present value of `changes` as soon as it isn't `counter`, or after `timeout` seconds."""
        with self._news:
            self._news.wait_for(lambda: self.changes != counter, timeout)
            return self.changes

    def snapshot(self) -> dict[str, Any]:
        """Return the queues, up to 200 tasks, and the last attempts that have ended.

        The tasks that are running come first. The others are ordered by ETA.
        """
        with self.changing():
            now, changes, tokens = self.service.clock.timestamp, self.changes, self.dispatcher.tokens()
            queues = list(self.service.queues.values())
            return {
                "now": now,
                "changes": changes,
                "queues": [_describe_queue(queue, tokens, now) for queue in queues],
                "tasks": self._describe(islice(_by_eta(queues, _MOST_TASKS), _MOST_TASKS)),
                "attempts": self.log.ended(),
            }

    def find_tasks(self, queue: str | None, text: str, limit: int) -> list[dict[str, Any]]:
        """Return tasks whose name or URL contains a text, in the order of `snapshot`.

        Args:
            queue: the queue, or None for all queues.
            text: the text. The search ignores upper and lower case.
            limit: the maximum number of tasks.

        Raises:
            BadRequestError: the queue doesn't exist.
        """
        wanted = text.casefold()
        with self.changing():
            queues = list(self.service.queues.values()) if queue is None else [self._queue(queue)]
            found = (task for task in _by_eta(queues) if wanted in f"{task.name}\n{task.url}".casefold())
            return self._describe(islice(found, limit))

    def pause(self, queue: str) -> None:
        """Pause a queue, so that none of its tasks start.

        Raises:
            BadRequestError: the queue doesn't exist; also raised by the next four methods.
            DiskError: the state file can't be written; also raised by the next four methods except `run_now`.
        """
        with self._saving():
            self._queue(queue).pause()

    def resume(self, queue: str) -> None:
        """Run the tasks of a paused queue again."""
        with self._saving():
            self._queue(queue).resume()

    def purge(self, queue: str) -> None:
        """Delete all tasks of a queue."""
        with self._saving():
            self._queue(queue).purge(self.service.clock.timestamp)

    def run_now(self, queue: str, task: str) -> None:
        """Start a task now, regardless of its ETA and of the limits of its queue.

        Raises:
            BadRequestError: the task isn't waiting, its queue is a pull queue, or the loop wasn't started.
        """
        if not self._started:
            raise BadRequestError("no task can run, because the server was started with --no-run")
        with self._saving():
            owner, found = self._queue(queue), self._task(queue, task)
            if owner.config.mode == "pull":
                raise BadRequestError(f"the queue {queue!r} is a pull queue, whose tasks are leased and never run")
            if found.state is TaskState.RUNNING:
                raise BadRequestError(f"the task {task!r} is running already")
            owner.force(found)

    def delete_task(self, queue: str, task: str) -> None:
        """Delete a task. If it is running, its attempt ends normally.

        Raises:
            BadRequestError: the task doesn't exist.
        """
        with self._saving():
            self._queue(queue).delete(self._task(queue, task).name, self.service.clock.timestamp)

    def set_queues(self, queue_yaml: bytes) -> None:
        """Use a new queue.yaml.

        Raises:
            QueueConfigError: it is invalid. The present queues stay in use.
            DiskError: the state file can't be written.
        """
        configs = _parse(queue_yaml)
        with self._saving():
            self._journal.apply(self.service, configs)

    def _begin(self, in_flight: InFlight) -> Request:
        """Return the request of an attempt that starts, with the headers that only App Engine's requests have."""
        self.log.begin(in_flight)
        request = in_flight.request
        if request.scheme:
            return request
        own = ((USER_ADDRESS, request.remote_addr), (ATTEMPT, str(in_flight.number)))
        return replace(request, headers=request.headers + own)

    def _describe(self, tasks: Iterable[Task]) -> list[dict[str, Any]]:
        started = {(record["queue"], record["task"]): record["started"] for record in self.log.running()}
        return [_describe_task(task) | {"started": started.get((task.queue, task.name))} for task in tasks]

    def _queue(self, name: str) -> Queue:
        queue = self.service.queues.get(name)
        if queue is None:
            advice = did_you_mean(name, self.service.queues) or f"the queues are {', '.join(self.service.queues)}"
            raise BadRequestError(f"the queue {quoted(name)} doesn't exist; {advice}")
        return queue

    def _task(self, queue: str, name: str) -> Task:
        task = self._queue(queue).find(name)
        if task is None:
            raise BadRequestError(
                f"the queue {queue!r} has no task {quoted(name)}; it has ended, was deleted or never existed"
            )
        return task

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Hold the lock. If the state file can't be written, raise a DiskError with the reason."""
        try:
            with self.changing():
                yield
        except ApplicationError as error:
            raise DiskError(error.error_detail) from None

    def _count_change(self) -> None:
        with self._news:
            self.changes += 1
            self._news.notify_all()


def _parse(queue_yaml: bytes | None) -> Sequence[QueueConfig]:
    return () if queue_yaml is None else tuple(parse_queue_yaml(queue_yaml))


def _by_eta(queues: list[Queue], most: int | None = None) -> Iterator[Task]:
    """Yield the running tasks, and then the waiting tasks (at most `most` of each queue) in the order of their ETAs."""
    for queue in queues:
        yield from (task for task in queue.in_flight.values() if task.state is TaskState.RUNNING)
    yield from merge(*(queue.waiting(most) for queue in queues), key=attrgetter("eta"))


def _describe_queue(queue: Queue, tokens: dict[str, float], now: float) -> dict[str, Any]:
    config = queue.config
    running = sum(task.state is TaskState.RUNNING for task in queue.in_flight.values())
    return {
        "name": config.name,
        "mode": config.mode,
        "rate": config.rate,
        "bucket_size": config.bucket_size,
        "max_concurrent": config.max_concurrent_requests,
        "paused": queue.paused,
        "waiting": len(queue) - running,
        "running": running,
        "last_minute": queue.executed_last_minute(now),
        "tokens": tokens.get(config.name),
        "oldest_eta": queue.oldest_eta(),
        "target": config.target,
    }


def _describe_task(task: Task) -> dict[str, Any]:
    return {
        "queue": task.queue,
        "name": task.name,
        "method": task.method,
        "url": task.url,
        "eta": task.eta,
        "state": str(task.state),
        "retries": task.retries,
        "created": task.created,
        "previous_status": task.previous_status,
    }
