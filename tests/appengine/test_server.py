"""One request in virtual time: on web2py or on a mounted application, with both deadlines."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest

from harness.appengine.clock import START, Clock
from harness.appengine.server import Server
from harness.appengine.web2py import Site
from harness.errors import BadRequestError, NameRefusedError, SourceError, UnknownTableError
from harness.records import Request, Response

NOW = START.timestamp()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site(("tutorial",))
    yield site
    site.close()


@pytest.fixture
def server(site: Site) -> Server:
    return Server(site, Clock(), nullcontext)


@pytest.fixture
def impatient_server(server: Server) -> Server:
    """A server that stops a handler after 0.3 real seconds."""
    server.real_seconds = 0.3
    return server


def send(server: Server, url: str, deadline: float = 600.0) -> Response:
    return server.send(Request("GET", url), NOW + 60, deadline)


def answer(body: bytes, status: str = "200 OK") -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        return [body]

    return app


def mount(server: Server, action: Any) -> Response:
    """Send a request to an application that calls `action` and answers 200."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        action()
        return list(answer(b"done")(environ, start_response))

    server.mount("/app", app)
    return send(server, "/app")


def test_a_request_runs_at_its_virtual_instant_and_takes_its_virtual_time(site, server):
    source = "import time\ndef f():\n    begun = request.now\n    time.sleep(2.5)\n    return begun.isoformat()\n"
    site.write("controllers/default.py", source)
    response = send(server, "/tutorial/default/f")
    assert response.text == "2012-09-03T09:01:00"
    assert response.started == START + timedelta(seconds=60)
    assert (response.elapsed, response.deadline) == (2.5, None)


def test_the_scope_is_open_while_the_handler_runs_and_only_then(site):
    seen = []

    @contextmanager
    def scope(host: str) -> Iterator[None]:
        seen.append(f"opened for {host}")
        yield
        seen.append("closed")

    server = Server(site, Clock(), scope)
    mount(server, lambda: seen.append("handler"))
    assert seen == ["opened for tutorial.appspot.com", "handler", "closed"]


def test_a_handler_that_sleeps_past_the_deadline_is_stopped_there(site, server):
    site.write("controllers/default.py", "import time\ndef f():\n    time.sleep(3600)\n    return 'x'\n")
    response = send(server, "/tutorial/default/f")
    assert (response.status, response.elapsed, response.deadline) == (500, 600.0, "virtual")


def test_a_handler_that_spins_is_stopped_and_used_up_its_deadline(site, impatient_server):
    site.write("controllers/default.py", "def f():\n    while True:\n        pass\n")
    response = send(impatient_server, "/tutorial/default/f", deadline=30.0)
    assert (response.status, response.elapsed, response.deadline) == (500, 30.0, "real")


@pytest.mark.parametrize(
    ("url", "found"),
    [("/plain", "plain"), ("/plain/", "plain"), ("/plain/a?b", "plain"), ("/plain/deep/a", "deep"), ("/a/b", "a/b")],
)
def test_the_longest_prefix_decides_who_answers(url, found, server):
    for prefix, body in (("/plain", b"plain"), ("/plain/deep/", b"deep"), ("/a/b", b"a/b")):
        server.mount(prefix, answer(body))
    assert send(server, url).text == found


@pytest.mark.parametrize("url", ["/plainly", "/tutorial/default/none", "/"])
def test_what_is_not_below_a_prefix_goes_to_web2py(url, server):
    server.mount("/plain", answer(b"plain"))
    assert send(server, url).text != "plain"


@pytest.mark.parametrize("prefix", ["plain", "/", "", "//", None, 5])
def test_a_prefix_that_is_no_path_is_quoted(prefix, server):
    with pytest.raises(BadRequestError) as caught:
        server.mount(prefix, answer(b""))
    assert repr(prefix) in str(caught.value)


def test_an_application_that_cannot_be_called_is_refused(server):
    with pytest.raises(BadRequestError, match="a WSGI application can be called .* 'app' cannot"):
        server.mount("/x", "app")


def test_a_mounted_application_keeps_virtual_time_too(server):
    response = mount(server, lambda: time.sleep(7))
    assert (response.text, response.elapsed) == ("done", 7.0)


