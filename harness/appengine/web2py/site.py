"""`Site`: one web2py root folder with its applications, and requests through real web2py."""

from __future__ import annotations

import itertools
import traceback
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.appengine.web2py.app_files import (
    ROUTES,
    check_app,
    check_path,
    check_python,
    list_files,
    make_app,
    make_root,
    remove_root,
    replace_file,
    show_line,
)
from harness.appengine.web2py.boot import boot
from harness.appengine.web2py.database import read_rows
from harness.appengine.web2py.environ import Address, read_address, to_web2py
from harness.appengine.web2py.instrumentation import RequestRecorder, instrument
from harness.appengine.web2py.roots import ActiveRoot
from harness.appengine.web2py.tickets import message_of
from harness.appengine.wsgi import call
from harness.errors import LabClosedError, NameRefusedError, SourceError
from harness.records import Request, Response

# routes.py: read by web2py when it changes, and what is wrong in it told in the learner's own lines.


def load_routes(tenancy: ActiveRoot) -> None:
    """Let web2py read the root's routes.py, if there is one; else its routes are the default ones.

    Raises:
        SourceError: it does not run, or web2py makes no sense of what it defines.
    """
    try:
        tenancy.load_routes()
    except (Exception, SystemExit) as error:
        raise SourceError(_explain(error, tenancy)) from None


