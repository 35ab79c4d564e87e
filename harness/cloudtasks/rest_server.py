"""Cloud Tasks' API over REST on 127.0.0.1. Requests in JSON over HTTP call the methods of a servicer.

The URLs are those of "Cloud Tasks API" in Google's documentation, and the JSON is that of protocol buffers.
`google.cloud.tasks_v2` sends such requests with `transport="rest"`. Browsers are refused, because any page could
otherwise add tasks.
"""

import json
import re
import sys
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from google.protobuf import json_format
from grpc import StatusCode

from harness.appengine.dispatcher import RealTimeDispatcher
from harness.appengine.id_tokens import certificates
from harness.cloudtasks.grpc_server import ADDRESS
from harness.cloudtasks.names import CallError, refuse
from harness.cloudtasks.servicer import GET_OPERATION, CloudTasks
from harness.errors import HarnessError, quoted

CERTIFICATES = "/oauth2/v1/certs"  # Google's certificates have this path at www.googleapis.com
_OWN_NAMES = (ADDRESS, "localhost")
_LENGTH = re.compile("[0-9]{1,15}")
_LONGEST_SHOWN = 200  # characters of a header in a message
_SECONDS = 60  # that a client may take for its request
_LARGEST_BODY = 150 * 2**20  # bytes; a batch may contain 100 tasks of 1 MB, which are longer in JSON
# The status of a response, by the error's code (google/rpc/code.proto).
_STATUS = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.INTERNAL: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
}
_PLACE = "projects/*/locations/*"
_QUEUE = f"{_PLACE}/queues/*"
_TASK = f"{_QUEUE}/tasks/*"
# The HTTP method, the URL with the field that it contains, the API's method, and the field in the body ("*" for all).
_ROUTES = (
    ("GET", f"v2/{{parent={_PLACE}}}/queues", "ListQueues", ""),
    ("POST", f"v2/{{parent={_PLACE}}}/queues", "CreateQueue", "queue"),
    ("GET", f"v2/{{name={_QUEUE}}}", "GetQueue", ""),
    ("PATCH", f"v2/{{queue.name={_QUEUE}}}", "UpdateQueue", "queue"),
    ("DELETE", f"v2/{{name={_QUEUE}}}", "DeleteQueue", ""),
    ("POST", f"v2/{{name={_QUEUE}}}:purge", "PurgeQueue", "*"),
    ("POST", f"v2/{{name={_QUEUE}}}:pause", "PauseQueue", "*"),
    ("POST", f"v2/{{name={_QUEUE}}}:resume", "ResumeQueue", "*"),
    ("POST", f"v2/{{resource={_QUEUE}}}:getIamPolicy", "GetIamPolicy", "*"),
    ("POST", f"v2/{{resource={_QUEUE}}}:setIamPolicy", "SetIamPolicy", "*"),
    ("POST", f"v2/{{resource={_QUEUE}}}:testIamPermissions", "TestIamPermissions", "*"),
    ("GET", f"v2/{{parent={_QUEUE}}}/tasks", "ListTasks", ""),
    ("POST", f"v2/{{parent={_QUEUE}}}/tasks", "CreateTask", "*"),
    ("POST", f"v2/{{parent={_QUEUE}}}/tasks:batchCreate", "BatchCreateTasks", "*"),
    ("POST", f"v2/{{parent={_QUEUE}}}/tasks:batchDelete", "BatchDeleteTasks", "*"),
    ("GET", f"v2/{{name={_TASK}}}", "GetTask", ""),
    ("DELETE", f"v2/{{name={_TASK}}}", "DeleteTask", ""),
    ("POST", f"v2/{{name={_TASK}}}:run", "RunTask", "*"),
    ("GET", f"v2/{{name={_PLACE}/operations/*}}", "GetOperation", ""),
    ("GET", f"v2beta3/{{name={_QUEUE}}}", "GetQueue", ""),
)
# Parameters of every URL of Google's APIs, of which only `alt` has a meaning here.
_COMMON = {"access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"}
_COMMON |= {"uploadType", "upload_protocol"}


