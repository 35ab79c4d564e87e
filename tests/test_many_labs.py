"""Hundreds of labs from a folder in one process, as a test suite makes them: a closed lab leaves nothing behind."""

import gc
import inspect
import itertools
import linecache
import os
import statistics
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from harness import Lab

# web2py has many strings with invalid escapes ("\s"), and Python warns of them when it compiles a module.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Syntax")]

WIKI = Path(__file__).parent / "applications" / "wiki"
IS_SOAK = bool(os.environ.get("HARNESS_SOAK"))
WARM_UP = 30 if IS_SOAK else 2  # until then, the memory of the process grows
LABS = 1_000 if IS_SOAK else 3
BLOCKS = 100  # of memory, which a closed lab may leave; it leaves about 25, and now and then one leaves 300
PARTS = ("AppEngine", "Site", "OpenDatabase", "DAL")  # the classes of a lab
MEGABYTES = 5  # for 1,000 labs; if each lab left its languages in memory, they would need 10 MB


def use_and_close() -> None:
    """Use a lab as a test does: a user, rows, an upload, a task, a failed request."""
    with Lab.from_folder(WIKI) as lab:
        person = {"email": "ann@example.com", "password": "secret1", "password_two": "secret1"}
        lab.submit(lab.get("/user/register"), {"first_name": "Ann", "last_name": "Lee", **person})
        with lab.db() as db:
            db.page.insert(name="Roses", body="red")
        lab.submit(lab.get("/edit/Start"), body="= Welcome", summary="first")
        lab.submit(lab.get("/attach/Start"), title="A picture", data=("a.png", bytes(5000)))
        assert lab.run()[0].ok
        lab.write("controllers/default.py", "def index(): return 1 / 0")
        assert lab.get("/").status == 500


def figures() -> dict[str, object]:
    """Return the figures that must not grow."""
    import gluon

    gc.collect()
    folder = Path(tempfile.gettempdir())
    caches = (gluon.cfs.cfs, linecache.cache, inspect.modulesbyfile, sys.path_importer_cache)
    return {
        "file descriptors": psutil.Process().num_fds(),
        "threads": threading.active_count(),
        "folders": len(list(folder.glob("harness-*"))),
        "modules": len(sys.modules),
        "cached files": [name for cached in caches for name in cached if str(folder) in name],
        "labs": Counter(name for each in gc.get_objects() if (name := type(each).__name__) in PARTS),
    }


def test_a_closed_lab_leaves_nothing_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(WARM_UP):
        use_and_close()
    before, memory, blocks = figures(), psutil.Process().memory_info().rss, [sys.getallocatedblocks()]
    for _ in range(LABS):
        use_and_close()
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert figures() == before
    left = [later - earlier for earlier, later in itertools.pairwise(blocks)]
    assert (statistics.mean if IS_SOAK else statistics.median)(left) < BLOCKS
    if IS_SOAK:
        assert psutil.Process().memory_info().rss - memory < MEGABYTES << 20
