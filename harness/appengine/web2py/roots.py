"""Run several web2py roots in one process by exchanging the state that gluon keeps per process.

It also removes the folders of killed processes. A process locks a file in each of its roots and its other temporary
folders. A folder whose lock is free belongs to a process that has ended, and the next process that makes such a folder
removes it.
"""

import builtins
import http.cookies
import importlib
import inspect
import linecache
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from harness.appengine.web2py.outside import Outside
from harness.appengine.web2py.process_state import Captured, Output, ProcessState, ignore_library_warnings
from harness.errors import HarnessError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "harness-"
_LOCK = ".lock"
_locks: dict[Path, int] = {}  # from a root to the file descriptor that holds its lock

# Python before 3.11.10 and 3.12.6 needs minutes for a cookie of 150,000 backslashes (python/cpython#123067). No limit
# stops it, and Ctrl-C waits for it, because web2py parses the cookies of a request.
_PARSES_COOKIES_SLOWLY = not hasattr(http.cookies, "_unquote_sub")
_quoted_character = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")

_current: "ActiveRoot | None" = None  # the root whose state gluon has; it stays, so that its next request is fast
_beside: list["ActiveRoot"] = []  # the roots whose code may run between requests, the innermost last
_foreign: set[str] = set()  # the names of modules that no root contains, so that each is looked at only once


class ActiveRoot:
    """The share of one root in gluon's process-wide state: settings, routes, caches and imported modules."""

    def __init__(self, gluon: ModuleType, root: Path) -> None:
        self.root = root
        self._folder = str(root)
        self._gluon = gluon
        self.outside = Outside(str(root / "applications"))
        self._routes: tuple[Any, ...] = (gluon.rewrite._params_default(app=None), None, {})
        self._ram: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._languages: dict[str, Any] = {}  # its locks are freed after each request, so it must not have other roots'
        self._app_folders: set[str] = set()
        self._db_sessions: set[str] = set()
        self._modules: dict[str, ModuleType] = {}
        self._random = random.Random("harness")  # makes the same session ids and form keys in every run

    @contextmanager
    def inside(self) -> Iterator[Output]:
        """Let web2py run on this root in this scope, and restore the state of the process afterwards.

        Yields the Output that receives what is printed.

        Raises:
            HarnessError: If web2py already runs in this thread.
        """
        with _turn, ProcessState(), self.outside, _Connections(), warnings.catch_warnings(), Captured() as output:
            ignore_library_warnings()
            self._activate()
            os.chdir(self._folder)  # so that a relative path of a handler is not in the notebook's folder
            sys.path.insert(0, self._folder)
            sys.dont_write_bytecode = True  # Python finds a stale .pyc by its mtime, which counts whole seconds
            builtins.__import__ = self._gluon.custom_import.custom_importer
            if _PARSES_COOKIES_SLOWLY:
                http.cookies._unquote = _unquote  # type: ignore[assignment]
            current = vars(self._gluon.globals.current)
            outer = current.copy()  # the values of an open `with lab.db()` block, if there is one
            try:
                yield output
            finally:
                current.clear()
                current.update(outer)
                _free_locks(self._gluon)
                if _beside:
                    _beside[-1]._activate()

    @contextmanager
    def beside(self, paths: list[str]) -> Iterator[None]:
        """Let the caller run the application's code in this scope, for example a callback of its DAL.

        As in `inside`, this code imports its own modules and can't start threads, and its mails are kept. But the
        working folder, the output and the connections stay the caller's. Requests of any root may run in this scope.

        Args:
            paths: the folders of this root that were in `sys.path` when the models had run.
        """
        importer, flag = builtins.__import__, sys.dont_write_bytecode
        with self.outside:
            with _turn:
                self._activate()
            _beside.append(self)
            sys.path[:0] = paths
            builtins.__import__, sys.dont_write_bytecode = self._gluon.custom_import.custom_importer, True
            try:
                yield
            finally:
                builtins.__import__, sys.dont_write_bytecode = importer, flag
                for path in paths:
                    with suppress(ValueError):  # the caller has removed it
                        sys.path.remove(path)
                _beside.remove(self)

    def paths(self) -> list[str]:
        """Return the folders of this root that are in `sys.path` now."""
        return [path for path in sys.path if path.startswith(self._folder)]

    def forget_sources(self) -> None:
        """Drop the compiled code of all applications. gluon would only compare mtimes, which are too coarse."""
        _drop(self._gluon.cfs.cfs, self._folder)

    def forget_modules(self) -> None:
        """Drop the imported modules, languages and configurations of all applications, so that they are read again."""
        self._modules.clear()
        self._languages.clear()
        if _current is self:
            _drop_singletons()
            _pop_modules(self._folder)
        _invalidate_caches()

    def forget_ram(self) -> None:
        """Drop what all applications keep in memory: `cache.ram`, modules, languages and configurations."""
        for values in self._ram:
            values.clear()
        self.forget_modules()

    def end(self) -> None:
        """Drop everything that the process keeps for this root."""
        global _current
        self.forget_sources()
        self.forget_modules()
        # Python keeps the lines and the modules of files for tracebacks, and web2py keeps languages.
        for cached in (self._gluon.cfs.cfs, sys.path_importer_cache, linecache.cache, inspect.modulesbyfile):
            _drop(cached, self._folder)
        if _current is self:
            _current = None

    def _activate(self) -> None:
        global _current
        rewrite = self._gluon.rewrite
        if _current is not self:
            if _current is not None:
                _current._routes = rewrite.params, rewrite.routers, rewrite.params_apps
                _current._modules = _pop_modules(_current._folder)
            _current = self
            self._set_state()
        rewrite.THREAD_LOCAL.routes = rewrite.params

    def _set_state(self) -> None:
        settings, cache = self._gluon.settings.global_settings, self._gluon.cache.CacheInRam
        settings.gluon_parent = settings.applications_parent = self._gluon.main.web2py_path = self._folder
        settings.app_folders, settings.db_sessions = self._app_folders, self._db_sessions
        cache.meta_storage, cache.stats = self._ram
        self._gluon.languages.global_language_cache = self._languages
        self._gluon.utils.random = self._random
        rewrite = self._gluon.rewrite
        rewrite.params, rewrite.routers, rewrite.params_apps = self._routes
        _drop_singletons()
        _pop_modules(self._folder)
        sys.modules.update(self._modules)


