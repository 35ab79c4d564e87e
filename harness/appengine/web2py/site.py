"""One web2py root folder with its applications, which handles requests through real web2py."""

import itertools
import traceback
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from harness.appengine.web2py import app_files
from harness.appengine.web2py.app_files import ROUTES, check_app, check_path
from harness.appengine.web2py.app_folder import AppFolder
from harness.appengine.web2py.boot import boot
from harness.appengine.web2py.controller_names import controller_names
from harness.appengine.web2py.database import OpenDatabase, Reader
from harness.appengine.web2py.environ import read_address, to_web2py
from harness.appengine.web2py.instance import SharedSite
from harness.appengine.web2py.instrumentation import RequestRecorder, Watched, instrument
from harness.appengine.web2py.roots import ActiveRoot
from harness.appengine.web2py.tickets import name_and_message
from harness.appengine.wsgi import call
from harness.errors import HandlerStopped, LabClosedError, NameRefusedError, SourceError, quoted
from harness.records import Headers, Request, Response, Route


class Site:
    """A web2py root with applications that are made from a skeleton or copied, each with its own database.

    Several sites in one process share no state. The first site loads web2py. After `close`, every other method raises
    LabClosedError. `apps` are the names of the applications. `root` is a temporary folder, removed with the site.

    Raises:
        NameRefusedError: If web2py cannot serve an application of that name.
        Web2pyNotFoundError: If web2py cannot be loaded.
        AppFolderError: If a file of the folder cannot be copied.
        SourceError: If a model of the folder does not compile, or if web2py refuses its routes.py.
    """

    def __init__(self, apps: Iterable[str] = ("tutorial",), folder: AppFolder | None = None) -> None:
        self.apps = tuple(dict.fromkeys(check_app(name) for name in ([apps] if isinstance(apps, str) else apps)))
        self._gluon = boot()
        self.root = app_files.make_root()
        self._applications = self.root / "applications"
        self._active_root = ActiveRoot(self._gluon, self.root)
        instrument(self._gluon)
        self._reader = Reader(self._gluon, self._applications)
        self._ticket_numbers = itertools.count(1)
        self._end = weakref.finalize(self, _end, self._active_root)
        try:
            if folder is None:
                for name in self.apps:
                    app_files.make_app(self.root, name)
            else:
                folder.copy_all(self.root)
            self._changed(ROUTES)
        except BaseException:
            self.close()
            raise

    def write(self, path: str, source: str, app: str = "tutorial") -> None:
        """Write a file of an application. If the file is refused, the previous file is kept.

        The path is relative to the application ("controllers/default.py"), or "routes.py" for the whole site.

        Raises:
            NameRefusedError: If the application does not exist, or if web2py would not find a file at that path.
            DiskError: If the disk is full or read-only.
            SourceError: If the source is not a string, does not compile, has no code where web2py needs a function, or
                defines routes that web2py refuses.
        """
        file = self._find(check_path(path), app)
        name = path if path == ROUTES else f"{app}/{path}"
        data = app_files.check_text(source, name, needs_code=path.startswith("controllers/"))
        try:
            with app_files.explain_disk(self.root):
                put_back = app_files.replace_file(self.root, file, data)
        except OSError as error:  # the name is too long, or a folder has it
            raise NameRefusedError(f"{quoted(path)} cannot be written: {error.strerror}. Use another name.") from None
        try:
            self._changed(path)
        except BaseException:
            put_back()
            self._changed(path)
            raise
        finally:
            (self.root / app_files.BEFORE).unlink(missing_ok=True)

    def read(self, path: str, app: str = "tutorial") -> str:
        """Return the text of a file.

        Raises:
            NameRefusedError: If the file does not exist, or is not text. If it does not exist, the message lists the
                files of the application.
        """
        file = self._find(check_path(path), app)
        if not file.is_file():
            self._require_app(app)
            known = ", ".join(app_files.list_files(self._applications / app))
            raise NameRefusedError(f"{quoted(app)} has no file {quoted(path)}; it has: {known}")
        try:
            return file.read_text("utf-8")
        except UnicodeDecodeError:
            raise NameRefusedError(f"{quoted(path)} isn't UTF-8 text, so a lab can't read it") from None

    def call(self, request: Request) -> Response:
        """Send one request through web2py.

        web2py commits the transaction after an `HTTP` of any status, and rolls it back after any other exception.

        Returns:
            The response with everything that the harness recorded. If the handler raises an exception, the response
            has status 500 and a ticket.

        Raises:
            KeyboardInterrupt: If it stopped the handler. web2py has rolled the transaction back by then.
        """
        self._require_open()
        recorder = self._recorder(request)
        with self._active_root.inside() as output, Watched(self._gluon, recorder):
            response = self._answer(request, recorder)
        if recorder.interrupted:
            raise KeyboardInterrupt
        return recorder.complete(response, output.text)

    def inside(self) -> AbstractContextManager[object]:
        """Return a context manager in which `applications` and its modules are those of this site."""
        self._require_open()
        return self._active_root.inside()

    @contextmanager
    def shared(self) -> Iterator[SharedSite]:
        """Let requests take turns in this scope."""
        self._require_open()
        shared = SharedSite(self._gluon, self._recorder, self._answer)
        with self._active_root.inside(), shared.watched():
            yield shared

    def rows(self, table: str, app: str = "tutorial", most: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of a table, read with the application's own models and ordered by id.

        Raises:
            UnknownTableError: If no model defines the table.
            SourceError: If a model raises an exception.
            NameRefusedError: If the application does not exist.
            GradingError: If the table has more than `most` rows.
        """
        self._require_open()
        self._require_app(app)
        with self._active_root.inside():
            return self._reader.rows(table, app, most)

    def open_database(self, app: str) -> OpenDatabase:
        """Run the models of an application, and return their DAL, to be used outside of a request.

        Raises:
            SourceError: If a model raises an exception, or if none defines a DAL.
            NameRefusedError: If the application does not exist.
        """
        self._require_open()
        self._require_app(app)
        with self._active_root.inside():
            return self._reader.open(app, self._inside, self._active_root)

    def address(self, request: Request) -> Route | None:
        """Return the names that web2py reads from the URL of a request, or None if web2py refuses the URL."""
        self._require_open()
        with self._active_root.inside():
            return read_address(self._gluon, request)

    def names(self, headers: Headers = (), app: str = "tutorial", model: str = "") -> dict[str, Any]:
        """Return the global names of an application's controllers, without running its models (see `controller_names`).

        Args:
            headers: the headers of the request that the name `request` stands for.
            app: the application.
            model: the source of one more model, for example one that is being written.

        Raises:
            NameRefusedError: If the application does not exist.
        """
        self._require_open()
        self._require_app(app)
        request, folder = Request("POST", f"/{app}/default/index", headers), self._applications / app
        sources = [path.read_text("utf-8", errors="replace") for path in sorted((folder / "models").rglob("*.py"))]
        with self._active_root.inside():
            return controller_names(self._gluon, request, folder, [*sources, model])

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that the applications have sent, with the keys that `Lab.mails` names."""
        return self._active_root.outside.mails()

    def forget_ram(self) -> None:
        """Drop what all applications keep in memory, as a restart of the instance does.

        This drops the values in `cache.ram`, the imported modules, the languages, and web2py's `AppConfig`.
        """
        self._active_root.forget_ram()

    def close(self) -> None:
        """Remove the folder with all applications. A second call does nothing."""
        self._end()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self._require_open()
        with self._active_root.inside():
            yield

    def _answer(self, request: Request, recorder: RequestRecorder) -> Response:
        """Return status 500, as a server does, if web2py raises an exception, for example while it sends the body."""
        try:
            return call(self._gluon.main.wsgibase, to_web2py(request), request)
        except BaseException as error:
            recorder.record_broken_body(error)
            return Response(500, "INTERNAL SERVER ERROR", request=request)

    def _recorder(self, request: Request) -> RequestRecorder:
        return RequestRecorder(self._gluon, request, self._applications, self._ticket_numbers)

    def _changed(self, path: str) -> None:
        """Make web2py read a changed file again. web2py itself compares mtimes, which are too coarse."""
        self._reader.forget()
        with self._active_root.inside():
            self._active_root.forget_sources()
            if path.startswith(("modules/", "languages/", "private/")):
                self._active_root.forget_modules()
            if path == ROUTES or path.startswith("controllers/"):  # parametric routers list the controllers
                try:
                    self._gluon.rewrite.load()
                except (KeyboardInterrupt, HandlerStopped):
                    raise
                except BaseException as error:  # also SystemExit and GeneratorExit
                    raise SourceError(_explain_routes(error, self.root)) from None

    def _find(self, path: str, app: str) -> Path:
        self._require_open()
        if path == ROUTES:
            return self.root / ROUTES
        self._require_app(app)
        return self._applications / app / path

    def _require_app(self, app: str) -> None:
        if app not in self.apps:
            raise NameRefusedError(
                f"the application {quoted(app)} doesn't exist; the applications are: {', '.join(self.apps)}"
            )

    def _require_open(self) -> None:
        if not self._end.alive:
            raise LabClosedError("this lab was closed, and its files were removed. Make a new lab: lab = Lab()")


def _end(active_root: ActiveRoot) -> None:
    active_root.end()
    app_files.remove_root(active_root.root)


def _explain_routes(error: BaseException, root: Path) -> str:
    """Return a message about routes.py. web2py runs its source as a string, so Python names the file "<string>"."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<string>"]
    where, advice = f"{ROUTES}: ", "Correct the rule that the message names. The previous routes are kept."
    if lines:
        number = lines[-1] or 1
        source = (root / ROUTES).read_text("utf-8").splitlines()
        where, advice = app_files.show_line(ROUTES, number, None, source[number - 1]) + "\n", "Correct that line."
    if "compile_regex()" in str(error):
        advice = "routes_in and routes_out are lists of pairs: [('/from', '/to')]. The previous routes are kept."
    return f"{where}{name_and_message(error)}\n{advice}"
