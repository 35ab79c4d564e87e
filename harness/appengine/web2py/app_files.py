"""The files of one web2py root: the folder itself, the names that web2py allows, and a syntax check of the source."""

import ast
import errno
import keyword
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from harness.appengine.web2py import roots
from harness.errors import DiskError, NameRefusedError, SourceError, quoted

ROUTES = "routes.py"
BEFORE = ".before"  # in a root: the previous file, while a write is under way
# The folders that web2py makes for an application (create_missing_app_folders in gluon/admin.py), except cron.
APP_FOLDERS = (
    *("models", "views", "controllers", "databases", "modules", "errors", "sessions", "cache", "uploads"),
    *("static", "languages", "private"),
)
_SKELETON = Path(__file__).with_name("skeleton")
_NAME = "[A-Za-z0-9_]+"
_NAME_RULE = "letters a-z and A-Z, digits and _"
_LONGEST_NAME = 100  # characters; a file system allows at least 143


class _Folder(NamedTuple):
    """The paths that web2py finds in one folder of an application, as a pattern, in words and by an example."""

    pattern: str
    rule: str
    example: str


_FOLDERS = {
    "controllers": _Folder(rf"{_NAME}\.py", f"{_NAME_RULE}, then .py", "controllers/default.py"),
    "models": _Folder(rf"({_NAME}/){{0,2}}{_NAME}\.py", f"{_NAME_RULE}, then .py", "models/db.py"),
    "modules": _Folder(
        r"([A-Za-z_]\w*/)*[A-Za-z_]\w*\.py",
        "names that `import` accepts (a letter or _, then letters, digits and _)",
        "modules/mail.py",
    ),
    "views": _Folder(r"([\w-]+/)*[\w-]+(\.\w+)+", f"{_NAME_RULE} and -, then an extension", "views/default/index.html"),
    "static": _Folder(
        r"([\w=@$%+-][\w=@$%+.-]*/)*[\w=@$%+-][\w=@$%+.-]*",
        f"{_NAME_RULE}, and any of = @ $ % + . -",
        "static/logo.txt",
    ),
    "languages": _Folder(r"[\w-]+\.py", f"{_NAME_RULE} and -, then .py", "languages/it.py"),
    "private": _Folder(r"([\w-]+/)*[\w-]+(\.[\w-]+)*", f"{_NAME_RULE}, - and .", "private/appconfig.ini"),
}
PYTHON_2 = "That is Python 2, but web2py runs on Python 3 here."
# Text in backticks, a number such as 5L, and `async` as a name. They count only before the first string or comment of
# a line, because Python 3 allows them in strings and comments.
_OLD_OUTSIDE_QUOTES = r"^[^'\"#]*(`|\b(\d+|0[xX][\da-fA-F]+)[lL]\b|\basync\b(?!\s+(def|for|with)\b))"
# A pattern is searched in Python's message and in the line of source. The advice of the first match is shown.
_ADVICE = (
    (r"inconsistent use of tabs|unindent does not match|unexpected indent|unexpected unindent",
     "Indent the lines of one block alike, with four spaces and no tabs."),
    (r"expected an indented block",
     "Indent the body of the previous line by four spaces. Write `pass` for an empty body."),
    (r"was never closed", "Close that bracket."),
    (r"unmatched|does not match opening", "Every closing bracket needs an opening bracket."),
    (r"unterminated (triple-quoted )?(f-)?string", "Close the quotes. A string of several lines needs three quotes."),
    (r"expected ':'", "Put a colon at the end of the line."),
    (r"Missing parentheses in call|multiple exception types must be|leading zeros in|<>|print\s|raise [\w.]+,|"
     r"\bur['\"]|parameters cannot be parenthesized|" + _OLD_OUTSIDE_QUOTES,
     PYTHON_2),
    (r"null bytes|U\+|non-printable|invalid character", "Delete that character and type it again."),
    (r"\.{4,}", "The dots mark code that was left out. Replace them with your own code, or delete them."),
    (r"cannot assign|Maybe you meant '=='", "A single = assigns a value. Use == to compare."),
    (r"forgot a comma", "Put a comma between the two."),
    (r"outside function", "Indent this line, so that it belongs to a function."),
    (r"outside async function", "web2py's actions are plain functions, so leave out `await`."),
)  # fmt: skip


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # another name doesn't help