def test_what_a_mounted_application_prints_is_kept(server, capsys):
    response = mount(server, lambda: print("to stdout") or print("to stderr", file=sys.stderr))
    assert response.output == "to stdout\nto stderr\n"
    assert capsys.readouterr() == ("", "")


def fail() -> None:
    raise KeyError("old")


def test_an_exception_in_a_mounted_application_is_a_500_with_a_ticket(server):
    response = mount(server, fail)
    assert (response.status, response.ticket.exception, response.ticket.message) == (500, "KeyError", "'old'")
    assert response.ticket.frames[-1].source == 'raise KeyError("old")'
    assert {frame.file for frame in response.ticket.frames} == {"test_server.py"}
    assert "KeyError: 'old'" in response.ticket.traceback


def recurse() -> None:
    recurse()


def test_an_endless_recursion_in_a_mounted_application_keeps_twenty_frames(server):
    ticket = mount(server, recurse).ticket
    assert (ticket.exception, len(ticket.frames)) == ("RecursionError", 20)


@pytest.mark.parametrize("action", [sys.exit, lambda: sys.exit("bye"), lambda: exec("1 +")])
def test_whatever_a_mounted_application_raises_becomes_a_500(action, server):
    assert mount(server, action).status == 500


def test_a_mounted_application_leaves_the_kernel_as_it_was(server):
    folder = os.getcwd()
    mount(server, lambda: os.chdir("/"))
    assert os.getcwd() == folder


def spin() -> None:
    while True:
        try:
            time.perf_counter()
        except:  # noqa: E722
            continue


def test_a_mounted_application_that_spins_and_swallows_is_stopped(impatient_server):
    response = mount(impatient_server, spin)
    assert (response.status, response.elapsed, response.deadline) == (500, 600.0, "real")
    assert mount(impatient_server, lambda: None).status == 200


def test_ctrl_c_in_a_handler_goes_through(site, server):
    with pytest.raises(KeyboardInterrupt):
        mount(server, lambda: signal.raise_signal(signal.SIGINT))
    source = "import signal\ndef f():\n    signal.raise_signal(signal.SIGINT)\n    return 'x'\n"
    site.write("controllers/default.py", source)
    with pytest.raises(KeyboardInterrupt):
        send(server, "/tutorial/default/f")


def test_ctrl_c_that_a_handler_swallows_goes_through_all_the_same(site, server):
    site.write(
        "controllers/default.py",
        "import signal\ndef f():\n    try:\n        signal.raise_signal(signal.SIGINT)\n"
        "    except:\n        pass\n    return 'x'\n",
    )
    with pytest.raises(KeyboardInterrupt):
        send(server, "/tutorial/default/f")


def test_a_404_of_web2py_says_why_and_a_handlers_own_does_not(site, server):
    site.write("controllers/default.py", "def f():\n    raise HTTP(404)\n")
    assert "no action 'g'" in send(server, "/tutorial/default/g").hint
    assert send(server, "/tutorial/default/f").hint == ""
    server.mount("/plain", answer(b"", "404 Not Found"))
    assert send(server, "/plain").hint == ""


def test_rows_are_what_the_applications_own_database_holds(site, server):
    site.write("controllers/default.py", "def f():\n    db.mytable.truncate()\n    db.mytable.insert(old='a')\n")
    send(server, "/tutorial/default/f")
    assert server.rows("mytable", "tutorial") == [{"id": 1, "old": "a", "new": None}]
    with pytest.raises(UnknownTableError):
        server.rows("yours", "tutorial")
    with pytest.raises(NameRefusedError):
        server.rows("mytable", "stats")


@pytest.mark.parametrize("body", ["while True:\n    pass", "import time\ntime.sleep(3600)"])
def test_models_that_do_not_end_are_stopped(body, site, impatient_server):
    site.write("models/zz.py", body + "\n")
    try:
        with pytest.raises(SourceError, match="the models of 'tutorial' do not end"):
            impatient_server.rows("mytable", "tutorial")
    finally:
        site.write("models/zz.py", "")
    assert isinstance(impatient_server.rows("mytable", "tutorial"), list)
