"""For tests of queues in real time: an application that is a Python function, and queues that send requests to it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue as Box
from typing import Any

from harness.appengine.taskqueue import Task
from harness.records import Attempt, Request, Response
from harness.serve.engine import QueueEngine

SECONDS = 20  # that a test waits at most
Handler = Callable[[Request], int | Response]


class LiveQueues:
    """An engine whose application responds with status 200, or with what the handler of a path returns.

    Args:
        yaml: the text of a queue.yaml.
        **options: those of QueueEngine.
    """

    def __init__(self, yaml: str | None = None, **options: Any) -> None:
        self.handlers: dict[str, Handler] = {}
        self.requests: Box[Request] = Box()
        self.ended: Box[Attempt] = Box()
        content = None if yaml is None else yaml.encode()
        self.engine = QueueEngine(self.send, queue_yaml=content, on_attempt=self.ended.put, **options)

    def send(self, request: Request, start: float, deadline: float) -> Response:
        self.requests.put(request)
        answer = self.handlers.get(request.url.partition("?")[0], lambda request: 200)(request)
        return Response(answer) if isinstance(answer, int) else answer

    def add(
        self, name: str = "", queue: str = "default", countdown: float = 0.0, url: str = "/x", **fields: Any
    ) -> str:
        """Add a task as a service does for a client, and return its name."""
        service = self.engine.service
        with self.engine.changing():
            now = service.clock.timestamp
            task = Task(name, queue, "POST", url, (), b"a=1", now + countdown, now, **fields)
            service.add(service.queues[queue], task, now)
        return task.name

    def next_attempt(self) -> Attempt:
        """Return the next attempt that has ended."""
        return self.ended.get(timeout=SECONDS)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition that a change of the queues makes true."""
        until, counter = time.monotonic() + SECONDS, -1
        while not holds():
            assert time.monotonic() < until, "the condition didn't become true"
            counter = self.engine.wait_for_change(counter, 1.0)

    def waiting(self, queue: str = "default") -> list[str]:
        with self.engine.changing():
            return [task.name for task in self.engine.service.queues[queue].waiting()]


@contextmanager
def live_queues(yaml: str | None = None, state: Path | None = None, **options: Any) -> Iterator[LiveQueues]:
    """Queues whose loop runs until the end of this scope."""
    live = LiveQueues(yaml, state=state, **options)
    live.engine.start()
    try:
        yield live
    finally:
        live.engine.stop()


class Gate:
    """A handler that holds each request until the test opens it, and then returns a status."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.arrived: Box[Request] = Box()
        self.open = threading.Event()

    def __call__(self, request: Request) -> int:
        self.arrived.put(request)
        assert self.open.wait(SECONDS)
        return self.status
