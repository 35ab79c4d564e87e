"""A lab from a folder: what is copied of an application or a web2py tree, and what is refused."""

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from harness import Lab
from harness.appengine.web2py.app_folder import find_applications
from harness.errors import (
    AppFolderError,
    BadValueError,
    DiskError,
    HarnessError,
    NameRefusedError,
    QueueConfigError,
    SourceError,
)

MODEL = "db = DAL('sqlite://storage.sqlite')\ndb.define_table('thing', Field('name'))\n"
CONTROLLER = "def index(): return 'hello'\ndef put(): db.thing.insert(name='new')\n"
GIGABYTE = 1 << 30


def make(folder: Path) -> Path:
    """Make a small application."""
    write(folder, {"controllers/default.py": CONTROLLER, "models/db.py": MODEL})
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return make(tmp_path / "web2py" / "applications" / "shop")


@pytest.fixture
def tree(app: Path) -> Path:
    return app.parents[1]


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., Path]:
    """Copy what a folder contains, without web2py, and return the folder with the copies of the applications."""

    def copy(path: Path, **options: object) -> Path:
        root = tmp_path / "root"
        (root / "applications").mkdir(parents=True)
        find_applications(path, **options).copy_all(root)
        return root / "applications"

    return copy


def paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def state(folder: Path) -> dict[str, object]:
    """Return what each file of a folder contains, and when each file and folder was changed."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


# -- what is copied --

KEPT = ["controllers/a.py", "models/x/y.py", "views/a/b.html", "modules/p/q.py", "static/s.css", "languages/it.py"]
KEPT += ["private/appconfig.ini", "cron/crontab", "queue.yaml", "data/table.csv", "static/uploads/kept.txt", "ABOUT"]
LEFT_OUT = ["sessions/1", "errors/1", "cache/1", "uploads/a.png", "compiled/a.pyc", "databases/storage.sqlite"]
LEFT_OUT += [".git/config", "modules/.git/config", ".hg/x", ".svn/x", "modules/__pycache__/a.pyc", "models/old.pyc"]
LEFT_OUT += ["static/node_modules/a/b.js", "venv/pyvenv.cfg", "venv/lib/a.py"]


def test_everything_is_copied_but_what_the_application_and_tools_write(app, copied):
    write(app, dict.fromkeys([*KEPT, *LEFT_OUT], "# text\n"))
    found = paths(copied(app) / "shop")
    assert found >= {*KEPT, "controllers/default.py", "models/db.py"}
    assert found & set(LEFT_OUT) == set()
    assert found >= {"sessions", "errors", "cache", "uploads", "databases"}  # empty
    assert found & {"venv", "compiled"} == set()  # web2py would run an empty compiled/ instead of the sources


def test_databases_are_copied_on_request(app, copied):
    write(app, {"databases/storage.sqlite": "rows", "uploads/a.png": "picture"})
    found = paths(copied(app, databases=True) / "shop")
    assert "databases/storage.sqlite" in found
    assert "uploads/a.png" not in found


def test_the_rows_of_a_copied_database_are_in_the_lab_and_stay_in_the_original(app):
    with Lab.from_folder(app) as first:
        first.get("default/put")
        root = first._engine.site.root / "applications" / "shop"
        write(app, {"databases/mark": ""})
        for path in (root / "databases").iterdir():
            (app / "databases" / path.name).write_bytes(path.read_bytes())
    before = state(app)
    with Lab.from_folder(app, databases=True) as lab:
        assert [row["name"] for row in lab.table("thing")] == ["new"]
        assert lab.get("default/put").ok
        assert len(lab.table("thing")) == 2
    with Lab.from_folder(app) as lab:
        assert lab.table("thing") == []
    assert state(app) == before


def test_a_copied_database_with_an_absolute_path_keeps_its_tables(app):
    model = "db = DAL('sqlite://' + request.folder + '/databases/storage.sqlite')\n"
    write(app, {"models/db.py": f"{model}db.define_table('thing', Field('name'))\n"})
    folder = app / "databases"
    folder.mkdir()
    from pydal import DAL, Field

    dal = DAL(f"sqlite://{folder}/storage.sqlite", folder=str(folder))
    dal.define_table("thing", Field("name"))
    dal.thing.insert(name="copied")
    dal.commit()
    dal.close()
    with Lab.from_folder(app, databases=True) as lab:
        assert [row["name"] for row in lab.table("thing")] == ["copied"]


def test_two_gigabytes_of_uploads_are_not_copied(app, copied):
    (app / "uploads").mkdir()
    with (app / "uploads" / "film.mp4").open("wb") as file:
        file.truncate(2 * GIGABYTE)
    assert paths(copied(app) / "shop" / "uploads") == set()


def test_bytes_that_are_no_text_are_copied_unchanged(app, copied):
    data = bytes(range(256)) * 20_000  # more than a buffer
    write(app, {"static/x.png": ""})
    (app / "static/x.png").write_bytes(data)
    assert (copied(app) / "shop/static/x.png").read_bytes() == data


def test_a_pipe_is_left_out_and_not_waited_for(app, copied):
    os.mkfifo(app / "pipe")
    assert "pipe" not in paths(copied(app) / "shop")


def test_links_inside_the_application_stay_links(app, copied):
    write(app, {"modules/a/mail.py": "X = 1\n"})
    (app / "modules" / "b").symlink_to("a")
    (app / "static").mkdir()
    (app / "static" / "mail.py").symlink_to(app / "modules/a/mail.py")
    (app / "static" / "up").symlink_to("../uploads")  # web2py's folder, which is made empty and not copied
    write(app, {"uploads/x": ""})
    shop = copied(app) / "shop"
    assert (shop / "modules/b").is_symlink() and (shop / "static/mail.py").is_symlink()
    assert (shop / "static/mail.py").resolve() == shop / "modules/a/mail.py"
    assert (shop / "static/up").resolve() == shop / "uploads"


def test_a_link_to_another_part_of_the_tree_is_followed(tree, app, copied):
    write(tree, {"applications/common/modules/mail.py": "X = 1\n", "applications/common/modules/deep/x.py": ""})
    (tree / "applications/common/modules/same.py").symlink_to("mail.py")
    (app / "modules").symlink_to("../common/modules")
    (app / "models" / "0.py").symlink_to(tree / "applications/common/modules/mail.py")
    shop = copied(tree) / "shop"
    assert (shop / "modules/mail.py").read_text() == (shop / "models/0.py").read_text() == "X = 1\n"
    assert not (shop / "modules").is_symlink()
    assert (shop / "modules/same.py").resolve() == shop / "modules/mail.py"
    assert (shop / "modules/deep/x.py").is_file()


def test_an_application_may_be_a_link_within_the_tree(tree, app, copied):
    app.rename(tree / "source")
    app.symlink_to("../source")
    (tree / "source/models/1.py").symlink_to("db.py")
    shop = copied(tree) / "shop"
    assert (shop / "models/1.py").resolve() == shop / "models/db.py"
    assert not shop.is_symlink()


@pytest.mark.parametrize(
    ("link", "to"),
    [
        ("modules/outside.py", "{tmp}/elsewhere/secret.py"),
        ("modules", "{tmp}/elsewhere"),
        ("models/x.py", "../../../../elsewhere/secret.py"),
        ("static/etc", "/etc"),
    ],
)
def test_a_link_that_leaves_the_folder_is_refused(link: str, to: str, app, tree, copied, tmp_path):
    write(tmp_path, {"elsewhere/secret.py": "X = 1\n"})
    target = to.format(tmp=tmp_path)
    (app / link).parent.mkdir(exist_ok=True)
    (app / link).symlink_to(target)
    for folder in (app, tree):
        with pytest.raises(AppFolderError, match=rf"{link} is a symbolic link to .*, outside of {folder}. The lab"):
            Lab.from_folder(folder)


def test_a_link_to_another_application_leaves_the_folder_of_one(app, tree, tmp_path):
    make(tree / "applications" / "blog")
    (app / "models" / "x.py").symlink_to("../../blog/models/db.py")
    with pytest.raises(AppFolderError, match=rf"x.py is a symbolic link to .*/blog/models/db.py, outside of {app}\."):
        Lab.from_folder(app)


def test_an_application_that_is_a_link_out_of_the_tree_is_refused(tree, app, tmp_path):
    app.rename(tmp_path / "mine")
    app.symlink_to(tmp_path / "mine")
    with pytest.raises(
        AppFolderError, match=rf"shop is a symbolic link to {tmp_path}/mine, outside of {tree}"
    ) as caught:
        Lab.from_folder(tree)
    assert str(caught.value).endswith("Pass the folder of that application instead of the tree.")


def test_an_application_in_a_tree_may_be_a_link_to_a_checkout(tree, app, tmp_path):
    write(tree, {"queue.yaml": "queue:\n- name: of-tree\n", "routes.py": SITE})
    app.rename(tmp_path / "shop_checkout")
    app.symlink_to(tmp_path / "shop_checkout")
    with Lab.from_folder(app) as lab:
        assert repr(lab).startswith("<Lab shop: ")
        assert lab.get("/hi").text == "hello"
        assert lab.queue("of-tree").name == "of-tree"


def test_the_marks_of_an_editor_and_links_to_a_virtual_environment_are_left_out(app, copied, tmp_path):
    write(tmp_path, {"envs/shop/pyvenv.cfg": "", "envs/shop/lib/a.py": ""})
    (app / "venv").symlink_to(tmp_path / "envs/shop")
    (app / "models" / ".#db.py").symlink_to("ann@laptop.example.com.4711:1346000000")
    assert {"venv", "models/.#db.py"} & paths(copied(app) / "shop") == set()


def test_what_users_write_is_not_copied_from_another_application_either(tree, app, copied):
    write(tree, {"applications/blog/controllers/x.py": "", "applications/blog/uploads/film.mp4": "2 GB"})
    write(tree, {"applications/blog/sessions/1": "", "applications/blog/databases/storage.sqlite": ""})
    write(tree, {"applications/blog/private/uploads/kept": ""})
    (app / "private").mkdir()
    (app / "private" / "blog").symlink_to("../../blog")
    found = paths(copied(tree) / "shop" / "private" / "blog")
    assert found == {"controllers", "controllers/x.py", "private", "private/uploads", "private/uploads/kept"}


def test_copies_have_the_times_of_the_files_and_can_be_written_and_run(app, copied):
    write(app, {"static/s.css": "", "private/run.sh": ""})
    os.utime(app / "static/s.css", (1, 1_300_000_000))
    (app / "static/s.css").chmod(0o444)
    (app / "private/run.sh").chmod(0o750)
    shop = copied(app) / "shop"
    assert (shop / "static/s.css").stat().st_mtime == 1_300_000_000
    assert (shop / "static/s.css").stat().st_mode & 0o777 == 0o644
    assert (shop / "private/run.sh").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("to", ["nowhere.py", "x.py"])
def test_a_link_that_leads_nowhere_is_refused(to: str, app):
    (app / "models" / "x.py").symlink_to(to)
    with pytest.raises(AppFolderError, match="models/x.py is a symbolic link to .*, which doesn't exist. Correct it"):
        Lab.from_folder(app)


def test_links_that_lead_to_each_other_are_refused(tree, app):
    write(tree, {"applications/common/x": ""})
    (app / "static").symlink_to("../common")
    (tree / "applications/common/back").symlink_to("../shop")
    with pytest.raises(AppFolderError, match="back is a symbolic link to .*shop, so a copy would never end. Delete"):
        Lab.from_folder(tree)


def test_folders_that_are_not_copied_may_be_links_to_anywhere(app, copied):
    for name in ("uploads", "sessions", "databases"):
        (app / name).symlink_to("/etc")
    assert paths(copied(app) / "shop" / "uploads") == set()


# -- an application or a tree --


def test_an_application_has_the_name_of_its_folder_with_characters_that_web2py_allows(tmp_path):
    make(tmp_path / "my-shop 2.0")
    with Lab.from_folder(tmp_path / "my-shop 2.0") as lab:
        assert repr(lab).startswith("<Lab my_shop_2_0: ")
        assert lab.get("default/index").text == lab.get("/my_shop_2_0/default/index").text == "hello"
    with Lab.from_folder(str(tmp_path / "my-shop 2.0"), name="shop") as lab:
        assert lab.get("/shop/default/index").text == "hello"
    for name in ("my-shop", "", 5):
        with pytest.raises(NameRefusedError, match=r"cannot be an application"):
            Lab.from_folder(tmp_path / "my-shop 2.0", name=name)


def test_a_tree_has_all_its_applications_but_those_that_web2py_brings_or_does_not_serve(tree, app):
    for name in ("admin", "examples", "blog", "shop-old", "shop.bak"):
        make(tree / "applications" / name)
    write(tree, {"applications/__init__.py": "", "applications/notes/todo.txt": ""})
    with Lab.from_folder(tree) as lab:
        assert repr(lab).startswith("<Lab blog, shop: ")
        lab.get("/shop/default/put")
        assert (len(lab.table("thing", "shop")), len(lab.table("thing"))) == (1, 0)
    with pytest.raises(NameRefusedError, match="name='x' isn't allowed for a tree"):
        Lab.from_folder(tree, name="x")


@pytest.mark.parametrize(
    ("routes", "order"),
    [
        (None, ["blog", "shop", "welcome"]),
        ("default_application = 'shop'", ["shop", "blog", "welcome"]),
        ("# default_application = 'shop'", ["blog", "shop", "welcome"]),
        ("routers = dict(BASE=dict(default_application='welcome'))", ["welcome", "blog", "shop"]),
        ('routers = {"BASE": {"default_application": "shop"}}', ["shop", "blog", "welcome"]),
    ],
)
def test_the_first_application_of_a_tree_is_that_of_its_routes_and_the_last_one_is_welcome(routes, order, tree, app):
    for name in ("blog", "welcome"):
        make(tree / "applications" / name)
    write(tree, {} if routes is None else {"routes.py": routes})
    assert list(find_applications(tree).apps) == order


def test_a_tree_with_only_the_applications_of_web2py_is_refused(tree, app):
    app.rename(tree / "applications" / "admin")
    make(tree / "applications" / "examples")
    with pytest.raises(AppFolderError, match="contains only applications that come with web2py: .*admin, .*examples"):
        Lab.from_folder(tree)


def test_an_application_that_web2py_brings_is_tested_if_it_is_alone(app, tree):
    app.rename(tree / "applications" / "admin")
    assert list(find_applications(tree).apps) == ["admin"]
    assert list(find_applications(tree / "applications" / "admin").apps) == ["admin"]


@pytest.mark.parametrize("place", ["web2py/applications/shop", "web2py"])
def test_queue_yaml_is_beside_the_applications_of_a_tree(place: str, tree, app, tmp_path):
    write(tree, {"queue.yaml": "queue:\n- name: of-tree\n"})
    with Lab.from_folder(tmp_path / place) as lab:
        assert lab.queue("of-tree").name == "of-tree"


def test_queue_yaml_of_the_application_comes_first_and_an_argument_replaces_it(tree, app):
    write(tree, {"queue.yaml": "queue:\n- name: of-tree\n"})
    write(app, {"queue.yaml": "queue:\n- name: of-app\n"})
    with Lab.from_folder(app) as lab:
        assert lab.queue("of-app").name == "of-app"
        assert lab.read("queue.yaml") == "queue:\n- name: of-app\n"
    with Lab.from_folder(app, queue_yaml="queue:\n- name: given\n") as lab:
        assert lab.queue("given").name == "given"
        with pytest.raises(HarnessError, match="of-app"):
            lab.queue("of-app")
    write(app, {"queue.yaml": "queue:\n- nmae: mail\n"})
    with pytest.raises(QueueConfigError, match="nmae"):
        Lab.from_folder(app)
    (app / "queue.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(AppFolderError, match="queue.yaml isn't UTF-8 text"):
        Lab.from_folder(app)


def test_queue_yaml_is_read_from_beside_an_application_outside_of_a_tree(tmp_path):
    make(tmp_path / "shop")
    write(tmp_path, {"queue.yaml": "queue:\n- name: beside\n"})
    assert find_applications(tmp_path / "shop").queue_yaml == "queue:\n- name: beside\n"


# -- routes.py --

SITE = "routes_in = [('/hi', '/shop/default/index')]\n"


@pytest.mark.parametrize("place", ["web2py/routes.py", "web2py/applications/shop/routes.py"])
def test_routes_of_the_tree_or_else_of_the_application_are_the_sites(place: str, app, tmp_path):
    write(tmp_path, {place: SITE})
    with Lab.from_folder(app) as lab:
        assert lab.get("/hi").text == "hello"


def test_routes_beside_an_application_outside_of_a_tree_are_the_sites(tmp_path):
    make(tmp_path / "shop")
    write(tmp_path, {"routes.py": SITE, "shop/routes.py": "default_application = 'shop'\n"})
    assert find_applications(tmp_path / "shop").routes == tmp_path / "routes.py"


@pytest.mark.parametrize(
    ("source", "for_site"),
    [
        ("routers = dict(BASE=dict(default_application='init'))", True),
        ("default_application = 'x'", True),
        ('routers = {"shop": dict(default_controller="main")}', True),
        ("routes_in = [('/', '/shop/default/index')]", True),
        ("routers = dict(shop=dict(default_controller='main'))", True),
        ("this does not compile", True),
        ("default_controller = 'main'\n", False),
        ('"""Like BASE, default_application or /shop/x."""\n# BASE /shop/x\ndefault_controller = "main"\n', False),
        ("routes_in = [('/x', '/default/y'), ('/bookshop/1', '/shopping/y')]\n", False),
    ],
)
def test_routes_in_an_applications_folder_are_the_sites_if_they_name_an_application(source, for_site, app):
    write(app, {"routes.py": source})
    assert find_applications(app).routes == (app / "routes.py" if for_site else None)


def test_an_applications_own_routes_stay_its_own(tree, app, copied):
    write(app, {"routes.py": "default_function = 'main'\n"})
    applications = copied(app)
    assert (applications / "shop" / "routes.py").is_file()
    assert not (applications.parent / "routes.py").exists()


def test_the_routes_of_a_tree_may_pass_urls_to_those_of_an_application(tree, app):
    write(tree, {"routes.py": "routes_app = [('/(?P<app>shop)\\\\b.*', r'\\g<app>')]\n"})
    write(app, {"routes.py": "default_function = 'main'\n", "controllers/default.py": "def main(): return 'main'\n"})
    with Lab.from_folder(tree) as lab:
        assert lab.get("/shop/default").text == "main"


def test_routes_that_web2py_refuses_are_explained(tree, app):
    write(tree, {"routes.py": "routes_in = 1 / 0\n"})
    with pytest.raises(SourceError, match=r"routes.py, line 1\n    routes_in = 1 / 0\nZeroDivisionError"):
        Lab.from_folder(app)


# -- what is refused --


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(AppFolderError, match=f"the folder {tmp_path}/shop doesn't exist"):
        Lab.from_folder(tmp_path / "shop")


@pytest.mark.parametrize("path", [None, 5, ["applications/shop"], "", b""])
def test_a_path_must_be_one(path: object):
    with pytest.raises(AppFolderError, match="the path of a folder is needed"):
        Lab.from_folder(path)


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/shop", "x" * 5000])
def test_a_path_that_no_system_accepts_is_quoted(path: str):
    with pytest.raises(AppFolderError, match=rf"{path[:1]}.* (can't be read|doesn't exist)"):
        Lab.from_folder(path)


def test_a_path_may_begin_with_the_home_folder(app, monkeypatch):
    monkeypatch.setenv("HOME", str(app.parent))
    assert find_applications("~/shop").apps == {"shop": app}


def test_a_file_is_refused_and_a_packed_application_is_to_be_unpacked(app, tmp_path):
    with pytest.raises(AppFolderError, match=r"db.py is a file, and not the folder of a web2py application.$"):
        Lab.from_folder(app / "models" / "db.py")
    (tmp_path / "web2py.app.shop.w2p").touch()
    with pytest.raises(AppFolderError, match="shop.w2p is a file, .* Unpack it first: it is a tar.gz archive."):
        Lab.from_folder(tmp_path / "web2py.app.shop.w2p")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(AppFolderError, match=f"{tmp_path} is empty. A web2py application has the folder controllers/"):
        Lab.from_folder(tmp_path)


def test_a_folder_that_is_no_application_is_refused(tmp_path, app):
    write(tmp_path, {"project/src/main.py": "", "project/controllers/readme.txt": ""})
    with pytest.raises(AppFolderError, match="project isn't a web2py application, because it has no controllers/"):
        Lab.from_folder(tmp_path / "project")
    write(tmp_path, {"web/applications/x.txt": ""})
    with pytest.raises(AppFolderError, match="applications contains no application: no folder in it has controllers"):
        Lab.from_folder(tmp_path / "web")
    app.rename(app.with_name("my-shop"))
    with pytest.raises(AppFolderError, match="contains no application: web2py refuses the names applications/my-shop"):
        Lab.from_folder(app.parents[1])


@pytest.mark.parametrize(
    ("place", "listed"), [("web2py/applications", "blog, shop"), ("web2py", "sites/blog, sites/shop")]
)
def test_a_folder_above_applications_lists_them(place: str, listed: str, tree, app, tmp_path):
    make(tree / "applications" / "blog")
    if place == "web2py":
        (tree / "applications").rename(tree / "sites")
    with pytest.raises(AppFolderError, match=rf"itself, but contains some. Pass the folder of one: {listed}"):
        Lab.from_folder(tmp_path / place)


def test_a_model_that_runs_only_for_one_controller_or_in_another_application_fails_only_their_requests(tree, app):
    write(app, {"models/backup/old.py": "print 'x'\n", "controllers/backup.py": "def index(): return 'ok'\n"})
    write(make(tree / "applications" / "old"), {"models/old.py": "print 'x'\n"})
    with Lab.from_folder(app) as lab:
        assert lab.get("default/index").ok
        assert lab.table("thing") == []
        assert lab.get("backup/index").ticket.where == "shop/models/backup/old.py, line 1"
    with Lab.from_folder(tree) as lab:
        assert lab.get("/shop/default/index").ok
        assert "That is Python 2" in lab.get("/old/default/index").ticket.message


def test_a_model_that_does_not_compile_is_refused_with_its_line(app):
    write(app, {"models/y.py": "a = 1\nif a\n    b = 2\n"})
    with pytest.raises(SourceError, match=r"shop/models/y.py, line 2\n    if a\n.*\nSyntaxError: expected ':'"):
        Lab.from_folder(app)


OLD_LINES = ["print 'hello'", "try: x\nexcept A, e: pass", "exec 'x'", "x = 0777", "x = ur'a'", "x = 5L", "x = [0xFFL]"]
OLD_LINES += ["x = `1`", "f = lambda (a, b): a", "def f((a, b)): pass", "async = 1", "f(async=True)", "raise E, 'x'"]


@pytest.mark.parametrize("line", OLD_LINES)
def test_a_model_in_python_2_is_called_so_with_its_file_and_line(line: str, app):
    write(app, {"models/db.py": f"a = 1\n{line}\n"})
    with pytest.raises(SourceError) as caught:
        Lab.from_folder(app)
    assert f"shop/models/db.py, line {1 + len(line.splitlines())}\n" in str(caught.value)
    assert "That is Python 2, but web2py runs on Python 3 here." in str(caught.value)


@pytest.mark.parametrize(
    "line", ["f('in `quotes`' 5)", "f(1 2)  # `name` was 5L, and async", "async def f(: pass", "x5L = 0x5L5 y"]
)
def test_a_model_with_another_mistake_is_not_called_python_2(line: str, app):
    write(app, {"models/db.py": f"{line}\n"})
    with pytest.raises(SourceError, match=r"shop/models/db.py, line 1\n") as caught:
        Lab.from_folder(app)
    assert "Python 2" not in str(caught.value)


@pytest.mark.parametrize("first", ["", "# -*- coding: latin-1 -*-\n"])
def test_a_model_that_is_not_utf_8_is_refused_because_web2py_cannot_read_it(first: str, app):
    (app / "models/x.py").write_bytes(f"{first}name = 'Größe'\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"shop/models/x.py can't be read as Python: .* Save it as UTF-8."):
        Lab.from_folder(app)


def test_a_controller_that_does_not_compile_fails_only_its_own_requests(app):
    write(app, {"controllers/old.py": "def index():\n    print 'x'\n"})
    with Lab.from_folder(app) as lab:
        assert lab.get("default/index").ok
        ticket = lab.get("old/index").ticket
        assert (ticket.exception, ticket.where) == ("SyntaxError", "shop/controllers/old.py, line 2")


def refuse(monkeypatch: pytest.MonkeyPatch, method: str, path: Path, number: int = errno.EACCES) -> None:
    """Let a method of Path fail for one path, because root may read everything."""
    original = getattr(Path, method)

    def replaced(self: Path, *args: object, **options: object) -> object:
        if self == path:
            raise OSError(number, os.strerror(number), str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, method, replaced)


@pytest.mark.parametrize("name", [".", "controllers", "views"])
def test_a_folder_that_cannot_be_read_is_named(name: str, app, monkeypatch):
    write(app, {"views/x.html": ""})
    if name == ".":
        (app / "controllers" / "default.py").unlink()  # otherwise it would not be listed at all
    refuse(monkeypatch, "iterdir", app / name)
    with pytest.raises(AppFolderError, match=f"{app / name} can't be read: Permission denied"):
        Lab.from_folder(app)


@contextmanager
def not_root() -> Iterator[None]:
    """Let root act as another user in this scope, because root may read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has no permissions such as 0o000")