@contextmanager
def explain_disk(folder: Path | None = None, *, always: bool = False) -> Iterator[None]:
    """Replace an OSError that comes from the disk's state.

    Args:
        folder: the folder that is written to, by default the folder for temporary files.
        always: whether every OSError comes from the disk's state.

    Raises:
        DiskError: the disk is full, read-only or broken. The message names the folder.
    """
    try:
        yield
    except OSError as error:
        if not always and not is_full(error):
            raise
        where = folder or tempfile.tempdir or "the folder for temporary files"  # there may be no such folder
        listed = isinstance(error, shutil.Error) and error.args[0]  # one (source, target, reason) for each file
        reason = error.strerror or (listed[0][-1] if listed else error)
        raise DiskError(
            f"The lab cannot write its files in {where}: {reason}. Make room there, or set TMPDIR to another folder."
        ) from None


def is_full(error: BaseException) -> bool:
    """Return whether an exception comes from a disk that is full, read-only or broken."""
    return isinstance(error, OSError) and error.errno in _FULL


def make_root() -> Path:
    """Make an empty root in the folder for temporary files, and return its path without symbolic links.

    Raises:
        DiskError: the root can't be made.
    """
    with explain_disk(always=True):
        return _make_root()


def _make_root() -> Path:
    roots.sweep_once()
    root = Path(tempfile.mkdtemp(prefix=roots.PREFIX)).resolve()
    roots.hold(root)
    (root / "applications").mkdir()
    (root / "applications" / "__init__.py").touch()  # otherwise Python prefers an installed package `applications`
    return root


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Make a folder for temporary files in this scope. If this process is killed, a later process removes the folder.

    Args:
        purpose: a part of the folder's name.

    Raises:
        DiskError: the folder can't be made.
    """
    with ExitStack() as stack:
        with explain_disk(always=True):
            roots.sweep_once()
            folder = tempfile.TemporaryDirectory(prefix=f"{roots.PREFIX}{purpose}-", ignore_cleanup_errors=True)
            path = Path(stack.enter_context(folder))
            stack.enter_context(roots.held(path))
        yield path


def make_app(root: Path, name: str, copy: Callable[[Path], None] | None = None) -> Path:
    """Make an application from the skeleton, and return its folder.

    Args:
        root: the root.
        name: the name of the application.
        copy: writes the application's files to its empty folder, instead of the skeleton's.

    Raises:
        DiskError: the application's files can't be written.
    """
    app = root / "applications" / name
    with explain_disk(root, always=True):
        app.mkdir()
        if copy is None:
            _write_skeleton(app)
    if copy is not None:
        copy(app)
    with explain_disk(root, always=True):
        # web2py itself makes some of them, but only at the first request.
        for folder in APP_FOLDERS if copy is not None else ("databases", "modules"):
            (app / folder).mkdir(exist_ok=True)
        for package in (app, app / "modules"):  # so that `from x import y` finds the application's own modules
            (package / "__init__.py").touch()
    return app


def _write_skeleton(app: Path) -> None:
    for folder in ("models", "views", "controllers"):
        (app / folder).mkdir()
    for path, data in _skeleton().items():
        (app / path).write_bytes(data)


@cache
def _skeleton() -> dict[str, bytes]:
    """Return the files of a new application by path. They are read once, because a check makes several labs."""
    files = [file for folder in ("models", "views") for file in (_SKELETON / folder).iterdir() if file.suffix != ".pyc"]
    return {file.relative_to(_SKELETON).as_posix(): file.read_bytes() for file in files if file.is_file()}


def remove_root(root: Path) -> None:
    """Remove a root and its files. Files that cannot be removed are ignored."""
    roots.release(root)
    shutil.rmtree(root, ignore_errors=True)


def list_files(app: Path) -> list[str]:
    """Return the paths of an application's source files, relative to the application."""
    files = (file for folder in _FOLDERS for file in sorted((app / folder).rglob("*")) if file.is_file())
    return [file.relative_to(app).as_posix() for file in files if file.name != "__init__.py"]


def replace_file(root: Path, file: Path, data: bytes) -> Callable[[], None]:
    """Write a file of a root, and move the previous file to the name BEFORE in the root, until the caller removes it.

    Returns:
        A function that puts the previous file back, for which a full disk has room too.

    Raises:
        OSError: If the file system refuses the path or has no room. The previous file stays.
    """
    draft, before = root / ".draft", root / BEFORE
    existed = file.exists()
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def put_back() -> None:
        if existed:
            before.replace(file)
        else:
            file.unlink(missing_ok=True)

    try:
        draft.write_bytes(data)
        file.parent.mkdir(parents=True, exist_ok=True)
        if existed:
            file.replace(before)
        draft.replace(file)
    except OSError:
        if existed and not file.exists():
            put_back()
        draft.unlink(missing_ok=True)
        raise
    return put_back


def is_app(name: str) -> bool:
    """Return whether web2py can serve an application of that name."""
    return re.fullmatch(_NAME, name) is not None and len(name) <= _LONGEST_NAME


