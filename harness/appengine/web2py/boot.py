"""Load real web2py (`gluon`) once per process, when it is first needed, without changing the state of the kernel.

It loads the source tree that the environment variable WEB2PY_PATH names, or else the installed package web2py-gluon.
"""

import gc
import importlib
import importlib.util
import io
import os
import random
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from harness.appengine.web2py.app_files import explain_disk, is_full, temporary_folder
from harness.appengine.web2py.process_state import ProcessState
from harness.errors import Web2pyNotFoundError
from harness.state import pip_install

# Take back the changes in pydal and Python that web2py 2.26.1 cannot work with.


def take_back(compat: Any) -> None:
    """Give web2py 2.26.1 what it expects of pydal and Python; `compat` is its module `gluon._compat`."""
    import urllib.request

    import pydal._compat
    from pydal.objects import Row, Set, Table
    from pydal.validators import IS_NOT_IN_DB

    # gluon/contrib/autolinks.py imports this name, so gluon/tools.py needs it too. pydal 20260520.0 lacks it.
    opener = getattr(urllib.request, "FancyURLopener", _RemovedOpener)
    compat.FancyURLopener = pydal._compat.FancyURLopener = opener
    if not hasattr(compat.configparser, "SafeConfigParser"):
        compat.configparser = _with_safe_parser(compat.configparser)
    Table._filter_fields = _with_id(Table._filter_fields)
    IS_NOT_IN_DB.set_self_id = _with_number(IS_NOT_IN_DB.set_self_id)
    Table.validate_and_insert = _as_row(Table.validate_and_insert, Row)
    Table.validate_and_update = _as_row(Table.validate_and_update, Row)
    Set.validate_and_update = _as_row(Set.validate_and_update, Row)


class _RemovedOpener:
    """Stands in for `urllib.request.FancyURLopener`, which Python 3.14 removed (python/cpython#84850)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Do nothing, because gluon/contrib/autolinks.py makes an opener when it is imported."""

    def open(self, *args: Any, **options: Any) -> None:
        raise RuntimeError("Python 3.14 has no urllib.request.FancyURLopener; use urllib.request.urlopen")


def _with_safe_parser(module: ModuleType) -> ModuleType:
    """Return a copy of `configparser` with the name SafeConfigParser, which AppConfig uses. Python 3.12 removed it."""
    copy = ModuleType(module.__name__)
    vars(copy).update(vars(module), SafeConfigParser=module.ConfigParser)
    return copy


def _with_id(pick: Any) -> Any:
    """Accept the argument `id`, which Auth passes at each login. pydal 20260520.0 calls it `allow_id`."""

    def _filter_fields(
        table: Any, record: Any, allow_id: bool = False, writable_only: bool = False, id: bool = False
    ) -> Any:
        return pick(table, record, allow_id or id, writable_only)

    return _filter_fields


def _with_number(store: Any) -> Any:
    """Accept the id of a record as a string, because SQLFORM passes one.

    pydal 20260520.0 compares ids in Python, where "1" != 1. An update form then refuses the record's own value.
    """

    def set_self_id(validator: Any, id: Any) -> None:
        store(validator, int(id) if isinstance(id, str) and id.isdecimal() else id)

    return set_self_id


def _as_row(validate: Any, row: Any) -> Any:
    """Return a Row, because AuthAPI reads the attribute `errors`. pydal 20260520.0 returns a dict."""

    def validate_and_write(*args: Any, **fields: Any) -> Any:
        result = row(validate(*args, **fields))
        result.errors = row(result.errors)
        return result

    return validate_and_write


LOCAL_HOSTS = ("127.0.0.1", "::ffff:127.0.0.1", "::1")  # web2py would look them up in the DNS
# Modules that are not loaded. The lab starts no server and has only SQLite. Loading web2py's own drivers for other
# databases takes a quarter of the start of 2.26.1 and 3.3.3.
_SERVER = "rocket3"
_DRIVERS = ("gluon.contrib.pymysql", "gluon.contrib.pypyodbc", "gluon.contrib.pg8000")
_TESTED = "web2py-gluon==2.26.1"


@cache
def boot() -> ModuleType:
    """Load web2py at the first call.

    Returns:
        The package `gluon`, whose modules are its attributes.

    Raises:
        Web2pyNotFoundError: If WEB2PY_PATH contains no web2py, if none is installed, or if it fails on this Python.
        DiskError: If the folder for temporary files cannot be used.
    """
    tree = source_tree()
    with explain_disk(), temporary_folder("boot") as folder, ProcessState(), _prepared():
        os.chdir(folder)  # web2py creates folders where it starts, and 2.26.1 reads the file VERSION there
        try:
            gluon = load(tree, folder)
        except Exception as error:
            for name in [name for name in sys.modules if name.partition(".")[0] == "gluon"]:
                del sys.modules[name]
            if is_full(error):
                raise
            source = "the installed web2py" if tree is None else f"the web2py in WEB2PY_PATH={str(tree)!r}"
            reason = str(error).partition("\n")[0]
            raise Web2pyNotFoundError(
                f"{source} does not start on Python {sys.version_info[0]}.{sys.version_info[1]}: "
                f"{type(error).__name__}: {reason}\nUse a version that is known to work: {pip_install(_TESTED)}"
            ) from None
        _make_deterministic(gluon)
        importlib.import_module("gluon.scheduler")  # `Outside` refuses some of its methods
        # web2py copies each body to a temporary file, which takes a tenth of the time of a task that does little.
        # A request without a body has a BytesIO too.
        gluon.globals.tempfile = SimpleNamespace(NamedTemporaryFile=io.BytesIO, TemporaryFile=io.BytesIO)
        # A stopped handler can leave these locks taken. An RLock does not block the thread that has taken it, and
        # `_free_locks` can find out whether this thread holds it.
        gluon.cache.CacheInRam.locker, gluon.cfs.cfs_lock = threading.RLock(), threading.RLock()
    return gluon