def running_folder() -> str | None:
    """Return the folder of the root whose code runs in this thread, or None."""
    if _turn.is_mine():
        return _current._folder if _current is not None else None
    frame: FrameType | None = sys._getframe() if _beside else None
    while frame is not None:
        for root in _beside:
            if frame.f_code.co_filename.startswith(root._folder):
                return root._folder
        frame = frame.f_back
    return None


class _Connections:
    """A context manager that hides the notebook's database connections from web2py, which closes all that it finds.

    At its end it closes the connections that a handler leaves open. pydal opens one if a DAL is used after its request.
    """

    def __enter__(self) -> None:
        self._present: dict[str, Any] = vars(_pydals_globals().THREAD_LOCAL)
        self._notebooks = self._present.copy()
        self._present.clear()

    def __exit__(self, *error: object) -> None:
        for name, value in self._present.items():
            if name.startswith("_pydal_connection_") and value is not None:
                value.close()  # a close without a commit rolls back
        self._present.clear()
        self._present.update(self._notebooks)


def _unquote(text: str | None) -> str | None:
    """Return the value of a quoted cookie, as `http.cookies` does in newer versions of Python."""
    if text is None or len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    return _quoted_character.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], text[1:-1])


class _Turn:
    """A context manager that lets one thread at a time run web2py.

    A request from inside a handler is refused. It would lose the writes of the outer request, which would still get
    the status 200.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: int | None = None  # the thread in which web2py runs

    def is_mine(self) -> bool:
        """Return whether web2py runs in this thread."""
        return self._running == threading.get_ident()

    def __enter__(self) -> None:
        if self.is_mine():
            raise HarnessError(
                "a request is still running, so its handler cannot send another one. "
                "Send it after the handler has returned, or add a task, which runs later."
            )
        self._lock.acquire()
        self._running = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._running = None
        self._lock.release()


_turn = _Turn()


@cache  # an `import` statement in a request would pass through web2py's importer
def _pydals_globals() -> Any:
    return importlib.import_module("pydal._globals")


def _free_locks(gluon: ModuleType) -> None:
    """Release the locks of gluon and pydal that this thread still holds.

    gluon does not release the lock of `cache.ram` if an exception is raised while it is held. A time limit, Ctrl-C or
    an invalid regular expression in `cache.ram.clear` raises one. Other threads would wait for the lock without limit.
    """
    of_languages = [lock for _, lock in gluon.languages.global_language_cache.values()]
    of_random = gluon.utils.fast_urandom16.__defaults__[1]
    of_pydal = _pydals_globals().GLOBAL_LOCKER
    for lock in (gluon.cache.CacheInRam.locker, gluon.cfs.cfs_lock, of_pydal, of_random, *of_languages):
        while lock._is_owned():
            lock.release()


def _drop(cached: dict[str, Any], folder: str) -> None:
    """Drop the entries of a cache whose names contain a folder; web2py writes "lang:" in front of some."""
    for name in [name for name in cached if folder in name]:
        del cached[name]


def _invalidate_caches() -> None:
    """Let Python look for the files of modules again.

    Python copies sys.path_importer_cache for this. The garbage collector can run during the copy and end another root,
    which removes entries of this dict. Python then raises RuntimeError.
    """
    for _ in range(9):
        with suppress(RuntimeError):
            return importlib.invalidate_caches()
    importlib.invalidate_caches()


def _drop_singletons() -> None:
    """Drop the objects that gluon keeps per process: configurations by application, and plugins by thread."""
    if config := sys.modules.get("gluon.contrib.appconfig"):
        vars(config.AppConfig).clear()
    if tools := sys.modules.get("gluon.tools"):
        tools.PluginManager.instances.clear()


def _pop_modules(folder: str) -> dict[str, ModuleType]:
    """Remove the applications' modules from `sys.modules`.

    In every root, the names of most of them begin with `applications`. Others are in a folder of the root that an
    application has added to `sys.path`.
    """
    new = sys.modules.keys() - _foreign
    names = {name for name in new if name.partition(".")[0] == "applications" or _is_in(sys.modules[name], folder)}
    _foreign.update(new - names)
    return {name: sys.modules.pop(name) for name in names}


def _is_in(module: object, folder: str) -> bool:
    """Return whether a module's file, or one of the folders of a package without a file, is in a folder."""
    values = getattr(module, "__dict__", {})
    paths = values.get("__file__") or getattr(values.get("__path__"), "_path", None) or ()
    return any(str(path).startswith(folder) for path in ([paths] if isinstance(paths, str) else paths))


