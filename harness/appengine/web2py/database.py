"""Read a table outside of any request, through a database connection of the application's own models."""

from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.app_files import show_line
from harness.appengine.web2py.environ import to_web2py
from harness.appengine.web2py.tickets import Sources, learner_frames, name_and_message
from harness.errors import GradingError, HandlerStopped, SourceError, UnknownTableError, quoted
from harness.records import Request


def read_rows(
    gluon: ModuleType, table: str, app: str, applications: Path, most: int | None = None
) -> list[dict[str, Any]]:
    """Run an application's models and read one table.

    The caller closes the connection without a commit. Only the tables that pydal creates are committed.

    Returns:
        One dict a row, from the name of a field to its value, in the order of the table's id.

    Raises:
        UnknownTableError: If no model defines the table. The message lists the tables.
        SourceError: If a model raises an exception, also while the table is read.
        GradingError: If the table has more than `most` rows.
    """
    try:
        return _run_and_read(gluon, table, app, applications, most)
    except gluon.http.HTTP as response:
        raise SourceError(
            f"the models of {quoted(app)} stop with {response}, so the database cannot be read. "
            "Raise HTTP or redirect in a function that the controllers call."
        ) from None
    except (KeyboardInterrupt, HandlerStopped, UnknownTableError, GradingError):
        raise
    except BaseException as error:  # also SystemExit and GeneratorExit
        raise SourceError(_explain(gluon, error, app, applications)) from None


def _run_and_read(
    gluon: ModuleType, table: str, app: str, applications: Path, most: int | None
) -> list[dict[str, Any]]:
    from pydal._globals import THREAD_LOCAL

    _run_models(gluon, app, applications)
    dals = [dal for group in vars(THREAD_LOCAL).get("_pydal_db_instances_", {}).values() for dal in group]
    for dal in dals:
        if table in dal.tables:
            found = dal(dal[table])
            if most is not None and found.count() > most:
                raise GradingError(f"the table {table!r} has more than {most:,} rows, so it isn't read")
            rows: list[dict[str, Any]] = found.select(orderby=dal[table]._id).as_list()
            return rows
    known = ", ".join(sorted({name for dal in dals for name in dal.tables})) or "none; define one in models/db.py"
    raise UnknownTableError(f"the application {quoted(app)} has no table {quoted(table)}; its tables: {known}")


def _run_models(gluon: ModuleType, app: str, applications: Path) -> None:
    """Run the models as web2py's shell does (gluon/shell.py), with a request that was never sent."""
    environ = to_web2py(Request("GET", f"/{app}/default/index"))
    request = gluon.globals.Request(environ)
    request.env.update((name.lower().replace(".", "_"), value) for name, value in environ.items())
    request.update(application=app, controller="default", function="index", folder=str(applications / app))
    request.update(client="127.0.0.1", is_local=True, is_shell=True)
    environment = gluon.compileapp.build_environment(request, gluon.globals.Response(), gluon.globals.Session())
    gluon.compileapp.run_models_in(environment)


def _explain(gluon: ModuleType, error: BaseException, app: str, applications: Path) -> str:
    if isinstance(error, gluon.restricted.RestrictedError):
        error = error.__context__ or error  # the context of a RestrictedError is what the model raised
    frames = learner_frames(error, Sources(applications))
    where = show_line(frames[-1].file, frames[-1].line, None, frames[-1].source) if frames else "an unknown line"
    return f"the models of {quoted(app)} do not work: {where}\n{name_and_message(error)}\nCorrect that line."
