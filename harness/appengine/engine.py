"""A small App Engine: web2py, task queue, dispatcher and clock, put together. `Lab` is what a learner sees of it.

Importing this loads Google's SDK, and making one loads web2py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeVar

from harness.appengine.clock import Clock
from harness.appengine.dispatcher import Dispatcher, deferred_application, strip_appengine_headers
from harness.appengine.server import Server
from harness.appengine.taskqueue import Queue, Task, TaskQueueService, connect, parse_queue_yaml, preload
from harness.appengine.time_limit import Interrupts
from harness.appengine.user_client import UserClient
from harness.appengine.web2py import Site
from harness.errors import LabClosedError, NameRefusedError, UnknownQueueError, UnknownTaskError
from harness.records import QueueSample, Request, Response

T = TypeVar("T")
QUEUE_YAML = "queue.yaml"
_SHOWN = 10  # names in a message


class AppEngine:
    """One web2py root with a task queue behind it, on one virtual clock.

    Args: see `harness.Lab`.

    `queue_yaml` is the text that was given last, if any; `closed` tells whether it is gone. Ctrl-C takes effect in
    handlers and between them, never while a task is on its way from one place to another.
    """

    def __init__(
        self, queue_yaml: str | None, apps: Iterable[str], seed: int, shuffle: bool, duplicates: float
    ) -> None:
        self.closed = False
        configs = parse_queue_yaml(queue_yaml) if queue_yaml is not None else ()
        self.queue_yaml = queue_yaml
        self.site = Site(_checked_apps(apps))
        self.clock = Clock()
        self.service = TaskQueueService(self.clock, configs)
        self.server = Server(self.site, self.clock, self._scope)
        self.server.mount("/_ah/queue/deferred", deferred_application)
        self.dispatcher = Dispatcher(
            self.service, self.clock, self._send, seed=seed, shuffle=shuffle, duplicates=duplicates
        )
        self.user_client = UserClient(self.site.apps[0])
        self.responses: list[Response] = []
        self._interrupts = Interrupts()
        self._on_attempt: Callable[[], None] = _nothing
        self._connection = connect(self.service)

    def write(self, path: str, source: str, app: str) -> None:
        """Write a file of an application, routes.py or queue.yaml; where it has a mistake the one of before stays."""
        with self._interrupts.held():
            if path != QUEUE_YAML:
                self.server.write(path, source, app)
                return
            self.service.configure(parse_queue_yaml(source))
            self.queue_yaml = source

    def read(self, path: str, app: str) -> str:
        """Return the text of such a file; NameRefusedError when there is none."""
        if path != QUEUE_YAML:
            return self.site.read(path, app)
        if self.queue_yaml is None:
            raise NameRefusedError("the lab has no queue.yaml yet; write one, or give it to Lab(queue_yaml=...)")
        return self.queue_yaml

    def visit(self, request: Request) -> Response:
        """Let a user's request through, without what only App Engine may say (T26); the clock moves by its length."""
        request = replace(request, headers=strip_appengine_headers(request.headers))
        preload()
        with self._interrupts.held():
            response = self.server.send(request, self.clock.timestamp)
            self.clock.advance(response.elapsed)
            self.user_client.remember(response)
            self.responses.append(response)
        return response

    def work(self, action: Callable[[], T], on_attempt: Callable[[], None]) -> T:
        """Let the dispatcher act, and call `on_attempt` after each attempt; return the action's result."""
        preload()
        self._on_attempt = on_attempt
        with self._interrupts.held():
            return action()

    def queue(self, name: str) -> Queue:
        """Return a queue; UnknownQueueError, with those that there are, when queue.yaml has none of that name."""
        self.require_open()
        try:
            return self.service.queues[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self.service.queues))
            raise UnknownQueueError(f"there is no queue {name!r}; queue.yaml has: {known}") from None

    def waiting(self, queue: str | None) -> list[Task]:
        """Return what waits, in one queue or in all, in the order of ETA."""
        queues = self.service.queues.values() if queue is None else [self.queue(queue)]
        return sorted((task for each in queues for task in each.waiting()), key=lambda task: task.eta)

    def task(self, name: str, queue: str | None) -> Task:
        """Return the newest task of a name; UnknownTaskError when there never was one."""
        history = self.service.history
        named = history.get(name, ()) if isinstance(name, str) else ()
        found = [task for task in named if queue in (None, task.queue)]
        if not found:
            place = "" if queue is None else f" in the queue {queue!r}"
            raise UnknownTaskError(f"there never was a task named {name!r}{place}; {_name_some(list(history))}")
        return found[-1]

    def require_open(self) -> None:
        """Raise LabClosedError where `close` was called."""
        if self.closed:
            raise LabClosedError("this lab was closed, and its queue and files are gone; make a new one: lab = Lab()")

    def close(self) -> None:
        """Forget the queue and remove the files; a second time does nothing."""
        self.closed = True
        self._connection.close()
        self.site.close()

    def _scope(self) -> AbstractContextManager[None]:
        return self._connection.active()

    def _send(self, request: Request, start: float, deadline: float) -> Response:
        self._interrupts.check()
        response = self.server.send(request, start, deadline)
        self._on_attempt()
        return response

    def samples(self, queue: str) -> list[QueueSample]:
        """Return what the dispatcher measured of a queue, in the order of time."""
        return self.dispatcher.samples.get(queue, [])


def _nothing() -> None:
    """The default `on_attempt`."""


def _checked_apps(apps: Iterable[str]) -> tuple[str, ...]:
    names = (apps,) if isinstance(apps, str) else tuple(apps) if isinstance(apps, Iterable) else ()
    if not names:
        raise NameRefusedError(f'a lab needs at least one application, as in Lab(apps=("tutorial",)), not {apps!r}')
    return names


def _name_some(names: list[str]) -> str:
    if not names:
        return "none was added yet"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"the tasks so far: {', '.join(names[:_SHOWN])}{more}"
