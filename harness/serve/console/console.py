"""The console: a page on this machine that shows the queues, the tasks and the attempts, and changes the queues.

The page receives changes as server-sent events. A page of another origin can't read it or change anything, because each
request must name this server as its host, and a POST must also have this origin and the token that is in the page.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.resources import files
from string import Template
from typing import Any, Protocol, TypeVar

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.locks import Condition
from tornado.web import Application, HTTPError, RequestHandler

from harness.errors import HarnessError, quoted
from harness.records import Outcome
from harness.show.mark_styles import definitions, legend, stylesheet
from harness.show.record_cards import header_lines
from harness.show.timeline_model import Mark

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_PAUSE = 0.2  # the minimum number of seconds between two states that a page receives
_NOTICE = 0.5  # seconds until a change of the application is noticed
_REFRESH = 5.0  # seconds until changes that only time causes are noticed, such as new tokens of a queue
_PING = 15.0  # seconds after which an idle connection gets a comment, so that it stays open
_FOUND = 200  # tasks that a search returns
_LARGEST_BODY = 10_000  # bytes of a POST
_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_LOOK = "look.css"  # the colours of the lab's figures
_STATIC = {"console.css": "text/css", _LOOK: "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
# The fields of an attempt that a list shows. The others are sent when the user opens the attempt.
_SHORT = ("number", "queue", "task", "method", "url", "attempt", "status", "started", "elapsed", "note", "next_eta")
_MARKS = {Outcome.DONE: Mark.DONE, Outcome.DELETED: Mark.DELETED, Outcome.DROPPED: Mark.DROPPED}
# For each path of a POST: the fields of its body. They are the arguments of the engine's method of the same name.
_ACTIONS = {
    "pause": ("queue",),
    "resume": ("queue",),
    "purge": ("queue",),
    "run_now": ("queue", "task"),
    "delete_task": ("queue", "task"),
}

T = TypeVar("T")


class ConsoleEngine(Protocol):
    """The methods of the queue engine that the console calls. They raise HarnessError for an unknown name."""

    def snapshot(self) -> dict[str, Any]:
        """Return the queues, the tasks, and the last attempts that have ended."""

    def wait_for_change(self, counter: int, timeout: float) -> int:
        """Return the counter of changes as soon as it differs from `counter`, or after some seconds."""

    def find_tasks(self, queue: str | None, text: str, limit: int) -> list[dict[str, Any]]:
        """Return the tasks whose names or URLs contain a text."""

    def pause(self, queue: str) -> None:
        """Pause a queue, so that none of its tasks start."""

    def resume(self, queue: str) -> None:
        """Run the tasks of a paused queue again."""

    def purge(self, queue: str) -> None:
        """Delete all tasks of a queue."""

    def run_now(self, queue: str, task: str) -> None:
        """Run a task without waiting for its ETA."""

    def delete_task(self, queue: str, task: str) -> None:
        """Delete a task."""


class DescribesItself(Protocol):
    """The state of one service of the application that the queues belong to."""

    def describe(self) -> dict[str, Any]:
        """Return "name", "state", "reason", "command", "url" and "problems", which is a list of sentences."""


class Console:
    """Serves the console on a port of 127.0.0.1, in a thread of its own.

    Args:
        engine: the queues.
        applications: the states of the services' processes.
        port: the port; 0 for any free port.

    Raises:
        HarnessError: the port is in use, or this process may not use it.

    `port` is the port, and `url` is "http://127.0.0.1:8000".
    """

    def __init__(self, engine: ConsoleEngine, applications: Sequence[DescribesItself], port: int) -> None:
        try:
            self._socket = socket.create_server((ADDRESS, port), backlog=128)
        except OSError as error:
            text = error.strerror or str(error)
            raise HarnessError(f"port {port} can't be used: {text}; choose another one with --console-port") from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{ADDRESS}:{self.port}"
        self.engine = engine
        self.applications = applications
        self.token = secrets.token_urlsafe(32)
        self.start = secrets.token_urlsafe(8)  # a page that another process has sent must reload itself
        self._threads = ThreadPoolExecutor(4, "console")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="console", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop listening, and end the connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that may wait for a lock, without blocking other requests."""
        return await self._loop.run_in_executor(self._threads, function, *arguments)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        options: dict[str, Any] = {"console": self, "feed": Feed(self)}
        routes: list[Any] = [
            (r"/", _Page, options),
            (rf"/({'|'.join(map(re.escape, _STATIC))})", _Static, options),
            (r"/events", _Events, options),
            (r"/attempt", _Attempt, options),
            (r"/tasks", _Tasks, options),
            (rf"/({'|'.join(_ACTIONS)})", _Action, options),
        ]
        silent: dict[str, Any] = {"log_function": lambda handler: None}
        application = Application(routes, default_handler_class=_Unknown, default_handler_args=options, **silent)
        server = HTTPServer(application, max_body_size=_LARGEST_BODY)
        server.add_socket(self._socket)
        self._ready.set()
        await self._stopping.wait()
        server.stop()
        await server.close_all_connections()
        self._threads.shutdown(wait=False)


