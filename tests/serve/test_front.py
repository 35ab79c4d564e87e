"""The front, which passes users' requests to the application, and the sender of tasks."""

import gc
import http.client
import re
import socket
import threading
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue as Box

import pytest

from harness.errors import HarnessError
from harness.records import Request
from harness.serve import exchange
from harness.serve.app_yaml import parse_app_yaml
from harness.serve.front import Front, TaskSender
from harness.serve.supervisor import START_SECONDS, free_port

SECONDS = 20
LARGE = 10 * 2**20
TOKEN = "secret"
OWN = (("X-Harness-Token", TOKEN), ("X-Appengine-Api-Ticket", "ticket"))


class Application(BaseHTTPRequestHandler):
    """Its response depends on the path. Its server keeps the requests."""

    protocol_version = "HTTP/1.1"

    def handle_request(self):
        length = self.headers["Content-Length"]
        body = self.rfile.read(int(length)) if length else self.read_chunks()
        self.server.requests.put((self.command, self.path, self.headers, body))
        getattr(self, self.path.strip("/").partition("?")[0] or "index")()

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = handle_request

    def read_chunks(self):
        body = b""
        while self.headers["Transfer-Encoding"] and (size := int(self.rfile.readline(), 16)):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body

    def send(self, status, body=b"", *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def index(self):
        cookies = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")]
        self.send(303, b"moved", ("Location", f"http://{self.headers['Host']}/next"), *cookies, ("X-Name", "J\xfcrg"))

    def not_modified(self):
        self.send_response(304)
        self.send_header("ETag", '"x"')
        self.end_headers()

    def chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (b"first", b"second"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
            if part == b"first":
                self.server.go_on.wait(SECONDS)
        self.wfile.write(b"0\r\n\r\n")

    def until_close(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the end is the end")
        self.close_connection = True

    def large(self):
        self.send(200, b"x" * LARGE)

    def early(self):
        self.close_connection = True
        self.send(413, b"too large", ("Connection", "close"))

    def silent(self):
        self.close_connection = True

    def broken(self):
        self.send_response_only(103)
        self.end_headers()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\nhalf\r\n")
        self.close_connection = True

    def slow(self):
        self.server.go_on.wait(SECONDS)
        self.send(200, b"at last")

    def log_message(self, *line):
        pass


class Status:
    is_running = True
    reason = "it ended by itself, with status <3>"


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        server.daemon_threads, server.handle_error = True, lambda request, address: None  # a user may leave
        server.requests, server.go_on = Box(), threading.Event()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def front(server):
    front = Front(0, server.server_address[1], TOKEN, Box())
    front.say = front.say.put
    front.status = Status()
    yield front
    front.stop()


@pytest.fixture(autouse=True)
def fresh(server, front, tmp_path):
    server.go_on.clear()
    server.requests.queue.clear()
    yield
    front.status, front.handlers = Status(), ()
    server.go_on.set()


@pytest.fixture
def connection(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=SECONDS)
    yield connection
    connection.close()


def ask(connection, method, path, body=None, **headers):
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response, response.read()


def test_stop_closes_all_connections_and_says_nothing(caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as stack:
        front = Front(0, silent.getsockname()[1], TOKEN, print)
        front.status = Status()
        connections = [socket.create_connection(("127.0.0.1", front.port), SECONDS) for _ in range(4)]
        new, idle, waiting, sending = map(stack.enter_context, connections)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 403")
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stack.enter_context(silent.accept()[0])
        sending.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (10 * LARGE))
        stack.enter_context(silent.accept()[0])  # it never reads
        sending.settimeout(1)
        with pytest.raises(TimeoutError):
            sending.sendall(bytes(10 * LARGE))
        front.stop()
        for connection in (new, idle, waiting, sending):
            connection.settimeout(SECONDS)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        del front
        gc.collect()  # shows a socket that isn't closed
    assert caplog.messages == []


@pytest.mark.row("T71")
def test_the_application_sees_the_users_request_without_app_engines_headers(front, server, connection):
    forged = {"X_AppEngine_QueueName": "default", "x_appengine_user_ip": "0.1.0.2", "X_Harness_Token": "?"}
    ask(connection, "POST", "/?a=%2F", b"a=1", **forged, X_Own="1", Connection="keep-alive, x-hop", X_Hop="1")
    method, path, headers, body = server.requests.get(timeout=SECONDS)
    assert (method, path, body) == ("POST", "/?a=%2F", b"a=1")
    assert headers["Host"] == f"127.0.0.1:{front.port}"
    assert headers["X-Own"] == "1" and headers["X-Hop"] is None
    assert (headers["X-AppEngine-QueueName"], headers["X-Appengine-User-Ip"]) == (None, None)
    assert headers.get_all("X-Harness-Token") == [TOKEN]
    assert headers["X-Appengine-Default-Version-Hostname"] == f"127.0.0.1:{front.port}"
    assert headers["X-Appengine-Api-Ticket"]


SMUGGLED = b"POST /evil HTTP/1.1\r\nHost: localhost\r\nX-AppEngine-QueueName: default\r\nContent-Length: 0\r\n\r\n"


def send_raw(front, request):
    """Send bytes to the front, and return the status of the response."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=SECONDS) as raw:
        raw.sendall(request)
        return int(raw.makefile("rb").readline().split()[1])


@pytest.mark.row("T71")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("length", "body", "status"),
    [
        (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), 411),
        (b"Content-Length: %d" % len(SMUGGLED), SMUGGLED, 303),
    ],
)
def test_a_body_never_becomes_another_request(front, server, connection, method, length, body, status):
    head = b"%s / HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\n%s\r\n\r\n" % (method.encode(), length)
    assert send_raw(front, head + body) == status
    ask(connection, "GET", "/?end")
    requests = []
    while "/?end" not in requests:
        requests.append(server.requests.get(timeout=SECONDS)[1])
    assert requests == (["/?end"] if status == 411 else ["/", "/?end"])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 303),
        ("[::1]:8080", 303),
        ("worker.localhost", 303),
        ("worker.127.0.0.1:8080", 303),
        ("SHOP.test:8080", 303),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
    ],
)
def test_a_page_of_another_site_cannot_use_its_own_domain(front, server, connection, monkeypatch, host, status):
    monkeypatch.setattr(front, "allowed_hosts", front.allowed_hosts | {"shop.test"})
    response, body = ask(connection, "GET", "/", Host=host)
    assert (response.status, server.requests.qsize()) == (status, status == 303)
    assert status == 303 or f"with --allow-host {host.partition(':')[0]}".encode() in body


@pytest.mark.row("T71")
def test_headers_with_underscores_are_removed_too_and_a_post_has_a_length(front, server):
    with socket.create_connection(("127.0.0.1", front.port), timeout=SECONDS) as raw:
        raw.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX_AppEngine_QueueName: default\r\nConnection: close\r\n\r\n"
        )
        assert raw.makefile("rb").readline() == b"HTTP/1.1 303 See Other\r\n"
    headers = server.requests.get(timeout=SECONDS)[2]
    assert (headers["X_AppEngine_QueueName"], headers["Content-Length"]) == (None, "0")


def test_the_user_sees_the_response_with_its_cookies_and_redirects(front, connection):
    response, body = ask(connection, "GET", "/")
    assert (response.status, body) == (303, b"moved")
    assert response.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert response.headers["Location"] == f"http://127.0.0.1:{front.port}/next"
    assert response.headers["X-Name"] == "J\xfcrg"


def test_responses_without_a_body_leave_the_connection_open(connection):
    response, body = ask(connection, "HEAD", "/")
    assert (response.status, response.headers["Content-Length"], body) == (303, "5", b"")
    response, body = ask(connection, "GET", "/not_modified", If_None_Match='"x"')
    assert (response.status, response.headers["ETag"], body) == (304, '"x"', b"")
    assert ask(connection, "GET", "/")[0].status == 303


def test_a_chunked_response_arrives_in_parts(server, connection):
    connection.request("GET", "/chunked")
    response = connection.getresponse()
    assert response.read1() == b"first"
    server.go_on.set()
    assert response.read() == b"second"
    assert ask(connection, "GET", "/until_close")[1] == b"the end is the end"


def test_large_bodies_pass_in_both_directions(server, connection):
    body = bytes(range(256)) * (LARGE // 256)
    assert len(ask(connection, "POST", "/large", body)[1]) == LARGE
    assert server.requests.get(timeout=SECONDS)[3] == body
    ask(connection, "PUT", "/", iter([b"in ", b"chunks"]))
    assert server.requests.get(timeout=SECONDS)[3] == b"in chunks"


def test_a_slow_user_does_not_hold_up_others(front, server, connection):
    with socket.create_connection(("127.0.0.1", front.port), timeout=SECONDS) as slow:
        slow.sendall(b"POST /?slow HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
        file = slow.makefile("rb")
        assert file.readline().startswith(b"HTTP/1.1 100") and file.readline() == b"\r\n"
        slow.sendall(b"abc")
        assert ask(connection, "GET", "/")[0].status == 303
        slow.sendall(b"def")
        assert file.readline() == b"HTTP/1.1 303 See Other\r\n"
    bodies = {path: body for _, path, _, body in [server.requests.get(timeout=SECONDS) for _ in range(2)]}
    assert bodies == {"/": b"", "/?slow": b"abcdef"}


def test_a_user_who_closes_the_connection_harms_nothing(front, server, connection):
    with socket.create_connection(("127.0.0.1", front.port), timeout=SECONDS) as raw:
        raw.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.requests.get(timeout=SECONDS)
    assert ask(connection, "GET", "/")[0].status == 303


def test_while_the_application_does_not_run_a_page_explains_why_and_reloads_itself(front, connection):
    front.status.is_running = False
    response, body = ask(connection, "GET", "/")
    assert (response.status, response.headers["Retry-After"], response.headers["Cache-Control"]) == (
        503,
        "1",
        "no-store",
    )
    assert b"it ended by itself, with status &lt;3&gt;." in body
    assert b'<meta http-equiv="refresh" content="1">' in body
    response, body = ask(connection, "POST", "/", b"x" * LARGE)
    assert response.status == 503 and b"refresh" not in body
    assert ask(connection, "HEAD", "/")[1] == b""
    front.status = None
    assert b"because it is starting." in ask(connection, "GET", "/")[1]


def test_a_port_on_which_nothing_listens_gets_the_same_page(front, connection, monkeypatch):
    monkeypatch.setattr(front, "application_port", free_port())
    assert ask(connection, "GET", "/")[0].status == 503


def test_a_connection_that_the_application_closes_becomes_an_error(connection):
    response, body = ask(connection, "GET", "/silent")
    assert (response.status, b"sent no response" in body) == (502, True)
    connection.request("GET", "/broken")
    response = connection.getresponse()
    assert response.status == 200  # and not 103, which came first
    with pytest.raises(http.client.IncompleteRead):
        response.read()


def test_a_request_without_a_response_is_reported(front, server, connection, monkeypatch):
    monkeypatch.setattr(exchange, "SLOW_SECONDS", 0.01)
    connection.request("GET", "/slow?a=1")
    assert front.say.__self__.get(timeout=SECONDS).startswith("GET /slow?a=1 has had no response for 0.01 s; the")
    server.go_on.set()
    assert connection.getresponse().read() == b"at last"
    monkeypatch.setattr(exchange, "_DEADLINE", 0.01)
    server.go_on.clear()
    response, body = ask(connection, "GET", "/slow")
    assert response.status == 504 and b"App Engine&#x27;s limit" in body


@pytest.mark.row("T72")
def test_handlers_of_app_yaml_serve_files_and_refuse_users(front, server, connection, tmp_path):
    front.root = tmp_path
    front.handlers = parse_app_yaml(
        "handlers:\n- url: /static/special\n  script: auto\n"
        "- url: /static\n  static_dir: public\n  http_headers:\n    X-From: folder\n"
        "- url: /maybe/(.*)\n  static_files: public/\\1\n  upload: public/.*\n  require_matching_file: true\n"
        "- url: /admin/.*\n  login: admin\n  script: auto\n"
        "- url: /hidden\n  login: admin\n  script: auto\n  auth_fail_action: unauthorized\n"
    ).handlers
    (tmp_path / "public").mkdir()
    file = tmp_path / "public" / "a b.css"
    file.write_text("one")
    response, body = ask(connection, "GET", "/static/a%20b.css")
    assert (response.status, body, response.headers["X-From"]) == (200, b"one", "folder")
    assert response.headers["Content-Type"] == "text/css"
    tag = response.headers["ETag"]
    assert ask(connection, "GET", "/static/a%20b.css", If_None_Match=tag)[0].status == 304
    file.write_text("other")
    response, body = ask(connection, "GET", "/static/a%20b.css", If_None_Match=tag)
    assert (response.status, body) == (200, b"other")
    assert ask(connection, "HEAD", "/static/a%20b.css")[0].headers["Content-Length"] == "5"
    assert ask(connection, "GET", "/static/../queue.yaml")[0].status == 404
    assert ask(connection, "GET", "/static/none")[0].status == 404
    for path in ("/admin/x", "//admin/x", "/%2Fadmin/x", f"http://127.0.0.1:{front.port}/admin/x"):
        assert ask(connection, "GET", path, X_AppEngine_QueueName="default")[0].status == 403, path
    for target in (b"admin/x", b"http://[/", b"*"):
        assert send_raw(front, b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target) == 400, target
    assert ask(connection, "POST", "/static/none", b"x")[0].status == 404
    assert ask(connection, "POST", "/static/a%20b.css", b"x")[0].status == 405
    assert ask(connection, "POST", "/hidden", b"x" * LARGE)[0].status == 401
    assert server.requests.empty()
    assert ask(connection, "GET", "/maybe/a%20b.css")[1] == b"other"
    for path in ("/maybe/index", "/static/special"):  # the second one has a handler before that of the folder
        connection.request("GET", path)
        assert server.requests.get(timeout=SECONDS)[1] == path
        connection.close()


def test_a_port_in_use_is_an_error_that_names_the_option(front):
    with pytest.raises(HarnessError, match=f"port {front.port} can't be used: .*; choose another one with --port"):
        Front(front.port, 1, TOKEN, print)
    with pytest.raises(HarnessError, match="port 65536 can't be used: the highest port is 65535; choose .* --port"):
        Front(65536, 1, TOKEN, print)


class FakeSupervisor:
    """The state of an application's process that listens on a port."""

    restarts = 0
    state = "running"
    reason = "main.py has changed"

    def __init__(self, port):
        self.port = port
        self.waits = []

    def wait_until_running(self, timeout):
        self.waits.append(timeout)
        return self.state == "running"


@pytest.mark.row("T71")
def test_tasks_go_to_the_application_with_the_secret(server):
    request = Request("POST", "/?a=1", (("X-AppEngine-QueueName", "default"), ("x-appengine-user-ip", "0.1.0.2")), b"b")
    with closing(TaskSender(FakeSupervisor(server.server_address[1]), "127.0.0.1:8080", lambda: OWN)) as send:
        assert send(request, 0.0, 10.0).status == 303
    method, path, headers, body = server.requests.get(timeout=SECONDS)
    assert (method, path, body, headers["Host"]) == ("POST", "/?a=1", b"b", "127.0.0.1:8080")
    assert headers["X-AppEngine-QueueName"] == "default"
    assert headers.get_all("X-Appengine-User-Ip") == ["0.1.0.2"]
    assert (headers["X-Harness-Token"], bool(headers["X-Appengine-Api-Ticket"])) == (TOKEN, True)


def test_a_task_with_a_full_url_gets_no_secret(server):
    own = f"127.0.0.1:{server.server_address[1]}"
    with closing(TaskSender(FakeSupervisor(free_port()), "127.0.0.1:8080", lambda: OWN)) as send:
        assert send(Request("GET", "/", host=own, scheme="http"), 0.0, 10.0).status == 303
    headers = server.requests.get(timeout=SECONDS)[2]
    assert headers["Host"] == own and not re.search("(?i)harness|appengine", str(headers))


@pytest.fixture
def send(server):
    with closing(TaskSender(FakeSupervisor(server.server_address[1]), "127.0.0.1:8080", lambda: OWN)) as send:
        yield send


def break_off(monkeypatch, supervisor, times):
    """Let restarts break off the next requests. The request after the last restart succeeds."""
    breaks = iter(range(times))

    def handle(handler):
        if next(breaks, None) is None:
            handler.send(201)
        else:
            supervisor.restarts += 1
            handler.close_connection = True

    monkeypatch.setattr(Application, "index", handle)


def test_a_request_that_a_restart_breaks_off_is_sent_once_more(server, send, monkeypatch):
    supervisor = send._supervisor
    break_off(monkeypatch, supervisor, 1)
    assert send(Request("POST", "/"), 0.0, 10.0).status == 201
    assert len(supervisor.waits) == server.requests.qsize() == 2
    assert 9 < supervisor.waits[1] <= supervisor.waits[0] <= 10  # the deadline counts from the first request

    break_off(monkeypatch, supervisor, 2)
    response = send(Request("POST", "/"), 0.0, 10.0)
    assert (response.status, server.requests.qsize()) == (0, 4)
    assert "two restarts of the application broke this request off" in response.hint


def test_a_restart_directly_after_the_wait_breaks_a_request_off_too(server, send, monkeypatch):
    supervisor = send._supervisor
    break_off(monkeypatch, FakeSupervisor(0), 1)

    def wait_until_running(timeout):
        supervisor.restarts += not supervisor.waits
        supervisor.waits.append(timeout)
        return True

    supervisor.wait_until_running = wait_until_running
    assert send(Request("POST", "/"), 0.0, 10.0).status == 201


def test_without_a_restart_an_attempt_fails(server, send, monkeypatch):
    supervisor = send._supervisor
    monkeypatch.setattr(Application, "index", lambda handler: setattr(handler, "close_connection", True))
    response = send(Request("POST", "/"), 0.0, 10.0)
    assert (response.status, server.requests.qsize()) == (0, 1)  # a crash is a failed attempt
    assert "sent no response" in response.hint

    supervisor.state = "failed"
    response = send(Request("POST", "/"), 0.0, 600.0)
    assert (response.status, response.hint) == (0, "the application doesn't run: main.py has changed")
    assert supervisor.waits[-1] == START_SECONDS  # so that the tasks of other services can run
    supervisor.state = "running"
    assert send(Request("POST", "/"), 0.0, 0.0).deadline == "virtual"
    assert server.requests.qsize() == 1
