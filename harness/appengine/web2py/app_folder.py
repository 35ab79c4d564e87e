"""An existing web2py application, or a whole web2py tree: which files a lab copies from it.

The copy leaves out the files that web2py and its users write while the application runs, and the files of tools such as
Git. It contains all other files, because an application may read folders of any name.
"""

import ast
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from harness.appengine.web2py.app_files import (
    APP_FOLDERS,
    ROUTES,
    check_app,
    check_python,
    explain_disk,
    is_app,
    make_app,
)
from harness.errors import AppFolderError, NameRefusedError, SourceError, quoted

_QUEUE_YAML = "queue.yaml"
_RUNTIME = ("sessions", "errors", "cache", "uploads", "compiled")  # web2py and its users write here
_DATABASES = "databases"
_TOOLS = (".git", ".hg", ".svn", "__pycache__", "node_modules")
_OF_TREE = ("admin", "examples")  # web2py's own applications, which are left out of a tree with several applications
_MODEL = re.compile(r"[\w-]+\.py")  # the models that web2py runs (REGEX_MODEL of gluon/compileapp.py is similar)
_SHOWN = 10  # folders in a message
_DEPTH = 2  # levels below the given folder that are searched for applications, which a message then names


@dataclass(frozen=True, slots=True)
class AppFolder:
    """The applications and the settings that were found in a folder.

    Args:
        apps: the folders of the applications by name. The first one is the first application of the lab.
        routes: the routes.py of the site, or None. An application's own routes.py belongs to its folder.
        queue_yaml: the text of queue.yaml, or None.
        top: symbolic links must not lead out of this folder.
        databases: whether the database files are copied too.
    """

    apps: Mapping[str, Path] = field(default_factory=dict)
    routes: Path | None = None
    queue_yaml: str | None = None
    top: Path = Path()
    databases: bool = False

    def copy_all(self, root: Path) -> None:
        """Copy the applications and routes.py to a root.

        Raises:
            AppFolderError: a file can't be read, or a symbolic link leads out of the folder or nowhere.
            SourceError: a model doesn't compile. The message shows the line, and says so if it is Python 2.
            DiskError: the copy can't be written.
        """
        for name, source in self.apps.items():
            app = make_app(root, name, partial(self._copy, source))
            if len(self.apps) == 1:  # in a tree, an application that doesn't compile makes only its own requests fail
                _check_models(name, app)
            _rename_table_files(source, app)
        if self.routes is not None:
            _copy_file(self.routes, root / ROUTES)

    def _copy(self, source: Path, target: Path) -> None:
        self._copy_tree(source, target, ())
        for name in APP_FOLDERS:
            if (target / name).exists() and not (target / name).is_dir():
                raise AppFolderError(f"{source / name} is a file, but web2py needs a folder of that name. Rename it.")

    def _copy_tree(self, source: Path, target: Path, linked: tuple[Path, ...]) -> None:
        """Copy the contents of a folder.

        Args:
            source: the folder, without symbolic links in its path. If it is an application, or the first folder, the
                files that web2py and its users write aren't copied.
            target: an existing folder.
            linked: the folders whose copies are under way. A link to a folder that contains one of them has no end.
        """
        with _explained(source):
            written = (*_RUNTIME, *(() if self.databases else (_DATABASES,)))
            left_out = set(written) if not linked or _is_application(source) else set()
        for path in _walk(source, left_out):
            copied = target / path.relative_to(source)
            with _explained(path):
                if path.is_symlink():
                    self._copy_link(path, source, copied, linked)
                elif path.is_dir():
                    _make_folder(copied)
                elif path.is_file():  # and not a socket or a pipe
                    _copy_file(path, copied)

    def _copy_link(self, link: Path, source: Path, copied: Path, linked: tuple[Path, ...]) -> None:
        """Copy a link as a link if it leads to a path in the application. Otherwise, copy the file or folder there."""
        leads_to = _follow(link, self.top)
        if leads_to.is_relative_to(source):
            with explain_disk(copied.parent, always=True):
                copied.symlink_to(os.path.relpath(leads_to, link.parent))
        elif not leads_to.is_dir():
            _copy_file(leads_to, copied)
        elif any(each.is_relative_to(leads_to) for each in (*linked, source)):
            raise AppFolderError(f"{link} is a symbolic link to {leads_to}, so a copy would never end. Delete it.")
        else:
            _make_folder(copied)
            self._copy_tree(leads_to, copied, (*linked, source))


def find_applications(path: str | os.PathLike[str], name: str | None = None, databases: bool = False) -> AppFolder:
    """Return what a lab copies from a folder.

    Args:
        path: the folder of an application, with controllers/ in it; or a web2py tree, with applications/ in it.
        name: the name of the application in URLs and imports. By default, it is the name of its folder, with _ instead
            of each character that web2py doesn't allow. For a tree, it must be None.
        databases: whether the database files are copied too.

    Raises:
        AppFolderError: the folder can't be read, or isn't an application or a tree of applications.
        NameRefusedError: `name` isn't a name that web2py allows for an application.
    """
    given = _checked_folder(path)
    folder = given.resolve()
    with _explained(folder):
        if _is_application(folder):
            return _of_application(folder, given, name, databases)
        if (folder / "applications").is_dir():
            return _of_tree(folder, name, databases)
        raise AppFolderError(_explain_folder(folder))


