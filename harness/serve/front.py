"""Sends requests to the application: a proxy passes on those of users, and a sender sends those of the task queue.

The proxy removes App Engine's headers from users' requests, because only the task queue sets them. The task queue sends
its requests directly to the application's port. web2py's process also checks the secret of these requests. A command of
`run`, or an entrypoint, doesn't check it, so a local program that finds its port can forge the headers.
"""

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit
from weakref import WeakSet

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
)
from tornado.iostream import IOStream
from tornado.web import Application, StaticFileHandler

from harness.appengine.dispatcher import HttpSender
from harness.errors import HarnessError
from harness.records import Request, Response
from harness.serve.app_yaml import UrlHandler, find_handler
from harness.serve.child import TICKET_HEADER, TOKEN_HEADER
from harness.serve.exchange import CHUNKABLE, NO_LIMIT, PART, ErrorPage, Exchange
from harness.serve.supervisor import ADDRESS, START_SECONDS, ApplicationStatus, Say, Supervisor

OwnHeaders = tuple[tuple[str, str], ...]

_HOSTS = (ADDRESS, "localhost", "[::1]")
_OTHER_HOST = (
    "This server is for this machine only, so it doesn't accept requests for {name}. To allow this name, start the "
    "server with --allow-host {name}."
)
_TASK_ADDRESS = "0.1.0.2"
_BROKEN_TWICE = (
    "two restarts of the application broke this request off, perhaps because the request changes a file that the "
    "application reads when it starts"
)
_HIGHEST = 65535  # port
_ONLY_ADMINS = (
    "app.yaml has `login: admin` for this URL. Tasks may use it. App Engine would ask other users to log in as an "
    "administrator, which isn't possible here."
)


class TaskSender:
    """Sends the requests of tasks to the application, and waits while it starts.

    Args:
        supervisor: has the state of the application's process, and its port.
        host: the host of the front, which the application sees as its own.
        own_headers: returns the headers that are added to each request.
        name: the name of the service; "" for the default service.

    It can be passed to `Dispatcher` as `send`.
    """

    def __init__(
        self, supervisor: Supervisor, host: str, own_headers: Callable[[], OwnHeaders], name: str = ""
    ) -> None:
        self._supervisor = supervisor
        self._send = HttpSender(f"http://{ADDRESS}:{supervisor.port}", host)
        self._name = f"the service {name}" if name else "the application"
        self._own_headers = own_headers

    def __call__(self, request: Request, start: float, deadline: float) -> Response:
        """Send a request, and return the response. If a restart breaks the request off, send it once more."""
        if request.scheme:
            return self._send(request, start, deadline)
        present = {name.lower() for name, _ in request.headers}
        own = (("X-Appengine-User-Ip", _TASK_ADDRESS), *self._own_headers())
        own = tuple(pair for pair in own if pair[0].lower() not in present)
        request = replace(request, headers=(*request.headers, *own))
        supervisor, end = self._supervisor, time.monotonic() + deadline
        for _ in range(2):
            restarts = supervisor.restarts  # before the wait, because a restart may begin directly after it
            if not supervisor.wait_until_running(min(end - time.monotonic(), START_SECONDS)):
                return Response(0, hint=f"{self._name} doesn't run: {supervisor.reason}")
            left = end - time.monotonic()
            if left <= 0:
                return Response(0, deadline="virtual")
            response = self._send(request, start, left)
            if response.status or response.deadline or restarts == supervisor.restarts:
                return response
        return Response(0, hint=_BROKEN_TWICE)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._send.close()


