"""Where the harness looks into web2py while a request runs: its classes and functions, wrapped for that long.

All are undone when the request has ended, but for three in pydal that do no harm outside of a request. The only other
patches of web2py's code are those of `pydal_changes`.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.appengine.web2py.boot import Gluon
from harness.appengine.web2py.tickets import Sources, make_ticket
from harness.records import Request, Response, Route, Ticket

# What the harness sees of one request while web2py answers it: action, variables, SQL, exception.

STATEMENTS, LENGTH = 200, 2000  # how many statements are kept, and how many characters of each
_OPENING = ("PRAGMA ", "SELECT 1;")  # what pydal runs to open a connection and to try it
_NO_ACTION = ("invalid controller (", "invalid function (")  # web2py_error of gluon/compileapp.py, both versions


class RequestRecorder:
    """Watches one request. `harness.appengine.web2py.instrumentation` calls its methods from inside web2py.

    Args:
        request: the request as it was sent.
        applications: the folder of the learner's files.
        number: gives the next ticket's number.
    """

    def __init__(self, gluon: Gluon, request: Request, applications: Path, number: Callable[[], int]) -> None:
        self.number = number
        self.interrupted = False
        self._gluon = gluon
        self._request = request
        self._applications = applications
        self._acting = False
        self._route: Route | None = None
        self._page: Any = None
        self._vars: dict[str, Any] = {}
        self._statements: list[str] = []
        self._more = 0
        self._ticket: Ticket | None = None

    def act(self, run: Callable[[], Any], request: Any) -> Any:
        """Run the action: models are done, the view comes after."""
        self._route = self._read_route(request)
        self._acting = True
        try:
            page = run()
        except self._gluon.http.HTTP as answer:
            if str(answer.headers.get("web2py_error", "")).startswith(_NO_ACTION):
                self._route = None
            raise
        self._page = page
        if isinstance(page, dict):
            self._vars = dict(page)
        return page

    def finish(self) -> None:
        """Action and view are done; what follows is web2py's own book-keeping."""
        self._acting = False

    def sql(self, statement: str) -> None:
        """A DAL runs a statement."""
        if not self._acting or statement.startswith(_OPENING):
            return
        if len(self._statements) >= STATEMENTS:
            self._more += 1
            return
        more = len(statement) - LENGTH
        self._statements.append(statement if more <= 0 else f"{statement[:LENGTH]}… ({more} more characters)")

    def failed(self, error: BaseException, id: str) -> None:
        """An exception was not caught: web2py makes a ticket, or the answer breaks off.

        web2py wraps what a model, action or view raised into a RestrictedError; the exception itself is its context.
        """
        generated = ""
        if isinstance(error, self._gluon.restricted.RestrictedError):
            generated = error.code if isinstance(error.code, str) else ""
            error = error.__context__ or error
        self.interrupted = self.interrupted or isinstance(error, KeyboardInterrupt)
        self._ticket = make_ticket(id, error, Sources(self._applications, generated))

    def broke_off(self, error: BaseException) -> None:
        """An exception came while the answer was sent, where web2py makes no ticket.

        It may be the action's, in a generator, or the server's own: a DAL's `insert` returns a `Reference`, which looks
        to web2py like a list of chunks (gluon/http.py, both versions).
        """
        self.failed(error, "none: the answer broke off")
        if self._ticket is not None and not self._ticket.frames:
            reason = (
                f"the action returned {self._page!r} of type {type(self._page).__name__}, which cannot be sent as text"
            )
            self._ticket = replace(self._ticket, message=f"{reason}: {self._ticket.message}")

    def fill(self, response: Response, output: str) -> Response:
        """Return the response with all that was seen."""
        more = (f"… and {self._more} more statements",) if self._more else ()
        return Response(
            response.status,
            response.reason,
            response.headers,
            response.body,
            response.request,
            route=self._route,
            vars=self._vars,
            sql=(*self._statements, *more),
            ticket=self._ticket,
            output=output,
        )

    def _read_route(self, request: Any) -> Route:
        """Note which action runs, with the variables of the wire, before a handler changes them."""
        action = request.application, request.controller, request.function, request.extension, tuple(request.args or ())
        if not self._request.body and not request.env.query_string:
            return Route(*action)
        if _is_unread_form(request):
            try:
                return Route(*action, *_variables(request))
            except Exception:
                request._get_vars = request._post_vars = request._vars = None  # the handler is to run into it itself
        copy = self._gluon.globals.Request(request.env)
        copy._body = io.BytesIO(self._request.body)
        try:
            return Route(*action, *_variables(copy))
        except Exception:
            get_vars = _hooks_in_order(copy.get_vars)
            return Route(*action, get_vars, {}, get_vars)


def _is_unread_form(request: Any) -> bool:
    """Tell whether to look at the variables changes nothing for the handler, and web2py parses them only once.

    Not where a model has looked, and may have changed them; nor where the body is no form, because in 2.26.1 to look is
    an error then that only the handler itself should run into.
    """
    kind = str(request.env.content_type or "")
    return kind.startswith("application/x-www-form-urlencoded") and request._get_vars is request._post_vars is None


