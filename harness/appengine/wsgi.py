"""Call a WSGI application in this process: a `Request` goes in, a `Response` comes out.

This module does not depend on web2py or on queues.
"""

import io
import sys
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any
from urllib.parse import unquote_to_bytes

from harness.errors import quoted
from harness.records import Request, Response

# Google's handler of deferred tasks (SDK 3.1.0) fails without it; any value except "Devel…" means production (T51).
_SERVER_SOFTWARE = "Google App Engine"
_SHOWN = 200  # characters of a URL in a message
Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Callable[..., Any]], Iterable[Any]]


def to_environ(request: Request) -> Environ:
    """Return the WSGI environ of a request (PEP 3333).

    The path is unquoted, and its UTF-8 bytes are decoded as latin-1. The content type and the content length have keys
    of their own; every other header has a key HTTP_….
    """
    path, _, query = request.url.partition("?")
    name, _, port = request.host.partition(":")
    scheme = "https" if "https" in (request.scheme, request.header("X-Forwarded-Proto")) else "http"
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": name,
        "SERVER_PORT": port or ("443" if scheme == "https" else "80"),
        "SERVER_SOFTWARE": _SERVER_SOFTWARE,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.remote_addr,
        "HTTP_HOST": request.host,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for header, value in request.headers:
        key = header.upper().replace("-", "_")
        if key == "CONTENT_LENGTH":
            continue
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ and key != "HTTP_HOST" else value
    return environ


def call(app: WSGIApp, environ: Environ, request: Request) -> Response:
    """Send one request through a WSGI application, and return the response with its whole body.

    Chunks may be str or bytes, because web2py yields both.

    Raises:
        RuntimeError: the application returns without a call of `start_response`.
        TypeError: a chunk is neither str nor bytes.
        ValueError: the status is malformed.
    """
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [(status, headers)]
        return written.append

    chunks = app(environ, start_response)
    try:
        body = b"".join([*written, *(_to_bytes(chunk) for chunk in chunks)])
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    if not started:
        raise RuntimeError(
            f"{quoted(app)} handled {request.method} {request.url[:_SHOWN]} without calling start_response"
        )
    status, headers = started[0]
    code, reason = _read_status(status)
    return Response(code, reason, tuple((str(key), str(value)) for key, value in headers), body, request)


def _read_status(status: Any) -> tuple[int, str]:
    code, _, reason = str(status).partition(" ")
    if not code.isdecimal() or not 100 <= int(code) <= 999:
        raise ValueError(f'a WSGI status looks like "200 OK", not {quoted(status)}')
    return int(code), reason or responses.get(int(code), "")


def _to_bytes(chunk: Any) -> bytes:
    if isinstance(chunk, str):
        return chunk.encode("utf-8")
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"a WSGI application must return an iterable of bytes such as [b'hello'], not of {quoted(chunk)}")
