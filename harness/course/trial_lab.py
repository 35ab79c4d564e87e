"""The lab of a check, and what a check removes from the memory of the Python process.

The lab reads a table again only after a transaction has changed the database. A learner's code and the requests of a
check can leave values in modules of the process.
"""

import builtins
import enum
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from harness.lab import Lab
from harness.show import Table

# The modules in which a controller can leave a value: those that it can use without an import, and the usual imports.
_KEPT_IN = (
    "builtins",
    "sys",
    "os",
    "time",
    "datetime",
    "threading",
    "json",
    "gluon",
    "gluon.globals",
    "google.appengine.api.taskqueue",
    "google.appengine.api.taskqueue.taskqueue",
)
_seeds = count()  # for `hash`


class TrialLab(Lab):
    """A lab of a check. Files that are written into it aren't a learner's answers.

    `may_start_programs` is False if a check must not start the learner's code in a process of its own.
    """

    _is_learners = False
    may_start_programs = True

    def _open(self, engine: Any, cloud_tasks: bool) -> None:
        super()._open(engine, cloud_tasks)
        self._kept: dict[tuple[str, str], tuple[bytes, Table[dict[str, Any]]]] = {}

    def table(self, name: str, app: str | None = None) -> Table[dict[str, Any]]:
        """Return the rows of a table; see `Lab.table`. They are kept until a transaction changes the database."""
        what = name, self._app(app)
        version, rows = self._kept.get(what, (b"", None))
        if rows is None or not version or version != self._version(what[1]):
            rows = super().table(name, app)
            self._kept[what] = self._version(what[1]), rows
        return rows

    def write(self, path: str, source: str, app: str | None = None) -> None:
        """Write a file of an application; see `Lab.write`. A model may change the definition of a table."""
        self._kept.clear()
        super().write(path, source, app)

    def _version(self, app: str) -> bytes:
        """Return the counter of changes in the header of the application's database."""
        file = self._engine.site.root / "applications" / app / "databases" / "storage.sqlite"
        try:
            with file.open("rb") as database:
                return database.read(28)[24:]
        except OSError:
            return b""


@contextmanager
def own_process() -> Iterator[None]:
    """After this scope, remove the values that the learner's code left in modules. A lab restores the environment."""
    modules = set(sys.modules)
    names = {module: set(vars(module)) for module in map(sys.modules.get, _KEPT_IN) if module}
    try:
        yield
    finally:
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__spec__", None) is None:  # it was not imported
                del sys.modules[name]
        for module, known in names.items():
            for name in set(vars(module)) - known:
                delattr(module, name)


@contextmanager
def own_hash() -> Iterator[None]:
    """Give `hash()` of strings another seed in each scope, as Python does in each process. Scopes can be nested.

    The hashes of an Enum's members stay the same, because libraries such as gRPC use them in dicts that exist before.
    """
    hash_here, is_outermost = builtins.hash, "hash" not in vars(enum)
    builtins.hash = partial(_hash_elsewhere, hash_here, next(_seeds))
    vars(enum).setdefault("hash", hash_here)
    try:
        yield
    finally:
        builtins.hash = hash_here
        if is_outermost:
            del vars(enum)["hash"]


def _hash_elsewhere(hash_here: Callable[[object], int], seed: int, value: object) -> int:
    return hash_here(value if isinstance(value, int | float) else (seed, value))


@contextmanager
def young_garbage_only() -> Iterator[None]:
    """Let the garbage collector ignore, in this scope, all objects that already exist.

    A check's requests create much garbage, so about one check in twenty would wait until the collector has examined
    all objects of the kernel. This takes a tenth of a second.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
