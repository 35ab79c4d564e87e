"""Passes a user's request to the application while it arrives, and the response to the user while it arrives."""

import asyncio
import html
import http.client
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError

from harness.serve.supervisor import ADDRESS, ApplicationStatus, Say

SLOW_SECONDS = 30.0  # after which the terminal reports a request that has no response
NO_LIMIT = 2**40  # bytes; a body isn't kept, but passed on in parts
PART = 2**16  # bytes
_DEADLINE = 600.0  # seconds; App Engine's limit for requests
_ENDED = (StreamClosedError, asyncio.CancelledError)  # tornado (6.6) would print the second one when the front stops
_OUTSIDERS = ("x-appengine-", "x-harness-")
CHUNKABLE = ("POST", "PUT", "PATCH")  # the methods whose bodies tornado (6.6) can send in chunks
_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect")
)
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{reload}<style>
:root {{ color-scheme: light dark }} body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto;
padding: 0 1em; overflow-wrap: anywhere }}
</style></head><body><h1>{title}</h1><p>{text}</p></body></html>
"""


class Passage(Protocol):
    """The attributes of the front that an exchange uses."""

    application_port: int
    status: ApplicationStatus | None
    say: Say

    @property
    def own_headers(self) -> tuple[tuple[str, str], ...]: ...


def _is_outsiders(name: str) -> bool:
    """Return whether a header is removed from users' requests. `_` counts as `-`, because some servers replace it."""
    return name.lower().replace("_", "-").startswith(_OUTSIDERS)


class ErrorPage(HTTPMessageDelegate):
    """A page about an error, which is sent when the whole request has arrived."""

    def __init__(self, connection: HTTPConnection, code: int, title: str, text: str) -> None:
        self._connection = connection
        self._parts = code, title, text
        self._method = ""

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        self._method = start_line.method

    def finish(self) -> None:
        _respond(self._connection, self._method, *self._parts)


def _respond(connection: HTTPConnection, method: str, code: int, title: str, text: str) -> None:
    """Send a page. If the application doesn't run, the page reloads itself each second."""
    headers = HTTPHeaders({"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"})
    reload = ""
    if code == http.client.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
        reload = '<meta http-equiv="refresh" content="1">' if method == "GET" else ""
    content = _PAGE.format(title=html.escape(title), text=html.escape(text), reload=reload).encode()
    headers["Content-Length"] = str(len(content))
    start_line = ResponseStartLine("HTTP/1.1", code, http.client.responses[code])
    with suppress(StreamClosedError):
        connection.write_headers(start_line, headers, b"" if method == "HEAD" else content)
        connection.finish()


class Exchange(HTTPMessageDelegate):
    """Passes a request to the application while it arrives, and the response to the user."""

    def __init__(self, front: Passage, connection: HTTPConnection) -> None:
        self._front = front
        self._connection = connection
        self._start_line = RequestStartLine("", "", "")
        self._application: HTTP1Connection | None = None
        self._reply = _Reply(connection, self._fail)
        self._timers: list[asyncio.TimerHandle] = []
        self._has_ended = False

    async def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        self._start_line = start_line
        self._connection.set_close_callback(self.on_connection_close)  # type: ignore[attr-defined]
        status = self._front.status
        if status is None or not status.is_running:
            return
        stream = IOStream(socket.socket())
        try:
            await stream.connect((ADDRESS, self._front.application_port))
            parameters = HTTP1ConnectionParameters(no_keep_alive=True, max_body_size=NO_LIMIT, chunk_size=PART)
            application = HTTP1Connection(stream, True, parameters)
            await application.write_headers(start_line, self._headers(headers))
        except _ENDED:
            stream.close()
            return
        self._application = application
        self._task = asyncio.ensure_future(self._receive(application))

    def _headers(self, headers: HTTPHeaders) -> HTTPHeaders:
        """Return the headers that the application gets."""
        # If Content-Length were removed, the application would read the body as another request.
        named = {name.strip().lower() for name in headers.get("Connection", "").split(",")} - {"content-length"}
        passed = HTTPHeaders()
        for name, value in headers.get_all():
            if name.lower() not in _HOP | named and not _is_outsiders(name):
                passed.add(name, value)
        if "Transfer-Encoding" not in headers and self._start_line.method in CHUNKABLE:
            passed.setdefault("Content-Length", "0")
        for name, value in self._front.own_headers:
            passed.add(name, value)
        return passed

    async def data_received(self, chunk: bytes) -> None:
        if self._application is not None:
            with suppress(*_ENDED):  # the response may have arrived already
                await self._application.write(chunk)

    def finish(self) -> None:
        if self._application is None:
            self._fail()
            return
        with suppress(StreamClosedError):
            self._application.finish()
        if self._has_ended:
            return
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(SLOW_SECONDS, self._say_slow), loop.call_later(_DEADLINE, self._end_late)]

    def on_connection_close(self) -> None:
        """Stop, because the user has closed the connection."""
        self._reply.has_begun = True
        self._end()

    async def _receive(self, application: HTTP1Connection) -> None:
        try:
            await application.read_response(self._reply)
        except StreamClosedError:
            self._fail()
        finally:
            self._end()

    def _end(self) -> None:
        self._has_ended = True
        for timer in self._timers:
            timer.cancel()
        if self._application is not None:
            self._application.close()

    def _fail(self) -> None:
        """Send a page that explains why there is no response. After a part of the response, close the connection."""
        if self._reply.has_begun:
            self._connection.stream.close()  # type: ignore[attr-defined]
            return
        self._reply.has_begun = True
        status = self._front.status
        if status is None or not status.is_running or self._application is None:
            reason = "it is starting" if status is None else status.reason
            parts = 503, "The application isn't running", f"The application can't respond, because {reason}."
        else:
            parts = 502, "The application sent no response", "It closed the connection. Its log may explain why."
        _respond(self._connection, self._start_line.method, *parts)

    def _say_slow(self) -> None:
        if not self._reply.has_begun:
            line = f"{self._start_line.method} {self._start_line.path}"
            self._front.say(f"{line} has had no response for {SLOW_SECONDS:g} s; the application may hang")

    def _end_late(self) -> None:
        if not self._reply.has_begun:
            self._reply.has_begun = True
            text = f"It took longer than {_DEADLINE:g} seconds, which is App Engine's limit."
            _respond(self._connection, self._start_line.method, 504, "The application sent no response", text)
        self._end()


class _Reply(HTTPMessageDelegate):
    """Passes the application's response to the user as it arrives, and no faster than the user receives it."""

    def __init__(self, connection: HTTPConnection, fail: Callable[[], None]) -> None:
        self.has_begun = False
        self._connection = connection
        self._fail = fail

    async def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        if start_line.code < 200 or self.has_begun:  # such as 100 Continue
            return
        self.has_begun = True
        passed = HTTPHeaders()
        for name, value in headers.get_all():
            if name.lower() not in _HOP:
                passed.add(name, value)
        with suppress(*_ENDED):
            await self._connection.write_headers(start_line, passed)

    async def data_received(self, chunk: bytes) -> None:
        with suppress(*_ENDED):
            await self._connection.write(chunk)

    def finish(self) -> None:
        with suppress(StreamClosedError):
            self._connection.finish()

    def on_connection_close(self) -> None:
        self._fail()