def _checked_folder(path: object) -> Path:
    """Return a folder's absolute path. Symbolic links in it remain, because they have the names that the user knows."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise AppFolderError(f'the path of a folder is needed, such as "applications/shop", not {quoted(path)}')
    try:
        folder = Path(os.path.abspath(Path(os.fsdecode(path)).expanduser()))
        if folder.is_dir():
            return folder
        exists = folder.exists()
    except (OSError, ValueError, RuntimeError) as error:  # no such user, a null byte, a link to itself
        reason = getattr(error, "strerror", None) or error
        raise AppFolderError(f"{quoted(os.fsdecode(path))} can't be read: {reason}") from None
    if not exists:
        raise AppFolderError(f"the folder {folder} doesn't exist")
    hint = " Unpack it first: it is a tar.gz archive." if folder.suffix == ".w2p" else ""
    raise AppFolderError(f"{folder} is a file, and not the folder of a web2py application.{hint}")


def _of_application(folder: Path, given: Path, name: str | None, databases: bool) -> AppFolder:
    """Return what is copied for one application.

    Args:
        folder: the folder without symbolic links.
        given: the folder as the user named it, for example a link applications/shop to a checkout.
        name: see `find_applications`.
        databases: whether the database files are copied too.
    """
    called = check_app(re.sub(r"[^A-Za-z0-9_]", "_", given.name) if name is None else name)
    in_tree = given.parent.name == "applications"
    beside = given.parent.parent if in_tree else given.parent
    # Both files can be in the application's folder. They can also be in the tree or, without a tree, beside the folder.
    # If there are two, the application's queue.yaml is used. But of two routes.py, the other one is used.
    queue_yaml = next((each / _QUEUE_YAML for each in (folder, beside) if (each / _QUEUE_YAML).is_file()), None)
    routes = next((each for each in (beside / ROUTES, folder / ROUTES) if each.is_file()), None)
    if routes == folder / ROUTES and not _is_for_site(routes, called):
        routes = None
    return AppFolder({called: folder}, routes, _read_yaml(queue_yaml), folder, databases)


def _is_for_site(routes: Path, name: str) -> bool:
    """Return whether the routes.py in an application's folder is meant for the site, because it names an application.

    web2py reads an application's own routes.py from its folder. But only the routes.py of the site can choose the
    application for a URL.
    """
    found = _names_and_strings(routes)
    if found is None:  # so that web2py explains the mistake, which it does only for the site's file
        return True
    names, strings = found
    return (
        bool({"BASE", "default_application"} & {*names, *strings})
        or name in names
        or any(re.search(rf"(^|/){name}\b", string) for string in strings)
    )


def _names_and_strings(routes: Path) -> tuple[set[str], list[str]] | None:
    """Return the variables and keywords to which a routes.py assigns, and its strings; None if it doesn't compile."""
    with _explained(routes):
        text = routes.read_text("utf-8", errors="replace")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = [node for each in tree.body if not isinstance(each, ast.Expr) for node in ast.walk(each)]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
    return names, [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _of_tree(tree: Path, name: str | None, databases: bool) -> AppFolder:
    applications, routes, queue_yaml = tree / "applications", tree / ROUTES, tree / _QUEUE_YAML
    found = [each for each in sorted(applications.iterdir()) if _is_application(each)]
    served = [each for each in found if is_app(each.name)]  # web2py ignores copies such as `shop-old`, too
    if not served:
        reason = f"web2py refuses the names {_listed(found, tree)}" if found else "no folder in it has controllers/*.py"
        raise AppFolderError(f"{applications} contains no application: {reason}")
    if name is not None:
        raise NameRefusedError(
            f"name={quoted(name)} isn't allowed for a tree, because its applications have the names of their folders"
        )
    own = [each for each in served if each.name not in _OF_TREE or len(served) == 1]
    if not own:
        raise AppFolderError(
            f"{applications} contains only applications that come with web2py: {_listed(served, tree)}. To test one of "
            "them, pass its folder."
        )
    first = _default_application(routes) if routes.is_file() else ""
    own.sort(key=lambda each: (each.name != first, each.name == "welcome", each.name))
    advice = "Pass the folder of that application instead of the tree."
    apps = {each.name: _follow(each, tree, advice) for each in own}
    return AppFolder(
        apps,
        routes if routes.is_file() else None,
        _read_yaml(queue_yaml if queue_yaml.is_file() else None),
        tree,
        databases,
    )


def _default_application(routes: Path) -> str:
    """Return the application that serves the URL / according to the routes.py of a site, or ""."""
    with _explained(routes):
        text = routes.read_text("utf-8", errors="replace")
    found = re.search(r"^[^#\n]*\bdefault_application['\"]?\s*[=:]\s*['\"](\w+)['\"]", text, re.MULTILINE)
    return found[1] if found else ""


def _follow(path: Path, top: Path, advice: str = "Put the files in the folder instead.") -> Path:
    """Return the path without symbolic links. `advice` ends the message about a link that leads out of the folder.

    Raises:
        AppFolderError: it is a symbolic link that leads out of the folder `top`, or to a path that doesn't exist.
    """
    try:
        leads_to = path.resolve()
        exists = leads_to.exists()
    except (OSError, RuntimeError):  # a link to itself
        leads_to, exists = path, False
    if not leads_to.is_relative_to(top):
        raise AppFolderError(
            f"{path} is a symbolic link to {leads_to}, outside of {top}. The lab doesn't follow it, because the folder "
            f"would be incomplete on another machine. {advice}"
        )
    if not exists:
        raise AppFolderError(f"{path} is a symbolic link to {leads_to}, which doesn't exist. Correct it or delete it.")
    return leads_to


def _check_models(name: str, app: Path) -> None:
    """Compile the models of a copy that run in each request.

    Controllers and models in subfolders aren't compiled here, because a mistake in one of them affects only requests of
    one controller. Many applications contain an unused controller, such as the appadmin.py of an old web2py.
    """
    for path in sorted((app / "models").glob("*.py")):
        if _MODEL.fullmatch(path.name):
            shown = f"{name}/{path.relative_to(app).as_posix()}"
            try:
                source = path.read_text("utf-8")
            except UnicodeDecodeError as error:  # web2py doesn't read the line that names another encoding
                raise SourceError(f"{shown} can't be read as Python: {error}. Save it as UTF-8.") from None
            check_python(source, shown)


def _is_application(folder: Path) -> bool:
    controllers = folder / "controllers"
    return controllers.is_dir() and any(each.suffix == ".py" for each in controllers.iterdir())


def _explain_folder(folder: Path) -> str:
    found = {
        each.parents[1] for depth in range(1, _DEPTH + 1) for each in folder.glob("*/" * depth + "controllers/*.py")
    }
    if found:
        listed = _listed(sorted(found), folder)
        return f"{folder} isn't a web2py application itself, but contains some. Pass the folder of one: {listed}"
    if not any(folder.iterdir()):
        return f"{folder} is empty. A web2py application has the folder controllers/ with a .py file in it."
    return (
        f"{folder} isn't a web2py application, because it has no controllers/*.py; and it isn't a web2py tree, because "
        "it has no applications/"
    )


def _listed(folders: list[Path], top: Path) -> str:
    more = ", …" if len(folders) > _SHOWN else ""
    return ", ".join(each.relative_to(top).as_posix() for each in folders[:_SHOWN]) + more


def _walk(top: Path, left_out: set[str]) -> Iterator[Path]:
    """Yield the folders, files and links of an application that are copied, each folder before its contents."""
    with _explained(top):
        entries = sorted(top.iterdir())
    for path in entries:
        if path.name in left_out or path.name in _TOOLS or path.suffix == ".pyc":
            continue
        with _explained(path):
            is_folder, is_link = path.is_dir(), path.is_symlink()
            if is_folder and "pyvenv.cfg" in os.listdir(path):  # a virtual environment, or a link to one
                continue
            if is_link and path.name.startswith(".#") and not path.exists():  # Emacs marks an open file with it
                continue
        yield path
        if is_folder and not is_link:
            yield from _walk(path, set())


def _make_folder(folder: Path) -> None:
    with explain_disk(folder.parent, always=True):
        folder.mkdir(exist_ok=True)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file with its modification time, which web2py sends as Last-Modified. The copy is always writable."""
    with _explained(source):
        readable = source.open("rb")
        status = os.fstat(readable.fileno())
    with explain_disk(target.parent, always=True), readable:
        with target.open("wb") as writable:
            while data := _read_some(readable, source):
                writable.write(data)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.chmod(target, stat.S_IMODE(status.st_mode) & 0o777 | 0o600)


def _read_some(readable: BinaryIO, source: Path) -> bytes:
    with _explained(source):
        return readable.read(1 << 20)


def _rename_table_files(source: Path, app: Path) -> None:
    """Let pydal find its files about the tables of databases whose URI contains the path of the application.

    The names of these files begin with the hash of the URI. In the lab, the path and so the hash are different.
    """
    for database in sorted((app / _DATABASES).glob("*.sqlite")):
        old, new = (_hash(f"sqlite://{folder / _DATABASES / database.name}") for folder in (source, app))
        for file in sorted(database.parent.glob(f"{old}_*.table")):
            file.rename(file.with_name(file.name.replace(old, new, 1)))


def _hash(uri: str) -> str:
    return hashlib.md5(uri.encode(), usedforsecurity=False).hexdigest()  # as pydal does


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AppFolderError(f"{error.filename or path} can't be read: {error.strerror or error}") from None


def _read_yaml(path: Path | None) -> str | None:
    if path is None:
        return None
    with _explained(path):
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise AppFolderError(f"{path} isn't UTF-8 text: {error}") from None
