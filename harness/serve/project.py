"""Finds out what the folder of `serve` contains: a web2py application, a web2py tree, or a program with an app.yaml."""

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.appengine.web2py import find_applications
from harness.appengine.web2py.boot import named_tree
from harness.errors import AppFolderError, HarnessError, ProgressError
from harness.serve.app_yaml import APP_YAML, AppYaml, UrlHandler, read_app_yaml
from harness.serve.child import GUARD
from harness.state import state_folder

QUEUE_YAML = "queue.yaml"
_UNUSED_FILES = ("cron.yaml", "dispatch.yaml", "dos.yaml", "index.yaml")
_ROOT = "root"  # the name of the root for web2py, in the state folder
_DEFAULT = "main:app"  # what App Engine runs if app.yaml has no entrypoint
# The address in an entrypoint such as `gunicorn -b :$PORT main:app`. It means all addresses, but only one is safe here.
_OPEN = re.compile(r"(?:(?<![^\s='\"])|(?<=\s-b))(?:0\.0\.0\.0|\[::\])?:(\$PORT|\$\{PORT\})")


@dataclass(frozen=True, slots=True)
class Project:
    """A folder that `serve` serves, or a command that `run` runs.

    Args:
        root: the folder that names the project, and in which a command runs.
        kind: "application", "tree", "app.yaml" or "command".
        queue_yamls: where queue.yaml may be; the first file that exists is used.
        entrypoint: the command that starts a server on $PORT; None for web2py.
        app_yaml: the content of app.yaml.
        gluon: the tree whose `gluon` runs: the folder's own, or that of WEB2PY_PATH; None for the installed `gluon`.
        tree: the folder that web2py uses as its root; None if a root must be made.
        applications: the folders of the applications by name. It is empty if web2py finds them in `tree`.
        routes: the routes.py of a root that must be made.
        unsupported: the files and fields in the folder that have no effect here.
    """

    root: Path
    kind: str
    queue_yamls: tuple[Path, ...]
    entrypoint: list[str] | None = None
    app_yaml: AppYaml = AppYaml()
    gluon: Path | None = None
    tree: Path | None = None
    applications: dict[str, Path] = field(default_factory=dict)
    routes: Path | None = None
    unsupported: tuple[str, ...] = ()

    @property
    def queue_yaml(self) -> Path | None:
        """The queue.yaml that is used, or None."""
        return next((path for path in self.queue_yamls if path.is_file()), None)

    @property
    def env(self) -> dict[str, str]:
        """The variables of app.yaml."""
        return self.app_yaml.env

    @property
    def handlers(self) -> tuple[UrlHandler, ...]:
        """The handlers of app.yaml. The first one that matches a URL applies."""
        return self.app_yaml.handlers

    @property
    def is_web2py(self) -> bool:
        """Whether web2py serves the project."""
        return self.entrypoint is None

    @property
    def compiled(self) -> tuple[Path, ...]:
        """The applications that web2py runs from compiled/. Their changed files have no effect."""
        folders = self.applications.values() if self.tree is None else _applications(self.tree)
        return tuple(each for each in folders if self.is_web2py and (each / "compiled").is_dir())

    @property
    def watched(self) -> tuple[Path, ...]:
        """The folders whose changes may restart the application."""
        top = (self.tree or self.root).resolve()
        more = [*self.applications.values(), *(_applications(self.tree) if self.tree else ()), self.gluon or top]
        outside = {path.resolve() for path in more if not path.resolve().is_relative_to(top)}
        return (top, *sorted(outside))

    def command(self, state: Path, threads: int) -> list[str]:
        """Return the command of the application's process. For web2py, this may create a root with links in `state`.

        Args:
            state: the folder of the project's state.
            threads: the requests that web2py handles at the same time.
        """
        child = [sys.executable, "-P", "-m", "harness.serve.child"]  # -P: the project's files don't hide modules
        if self.entrypoint is not None:
            return [*child, GUARD, *self.entrypoint]
        root = self.tree or _make_root(self, state)
        gluon = [] if self.gluon is None else ["--gluon", str(self.gluon)]
        return [*child, "--root", str(root), *gluon, "--threads", str(threads)]

    def links(self, state: Path) -> dict[Path, Path]:
        """Return the links to applications that `command` creates, each with the folder to which it points."""
        applications = state / _ROOT / "applications"
        return {applications / name: folder for name, folder in self.applications.items()}

    def reread(self) -> "Project":
        """Return the project with the present content of app.yaml."""
        return self if self.kind == "command" else _with_app_yaml(self)


def find_project(folder: Path, web2py: Path | None = None) -> Project:
    """Return the project in a folder.

    Args:
        folder: an application with controllers/, a tree with applications/, or a folder with an app.yaml.
        web2py: the web2py tree to use, instead of the folder's own or the installed one.

    Raises:
        AppFolderError: the folder isn't one of these, or it can't be read.
        AppYamlError: app.yaml has a mistake.
        NameRefusedError: web2py doesn't accept the name of the folder.
    """
    given = Path(os.path.abspath(folder.expanduser()))
    if web2py is not None:
        web2py = _checked_tree(web2py)
    found = _tree(given) or _program(given) or _application(given)
    if web2py is not None:
        if not found.is_web2py:
            raise AppFolderError(
                f"--web2py has no effect, because {given / APP_YAML} has an entrypoint or {given} has main.py"
            )
        found = replace(found, gluon=web2py)
    return found


def command_project(folder: Path, command: Sequence[str]) -> Project:
    """Return a project that runs a command in a folder, which may contain a queue.yaml."""
    return Project(folder, "command", (folder / QUEUE_YAML,), list(command), unsupported=_unused(folder, [APP_YAML]))


