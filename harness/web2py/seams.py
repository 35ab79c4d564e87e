"""Where the harness looks into web2py while a request runs: its classes and functions, wrapped for that long.

All are undone when the request has ended, but for three in pydal that do no harm outside of a request. The only other
patches of web2py's code are those of `pydal_changes`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from harness.web2py.boot import Gluon
from harness.web2py.probe import Probe


@cache
def seams(gluon: Gluon) -> Seams:
    """Return the seams of this process; they are made once, while none is in place."""
    return Seams(gluon)


class Seams:
    """The places in gluon/main.py, gluon/restricted.py and pydal where a Probe is told what happens."""

    def __init__(self, gluon: Gluon) -> None:
        self._probe: Probe | None = None
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
    def probe(self) -> Probe:
        """The probe of the request that runs now."""
        assert self._probe is not None, "the seams are in place only while a request runs"
        return self._probe

    @contextmanager
    def watched(self, probe: Probe) -> Iterator[None]:
        """Let a probe watch what web2py does in this scope."""
        self._probe = probe
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
                self.probe.finish()

        return serve_controller

    def _make_run(self, run: Any) -> Any:
        def run_controller_in(controller: str, function: str, environment: dict[str, Any]) -> Any:
            return self.probe.act(lambda: run(controller, function, environment), environment["request"])

        return run_controller_in


def _make_request(base: Any, seams: Seams) -> Any:
    class Request(base):  # type: ignore[misc]
        """web2py's request, whose tickets are numbered 1, 2, 3 instead of named by chance."""

        def compute_uuid(self) -> str:
            when = self.now.strftime("%Y-%m-%d.%H-%M-%S")
            client = self.client.replace(":", "_")
            self._uuid = f"{self.application}/{client}.{when}.{seams.probe.number()}"
            return self._uuid

    return Request


def _make_storage(base: Any, seams: Seams) -> Any:
    class TicketStorage(base):  # type: ignore[misc]
        """web2py's store of tickets, which also tells of the exception that one is about."""

        def store(self, request: Any, ticket_id: str, ticket_data: Any) -> None:
            error = sys.exception()
            if error is not None:
                seams.probe.failed(error, f"{request.application}/{ticket_id}")
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


def _make_handler(seams: Seams) -> Any:
    from pydal.helpers.classes import ExecutionHandler

    class SqlSeen(ExecutionHandler):  # type: ignore[misc]
        """Tells every statement that a DAL runs (pydal's own seam: `DAL.execution_handlers`)."""

        def before_execute(self, command: str) -> None:
            seams.tell_sql(command)

    return SqlSeen