def _explain(error: BaseException, tenancy: ActiveRoot) -> str:
    """Say what is wrong. web2py runs the file as a string, so that its frames are those of the file "<string>"."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<string>"]
    where = f"{ROUTES}: "
    if lines:
        number = lines[-1] or 1
        source = (tenancy.root / ROUTES).read_text("utf-8").splitlines()
        where = show_line(ROUTES, number, None, source[number - 1]) + "\n"
    advice = "Correct that line." if lines else "Correct the rule that it names; the routes of before stay in force."
    if "compile_regex()" in str(error):
        advice = "routes_in and routes_out are lists of pairs: [('/from', '/to')]; the routes of before stay in force."
    return f"{where}{type(error).__name__}: {message_of(error)}\n{advice}"


class Site:
    """A web2py root with applications made from a skeleton; several sites in one process do not see each other.

    The first one loads web2py: the installed one, or that in the environment variable WEB2PY_PATH.

    Args:
        apps: the names of the applications; each has a database of its own.

    Attributes:
        root: the folder, a temporary one, gone with the site.
        apps: the names of its applications.

    Raises:
        NameRefusedError: a name that web2py cannot serve.
        Web2pyNotFoundError: there is no web2py.
    """

    def __init__(self, apps: Iterable[str] = ("tutorial",)) -> None:
        names = [check_app(name) for name in ([apps] if isinstance(apps, str) else apps)]
        self.apps: tuple[str, ...] = ()
        self._gluon = boot()
        self.root = make_root()
        self._applications = self.root / "applications"
        self._tenancy = ActiveRoot(self._gluon, self.root)
        self._seams = instrument(self._gluon)
        self._tickets = itertools.count(1)
        self._end = weakref.finalize(self, _end, self._tenancy)
        for name in names:
            self.add_app(name)

    def add_app(self, name: str) -> None:
        """Add an application; one that is there already stays as it is.

        Raises:
            NameRefusedError: a name that web2py cannot serve.
        """
        self._require_open()
        if check_app(name) in self.apps:
            return
        make_app(self.root, name)
        self.apps += (name,)
        self._changed(ROUTES)

    def write(self, path: str, source: str, app: str = "tutorial") -> None:
        """Write a file of an application: "controllers/default.py", "models/db.py", "views/default/index.html".

        Python is compiled first. A file that is refused changes nothing. "routes.py" belongs to the whole site.

        Raises:
            NameRefusedError: there is no such application, or web2py would not find a file of that name.
            SourceError: the source is no text, does not compile, or is empty where web2py needs a function.
        """
        self._require_open()
        file = self._find(check_path(path), app)
        name = path if path == ROUTES else f"{app}/{path}"
        if not isinstance(source, str):
            raise SourceError(f"{name} is a file of text: give its source as str, not as {type(source).__name__}")
        if path.endswith(".py"):
            check_python(source, name, needs_code=path.startswith("controllers/"))
        try:
            data = source.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SourceError(f"{name} holds {error.object[error.start]!r}, which is no character; delete it") from None
        try:
            before = replace_file(file, data)
        except OSError as error:  # too long, or a folder has that name
            raise NameRefusedError(f"{path!r} cannot be written: {error.strerror}; take another name") from None
        try:
            self._changed(path)
        except BaseException:
            replace_file(file, before)
            self._changed(path)
            raise

    def read(self, path: str, app: str = "tutorial") -> str:
        """Return the text of a file; NameRefusedError, with the files that there are, when it does not exist."""
        self._require_open()
        file = self._find(check_path(path), app)
        if not file.is_file():
            known = ", ".join(list_files(self._applications / app))
            raise NameRefusedError(f"{app!r} has no file {path!r}; it has: {known}")
        return file.read_text("utf-8")

    def call(self, request: Request) -> Response:
        """Send one request through web2py, and return the answer with all that could be seen meanwhile.

        It raises nothing that a handler raises, but for KeyboardInterrupt; that one comes after the transaction was
        rolled back, as for every exception that is not caught. `HTTP` of any status commits, in web2py, too.
        """
        self._require_open()
        recorder = RequestRecorder(self._gluon, request, self._applications, lambda: next(self._tickets))
        with self._tenancy.inside() as output, self._seams.watched(recorder):
            response = self._answer(request, recorder)
        if recorder.interrupted:
            raise KeyboardInterrupt
        return recorder.fill(response, output.text)

    def rows(self, table: str, app: str = "tutorial") -> list[dict[str, Any]]:
        """Return the rows of a table as the application's own models see them, in the order of their id.

        Raises:
            UnknownTableError: no model defines it.
            SourceError: a model does not work.
            NameRefusedError: there is no such application.
        """
        self._require_open()
        self._require_app(app)
        with self._tenancy.inside():
            return read_rows(self._gluon, table, app, self._applications)

    def address(self, request: Request) -> Address | None:
        """Return which action web2py reads from the URL of a request, after routes.py; None where it refuses it."""
        self._require_open()
        with self._tenancy.inside():
            return read_address(self._gluon, request)

    def close(self) -> None:
        """Remove the folder with all applications; a second time does nothing."""
        self._end()

    def _answer(self, request: Request, recorder: RequestRecorder) -> Response:
        """Answer 500 where web2py lets an exception out, as a server does: from a body that is a generator, mostly."""
        try:
            return call(self._gluon.main.wsgibase, to_web2py(request), request)
        except BaseException as error:
            recorder.broke_off(error)
            return Response(500, "INTERNAL SERVER ERROR", request=request)

    def _changed(self, path: str) -> None:
        """Make web2py read anew what depends on a file; its own look at the mtimes is too coarse."""
        with self._tenancy.inside():
            self._tenancy.forget_sources()
            if path.startswith("modules/"):
                self._tenancy.forget_modules()
            if path == ROUTES or path.startswith("controllers/"):  # parametric routers list the controllers
                load_routes(self._tenancy)

    def _find(self, path: str, app: str) -> Path:
        if path == ROUTES:
            return self.root / ROUTES
        self._require_app(app)
        return self._applications / app / path

    def _require_app(self, app: str) -> None:
        if app not in self.apps:
            raise NameRefusedError(f"there is no application {app!r}; there are: {', '.join(self.apps)}")

    def _require_open(self) -> None:
        if not self._end.alive:
            raise LabClosedError("this lab was closed, and its files are gone; make a new one: lab = Lab()")


def _end(tenancy: ActiveRoot) -> None:
    tenancy.end()
    remove_root(tenancy.root)
