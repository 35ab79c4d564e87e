"""Make a Ticket of an exception that shows only the frames in the learner's files.

If an application fails because it needs another database, another service of App Engine, Python 2 or a missing package,
the message explains this.
"""

import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from harness.appengine.web2py.app_files import PYTHON_2, advise
from harness.appengine.web2py.boot import boot
from harness.records import Frame, Ticket

_ENDS = 10  # the frames that are kept at either end of an endless recursion
_WRITES = "response.write("
_PASSWORD = re.compile(r"(://[^\s:/@'\"]*):[^\s'\"]*@")  # in the URI of a database
_ON_APP_ENGINE = re.compile("(google|gae|firestore|datastore)(:|$)")  # the beginning of a URI
_NOT_FOUND = re.compile(r"No module named '?applications\.\w+\.modules\.([\w.]+)'?")  # by web2py's importer
_NO_SERVICE = re.compile('No api proxy found for service "(.+)"')  # by Google's apiproxy_stub_map
# What Python 3 reports about names, modules and methods of Python 2
_OLD_NAME = re.compile(
    "name '(unicode|xrange|basestring|long|unichr|raw_input|reduce|execfile|reload|cmp|file|StandardError)' is not.*"
)
_OLD = re.compile(
    r"No module named '(urllib2|urlparse|HTMLParser|c?StringIO|cPickle|ConfigParser|Queue|httplib|Cookie|cookielib|"
    r"htmlentitydefs|commands|__builtin__|thread|xmlrpclib|md5|sets)'|cannot import name '\w+' from 'urllib'|"
    r"module 'urllib' has no attribute|'\w+' object has no attribute '(iteritems|itervalues|iterkeys|has_key)'|"
    r"unsupported operand type\(s\) for >>: 'builtin_function_or_method'"  # print >>file, text
)


@contextmanager
def without_snapshots() -> Iterator[None]:
    """Let web2py write tickets without a snapshot, in this scope.

    The snapshot shows all variables as HTML (`snapshot` in gluon/restricted.py). It takes most of the time of a request
    that fails, and only web2py's page for tickets reads it.
    """
    restricted = boot().restricted
    snapshot = restricted.snapshot
    restricted.snapshot = lambda **_: {}
    try:
        yield
    finally:
        restricted.snapshot = snapshot


class Sources:
    """The files in a site's folder `applications`. Each is read once, to show its lines.

    `generated` is the Python code that web2py made of the view that failed, or "". The line numbers of a view count the
    lines of this code, because yatl keeps no others.
    """

    def __init__(self, applications: Path, generated: str = "") -> None:
        self._applications = applications
        self._generated = generated.splitlines()
        self._read = cache(_read_lines)

    def frame(self, filename: str, line: int, function: str) -> Frame | None:
        """Return a line as a Frame, or None if the file is not the learner's or has no such line.

        An example of such a line is the one that web2py appends to a controller to call the action.
        """
        path = Path(filename)
        if not path.is_relative_to(self._applications):
            return None
        if path.relative_to(self._applications).parts[1:2] == ("views",):
            path, line = self._in_template(path, line)
        lines = self._read(path)
        if lines and line > len(lines):
            return None
        source = _hide_password(lines[line - 1].strip()) if lines else ""
        return Frame(path.relative_to(self._applications).as_posix(), line, function, source)

    def _in_template(self, view: Path, line: int) -> tuple[Path, int]:
        """Find the line of the view, or of a view that it includes, from which a line of code was generated."""
        code = self._generated[line - 1].strip() if 0 < line <= len(self._generated) else ""
        if code.startswith(_WRITES) and code.endswith(")"):
            code = code[len(_WRITES) : -1]
        folder = self._applications.joinpath(*view.relative_to(self._applications).parts[:2])
        for path in [view, *sorted(folder.rglob("*.*"))] if code else []:
            for number, candidate in enumerate(self._read(path), 1):
                if code in candidate:
                    return path, number
        return view, 1


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:  # a handler may remove its own file
        return []


def make_ticket(id: str, error: BaseException, frames: Iterable[Frame | None]) -> Ticket:
    """Return an exception as a Ticket. Only the first and the last ten of its frames are kept; None is left out."""
    kept = tuple(frame for frame in frames if frame is not None)
    if len(kept) > 2 * _ENDS:
        kept = (*kept[:_ENDS], *kept[-_ENDS:])
    return Ticket(id, type(error).__name__, message_of(error), kept, format_traceback(error, kept))