@pytest.mark.parametrize(("name", "mode"), [("views", 0o000), ("views", 0o444), ("views/x.html", 0o000)])
def test_what_this_user_may_not_read_is_named(name: str, mode: int):
    with tempfile.TemporaryDirectory() as temporary:  # another user can't reach pytest's folders
        os.chmod(temporary, 0o777)
        app = make(Path(temporary).resolve() / "shop")
        write(app, {"views/x.html": ""})
        (app / name).chmod(mode)
        with not_root():
            (root := Path(temporary) / "root" / "applications").mkdir(parents=True)
            with pytest.raises(AppFolderError, match=f"{app / 'views'}(/x.html)? can't be read: Permission denied"):
                find_applications(app).copy_all(root.parent)
        (app / name).chmod(0o777)


def test_an_error_while_a_file_is_read_is_one_of_the_file(app, monkeypatch):
    original = Path.open

    def broken(self: Path, *args: object, **options: object) -> object:
        file = original(self, *args, **options)
        if self != app / "models" / "db.py":
            return file
        return BrokenFile(file)

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(AppFolderError, match="models/db.py can't be read: Input/output error"):
        Lab.from_folder(app)


class BrokenFile:
    """A file on a disk with a defect."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> "BrokenFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_with_the_name_of_a_folder_that_web2py_needs_is_named(app):
    write(app, {"languages": "it"})
    with pytest.raises(AppFolderError, match="shop/languages is a file, but web2py needs a folder of that name"):
        Lab.from_folder(app)


def test_a_file_that_is_no_text_is_copied_and_cannot_be_read_as_text(app):
    write(app, {"static/l.png": ""})
    (app / "static/l.png").write_bytes(b"\x89PNG")
    with Lab.from_folder(app) as lab, pytest.raises(NameRefusedError, match="'static/l.png' isn't UTF-8 text"):
        lab.read("static/l.png")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read_is_named(number: int, app, monkeypatch):
    refuse(monkeypatch, "open", app / "models" / "db.py", number)
    with pytest.raises(AppFolderError, match=f"{app}/models/db.py can't be read: {os.strerror(number)}"):
        Lab.from_folder(app)


def test_a_disk_that_fills_up_while_copying_is_named(app, copied, monkeypatch, tmp_path):
    refuse(monkeypatch, "open", tmp_path / "root/applications/shop/models/db.py", errno.ENOSPC)
    with pytest.raises(DiskError, match=f"cannot write its files in {tmp_path}/root.*No space left"):
        copied(app)


def test_a_lab_that_is_refused_leaves_no_folder(app, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (app / "models" / "x.py").symlink_to("nowhere.py")
    with pytest.raises(AppFolderError):
        Lab.from_folder(app)
    assert paths(tmp_path / "tmp") == set()


# -- the clock, and the original --


def test_start_is_the_first_instant(app):
    with Lab.from_folder(app, start=datetime(2026, 3, 1, 12, tzinfo=UTC)) as lab:
        write_time = "def f(): return str(request.now)"
        lab.write("controllers/time.py", write_time)
        assert lab.get("time/f").text == "2026-03-01 12:00:00"
    with Lab.from_folder(app) as lab:
        assert lab.now == datetime(2012, 9, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "start",
    [datetime(2026, 3, 1), "2026-03-01", 5, datetime(1960, 1, 1, tzinfo=UTC), datetime(9999, 6, 1, tzinfo=UTC)],
)
def test_a_start_that_is_no_instant_is_quoted(start: object, app):
    with pytest.raises(BadValueError) as caught:
        Lab.from_folder(app, start=start)
    assert repr(start) in str(caught.value)


def test_the_lab_of_a_check_may_come_from_a_folder_and_keeps_its_isolation(app):
    from harness.classroom.grading.__main__ import IsolatedLab
    from harness.classroom.grading.isolated_engine import IsolatedEngine
    from harness.course.trial_lab import TrialLab

    with TrialLab.from_folder(app) as lab:
        lab.get("default/put")
        assert lab.table("thing") == lab.table("thing") != []
    with IsolatedLab.from_folder(app, start=datetime(2026, 3, 1, tzinfo=UTC)) as lab:
        assert type(lab._engine) is IsolatedEngine
        assert lab.now.year == 2026


def test_an_edit_takes_effect_in_the_next_lab(app):
    with Lab.from_folder(app) as lab:
        write(app, {"controllers/default.py": "def index(): return 'edited'"})
        assert lab.get("default/index").text == "hello"
    with Lab.from_folder(app) as lab:
        assert lab.get("default/index").text == "edited"


def test_modules_in_a_folder_that_the_application_adds_to_the_path_are_its_labs_own(app):
    model = "import os, sys\nsys.path.insert(0, os.path.join(request.folder, 'lib'))\n"
    controller = (
        "import vendored.part, plain\ndef f():\n    plain.n += 1\n    return f'{vendored.part.name} {plain.n}'\n"
    )
    write(app, {"models/0.py": model, "controllers/v.py": controller, "lib/plain.py": "n = 0\n"})
    write(app, {"lib/vendored/part.py": "name = 'first'\n"})  # a package without an __init__.py
    before = sys.path[:]
    with Lab.from_folder(app) as first:
        assert [first.get("v/f").text for _ in "ab"] == ["first 1", "first 2"]
        write(app, {"lib/vendored/part.py": "name = 'second'\n"})
        with Lab.from_folder(app) as second:
            assert second.get("v/f").text == "second 1"
            assert first.get("v/f").text == "first 3"
            first._engine.site.forget_ram()
            assert first.get("v/f").text == "first 1"
            assert second.get("v/f").text == "second 2"
    assert {"plain", "vendored", "vendored.part"} & sys.modules.keys() == set()
    assert sys.path == before


def test_two_labs_of_one_folder_do_not_see_each_other(app):
    write(app, {"modules/counted.py": "n = 0\n", "controllers/x.py": "import counted\ndef f():\n    counted.n += 1\n"})
    with Lab.from_folder(app) as first, Lab.from_folder(app) as second:
        first.get("default/put")
        first.write("controllers/default.py", "def index(): return 'other'")
        assert (first.get("default/index").text, second.get("default/index").text) == ("other", "hello")
        assert (len(first.table("thing")), second.table("thing")) == (1, [])
        assert first.get("x/f").ok and second.get("x/f").ok


def test_the_original_keeps_its_bytes_and_times_whatever_the_application_writes(tree, app):
    source = """