def _variables(request: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return copies of get_vars, post_vars and vars."""
    return _hooks_in_order(request.get_vars), _hooks_in_order(request.post_vars), _hooks_in_order(request.vars)


def _hooks_in_order(variables: Any) -> dict[str, Any]:
    """Copy the variables of a request, by name: web2py takes those of a form out of a set, in an order of chance."""
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in sorted(variables.items(), key=lambda pair: str(pair[0]))
    }


@cache
def instrument(gluon: Gluon) -> Instrumentation:
    """Return the instrumentation of this process; they are made once, while none is in place."""
    return Instrumentation(gluon)


class Instrumentation:
    """The places in gluon/main.py, gluon/restricted.py and pydal where a Probe is told what happens."""

    def __init__(self, gluon: Gluon) -> None:
        self._probe: RequestRecorder | None = None
        main, restricted, dal = gluon.main, gluon.restricted, gluon.dal
        self._replaced = (
            (main, "Request", main.Request, _make_request(main.Request, self)),
            (main, "serve_controller", main.serve_controller, self._make_serve(main.serve_controller)),
            (main, "run_controller_in", main.run_controller_in, self._make_run(main.run_controller_in)),
            (restricted, "TicketStorage", restricted.TicketStorage, _make_storage(restricted.TicketStorage, self)),
        )
        # These stay: to change a class for every request makes Python forget its attribute caches, 40 µs each time.
        dal.execution_handlers = [*dal.execution_handlers, _make_handler(self)]
        dal.Table._filter_fields_for_operation = _in_order(dal.Table._filter_fields_for_operation)
        _spare_the_disk(gluon)

    @property
    def recorder(self) -> RequestRecorder:
        """The recorder of the request that runs now."""
        assert self._probe is not None, "the instrumentation are in place only while a request runs"
        return self._probe

    @contextmanager
    def watched(self, recorder: RequestRecorder) -> Iterator[None]:
        """Let a recorder watch what web2py does in this scope."""
        self._probe = recorder
        for owner, name, _, ours in self._replaced:
            setattr(owner, name, ours)
        try:
            yield
        finally:
            for owner, name, theirs, _ in self._replaced:
                setattr(owner, name, theirs)
            self._probe = None

    def tell_sql(self, statement: str) -> None:
        """Pass on a statement; outside of a request, in the notebook's own DAL, there is nobody to tell."""
        if self._probe is not None:
            self._probe.sql(statement)

    def _make_serve(self, serve: Any) -> Any:
        def serve_controller(request: Any, response: Any, session: Any) -> None:
            try:
                serve(request, response, session)
            finally:
                self.recorder.finish()

        return serve_controller

    def _make_run(self, run: Any) -> Any:
        def run_controller_in(controller: str, function: str, environment: dict[str, Any]) -> Any:
            return self.recorder.act(lambda: run(controller, function, environment), environment["request"])

        return run_controller_in


def _make_request(base: Any, instrumentation: Instrumentation) -> Any:
    class Request(base):  # type: ignore[misc]
        """web2py's request, whose tickets are numbered 1, 2, 3 instead of named by chance."""

        def compute_uuid(self) -> str:
            when = self.now.strftime("%Y-%m-%d.%H-%M-%S")
            client = self.client.replace(":", "_")
            self._uuid = f"{self.application}/{client}.{when}.{instrumentation.recorder.number()}"
            return self._uuid

    return Request


def _make_storage(base: Any, instrumentation: Instrumentation) -> Any:
    class TicketStorage(base):  # type: ignore[misc]
        """web2py's store of tickets, which also tells of the exception that one is about."""

        def store(self, request: Any, ticket_id: str, ticket_data: Any) -> None:
            error = sys.exception()
            if error is not None:
                instrumentation.recorder.failed(error, f"{request.application}/{ticket_id}")
            super().store(request, ticket_id, ticket_data)

    return TicketStorage


def _in_order(pick: Any) -> Any:
    """Let INSERT and UPDATE name the columns in the order of the table.

    pydal (20260520.0) takes them out of a set, so that the same statement looks different in every run.
    """

    def _filter_fields_for_operation(table: Any, fields: Any) -> tuple[list[str], dict[str, Any]]:
        empty, given = pick(table, fields)
        return empty, {name: given[name] for name in table.fields if name in given}

    return _filter_fields_for_operation


def _spare_the_disk(gluon: Gluon) -> None:
    """Let SQLite keep its journal in memory and not wait for the disk: the databases of a site go away with it."""
    from pydal.adapters.sqlite import SQLite

    connect, settings = SQLite.connector, gluon.settings.global_settings

    def connector(adapter: Any) -> Any:
        connection = connect(adapter)
        if adapter.dbpath.startswith(settings.applications_parent):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    SQLite.connector = connector


def _make_handler(instrumentation: Instrumentation) -> Any:
    from pydal.helpers.classes import ExecutionHandler

    class SqlSeen(ExecutionHandler):  # type: ignore[misc]
        """Tells every statement that a DAL runs (pydal's own seam: `DAL.execution_handlers`)."""

        def before_execute(self, command: str) -> None:
            instrumentation.tell_sql(command)

    return SqlSeen
