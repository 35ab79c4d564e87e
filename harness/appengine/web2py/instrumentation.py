"""Record what web2py does during a request: the action, its variables, its SQL and the exception.

While a request runs, wrappers replace two classes and two functions of gluon. Five changes to pydal stay in place
between requests, where they do no harm. One of them lets applications open only databases of their lab. All other
changes to web2py and pydal are in the module `boot`.
"""

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.process_state import ignore_library_warnings
from harness.appengine.web2py.roots import running_folder
from harness.appengine.web2py.tickets import Sources, code_of_view, explain_other_database, learner_frames, make_ticket
from harness.appengine.wsgi import to_environ
from harness.errors import NotInLabError, quoted
from harness.records import Request, Response, Route, Ticket, fill, read_later

STATEMENTS, LENGTH = 200, 2000  # the statements that are kept, and the characters of each
_OPENING = ("PRAGMA ", "SELECT 1;")  # pydal runs these to open a connection and to test it
_NO_ACTION = ("invalid controller (", "invalid function (")  # web2py_error in gluon/compileapp.py, both versions


class RequestRecorder:
    """Records one request, given as it was sent. The wrappers in web2py call its methods.

    `ticket_numbers` are the numbers of the tickets that follow. `connect` makes the connection of a SQLite adapter;
    None means that pydal makes it. `acted` is True once the models have run.
    """

    def __init__(self, gluon: ModuleType, request: Request, applications: Path, ticket_numbers: Iterator[int]) -> None:
        self.ticket_numbers = ticket_numbers
        self.interrupted = False
        self.connect: Callable[[Any], Any] | None = None
        self.acted = False
        self._gluon = gluon
        self._request = request
        self._applications = applications
        self._acting = False
        self._route: Route | None = None
        self._page: Any = None
        self._vars: dict[str, Any] = {}
        self._statements: list[str] = []
        self._dropped = 0
        self._ticket: Ticket | None = None

    def run_action(self, action: Callable[[], Any], request: Any) -> Any:
        """Run the action, record it, and return its result. The models have run, and the view runs later."""
        self._route = self._read_route(request)
        self.acted = self._acting = True
        try:
            self._page = action()
        except self._gluon.http.HTTP as response:
            if str(response.headers.get("web2py_error", "")).startswith(_NO_ACTION):
                self._route = None
            raise
        if isinstance(self._page, dict):
            self._vars = dict(self._page)  # before the view can change it
        return self._page

    def finish(self) -> None:
        """Stop recording SQL. The action and the view have run, and the rest is web2py's own work."""
        self._acting = False

    def records(self, statement: str) -> bool:
        """Return whether a statement that a DAL runs now belongs to the action or its view."""
        return self._acting and not statement.startswith(_OPENING)

    def record_sql(self, statement: str) -> None:
        """Record a statement that a DAL runs for the action or its view."""
        if not self.records(statement):
            return
        if len(self._statements) >= STATEMENTS:
            self._dropped += 1
            return
        more = len(statement) - LENGTH
        self._statements.append(statement if more <= 0 else f"{statement[:LENGTH]}… ({more} more characters)")

    def record_error(self, error: BaseException, id: str) -> None:
        """Record an uncaught exception as the ticket of the request.

        web2py wraps an exception of a model, action or view in a RestrictedError, whose context is the exception.
        """
        generated = ""
        if isinstance(error, self._gluon.restricted.RestrictedError):
            generated = error.code if isinstance(error.code, str) else ""
            error = error.__context__ or error
        generated = generated or code_of_view(error)
        self.interrupted = self.interrupted or isinstance(error, KeyboardInterrupt)
        self._ticket = make_ticket(id, error, learner_frames(error, Sources(self._applications, generated)))

    def record_broken_body(self, error: BaseException) -> None:
        """Record an exception that was raised while the body was sent. web2py makes no ticket for it.

        The action's generator may raise it, or web2py itself. A DAL's `insert` returns a `Reference`, which web2py
        takes for a list of chunks (gluon/http.py, both versions).
        """
        self.record_error(error, "none: the response was incomplete")
        if self._ticket is not None and not self._ticket.frames and self._page is not None:
            page = f"{self._page!r} of type {type(self._page).__name__}"
            message = f"the action returned {page}, which cannot be sent as text: {self._ticket.message}"
            self._ticket = replace(self._ticket, message=message)

    def record_failed_commit(self, error: BaseException) -> None:
        """Record an exception of a commit. pydal discards it (pydal/connection.py), so web2py responds as usual."""
        self.record_error(error, "none: the commit failed")
        if self._ticket is not None:
            message = f"{self._ticket.message}. The commit failed and saved nothing."
            self._ticket = replace(self._ticket, message=message)

    def complete(self, response: Response, output: str) -> Response:
        """Add what was recorded, and the output, to a new response, and return it."""
        more = (f"… and {self._dropped} more statements",) if self._dropped else ()
        return fill(
            response,
            route=self._route,
            vars=self._vars,
            sql=(*self._statements, *more),
            ticket=self._ticket,
            output=output,
        )

    def _read_route(self, request: Any) -> Route:
        """Return the action with the variables as they were sent, whatever the models and the handler change."""
        route = Route(
            request.application, request.controller, request.function, request.extension, tuple(request.args or ())
        )
        query = request.env.query_string  # a rule of routes.py may have changed it
        if not self._request.body and not query:
            return route
        return read_later(route, partial(_parse, self._gluon, self._request, query))


