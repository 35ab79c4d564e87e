"""Another instance of the application: App Engine runs several, and what they share is the database and the queue."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.checks.trial import Trial

_SHARED = ("databases", "errors", "sessions")  # sessions stand for those in a database, which App Engine asks for
_FORGETS = "def index():\n    cache.ram.clear()\n    cache.disk.clear()\n"


@contextmanager
def own_instance(trial: Trial) -> Iterator[None]:
    """Let an instance of its own serve what happens in this scope.

    What the learner's code kept in its memory, or wrote on its disk, is gone afterwards, as it is for another instance
    and for the same one after a restart. What is in the database, the sessions and the queue stays.
    """
    modules, names, environ, files = set(sys.modules), set(vars(builtins)), dict(os.environ), _files(trial)
    try:
        yield
    finally:
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__spec__", None) is None:  # no import made it
                del sys.modules[name]
        for name in set(vars(builtins)) - names:
            delattr(builtins, name)
        os.environ.clear()
        os.environ.update(environ)
        for file in _files(trial) - files:
            file.unlink(missing_ok=True)
        trial.lab.write("controllers/instance.py", _FORGETS)
        trial.lab.get("instance/index")


def _files(trial: Trial) -> set[Path]:
    """Return the files of the lab that belong to one instance."""
    root = trial.lab._engine.site.root
    found = (Path(folder) / file for folder, _, files in os.walk(root) for file in files)
    return {file for file in found if not set(_SHARED) & set(file.relative_to(root).parts)}
