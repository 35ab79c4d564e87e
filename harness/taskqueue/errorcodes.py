"""The error codes of App Engine's task queue, as numbers on the wire.

Google's own enumeration lives in a module that takes a second to import; a test compares the two.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn

from google.appengine.runtime.apiproxy_errors import ApplicationError


class ErrorCode(IntEnum):
    """The codes that this service answers with; Google's client turns each into an exception of its own."""

    OK = 0
    UNKNOWN_QUEUE = 1
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
    """Raise the error that Google's client translates; `detail` becomes the message that the learner reads."""
    raise ApplicationError(int(code), detail)
