"""The files of one web2py root: a temporary folder with applications copied from the folder `skeleton`."""

from __future__ import annotations

import ast
import keyword
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from harness.appengine.web2py import roots
from harness.errors import NameRefusedError, SourceError

SKELETON = Path(__file__).with_name("skeleton")
_PARTS = ("models", "views")
_PACKAGES = ("", "modules")  # so that `from x import y` finds the application's modules, and no one else's


def make_root() -> Path:
    """Make an empty root in the folder for temporary files; its path has no symbolic links in it."""
    roots.sweep_once()
    root = Path(tempfile.mkdtemp(prefix=roots.PREFIX)).resolve()
    roots.hold(root)
    (root / "applications").mkdir()
    (root / "applications" / "__init__.py").touch()  # else an installed package `applications` goes before it
    return root


def make_app(root: Path, name: str) -> None:
    """Make an application from the skeleton; one that is there already stays as it is."""
    app = root / "applications" / name
    for part in _PARTS:
        shutil.copytree(SKELETON / part, app / part, copy_function=shutil.copyfile)
    (app / "controllers").mkdir()
    (app / "databases").mkdir()  # web2py makes it at the first request, which may come after a look at a table
    for package in _PACKAGES:
        (app / package).mkdir(exist_ok=True)
        (app / package / "__init__.py").touch()


def remove_root(root: Path) -> None:
    """Remove a root and all that is in it, as far as it is still there."""
    roots.release(root)
    shutil.rmtree(root, ignore_errors=True)


def list_files(app: Path) -> list[str]:
    """Return the paths of an application's own files, without the databases, sessions and tickets."""
    folders = ("controllers", "models", "modules", "views", "static")
    files = (file for folder in folders for file in sorted((app / folder).rglob("*")) if file.is_file())
    return [file.relative_to(app).as_posix() for file in files if file.name != "__init__.py"]


def replace_file(file: Path, data: bytes | None) -> bytes | None:
    """Write a file, or remove it where `data` is None; return what was in it before, or None."""
    before = file.read_bytes() if file.exists() else None
    if data is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return before


# Which names web2py can serve: applications, and the files that make one up.

ROUTES = "routes.py"
_NAME = "[A-Za-z0-9_]+"
_LONGEST = 100  # characters; file systems take from 143 on
_NAME_RULE = "letters a-z and A-Z, digits and _"


@dataclass(frozen=True)
class _Folder:
    """One folder of an application: what a path in it must look like, and how to say that."""

    pattern: str
    rule: str
    example: str


_FOLDERS = {
    "controllers": _Folder(rf"{_NAME}\.py", f"{_NAME_RULE}, then .py", "controllers/default.py"),
    "models": _Folder(rf"({_NAME}/){{0,2}}{_NAME}\.py", f"{_NAME_RULE}, then .py", "models/db.py"),
    "modules": _Folder(
        r"([A-Za-z_]\w*/)*[A-Za-z_]\w*\.py",
        "what `import` takes: a letter or _, then letters, digits and _",
        "modules/mail.py",
    ),
    "views": _Folder(r"([\w-]+/)*[\w-]+(\.\w+)+", f"{_NAME_RULE} and -, then an extension", "views/default/index.html"),
    "static": _Folder(
        r"([\w=@$%+-][\w=@$%+.-]*/)*[\w=@$%+-][\w=@$%+.-]*",
        f"{_NAME_RULE}, and any of = @ $ % + . -",
        "static/logo.txt",
    ),
}


def check_app(name: object) -> str:
    """Return the name of an application if web2py can serve it.

    Raises:
        NameRefusedError: it cannot, and which characters it can.
    """
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise NameRefusedError(f"{name!r} cannot be an application: web2py allows {_NAME_RULE}, at least one")
    if len(name) > _LONGEST:
        raise NameRefusedError(f"an application has a folder of its name, and {name[:20]!r}… is too long for one")
    return name


