"""Loads real web2py (`gluon`), once per process and only when it is needed, without a trace on the kernel.

The web2py is the installed package web2py-gluon, or the source tree that the environment variable WEB2PY_PATH names.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from harness.appengine.web2py.process_state import ProcessState
from harness.appengine.web2py.pydal_changes import take_back
from harness.errors import Web2pyNotFoundError
from harness.state import pip_install

# Not loaded: no server is ever started, and 2.26.1 and 3.3.3 alike load drivers of their own for databases that the
# lab does not have, which takes a quarter of their start.
_NO_SERVER = "rocket3"
_NO_DRIVERS = ("gluon.contrib.pymysql", "gluon.contrib.pypyodbc", "gluon.contrib.pg8000")
LOCAL_HOSTS = ("127.0.0.1", "::ffff:127.0.0.1", "::1")  # else web2py asks the DNS which these are
_KNOWN = "web2py-gluon==2.26.1"


@dataclass(frozen=True, eq=False)
class Gluon:
    """The parts of web2py that the harness touches."""

    cache: Any
    cfs: Any
    compileapp: Any
    custom_import: Any
    globals: Any
    http: Any
    main: Any
    restricted: Any
    rewrite: Any
    settings: Any
    utils: Any
    dal: Any
    threads: Any  # pydal's thread-local state


@cache
def boot() -> Gluon:
    """Load web2py, if it is not yet loaded.

    Raises:
        Web2pyNotFoundError: WEB2PY_PATH holds no web2py, or none is installed, or it does not work on this Python.
    """
    tree = source_tree()
    with tempfile.TemporaryDirectory(prefix="harness-boot-") as folder, ProcessState(), _quietly(), _stand_ins():
        os.chdir(folder)  # web2py makes folders where it starts, and 2.26.1 wants to start where a file VERSION is
        try:
            _load(tree, Path(folder))
        except Exception as error:
            for name in [name for name in sys.modules if name.partition(".")[0] == "gluon"]:
                del sys.modules[name]
            where = "the installed web2py" if tree is None else f"the web2py in WEB2PY_PATH={str(tree)!r}"
            reason = str(error).partition("\n")[0]
            raise Web2pyNotFoundError(
                f"{where} does not start on Python {sys.version_info[0]}.{sys.version_info[1]}: "
                f"{type(error).__name__}: {reason}\nUse one that is known to work: {pip_install(_KNOWN)}"
            ) from None
        gluon = _parts()
        _settle(gluon)
    return gluon


def source_tree() -> Path | None:
    """Return the folder that WEB2PY_PATH names, or None where the variable is not set.

    Raises:
        Web2pyNotFoundError: there is no web2py in that folder, or another one is loaded already.
    """
    name = os.environ.get("WEB2PY_PATH")
    if name is None:
        return None
    tree = Path(name).expanduser().absolute()
    advice = f"Name the folder of a web2py 3 source tree, or unset it to use the installed one ({pip_install(_KNOWN)})."
    if not name.strip():
        raise Web2pyNotFoundError(f"WEB2PY_PATH is set, but empty: {name!r}. {advice}")
    if not tree.is_dir():
        raise Web2pyNotFoundError(f"WEB2PY_PATH is {name!r}, which is no folder. {advice}")
    if not (tree / "gluon" / "main.py").is_file():
        raise Web2pyNotFoundError(f"WEB2PY_PATH is {name!r}, which holds no gluon/main.py. {advice}")
    loaded = getattr(sys.modules.get("gluon"), "__file__", None)
    if loaded is not None and Path(loaded).resolve() != (tree / "gluon" / "__init__.py").resolve():
        raise Web2pyNotFoundError(f"WEB2PY_PATH is {name!r}, but another web2py is loaded already: restart the kernel")
    return tree


def _load(tree: Path | None, folder: Path) -> None:
    """Load gluon, its settings before anything else.

    3.3.3 loads `main` while the package itself is loaded, so the settings that `main` reads at that moment can only be
    set while the package is in `sys.modules`, but has not run yet.
    """
    spec = _find(tree)
    package = sys.modules.get("gluon") or importlib.util.module_from_spec(spec)
    started = "gluon" in sys.modules
    sys.modules["gluon"] = package
    settings = importlib.import_module("gluon.settings").global_settings
    settings.gluon_parent = settings.applications_parent = str(folder)
    settings.web2py_runtime_handler = True  # else it loads tkinter and its server, and sets LC_CTYPE to "C"
    _write_version(Path(spec.origin or "").parent, folder)
    if not started and spec.loader is not None:
        spec.loader.exec_module(package)
    importlib.import_module("gluon.main")
    if "gluon._compat" in sys.modules:  # only 2.26.1 has this module
        take_back(sys.modules["gluon._compat"])


def _find(tree: Path | None) -> ModuleSpec:
    if "gluon" in sys.modules:  # the notebook imported it before the first lab
        spec = sys.modules["gluon"].__spec__
    elif tree is None:
        spec = importlib.util.find_spec("gluon")
    else:
        spec = PathFinder.find_spec("gluon", [str(tree)])
    if spec is None:
        raise ModuleNotFoundError("there is no package gluon")
    return spec


def _write_version(package: Path, folder: Path) -> None:
    """Write the file VERSION that 2.26.1 reads in the folder it starts in; 3.3.3 has its version in a module."""
    shipped, about = package.parent / "VERSION", package / "__about__.py"
    if about.is_file():
        found = re.search(r'"([\d.]+)"', about.read_text("utf-8"))
        (folder / "VERSION").write_text(f"Version {found[1] if found else '2'}-stable\n", "utf-8")
    elif shipped.is_file():
        (folder / "VERSION").write_bytes(shipped.read_bytes())


def _parts() -> Gluon:
    names = [name for name in Gluon.__dataclass_fields__ if name not in ("dal", "threads")]
    modules = {name: importlib.import_module(f"gluon.{name}") for name in names}
    dal = importlib.import_module("pydal").DAL
    return Gluon(**modules, dal=dal, threads=importlib.import_module("pydal._globals").THREAD_LOCAL)


def _settle(gluon: Gluon) -> None:
    """Set what would else be looked up on the network, or differ from run to run."""
    gluon.settings.global_settings.local_hosts = list(LOCAL_HOSTS)
    # Session ids and form keys come from `web2py_uuid`: from here on from `utils.random` alone, which is each site's
    # own generator. No lab is on the network, so there is nothing to guess.
    gluon.utils.HAVE_URANDOM = False
    gluon.utils.web2py_uuid.__defaults__ = ((0, 0),)
    validators: Any = importlib.import_module("pydal.validators")  # CRYPT draws the salts of passwords from `uuid4`
    validators.uuid = SimpleNamespace(uuid4=gluon.utils.web2py_uuid)
    gluon.custom_import.custom_import_install()  # lists the modules that are loaded now; later calls keep that list


@contextmanager
def _quietly() -> Iterator[None]:
    """Load without warnings, without garbage collections, and without a new seed for the kernel's `random`."""
    state, collecting = random.getstate(), gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)  # 2.26.1 and 3.3.3 seed it with the time
        if collecting:
            gc.enable()


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Let the modules that are not needed look empty (the server) or missing (the drivers) while web2py loads."""
    modules: dict[str, ModuleType | None] = {_NO_SERVER: ModuleType(_NO_SERVER), **dict.fromkeys(_NO_DRIVERS)}
    added = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(added)  # type: ignore[arg-type]  # None is how Python marks a module that must not be imported
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)
