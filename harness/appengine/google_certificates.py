"""Gives the lab's certificates (`harness.appengine.id_tokens`) to a handler that fetches Google's over HTTP.

`google.oauth2.id_token.verify_oauth2_token` fetches https://www.googleapis.com/oauth2/v1/certs before it verifies a
token. The connections of `requests`, `urllib3` and `urllib.request` derive from `http.client.HTTPConnection`, whose
`__init__` is replaced while a request runs. A connection to that host is then opened only if its first request is for
another URL. Other threads, and other hosts, aren't affected.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any

_HOST = "www.googleapis.com"
_REQUEST = re.compile(rb"GET /oauth2/v1/certs[ ?]")
_active: list[int] = []  # the threads that have entered a scope, once for each scope
_real: list[Callable[..., None]] = []  # the method that is replaced
_lock = threading.Lock()


class LabCertificates:
    """A context manager. In its scope, this thread gets the lab's certificates. It can be entered again."""

    def __enter__(self) -> None:
        with _lock:
            if not _active:
                _real[:] = [http.client.HTTPConnection.__init__]
                http.client.HTTPConnection.__init__ = _initialize  # type: ignore[method-assign]
            _active.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        with _lock:
            _active.remove(threading.get_ident())
            if not _active:
                http.client.HTTPConnection.__init__ = _real[0]  # type: ignore[method-assign]


@wraps(http.client.HTTPConnection.__init__)
def _initialize(self: Any, *args: Any, **options: Any) -> None:
    _real[0](self, *args, **options)
    connect = self.connect  # the method of the subclass, because urllib3 overrides it

    def connect_or_pretend() -> None:
        host = self._tunnel_host or self.host  # behind a proxy, the host is the proxy's
        if host == _HOST and threading.get_ident() in _active:
            self.sock, self.is_verified = _Socket(self, connect), True  # urllib3 warns if a connection isn't verified
        else:
            connect()

    self.connect = connect_or_pretend


class _Socket:
    """The socket of a connection. It responds to a request for the certificates, and connects for any other request."""

    def __init__(self, connection: Any, connect: Callable[[], None]) -> None:
        self._connection = connection
        self._connect = connect

    def sendall(self, data: bytes) -> None:
        if not _REQUEST.match(data):
            self._connect()
            self._connection.sock.sendall(data)

    def makefile(self, mode: str, *args: Any) -> BytesIO:
        from harness.appengine.id_tokens import certificates

        body = json.dumps(certificates()).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return BytesIO(f"{head}Connection: close\r\n\r\n".encode() + body)

    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        pass