class Feed:
    """The newest state of the queues and of the application, which is read once for all open pages.

    While no page is open, nothing is read.
    """

    def __init__(self, console: Console) -> None:
        self.version = 0
        self._console = console
        self._pages = 0
        self._now = 0.0
        self._seen = 0
        self._parts: dict[str, Any] = {}
        self._attempts: dict[int, tuple[int, dict[str, Any]]] = {}  # by number: its version, and the attempt
        self._changed = Condition()
        self._reading = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def page(self) -> AsyncIterator[None]:
        """Read the state, and keep it up to date as long as a page is open."""
        self._pages += 1
        try:
            await self._read()
            if self._following is None:
                self._following = asyncio.create_task(self._follow())
            yield
        finally:
            self._pages -= 1

    async def wait_for(self, version: int) -> None:
        """Wait until the state is newer than a version, until `wake` is called, or for at most 15 seconds."""
        if self.version == version:
            await self._changed.wait(timedelta(seconds=_PING))

    def wake(self) -> None:
        """Let all waiting pages continue."""
        self._changed.notify_all()

    def event(self, sent: dict[str, Any], version: int) -> dict[str, Any]:
        """Return the parts of the state that a page doesn't have yet.

        Args:
            sent: the parts that the page has. The parts of the event are added to it.
            version: the version that the page has.
        """
        changed = {name: part for name, part in self._parts.items() if name not in sent or sent[name] != part}
        sent |= changed
        attempts = [attempt for since, attempt in self._attempts.values() if since > version]
        return {"now": self._now, **changed, "attempts": attempts}

    async def _follow(self) -> None:
        """Read the state after each change, and from time to time, until no page is open."""
        call, engine, loop = self._console.call, self._console.engine, asyncio.get_running_loop()
        until = loop.time() + _REFRESH
        try:
            while self._pages:
                await asyncio.sleep(_PAUSE)
                seen = self._seen
                changes = await call(engine.wait_for_change, seen, _NOTICE)
                if changes != seen or loop.time() > until or await self._describe() != self._parts["applications"]:
                    await self._read()
                    until = loop.time() + _REFRESH
        finally:
            self._following = None

    async def _read(self) -> None:
        """Read the state. Attempts don't end in the order of their numbers, so all numbers are compared."""
        async with self._reading:
            state = await self._console.call(self._console.engine.snapshot)
            self._seen, self._now = state["changes"], state["now"]
            parts = {"queues": state["queues"], "tasks": state["tasks"], "applications": await self._describe()}
            finished = {attempt["number"]: attempt for attempt in state["attempts"]}
            new = [attempt for number, attempt in finished.items() if number not in self._attempts]
            self.version += bool(new) or parts != self._parts
            known = {number: found for number, found in self._attempts.items() if number in finished}
            self._attempts = known | {attempt["number"]: (self.version, _shorten(attempt)) for attempt in new}
            self._parts = parts
        self.wake()

    async def _describe(self) -> list[dict[str, Any]]:
        return await self._console.call(lambda: [each.describe() for each in self._console.applications])


