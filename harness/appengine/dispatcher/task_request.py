"""Turns a task into an HTTP request, as App Engine does, or as Cloud Tasks does for an HTTP target."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from harness.appengine.taskqueue import QueueConfig, Task
from harness.appengine.taskqueue.client import HOST
from harness.records import Headers, Request

TASK_ADDRESS = "0.1.0.2"
USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
HTTP_USER_AGENT = "Google-Cloud-Tasks"
_OUTSIDE = "203.0.113.1"  # a remote address (RFC 5737); requests from 127.0.0.1 have privileges in web2py
_NOT_IN_HTTP_TASKS = ("host", "content-length", "user-agent")
_PREFIX = "x-appengine-"
_CLOUD_PREFIXES = (_PREFIX, "x-google-", "x-cloudtasks-")
# Google's client adds these two (SDK 3.1.0), and the handler must run in the namespace that they name.
_NAMESPACES = ("x-appengine-current-namespace", "x-appengine-default-namespace")


def build_request(task: Task, config: QueueConfig, now: float) -> Request:
    """Return the request that delivers a task in its present state and at a virtual time (T23-T27; Prod, Docs).

    The task's own headers keep their spelling; App Engine's headers follow them. If the queue has a target, it replaces
    the task's host.
    """
    if task.is_http:
        return _http_request(task, now)
    headers: list[tuple[str, str]] = []
    host = agent = None
    for name, value in task.headers:
        lower = name.lower()
        if lower == "host":
            host = value if host is None else host
        elif lower == "user-agent":
            agent = value if agent is None else agent
        elif lower != "content-length" and (lower in _NAMESPACES or not _is_appengines(lower)):
            headers.append((name, value))
    headers.append(("User-Agent", f"{agent} {USER_AGENT}" if agent else USER_AGENT))
    headers += _task_headers(task, "X-AppEngine-", task.retry_reason)
    host = f"{config.target}.{HOST}" if config.target else host or HOST
    return Request(task.method, task.url, tuple(headers), task.body, host, TASK_ADDRESS)


def strip_appengine_headers(headers: Headers) -> Headers:
    """Return the headers of a user's request without those that only App Engine may set (T26; Docs).

    A handler that receives X-AppEngine-QueueName can therefore be sure that the task queue called it.
    """
    return tuple((name, value) for name, value in headers if not _is_appengines(name))


def normalized(name: str) -> str:
    """Return the name of a header in one spelling; `_` and `-` have the same key in a WSGI environ."""
    return name.lower().replace("_", "-")


def _is_appengines(name: str) -> bool:
    return normalized(name).startswith(_PREFIX)


def _http_request(task: Task, now: float) -> Request:
    """Return the request to an HTTP target of Cloud Tasks.

    Host, User-Agent and the headers with Google's own prefixes are replaced (Docs: HttpRequest.headers). The retry
    reason is empty (Prod). If the task needs a token, each attempt gets a new token, which replaces the task's own
    header Authorization.
    """
    url, token = urlsplit(task.url), task.authorization
    own = [(name, value) for name, value in task.headers if not _is_replaced(normalized(name))]
    if token is not None:
        own = [pair for pair in own if normalized(pair[0]) != "authorization"]
        own.append(("Authorization", token.header(task.url, now)))
    headers = (*own, ("User-Agent", HTTP_USER_AGENT), *_task_headers(task, "X-CloudTasks-", ""))
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return Request(task.method, path, headers, task.body, url.netloc, _OUTSIDE, url.scheme)


def _is_replaced(name: str) -> bool:
    return name in _NOT_IN_HTTP_TASKS or name.startswith(_CLOUD_PREFIXES)


def _task_headers(task: Task, prefix: str, retry_reason: str | None) -> list[tuple[str, str]]:
    """Return the headers that describe a task, and its previous attempt if there was one."""
    headers = [
        (f"{prefix}QueueName", task.queue),
        (f"{prefix}TaskName", task.name),
        (f"{prefix}TaskRetryCount", str(task.retries)),
        (f"{prefix}TaskExecutionCount", str(task.executions)),
        (f"{prefix}TaskETA", f"{task.eta:.6f}"),
    ]
    if task.previous_status is not None:
        headers.append((f"{prefix}TaskPreviousResponse", str(task.previous_status)))
        if retry_reason is not None:
            headers.append((f"{prefix}TaskRetryReason", retry_reason))
    return headers


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run the function of a deferred task: the WSGI application for /_ah/queue/deferred (T38; SDK).

    Google's own handler does the work. The status is 200 if the function returns or raises PermanentTaskFailure, 408
    for SingularTaskFailure, and 403 if the request is not from the task queue. Other exceptions of the function
    propagate to the server, which responds with 500.
    """
    if environ["REQUEST_METHOD"] != "POST":
        # Google's handler (SDK 3.1.0) returns a tuple here, which no WSGI server accepts.
        start_response("405 Method Not Allowed", [("Allow", "POST")])
        return [b""]
    from google.appengine.ext.deferred import application as handler

    with _log_on_stderr():
        answer: Iterable[bytes] = handler(environ, start_response)
    return answer


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Write the root logger's warnings to stderr while the handler runs.

    Google's handler calls `logging.log`, which configures the root logger permanently if it has no handlers. In a
    notebook that configuration would remain after the lab, and would write to the stream of one request.
    """
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
