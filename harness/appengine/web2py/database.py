"""Read a table or open the DAL outside of any request, through a connection of the application's own models."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.app_files import show_line
from harness.appengine.web2py.environ import to_web2py
from harness.appengine.web2py.roots import ActiveRoot
from harness.appengine.web2py.tickets import Sources, learner_frames, name_and_message
from harness.errors import GradingError, HandlerStopped, SourceError, UnknownTableError, quoted
from harness.records import Request

_INSTANCES = "_pydal_db_instances_"  # pydal's name for the DALs of a thread
_NO_TABLE = re.compile(r"no such table: (\w+)")  # by SQLite


class OpenDatabase:
    """The DAL of an application's models, open outside of any request.

    Args:
        gluon: web2py.
        dal: the DAL.
        dals: all DALs of the models.
        inside: returns a context manager in which web2py has the state of the application's root.
        root: the application's root.

    Make it in the same scope of `inside` in which the models ran. It takes their connections out of that scope.
    """

    def __init__(
        self,
        gluon: ModuleType,
        dal: Any,
        dals: list[Any],
        inside: Callable[[], AbstractContextManager[Any]],
        root: ActiveRoot,
    ) -> None:
        from pydal._globals import THREAD_LOCAL

        self.dal = dal
        self._dals = dals
        self._inside = inside
        self._root = root
        self._paths = root.paths()
        self._of_thread = vars(THREAD_LOCAL)
        self._current = vars(gluon.globals.current)
        self._own_current = self._current.copy()  # validators need current.T, for example
        for each in dals:
            each._adapter.get_connection()  # a DAL of a module may have none yet
        self._own = self._take()

    @contextmanager
    def used(self) -> Iterator[Any]:
        """Yield the DAL; commit at the end, or roll back after an exception.

        The DALs are committed one after another. If one of them can't be committed, the following ones are rolled back.

        Raises:
            LabClosedError: the lab was closed inside the block, so the rows are lost.
        """
        outer, action = self._current.copy(), "rollback"
        self._replace_current(self._own_current)
        self._of_thread.update(self._own)
        try:
            with self._root.beside(self._paths), self._listed():
                yield self.dal
            action = "commit"
        except Exception as error:
            if note := _explain_missing_table(error, self._dals):
                error.add_note(note)
            raise
        finally:
            self._own = self._take()
            self._replace_current(outer)
            try:
                with self._inside():
                    self._of_thread.update(self._own)
                    for dal in self._dals:
                        if dal._adapter._connection_uname_ in self._own:  # otherwise the block has closed the DAL
                            getattr(dal, action)()
            finally:
                for dal in self._dals:
                    if connection := self._own.get(dal._adapter._connection_uname_):
                        connection.close()

    def has_changes(self) -> bool:
        """Return whether a row was written and not committed yet, so that a request would wait for its lock.

        Any thread may call this.
        """
        connections = (self._of_thread.get(dal._adapter._connection_uname_) for dal in self._dals)
        return any(getattr(connection, "in_transaction", False) for connection in connections)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Add these DALs to pydal's list of this thread's DALs in this scope. `DAL.close` fails without that list."""
        was_there = _INSTANCES in self._of_thread
        groups = self._of_thread.setdefault(_INSTANCES, {})
        for dal in self._dals:
            groups.setdefault(dal._db_uid, []).append(dal)
        try:
            yield
        finally:
            for dal in self._dals:
                others = [each for each in groups.pop(dal._db_uid, []) if each is not dal]
                if others:
                    groups[dal._db_uid] = others
            if not was_there and not groups:
                del self._of_thread[_INSTANCES]

    def _take(self) -> dict[str, Any]:
        """Remove the connections of these DALs from pydal's data about this thread, and return them."""
        adapters = [dal._adapter for dal in self._dals]
        names = [name for each in adapters for name in (each._connection_uname_, each._cursors_uname_)]
        return {name: self._of_thread.pop(name) for name in names if name in self._of_thread}

    def _replace_current(self, values: dict[str, Any]) -> None:
        self._current.clear()
        self._current.update(values)


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
        with self._explained(app):
            names, dals = _run_models(self._gluon, app, self._applications)
            if not any(table in dal.tables for dal in dals):
                dals = _add_tables(self._gluon, names, dals)
            found = _read(table, app, dals, most)
        if not any(map(_has_written, dals)):  # what they write is never committed, so each reading needs it again
            self._kept[app] = state, dals
        return found

    def open(self, app: str, inside: Callable[[], AbstractContextManager[Any]], root: ActiveRoot) -> OpenDatabase:
        """Run the models of an application, and return their DAL with its connection.

        Args:
            app: the application.
            inside: see `OpenDatabase`.
            root: the application's root.

        Raises:
            SourceError: If a model raises an exception, or if none defines a DAL.
        """
        with self._explained(app):
            names, dals = _run_models(self._gluon, app, self._applications)
            if not dals:
                raise SourceError(
                    f"the models of {quoted(app)} define no database. Add one: db = DAL('sqlite://storage.sqlite')"
                )
            dal = names["db"] if names.get("db") in dals else dals[0]
            for each in dals:
                each.commit()  # as a request does; rows that models in subfolders write are rolled back
            return OpenDatabase(self._gluon, dal, _add_tables(self._gluon, names, dals), inside, root)

    @contextmanager
    def _explained(self, app: str) -> Iterator[None]:
        """Raise SourceError in place of an exception that a model raises."""
        try:
            yield
        except self._gluon.http.HTTP as response:
            raise SourceError(
                f"the models of {quoted(app)} stop with {response}, so the database cannot be read. "
                "Raise HTTP or redirect in a function that the controllers call."
            ) from None
        except (KeyboardInterrupt, HandlerStopped, UnknownTableError, GradingError, SourceError):
            raise
        except BaseException as error:  # also SystemExit and GeneratorExit
            raise SourceError(_explain(self._gluon, error, app, self._applications)) from None


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
            try:
                if most is not None and found.count() > most:
                    raise GradingError(f"the table {table!r} has more than {most:,} rows, so it isn't read")
                rows: list[dict[str, Any]] = found.select(orderby=dal[table]._id).as_list()
            except Exception as error:
                if explained := _explain_missing_table(error, dals):
                    raise SourceError(explained) from None
                raise
            return rows
    known = ", ".join(sorted({name for dal in dals for name in dal.tables})) or "none; define one in models/db.py"
    raise UnknownTableError(f"the application {quoted(app)} has no table {quoted(table)}; its tables: {known}")


