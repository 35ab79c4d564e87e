"""Sends the requests of tasks over HTTP to servers on this machine, in real time."""

import http.client
import io
import re
import socket
import time
from collections import defaultdict
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BadRequestError, quoted
from harness.records import Request, Response

_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?")  # a host with or without a port
_BLOCK = 2**16  # bytes
_KEPT = 2**12  # bytes of a body; thousands of tasks may each keep the response to their last attempt
_IDLE = 1.0  # seconds after which an idle connection isn't reused; servers close it after 2 seconds or more


class HttpSender:
    """Sends requests for App Engine to one server, and requests with a full URL to the server that the URL names.

    Args:
        target: the server for App Engine's tasks of all services and versions, such as "http://127.0.0.1:8080".
        host: the header Host of requests for App Engine; by default the host and the port of the target.

    Connections over http are reused until `close` is called. Several threads may call a sender at the same time.

    Raises:
        BadRequestError: the target is not such a URL, or is not on this machine.
    """

    def __init__(self, target: str, host: str = "") -> None:
        self.target = target.rstrip("/")
        try:
            parts = urlsplit(self.target)
            port = parts.port
        except ValueError as error:
            raise BadRequestError(f"the target {quoted(target)} is not a URL: {error}") from None
        if self.target != f"http://{parts.netloc}" or port == 0:
            raise BadRequestError(f'the target must be a URL like "http://127.0.0.1:8080", not {quoted(target)}')
        if not _THIS_MACHINE.fullmatch(parts.netloc):
            raise BadRequestError(f"the target must be on this machine (127.0.0.1 or localhost), not {quoted(target)}")
        self._host = parts.netloc
        self._kept: dict[str, list[tuple[http.client.HTTPConnection, float]]] = defaultdict(list)  # by host
        self._header = host or self._host

    def __call__(self, request: Request, start: float, deadline: float) -> Response:
        """Send a request, and return the response.

        Args:
            request: the request; its `scheme` is empty if it is for App Engine.
            start: not used, because it is the present.
            deadline: the seconds within which the server must respond.

        Returns:
            The response, with the first 4 KB of its body. If no response arrives, the status is 0. In this case,
            `deadline` is "virtual" after a timeout, because here virtual time is the real time. Otherwise, `hint`
            explains the reason.
        """
        host, scheme = (request.host, request.scheme) if request.scheme else (self._host, "http")
        if not _THIS_MACHINE.fullmatch(host):
            return Response(0, hint=f"{host} is not on this machine, and no requests are sent to other machines")
        connection, is_open = self._connect(scheme, host, deadline), False
        try:
            header = host if request.scheme else self._header
            response, is_open = _exchange(connection, request, header, time.monotonic() + deadline)
            return response
        except TimeoutError:
            return Response(0, deadline="virtual")
        except ConnectionRefusedError:
            return Response(0, hint=f"no server listens at {scheme}://{host}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Response(0, hint=f"{scheme}://{host} sent no response: {type(error).__name__}: {error}")
        finally:
            if is_open and scheme == "http":
                self._kept[host].append((connection, time.monotonic()))
            else:
                connection.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        for kept in self._kept.values():
            while kept:
                kept.pop()[0].close()

    def _connect(self, scheme: str, host: str, deadline: float) -> http.client.HTTPConnection:
        """Return a connection that was kept and that the server hasn't closed, or else a new one."""
        if scheme == "https":
            return http.client.HTTPSConnection(host, timeout=deadline)
        kept = self._kept[host]
        while kept:
            try:
                connection, since = kept.pop()
            except IndexError:  # another thread took the last one
                break
            if time.monotonic() - since < _IDLE and _is_silent(connection.sock):
                connection.sock.settimeout(deadline)
                return connection
            connection.close()
        return http.client.HTTPConnection(host, timeout=deadline)


def _is_silent(connected: socket.socket) -> bool:
    """Return whether a server has neither closed a connection nor sent unrequested data."""
    connected.setblocking(False)
    try:
        connected.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _exchange(
    connection: http.client.HTTPConnection, request: Request, host: str, until: float
) -> tuple[Response, bool]:
    """Send a request and read its response; raise TimeoutError if `time.monotonic()` exceeds `until`.

    Returns:
        The response, and whether the connection can be used again.
    """
    connection.putrequest(request.method, request.url, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    for name, value in request.headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body or None)
    connection.response_class = partial(_TimedResponse, until)  # type: ignore[assignment]
    answer = connection.getresponse()
    body = b""
    while block := answer.read1(_BLOCK):
        body = (body + block)[:_KEPT]
    answer.close()  # `read1` doesn't close it, so the connection would refuse another request
    response = Response(answer.status, answer.reason, tuple(answer.getheaders()), body)
    return response, not answer.will_close


class _TimedResponse(http.client.HTTPResponse):
    """A response that is read until `time.monotonic()` is `until`, however slowly its parts arrive."""

    def __init__(self, until: float, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(until, sock, self.fp.detach()))


class _TimedReader(io.RawIOBase):
    """Reads from a socket, or raises TimeoutError; `raw` is the socket's file, which keeps the socket open."""

    def __init__(self, until: float, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._until = until
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
