"""Runs the due tasks in real time. The rules are those of the dispatcher in virtual time; only the loop differs."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue

from harness.appengine.clock import RealClock, to_datetime
from harness.appengine.dispatcher.dispatcher import Dispatcher, Send
from harness.appengine.dispatcher.in_flight import InFlight
from harness.appengine.dispatcher.push_queues import PushQueue, TokenBucket, instant
from harness.appengine.taskqueue import Queue, TaskQueueService
from harness.records import Attempt, Outcome, Request, Response

_MOST_RUNNING = 200  # attempts, each of which has a thread
_LONGEST_WAIT = 1.0  # seconds until the loop looks at the clock again, because someone may set the machine's clock
_JUMP = 1.0  # if the clock goes back by more seconds, the loop corrects its plans
_Job = tuple[InFlight, Request, float]  # an attempt, its request, and its start in `time.monotonic()`


class RealTimeDispatcher(Dispatcher):
    """Sends each task of the push queues to its handler when it is due, in threads that are reused.

    Args:
        service: the queues.
        clock: the clock, which must be that of the service.
        send: see `Dispatcher`. `start` is the present, and several threads may call `send` at the same time.
        on_attempt: called with each attempt that has ended, in the attempt's thread.
        on_error: called with the error if an attempt can't start, for example because no more threads are allowed. The
            task waits, and the loop tries again after a second.
        most_running: the maximum number of attempts that run at the same time, in addition to the queues' own limits.
        on_start: called under the lock with each attempt that starts; it returns the request that is sent.
        on_end: called under the lock with each attempt that has ended.
        is_ready: called under the lock; returns whether attempts may start. While it returns False, the loop calls
            it once a second, and after each change.

    One lock guards the queues and the dispatcher. Other code must call the service in `with dispatcher.changing():`.
    The records of attempts aren't kept.
    """

    def __init__(
        self,
        service: TaskQueueService,
        clock: RealClock,
        send: Send,
        on_attempt: Callable[[Attempt], None],
        on_error: Callable[[Exception], None],
        most_running: int = _MOST_RUNNING,
        on_start: Callable[[InFlight], Request] = lambda in_flight: in_flight.request,
        on_end: Callable[[Attempt], None] = lambda attempt: None,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(service, clock, send)
        self._service = service
        self._on_attempt = on_attempt
        self._on_error = on_error
        self._on_start = on_start
        self._on_end = on_end
        self._is_ready = is_ready
        self._most_running = most_running
        self._speed = clock.speed
        self._latest = clock.timestamp
        self._running = 0
        self._idle = 0  # threads that wait for a job
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = False
        self._wakes_at = -math.inf
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop. Attempts that are running are abandoned, so their results change nothing."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            for _ in range(self._idle):
                self._jobs.put(None)
            self._idle = 0
        if self._thread.is_alive():
            self._thread.join()

    def tokens(self) -> dict[str, float]:
        """Return the tokens in the bucket of each push queue. The caller holds the lock."""
        now = self._clock.timestamp
        self._push_queues.refresh(now)
        return {name: push_queue.bucket.level(now) for name, push_queue in self._push_queues.items()}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock. Afterwards, wake the loop if an attempt can start earlier than the loop expects."""
        with self._changed:
            try:
                yield
            finally:
                if self._next_start(self._clock.timestamp)[1] < self._wakes_at:
                    self._wakes_at = -math.inf
                    self._changed.notify()

    def _loop(self) -> None:
        with self._changed:
            while not self._stopped:
                now = self._clock.timestamp
                self._follow_clock(now)
                push_queue, at = self._next_start(now)
                wait = at - now
                if push_queue is not None and wait <= 0:
                    try:
                        self._launch_now(push_queue, at)
                        continue
                    except Exception as error:  # or no task would ever run again
                        self._on_error(error)
                        at, wait = math.inf, _LONGEST_WAIT
                self._wakes_at = at
                self._changed.wait(min(wait / self._speed, _LONGEST_WAIT))
                self._wakes_at = -math.inf

    def _follow_clock(self, now: float) -> None:
        """If the machine's clock was set back, move back the ETAs that were computed from it, and fill the buckets.

        Otherwise, due tasks and retries would wait until the clock shows the old time again. ETAs in the future that
        the application has set don't change.
        """
        back = self._latest - now
        if back > _JUMP:
            for queue in self._service.queues.values():
                _move_back(queue, self._latest, back)
            for push_queue in self._push_queues.values():
                push_queue.bucket = TokenBucket(push_queue.bucket.rate, push_queue.bucket.size, now)
        self._latest = now

    def _next_start(self, now: float) -> tuple[PushQueue | None, float]:
        """Return the queue that starts the next attempt, and when; infinity if no queue can start one."""
        if self._running >= self._most_running or not self._is_ready():
            return None, math.inf
        self._push_queues.refresh(now)
        return self._push_queues.next_start(now)

    def _launch_now(self, push_queue: PushQueue, at: float) -> None:
        """Start an attempt at `at`, the present."""
        group: list[InFlight] = []
        began = time.monotonic()
        with self._undoing(group):
            in_flight = self._take(group, push_queue, at)
            request = self._on_start(in_flight)
            if not self._idle:
                threading.Thread(target=self._work, name="attempt", daemon=True).start()
            else:
                self._idle -= 1
            self._jobs.put((in_flight, request, began))
        push_queue.served = in_flight.number
        self._running += 1

    def _work(self) -> None:
        """Deliver one task after the other. A new thread is only started if no thread is idle."""
        while (job := self._jobs.get()) is not None:
            attempt = self._deliver(*job)
            if attempt is None:
                return
            self._on_attempt(attempt)
            with self._changed:
                if self._stopped:
                    return
                self._idle += 1

    def _deliver(self, in_flight: InFlight, request: Request, began: float) -> Attempt | None:
        """Send a request, settle its task, and return the attempt, or None if the dispatcher has stopped."""
        response = self._answer(in_flight, request)
        response = replace(response, started=to_datetime(in_flight.start), request=in_flight.request)
        with self.changing():
            if self._stopped:
                return None
            elapsed = (time.monotonic() - began) * self._speed
            in_flight.answer(replace(response, elapsed=elapsed))
            in_flight.end = instant(self._clock.timestamp)  # the clock may have been set since the start
            attempt = in_flight.to_attempt(self._settle(in_flight))
            self._running -= 1
            self._on_end(attempt)
        return attempt

    def _answer(self, in_flight: InFlight, request: Request) -> Response:
        try:
            return self._send(request, in_flight.start, in_flight.task.deadline / self._speed)
        except Exception as error:  # or the task would count as running without limit
            return Response(0, hint=f"{type(error).__name__}: {error}")


def _move_back(queue: Queue, before: float, seconds: float) -> None:
    """Move back the ETAs of a queue's due tasks and of its retries, because the clock was set back."""
    is_push = queue.config.mode == "push"
    for task in queue.waiting():
        if task.eta <= before or (is_push and task.retries):
            queue.put_back(task, task.eta - seconds)


def describe_attempt(attempt: Attempt) -> str:
    """Return the line of a log: "09:00:00 default/task1 POST /worker: status 500; runs again in 0.1 s"."""
    task, response = attempt.task, attempt.response
    result = (
        f"status {response.status}" if response.status else response.hint or f"no response in {response.elapsed:g} s"
    )
    line = f"{attempt.started:%H:%M:%S} {task.queue}/{task.name} {task.method} {task.url}: {result}"
    if attempt.outcome is Outcome.RETRY and attempt.next_eta is not None:
        wait = (attempt.next_eta - attempt.started).total_seconds() - response.elapsed
        return f"{line}; runs again in {wait:.1f} s"
    return f"{line}; {attempt.outcome}"