def learner_frames(error: BaseException, sources: Sources) -> tuple[Frame, ...]:
    """Return the learner's frames of an exception, outermost first. The last of a SyntaxError is its own line."""
    found = [
        sources.frame(frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        own = sources.frame(error.filename, error.lineno or 1, "<module>")
        found.append(own)
        if own is not None:  # for a view, Python reports a line of the generated code
            error.filename, error.lineno = own.file, own.line
    return tuple(frame for frame in found if frame is not None)


def code_of_view(error: BaseException) -> str:
    """Return the code that web2py made of a view and couldn't compile, or "". web2py doesn't keep it in the error."""
    return str(_local(error, "gluon.compileapp", "run_view_in", "scode") or "")


def message_of(error: BaseException) -> str:
    """Return the text of an exception with an explanation, or a note in parentheses if its `__str__` fails."""
    try:
        message = str(error)
    except Exception as failure:
        return f"(its text cannot be shown: {type(failure).__name__})"
    for explain in _EXPLAIN:
        explained = explain(error, message)
        if explained:
            return explained
    return message


def _explain_view(error: BaseException, message: str) -> str:
    """Return the message of web2py's parser of views, such as 'missing "pass" in view', with the view; or ""."""
    view = _local(error, "gluon.compileapp", "run_view_in", "view")
    if not isinstance(error, boot().restricted.RestrictedError) or not isinstance(view, str):
        return ""
    return f"{error.output}s/{view}"


def _explain_database(error: BaseException, message: str) -> str:
    """Return a message with a line that works, if pydal has no adapter for a database of App Engine, or ""."""
    uri = _local(error, "pydal.base", "__init__", "uri") if isinstance(error, SyntaxError) else None
    if not isinstance(uri, str) or not _ON_APP_ENGINE.match(uri):
        return ""
    return f"{message}. {explain_other_database(uri)}"


def explain_other_database(uri: str) -> str:
    """Return why a lab doesn't connect to a database other than SQLite, without its password, and what to write."""
    shown = _hide_password(uri)
    if _ON_APP_ENGINE.match(uri):
        return (
            f"A lab doesn't have the databases of App Engine, such as {shown}. Write: "
            f"db = DAL('sqlite://storage.sqlite') if not request.env.web2py_runtime_gae else DAL({shown!r})"
        )
    return (
        f"a lab doesn't connect to a database server such as {shown}, so that tests can't change real data. Let tests "
        "use SQLite: db = DAL(os.environ.get('DATABASE', 'sqlite://storage.sqlite')). If the URI is in "
        "private/appconfig.ini, replace it there with lab.write('private/appconfig.ini', …)."
    )


def _hide_password(text: str) -> str:
    return _PASSWORD.sub(r"\1:…@", text)


def _explain_python(error: BaseException, message: str) -> str:
    """Return a message that explains Python 2 code or names a missing module as the application does, or "".

    web2py's importer searches the application's modules/ last, and its error names only the module there.
    """
    if isinstance(error, SyntaxError):
        return f"{message}. {PYTHON_2}" if advise(message, error.text or "") == PYTHON_2 else ""
    if not isinstance(error, ImportError | NameError | AttributeError | TypeError):
        return ""
    if name := _OLD_NAME.match(message):
        return f"{name[0]}. Python 2 has a built-in name {name[1]!r}, but web2py runs on Python 3 here."
    named = _NOT_FOUND.sub(r"No module named '\1'", message)
    if _OLD.search(named):
        return f"{named}. {PYTHON_2}"
    advice = "It isn't in the application's modules/, and no package that is installed where the lab runs contains it."
    return f"{named}. {advice}" if named != message else ""


def _explain_configuration(error: BaseException, message: str) -> str:
    """Return a message about a missing or invalid private/appconfig.ini or private/appconfig.json, or "".

    Many repositories contain only a template of this file, because the file contains passwords.
    """
    folder = _local(error, "gluon.contrib.appconfig", "__init__", "priv_folder")
    if folder is None:
        return ""
    existing = [name for name in ("appconfig.ini", "appconfig.json") if (Path(folder) / name).is_file()]
    if existing:
        return f"private/{existing[0]} can't be read: {message.replace(folder, 'private')}"
    templates = sorted(path.name for path in Path(folder).glob("*") if "appconfig" in path.name.lower())
    advice = f"Copy private/{templates[0]} to that name." if templates else "Create this file."
    return f"{message}: the application has no private/appconfig.ini. {advice}"


def _explain_service(error: BaseException, message: str) -> str:
    """Return a message about a service of App Engine that a lab doesn't have, or ""."""
    found = _NO_SERVICE.fullmatch(message) if isinstance(error, AssertionError) else None
    if found is None:
        return ""
    only = "Use cache.ram unless" if found[1] == "memcache" else "Call it only if"
    return (
        f"App Engine's service {found[1]!r} doesn't exist in a lab, which has only the task queue and mail. {only} "
        "request.env.web2py_runtime_gae is set."
    )


def _explain_params(error: BaseException, message: str) -> str:
    """Return a message about a value of `params` that Google's client reads without end, or ""."""
    found = _local(error, "google.appengine.api.taskqueue.taskqueue", "_flatten_params", "value")
    if type(found).__name__ != "Reference":
        return ""
    name = _local(error, "google.appengine.api.taskqueue.taskqueue", "_flatten_params", "key").decode()
    return (
        f"{message}. The value of {name!r} in params is a pydal Reference, as form.vars.id is. Google's client takes "
        f"it for a list and never comes to its end. Write: params=dict({name}=int(…))"
    )


def _local(error: BaseException, module: str, function: str, name: str) -> Any:
    """Return a local variable of a function in an exception's traceback, or None.

    Args:
        error: the exception.
        module: the name of the function's module, or the beginning of it.
        function: the name of the function. If the traceback contains several calls, the innermost one counts.
        name: the name of the variable.
    """
    value = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == function and str(frame.f_globals.get("__name__")).startswith(module):
            value = frame.f_locals.get(name)
    return value


def name_and_message(error: BaseException) -> str:
    """Return an exception as the last line of a traceback ("ValueError: too large")."""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def format_traceback(error: BaseException, frames: Iterable[Frame]) -> str:
    """Return the traceback in the format of Python, with these frames only."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"    {frame.source}"] if frame.source else []
    return "\n".join([*lines, name_and_message(error)])


_EXPLAIN = (
    _explain_view,
    _explain_database,
    _explain_python,
    _explain_configuration,
    _explain_service,
    _explain_params,
)
