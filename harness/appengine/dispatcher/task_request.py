"""A task as the HTTP request that App Engine makes of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.appengine.taskqueue import QueueConfig, Task
from harness.appengine.taskqueue.client import HOST
from harness.records import Headers, Request, find_header

TASK_ADDRESS = "0.1.0.2"
USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
_PREFIX = "x-appengine-"
# Google's client puts these two in itself (SDK 3.1.0), and the handler is to run in the namespace that they name.
_NAMESPACES = ("x-appengine-current-namespace", "x-appengine-default-namespace")
_REPLACED = ("host", "content-length", "user-agent")


def build_request(task: Task, config: QueueConfig) -> Request:
    """Return the request that delivers a task, as it is now (T23-T27; Prod, Docs).

    The headers are the task's own, spelled as it has them, then those of App Engine. A target of the queue's replaces
    the host that the task names.
    """
    return Request(
        method=task.method,
        url=task.url,
        headers=(*_own_headers(task.headers), *_appengine_headers(task)),
        body=task.body,
        host=_host(task, config),
        remote_addr=TASK_ADDRESS,
    )


def strip_appengine_headers(headers: Headers) -> Headers:
    """Return the headers of a user's request without those that only App Engine may set (T26; Docs).

    A handler that finds X-AppEngine-QueueName can therefore trust that the task queue called it.
    """
    return tuple((name, value) for name, value in headers if not _is_appengines(name))


def _is_appengines(name: str) -> bool:
    """Tell whether a header is App Engine's; in a WSGI environ `_` and `-` are the same."""
    return name.lower().replace("_", "-").startswith(_PREFIX)


def _own_headers(headers: Headers) -> Iterator[tuple[str, str]]:
    for name, value in headers:
        lower = name.lower()
        if lower not in _REPLACED and (lower in _NAMESPACES or not _is_appengines(name)):
            yield name, value


def _appengine_headers(task: Task) -> Iterator[tuple[str, str]]:
    own_agent = find_header(task.headers, "User-Agent")
    yield "User-Agent", f"{own_agent} {USER_AGENT}" if own_agent else USER_AGENT
    yield "X-AppEngine-QueueName", task.queue
    yield "X-AppEngine-TaskName", task.name
    yield "X-AppEngine-TaskRetryCount", str(task.retries)
    yield "X-AppEngine-TaskExecutionCount", str(task.executions)
    yield "X-AppEngine-TaskETA", f"{task.eta:.6f}"
    if task.previous_status is not None:
        yield "X-AppEngine-TaskPreviousResponse", str(task.previous_status)
    if task.retry_reason is not None:
        yield "X-AppEngine-TaskRetryReason", task.retry_reason


def _host(task: Task, config: QueueConfig) -> str:
    if config.target:
        return f"{config.target}.{HOST}"
    return find_header(task.headers, "Host") or HOST


# The handler of `google.appengine.ext.deferred`, as a WSGI application for /_ah/queue/deferred (T38; SDK).


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run the function that a deferred task carries; Google's own handler does the work (T38; SDK).

    Answers 200 when the function returns or raises PermanentTaskFailure (the task is then dropped), 408 for
    SingularTaskFailure, 403 to whoever is not the task queue. What else the function raises goes through to the
    server, which answers 500.
    """
    if environ["REQUEST_METHOD"] != "POST":
        # Google's handler (SDK 3.1.0) returns a tuple here, which no WSGI server understands.
        start_response("405 Method Not Allowed", [("Allow", "POST")])
        return [b""]
    from google.appengine.ext.deferred import application as handler

    with _log_on_stderr():
        # Google's handler (SDK 3.1.0) fails without SERVER_SOFTWARE; anything but "Devel…" is production to it.
        answer: Iterable[bytes] = handler({"SERVER_SOFTWARE": "Google App Engine", **environ}, start_response)
    return answer


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show warnings of the root logger while the handler runs.

    Google's handler logs every call with `logging.log`, which sets up the root logger for good when nobody has: in a
    notebook that would outlive the lab, and keep writing to the stream of one request.
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
