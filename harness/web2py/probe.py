"""What the harness sees of one request while web2py answers it: action, variables, SQL, exception."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records import Request, Response, Route, Ticket
from harness.web2py.boot import Gluon
from harness.web2py.tickets import Sources, make_ticket

STATEMENTS, LENGTH = 200, 2000  # how many statements are kept, and how many characters of each
_OPENING = ("PRAGMA ", "SELECT 1;")  # what pydal runs to open a connection and to try it
_NO_ACTION = ("invalid controller (", "invalid function (")  # web2py_error of gluon/compileapp.py, both versions


class Probe:
    """Watches one request. `harness.web2py.seams` calls its methods from inside web2py.

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
            get_vars = _in_order(copy.get_vars)
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
    return _in_order(request.get_vars), _in_order(request.post_vars), _in_order(request.vars)


def _in_order(variables: Any) -> dict[str, Any]:
    """Copy the variables of a request, by name: web2py takes those of a form out of a set, in an order of chance."""
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in sorted(variables.items(), key=lambda pair: str(pair[0]))
    }
