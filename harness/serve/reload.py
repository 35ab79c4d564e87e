"""Follows the files of a project, and decides what to do after a file has changed.

web2py reads controllers, views, models, languages and static files in each request, so the application doesn't restart
after they have changed. web2py imports modules once, and reads routes.py and private/appconfig.ini once.
"""

import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePath

from harness.serve.app_yaml import APP_YAML
from harness.serve.project import QUEUE_YAML, Project

_STEP = 50  # ms without a change, after which a save counts as finished
_DEBOUNCE = 400  # ms, the longest time for which changes are collected
_PERIOD = 500  # ms after which queue.yaml and app.yaml are checked, even if no change was reported
_EARLY = 3.0  # seconds after the start of the application in which it may have changed a file itself
_MOST_EARLY = 3  # the most restarts in a row that such changes of a file cause
_READ_PER_REQUEST = frozenset(
    ("controllers", "models", "views", "languages", "static", "cron")
)  # folders of a web2py application
_WRITTEN = frozenset(("cache", "databases", "errors", "sessions", "uploads", "compiled", "logs", "deposit"))
_CONFIGS = frozenset(("appconfig.ini", "appconfig.json"))  # in private/ of a web2py application
_GENERATED = frozenset(("node_modules", "__pycache__", "htmlcov", "build", "dist", "uploads"))  # folders
_SOURCES = frozenset(
    (".py", ".env", ".html", ".jinja", ".jinja2", ".j2", ".js", ".ts", ".mjs", ".rb", ".php", ".go")
)  # of other programs

Signature = tuple[float, int] | None


class Effect(StrEnum):
    """What must be done after a file has changed."""

    NOTHING = "nothing"
    RESTART = "restart"
    SETTINGS = "settings"
    QUEUES = "queues"


def effect_of(project: Project, path: Path) -> Effect:
    """Return what must be done after a file of a project has changed."""
    if path.name == QUEUE_YAML or path.name == APP_YAML:
        return Effect.NOTHING  # `Reloader` compares the two files that are used
    return Effect.RESTART if _is_source(project, path) and not _is_ignored(project, path) else Effect.NOTHING


def _is_source(project: Project, path: Path) -> bool:
    """Return whether the application reads a file only when it starts."""
    if not project.is_web2py:
        static = any(
            each.is_folder and path.is_relative_to((project.root / str(each.folder)).resolve())
            for each in project.handlers
        )
        return (path.suffix in _SOURCES or path.name in _SOURCES) and not static
    parts = _in_application(project, path)
    if parts[:1] == ("private",):
        return len(parts) == 2 and parts[1] in _CONFIGS
    return path.suffix == ".py" and (not parts or parts[0] not in _READ_PER_REQUEST | _WRITTEN)


def _is_ignored(project: Project, path: Path) -> bool:
    """Return whether a file is in a folder that programs fill, for example with installed packages or built files."""
    top = next((each for each in project.watched if path.is_relative_to(each)), path.parent)
    folders = path.relative_to(top).parent.parts
    names = folders[2:] if folders[:1] == ("applications",) else folders  # an application may have any name
    return (
        any(name.startswith(".") for name in folders)
        or not _GENERATED.isdisjoint(names)
        or any((top.joinpath(*folders[:depth]) / "pyvenv.cfg").is_file() for depth in range(1, len(folders) + 1))
    )


def _in_application(project: Project, path: Path) -> tuple[str, ...]:
    """Return the parts of a path below the folder of its application; () for a file outside of applications."""
    for folder in project.applications.values():
        if path.is_relative_to(folder.resolve()):
            return path.relative_to(folder.resolve()).parts
    for top in project.watched:
        if path.is_relative_to(top):
            parts: tuple[str, ...] = PurePath(path.relative_to(top)).parts
            if parts[:1] == ("applications",):
                return parts[2:]
            return parts if top != project.watched[0] else ()
    return ()


class Reloader:
    """Follows the files of a project in a thread.

    Args:
        project: the project. It may be replaced.
        on_change: called with what must be done, and the file. Files that change together cause at most one restart.
        on_trouble: called with a message if files can't be followed.
        age: returns the seconds since the application began to run.
        follows_queues: whether queue.yaml is used.

    A file that changes each time directly after the application has begun to run isn't followed any more. Otherwise, an
    application that writes the file would restart again and again.
    """

    def __init__(
        self,
        project: Project,
        on_change: Callable[[Effect, Path], None],
        on_trouble: Callable[[str], None],
        age: Callable[[], float],
        follows_queues: bool = True,
    ) -> None:
        self.project = project
        self._age = age
        self._follows_queues = follows_queues
        self._early: Counter[Path] = Counter()  # for each file, how many of its last changes in a row were early
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._stop = threading.Event()
        self._seen = self._signatures()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start to follow the files."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def handle(self, paths: set[Path]) -> None:
        """Handle the files that have changed, and the two settings files if their contents have changed."""
        is_early = self._age() < _EARLY
        needing = [path for path in sorted(paths) if self._needs_restart(path, is_early)]
        now = self._signatures()
        changed = [effect for effect in now if now[effect] != self._seen.get(effect)]
        self._seen = now
        for effect in changed:
            self._on_change(effect, now[effect][0])
        if needing and Effect.SETTINGS not in changed:
            self._on_change(Effect.RESTART, needing[0])

    def _needs_restart(self, path: Path, is_early: bool) -> bool:
        """Return whether a changed file needs a restart, and count its early changes."""
        if self._early[path] > _MOST_EARLY or effect_of(self.project, path) is not Effect.RESTART:
            return False
        self._early[path] = self._early[path] + 1 if is_early else 0
        if self._early[path] <= _MOST_EARLY:
            return True
        name = path.name
        self._on_trouble(
            f"{name} changes whenever the application starts, so its changes have no effect any more; to follow {name} "
            "again, restart this server"
        )
        return False

    def _signatures(self) -> dict[Effect, tuple[Path, Signature]]:
        """Return the settings files in use, each with a signature that changes when the file is written."""
        project = self.project
        queue_yaml = project.queue_yaml or project.queue_yamls[0]
        found = {Effect.QUEUES: queue_yaml} if self._follows_queues else {}
        if project.kind != "command":
            found[Effect.SETTINGS] = project.root / APP_YAML
        return {effect: (path, _signature(path)) for effect, path in found.items()}

    def _run(self) -> None:
        from watchfiles import watch

        while not self._stop.is_set():
            try:
                for changes in watch(
                    *self.project.watched,
                    debounce=_DEBOUNCE,
                    step=_STEP,
                    stop_event=self._stop,
                    rust_timeout=_PERIOD,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                ):
                    self.handle({Path(path) for _, path in changes})
            except (OSError, RuntimeError) as error:  # a folder was deleted, or the system's limit is reached
                self._on_trouble(
                    f"changed files can't be followed: {error}; restart this server after you have changed a module"
                )
                self._poll()

    def _poll(self) -> None:
        """Look only at the settings files."""
        while not self._stop.wait(_PERIOD / 1000):
            self.handle(set())


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime, status.st_size
