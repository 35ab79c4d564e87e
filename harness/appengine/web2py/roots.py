"""Several web2py roots in one process: what gluon keeps per process is exchanged when another root's turn comes."""

from __future__ import annotations

import builtins
import importlib
import os
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.boot import Gluon
from harness.appengine.web2py.process_state import Output, ProcessState, captured
from harness.errors import HarnessError

_turn = threading.Lock()
_holder: int | None = None  # the thread whose turn it is
_current: ActiveRoot | None = None  # the root that gluon is set to; stays after the call, so that the next one is cheap


class ActiveRoot:
    """One root's share of gluon's process-wide state: settings, routes, caches, imported modules.

    Args:
        root: the folder that has the folder `applications` in it.
    """

    def __init__(self, gluon: Gluon, root: Path) -> None:
        self.root = root
        self._folder = str(root)
        self._gluon = gluon
        self._routes: tuple[Any, ...] = (gluon.rewrite._params_default(app=None), None, {})
        self._ram: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._app_folders: set[str] = set()
        self._db_sessions: set[str] = set()
        self._modules: dict[str, ModuleType] = {}
        self._random = random.Random("harness")  # session ids and form keys: the same in every run

    @contextmanager
    def inside(self) -> Iterator[Output]:
        """Let web2py run on this root, and put everything back afterwards.

        Yields:
            The Output that catches what is printed.

        Raises:
            HarnessError: web2py is at work on this thread already.
        """
        with _one_at_a_time(), ProcessState(), self._connections(), captured() as output:
            self._take_turn()
            os.chdir(self._folder)  # web2py runs in its root; and nothing is written beside the notebook
            sys.path.insert(0, self._folder)
            sys.dont_write_bytecode = True  # a .pyc is found stale by its mtime, in whole seconds
            builtins.__import__ = self._gluon.custom_import.custom_importer
            try:
                yield output
            finally:
                self._gluon.globals.current.__dict__.clear()

    def load_routes(self) -> None:
        """Read routes.py anew; what it raises goes through."""
        self._gluon.rewrite.load()

    def forget_sources(self) -> None:
        """Drop every compiled copy of the applications' files: gluon compares mtimes only, which are too coarse."""
        for name in [name for name in self._gluon.cfs.cfs if name.startswith(self._folder)]:
            del self._gluon.cfs.cfs[name]

    def forget_modules(self) -> None:
        """Let the applications' modules be imported anew."""
        self._modules.clear()
        if _current is self:
            _pop_modules()
        importlib.invalidate_caches()

    def end(self) -> None:
        """Give back what this root holds in the process."""
        global _current
        self.forget_sources()
        self.forget_modules()
        for name in [name for name in sys.path_importer_cache if name.startswith(self._folder)]:
            del sys.path_importer_cache[name]
        if _current is self:
            _current = None

    def _take_turn(self) -> None:
        global _current
        if _current is not self:
            if _current is not None:
                _current._leave()
            _current = self
            self._arrive()
        self._gluon.rewrite.THREAD_LOCAL.routes = self._gluon.rewrite.params

    def _arrive(self) -> None:
        settings, cache = self._gluon.settings.global_settings, self._gluon.cache.CacheInRam
        settings.gluon_parent = settings.applications_parent = self._gluon.main.web2py_path = self._folder
        settings.app_folders, settings.db_sessions = self._app_folders, self._db_sessions
        cache.meta_storage, cache.stats = self._ram
        self._gluon.utils.random = self._random
        self._set_routes(self._routes)
        _drop_singletons()
        _pop_modules()
        sys.modules.update(self._modules)

    def _leave(self) -> None:
        self._routes = self._routes_now()
        self._modules = _pop_modules()

    def _routes_now(self) -> tuple[Any, ...]:
        rewrite = self._gluon.rewrite
        return rewrite.params, rewrite.routers, rewrite.params_apps

    def _set_routes(self, routes: tuple[Any, ...]) -> None:
        rewrite = self._gluon.rewrite
        rewrite.params, rewrite.routers, rewrite.params_apps = routes
        rewrite.THREAD_LOCAL.routes = rewrite.params

    @contextmanager
    def _connections(self) -> Iterator[None]:
        """Keep the kernel's own database connections away from web2py, which closes all that it finds.

        And close those that a handler leaves open: pydal opens one anew where a DAL is used after its request.
        """
        mine: dict[str, Any] = vars(self._gluon.threads)
        kernels = mine.copy()
        mine.clear()
        try:
            yield
        finally:
            for name, value in mine.items():
                if name.startswith("_pydal_connection_") and value is not None:
                    value.close()  # without a commit, which is a rollback
            mine.clear()
            mine.update(kernels)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one thread at a time into web2py; a nested call would lose the outer request's writes with a 200 OK."""
    global _holder
    if _holder == threading.get_ident():
        raise HarnessError(
            "a request is still being answered: from inside a handler, another one cannot be sent. "
            "Let it return first, or add a task, which runs after it"
        )
    with _turn:
        _holder = threading.get_ident()
        try:
            yield
        finally:
            _holder = None


def _drop_singletons() -> None:
    """Drop what gluon keeps per process: configurations by the name of an application, plugins by thread."""
    loaded: dict[str, Any] = dict(sys.modules)
    if "gluon.contrib.appconfig" in loaded:
        vars(loaded["gluon.contrib.appconfig"].AppConfig).clear()
    if "gluon.tools" in loaded:
        loaded["gluon.tools"].PluginManager.instances.clear()


def _pop_modules() -> dict[str, ModuleType]:
    """Take the applications' modules out of `sys.modules`: those of all roots are named `applications.…`."""
    names = [name for name in sys.modules if name == "applications" or name.startswith("applications.")]
    return {name: sys.modules.pop(name) for name in names}


# Folders of labs whose process was killed: the next process that makes a lab removes them.

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "harness-"
_LOCK = ".lock"
_held: dict[Path, int] = {}  # by root: the file descriptor that holds its lock


def hold(root: Path) -> None:
    """Lock a folder that was just made, until `release` or the end of the process."""
    if fcntl is None:
        return
    draft = root / f"{_LOCK}.draft"  # no other process looks at it, so none can lock it before this one
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    draft.rename(root / _LOCK)
    _held[root] = descriptor


def release(root: Path) -> None:
    """Let go of a folder; one that is not held is left alone."""
    descriptor = _held.pop(root, None)
    if descriptor is not None:
        os.close(descriptor)  # no LOCK_UN: a forked process would take the lock from the one that made the lab


@cache
def sweep_once() -> None:
    """Call `sweep` on the folder for temporary files, once per process."""
    sweep(Path(tempfile.gettempdir()))


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder: all of this user's roots that were locked and are so no more."""
    for lock in folder.glob(f"{PREFIX}*/{_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except OSError:  # another user's, or gone by now
            continue
        try:
            if _is_free(descriptor):
                shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Lock the file if nobody holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(descriptor).st_uid == os.geteuid()
