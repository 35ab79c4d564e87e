"""What must be done after a file has changed: a restart, new queues, or nothing."""

from pathlib import Path
from queue import Queue as Box

import pytest

from harness.serve.project import command_project, find_project
from harness.serve.reload import Effect, Reloader, effect_of

SECONDS = 20


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The folder of an application in a web2py tree."""
    monkeypatch.delenv("WEB2PY_PATH", raising=False)
    for name in ("gluon/main.py", "applications/shop/controllers/default.py", "applications/shop/modules/pay.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "applications" / "shop"


@pytest.mark.parametrize(
    "name",
    ["modules/pay.py", "modules/a/b.py", "private/appconfig.ini", "private/appconfig.json", "routes.py"],
)
def test_files_that_web2py_reads_once_need_a_restart(app, name):
    assert effect_of(find_project(app), app / name) is Effect.RESTART


@pytest.mark.parametrize(
    "name",
    ["controllers/default.py", "models/db.py", "views/a.html", "static/a.py", "languages/de.py", "sessions/a.py"]
    + ["databases/storage.sqlite", "errors/1", "private/key", "modules/pay.pyc", "queue.yaml"]
    + ["private/mail.json", "private/light.ini", "private/a.py", "private/a/appconfig.ini", ".git/hooks/a.py"],
)
def test_other_files_of_an_application_need_no_restart(app, name):
    assert effect_of(find_project(app), app / name) is Effect.NOTHING


@pytest.mark.parametrize("name", ["gluon/main.py", "site-packages/a.py", "routes.py"])
def test_files_of_the_tree_need_a_restart(app, name):
    assert effect_of(find_project(app.parents[1]), app.parents[1] / name) is Effect.RESTART


def test_a_linked_application_follows_the_same_rules(app, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    app.rename(outside)
    app.symlink_to(outside)
    for project in (find_project(app.parents[1]), find_project(outside)):
        assert effect_of(project, outside / "controllers" / "default.py") is Effect.NOTHING
        assert effect_of(project, outside / "modules" / "pay.py") is Effect.RESTART


def test_an_application_may_have_the_name_of_a_folder_that_is_ignored(app):
    uploads = app.rename(app.with_name("uploads"))
    for folder in (uploads, app.parents[1]):
        assert effect_of(find_project(folder), uploads / "modules" / "pay.py") is Effect.RESTART
        assert effect_of(find_project(folder), uploads / "modules" / "build" / "pay.py") is Effect.NOTHING


@pytest.fixture
def program(tmp_path):
    """The folder of a program with an entrypoint."""
    (tmp_path / "app.yaml").write_text("entrypoint: x\nhandlers:\n- url: /static\n  static_dir: public\n")
    return tmp_path


@pytest.mark.parametrize("name", ["main.py", "templates/a.html", "a.j2", ".env", "local.env", "a.go", "a/b.ts"])
def test_sources_of_other_programs_need_a_restart(program, name):
    for project in (find_project(program), command_project(program, ["x"])):
        assert effect_of(project, program / name) is Effect.RESTART


@pytest.mark.parametrize(
    "name",
    ["data.sqlite", "settings.ini", "pyproject.toml", "setup.cfg", "a.yaml", "a.yml", "a.json", "app.log"]
    + [".cache/a.js", "a/.tox/b.py", "node_modules/a/b.js", "htmlcov/index.html", "build/a.py", "dist/a.py"]
    + ["uploads/a.html", "a/__pycache__/b.py", "env/lib/a.py"],
)
def test_files_that_programs_write_or_install_need_no_restart(program, name):
    (program / "env").mkdir()
    (program / "env" / "pyvenv.cfg").touch()
    for project in (find_project(program), command_project(program, ["x"])):
        assert effect_of(project, program / name) is Effect.NOTHING


def test_a_project_in_a_folder_that_would_be_ignored_is_followed(tmp_path):
    folder = tmp_path / ".local" / "build"
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    assert effect_of(command_project(folder, ["x"]), folder / "main.py") is Effect.RESTART


def test_static_files_need_no_restart_even_behind_a_link(program):
    link = program.with_name(f"{program.name}-link")
    link.symlink_to(program)
    for folder in (program, link):
        assert effect_of(find_project(folder), program / "public" / "a.js") is Effect.NOTHING


def reloader(project, age=lambda: SECONDS, **options):
    seen = []
    return Reloader(project, lambda effect, path: seen.append((effect, path)), seen.append, age, **options), seen


def test_settings_are_compared_and_several_files_cause_one_restart(app):
    (app / "queue.yaml").write_text("queue:\n")
    one, seen = reloader(find_project(app))
    one.handle(set())
    assert seen == []
    one.handle({app / "modules" / "pay.py", app / "modules" / "a.py", app / "views" / "a.html"})
    assert seen == [(Effect.RESTART, app / "modules" / "a.py")]
    (app / "queue.yaml").write_text("queue:\n- name: a\n")
    one.handle(set())
    one.handle(set())
    assert seen[1:] == [(Effect.QUEUES, app / "queue.yaml")]
    (app / "app.yaml").write_text("env_variables:\n  A: b\n")
    one.handle({app / "modules" / "pay.py"})
    assert seen[2:] == [(Effect.SETTINGS, app / "app.yaml")]
    (app / "queue.yaml").unlink()
    one.handle(set())
    assert seen[3:] == [(Effect.QUEUES, app / "queue.yaml")]


def test_a_file_that_the_application_writes_when_it_starts_is_ignored_after_three_restarts(program):
    age = 1.0
    one, seen = reloader(find_project(program), lambda: age)
    own, other = program / "settings.py", program / "view.py"
    for _ in range(2):
        one.handle({own})
    age = 4.0  # a change that a user makes
    one.handle({own})
    age = 1.0
    for _ in range(3):
        one.handle({own})
    assert seen == [(Effect.RESTART, own)] * 6
    one.handle({own, other})
    assert seen[6:] == [
        "settings.py changes whenever the application starts, so its changes have no effect any more; to follow "
        "settings.py again, restart this server",
        (Effect.RESTART, other),
    ]
    age = 4.0
    one.handle({own})
    assert len(seen) == 8


def test_a_service_that_is_not_the_default_one_has_no_queues(app):
    one, seen = reloader(find_project(app), follows_queues=False)
    (app / "queue.yaml").write_text("queue:\n")
    (app / "app.yaml").write_text("env_variables:\n  A: b\n")
    one.handle(set())
    assert seen == [(Effect.SETTINGS, app / "app.yaml")]


def test_changes_are_noticed_and_a_folder_that_disappears_is_reported(app, tmp_path):
    changes, troubles = Box(), Box()
    one = Reloader(find_project(app), lambda *change: changes.put(change), troubles.put, lambda: SECONDS)
    one.start()
    (app / "queue.yaml").write_text("queue:\n")
    assert changes.get(timeout=SECONDS) == (Effect.QUEUES, app / "queue.yaml")
    (app / "modules" / "pay.py").write_text("a = 1\n")
    assert changes.get(timeout=SECONDS) == (Effect.RESTART, app / "modules" / "pay.py")
    one.stop()
    project = command_project(Path(tmp_path / "none"), ["x"])
    one = Reloader(project, lambda *change: changes.put(change), troubles.put, lambda: SECONDS)
    one.start()
    assert troubles.get(timeout=SECONDS).startswith("changed files can't be followed: ")
    one.stop()
