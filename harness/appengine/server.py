"""The web server of a lab: runs one request in virtual time, in web2py or in a mounted WSGI application."""

import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from harness.appengine.clock import DEADLINE, Clock, DeadlineExceeded, TravelScope, to_datetime
from harness.appengine.google_certificates import LabCertificates
from harness.appengine.taskqueue import learners_frame
from harness.appengine.taskqueue.client import HOST
from harness.appengine.time_limit import REAL_SECONDS, HandlerTimeout, Stopped, is_harness
from harness.appengine.turns import Arrival, Runner, Schedule, Turns
from harness.appengine.web2py import Site, explain_404
from harness.appengine.web2py.database import OpenDatabase
from harness.appengine.web2py.instance import SharedSite
from harness.appengine.web2py.process_state import Captured, ProcessState
from harness.appengine.web2py.tickets import make_ticket
from harness.appengine.wsgi import WSGIApp, call, to_environ
from harness.errors import BadRequestError, HandlerStopped, SourceError, quoted
from harness.records import Request, Response, fill, find_header

T = TypeVar("T")
_OWN_HOST = re.compile(rf"(.+(\.|-dot-))?{re.escape(HOST)}(:\d+)?")  # the lab's host, also with a service or a version
_URL = re.compile(r"https?://([^/?#\s]+)((?:/[^?#\s]*)?)")
_CERTIFICATES = LabCertificates()
_ROUTES = "<string>"  # the file name of routes.py in its frames, because web2py runs it as a string