class Front:
    """A server on 127.0.0.1 that passes users' requests to the application, in parts and without a size limit.

    Args:
        port: the port; 0 for any free one.
        application_port: the application's port.
        token: the secret.
        say: called with each message for the user.
        default_host: the host of the default service's front; by default, the host of this front.
        allowed_hosts: further names that requests may have in the header Host.

    Raises:
        HarnessError: the port is in use, or this process may not use it.

    `port` is the port. Until `status` is set, the application counts as starting. If `has_apis` is False, Google's
    client raises an error when the application calls an API.
    """

    def __init__(
        self,
        port: int,
        application_port: int,
        token: str,
        say: Say,
        default_host: str = "",
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        listener = listen(port, "--port")
        self.port = int(listener.getsockname()[1])
        self.application_port = application_port
        self.handlers: tuple[UrlHandler, ...] = ()
        self.root = Path()
        self.allowed_hosts = {*_HOSTS, *(name.lower() for name in allowed_hosts)}
        self.status: ApplicationStatus | None = None
        self.say = say
        self.default_host = default_host or self.host
        self.has_apis = True
        self._token = token
        self._connections = _Connections(self)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[listener], name="front", daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def host(self) -> str:
        """The host and the port, such as "127.0.0.1:8080"."""
        return f"{ADDRESS}:{self.port}"

    @property
    def own_headers(self) -> OwnHeaders:
        """The headers that are added to each request: the secret, the host, and a ticket if APIs may be called."""
        headers = (TOKEN_HEADER, self._token), ("X-Appengine-Default-Version-Hostname", self.default_host)
        return (*headers, (TICKET_HEADER, "ticket")) if self.has_apis else headers

    def set_handlers(self, handlers: Iterable[UrlHandler], root: Path) -> None:
        """Use the handlers of an app.yaml. `root` is the folder that contains their files."""
        self.root, self.handlers = root, tuple(handlers)

    def accepts(self, host: str) -> bool:
        """Return whether a request may have this Host header. A page of another site may send its own domain."""
        name = _name(host)
        return not host or name in self.allowed_hosts or name.endswith((".localhost", f".{ADDRESS}"))

    def stop(self) -> None:
        """Stop listening, and close all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen(listener))
        self._ready.set()
        self._loop.run_forever()
        self._server.stop()
        for stream in list(self._connections.streams):  # tornado's `close_all_connections` would wait for requests
            stream.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self, listener: socket.socket) -> None:
        self._server = HTTPServer(self._connections, max_body_size=NO_LIMIT, chunk_size=PART)
        self._server.add_socket(listener)


def listen(port: int, option: str) -> socket.socket:
    """Return the socket of a server on 127.0.0.1.

    Args:
        port: the port; 0 for any free one.
        option: the option with which the user chooses the port.

    Raises:
        HarnessError: the port is in use or doesn't exist, or this process may not use it.
    """
    if port > _HIGHEST:
        raise HarnessError(
            f"port {port} can't be used: the highest port is {_HIGHEST}; choose another one with {option}"
        )
    try:
        listener = socket.create_server((ADDRESS, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # Python's own text repeats the address
        raise HarnessError(f"port {port} can't be used: {reason}; choose another one with {option}") from None
    listener.setblocking(False)
    return listener


def _name(host: str) -> str:
    """Return a header Host without its port."""
    return re.sub(r":[0-9]*$", "", host).lower()


def _path(target: str) -> str | None:
    """Return the decoded path of a request's target, with one slash at its beginning; None if it isn't a URL."""
    if target.startswith("/"):
        path = target.partition("?")[0]
    else:
        try:
            parts = urlsplit(target)
        except ValueError:
            return None
        if parts.scheme not in ("http", "https"):
            return None
        path = parts.path
    return "/" + unquote(path).lstrip("/")


class _Connections(HTTPServerConnectionDelegate):
    def __init__(self, front: Front) -> None:
        self._front = front
        self.streams: WeakSet[IOStream] = WeakSet()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        self.streams.add(cast(HTTP1ServerConnection, server_conn).stream)
        return _Route(self._front, request_conn)


class _Route(HTTPMessageDelegate):
    """Chooses the delegate that responds to a request, when its headers have arrived."""

    def __init__(self, front: Front, connection: HTTPConnection) -> None:
        self._front = front
        self._connection = connection
        self._target: HTTPMessageDelegate | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Awaitable[None] | None:
        refused = self._refuse(start_line, headers)
        if refused is None:
            self._target, path = self._choose(start_line)
        else:
            self._target, path = ErrorPage(self._connection, *refused), start_line.path
        return self._target.headers_received(start_line._replace(path=path), headers)

    def _refuse(self, start_line: RequestStartLine, headers: HTTPHeaders) -> tuple[int, str, str] | None:
        """Return the error page for a request that must not reach the application, or None."""
        host = headers.get("Host", "")
        if not self._front.accepts(host):
            return 403, "Unknown host", _OTHER_HOST.format(name=_name(host)[:100])
        if "Transfer-Encoding" in headers and start_line.method not in CHUNKABLE:
            return 411, "Length required", f"A {start_line.method} request with a body needs a Content-Length."
        if _path(start_line.path) is None:
            return 400, "Bad request", "The URL of the request is not valid."
        return None

    def _choose(self, start_line: RequestStartLine) -> tuple[HTTPMessageDelegate, str]:
        """Return the delegate that responds to a request, and the path that it gets."""
        front, connection = self._front, self._connection
        path = _path(start_line.path) or ""
        handler, file = find_handler(front.handlers, path, front.root)
        if handler is not None and handler.admin:
            code = 401 if handler.unauthorized else 403
            return ErrorPage(connection, code, "Only for administrators", _ONLY_ADMINS), start_line.path
        if handler is None or handler.folder is None:
            return Exchange(front, connection), start_line.path
        if file is None:
            return ErrorPage(connection, 404, "Not found", "app.yaml names a file that doesn't exist."), start_line.path
        if start_line.method not in ("GET", "HEAD"):
            return ErrorPage(connection, 405, "Method not allowed", "A static file can only be read."), start_line.path
        options = {"path": str(file.parent), "handler": handler}
        application = Application([("/(.*)", _StaticFile, options)], log_function=lambda _: None)
        return application.start_request(None, connection), f"/{quote(file.name)}"

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None if self._target is None else self._target.data_received(chunk)

    def finish(self) -> None:
        if self._target is not None:
            self._target.finish()

    def on_connection_close(self) -> None:
        if self._target is not None:
            self._target.on_connection_close()


class _StaticFile(StaticFileHandler):
    """Serves a file of app.yaml's handlers. Browsers request it again each time, so they show a changed file."""

    def initialize(self, path: str, handler: UrlHandler) -> None:  # type: ignore[override]
        super().initialize(path)
        self._handler = handler

    def compute_etag(self) -> str:
        """Return a tag that changes with the file. By default, tornado (6.6) would keep the first tag."""
        status = os.stat(self.absolute_path or "")
        return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'

    def get_content_type(self) -> str:
        return self._handler.mime_type or super().get_content_type()

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "no-cache")
        self.clear_header("Server")
        for name, value in self._handler.headers:
            self.set_header(name, value)
