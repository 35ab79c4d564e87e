"""How `serve` recognizes a folder: as an application, a web2py tree, or a program with app.yaml."""

import sys
from pathlib import Path

import pytest

from harness.errors import AppFolderError, AppYamlError, HarnessError
from harness.serve.project import command_project, find_project, project_state
from harness.state import VARIABLE

SEED = Path(__file__).parents[1] / "applications" / "seed"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(autouse=True)
def no_tree(monkeypatch):
    monkeypatch.delenv("WEB2PY_PATH", raising=False)


@pytest.fixture
def tree(tmp_path):
    """A web2py tree with two applications."""
    files = {"gluon__main_py": "", "queue_yaml": "queue:\n", "routes_py": ""}
    return write(
        tmp_path / "tree", applications__shop__controllers__a_py="", applications__wiki__controllers__a_py="", **files
    )


def test_an_application_runs_in_a_root_of_links(tmp_path):
    app = write(tmp_path / "my-shop", controllers__default_py="", queue_yaml="queue:\n", cron_yaml="")
    project = find_project(app)
    assert (project.kind, project.root, project.queue_yaml) == ("application", app, app / "queue.yaml")
    assert project.unsupported == ("cron.yaml",)
    command = project.command(tmp_path / "state", 9)
    root = tmp_path / "state" / "root"
    assert command == [sys.executable, "-P", "-m", "harness.serve.child", "--root", str(root), "--threads", "9"]
    assert (root / "applications" / "my_shop").resolve() == app
    assert (root / "routes.py").read_text() == "default_application = 'my_shop'\n"
    assert project.watched == (app,)


def test_a_root_of_links_follows_the_project(tmp_path):
    app = write(tmp_path / "shop", controllers__default_py="")
    find_project(app).command(tmp_path / "state", 1)
    write(app, routes_py="default_application = 'shop'\n")
    find_project(app).command(tmp_path / "state", 1)
    find_project(app).command(tmp_path / "state", 1)
    assert (tmp_path / "state" / "root" / "routes.py").resolve() == app / "routes.py"
    (app / "routes.py").unlink()
    find_project(app).command(tmp_path / "state", 1)
    assert not (tmp_path / "state" / "root" / "routes.py").is_symlink()
    assert not (app / "routes.py").exists()


def test_a_tree_is_the_root_itself(tree, tmp_path):
    project = find_project(tree)
    assert (project.kind, project.tree, project.gluon) == ("tree", tree, tree)
    assert project.queue_yaml == tree / "queue.yaml"
    assert project.command(tmp_path / "state", 1)[4:8] == ["--root", str(tree), "--gluon", str(tree)]
    assert not (tmp_path / "state").exists()


def test_an_application_of_a_tree_runs_in_the_tree(tree):
    project = find_project(tree / "applications" / "shop")
    assert (project.kind, project.tree, project.queue_yaml) == ("application", tree, tree / "queue.yaml")
    write(tree / "applications" / "shop", queue_yaml="queue:\n")
    assert project.queue_yaml == tree / "applications" / "shop" / "queue.yaml"


def test_applications_without_gluon_run_with_the_installed_web2py(tree, tmp_path):
    (tree / "gluon" / "main.py").unlink()
    project = find_project(tree)
    assert (project.tree, project.gluon, list(project.applications)) == (None, None, ["shop", "wiki"])
    project.command(tmp_path / "state", 1)
    assert (tmp_path / "state" / "root" / "routes.py").resolve() == tree / "routes.py"


def test_a_folder_to_deploy_runs_its_entrypoint_and_a_tree_with_gluon_does_not(tree):
    (tree / "app.yaml").write_text("entrypoint: gunicorn -b :$PORT main:app\n")
    assert find_project(tree).is_web2py
    (tree / "gluon" / "main.py").unlink()
    assert find_project(tree).entrypoint == ["/bin/sh", "-c", "gunicorn -b 127.0.0.1:$PORT main:app"]


def test_compiled_applications_are_found(tree, tmp_path):
    (tree / "applications" / "wiki" / "compiled").mkdir()
    assert find_project(tree).compiled == (tree / "applications" / "wiki",)
    app = write(tmp_path / "shop", controllers__default_py="", compiled__a="")
    assert find_project(app).compiled == (app,)
    (app / "compiled" / "a").unlink()
    (app / "compiled").rmdir()
    assert find_project(app).compiled == ()


def test_a_linked_application_outside_of_the_tree_is_watched(tree, tmp_path):
    app = write(tmp_path / "elsewhere", controllers__default_py="")
    (tree / "applications" / "linked").symlink_to(app)
    assert find_project(tree).watched == (tree, app)


