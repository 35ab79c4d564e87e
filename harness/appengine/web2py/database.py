"""Read a table outside of any request, through a database connection of the application's own models."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.app_files import show_line
from harness.appengine.web2py.environ import to_web2py
from harness.appengine.web2py.tickets import Sources, learner_frames, name_and_message
from harness.errors import GradingError, HandlerStopped, SourceError, UnknownTableError, quoted
from harness.records import Request


class Reader:
    """Reads the tables of the applications of one root, for as long as the root exists.

    The models of an application run at its first reading, and again if one of their files has changed. Otherwise, a
    reading takes a quarter of the time. A model that depends on the time, for example, isn't run again.
    """

    def __init__(self, gluon: ModuleType, applications: Path) -> None:
        self._gluon = gluon
        self._applications = applications
        self._kept: dict[str, tuple[list[Any], list[Any]]] = {}  # by application: the state of its models, its DALs

    def forget(self) -> None:
        """Let the models run again at the next reading."""
        self._kept.clear()

    def rows(self, table: str, app: str, most: int | None = None) -> list[dict[str, Any]]:
        """Read one table of an application.

        The caller closes the connection without a commit. Only the tables that pydal creates are committed.

        Returns:
            One dict a row, from the name of a field to its value, in the order of the table's id.

        Raises:
            UnknownTableError: If no model defines the table. The message lists the tables.
            SourceError: If a model raises an exception, also while the table is read.
            GradingError: If the table has more than `most` rows.
        """
        state = _state(self._applications / app / "models")
        kept_state, dals = self._kept.get(app, (None, []))
        if kept_state == state and any(table in dal.tables for dal in dals):
            try:
                return _read(table, app, dals, most)
            except (KeyboardInterrupt, HandlerStopped, GradingError):
                raise
            except BaseException:  # noqa: S110  # a handler dropped the table, for example; the models explain it
                pass
        self._kept.pop(app, None)
        try:
            dals = _run_models(self._gluon, app, self._applications)
            found = _read(table, app, dals, most)
        except self._gluon.http.HTTP as response:
            raise SourceError(
                f"the models of {quoted(app)} stop with {response}, so the database cannot be read. "
                "Raise HTTP or redirect in a function that the controllers call."
            ) from None
        except (KeyboardInterrupt, HandlerStopped, UnknownTableError, GradingError):
            raise
        except BaseException as error:  # also SystemExit and GeneratorExit
            raise SourceError(_explain(self._gluon, error, app, self._applications)) from None
        if not any(map(_has_written, dals)):  # what they write is never committed, so each reading needs it again
            self._kept[app] = state, dals
        return found


def _state(models: Path) -> list[Any]:
    """Return what tells whether a model has changed. A handler can write one too."""
    found = []
    for folder, _, names in os.walk(models):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            status = os.stat(path)
            found.append((path, status.st_mtime_ns, status.st_size))
    return found


def _has_written(dal: Any) -> bool:
    return getattr(dal._adapter.connection, "total_changes", 1) > 0


def _read(table: str, app: str, dals: list[Any], most: int | None) -> list[dict[str, Any]]:
    for dal in dals:
        if table in dal.tables:
            found = dal(dal[table])
            if most is not None and found.count() > most:
                raise GradingError(f"the table {table!r} has more than {most:,} rows, so it isn't read")
            rows: list[dict[str, Any]] = found.select(orderby=dal[table]._id).as_list()
            return rows
    known = ", ".join(sorted({name for dal in dals for name in dal.tables})) or "none; define one in models/db.py"
    raise UnknownTableError(f"the application {quoted(app)} has no table {quoted(table)}; its tables: {known}")


def _run_models(gluon: ModuleType, app: str, applications: Path) -> list[Any]:
    """Run the models as web2py's shell does (gluon/shell.py), with a request that was never sent. Return the DALs."""
    from pydal._globals import THREAD_LOCAL

    environment = build_environment(gluon, Request("GET", f"/{app}/default/index"), applications / app)
    gluon.compileapp.run_models_in(environment)
    return [dal for group in vars(THREAD_LOCAL).get("_pydal_db_instances_", {}).values() for dal in group]


def build_environment(gluon: ModuleType, request: Request, app: Path, *, current: bool = True) -> dict[str, Any]:
    """Return the names that web2py gives to the models of the application in the folder `app`.

    If `current` is false, `current.request`, which web2py's modules use, isn't set to this request.
    """
    environ = to_web2py(request)
    made = gluon.globals.Request(environ)
    made.env.update((name.lower().replace(".", "_"), value) for name, value in environ.items())
    made.update(application=app.name, controller="default", function="index", folder=str(app))
    made.update(client="127.0.0.1", is_local=True, is_shell=True)
    names: dict[str, Any] = gluon.compileapp.build_environment(
        made, gluon.globals.Response(), gluon.globals.Session(), store_current=current
    )
    return names


def _explain(gluon: ModuleType, error: BaseException, app: str, applications: Path) -> str:
    if isinstance(error, gluon.restricted.RestrictedError):
        error = error.__context__ or error  # the context of a RestrictedError is what the model raised
    frames = learner_frames(error, Sources(applications))
    where = show_line(frames[-1].file, frames[-1].line, None, frames[-1].source) if frames else "an unknown line"
    return f"the models of {quoted(app)} do not work: {where}\n{name_and_message(error)}\nCorrect that line."
