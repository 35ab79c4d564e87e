"""Writing files: the names that web2py can use, and source that does not compile."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.appengine.web2py import Site
from harness.errors import DiskError, LabClosedError, NameRefusedError, SourceError
from harness.records import Request


def get(site: Site, url: str) -> str:
    return site.call(Request("GET", url)).text


@pytest.mark.parametrize(
    "path",
    [
        "controllers/default.py",
        "controllers/api_2.py",
        "models/db.py",
        "models/default/task_do/extra.py",
        "modules/mail.py",
        "modules/tools/mail.py",
        "views/default/index.html",
        "views/default/user-list.load.html",
        "static/css/a-b.min.css",
        "languages/pt-br.py",
        "private/appconfig.ini",
        "private/keys/a.b-c.pem",
    ],
)
def test_what_is_written_can_be_read(path: str, site: Site) -> None:
    site.write(path, "x = 'Größe'\n")
    assert site.read(path) == "x = 'Größe'\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("controllers/def-ault.py", "letters a-z"),
        ("controllers/größe.py", "letters a-z"),
        ("controllers/default", "then .py"),
        ("controllers/a/b.py", "letters a-z"),
        ("controllers/default.py\n", "letters a-z"),
        ("controllers/static.py", "can't run"),
        ("models/1-db.py", "letters a-z"),
        ("modules/1mail.py", "import"),
        ("modules/class.py", "is a keyword"),
        ("views/default/index", "extension"),
        ("views/de fault/index.html", "letters a-z"),
        ("views/a\0.html", "letters a-z"),
        ("controllers/../../x.py", "out of the application"),
        ("../routes.py", "out of the application"),
        ("/etc/passwd", "inside the application"),
        ("~/x.py", "inside the application"),
        ("C:\\x.py", "inside the application"),
        ("controllers\\default.py", "inside the application"),
        ("languages/it.txt", "then .py"),
        ("languages/x/it.py", "then .py"),
        ("private/", "Start the path with"),
        ("private/a b.ini", "letters a-z"),
        ("private/../x.ini", "out of the application"),
        ("databases/storage.sqlite", "controllers/"),
        ("default.py", "controllers/"),
        ("controllers", "controllers/"),
        ("controllers/", "controllers/"),
        ("", "not a path"),
        (None, "not a path"),
    ],
)
def test_a_path_that_web2py_would_not_use_is_refused(path: str, words: str, site: Site) -> None:
    with pytest.raises(NameRefusedError) as caught:
        site.write(path, "")
    assert repr(path) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["", "my-app", "größe", "a/b", "..", "a.b", "a b", "x\n", None, 3])
def test_an_application_name_that_web2py_cannot_serve_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError) as caught:
        Site([name])
    assert repr(name) in str(caught.value)
    assert "letters a-z and A-Z, digits and _" in str(caught.value)


def test_an_unknown_application_is_refused_with_those_that_there_are(site: Site) -> None:
    for act in (lambda: site.write("models/db.py", "", app="stats"), lambda: site.read("models/db.py", app="stats")):
        with pytest.raises(NameRefusedError, match="'stats' doesn't exist; the applications are: tutorial"):
            act()


def test_reading_a_file_that_is_not_there_lists_those_that_are(site: Site) -> None:
    with pytest.raises(NameRefusedError, match="models/db.py, views/generic.html, views/generic.json"):
        site.read("controllers/default.py")


@pytest.mark.parametrize(
    ("source", "line", "shown", "words"),
    [
        ("def f()\n    return 1", 1, "def f()\n           ^", "colon"),
        ("def f():\n    return (1", 2, "return (1\n           ^", "Close that bracket"),
        ("def f():\nreturn 1", 2, "return 1\n    ^", "four spaces"),
        ("def f():\n    # later\n", 2, "# later", "pass"),
        ("def f():\n    a = 1\n\tb = 2", 3, "b = 2", "no tabs"),
        ("def f():\n        if 1:\n            a = 1\n\tb = 2", 4, "b = 2", "no tabs"),
        ("def f():\n    return dict(.....)", 2, "return dict(.....)", "dots"),
        ("def f():\n    print 'x'", 2, "print 'x'\n    ^", "Python 2"),
        ("def f():\n    return 'x", 2, "return 'x\n           ^", "Close the quotes"),
        ("return 1", 1, "return 1\n    ^", "belongs to a function"),
        ("def f():\n    if x = 1: pass", 2, "if x = 1: pass\n       ^", "=="),
        ("def f():\n    return 1)", 2, "return 1)\n            ^", "opening"),
        ("x = dict(a=1 b=2)", 1, "x = dict(a=1 b=2)\n               ^", "Put a comma"),
        ("x = 1 2", 1, "x = 1 2\n          ^", "Correct that line"),
    ],
)
def test_source_that_does_not_compile_shows_the_line_and_what_to_do(
    source: str, line: int, shown: str, words: str, site: Site
) -> None:
    with pytest.raises(SourceError) as caught:
        site.write("controllers/default.py", source)
    first, rest = str(caught.value).split("\n", 1)
    assert first == f"tutorial/controllers/default.py, line {line}"
    assert f"    {shown}" in rest
    assert words in rest


@pytest.mark.parametrize("source", ["", "\n\n", "# later\n", "   \n# a\n\n# b"])
def test_a_controller_without_any_code_is_refused(source: str, site: Site) -> None:
    with pytest.raises(SourceError, match="tutorial/controllers/default.py holds no code yet"):
        site.write("controllers/default.py", source)


@pytest.mark.parametrize("path", ["models/empty.py", "modules/empty.py", "views/default/empty.html"])
def test_other_files_may_be_empty(path: str, site: Site) -> None:
    site.write(path, "")
    assert site.read(path) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = '\0'", "source code string cannot contain null bytes"),
        ("x = '\ud800'", "cannot be compiled: 'utf-8' codec can't encode"),
        ("(" * 5000, "too many nested parentheses"),
        ("-" * 100_000 + "1", "cannot be compiled: an expression in it is nested too deeply, or too long"),
        ("+".join("1" * 100_000), "cannot be compiled: an expression in it is nested too deeply, or too long"),
    ],
)
def test_source_that_breaks_the_compiler_is_refused(source: str, message: str, site: Site) -> None:
    with pytest.raises(SourceError, match="tutorial/models/db.py") as refusal:
        site.write("models/db.py", source)
    assert message in str(refusal.value)
    (shown,) = refusal.value._render_traceback_()
    assert message in shown
    assert max(map(len, shown.splitlines())) <= 1001


def test_a_view_that_is_no_text_is_refused(site: Site) -> None:
    with pytest.raises(SourceError, match=r"tutorial/views/default/x.html holds '\\ud800'"):
        site.write("views/default/x.html", "a\ud800")


def test_a_file_that_is_refused_leaves_the_former_one(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return 'one'")
    with pytest.raises(SourceError):
        site.write("controllers/default.py", "def f( return 'two'")
    assert get(site, "/tutorial/default/f") == "one"


def test_warnings_of_the_compiler_are_no_errors(site: Site) -> None:
    site.write("models/pattern.py", "pattern = '\\d'; 1 is 1")
    assert "pattern" in site.read("models/pattern.py")


def test_async_actions_can_be_written_and_web2py_answers_404(site: Site) -> None:
    site.write("controllers/default.py", "async def f(): return 'x'")
    assert get(site, "/tutorial/default/f") == "<html><body><h1>invalid function (default/f)</h1></body></html>"


def stop_the_clock(site: Site) -> None:
    """Give all files the same mtime, as a file system with a coarse clock does."""
    for path in site.root.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def test_controllers_models_and_views_rewritten_in_one_tick_are_never_stale(site: Site) -> None:
    for number in range(5):
        site.write("controllers/default.py", f"def f(): return dict(c={number})")
        site.write("models/x.py", f"m = {number}")
        site.write("views/default/f.html", f"{{{{=c}}}} {{{{=m}}}} {number}")
        stop_the_clock(site)
        assert get(site, "/tutorial/default/f") == f"{number} {number} {number}"


def test_a_module_rewritten_between_calls_is_imported_anew(site: Site) -> None:
    site.write("controllers/default.py", "from prices import price\ndef f(): return str(price)")
    for number in range(5):
        site.write("modules/prices.py", f"price = {number}")
        stop_the_clock(site)
        assert get(site, "/tutorial/default/f") == str(number)


def test_no_bytecode_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    site.write("modules/prices.py", "price = 1")
    site.write("controllers/default.py", "from prices import price\ndef f(): return str(price)")
    assert get(site, "/tutorial/default/f") == "1"
    assert list(site.root.rglob("*.pyc")) == []


def test_a_module_written_after_its_import_failed_is_found(site: Site) -> None:
    site.write("controllers/default.py", "def f():\n    import prices\n    return str(prices.price)")
    stop_the_clock(site)
    assert "Ticket issued" in get(site, "/tutorial/default/f")
    site.write("modules/prices.py", "price = 5")
    stop_the_clock(site)
    assert get(site, "/tutorial/default/f") == "5"


def test_routes_rewrite_what_comes_in_and_what_goes_out(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return URL('f', args=[1])")
    site.write("routes.py", "routes_in = [('/go/$anything', '/tutorial/default/$anything')]\n"
                            "routes_out = [('/tutorial/default/$anything', '/go/$anything')]\n")  # fmt: skip
    assert get(site, "/go/f") == "/go/f/1"
    site.write("routes.py", "")
    assert "invalid request" in get(site, "/go/f")


def test_parametric_routes_know_a_controller_written_after_them(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return request.controller")
    site.write("routes.py", "routers = dict(BASE=dict(default_application='tutorial'))")
    assert "invalid function (default/other)" in get(site, "/other/f")
    site.write("controllers/other.py", "def f(): return request.controller")
    assert get(site, "/other/f") == "other"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("routes_in = [", ["routes.py, line 1", "Close that bracket"]),
        ("a = 1\nroutes_in = nothing", ["routes.py, line 2\n    routes_in = nothing", "NameError"]),
        ("routes_in = [('(', '/x')]", ["routes.py", "rror: missing )"]),
        ("routes_in = ('/go', '/tutorial/default/f')", ["routes.py", "lists of pairs: [('/from', '/to')]"]),
        ("routers = dict(tutorial=dict(colour=1))", ["routes.py", "unknown key(s) ('colour',)"]),
        ("raise SystemExit", ["routes.py, line 1\n    raise SystemExit", "SystemExit"]),
    ],
)
def test_broken_routes_are_explained_and_the_previous_routes_stay(source: str, words: list[str], site: Site) -> None:
    site.write("controllers/default.py", "def f(): return 'here'")
    site.write("routes.py", "routes_in = [('/go', '/tutorial/default/f')]")
    with pytest.raises(SourceError) as caught:
        site.write("routes.py", source)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert get(site, "/go") == "here"
    assert "'/go'" in site.read("routes.py")


def test_output_of_routes_is_discarded(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("routes.py", "print('loaded')")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("path", [f"controllers/{'x' * 300}.py", "static/a.txt/b.txt", "static/folder"])
def test_a_path_that_the_file_system_refuses_is_refused(path: str, site: Site) -> None:
    site.write("static/a.txt", "a file")
    site.write("static/folder/b.txt", "in a folder")
    with pytest.raises(NameRefusedError, match="cannot be written: .*. Use another name"):
        site.write(path, "x = 1")


def test_modules_in_folders_are_imported_by_their_dotted_name(site: Site) -> None:
    site.write("modules/tools/prices.py", "price = 3")
    site.write("controllers/default.py", "from tools.prices import price\ndef f(): return str(price)")
    assert get(site, "/tutorial/default/f") == "3"


def test_a_closed_site_refuses_every_call(site: Site) -> None:
    site.close()
    site.close()
    assert not site.root.exists()
    for act in (
        lambda: site.write("controllers/default.py", "def f(): pass"),
        lambda: site.read("models/db.py"),
        lambda: site.call(Request("GET", "/")),
        lambda: site.rows("mytable"),
    ):
        with pytest.raises(LabClosedError, match="closed"):
            act()


def no_room(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["pathlib.Path.write_bytes", "tempfile.mkdtemp", "pathlib.Path.touch"])
def test_a_site_on_a_full_disk_names_the_disk_and_the_folder(site, monkeypatch, what):
    monkeypatch.setattr(what, lambda *args, **options: no_room())
    with pytest.raises(DiskError, match="cannot write its files in /.*: .*No space left on device.*Make room"):
        Site()


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 1,000 bytes in this scope, so that longer files are cut off."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


LONG = f"def f(): return 'two'\n{2_000 * '#'}"


@pytest.mark.parametrize("path", ["controllers/default.py", "static/a.txt"])
def test_a_file_that_meets_a_full_disk_stays_as_it_was_and_needs_no_other_name(site: Site, path: str) -> None:
    site.write(path, "def f(): return 'one'")
    with full_disk(), pytest.raises(DiskError, match="File too large"):
        site.write(path, LONG)
    assert site.read(path) == "def f(): return 'one'"
    with full_disk(), pytest.raises(DiskError, match="File too large"):
        site.write("modules/new.py", LONG)
    site.write(path, "def f(): return 'three'")
    names = [file.name for file in site.root.rglob("*") if file.is_file() and file.name != "__init__.py"]
    assert sorted(names) == sorted([".lock", "db.py", "generic.html", "generic.json", Path(path).name])


def test_routes_that_are_refused_on_a_full_disk_leave_the_former_ones(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return 'here'")
    routes = f"routes_in = [('/go', '/tutorial/default/f')]\n{2_000 * '#'}"
    site.write("routes.py", routes)
    with full_disk(), pytest.raises(SourceError, match="NameError"):
        site.write("routes.py", "routes_in = nothing")
    assert site.read("routes.py") == routes
    assert get(site, "/go") == "here"
