"""A request goes into a WSGI application as PEP 3333 says, and its answer comes out whole."""

from typing import Any

import pytest

from harness.appengine.wsgi import call, to_environ
from harness.records import Request, Response


class App:
    """A WSGI application that answers with fixed chunks."""

    def __init__(self, *chunks: Any, status: str = "200 OK", headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.chunks = chunks
        self.status = status
        self.headers = headers
        self.closed = False

    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response(self.status, list(self.headers))
        return self

    def __iter__(self) -> Any:
        return iter(self.chunks)

    def close(self) -> None:
        self.closed = True


def send(app: Any, request: Request | None = None) -> Response:
    request = request or Request("GET", "/x")
    return call(app, to_environ(request), request)


def test_an_environ_has_what_pep_3333_asks_for():
    from wsgiref.validate import check_environ

    environ = to_environ(Request("POST", "/a/b?c=1", (("X-A", "1"),), b"body"))
    check_environ(environ)
    assert environ["PATH_INFO"] == "/a/b"
    assert environ["QUERY_STRING"] == "c=1"
    assert environ["CONTENT_LENGTH"] == "4"
    assert environ["wsgi.input"].read() == b"body"


def test_the_path_is_unquoted_and_the_query_is_not():
    environ = to_environ(Request("GET", "/Gr%C3%BC%C3%9Fe%20?x=%20%C3%BC"))
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/Grüße "
    assert environ["QUERY_STRING"] == "x=%20%C3%BC"


def test_headers_become_variables_and_those_of_the_body_have_names_of_their_own():
    headers = (("X-AppEngine-QueueName", "q"), ("content-type", "text/x"), ("Content-Length", "99"), ("Cookie", "a=1"))
    environ = to_environ(Request("POST", "/", headers, b"12345"))
    assert environ["HTTP_X_APPENGINE_QUEUENAME"] == "q"
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["CONTENT_LENGTH"] == "5"
    assert environ["HTTP_COOKIE"] == "a=1"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_repeated_header_is_joined_by_commas():
    assert to_environ(Request("GET", "/", (("X-A", "1"), ("x-a", "2"))))["HTTP_X_A"] == "1,2"


def test_host_and_port_are_told_apart_and_a_host_header_wins():
    environ = to_environ(Request("GET", "/", host="mail.example:8080"))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("mail.example", "8080")
    assert to_environ(Request("GET", "/"))["SERVER_PORT"] == "80"
    assert to_environ(Request("GET", "/", (("Host", "other"),)))["HTTP_HOST"] == "other"


def test_the_answer_is_read_whole_text_and_bytes_alike():
    app = App("Grüße ", b"\xff", bytearray(b"1"), memoryview(b"2"), status="201 Made", headers=(("X-A", "b"),))
    response = send(app)
    assert (response.status, response.reason, response.header("x-a")) == (201, "Made", "b")
    assert response.body == "Grüße ".encode() + b"\xff12"
    assert response.request == Request("GET", "/x")
    assert app.closed


def test_what_is_written_comes_before_what_is_returned():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"first ")
        return [b"second"]

    assert send(app).body == b"first second"


def test_a_missing_reason_is_filled_in():
    assert send(App(status="404")).reason == "Not Found"
    assert send(App(status="299")).reason == ""


def test_an_application_may_start_its_answer_as_late_as_at_its_first_chunk():
    def app(environ: Any, start_response: Any) -> Any:
        yield b""
        start_response("204 No Content", [])
        yield b""

    assert send(app).status == 204


def test_the_last_start_counts():
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Oh", [], (None, None, None))
        return [b""]

    assert send(app).status == 500


def test_an_application_that_never_starts_its_answer_is_named():
    with pytest.raises(RuntimeError, match=r"GET /x without calling start_response"):
        send(lambda environ, start_response: [b"x"])


@pytest.mark.parametrize("status", ["OK", "", "20 OK", "1000 Many", 5])
def test_a_status_without_a_code_is_quoted(status):
    with pytest.raises(ValueError, match="WSGI status") as caught:
        send(App(status=status))
    assert repr(status) in str(caught.value)


def test_bytes_instead_of_a_list_of_bytes_are_explained():
    def app(environ: Any, start_response: Any) -> bytes:
        start_response("200 OK", [])
        return b"hello"

    with pytest.raises(TypeError, match=r"such as \[b'hello'\], not of 104"):
        send(app)


def test_an_exception_while_the_answer_is_read_closes_it():
    def chunks() -> Any:
        yield b"a"
        raise KeyError("b")

    app = App()
    app.__class__ = type("Broken", (App,), {"__iter__": lambda self: chunks()})
    with pytest.raises(KeyError):
        send(app)
    assert app.closed
