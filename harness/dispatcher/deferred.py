"""The handler of `google.appengine.ext.deferred`, as a WSGI application for /_ah/queue/deferred (T38; SDK)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


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