def _shorten(attempt: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an attempt for a list, with the mark that it has in a timeline."""
    mark = _MARKS.get(attempt["outcome"], Mark.FAILED)
    if mark is Mark.FAILED and not attempt["status"] and "deadline" in attempt["note"]:
        mark = Mark.STOPPED
    return {**{name: attempt[name] for name in _SHORT}, "mark": mark.name}


class _Refused(HTTPError):
    """An error of the client, with the text that the page shows."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


class _Handler(RequestHandler):
    """Refuses requests that another site may have sent, and writes errors as JSON."""

    def initialize(self, console: Console, feed: Feed) -> None:
        self.console = console
        self.feed = feed

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Check the host, because another site's domain may point here. For a POST, also check its site."""
        host, headers = self.request.host, self.request.headers
        hosts = [f"{name}:{self.console.port}" for name in _NAMES]
        if host not in hosts:
            raise _Refused(403, f"The console is at http://{hosts[0]}, not at {quoted(host)}.")
        if self.request.method != "POST":
            return
        origin, site = headers.get("Origin", f"http://{host}"), headers.get("Sec-Fetch-Site", "same-origin")
        if origin != f"http://{host}" or site != "same-origin":
            raise _Refused(403, f"Only the console's own page may send this request, not a page of {quoted(origin)}.")
        if not hmac.compare_digest(headers.get("X-Console-Token", "").encode(), self.console.token.encode()):
            raise _Refused(403, "This page is older than the server. Reload the page.")

    def write_error(self, status_code: int, **options: Any) -> None:
        """Write an error as JSON: {"error": "the queue 'mail' doesn't exist"}."""
        error = options.get("exc_info", (None, None))[1]
        self.finish({"error": error.text if isinstance(error, _Refused) else f"{status_code} {self._reason}"})

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        """Log an error unless the client has caused it."""
        if not isinstance(error, HTTPError):
            super().log_exception(kind, error, traceback)

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a method of the engine returns, or respond with status 400 and the message of its error."""
        try:
            return await self.console.call(function, *arguments)
        except HarnessError as error:
            raise _Refused(400, str(error)) from None


class _Unknown(_Handler):
    def prepare(self) -> None:
        super().prepare()
        raise _Refused(404, f"The console has no page {quoted(self.request.path)}.")


class _Page(_Handler):
    def get(self) -> None:
        page = Template(_read("index.html").decode())
        values = {"token": self.console.token, "start": self.console.start}
        self.finish(page.substitute(values, definitions=definitions(), legend=legend()))


class _Static(_Handler):
    def get(self, name: str) -> None:
        self.set_header("Content-Type", f"{_STATIC[name]}; charset=utf-8")
        self.finish(stylesheet() if name == _LOOK else _read(name))


class _Events(_Handler):
    closed = False

    async def get(self) -> None:
        """Send the state, and then each change until the page is closed."""
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.write(f"retry: 1000\nevent: start\ndata: {self.console.start}\n\n")
        sent: dict[str, Any] = {}
        version = 0
        async with self.feed.page():
            while not self.closed:
                event = json.dumps(self.feed.event(sent, version)) if self.feed.version != version else ""
                version = self.feed.version
                self.write(f"data: {event}\n\n" if event else ": the connection is alive\n\n")
                try:
                    await self.flush()
                except StreamClosedError:  # before `on_connection_close` is called, for which the loop must be free
                    return
                await self.feed.wait_for(version)

    def on_connection_close(self) -> None:
        """End the stream, because the page is closed or the console stops."""
        self.closed = True
        self.feed.wake()


class _Attempt(_Handler):
    async def get(self) -> None:
        """Send everything about an attempt; the values of cookies and of tokens are hidden."""
        number = self.get_query_argument("number")
        state = await self.ask(self.console.engine.snapshot)
        found = next((attempt for attempt in state["attempts"] if str(attempt["number"]) == number), None)
        if found is None:
            raise _Refused(400, "This attempt isn't kept any more, because newer ones have ended.")
        hidden = {name: list(header_lines(found[name])) for name in ("headers", "response_headers")}
        self.finish({**found, **hidden})


class _Tasks(_Handler):
    async def get(self) -> None:
        """Send the tasks that a search finds."""
        queue, text = self.get_query_argument("queue") or None, self.get_query_argument("text")
        self.finish({"tasks": await self.ask(self.console.engine.find_tasks, queue, text, _FOUND)})


class _Action(_Handler):
    async def post(self, name: str) -> None:
        """Change a queue or a task."""
        try:
            fields = json.loads(self.request.body)
            values = [fields[field] for field in _ACTIONS[name]]
        except (ValueError, LookupError, TypeError):
            raise _Refused(400, f"The body must be JSON with {' and '.join(_ACTIONS[name])}.") from None
        if not all(isinstance(value, str) for value in values):
            raise _Refused(400, f"The names must be strings, not {quoted(values)}.")
        await self.ask(getattr(self.console.engine, name), *values)
        self.finish({})


def _read(name: str) -> bytes:
    return files("harness.serve.console").joinpath(name).read_bytes()