def _parse(gluon: ModuleType, request: Request, query: str) -> tuple[dict[str, Any], ...]:
    """Return what web2py parses of a request as it was sent: copies of get_vars, post_vars and vars.

    2.26.1 raises an exception if the body is not a form; the variables are then those of the query string.
    """
    environ = {**to_environ(request), "QUERY_STRING": query}
    with warnings.catch_warnings():  # the request has ended, and with it the filters that it had
        ignore_library_warnings()
        fresh = gluon.globals.Request(environ)
        fresh.env.update((key.lower().replace(".", "_"), value) for key, value in environ.items())
        fresh._body = io.BytesIO(request.body)
        try:
            return _variables(fresh)
        except Exception:
            get_vars = _sort(fresh.get_vars)
            return get_vars, {}, get_vars


def _variables(request: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return copies of get_vars, post_vars and vars."""
    return _sort(request.get_vars), _sort(request.post_vars), _sort(request.vars)


def _sort(variables: Any) -> dict[str, Any]:
    """Copy variables in the order of their names. web2py takes those of a form from a set, which has no fixed order."""
    return {
        key: list(value) if isinstance(value, list) else value
        for key, value in sorted(variables.items(), key=lambda pair: str(pair[0]))
    }


_recorders: list[RequestRecorder] = []  # that of the request that runs now


class Watched:
    """A context manager: the recorders, if any, record what web2py does in its scope."""

    def __init__(self, gluon: ModuleType, *recorders: RequestRecorder) -> None:
        self._wrappers = instrument(gluon)
        self._watching = recorders

    def __enter__(self) -> None:
        watch(*self._watching)
        for owner, name, _, ours in self._wrappers:
            setattr(owner, name, ours)

    def __exit__(self, *error: object) -> None:
        for owner, name, theirs, _ in self._wrappers:
            setattr(owner, name, theirs)
        _recorders.clear()


def watch(*recorders: RequestRecorder) -> None:
    """Let another recorder, or none, record from here on, because another request continues."""
    _recorders[:] = recorders


@cache
def instrument(gluon: ModuleType) -> list[tuple[Any, str, Any, Any]]:
    """Make the changes to pydal that stay, at the first call.

    Returns:
        For each wrapper of gluon/main.py and gluon/restricted.py: (module, name, gluon's object, the wrapper).
    """
    dal = gluon.dal.DAL
    # These changes stay. Changing a class makes Python drop its attribute caches, which takes 40 µs a request.
    dal.execution_handlers = [*dal.execution_handlers, _sql_recorder()]
    dal.Table._filter_fields_for_operation = _in_order(dal.Table._filter_fields_for_operation)
    dal.__init__ = _only_in_lab(dal.__init__)
    _keep_journal_in_memory(gluon)
    _report_failed_commits()
    makers = (
        (gluon.main, "Request", _make_request),
        (gluon.main, "serve_controller", _make_serve),
        (gluon.main, "run_controller_in", _make_run),
        (gluon.restricted, "TicketStorage", _make_storage),
    )
    return [(owner, name, getattr(owner, name), make(getattr(owner, name))) for owner, name, make in makers]


def _make_serve(serve: Any) -> Any:
    def serve_controller(request: Any, response: Any, session: Any) -> None:
        try:
            serve(request, response, session)
        finally:
            _recorders[-1].finish()

    return serve_controller


def _make_run(run: Any) -> Any:
    def run_controller_in(controller: str, function: str, environment: dict[str, Any]) -> Any:
        return _recorders[-1].run_action(lambda: run(controller, function, environment), environment["request"])

    return run_controller_in


def _make_request(base: Any) -> Any:
    class Request(base):  # type: ignore[misc]
        """web2py's request, whose tickets are named by the numbers 1, 2, 3 and not at random."""

        def compute_uuid(self) -> str:
            when, client = self.now.strftime("%Y-%m-%d.%H-%M-%S"), self.client.replace(":", "_")
            self._uuid = f"{self.application}/{client}.{when}.{next(_recorders[-1].ticket_numbers)}"
            return self._uuid

    return Request


def _make_storage(base: Any) -> Any:
    class TicketStorage(base):  # type: ignore[misc]
        """web2py's store of tickets, which also passes the exception of a ticket to the recorder."""

        def store(self, request: Any, ticket_id: str, ticket_data: Any) -> None:
            error = sys.exception()
            if error is not None:
                _recorders[-1].record_error(error, f"{request.application}/{ticket_id}")
            super().store(request, ticket_id, ticket_data)

    return TicketStorage


def _sql_recorder() -> Any:
    from pydal.helpers.classes import ExecutionHandler

    class SqlRecorder(ExecutionHandler):  # type: ignore[misc]
        """Passes each statement of a DAL to the recorder, through pydal's interface `DAL.execution_handlers`."""

        def before_execute(self, command: str) -> None:
            for recorder in _recorders:  # none if the notebook's own DAL runs outside of a request
                if recorder.connect is None:  # otherwise the connection records it, when its turn has come
                    recorder.record_sql(command)

    return SqlRecorder


def _in_order(pick: Any) -> Any:
    """Make INSERT and UPDATE name the columns in the order of the table.

    pydal (20260520.0) takes the columns from a set, so the order would differ from run to run.
    """

    def _filter_fields_for_operation(table: Any, fields: Any) -> tuple[list[str], dict[str, Any]]:
        empty, given = pick(table, fields)
        return empty, {name: given[name] for name in table.fields if name in given}

    return _filter_fields_for_operation


def _only_in_lab(make: Any) -> Any:
    """Let a lab's application open only SQLite files in the lab's root with DAL, so that it can't change real data."""
    from pydal._globals import THREAD_LOCAL

    @wraps(make)
    def __init__(dal: Any, *args: Any, **options: Any) -> None:
        root = running_folder()
        if root is not None:
            given = dict(zip(("uri", "pool_size", "folder"), args, strict=False)) | options
            uri, folder = given.get("uri", "sqlite://dummy.db"), given.get("folder")
            for each in uri if isinstance(uri, list | tuple) else [uri]:
                if isinstance(each, str):
                    _check_database(each, folder or getattr(THREAD_LOCAL, "_pydal_folder_", None) or "", root)
        make(dal, *args, **options)

    return __init__


def _check_database(uri: str, folder: str, root: str) -> None:
    """Raise NotInLabError for a database server, and for a file outside of the root.

    Args:
        uri: the URI that a DAL was given.
        folder: where pydal writes its files about the tables. A path in the URI is relative to this folder.
        root: the folder of the root.
    """
    from pydal.adapters import adapters
    from pydal.helpers.regex import REGEX_DBNAME

    name = REGEX_DBNAME.match(uri)
    if name is None or name.group() not in adapters._registry_:  # pydal itself raises an error
        return
    if not name.group().startswith(("sqlite", "spatialite")):
        raise NotInLabError(explain_other_database(uri))
    path = "" if ":memory" in name.group() else uri.partition("://")[2]
    for place in map(os.path.realpath, (folder, os.path.join(folder, path))):
        if not Path(place).is_relative_to(root):
            raise NotInLabError(
                f"a lab doesn't open the database {quoted(uri)}, because tests must not change real data. pydal "
                f"would write to {place}, which is outside of the lab's copy of the application. "
                "Write a path relative to databases/: db = DAL('sqlite://storage.sqlite'). To test with a copy of "
                "your rows, pass databases=True to Lab.from_folder."
            )


def _keep_journal_in_memory(gluon: ModuleType) -> None:
    """Make SQLite faster for the databases of a site, which need not survive a crash."""
    from pydal.adapters.sqlite import SQLite

    connect, settings = SQLite.connector, gluon.settings.global_settings

    def connector(adapter: Any) -> Any:
        make = _recorders[-1].connect if _recorders else None
        connection = (make or connect)(adapter)
        if adapter.dbpath.startswith(settings.applications_parent):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    SQLite.connector = connector


def _report_failed_commits() -> None:
    """Pass the exception of a commit to the recorder, because pydal discards it when web2py closes its connections."""
    from pydal.connection import ConnectionPool

    close = ConnectionPool.close

    def close_and_report(adapter: Any, action: Any = "commit", really: bool = True) -> None:
        def act(adapter: Any) -> None:
            try:
                action(adapter) if callable(action) else getattr(adapter, action)()
            except BaseException as error:
                for recorder in _recorders:  # none if the notebook's own DAL runs outside of a request
                    recorder.record_failed_commit(error)
                raise

        close(adapter, act if action and action != "rollback" else action, really)

    ConnectionPool.close = close_and_report