class RestServer:
    """Offers the methods of a servicer over HTTP on a port of 127.0.0.1, and the lab's certificates at `CERTIFICATES`.

    Args:
        servicer: the methods.
        dispatcher: holds the lock of the queues, and is notified of each change.
        port: the port; 0 for any free port.

    Raises:
        HarnessError: the port is in use, or this process may not use it.

    `port` is the port on which the server listens.
    """

    def __init__(self, servicer: CloudTasks, dispatcher: RealTimeDispatcher, port: int) -> None:
        try:
            self._server = _Server(RestApi(servicer, dispatcher), port)
        except OSError as error:
            raise HarnessError(
                f"port {port} can't be used: {error.strerror}; choose another one with --rest-port"
            ) from None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="rest", daemon=True).start()

    def stop(self) -> None:
        """Stop listening; a request on a connection that is still open is refused."""
        self._server.stopped = True
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Has a thread for each connection."""

    daemon_threads = True

    def __init__(self, api: "RestApi", port: int) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.api = api
        self.stopped = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that has disappeared."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class RestApi:
    """Translates requests in JSON into the servicer's messages, and the responses into JSON."""

    def __init__(self, servicer: CloudTasks, dispatcher: RealTimeDispatcher) -> None:
        self._servicer = servicer
        self._dispatcher = dispatcher
        self._routes = [
            (verb, field, _pattern(before, resource, after), _method(version, name), body)
            for verb, url, name, body in _ROUTES
            for version, (before, field, resource, after) in [(url.partition("/")[0], _split(url))]
        ]

    def call(self, verb: str, url: str, content: bytes) -> dict[str, Any]:
        """Return the response to a request.

        Args:
            verb: the HTTP method.
            url: the path, with the query.
            content: the body.

        Raises:
            CallError: the call fails; NOT_FOUND for a URL that doesn't exist.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            refuse(f"{quoted(url)} is not a URL: {error}.")
        if (verb, parts.path) == ("GET", CERTIFICATES):
            return certificates()
        query = parse_qsl(parts.query, keep_blank_values=True)
        method, fields = self._find(verb, parts.path, content)
        for name, value in query:
            if not name.startswith("$") and name not in _COMMON:
                _put(fields, name, value)
        kind, _ = self._servicer.methods[method]
        try:
            message = json_format.ParseDict(fields, kind())
        except json_format.ParseError as error:
            refuse(f"Invalid JSON payload received. {error}")
        with self._dispatcher.changing():
            response = self._servicer.respond(method, message)
        as_numbers = any(name in ("alt", "$alt") and "enum-encoding=int" in value for name, value in query)
        found: dict[str, Any] = json_format.MessageToDict(response, use_integers_for_enums=as_numbers)
        return found

    def _find(self, verb: str, path: str, content: bytes) -> tuple[str, dict[str, Any]]:
        """Return the full name of a method, and the fields of its request that are in the path and in the body."""
        for route_verb, field, pattern, method, body in self._routes:
            found = pattern.fullmatch(unquote(path)) if route_verb == verb else None
            if found is not None:
                fields: dict[str, Any] = {}
                if body == "*":
                    fields = _read_json(content)
                elif body:
                    fields[body] = _read_json(content)
                _put(fields, field, found[1])
                return method, fields
        refuse(f"Cloud Tasks has no method with the URL {verb} {path[:700]}.", StatusCode.NOT_FOUND)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, and writes the response of the API or the error."""

    protocol_version = "HTTP/1.1"  # so that a client can keep its connection
    timeout = _SECONDS
    wbufsize = -1  # the headers and the body are sent together
    disable_nagle_algorithm = True
    server: _Server

    def respond(self) -> None:
        """Respond to a request with any HTTP method."""
        status = 200
        try:
            answer = self._answer()
        except CallError as error:
            status = _STATUS[error.code]
            answer = {"error": {"code": status, "message": error.text, "status": error.code.name}}
        content = json.dumps(answer, indent=1).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _answer(self) -> dict[str, Any]:
        try:
            length = _length(self.headers)
        except CallError:
            self.close_connection = True  # where the next request begins is unknown
            raise
        content = self.rfile.read(length)  # first, or a client that still sends would not read the refusal
        _check_client(self.headers)
        if self.server.stopped:
            refuse("The server has stopped.", StatusCode.UNAVAILABLE)
        try:
            return self.server.api.call(self.command, self.path, content)
        except CallError:
            raise
        except Exception as error:
            refuse(f"The server failed. {type(error).__name__}: {error}", StatusCode.INTERNAL)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = respond  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _check_client(headers: Message) -> None:
    """Refuse requests of web pages, which have the header Origin, or a foreign host name that resolves to 127.0.0.1."""
    if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
        origin = headers.get("Origin", "another site")[:_LONGEST_SHOWN]
        text = f"Requests from web pages are refused, and this one is from {origin}."
        refuse(text, StatusCode.PERMISSION_DENIED)
    host = headers.get("Host", ADDRESS)
    if host.partition(":")[0] not in _OWN_NAMES:
        refuse(f"The host must be {' or '.join(_OWN_NAMES)}, not {quoted(host)}.", StatusCode.PERMISSION_DENIED)


def _length(headers: Message) -> int:
    text = headers.get("Content-Length", "0")
    if "Transfer-Encoding" in headers or not _LENGTH.fullmatch(text):
        refuse("The request needs the header Content-Length with the length of its body.")
    if int(text) > _LARGEST_BODY:
        refuse(f"The body has {text} bytes, and at most {_LARGEST_BODY} are allowed.")
    return int(text)


def _read_json(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content or b"{}")
    except (ValueError, RecursionError) as error:
        refuse(f"Invalid JSON payload received. {error}")
    if not isinstance(fields, dict):
        refuse(f"Invalid JSON payload received. The body must be an object, not {quoted(fields)}.")
    return fields


def _put(fields: dict[str, Any], path: str, value: str) -> None:
    """Set a field, which may be in a nested message, as in "queue.name"."""
    *parents, name = path.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            refuse(f"{quoted(parent)} must be an object, because the URL contains {path}.")
    fields[name] = value


def _method(version: str, name: str) -> str:
    """Return the full name of a method in gRPC."""
    return GET_OPERATION if name == "GetOperation" else f"/google.cloud.tasks.{version}.CloudTasks/{name}"


def _split(url: str) -> tuple[str, str, str, str]:
    """Return the parts of a URL: "v2/{name=projects/*}:run" has "v2/", "name", "projects/*" and ":run"."""
    before, _, rest = url.partition("{")
    inside, _, after = rest.partition("}")
    field, _, resource = inside.partition("=")
    return before, field, resource, after


def _pattern(before: str, resource: str, after: str) -> re.Pattern[str]:
    middle = "[^/]+".join(map(re.escape, resource.split("*")))
    return re.compile(f"/{re.escape(before)}({middle}){re.escape(after)}")
