"""The extra time of a test with a lab from a folder, compared with a test with an empty lab."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Lab
from harness.appengine.web2py.boot import source_tree
from tests.bench.measure import Row, in_turns, timed

_BYTES = 2_200_000  # of web2py's `welcome`
_FILES = 80
_MODEL = """
from gluon.tools import Auth
db = DAL('sqlite://storage.sqlite', pool_size=10, check_reserved=['all'])
auth = Auth(db)
auth.define_tables(username=False, signature=False)
"""


def rows() -> list[Row]:
    """Measure both, each with one request."""
    tree = source_tree()
    folder = None if tree is None else tree / "applications" / "welcome"
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as made:
        app = folder if folder is not None and folder.is_dir() else _generate(Path(made) / "welcome")
        _visit(lambda: Lab.from_folder(app))
        seconds = in_turns(
            {
                "empty": lambda: timed(lambda: _visit(_empty)),
                "folder": lambda: timed(lambda: _visit(lambda: Lab.from_folder(app))),
            }
        )
    more = seconds["folder"] - seconds["empty"]
    note = f"{seconds['folder']:.3f} s against {seconds['empty']:.3f} s"
    return [Row("folder", "extra time of a test with welcome's folder", more, "s", 0.2, note)]


def _empty() -> Lab:
    lab = Lab()
    lab.write("controllers/default.py", "def index(): return 'hello'")
    return lab


def _visit(make: Callable[[], Lab]) -> None:
    with make() as lab:
        assert lab.get("default/index").ok


def _generate(app: Path) -> Path:
    """Write an application with as many files and bytes as welcome, and its models with Auth."""
    files = {"models/db.py": _MODEL, "controllers/default.py": "def index(): return T('hello')"}
    files |= {f"languages/l{number}.py": "{'hello': 'ciao'}\n" for number in range(30)}
    each = _BYTES // (_FILES - len(files))
    files |= {f"static/js/{number}.js": "x" * each for number in range(_FILES - len(files))}
    for name, text in files.items():
        path = app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return app