def source_tree() -> Path | None:
    """Return the folder that WEB2PY_PATH names, or None if the variable is not set.

    Raises:
        Web2pyNotFoundError: If the folder contains no web2py, or if another web2py is already loaded.
    """
    tree = named_tree()
    loaded = getattr(sys.modules.get("gluon"), "__file__", None)
    if tree and loaded is not None and Path(loaded).resolve() != (tree / "gluon" / "__init__.py").resolve():
        raise Web2pyNotFoundError(
            f"WEB2PY_PATH={os.environ['WEB2PY_PATH']!r} is not used, because another web2py is already loaded. Restart "
            "the kernel."
        )
    return tree


def named_tree() -> Path | None:
    """Return the folder that WEB2PY_PATH names, even if another web2py is loaded; None if the variable is not set.

    Raises:
        Web2pyNotFoundError: If the folder contains no web2py.
    """
    name = os.environ.get("WEB2PY_PATH")
    if name is None:
        return None
    tree = Path(name).expanduser().absolute()
    if not name.strip() or not (tree / "gluon" / "main.py").is_file():
        raise Web2pyNotFoundError(
            f"WEB2PY_PATH={name!r} is not a folder that contains gluon/main.py. Set it to the folder of a web2py 3 "
            f"source tree, or unset it to use the installed web2py ({pip_install(_TESTED)})."
        )
    return tree


def load(tree: Path | None, folder: Path) -> ModuleType:
    """Load gluon for a root folder, and change its settings before `gluon.main` reads them.

    In 3.3.3 the package itself imports `main`. So the settings are changed when the package is in `sys.modules` and
    its code has not yet run.

    Args:
        tree: the folder that contains the package `gluon`; None for the installed one.
        folder: the root, which is the working folder. If it isn't the tree, it gets the file VERSION.

    Raises:
        ModuleNotFoundError: no package `gluon` is installed.
    """
    spec = importlib.util.find_spec("gluon") if tree is None else PathFinder.find_spec("gluon", [str(tree)])
    if spec is None:
        raise ModuleNotFoundError("no package gluon is installed")
    package = sys.modules.get("gluon") or importlib.util.module_from_spec(spec)
    started = "gluon" in sys.modules
    sys.modules["gluon"] = package
    settings = importlib.import_module("gluon.settings").global_settings
    settings.gluon_parent = settings.applications_parent = str(folder)
    settings.web2py_runtime_handler = True  # otherwise web2py loads tkinter and its server, and sets LC_CTYPE to "C"
    if tree != folder:
        _write_version(Path(spec.origin or "").parent, folder)
    if not started and spec.loader is not None:
        spec.loader.exec_module(package)
    for module in ("main", "custom_import"):  # they load all others
        importlib.import_module(f"gluon.{module}")
    if "gluon._compat" in sys.modules:  # only 2.26.1 has this module
        take_back(sys.modules["gluon._compat"])
    return package


def _write_version(package: Path, folder: Path) -> None:
    """Write the file VERSION, which 2.26.1 reads from the working folder. 3.3.3 has its version in a module."""
    shipped, about = package.parent / "VERSION", package / "__about__.py"
    if about.is_file():
        found = re.search(r'"([\d.]+)"', about.read_text("utf-8"))
        (folder / "VERSION").write_text(f"Version {found[1] if found else '2'}-stable\n", "utf-8")
    elif shipped.is_file():
        (folder / "VERSION").write_bytes(shipped.read_bytes())


def _make_deterministic(gluon: ModuleType) -> None:
    """Replace the values that web2py looks up on the network or draws at random."""
    gluon.settings.global_settings.local_hosts = list(LOCAL_HOSTS)
    # `web2py_uuid` makes session ids and form keys. From here on it uses only `utils.random`, and each site sets
    # its own generator there. Predictable ids are safe, because no lab is on the network.
    gluon.utils.HAVE_URANDOM = False
    gluon.utils.web2py_uuid.__defaults__ = ((0, 0),)
    validators: Any = importlib.import_module("pydal.validators")  # CRYPT makes salts with uuid4
    validators.uuid = SimpleNamespace(uuid4=gluon.utils.web2py_uuid)
    gluon.custom_import.custom_import_install()  # it lists the loaded modules only at its first call


@contextmanager
def _prepared() -> Iterator[None]:
    """Load web2py with an empty module as its server, without database drivers, warnings and garbage collection.

    Afterwards the state of `random` is restored, because 2.26.1 and 3.3.3 seed it with the current time.
    """
    state, collecting = random.getstate(), gc.isenabled()
    modules: dict[str, ModuleType | None] = {_SERVER: ModuleType(_SERVER), **dict.fromkeys(_DRIVERS)}
    added = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(added)  # type: ignore[arg-type]  # None is how Python marks a module that must not be imported
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        if collecting:
            gc.enable()
        for name in added:
            sys.modules.pop(name, None)