def hold(root: Path) -> None:
    """Lock a new root until `release` or the end of the process.

    On Windows, and where the file system has no locks, this does nothing.
    """
    if fcntl is None:
        return
    draft = root / f"{_LOCK}.draft"  # other processes ignore this name, so none of them can lock the file first
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # the file system has no locks, so no other process could see that this one lives
        os.close(descriptor)
        draft.unlink()
        return
    draft.rename(root / _LOCK)
    _locks[root] = descriptor


def release(root: Path) -> None:
    """Release the lock of a root, if this process holds it."""
    descriptor = _locks.pop(root, None)
    if descriptor is not None:
        os.close(descriptor)  # LOCK_UN in a forked process would also release the lock of its parent


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a new folder in this scope, as `hold` does."""
    hold(folder)
    try:
        yield
    finally:
        release(folder)


@cache
def sweep_once() -> None:
    """Call `sweep` on the folder for temporary files, once per process."""
    sweep(Path(tempfile.gettempdir()))


def sweep(folder: Path) -> None:
    """Remove this user's locked roots in a folder if their process has ended. On Windows this does nothing."""
    for lock in folder.glob(f"{PREFIX}*/{_LOCK}") if fcntl is not None else ():
        with suppress(OSError):  # the lock is held, belongs to another user, is a link or was removed
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.geteuid():
                    shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)