def project_state(root: Path) -> Path:
    """Return the folder for a project's state. Its name is derived from the project's path. It may not exist yet.

    Raises:
        HarnessError: the user has no folder for such data.
    """
    try:
        folder = state_folder()
    except ProgressError:
        raise HarnessError(
            "you have no home folder, in which the state of the queues could be saved; pass --state FILE or --fresh"
        ) from None
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", root.name)[:40] or "root"
    digest = hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return folder / "serve" / f"{name}-{digest}"


def _checked_tree(tree: Path) -> Path:
    path = Path(os.path.abspath(tree.expanduser()))
    if not (path / "gluon" / "main.py").is_file():
        raise AppFolderError(f"--web2py {tree} is not a web2py tree, because it doesn't contain gluon/main.py")
    return path


def _tree(folder: Path) -> Project | None:
    """Return the project of a folder with applications/, or None. A folder to deploy isn't a tree."""
    if not (folder / "applications").is_dir() or (folder / "controllers").is_dir():
        return None
    if not _applications(folder):
        raise AppFolderError(f"{folder / 'applications'} contains no application: no folder in it has controllers/*.py")
    has_gluon = (folder / "gluon" / "main.py").is_file()
    if not has_gluon and (folder / APP_YAML).is_file() and read_app_yaml(folder / APP_YAML).entrypoint:
        return None  # its entrypoint loads web2py
    project = Project(
        folder,
        "tree",
        (folder / QUEUE_YAML,),
        gluon=folder if has_gluon else named_tree(),
        tree=folder if has_gluon else None,
        applications={} if has_gluon else {each.name: each for each in _applications(folder)},
        routes=_existing(folder / "routes.py"),
    )
    return _with_app_yaml(project)


def _program(folder: Path) -> Project | None:
    """Return the project of a folder whose app.yaml or main.py starts a server, or None."""
    if not (folder / APP_YAML).is_file():
        return None
    app_yaml = read_app_yaml(folder / APP_YAML)
    if app_yaml.entrypoint is None and (folder / "controllers").is_dir():
        return None
    if app_yaml.entrypoint is None and not (folder / "main.py").is_file():
        raise AppFolderError(
            f"{folder / APP_YAML} has no entrypoint, and {folder} has no main.py whose `app` could be served. Add a "
            "line such as `entrypoint: gunicorn -b :$PORT main:app`."
        )
    return _with_app_yaml(Project(folder, "app.yaml", (folder / QUEUE_YAML,), entrypoint=[]))


def _application(folder: Path) -> Project:
    """Return the project of a folder with controllers/, which may be in a web2py tree."""
    try:
        found = find_applications(folder)
    except AppFolderError as error:
        reason = str(error).removesuffix(".")
        raise AppFolderError(f"{reason}. `serve` needs a web2py application, a web2py tree or app.yaml.") from None
    beside = folder.parent.parent if folder.parent.name == "applications" else folder.parent
    tree = beside if folder.parent.name == "applications" and (beside / "gluon" / "main.py").is_file() else None
    project = Project(
        folder,
        "application",
        (folder / QUEUE_YAML, beside / QUEUE_YAML),
        gluon=tree or named_tree(),
        tree=tree,
        applications={} if tree else dict(found.apps),
        routes=found.routes,
    )
    return _with_app_yaml(project)


def _with_app_yaml(project: Project) -> Project:
    """Return the project with the content of its app.yaml, if it has one."""
    path = project.root / APP_YAML
    app_yaml = read_app_yaml(path) if path.is_file() else AppYaml()
    fields = [f"app.yaml: {each}" for each in app_yaml.unsupported]
    entrypoint = project.entrypoint
    if project.kind == "app.yaml":
        # App Engine passes the entrypoint to a shell, which expands variables.
        waitress = f"{shlex.quote(sys.executable)} -m waitress --listen=127.0.0.1:$PORT {_DEFAULT}"
        command = _OPEN.sub(r"127.0.0.1:\1", app_yaml.entrypoint) if app_yaml.entrypoint else waitress
        entrypoint = ["/bin/sh", "-c", command]
    elif app_yaml.entrypoint is not None:
        fields.append("app.yaml: entrypoint, because web2py serves the folder")
    return replace(project, app_yaml=app_yaml, entrypoint=entrypoint, unsupported=(*fields, *_unused(project.root, [])))


def _unused(folder: Path, more: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in (*_UNUSED_FILES, *more) if (folder / name).is_file())


def _applications(tree: Path) -> list[Path]:
    try:
        return sorted(each for each in (tree / "applications").iterdir() if any(each.glob("controllers/*.py")))
    except OSError as error:
        raise AppFolderError(f"{error.filename} can't be read: {error.strerror}") from None


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _make_root(project: Project, state: Path) -> Path:
    """Make a root for web2py with links to the applications, so that web2py runs the real files, and return it."""
    root = state / _ROOT
    try:
        (root / "applications").mkdir(parents=True, exist_ok=True)
        (root / "applications" / "__init__.py").touch()
        for link, folder in project.links(state).items():
            _link(link, folder)
        if project.routes is not None:
            _link(root / "routes.py", project.routes)
        else:
            (root / "routes.py").unlink(missing_ok=True)  # it may be a link to a file of the user
            if len(project.applications) == 1:
                (root / "routes.py").write_text(
                    f"default_application = {next(iter(project.applications))!r}\n", "utf-8"
                )
    except OSError as error:
        raise HarnessError(f"the folder {root} for web2py can't be created: {error.strerror or error}") from None
    return root


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and os.readlink(link) == str(target):
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
