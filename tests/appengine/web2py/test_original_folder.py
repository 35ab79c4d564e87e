"""`Lab.from_folder` reads the folder as it is now, and never changes it, even if it refuses the folder."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness import Lab
from harness.errors import HarnessError
from tests.appengine.web2py.test_app_folder import make, refuse, state, write

PARENT = {"controllers/default.py": "def index(): return 'hello'\n"}
REFUSED: dict[str, tuple[dict[str, str], str]] = {  # files, and what the error says
    "empty": ({}, "is empty"),
    "not an application": ({"controllers/readme.txt": ""}, "has no controllers"),
    "a file": (PARENT, "is a file, and not the folder"),
    "unreadable": ({**PARENT, "views/x.html": ""}, "Permission denied"),
    "queue.yaml": ({**PARENT, "queue.yaml": "queue:\n- nmae: x\n"}, "unknown field of queue"),
    "routes.py": ({**PARENT, "routes.py": "default_application = 1 / 0\n"}, "ZeroDivisionError"),
    "a model": ({**PARENT, "models/x.py": "if a\n"}, "expected ':'"),
    "Python 2": ({**PARENT, "models/x.py": "print 'x'\n"}, "That is Python 2"),
    "a link out of the folder": (PARENT, "symbolic link to /etc, outside"),
    "a link to nothing": (PARENT, "which doesn't exist"),
}
LINKS = {"a link out of the folder": "/etc", "a link to nothing": "nowhere"}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return make(tmp_path / "beside" / "shop")


def run(app: Path, **options: object) -> list[str]:
    """Return the names of the rows that the tasks of one request insert."""
    with Lab.from_folder(app, **options) as lab:
        assert lab.get("default/index").ok
        lab.run()
        return [row["name"] for row in lab.table("thing")]


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_folder_that_is_refused_stays_as_it_is(mistake, tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    files, message = REFUSED[mistake]
    write(folder, files)
    if mistake in LINKS:
        (folder / "static").symlink_to(LINKS[mistake])
    before = state(tmp_path)
    with monkeypatch.context() as patch:
        refuse(patch, "iterdir", folder / "views")
        with pytest.raises(HarnessError, match=message):
            Lab.from_folder(folder / "controllers/default.py" if mistake == "a file" else folder)
    assert state(tmp_path) == before


def test_edits_of_each_kind_of_file_take_effect_in_the_next_lab(app):
    action = """
import rate
from gluon.contrib.appconfig import AppConfig
def index():
    T.force('it')
    return f"{rate.vat} {T('Hello')} {AppConfig().get('shop.name')}"
def page():
    return dict()
"""

    def edit(word: str) -> None:
        write(app, {"modules/rate.py": f"vat = {word!r}\n", "private/appconfig.ini": f"[shop]\nname = {word}\n"})
        write(
            app, {"languages/it.py": f"{{'Hello': {word!r}}}\n", "static/s.txt": word, "views/default/page.html": word}
        )
        os.utime(app / "modules/rate.py", (1, 1))  # otherwise Python may use the old bytecode of the module

    def seen() -> list[str]:
        with Lab.from_folder(app) as lab:
            return [lab.get(path).text for path in ("default/index", "default/page", "/shop/static/s.txt")]

    write(app, {"controllers/default.py": action})
    for word in ("one", "two"):
        edit(word)
        assert seen() == [f"{word} {word} {word}", word, word]


def test_the_clocks_of_python_begin_at_start(app):
    clocks = "{time.time():.0f} {datetime.datetime.now(datetime.timezone.utc)}"
    action = f"import time, datetime\ndef index(): return f'{clocks}'\n"
    write(app, {"controllers/default.py": action})
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with Lab.from_folder(app, start=start) as lab:
        assert lab.get("default/index").text == f"{start.timestamp():.0f} 2026-03-01 12:00:00+00:00"


def test_with_the_databases_no_sessions_errors_and_caches_are_copied(app):
    left_out = ["sessions/1", "errors/1", "cache/1", "uploads/1"]
    write(app, dict.fromkeys([*left_out, "databases/kept.txt"], "text"))
    with Lab.from_folder(app, databases=True) as lab:
        copy = lab._engine.site.root / "applications" / "shop"
        assert (copy / "databases/kept.txt").is_file()
        assert [name for name in left_out if (copy / name).exists()] == []
        assert all((copy / name).parent.is_dir() for name in left_out)


def test_queue_yaml_and_routes_beside_an_application_are_those_of_its_lab(app):
    beside = {"queue.yaml": "queue:\n- name: beside\n", "routes.py": "routes_in = [('/hi', '/shop/default/index')]\n"}
    write(app.parent, beside)
    with Lab.from_folder(app) as lab:
        assert lab.queue("beside").name == "beside"
        assert lab.get("/hi").text == "hello"


def test_a_lab_from_a_folder_can_shuffle_repeat_and_overlap_its_tasks(app):
    action = """
from google.appengine.api import taskqueue
def index():
    for number in range(6):
        taskqueue.add(url=URL('put'), name=f'n{number}')
def put():
    db.thing.insert(name=request.env.http_x_appengine_taskname)
"""
    write(app, {"controllers/default.py": action})
    plain = run(app)
    assert plain == [f"n{number}" for number in range(6)]
    shuffled = [run(app, shuffle=True, seed=seed) for seed in (0, 0, 1)]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert plain not in shuffled
    assert sorted(shuffled[0]) == plain
    assert sorted(run(app, duplicates=1.0)) == sorted(plain * 2)
    with Lab.from_folder(app, overlap=True) as lab:
        lab.get("default/index")
        assert any(attempt.response.turns for attempt in lab.run())