def check_path(path: object) -> str:
    """Return the path of a file in an application, such as "controllers/default.py", if web2py would find it there.

    Raises:
        NameRefusedError: it would not; the message says what is allowed.
    """
    if path == ROUTES:
        return ROUTES
    if not isinstance(path, str) or not path:
        raise NameRefusedError(f'{path!r} is no path; name a file of the application, such as "controllers/default.py"')
    if path.startswith(("/", "~")) or "\\" in path or re.match("[A-Za-z]:", path):
        raise NameRefusedError(
            f'{path!r} does not start inside the application; write it like "controllers/default.py"'
        )
    if ".." in path.split("/"):
        raise NameRefusedError(f"{path!r} leads out of the application; leave out the ..")
    top, _, rest = path.partition("/")
    if top not in _FOLDERS or not rest:
        raise NameRefusedError(
            f"{path!r} is not in a folder that web2py reads: "
            f"start it with {', '.join(f'{each}/' for each in _FOLDERS)} or name {ROUTES}"
        )
    _check_below(path, rest, _FOLDERS[top])
    return path


def _check_below(path: str, rest: str, folder: _Folder) -> None:
    if not re.fullmatch(folder.pattern, rest, re.ASCII):
        raise NameRefusedError(f'web2py would never use {path!r}: allowed are {folder.rule}, as in "{folder.example}"')
    if path == "controllers/static.py":
        raise NameRefusedError(f"{path!r} can never be reached: web2py serves files below /static/; take another name")
    reserved = [name for name in path.removesuffix(".py").split("/") if keyword.iskeyword(name)]
    if path.startswith("modules/") and reserved:
        raise NameRefusedError(
            f"{path!r} can never be imported: {reserved[0]!r} is a word of Python; take another name"
        )


# Compiles what a learner wrote before web2py sees it, and explains what does not compile.

# From the words of Python's message, or of the line itself, to what to try next; the first that fits wins.
_ADVICE = (
    (r"inconsistent use of tabs|unindent does not match|unexpected indent|unexpected unindent",
     "Indent the lines of one block alike, with four spaces and no tabs."),
    (r"expected an indented block", "Indent what belongs to the line before by four spaces; an empty body is `pass`."),
    (r"was never closed", "Close that bracket."),
    (r"unmatched|does not match opening", "Every closing bracket needs its opening one."),
    (r"unterminated (triple-quoted )?(f-)?string", "Close the quotes; a string of several lines needs three of them."),
    (r"expected ':'", "Put a colon at the end of the line."),
    (r"Missing parentheses in call|multiple exception types must be|<>|print\s",
     "That is Python 2. Here web2py runs on Python 3."),
    (r"null bytes|U\+|non-printable|invalid character", "Delete that character and type it anew."),
    (r"\.{4,}", "The dots stand for code that was left out: put your own there, or delete them."),
    (r"cannot assign|Maybe you meant '=='", "One = sets a name; two, ==, compare."),
    (r"forgot a comma", "Put a comma between the two."),
    (r"outside function", "Indent it into the function that it belongs to."),
    (r"outside async function", "web2py's actions are plain functions: leave out `await`."),
)  # fmt: skip
_ANYTHING = "Correct that line, or the end of the one before."


def check_python(source: str, name: str, *, needs_code: bool = False) -> None:
    """Compile Python source.

    Args:
        source: the text of the file.
        name: what to call the file in messages ("tutorial/controllers/default.py").
        needs_code: whether a file without any statement is refused.

    Raises:
        SourceError: it does not compile; the message shows the line, where in it, and what to try next.
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
    except ValueError as error:  # lone surrogates; null bytes, in some versions
        raise SourceError(f"{name} cannot be compiled: {error}. {_advice(str(error), '')}") from None
    if needs_code and not tree.body:
        raise SourceError(f"{name} holds no code yet; web2py needs a function in it: def index(): return 'hello'")


def show_line(name: str, line: int, column: int | None, text: str) -> str:
    """Return a line of source as messages show it: where it is, the line itself, and a caret below it."""
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
    message = error.msg[:1].lower() + error.msg[1:] if error.msg[:2].istitle() else error.msg
    return f"{show_line(name, line, error.offset, text)}\n{type(error).__name__}: {message}\n{_advice(error.msg, text)}"


def _advice(message: str, text: str) -> str:
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, message) or re.search(pattern, text))
    return next(found, _ANYTHING)