def check_app(name: object) -> str:
    """Return the name of an application unchanged.

    Raises:
        NameRefusedError: If web2py cannot serve an application of that name.
    """
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise NameRefusedError(
            f"{quoted(name)} cannot be an application, because web2py requires one or more {_NAME_RULE}"
        )
    if len(name) > _LONGEST_NAME:
        raise NameRefusedError(f"{name[:20]!r}… is too long for an application, because a folder gets the same name")
    return name


def check_path(path: object) -> str:
    """Return the path of a file in an application ("controllers/default.py") unchanged.

    Raises:
        NameRefusedError: If web2py would not find a file at that path.
    """
    if path == ROUTES:
        return ROUTES
    if not isinstance(path, str) or not path:
        raise NameRefusedError(f'{quoted(path)} is not a path. Pass a path such as "controllers/default.py".')
    if path.startswith(("/", "~")) or "\\" in path or re.match("[A-Za-z]:", path):
        raise NameRefusedError(f'{quoted(path)} is not inside the application. Write it like "controllers/default.py".')
    if ".." in path.split("/"):
        raise NameRefusedError(f"{quoted(path)} leads out of the application. Leave out the .. in it.")
    top, _, rest = path.partition("/")
    if top not in _FOLDERS or not rest:
        raise NameRefusedError(
            f"{quoted(path)} is not in a folder that web2py reads. "
            f"Start the path with {', '.join(f'{each}/' for each in _FOLDERS)} or pass {ROUTES}."
        )
    _check_in_folder(path, rest, _FOLDERS[top])
    return path


def _check_in_folder(path: str, rest: str, folder: _Folder) -> None:
    if not re.fullmatch(folder.pattern, rest, re.ASCII):
        raise NameRefusedError(
            f'web2py would never use {quoted(path)}. It allows {folder.rule}, as in "{folder.example}".'
        )
    if path == "controllers/static.py":
        raise NameRefusedError(f"web2py can't run {path!r}, because it serves files below /static/. Use another name.")
    reserved = [name for name in path.removesuffix(".py").split("/") if keyword.iskeyword(name)]
    if path.startswith("modules/") and reserved:
        raise NameRefusedError(
            f"{quoted(path)} can't be imported, because {reserved[0]!r} is a keyword. Use another name."
        )


def check_text(source: str, name: str, *, needs_code: bool = False) -> bytes:
    """Return the content of a text file. `name` is the name of the file in messages.

    Raises:
        SourceError: If the source is not a string, has an invalid character, or is Python and fails `check_python`.
    """
    if not isinstance(source, str):
        raise SourceError(f"{name} is a text file. Pass its source as str, not as {type(source).__name__}.")
    if name.endswith(".py"):
        check_python(source, name, needs_code=needs_code)
    try:
        return source.encode("utf-8")
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        raise SourceError(f"{name} holds {character!r}, which is not a valid character. Delete it.") from None


@lru_cache(maxsize=64)  # a check writes the same files into each of its labs
def check_python(source: str, name: str, *, needs_code: bool = False) -> None:
    """Compile Python source without running it. `name` is the name of the file in messages.

    Raises:
        SourceError: If the source does not compile, or if it `needs_code` and contains no statement. The message shows
            the line, the column and advice.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
            compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(_explain(error, source, name)) from None
    except (RecursionError, MemoryError):
        raise SourceError(f"{name} cannot be compiled: an expression in it is nested too deeply, or too long") from None
    except ValueError as error:  # lone surrogates, and null bytes in some versions of Python
        raise SourceError(f"{name} cannot be compiled: {error}. {advise(str(error), '')}") from None
    if needs_code and not tree.body:
        raise SourceError(f"{name} holds no code yet, and web2py needs a function in it: def index(): return 'hello'")


def show_line(name: str, line: int, column: int | None, text: str) -> str:
    """Return a line of source for a message: file and number, then the line, then a caret below a column (from 1)."""
    shown = f"{name}, line {line}"
    if text.strip():
        shown += f"\n    {text.strip()}"
        if column:
            indent = len(text) - len(text.lstrip())
            shown += "\n    " + " " * max(0, column - 1 - indent) + "^"
    return shown


def _explain(error: SyntaxError, source: str, name: str) -> str:
    lines = source.splitlines()
    line = min(error.lineno or 1, max(1, len(lines)))
    text = lines[line - 1] if lines else ""
    where, advice = show_line(name, line, error.offset, text), advise(error.msg, text)
    return f"{where}\n{type(error).__name__}: {error.msg}\n{advice}"


def advise(message: str, text: str) -> str:
    """Return advice about a SyntaxError, given its message and the line of source."""
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, message) or re.search(pattern, text))
    return next(found, "Correct that line, or the end of the previous line.")
