"""What an application's own database connection sees, outside of any request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.appengine.web2py.app_files import show_line
from harness.appengine.web2py.boot import Gluon
from harness.appengine.web2py.environ import to_web2py
from harness.appengine.web2py.tickets import Sources, learner_frames, message_of
from harness.errors import SourceError, UnknownTableError
from harness.records import Request


def read_rows(gluon: Gluon, table: str, app: str, applications: Path) -> list[dict[str, Any]]:
    """Run an application's models and read one table, in the order of its id.

    The connection is closed afterwards without a commit; only what pydal itself commits, a new table, stays.

    Raises:
        UnknownTableError: no model defines the table; lists those that there are.
        SourceError: a model does not work.
    """
    _run_models(gluon, app, applications, Sources(applications))
    dals = [dal for group in vars(gluon.threads).get("_pydal_db_instances_", {}).values() for dal in group]
    for dal in dals:
        if table in dal.tables:
            return _select(dal, dal[table])
    known = ", ".join(sorted({name for dal in dals for name in dal.tables})) or "none; define one in models/db.py"
    raise UnknownTableError(f"the application {app!r} has no table {table!r}; its tables: {known}")


def _select(dal: Any, table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = dal(table).select(orderby=table._id).as_list()
    return rows


def _run_models(gluon: Gluon, app: str, applications: Path, sources: Sources) -> None:
    """Run the models as web2py's shell does (gluon/shell.py): with a request that nobody sent."""
    request = _make_request(gluon, app, applications)
    environment = gluon.compileapp.build_environment(request, gluon.globals.Response(), gluon.globals.Session())
    try:
        gluon.compileapp.run_models_in(environment)
    except gluon.http.HTTP as answer:
        raise SourceError(
            f"the models of {app!r} stop with {answer}, so the database cannot be read; "
            "raise HTTP or redirect in a function that the controllers call"
        ) from None
    except gluon.restricted.RestrictedError as error:
        raise SourceError(_explain(error.__context__ or error, app, sources)) from None
    except SyntaxError as error:
        raise SourceError(_explain(error, app, sources)) from None


def _make_request(gluon: Gluon, app: str, applications: Path) -> Any:
    environ = to_web2py(Request("GET", f"/{app}/default/index"))
    request = gluon.globals.Request(environ)
    request.env.update((name.lower().replace(".", "_"), value) for name, value in environ.items())
    request.update(
        application=app,
        controller="default",
        function="index",
        folder=str(applications / app),
        client="127.0.0.1",
        is_local=True,
        is_shell=True,
    )
    return request


def _explain(error: BaseException, app: str, sources: Sources) -> str:
    frames = learner_frames(error, sources)
    where = show_line(frames[-1].file, frames[-1].line, None, frames[-1].source) if frames else "an unknown place"
    return (
        f"the models of {app!r} do not work: {where}\n{type(error).__name__}: {message_of(error)}\nCorrect that line."
    )
