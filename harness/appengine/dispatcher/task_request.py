"""Turns a task into an HTTP request, as App Engine does."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.appengine.taskqueue import QueueConfig, Task
from harness.appengine.taskqueue.client import HOST
from harness.records import Headers, Request

TASK_ADDRESS = "0.1.0.2"
USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
_PREFIX = "x-appengine-"
# Google's client adds these two (SDK 3.1.0), and the handler must run in the namespace that they name.
_NAMESPACES = ("x-appengine-current-namespace", "x-appengine-default-namespace")


def build_request(task: Task, config: QueueConfig) -> Request:
    """Return the request that delivers a task in its present state (T23-T27; Prod, Docs).

    The task's own headers keep their spelling; App Engine's headers follow them. If the queue has a target, it replaces
    the task's host.
    """
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
    _add_appengine_headers(headers, task, agent)
    host = f"{config.target}.{HOST}" if config.target else host or HOST
    return Request(task.method, task.url, tuple(headers), task.body, host, TASK_ADDRESS)


def strip_appengine_headers(headers: Headers) -> Headers:
    """Return the headers of a user's request without those that only App Engine may set (T26; Docs).

    A handler that receives X-AppEngine-QueueName can therefore be sure that the task queue called it.
    """
    return tuple((name, value) for name, value in headers if not _is_appengines(name))


def _is_appengines(name: str) -> bool:
    """Return whether a header is one of App Engine's; `_` and `-` have the same key in a WSGI environ."""
    return name.lower().replace("_", "-").startswith(_PREFIX)


def _add_appengine_headers(headers: list[tuple[str, str]], task: Task, own_agent: str | None) -> None:
    headers += (
        ("User-Agent", f"{own_agent} {USER_AGENT}" if own_agent else USER_AGENT),
        ("X-AppEngine-QueueName", task.queue),
        ("X-AppEngine-TaskName", task.name),
        ("X-AppEngine-TaskRetryCount", str(task.retries)),
        ("X-AppEngine-TaskExecutionCount", str(task.executions)),
        ("X-AppEngine-TaskETA", f"{task.eta:.6f}"),
    )
    if task.previous_status is not None:
        headers.append(("X-AppEngine-TaskPreviousResponse", str(task.previous_status)))
    if task.retry_reason is not None:
        headers.append(("X-AppEngine-TaskRetryReason", task.retry_reason))


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
