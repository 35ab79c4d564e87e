"""The server that Google's unmodified client calls from the application's process.

`google/appengine/runtime/default_api_stub.py` sends each call to `http://$API_HOST:$API_PORT/rpc_http`, as a protocol
buffer of `remote_api`, if `google.appengine.api.wrap_wsgi_app` wraps the application.
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from harness.appengine.taskqueue import preload
from harness.errors import quoted
from harness.serve.engine import QueueEngine

ADDRESS = "127.0.0.1"
_PATH = "/rpc_http"
_SERVICE = "taskqueue"
_OWN_NAMES = (ADDRESS, "localhost")
_CLIENT = "X-Google-RPC-Service-Endpoint"  # Google's client sends it; a web page can't send it without permission
_LARGEST = 33 << 20  # bytes of a request; the service accepts 32 MB


class RpcEndpoint:
    """Responds to the calls of Google's client.

    Args:
        engine: the queues.
        listener: a socket that listens on 127.0.0.1. Its port is the variable API_PORT of the application.
    """

    def __init__(self, engine: QueueEngine, listener: socket.socket) -> None:
        handler = type("Handler", (_CallHandler,), {"calls": _Calls(engine)})
        self._server = _Server(listener.getsockname(), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._thread = threading.Thread(target=self._server.serve_forever, name="rpc", args=[0.05], daemon=True)

    def start(self) -> None:
        """Start to respond, and return immediately."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening. A call that is running ends normally."""
        try:
            if self._thread.ident is not None:  # otherwise, `shutdown` would wait forever
                self._server.shutdown()
        finally:
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Don't report a client that has disconnected."""


class _CallHandler(BaseHTTPRequestHandler):
    """Reads a call, and writes the response."""

    protocol_version = "HTTP/1.1"  # the client keeps its connections
    disable_nagle_algorithm = True
    wbufsize = -1  # the response is one packet
    calls: _Calls

    def do_POST(self) -> None:
        """Respond to a call."""
        length = self.headers.get("Content-Length", "")
        problem = self._check(length)
        if problem is not None:
            self._respond(*problem)
            return
        content = self.rfile.read(int(length))
        self._respond(200, self.calls.answer(content))

    def _check(self, length: str) -> tuple[int, bytes] | None:
        """Return the status and the text for a request that isn't one of Google's client."""
        host = urlsplit(f"//{self.headers.get('Host', ADDRESS)}").hostname
        if self.headers.get(_CLIENT) is None or "Origin" in self.headers or host not in _OWN_NAMES:
            return 403, f"only Google's client on this machine may call {_PATH}".encode()
        if self.path != _PATH:
            return 404, f"the only path is {_PATH}".encode()
        if not length.isdecimal():
            return 411, b"the header Content-Length is missing"
        if int(length) > _LARGEST:
            return 413, f"a call may have at most {_LARGEST} bytes".encode()
        return None

    def _respond(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if status == 200 else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if status != 200:
            self.close_connection = True  # the body isn't read
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""


class _Calls:
    """Executes the calls that arrive as messages of `remote_api`."""

    def __init__(self, engine: QueueEngine) -> None:
        preload()
        from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2
        from google.appengine.ext.remote_api import remote_api_bytes_pb2

        self._engine = engine
        self._remote_api = remote_api_bytes_pb2
        self._methods = {
            name: _messages(taskqueue_service_bytes_pb2, name)
            for name in (each.removeprefix("_Dynamic_") for each in dir(engine.service))
            if hasattr(taskqueue_service_bytes_pb2, f"TaskQueue{name}Request")
        }

    def answer(self, content: bytes) -> bytes:
        """Return the serialized response to a serialized call. If the call fails, the response contains the error."""
        from google.appengine.runtime import apiproxy_errors
        from google.protobuf.message import DecodeError

        errors, response = self._remote_api.RpcError, self._remote_api.Response()
        try:
            response.response = self._call(self._remote_api.Request.FromString(content))
        except apiproxy_errors.ApplicationError as error:
            response.application_error.code = error.application_error
            response.application_error.detail = error.error_detail
        except apiproxy_errors.CallNotFoundError as error:
            self._fail(response, errors.CALL_NOT_FOUND, str(error))
        except apiproxy_errors.RequestTooLargeError as error:
            self._fail(response, errors.REQUEST_TOO_LARGE, str(error))
        except DecodeError:
            self._fail(response, errors.PARSE_ERROR, "the request isn't a serialized message of the method")
        except Exception as error:  # the client must get a response to each call
            self._fail(response, errors.UNKNOWN, f"{type(error).__name__}: {error}")
        result: bytes = response.SerializeToString()
        return result

    def _call(self, call: Any) -> bytes:
        from google.appengine.runtime.apiproxy_errors import CallNotFoundError

        if call.service_name != _SERVICE:
            name = quoted(call.service_name)
            raise CallNotFoundError(f"App Engine's service {name} isn't available here; only {_SERVICE} is")
        if call.method not in self._methods:
            known = ", ".join(sorted(self._methods))
            raise CallNotFoundError(f"{_SERVICE} has no method {quoted(call.method)} here; its methods are {known}")
        request_kind, response_kind = self._methods[call.method]
        request, response = request_kind.FromString(call.request), response_kind()
        with self._engine.changing():
            self._engine.service.MakeSyncCall(_SERVICE, call.method, request, response)
        result: bytes = response.SerializeToString()
        return result

    @staticmethod
    def _fail(response: Any, code: int, text: str) -> None:
        response.rpc_error.code = code
        response.rpc_error.detail = text.replace("%", "%%")  # the client formats the detail with `%` (SDK 3.1.0)


def _messages(module: ModuleType, method: str) -> tuple[Any, Any]:
    return getattr(module, f"TaskQueue{method}Request"), getattr(module, f"TaskQueue{method}Response")
