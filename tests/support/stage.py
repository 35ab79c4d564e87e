"""For the tests of the dispatcher: a queue service with Python functions for handlers, and nothing of web2py."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from harness.appengine.clock import START, Clock, DeadlineExceeded
from harness.appengine.dispatcher import Chaos, Dispatcher
from harness.appengine.taskqueue import Queue, Task, TaskQueueService, connect, parse_queue_yaml, preload
from harness.records import Attempt, Headers, Request, Response

NOW = START.timestamp()
Handler = Callable[[Request], int | Response]


class Stage:
    """Queues, a clock and a dispatcher. A handler returns a status, sleeps with `time.sleep`, and may raise.

    Args:
        yaml: the text of a queue.yaml; only the queue "default" without it.
        **chance: seed, shuffle and duplicates, as Chaos takes them.
    """

    def __init__(self, yaml: str | None = None, **chance: float) -> None:
        self.clock = Clock()
        self.service = TaskQueueService(self.clock, parse_queue_yaml(yaml) if yaml else ())
        self.dispatcher = Dispatcher(self.service, self.clock, self.send, Chaos(**chance))
        self.handlers: dict[str, Handler] = {}
        self.requests: list[Request] = []
        self.run, self.step = self.dispatcher.run, self.dispatcher.step

    def send(self, request: Request, start: float, deadline: float) -> Response:
        """Run the handler of a path, in a travel scope as the lab does; a path without one answers 200."""
        self.requests.append(request)
        handler = self.handlers.get(request.url.partition("?")[0], lambda request: 200)
        with self.clock.travel(start, deadline) as trip:
            try:
                answer = handler(request)
            except DeadlineExceeded:
                answer = 500
        response = Response(answer) if isinstance(answer, int) else answer
        stopped = "virtual" if trip.deadline_exceeded else None
        return Response(response.status, body=response.body, elapsed=trip.elapsed, deadline=stopped)

    def queue(self, name: str = "default") -> Queue:
        return self.service.queues[name]

    def add(self, name: str, eta: float = 0.0, queue: str = "default", url: str = "/x", **fields: object) -> Task:
        """Put a task into a queue, behind Google's client; `eta` is in seconds from the stage's first instant."""
        task = Task(name, queue, "POST", url, (), b"", NOW + eta, NOW, **fields)
        self.service.queues[queue].add(task, self.clock.timestamp)
        self.service.history.setdefault(name, []).append(task)
        return task

    @property
    def seconds(self) -> float:
        """How long the clock has run."""
        return self.clock.timestamp - NOW

    @contextmanager
    def connected(self) -> Iterator["Stage"]:
        """Let Google's client talk to this stage."""
        preload()
        with connect(self.service):
            yield self


def starts(attempts: list[Attempt]) -> list[float]:
    """Return when attempts began, in seconds from the stage's first instant."""
    return [(attempt.started - START).total_seconds() for attempt in attempts]


def names(attempts: list[Attempt]) -> list[str]:
    return [attempt.task.name for attempt in attempts]


def notes(attempts: list[Attempt]) -> list[tuple[str, str]]:
    return [(str(attempt.outcome), attempt.note) for attempt in attempts]


def appengine_headers(headers: Headers) -> dict[str, str]:
    """Return the headers that App Engine puts in, but for what the client puts in itself."""
    mine = ("x-appengine-", "user-agent")
    return {
        name: value
        for name, value in headers
        if name.lower().startswith(mine) and not name.lower().endswith("-namespace")
    }


def import_deferred() -> ModuleType:
    """Return google.appengine.ext.deferred, which in SDK 3.1.0 does not load without warnings of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.appengine.ext import deferred
    return deferred