import os
def write():
    T('Never seen before')
    T.force('it')
    T('Hello'); T('%s %%{thing}', 2)
    for name in ('static', 'private', 'uploads', 'cache', 'languages', 'models', 'controllers', 'views', ''):
        with open(os.path.join(request.folder, name, 'written.txt'), 'w') as file:
            file.write('x')
    with open(os.path.join(request.folder, 'static', 'link.txt'), 'a') as file:
        file.write('through the link')
    with open('relative.txt', 'w') as file:
        file.write('x')
    db.thing.insert(name='x')
    session.x = 1
    cache.disk('key', lambda: 1)
    raise ValueError
"""
    write(app, {"controllers/w.py": source, "languages/it.py": "{'Hello': 'Ciao'}\n", "static/kept.txt": "kept"})
    write(tree, {"queue.yaml": "queue:\n- name: default\n", "routes.py": "default_application = 'shop'\n"})
    (app / "static" / "link.txt").symlink_to("kept.txt")
    before = state(tree)
    for folder, databases in ((tree, False), (app, True)):
        with Lab.from_folder(folder, databases=databases) as lab:
            assert lab.get("w/write").ticket.exception == "ValueError"
            lab.get("default/put")
            with lab.db() as db:
                db.thing.insert(name="y")
            lab.write("languages/it.py", "{'Hello': 'Salve'}\n")
            lab.run()
    assert state(tree) == before


MIGRATES = "db.define_table('thing', Field('name'))\ndb.thing.insert(name='x')\ndb.commit()\n"


@pytest.mark.row("T52")
@pytest.mark.parametrize(
    "dal",
    [
        "DAL('sqlite://{app}/databases/storage.sqlite')",
        "DAL('sqlite://new.sqlite', folder='{app}/databases')",
        "DAL('sqlite:memory', folder='{app}/databases')",
        "DAL(['sqlite://{app}/databases/storage.sqlite'])",
        f"DAL('sqlite://{'../' * 30}{{app}}/databases/storage.sqlite')",
        "(DAL.set_folder('{app}/databases'), DAL('sqlite://storage.sqlite'))[1]",
    ],
)
def test_a_model_that_names_a_database_of_the_original_cannot_open_it(dal: str, app):
    write(app, {"databases/storage.sqlite": "", "models/db.py": f"x = 1\ndb = {dal.format(app=app)}\n{MIGRATES}"})
    before = state(app.parents[2])
    with Lab.from_folder(app, databases=True) as lab:
        ticket = lab.get("default/index").ticket
        for read in (lambda: lab.table("thing"), lambda: lab.db().__enter__()):
            with pytest.raises(SourceError, match=r"shop/models/db.py, line 2\n.*\nNotInLabError: a lab doesn't open"):
                read()
    assert state(app.parents[2]) == before
    assert ticket.where == "shop/models/db.py, line 2"
    assert f"pydal would write to {app}/databases" in ticket.message
    assert ", which is outside of the lab's copy of the application." in ticket.message
    assert "Write a path relative to databases/: db = DAL('sqlite://storage.sqlite')" in ticket.message


def test_a_database_in_the_copy_may_have_an_absolute_path_and_a_notebook_opens_what_it_wants(app, tmp_path):
    write(app, {"models/db.py": f"db = DAL('sqlite://' + request.folder + '/databases/a.sqlite')\n{MIGRATES}"})
    with Lab.from_folder(app) as lab:
        assert lab.get("default/put").ok
        from pydal import DAL

        (tmp_path / "mine").mkdir()
        for_tests = DAL(f"sqlite://{tmp_path}/mine/a.sqlite", folder=str(tmp_path / "mine"))
        with lab.db() as db:
            inside = DAL(f"sqlite://{tmp_path}/mine/b.sqlite", folder=str(tmp_path / "mine"))
            assert db(db.thing).count() == 3  # each run of the models inserts one, too
        for dal in (for_tests, inside):
            dal.executesql("SELECT 1;")
            dal.close()


def test_modules_are_on_the_path_by_their_short_and_their_long_name(app):
    write(
        app,
        {"modules/mail/sender.py": "name = 'sender'\n", "modules/mail/__init__.py": "", "modules/single.py": "n = 3\n"},
    )
    source = "import single\nfrom mail.sender import name\nfrom applications.shop.modules.single import n\n"
    write(app, {"controllers/default.py": f"{source}def f(): return name + str(n + single.n)"})
    with Lab.from_folder(app) as lab:
        assert lab.get("default/f").text == "sender6"


def test_what_is_written_to_a_lab_from_a_folder_is_not_judged_by_a_check(app):
    from harness.appengine.written_files import files_written

    before = files_written()
    with Lab.from_folder(app) as lab:
        lab.write("controllers/default.py", "def f(): return 'mine'")
    assert files_written() == before