class Server:
    """Runs the requests of users and of the task queue.

    Args:
        site: the web2py root.
        clock: the virtual clock.
        scope: returns a context manager for the host of a request. It is entered around the request, and makes
            `taskqueue.add` reach the lab's queue. For None, it makes `taskqueue.add` have no effect.

    `real_seconds` is the limit for learner code in real time.
    """

    def __init__(self, site: Site, clock: Clock, scope: Callable[[str | None], AbstractContextManager[object]]) -> None:
        self.real_seconds = REAL_SECONDS
        self._site = site
        self._clock = clock
        self._scope = scope
        self._mounts: dict[tuple[str, str], WSGIApp] = {}  # by host ("" for the lab's own) and prefix
        self._in_root: set[WSGIApp] = set()

    def mount(self, prefix: str, app: WSGIApp, *, in_root: bool = False) -> None:
        """Serve all paths below a prefix ("/plain") with a WSGI application instead of web2py.

        Args:
            prefix: the beginning of the paths; or the URL of another server, such as "https://worker.example.com", at
                which the application receives tasks with a full URL.
            app: the application.
            in_root: True if the WSGI application imports modules of web2py applications, such as
                `applications.tutorial.modules.mail`. It then gets the modules of this root. A user's own WSGI
                application doesn't import them.

        Raises:
            BadRequestError: the prefix is not a path, or the application cannot be called.
        """
        url = _URL.fullmatch(prefix) if isinstance(prefix, str) else None
        if url is None and (not isinstance(prefix, str) or not prefix.startswith("/") or not prefix.strip("/")):
            raise BadRequestError(f'a prefix such as "/plain" or "https://example.com" is needed, not {quoted(prefix)}')
        if not callable(app):
            raise BadRequestError(
                f"a WSGI application can be called with (environ, start_response), but {quoted(app)} cannot"
            )
        host, path = ("", prefix) if url is None else (url[1].lower(), url[2])
        self._mounts[host, path.rstrip("/")] = app
        if in_root:
            self._in_root.add(app)

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
        app = self.find_app(request)
        limited = HandlerTimeout(self.is_learners(app), self.real_seconds)
        travel = self._clock.travel(start, deadline)
        with self.scope(request), _CERTIFICATES, travel as scope, limited as timeout:
            try:
                response = timeout.run(lambda: self._call(app, request))
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

    def send_together(self, arrivals: Sequence[Arrival], start: float, schedule: Schedule) -> list[Response]:
        """Run several requests in turn, each as on an instance of its own.

        Args:
            arrivals: each returns a request and its deadline, or None as long as the request has not arrived. They are
                called at the start, and after each event.
            start: the virtual instant in seconds since 1970.
            schedule: whose turn it is.

        Returns:
            The responses as `send` returns them, with their `turns`, to the requests that have arrived. The status is 0
            if an instance was killed.

        Raises:
            KeyboardInterrupt: Ctrl-C reached a handler. The other requests have been killed.
        """
        with self._scope(HOST), self._clock.travel(start) as scope, self._site.shared() as shared_site:
            visits = [_Visit(number, self, shared_site, scope, each) for number, each in enumerate(arrivals, 1)]
            Turns(schedule, scope).run(visits)
        return [
            replace(response, hint=self._hint(visit.app, response))
            for visit in visits
            if (response := visit.response) is not None
        ]

    def rows(self, table: str, app: str, most: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of a table as `Site.rows` does; SourceError if the application's models do not end."""
        return self._limited(f"the models of {quoted(app)} do", lambda: self._site.rows(table, app, most))

    def open_database(self, app: str) -> OpenDatabase:
        """Open a database as `Site.open_database` does; SourceError if the application's models do not end."""
        return self._limited(f"the models of {quoted(app)} do", lambda: self._site.open_database(app))

    def write(self, path: str, source: str, app: str) -> None:
        """Write a file as `Site.write` does; SourceError if it is a routes.py that does not end."""
        self._limited("routes.py does", lambda: self._site.write(path, source, app))

    def _limited(self, subject: str, action: Callable[[], T]) -> T:
        """Run learner code that does not belong to a request, so the tasks that it adds are dropped."""
        limited = HandlerTimeout(self._in_site, self.real_seconds)
        with self._scope(None), self._clock.travel(deadline=DEADLINE), limited as timeout:
            try:
                return timeout.run(action)
            except (Stopped, DeadlineExceeded) as error:
                raise SourceError(f"{subject} not end: {error}") from None

    def scope(self, request: Request) -> AbstractContextManager[object]:
        """Return the context manager in which `taskqueue.add` reaches the lab's queue, for the host of a request."""
        return self._scope(find_header(request.headers, "Host") or request.host)

    def find_app(self, request: Request) -> WSGIApp | None:
        """Return the mounted application for a request, or None for web2py."""
        path = request.url.partition("?")[0] + "/"
        host = request.host.lower()
        hosts = (host,) if self.is_elsewhere(request) else ("", host)
        found = [key for key in self._mounts if key[0] in hosts and path.startswith(key[1] + "/")]
        return self._mounts[max(found, key=lambda key: (key[0] != "", len(key[1])))] if found else None

    def is_elsewhere(self, request: Request) -> bool:
        """Return whether a request has the full URL of another server, so no code of web2py handles it."""
        return bool(request.scheme) and _OWN_HOST.fullmatch(request.host.lower()) is None

    def is_learners(self, app: WSGIApp | None) -> Callable[[str], bool]:
        """Return a function that recognises learner code by its file, for web2py or for a mounted application."""
        return self._in_site if app is None else lambda file: not is_harness(file)

    def _call(self, app: WSGIApp | None, request: Request) -> Response:
        if app is None:
            return _no_server(request) if self.is_elsewhere(request) else self._site.call(request)
        with self._site.inside() if app in self._in_root else nullcontext():
            return _call_mounted(app, request)

    def _hint(self, app: WSGIApp | None, response: Response) -> str:
        """Return why web2py found no action, view or static file; "" if an action chose its own status."""
        request = response.request
        if app is not None or request is None or response.status not in (400, 404):
            return response.hint
        is_web2pys = "<h1>invalid " in response.text or "/static/" in request.url
        return (explain_404(self._site, request) or "") if is_web2pys else ""

    def _in_site(self, file: str) -> bool:
        return file == _ROUTES or file.startswith(str(self._site.root))


class _Visit(Runner):
    """A request that takes turns with others.

    `request`, `app` and `response` are set when the request arrives; the response is final when the request has ended.
    """

    def __init__(self, number: int, server: Server, shared_site: SharedSite, scope: TravelScope, arrival: Arrival):
        super().__init__(number)
        self.app: WSGIApp | None = None
        self._server = server
        self._site = shared_site
        self._scope = scope
        self._arrival = arrival
        self._answer: Response | None = None
        self._deadline_exceeded = False

    def arrives(self) -> bool:
        arrived = self._arrival()
        if arrived is None:
            return False
        self._arrival = lambda: None  # a killed request stays in memory, and must not keep its task there
        self._request, self._deadline = arrived
        self.app = self._server.find_app(self._request)
        self._timeout = HandlerTimeout(self._server.is_learners(self.app), self._server.real_seconds)
        self._instance = self._site.instance(self._request)
        return True

    def handle(self) -> None:
        self._answer = Response(500, "Internal Server Error", request=self._request)
        try:
            self._answer = self._timeout.run(self._call)
        except (Stopped, DeadlineExceeded):
            return
        if self._timeout.interrupted or self._instance.recorder.interrupted:
            raise KeyboardInterrupt

    @contextmanager
    def inside(self) -> Iterator[None]:
        scope = self._scope
        scope.deadline, scope.deadline_exceeded = self.began + self._deadline, self._deadline_exceeded
        with self._server.scope(self._request), _CERTIFICATES, self._timeout, self._instance.inside():
            yield
        scope.deadline, self._deadline_exceeded = None, scope.deadline_exceeded

    def check(self) -> None:
        self._timeout.check()

    def discard(self) -> None:
        self._instance.discard()

    @property
    def response(self) -> Response | None:
        if self.greenlet is None:
            return None
        stopped = "virtual" if self._deadline_exceeded else "real" if self._timeout.stopped else None
        stopped = None if self.killed else stopped
        killed = Response(0, request=self._request, killed=True)
        response = killed if self.killed or self._answer is None else self._answer
        return replace(
            response if self.app is not None else self._instance.complete(response),
            started=to_datetime(self._scope.start + self.began),
            elapsed=self._deadline if stopped == "real" else self.elapsed,
            deadline=stopped,
            turns=tuple(self.turns),
        )

    def _call(self) -> Response:
        if self.app is not None:
            return _call_mounted(self.app, self._request)
        if self._server.is_elsewhere(self._request):
            return _no_server(self._request)
        return self._site.answer(self._request, self._instance)


def _no_server(request: Request) -> Response:
    """Return the response to a full URL of another server that isn't mounted."""
    url = f"{request.scheme}://{request.host}"
    hint = (
        f"{url} is not a host of the lab, and a lab doesn't send requests to other servers. To handle them with a WSGI "
        f'application, call lab.mount("{url}", application).'
    )
    return Response(0, request=request, hint=hint)


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
