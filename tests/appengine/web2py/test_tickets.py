"""The ticket of an exception shows only the lines of the learner's files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.appengine.web2py import Site
from harness.records import Request, Response


def run(site: Site, *lines: str) -> Response:
    """Run these lines as the body of the action f; the first is line 2 of the file."""
    site.write("controllers/default.py", "\n    ".join(["def f():", *lines]) + "\n")
    return site.call(Request("GET", "/tutorial/default/f"))


def frames(response: Response) -> list[tuple[str, int, str, str]]:
    assert response.ticket is not None
    return [(frame.file, frame.line, frame.function, frame.source) for frame in response.ticket.frames]


def test_a_ticket_names_the_exception_and_the_learners_line(site: Site) -> None:
    response = run(site, "n = 0", "return 1 / n  # here")
    assert (response.status, response.reason) == (500, "INTERNAL SERVER ERROR")
    assert response.ticket is not None
    assert (response.ticket.exception, response.ticket.message) == ("ZeroDivisionError", "division by zero")
    assert frames(response) == [("tutorial/controllers/default.py", 3, "f", "return 1 / n  # here")]
    assert response.ticket.where == "tutorial/controllers/default.py, line 3"
    assert response.ticket.traceback == (
        "Traceback (most recent call last):\n"
        '  File "tutorial/controllers/default.py", line 3, in f\n'
        "    return 1 / n  # here\n"
        "ZeroDivisionError: division by zero"
    )


def test_tickets_are_numbered_in_body_and_header_and_web2py_can_look_them_up(site: Site) -> None:
    for number in (1, 2):
        response = run(site, "return nothing")
        assert response.ticket is not None
        assert response.ticket.id.startswith("tutorial/127.0.0.1.20")
        assert response.ticket.id.endswith(f".{number}")
        assert f'<a href="/admin/default/ticket/{response.ticket.id}"' in response.text
        assert response.header("web2py_error") == f"ticket {response.ticket.id}"
        application, name = response.ticket.id.split("/")
        assert (site.root / "applications" / application / "errors" / name).is_file()


def test_a_request_without_a_ticket_takes_no_number(site: Site) -> None:
    run(site, "return 'fine'")
    response = run(site, "return nothing")
    assert response.ticket is not None
    assert response.ticket.id.endswith(".1")


def test_frames_go_through_modules_and_leave_out_the_framework(site: Site) -> None:
    site.write("modules/prices.py", "def price():\n    raise ValueError('Größe')\n")
    response = run(site, "import prices", "from gluon.utils import md5_hash", "return prices.price()")
    assert frames(response) == [
        ("tutorial/controllers/default.py", 4, "f", "return prices.price()"),
        ("tutorial/modules/prices.py", 2, "price", "raise ValueError('Größe')"),
    ]


def test_an_exception_inside_pydal_is_shown_at_the_learners_line(site: Site) -> None:
    response = run(site, "db.nosuch.insert(a=1)")
    assert frames(response) == [("tutorial/controllers/default.py", 2, "f", "db.nosuch.insert(a=1)")]


def test_a_model_that_raises_is_a_ticket_without_a_route(site: Site) -> None:
    site.write("models/z.py", "a = 1\nb = a / 0\n")
    response = run(site, "return 'x'")
    assert (response.status, response.route) == (500, None)
    assert frames(response) == [("tutorial/models/z.py", 2, "<module>", "b = a / 0")]


@pytest.mark.parametrize("path", ["models/z.py", "controllers/default.py"])
def test_a_file_that_does_not_compile_is_a_ticket_at_its_line(path: str, site: Site) -> None:
    run(site, "return 'x'")
    (site.root / "applications" / "tutorial" / path).write_text("def f():\n    return 'x'\n\nif:\n")
    site.write("views/default/f.html", "")
    response = site.call(Request("GET", "/tutorial/default/f"))
    assert response.ticket is not None
    assert (response.ticket.exception, response.ticket.where) == ("SyntaxError", f"tutorial/{path}, line 4")
    assert response.ticket.frames[-1].source == "if:"


def test_an_error_in_a_view_is_shown_at_the_line_of_the_template(site: Site) -> None:
    site.write("views/default/f.html", "{{include 'default/part.html'}}\n<h1>\n{{=missing}}\n</h1>\n")
    site.write("views/default/part.html", "<p>\n{{if broken:}}\n{{=1 / 0}}\n{{pass}}</p>\n")
    assert frames(run(site, "return dict(broken=False)")) == [
        ("tutorial/views/default/f.html", 3, "<module>", "{{=missing}}")
    ]
    assert frames(run(site, "return dict(broken=True)")) == [
        ("tutorial/views/default/part.html", 3, "<module>", "{{=1 / 0}}")
    ]


def test_an_endless_recursion_shows_its_two_ends(site: Site) -> None:
    response = run(site, "def again(): return again()", "return again()")
    assert response.ticket is not None
    assert response.ticket.exception == "RecursionError"
    assert len(response.ticket.frames) == 20
    assert [frame.line for frame in response.ticket.frames[:3]] == [3, 2, 2]


@pytest.mark.parametrize(
    ("line", "exception", "message"),
    [
        ("import sys; sys.exit(3)", "SystemExit", "3"),
        ("raise SystemExit", "SystemExit", ""),
        ("raise GeneratorExit('x')", "GeneratorExit", "x"),
        ("raise BaseException('x')", "BaseException", "x"),
    ],
)
def test_whatever_is_raised_is_a_ticket_and_rolls_back(line: str, exception: str, message: str, site: Site) -> None:
    response = run(site, "db.mytable.insert(old='a')", line)
    assert response.status == 500
    assert response.ticket is not None
    assert (response.ticket.exception, response.ticket.message) == (exception, message)
    assert response.ticket.frames[-1].line == 3
    assert response.route is not None
    assert site.rows("mytable") == []


def test_what_an_action_returned_before_its_view_failed_is_still_seen(site: Site) -> None:
    site.write("views/default/f.html", "{{=1 / 0}}")
    response = run(site, "return dict(n=1)")
    assert (response.status, response.vars) == (500, {"n": 1})


@pytest.mark.parametrize("raised", ["ValueError('late')", "HTTP(404, 'late')", "SystemExit('late')"])
def test_a_body_that_breaks_off_is_a_500_at_its_line(raised: str, site: Site) -> None:
    response = run(site, "def body():", "    yield 'a'", f"    raise {raised}", "return body()")
    assert (response.status, response.body) == (500, b"")
    assert response.ticket is not None
    assert response.ticket.frames[-1].line == 4
    assert run(site, "return 'fine'").text == "fine"


def test_no_path_of_this_machine_is_in_what_a_learner_sees(site: Site) -> None:
    response = run(site, "raise ValueError(request.args)")
    assert response.ticket is not None
    shown = response.text + response.ticket.traceback + response.output + repr(response.headers)
    assert str(site.root) not in shown
    assert str(Path(__file__).parents[3]) not in shown


def test_a_handler_that_removes_its_own_file_still_gets_its_ticket(site: Site) -> None:
    response = run(site, "import os; os.remove(request.folder + '/controllers/default.py')", "return 1 / 0")
    assert response.ticket is not None
    assert response.ticket.exception == "ZeroDivisionError"
    assert response.ticket.where == "tutorial/controllers/default.py, line 3"


def test_a_ticket_that_cannot_be_stored_is_still_recorded(site: Site) -> None:
    response = run(site, "import shutil; shutil.rmtree(request.folder + '/errors')", "return 1 / 0")
    assert response.status == 500
    assert response.ticket is not None
    assert response.ticket.exception == "ZeroDivisionError"


def test_an_exception_whose_text_fails_is_still_recorded(site: Site) -> None:
    odd = "class Odd(Exception): __str__ = lambda self: 1 / 0"
    response = run(site, odd, "def body():", "    raise Odd", "    yield", "return body()")
    assert response.ticket is not None
    assert response.ticket.exception == "Odd"
    assert response.ticket.message == "(its text cannot be shown: ZeroDivisionError)"


def test_an_id_returned_from_insert_is_explained(site: Site) -> None:
    response = run(site, "return db.mytable.insert(old='a')")
    assert response.status == 500
    assert response.ticket is not None
    assert response.ticket.message.startswith("the action returned 1 of type Reference, which cannot be sent as text")
    assert len(site.rows("mytable")) == 1


FULL_AT_COMMIT = (
    "import resource",
    "db.mytable.insert(old='x' * 300_000)",  # SQLite writes the pages when it commits
    "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))",
    "return 'saved'",
)
BROKEN_PROMISE = (
    "db.executesql('CREATE TABLE parent (id INTEGER PRIMARY KEY)')",
    "db.executesql('CREATE TABLE child (p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)')",
    "db.executesql('INSERT INTO child VALUES (99)')",
    "db.mytable.insert(old='a')",
    "return 'saved'",
)


@pytest.fixture
def no_limit() -> Iterator[None]:
    """Restore the limit on the size of files, which the handler changes for the whole process."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def rows_after(site: Site, *lines: str) -> tuple[Response, int]:
    site.write("models/db.py", "db = DAL('sqlite://storage.sqlite')\ndb.define_table('mytable', Field('old', 'text'))")
    response = run(site, *lines)
    return response, len(site.rows("mytable"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [(BROKEN_PROMISE, "IntegrityError: FOREIGN KEY constraint failed"), (FULL_AT_COMMIT, "OperationalError: ")],
    ids=["constraint", "disk"],
)
def test_a_commit_that_fails_is_in_the_response_though_web2py_answers_200(
    lines: tuple[str, ...], reason: str, site: Site, no_limit: None
) -> None:
    response, rows = rows_after(site, *lines)
    assert (response.status, response.text, rows) == (200, "saved", 0)
    assert response.ticket is not None
    assert response.ticket.id == "none: the commit failed"
    assert f"{response.ticket.exception}: {response.ticket.message}".startswith(reason)
    assert f"{response.ticket.exception}: {response.ticket.message}" in str(response)
    assert "The commit failed and saved nothing." in response.ticket.message


def test_a_commit_of_the_handlers_own_that_fails_is_in_the_response(site: Site) -> None:
    commit = "response.custom_commit = lambda adapter: adapter and adapter.nothing"
    response, rows = rows_after(site, commit, "db.mytable.insert(old='a')", "return 'saved'")
    assert response.ticket is not None
    assert (response.status, response.ticket.exception, rows) == (200, "AttributeError", 0)
    assert response.ticket.where == "tutorial/controllers/default.py, line 2"


def test_a_rollback_is_no_failed_commit_and_the_next_request_commits(site: Site) -> None:
    response, rows = rows_after(site, *BROKEN_PROMISE[:-1], "1 / 0")
    assert response.ticket is not None
    assert (response.status, response.ticket.exception, rows) == (500, "ZeroDivisionError", 0)
    response, rows = rows_after(site, "db.mytable.insert(old='a')", "return 'saved'")
    assert (response.ticket, rows) == (None, 1)


def test_a_status_that_wsgi_refuses_is_not_blamed_on_what_the_action_returned(site: Site) -> None:
    site.write("controllers/default.py", "def f(): raise HTTP(6, 'no')")
    ticket = site.call(Request("GET", "/tutorial/default/f")).ticket
    assert ticket is not None
    assert "a WSGI status looks like" in ticket.message
    assert "the action returned" not in ticket.message