def test_another_web2py_is_used_if_the_user_names_it(tree, tmp_path):
    app = write(tmp_path / "shop", controllers__default_py="")
    project = find_project(app, tree)
    assert (project.gluon, project.tree) == (tree, None)
    with pytest.raises(AppFolderError, match="is not a web2py tree, because it doesn't contain gluon/main.py"):
        find_project(app, tmp_path)


def test_web2py_path_names_the_web2py_of_a_single_application(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("WEB2PY_PATH", str(tree))
    assert find_project(write(tmp_path / "shop", controllers__default_py="")).gluon == tree


def test_an_entrypoint_runs_in_a_shell(tmp_path):
    text = "runtime: python312\nentrypoint: gunicorn -b :$PORT main:app\nenv_variables:\n  A: b\ninstance_class: F1\n"
    project = find_project(write(tmp_path / "api", app_yaml=text, queue_yaml="queue:\n"))
    assert project.entrypoint == ["/bin/sh", "-c", "gunicorn -b 127.0.0.1:$PORT main:app"]
    assert project.command(tmp_path, 1)[4:] == ["--guard", *project.entrypoint]
    assert (project.env, project.unsupported) == ({"A": "b"}, ("app.yaml: instance_class (line 5)",))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("gunicorn --bind=0.0.0.0:${PORT} main:app", "gunicorn --bind=127.0.0.1:${PORT} main:app"),
        ("gunicorn -b '[::]:$PORT' main:app", "gunicorn -b '127.0.0.1:$PORT' main:app"),
        ("gunicorn -b:$PORT main:app", "gunicorn -b127.0.0.1:$PORT main:app"),
        ("gunicorn --bind=:$PORT main:app", "gunicorn --bind=127.0.0.1:$PORT main:app"),
        ("gunicorn -b localhost:$PORT main:app", "gunicorn -b localhost:$PORT main:app"),
        ("uvicorn main:app --port $PORT", "uvicorn main:app --port $PORT"),
    ],
)
def test_an_entrypoint_for_all_addresses_listens_on_one(tmp_path, given, used):
    folder = write(tmp_path / "api", app_yaml=f"entrypoint: {given}\n")
    assert find_project(folder).entrypoint[2] == used


def test_without_an_entrypoint_waitress_serves_main_app(tmp_path):
    folder = write(tmp_path / "api", app_yaml="runtime: python312\n")
    with pytest.raises(AppFolderError, match="has no entrypoint, and .* has no main.py whose `app` could be served"):
        find_project(folder)
    shell = find_project(write(folder, main_py="")).entrypoint
    assert shell is not None and shell[2].endswith("-m waitress --listen=127.0.0.1:$PORT main:app")


def test_web2py_serves_a_tree_with_an_entrypoint_and_its_variables_apply(tree):
    write(tree, app_yaml="runtime: python312\nentrypoint: gunicorn gluon:wsgibase\nenv_variables:\n  A: b\n")
    project = find_project(tree)
    assert (project.kind, project.env) == ("tree", {"A": "b"})
    assert project.unsupported == ("app.yaml: entrypoint, because web2py serves the folder",)


def test_app_yaml_is_read_again(tmp_path):
    folder = write(tmp_path / "api", app_yaml="entrypoint: one\n")
    project = find_project(folder)
    write(folder, app_yaml="entrypoint: two\n")
    assert project.reread().entrypoint == ["/bin/sh", "-c", "two"]
    write(folder, app_yaml="entrypoint: [\n")
    with pytest.raises(AppYamlError):
        project.reread()


def test_a_command_runs_in_a_folder_with_queue_yaml(tmp_path):
    project = command_project(write(tmp_path, queue_yaml="queue:\n"), ["node", "app.js"])
    assert (project.kind, project.queue_yaml) == ("command", tmp_path / "queue.yaml")
    assert project.command(tmp_path, 1)[4:] == ["--guard", "node", "app.js"]


@pytest.mark.parametrize("name", ["empty", "missing", "file", "applications"])
def test_for_any_other_folder_the_error_names_what_serve_needs(tmp_path, name):
    write(tmp_path, file="", applications__applications__readme="")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AppFolderError) as error:
        find_project(tmp_path / name)
    needed = "controllers/" if name == "applications" else "a web2py application, a web2py tree or app.yaml"
    assert needed in str(error.value) and ".." not in str(error.value)


def test_each_folder_has_a_state_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    first, second = (project_state(tmp_path / parent / "my shop") for parent in ("a", "b"))
    assert first.parent == second.parent == tmp_path / "state" / "serve"
    assert first.name.startswith("my_shop-") and first != second
    assert project_state(tmp_path / "a" / "my shop") == first
    assert not first.exists()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    with pytest.raises(HarnessError, match="pass --state FILE or --fresh"):
        project_state(tmp_path / "a" / "my shop")