def _explain_missing_table(error: Exception, dals: list[Any]) -> str:
    """Return a message about a table that the models define but don't create, or ""."""
    name = found[1] if (found := _NO_TABLE.search(str(error))) else ""
    if not any(name in dal.tables and not getattr(dal[name], "_migrate", False) for dal in dals):
        return ""
    return (
        f"The table {name!r} isn't in the database, because the models define it with migrate=False, and a lab begins "
        "with empty databases. Let the models migrate in tests. Or copy the files of the databases: "
        "Lab.from_folder(…, databases=True)."
    )


def _run_models(gluon: ModuleType, app: str, applications: Path) -> tuple[dict[str, Any], list[Any]]:
    """Run the models that run in every request, as web2py's shell does (gluon/shell.py); the request is never sent.

    Returns:
        The global names of the models, and their DALs.
    """
    environment = build_environment(gluon, Request("GET", f"/{app}/default/index"), applications / app)
    environment["response"].models_to_run = [r"^[\w-]+\.py$"]
    gluon.compileapp.run_models_in(environment)
    return environment, _find_dals(gluon, environment)


def _find_dals(gluon: ModuleType, names: dict[str, Any]) -> list[Any]:
    """Return the DALs that the models have made, and those that they have imported from modules."""
    from pydal._globals import THREAD_LOCAL

    made = [dal for group in vars(THREAD_LOCAL).get(_INSTANCES, {}).values() for dal in group]
    imported = [value for value in names.values() if isinstance(value, gluon.dal.DAL)]
    return list({id(dal): dal for dal in (*made, *imported)}.values())


def _add_tables(gluon: ModuleType, names: dict[str, Any], dals: list[Any]) -> list[Any]:
    """Run the models in subfolders too, and return all DALs.

    web2py runs these models only for requests of the controller that has the name of the subfolder. So only the tables
    that they define are kept. Their changes to names, to tables of other models and to rows are undone, except rows
    that they commit. If one raises an exception, perhaps because it needs such a request, the next subfolder is run.

    Args:
        gluon: web2py.
        names: the global names of the other models.
        dals: the DALs of the other models.
    """
    request, response = names["request"], names["response"]
    folders = sorted(each for each in Path(request.folder, "models").iterdir() if each.is_dir())
    for folder in folders:
        kept = [(each, _settings(each)) for dal in dals for table in dal for each in (table, *table)]
        own = dict(names)
        request.controller, response.models_to_run = folder.name, [f"^{re.escape(folder.name)}/"]
        try:
            gluon.compileapp.run_models_in(own)
        except (KeyboardInterrupt, HandlerStopped):
            raise
        except BaseException:  # noqa: S110  # also HTTP and SystemExit
            pass
        request.controller = "default"
        dals = list({id(dal): dal for dal in (*dals, *_find_dals(gluon, own))}.values())
        for dal in dals:
            dal.rollback()
        for each, settings in kept:
            vars(each).update(settings)
    return dals


def _settings(table_or_field: Any) -> dict[str, Any]:
    """Return the attributes of a field, or the callbacks and the filter of a table, with copies of lists."""
    is_field = hasattr(table_or_field, "type")
    return {
        name: value[:] if type(value) is list else value
        for name, value in vars(table_or_field).items()
        if is_field or name.startswith(("_before_", "_after_", "_common_filter"))
    }


def build_environment(gluon: ModuleType, request: Request, app: Path, *, current: bool = True) -> dict[str, Any]:
    """Return the names that web2py gives to the models of the application in the folder `app`.

    If `current` is false, `current.request`, which web2py's modules use, isn't set to this request.
    """
    environ = to_web2py(request)
    made = gluon.globals.Request(environ)
    made.env.update((name.lower().replace(".", "_"), value) for name, value in environ.items())
    made.update(application=app.name, controller="default", function="index", folder=str(app))
    made.update(client="127.0.0.1", is_local=True, is_shell=True, is_https=True)
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
