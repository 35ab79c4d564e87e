"""Which names web2py can serve: applications, and the files that make one up.

web2py matches URLs with `\\w` (gluon/rewrite.py, REGEX_URL) and models with `^\\w+\\.py$` (gluon/compileapp.py), 2.26.1
and 3.3.3 alike. A file whose name does not match is not an error there: it is silently never used. Here it is one.
Letters beyond ASCII match `\\w` too, but not every file system keeps them; they are refused.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from harness.errors import NameRefusedError

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
