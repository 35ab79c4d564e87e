"""The web server of a lab: runs one request in virtual time, on web2py or on a mounted WSGI application."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from harness.clock import Clock, DeadlineExceeded, to_datetime
from harness.errors import BadRequestError
from harness.guard import Stopped, limit
from harness.records import Frame, Request, Response, Ticket
from harness.web2py import Site, explain_404
from harness.wsgi import WSGIApp, call, to_environ

DEADLINE = 600.0  # virtual seconds that a handler may take, user's request or task (T34)
_HARNESS = str(Path(__file__).parent)


class Server:
    """Answers the requests of users and of the task queue.

    Args:
        site: the web2py root.
        clock: virtual time.
        scope: entered around each request; makes the lab's queue the one that `taskqueue.add` reaches.
    """

    def __init__(self, site: Site, clock: Clock, scope: Callable[[], AbstractContextManager[object]]) -> None:
        self._site = site
        self._clock = clock
        self._scope = scope
        self._mounts: dict[str, WSGIApp] = {}

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """Serve all paths below a prefix ("/plain") with a WSGI application instead of web2py.

        Raises:
            BadRequestError: a prefix that is no path, or an application that cannot be called.
        """
        if not isinstance(prefix, str) or not prefix.startswith("/") or len(prefix.rstrip("/")) < 2:
            raise BadRequestError(f'a prefix such as "/plain" is needed, not {prefix!r}')
        if not callable(app):
            raise BadRequestError(f"{app!r} is no WSGI application: it cannot be called with (environ, start_response)")
        self._mounts[prefix.rstrip("/")] = app

    def send(self, request: Request, start: float, deadline: float = DEADLINE) -> Response:
        """Run one request at a virtual instant; the clock itself does not move.

        Args:
            start: when it begins, in virtual seconds since 1970.
            deadline: virtual seconds after which the handler is stopped (T34; Docs). A handler that spins for real is
                stopped after a few real seconds, which counts the same.

        Returns:
            The response, with `started`, `elapsed` and, where the handler was stopped, `deadline` filled in.
        """
        app = self._app(request)
        code = "" if app else str(self._site.root)
        with self._scope(), self._clock.travel(start, deadline) as trip, limit(code) as watch:
            try:
                response = _call_mounted(app, request) if app else self._site.call(request)
            except (Stopped, DeadlineExceeded):
                response = Response(500, "Internal Server Error", request=request)
        hint = explain_404(self._site, request) if response.status == 404 and not app else None
        stopped = "virtual" if trip.deadline_exceeded else "real" if watch.stopped else None
        elapsed = deadline if stopped == "real" else trip.elapsed
        return replace(response, started=to_datetime(start), elapsed=elapsed, deadline=stopped, hint=hint or "")

    def _app(self, request: Request) -> WSGIApp | None:
        path = request.url.partition("?")[0]
        below = (prefix for prefix in self._mounts if path == prefix or path.startswith(prefix + "/"))
        longest = max(below, key=len, default=None)
        return None if longest is None else self._mounts[longest]


def _call_mounted(app: WSGIApp, request: Request) -> Response:
    try:
        return call(app, to_environ(request), request)
    except (Exception, SystemExit) as error:
        return Response(500, "Internal Server Error", request=request, ticket=_to_ticket(error))


def _to_ticket(error: BaseException) -> Ticket:
    """Make a ticket like web2py's of an exception: what was raised, and the learner's frames."""
    summary = traceback.extract_tb(error.__traceback__)
    frames = tuple(
        Frame(Path(item.filename).name, item.lineno or 0, item.name, item.line or "")
        for item in summary
        if not item.filename.startswith(_HARNESS)
    )
    return Ticket("none: not web2py", type(error).__name__, str(error), frames)
