"""Runs the due tasks in real time. The rules are those of the dispatcher in virtual time; only the loop differs."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.appengine.clock import RealClock, to_datetime
from harness.appengine.dispatcher.dispatcher import Dispatcher, Send
from harness.appengine.dispatcher.in_flight import InFlight
from harness.appengine.dispatcher.push_queues import PushQueue
from harness.appengine.taskqueue import TaskQueueService
from harness.records import Attempt, Response

_MOST_RUNNING = 200  # attempts, each of which has a thread
_LONGEST_WAIT = 1.0  # seconds until the loop looks at the clock again, because someone may set the machine's clock


class RealTimeDispatcher(Dispatcher):
    """Sends each task of the push queues to its handler when it is due, in a thread of its own.

    Args:
        service: the queues.
        send: see `Dispatcher`. `start` is the present, and several threads may call `send` at the same time.
        on_attempt: called with each attempt that has ended, in the attempt's thread.
        on_error: called with the error if an attempt can't start, for example because no more threads are allowed. The
            task waits, and the loop tries again after a second.
        most_running: the maximum number of attempts that run at the same time, in addition to the queues' own limits.

    One lock guards the queues and the dispatcher. Other code must call the service in `with dispatcher.changing():`.
    The records of attempts aren't kept.
    """

    def __init__(
        self,
        service: TaskQueueService,
        send: Send,
        on_attempt: Callable[[Attempt], None],
        on_error: Callable[[Exception], None],
        most_running: int = _MOST_RUNNING,
    ) -> None:
        super().__init__(service, RealClock(), send)
        self._on_attempt = on_attempt
        self._on_error = on_error
        self._most_running = most_running
        self._running = 0
        self._stopped = False
        self._wakes_at = -math.inf
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop. Attempts that are running are abandoned, because their threads are daemons."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock. Afterwards, wake the loop if an attempt can start earlier than the loop expects."""
        with self._changed:
            try:
                yield
            finally:
                if self._next_start()[1] < self._wakes_at:
                    self._wakes_at = -math.inf
                    self._changed.notify()

    def _loop(self) -> None:
        with self._changed:
            while not self._stopped:
                push_queue, at = self._next_start()
                wait = at - self._clock.timestamp
                if push_queue is not None and wait <= 0:
                    try:
                        self._launch_now(push_queue)
                        continue
                    except Exception as error:  # or no task would ever run again
                        self._on_error(error)
                        at, wait = math.inf, _LONGEST_WAIT
                self._wakes_at = at
                self._changed.wait(min(wait, _LONGEST_WAIT))
                self._wakes_at = -math.inf

    def _next_start(self) -> tuple[PushQueue | None, float]:
        """Return the queue that starts the next attempt, and when; infinity if no queue can start one."""
        if self._running >= self._most_running:
            return None, math.inf
        now = self._clock.timestamp
        self._push_queues.refresh(now)
        return self._push_queues.next_start(now)

    def _launch_now(self, push_queue: PushQueue) -> None:
        group: list[InFlight] = []
        began = time.monotonic()
        with self._undoing(group):
            in_flight = self._take(group, push_queue, self._clock.timestamp)
            threading.Thread(target=self._deliver, args=[in_flight, began], name="attempt", daemon=True).start()
        push_queue.served = in_flight.number
        self._running += 1

    def _deliver(self, in_flight: InFlight, began: float) -> None:
        """Send a request, and settle its task; `began` is the start of the attempt in `time.monotonic()`."""
        response = self._answer(in_flight)
        response = replace(
            response, started=to_datetime(in_flight.start), elapsed=time.monotonic() - began, request=in_flight.request
        )
        with self.changing():
            in_flight.answer(response)
            attempt = in_flight.to_attempt(self._settle(in_flight))
            self._running -= 1
        self._on_attempt(attempt)

    def _answer(self, in_flight: InFlight) -> Response:
        try:
            return self._send(in_flight.request, in_flight.start, in_flight.task.deadline)
        except Exception as error:  # or the task would count as running without limit
            return Response(0, hint=f"{type(error).__name__}: {error}")
