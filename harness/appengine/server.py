"""The web server of a lab: runs one request in virtual time, in web2py or in a mounted WSGI application."""

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar

from harness.appengine.clock import DEADLINE, Clock, DeadlineExceeded, to_datetime
from harness.appengine.taskqueue import learners_frame
from harness.appengine.taskqueue.client import HOST
from harness.appengine.time_limit import REAL_SECONDS, Stopped, is_harness, limit
from harness.appengine.web2py import Site, explain_404
from harness.appengine.web2py.process_state import Captured, ProcessState
from harness.appengine.web2py.tickets import make_ticket
from harness.appengine.wsgi import WSGIApp, call, to_environ
from harness.errors import BadRequestError, HandlerStopped, SourceError, quoted
from harness.records import Request, Response, fill, find_header

T = TypeVar("T")
_ROUTES = "<string>"  # the file name of routes.py in its frames, because web2py runs it as a string


class Server:
    """Answers the requests of users and of the task queue.

    Args:
        site: the web2py root.
        clock: the virtual clock.
        scope: returns a context manager for the host of a request. It is entered around the request, and makes
            `taskqueue.add` reach the lab's queue.

    `real_seconds` is the limit for learner code in real time.
    """

    def __init__(self, site: Site, clock: Clock, scope: Callable[[str], AbstractContextManager[object]]) -> None:
        self.real_seconds = REAL_SECONDS
        self._site = site
        self._clock = clock
        self._scope = scope
        self._mounts: dict[str, WSGIApp] = {}

    def mount(self, prefix: str, app: WSGIApp) -> None:
        """Serve all paths below a prefix ("/plain") with a WSGI application instead of web2py.

        Raises:
            BadRequestError: the prefix is not a path, or the application cannot be called.
        """
        if not isinstance(prefix, str) or not prefix.startswith("/") or not prefix.strip("/"):
            raise BadRequestError(f'a prefix such as "/plain" is needed, not {quoted(prefix)}')
        if not callable(app):
            raise BadRequestError(
                f"a WSGI application can be called with (environ, start_response); {quoted(app)} cannot"
            )
        self._mounts[prefix.rstrip("/")] = app

    def send(self, request: Request, start: float, deadline: float = DEADLINE) -> Response:
        """Run one request at a virtual instant; the clock itself does not move.

        Args:
            request: the request.
            start: its instant in virtual seconds since 1970.
            deadline: the virtual seconds after which the handler is stopped (T34; Docs). A handler that reaches the
                real-time limit is stopped too, and counts as one that missed the deadline.

        Returns:
            The response with its `started` and `elapsed`, and with `deadline` if the handler was stopped.

        Raises:
            KeyboardInterrupt: Ctrl-C reached the handler.
        """
        app = self._app(request)
        is_learners = self._in_site if app is None else lambda file: not is_harness(file)
        limited = limit(is_learners, self.real_seconds)
        host = find_header(request.headers, "Host") or request.host
        with self._scope(host), self._clock.travel(start, deadline) as scope, limited as timeout:
            try:
                response = timeout.run(lambda: self._site.call(request) if app is None else _call_mounted(app, request))
            except (Stopped, DeadlineExceeded):
                response = Response(500, "Internal Server Error", request=request)
        if timeout.interrupted:
            raise KeyboardInterrupt
        stopped = "virtual" if scope.deadline_exceeded else "real" if timeout.stopped else None
        return fill(
            response,
            started=to_datetime(start),
            elapsed=deadline if stopped == "real" else scope.elapsed,
            deadline=stopped,
            hint=self._hint(app, response),
        )

    def rows(self, table: str, app: str, most: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of a table as `Site.rows` does; SourceError if the application's models do not end."""
        return self._limited(f"the models of {quoted(app)} do", lambda: self._site.rows(table, app, most))

    def write(self, path: str, source: str, app: str) -> None:
        """Write a file as `Site.write` does; SourceError if it is a routes.py that does not end."""
        self._limited("routes.py does", lambda: self._site.write(path, source, app))

    def _limited(self, subject: str, action: Callable[[], T]) -> T:
        """Run learner code that does not belong to a request."""
        limited = limit(self._in_site, self.real_seconds)
        with self._scope(HOST), self._clock.travel(deadline=DEADLINE), limited as timeout:
            try:
                return timeout.run(action)
            except (Stopped, DeadlineExceeded) as error:
                raise SourceError(f"{subject} not end: {error}") from None

    def _app(self, request: Request) -> WSGIApp | None:
        path = request.url.partition("?")[0] + "/"
        longest = ""
        for prefix in self._mounts:
            if path.startswith(prefix + "/") and len(prefix) > len(longest):
                longest = prefix
        return self._mounts.get(longest)

    def _hint(self, app: WSGIApp | None, response: Response) -> str:
        """Return why web2py found nothing to run or to show; "" if an action chose its own status."""
        request = response.request
        if app is not None or request is None or response.status not in (400, 404):
            return ""
        is_web2pys = "<h1>invalid " in response.text or "/static/" in request.url
        return (explain_404(self._site, request) or "") if is_web2pys else ""

    def _in_site(self, file: str) -> bool:
        return file == _ROUTES or file.startswith(str(self._site.root))


def _call_mounted(app: WSGIApp, request: Request) -> Response:
    with ProcessState(), Captured() as output:
        try:
            response = call(app, to_environ(request), request)
        except (KeyboardInterrupt, HandlerStopped):
            raise
        except BaseException as error:  # also SystemExit and GeneratorExit
            frames = (learners_frame(frame, line) for frame, line in traceback.walk_tb(error.__traceback__))
            ticket = make_ticket("none: not web2py", error, frames)
            response = Response(500, "Internal Server Error", request=request, ticket=ticket)
    return replace(response, output=output.text)
