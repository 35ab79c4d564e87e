"""Turns a message of Google's client into a Task.

The protocol buffers are used without an import of their module, because that import takes a second.
"""

import re
from enum import IntEnum
from typing import Any, NoReturn

from google.appengine.runtime.apiproxy_errors import ApplicationError

from harness.appengine.clock import DEADLINE
from harness.appengine.taskqueue.model import RetryParameters, Task
from harness.errors import quoted
from harness.records import Frame, Headers

PULL = 1  # the mode of a message that carries a pull task
_METHODS = {1: "GET", 2: "POST", 3: "HEAD", 4: "PUT", 5: "DELETE"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,500}")
_LATEST_ETA = 30 * 86400  # seconds from now
_LARGEST_PUSH_TASK = 100 * 2**10  # bytes
_LARGEST_PULL_TASK = 2**20
_LONGEST_BACKOFF = 10 * 365 * 86400.0  # seconds


class ErrorCode(IntEnum):
    """The error codes of App Engine's task queue; Google's client raises an exception of its own for each."""

    OK = 0
    UNKNOWN_QUEUE = 1
    TRANSIENT_ERROR = 2
    TASK_TOO_LARGE = 4
    INVALID_TASK_NAME = 5
    TASK_ALREADY_EXISTS = 10
    TOMBSTONED_TASK = 11
    INVALID_ETA = 12
    INVALID_REQUEST = 13
    UNKNOWN_TASK = 14
    INVALID_RETRY_PARAMETERS = 20
    INVALID_QUEUE_MODE = 21
    TASK_LEASE_EXPIRED = 25
    QUEUE_PAUSED = 26


def refuse(code: ErrorCode, detail: str) -> NoReturn:
    """Raise the ApplicationError that Google's client translates; `detail` becomes the message for the learner."""
    raise ApplicationError(int(code), detail)


def decode(value: bytes) -> str:
    """Return a field of a message as a string."""
    return value.decode("utf-8", "replace")


def check_add(message: Any, now: float) -> None:
    """Refuse a task that App Engine refuses in every queue.

    Google's client checks most of this first, but it accepts a name that ends with a line feed.

    Raises:
        ApplicationError: INVALID_TASK_NAME (T11), INVALID_ETA (T17), TASK_TOO_LARGE (T16) or INVALID_RETRY_PARAMETERS.
    """
    name = decode(message.task_name)
    if name and not _NAME.fullmatch(name):
        refuse(ErrorCode.INVALID_TASK_NAME, f"task name {quoted(name)}: use 1 to 500 letters, digits, '_' and '-'")
    _check_eta(message.eta_usec, now)
    largest = _LARGEST_PULL_TASK if message.mode == PULL else _LARGEST_PUSH_TASK
    if message.ByteSize() > largest:
        refuse(ErrorCode.TASK_TOO_LARGE, f"the task has {message.ByteSize()} bytes; at most {largest} are allowed")
    if message.HasField("retry_parameters"):
        _check_retry(message.retry_parameters)


def to_task(message: Any, name: str, now: float, call_site: Frame | None) -> Task:
    """Return the Task of a TaskQueueAddRequest that `check_add` has accepted."""
    pull = message.mode == PULL
    return Task(
        name=name,
        queue=decode(message.queue_name),
        method="PULL" if pull else _METHODS[message.method],
        url=decode(message.url),
        headers=_headers(message),
        body=message.body,
        eta=message.eta_usec / 1e6,
        created=now,
        tag=decode(message.tag) if message.HasField("tag") else None,
        retry=_retry(message.retry_parameters) if message.HasField("retry_parameters") else None,
        deadline=message.dispatch_deadline_usec / 1e6 if message.HasField("dispatch_deadline_usec") else DEADLINE,
        call_site=call_site,
    )


def _headers(message: Any) -> Headers:
    headers = tuple((decode(header.key), decode(header.value)) for header in message.header)
    pushed = message.HasField("body") and message.mode != PULL
    if pushed and not any(key.lower() == "content-type" for key, _ in headers):
        headers += (("content-type", "application/octet-stream"),)  # T10: the service adds it, not the client
    return headers


def _retry(message: Any) -> RetryParameters:
    """Return a task's own parameters; for a missing one Google's default applies, not the queue's (T31; SDK)."""
    return RetryParameters(
        min_backoff=message.min_backoff_sec,
        max_backoff=message.max_backoff_sec,
        max_doublings=message.max_doublings,
        task_retry_limit=message.retry_limit if message.HasField("retry_limit") else None,
        task_age_limit=float(message.age_limit_sec) if message.HasField("age_limit_sec") else None,
    )


def _check_eta(eta_usec: int, now: float) -> None:
    if eta_usec < 0:
        refuse(ErrorCode.INVALID_ETA, f"the ETA is before 1970 ({eta_usec / 1e6:g} s); use the present or a later time")
    if eta_usec > round((now + _LATEST_ETA) * 1e6):
        refuse(ErrorCode.INVALID_ETA, f"the ETA is {eta_usec / 1e6 - now:.0f} s from now; at most 30 days are allowed")


def _check_retry(message: Any) -> None:
    for field in ("min_backoff_sec", "max_backoff_sec"):
        seconds = getattr(message, field)
        if not 0 <= seconds <= _LONGEST_BACKOFF:  # Google's client accepts NaN and infinity
            allowed = f"use 0 to {_LONGEST_BACKOFF:g} seconds"
            refuse(ErrorCode.INVALID_RETRY_PARAMETERS, f"{field}onds {seconds!r}: {allowed}")
