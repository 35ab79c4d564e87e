"""The server of `cloud-tasks`: Google's client calls it through a socket, and its tasks run in real time."""

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from itertools import repeat
from pathlib import Path
from queue import Queue as Box

import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.tasks_v2.types import BatchCreateTasksRequest, CreateTaskRequest
from google.longrunning import operations_pb2

from harness.appengine.clock import RealClock
from harness.appengine.dispatcher import HttpSender, RealTimeDispatcher, real_time
from harness.appengine.dispatcher import sender as sender_module
from harness.appengine.taskqueue import Task, TaskQueueService
from harness.classroom.cli import main
from harness.cloudtasks import CloudTasks, LocalServer, make_client
from harness.errors import BadRequestError, HarnessError
from harness.records import Outcome, Request, Response

PLACE = "projects/tutorial/locations/us-central1"
QUEUES = b"""
queue:
- name: mail
  rate: 100/s
  retry_parameters:
    min_backoff_seconds: 0.12
- name: steady
  rate: 5/s
  bucket_size: 1
- name: pair
  rate: 100/s
  max_concurrent_requests: 2
"""
PAGE = (Path(__file__).parents[2] / "notebooks" / "CLOUD_TASKS.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SECONDS = 20  # that a test waits at most


class Application(ThreadingHTTPServer):
    """A server that keeps the requests; the first request to each path that begins with /fail fails."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = Box()
        self.failed = set()
        self.meeting = threading.Barrier(2)
        self.running, self.most_running = 0, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def next(self):
        """Return the next request, with its time `at` in seconds and its `content`."""
        return self.requests.get(timeout=SECONDS)


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        self.at = time.monotonic()
        self.content = self.rfile.read(int(self.headers["Content-Length"]))
        status = 500 if self.path.startswith("/fail") and self.path not in self.server.failed else 200
        self.server.failed.add(self.path)
        if self.path == "/meet":
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
            self.server.meeting.wait(SECONDS)
            self.server.running -= 1
        self.send_response(status)
        self.end_headers()
        self.server.requests.put(self)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *line):
        pass


@pytest.fixture(scope="module")
def application():
    with Application() as application:
        yield application
        application.shutdown()


@pytest.fixture(scope="module")
def said():
    """The lines that the server prints."""
    return Box()


@pytest.fixture(scope="module")
def server(application, said):
    with pytest.MonkeyPatch.context() as patch, LocalServer(0, 0, QUEUES, application.url, say=said.put) as server:
        patch.setattr(real_time, "_LONGEST_WAIT", 3 * SECONDS)  # so that only a notice of a change wakes the loop
        yield server


@pytest.fixture(scope="module")
def client(server):
    with grpc.insecure_channel(server.address) as channel:
        yield make_client(channel)


def rest_client(server, version="tasks_v2"):
    """Return Google's client, which calls the server over REST."""
    package = import_module(f"google.cloud.{version}")
    transports = import_module(f"google.cloud.{version}.services.cloud_tasks.transports")
    host = server.rest_url.removeprefix("http://")
    transport = transports.CloudTasksRestTransport(host=host, credentials=AnonymousCredentials(), url_scheme="http")
    return package.CloudTasksClient(transport=transport)


def name(queue, task=None):
    return f"{PLACE}/queues/{queue}" + ("" if task is None else f"/tasks/{task}")


def to_app(uri, task=None, **fields):
    return {"name": task or "", "app_engine_http_request": {"relative_uri": uri, "body": b"a=1", **fields}}


def line_about(said, task):
    """Return the next line about a task."""
    while f"/{task} " not in (line := said.get(timeout=SECONDS)):
        pass
    return line


def call_every_method(server, client, beta, queue):
    """Call every method, and return the methods whose calls the server has reported."""
    heard = []
    server._service.listeners.append(lambda method, message: heard.append(method))
    new, (first, second) = name(queue), (name(queue, each) for each in ("first", "second"))
    assert client.create_queue(parent=PLACE, queue={"name": new}).rate_limits.max_dispatches_per_second == 500
    changed = {"name": new, "rate_limits": {"max_dispatches_per_second": 7}}
    client.update_queue(queue=changed, update_mask={"paths": ["rate_limits.max_dispatches_per_second"]})
    assert client.get_queue(name=new).rate_limits.max_dispatches_per_second == 7
    assert [each.name for each in client.list_queues(parent=PLACE)] == [
        name(each) for each in ("default", "mail", queue, "pair", "steady")
    ]
    assert client.pause_queue(name=new).state.name == "PAUSED"
    assert client.create_task(parent=new, task=to_app("/one", first)).name == first
    requests = [{"parent": new, "task": to_app("/two", each)} for each in (second, first)]
    operation = client.batch_create_tasks(request={"parent": new, "requests": requests})
    assert [task.name for task in operation.result().tasks] == [second]
    assert [(index, status.code) for index, status in operation.metadata.failed_requests.items()] == [(1, 6)]
    assert client.get_task(request={"name": first, "response_view": "FULL"}).app_engine_http_request.body == b"a=1"
    assert [task.name for task in client.list_tasks(request={"parent": new, "page_size": 1})] == [first, second]
    assert beta.get_queue(request={"name": new, "read_mask": {"paths": ["stats"]}}).stats.tasks_count == 2
    assert client.get_operation(operations_pb2.GetOperationRequest(name=operation.operation.name)).done
    client.batch_delete_tasks(request={"parent": new, "names": [second]})
    client.delete_task(name=first)
    with pytest.raises(exceptions.NotFound, match="RunTaskRequest.name"):
        client.run_task(name=name(queue, "third"))
    with pytest.raises(exceptions.Conflict, match="existed too recently"):
        client.create_task(parent=new, task=to_app("/one", first))
    client.purge_queue(name=new)
    assert client.resume_queue(name=new).state.name == "RUNNING"
    client.delete_queue(name=new)
    for call in (client.get_iam_policy, client.set_iam_policy, client.test_iam_permissions):
        with pytest.raises(exceptions.GoogleAPICallError, match="no access control") as error:
            call(request={"resource": new})
        assert error.value.code == 501
    del server._service.listeners[-1]
    return heard


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_googles_client_calls_every_method_over_the_socket(server, client, transport):
    if transport == "grpc":
        with grpc.insecure_channel(server.address) as channel:
            heard = call_every_method(server, client, make_client(channel, "tasks_v2beta3"), f"new-{transport}")
    else:
        beta = rest_client(server, "tasks_v2beta3")
        heard = call_every_method(server, rest_client(server), beta, f"new-{transport}")
    assert set(heard) == {method.rpartition("/")[2] for method in CloudTasks(server._service).methods}


def test_a_task_for_app_engine_is_delivered_at_its_time(client, application):
    began = datetime.now(UTC)
    when = began + timedelta(seconds=0.3)
    fields = {"http_method": "PUT", "headers": {"Content-Type": "text/plain", "X-AppEngine-QueueName": "forged"}}
    client.create_task(
        parent=name("mail"), task=to_app("/x?y=1", name("mail", "t"), **fields) | {"schedule_time": when}
    )
    request = application.next()
    assert timedelta(seconds=0.3) <= datetime.now(UTC) - began
    assert (request.command, request.path, request.content) == ("PUT", "/x?y=1", b"a=1")
    assert request.headers["Host"] == application.url.removeprefix("http://")
    assert request.headers["Content-Type"] == "text/plain"
    assert request.headers.get_all("X-AppEngine-QueueName") == ["mail"]
    assert request.headers["X-AppEngine-TaskName"] == "t"
    assert float(request.headers["X-AppEngine-TaskETA"]) == pytest.approx(when.timestamp(), abs=1e-5)
    assert "AppEngine-Google" in request.headers["User-Agent"]


def test_a_failed_task_runs_again_after_its_backoff(client, application, said):
    client.create_task(parent=name("mail"), task=to_app("/fail", name("mail", "again")))
    first, second = application.next(), application.next()
    assert second.at - first.at >= 0.12
    assert [each.headers["X-AppEngine-TaskRetryCount"] for each in (first, second)] == ["0", "1"]
    assert second.headers["X-AppEngine-TaskPreviousResponse"] == "500"
    assert line_about(said, "again").endswith("mail/again POST /fail: status 500; runs again in 0.1 s")
    assert line_about(said, "again").endswith("mail/again POST /fail: status 200; done")


def test_a_full_url_on_this_machine_is_called_and_others_fail(client, application, said):
    for task, url in (("near", f"{application.url}/near"), ("far", "https://example.com/far")):
        request = {"url": url, "headers": {"X-Own": "1"}}
        client.create_task(parent=name("mail"), task={"name": name("mail", task), "http_request": request})
    request = application.next()
    assert (request.path, request.headers["X-CloudTasks-TaskName"], request.headers["X-Own"]) == ("/near", "near", "1")
    assert "example.com is not on this machine" in line_about(said, "far")
    assert client.get_task(name=name("mail", "far")).last_attempt.response_status.code == 14
    client.delete_task(name=name("mail", "far"))


def test_requests_overlap_up_to_the_limit_of_the_queue(client, application):
    requests = [{"parent": name("pair"), "task": to_app("/meet")} for _ in range(6)]
    client.batch_create_tasks(request={"parent": name("pair"), "requests": requests})
    assert [application.next().path for _ in range(6)] == ["/meet"] * 6
    assert application.most_running == 2


def test_the_rate_of_the_queue_holds(client, application):
    requests = [{"parent": name("steady"), "task": to_app("/steady")} for _ in range(3)]
    client.batch_create_tasks(request={"parent": name("steady"), "requests": requests})
    at = [application.next().at for _ in range(3)]
    assert all(0.15 < later - earlier < 1 for earlier, later in zip(at, at[1:], strict=False))


def test_run_task_immediately_starts_a_task_that_is_due_in_an_hour(client, application):
    later = {"schedule_time": datetime.now(UTC) + timedelta(hours=1)}
    task = client.create_task(parent=name("steady"), task=to_app("/hour") | later)
    client.run_task(name=task.name)
    assert application.next().path == "/hour"


def test_ten_thousand_tasks_are_listed_in_pages(server, client):
    parent, later = name("many"), {"schedule_time": datetime.now(UTC) + timedelta(hours=1)}
    client.create_queue(parent=PLACE, queue={"name": parent})
    request = CreateTaskRequest(parent=parent, task=to_app("/many") | later)
    batch = BatchCreateTasksRequest(parent=parent, requests=[request] * 100)
    for _ in range(100):
        client.batch_create_tasks(batch)
    pages = list(client.list_tasks(parent=parent).pages)
    assert [len(page.tasks) for page in pages] == [1000] * 10
    names = [task.name for page in pages for task in page.tasks]
    assert len(set(names)) == 10_000 and names == sorted(names)
    client.delete_queue(name=parent)
    service = server._service
    assert not (service.history or service.chosen_names)  # so memory holds only tasks that wait, and names


def test_a_batch_is_complete_and_the_server_still_responds_if_a_client_disconnects_during_the_call(server, client):
    later = {"schedule_time": datetime.now(UTC) + timedelta(hours=1)}
    requests = [CreateTaskRequest(parent=name("steady"), task=to_app("/gone") | later)] * 50
    batch = BatchCreateTasksRequest(parent=name("steady"), requests=requests)
    arrived, gone = threading.Event(), threading.Event()

    def hold(method, message):
        arrived.set()
        gone.wait(SECONDS)

    server._service.listeners.append(hold)
    channel = grpc.insecure_channel(server.address)
    call = channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/BatchCreateTasks")
    future = call.future(BatchCreateTasksRequest.serialize(batch))
    assert arrived.wait(SECONDS)
    channel.close()
    assert future.code() is grpc.StatusCode.CANCELLED
    gone.set()
    server._service.listeners.remove(hold)
    with socket.create_connection(server.address.split(":")) as half:
        half.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0")
    assert client.get_queue(name=name("steady")).name == name("steady")
    left = [task.app_engine_http_request.relative_uri for task in client.list_tasks(parent=name("steady"))]
    assert left == ["/gone"] * 50
    client.purge_queue(name=name("steady"))


def test_the_deadline_of_a_call_may_be_at_most_30_seconds_ahead(client):
    with pytest.raises(
        exceptions.InvalidArgument, match="60 s in the future. The deadline cannot be more than 30s in the future"
    ):
        client.get_queue(name=name("mail"), timeout=60)
    assert client.get_queue(name=name("mail"), timeout=30).name == name("mail")


def test_invalid_messages_and_methods_that_do_not_exist_are_refused(server):
    with grpc.insecure_channel(server.address) as channel:
        for method, code in (("GetQueue", "INVALID_ARGUMENT"), ("BufferTask", "UNIMPLEMENTED")):
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(f"/google.cloud.tasks.v2.CloudTasks/{method}")(b"\xff")
            assert error.value.code().name == code
            assert method in error.value.details()


def test_the_examples_of_the_page_run_as_they_are_printed(server, application, capsys):
    names = {}
    for program in PROGRAMS[:-1]:
        exec(program.replace("127.0.0.1:8123", server.address), names)
    names["lab"].close()
    names["transport"].close()
    assert capsys.readouterr().out == "".join(re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL))
    assert (application.next().path, len(PROGRAMS)) == ("/worker", 4)


def ask(server, verb, url, body=None, **headers):
    """Return the status of a REST request, and its JSON."""
    connection = HTTPConnection(server.rest_url.removeprefix("http://"))
    sent = {"Content-Length": str(len(body or b""))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(verb, url, skip_host=True)  # or http.client would look for the host in a full URL
    for name, value in ({"Host": "localhost"} | sent).items():
        connection.putheader(name, value)
    connection.endheaders(body.encode() if isinstance(body, str) else body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


QUEUE_URL = f"/v2/{PLACE}/queues/mail"


@pytest.mark.parametrize(
    "verb, url, body, headers, status, text",
    [
        ("GET", "/", None, {}, 404, "Cloud Tasks has no method with the URL GET /."),
        ("PUT", QUEUE_URL, None, {}, 404, f"Cloud Tasks has no method with the URL PUT {QUEUE_URL}."),
        ("GET", f"/v2/{PLACE}/queues/missing", None, {}, 404, "Queue does not exist."),
        ("GET", f"{QUEUE_URL}?depth=1", None, {}, 400, "has no field named"),
        ("GET", f"{QUEUE_URL}/tasks?pageSize=many", None, {}, 400, "pageSize"),
        ("POST", f"{QUEUE_URL}/tasks", b"{", {}, 400, "Invalid JSON payload received."),
        ("POST", f"{QUEUE_URL}/tasks", b"[1]", {}, 400, "The body must be an object, not [1]."),
        ("POST", f"{QUEUE_URL}/tasks", b'{"task": {"url": "/x"}}', {}, 400, "has no field named"),
        ("PATCH", QUEUE_URL, b"{", {}, 400, "Invalid JSON payload received."),
        ("POST", f"{QUEUE_URL}/tasks", b"[" * 200_000, {}, 400, "Invalid JSON payload received."),
        ("GET", "http://[/x", None, {}, 400, "is not a URL"),
        ("POST", f"{QUEUE_URL}/tasks", None, {"Content_Length": "9" * 5000}, 400, "needs the header Content-Length"),
        ("GET", QUEUE_URL, None, {"Host": "[::1"}, 403, "The host must be 127.0.0.1 or localhost"),
        ("GET", QUEUE_URL, None, {"Sec_Fetch_Site": "cross-site"}, 403, "from another site"),
        ("POST", f"{QUEUE_URL}:pause", bytes(2_000_000), {"Origin": "http://a.example"}, 403, "from http://a.example"),
        ("POST", f"{QUEUE_URL}/tasks", None, {"Content_Length": "-1"}, 400, "needs the header Content-Length"),
        ("POST", f"{QUEUE_URL}/tasks", None, {"Content_Length": "999999999"}, 400, "at most 157286400 are allowed"),
        ("POST", f"{QUEUE_URL}/tasks", b"{}", {"Transfer_Encoding": "chunked"}, 400, "needs the header Content-Length"),
        ("POST", f"{QUEUE_URL}:pause", b"{}", {"Origin": "http://a.example"}, 403, "from http://a.example"),
        ("GET", QUEUE_URL, None, {"Host": "a.example:8124"}, 403, "The host must be 127.0.0.1 or localhost"),
    ],
)
def test_an_error_over_rest_explains_what_is_wrong(server, verb, url, body, headers, status, text):
    found, answer = ask(server, verb, url, body, **headers)
    assert (found, answer["error"]["code"]) == (status, status)
    assert text in answer["error"]["message"]


def test_the_rest_form_ignores_what_every_url_of_google_may_contain(server, client):
    assert ask(server, "GET", f"{QUEUE_URL}?alt=json&key=a&prettyPrint=false&$fields=x")[0] == 200


def test_an_unexpected_error_of_the_rest_form_is_a_response(server, client, monkeypatch):
    monkeypatch.setattr(CloudTasks, "respond", lambda *args: 1 / 0)
    status, answer = ask(server, "GET", QUEUE_URL)
    assert (status, answer["error"]["status"]) == (500, "INTERNAL")
    assert "ZeroDivisionError" in answer["error"]["message"]


def test_a_client_of_the_rest_form_may_disappear(server, capfd):
    host, port = server.rest_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
    assert ask(server, "GET", QUEUE_URL)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_stopped_server_accepts_no_tasks_from_a_connection_that_is_still_open():
    with LocalServer(0, 0, target="http://127.0.0.1:1") as server:
        connection = HTTPConnection(server.rest_url.removeprefix("http://"))
        connection.request("GET", f"/v2/{PLACE}/queues/default")
        assert connection.getresponse().read().startswith(b"{")
    connection.request("GET", f"/v2/{PLACE}/queues/default")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["message"]) == (503, "The server has stopped.")
    connection.close()


def test_enums_over_rest_can_be_numbers_or_names_and_urls_can_be_percent_encoded(server, client):
    parent, later = name("steady"), (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    task = {"name": f"{parent}/tasks/a_b", "scheduleTime": later, "httpRequest": {"url": "http://localhost/"}}
    url = f"/v2/{PLACE}/queues/steady/tasks"
    status, created = ask(
        server, "POST", f"{url}?responseView=2&$alt=json;enum-encoding=int", json.dumps({"task": task})
    )
    assert (status, created["view"], created["httpRequest"]["httpMethod"]) == (200, 2, 1)
    _, found = ask(server, "GET", f"{url}/a%5Fb?responseView=BASIC")
    assert (found["name"], found["view"], found["httpRequest"]["httpMethod"]) == (task["name"], "BASIC", "POST")
    assert ask(server, "DELETE", f"{url}/a_b") == (200, {})


def test_an_application_verifies_the_token_of_a_task_with_the_certificates_of_the_server(server, client, application):
    token = {"service_account_email": "tasks@tutorial.example", "audience": "worker"}
    request = {"url": f"{application.url}/token", "oidc_token": token}
    client.create_task(parent=name("mail"), task={"http_request": request})
    received = application.next().headers["Authorization"].removeprefix("Bearer ")
    program = PROGRAMS[-1].replace("http://127.0.0.1:8124", server.rest_url)
    names = {"token": received, "audience": "worker"}
    exec(program, names)
    assert names["claims"]["email"] == "tasks@tutorial.example"
    with pytest.raises(GoogleAuthError, match="wrong audience"):
        exec(program, {"token": received, "audience": "another"})


@pytest.mark.parametrize(
    "target, part",
    [
        ("127.0.0.1:8080", "must be a URL"),
        ("https://127.0.0.1:8080", "must be a URL"),
        ("http://127.0.0.1:8080/app", "must be a URL"),
        ("http://127.0.0.1:808080", "is not a URL"),
        ("http://example.com", "must be on this machine"),
        ("http://[::1].example.com", "must be on this machine"),
        ("http://user:pw@127.0.0.1:8080", "must be on this machine"),
        ("http://127.0.0.1:", "must be on this machine"),
        ("http://127.0.0.1#x", "must be a URL"),
    ],
)
def test_a_target_must_be_a_server_on_this_machine(target, part):
    with pytest.raises(BadRequestError, match=part):
        HttpSender(target)


def test_a_missing_or_late_response_has_status_0():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"http://127.0.0.1:{silent.getsockname()[1]}"
        late = HttpSender(target)(Request("POST", "/"), 0.0, 0.05)
    assert (late.status, late.deadline) == (0, "virtual")
    refused = HttpSender(target)(Request("POST", "/"), 0.0, 5.0)
    assert (refused.status, refused.deadline, refused.hint) == (0, None, f"no server listens at {target}")


def test_a_body_is_read_until_the_deadline_and_only_its_beginning_is_kept():
    def drip(body):
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for part in body:
                connection.sendall(part)

    def drip_headers():
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while not done.wait(0.01):
                connection.sendall(b"HTTP/1.1 200 OK\r\n"[:1])

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        sender = HttpSender(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads.submit(drip, repeat(b"x", 10**6))
        assert sender(Request("GET", "/"), 0.0, 0.1).deadline == "virtual"
        threads.submit(drip_headers)
        assert sender(Request("GET", "/"), 0.0, 0.1).deadline == "virtual"
        done.set()
        threads.submit(drip, [b"x" * 100_000])
        response = sender(Request("GET", "/"), 0.0, SECONDS)
    assert (response.status, response.body) == (200, b"x" * 4096)


def serve_connections(listener, connections, said):
    """Answer the requests of each connection until the client closes it, or until a request contains "/last"."""
    for number in range(connections):
        connection, _ = listener.accept()
        with connection:
            while content := connection.recv(4096):
                said.put((number, content.split()[1].decode()))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                if b"/last" in content:
                    break


def test_a_connection_is_used_again_unless_the_server_has_closed_it_or_it_was_idle(monkeypatch):
    said = Box()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        sender = HttpSender(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = threads.submit(serve_connections, listener, 3, said)
        for path in ("/a", "/b", "/last", "/c"):
            assert sender(Request("POST", path), 0.0, SECONDS).body == b"ok"
            if path == "/last":
                ((connection, _),) = sender._kept[sender._host]
                assert connection.sock.recv(1, socket.MSG_PEEK) == b""  # it is closed
        monkeypatch.setattr(sender_module, "_IDLE", 0.0)
        assert sender(Request("POST", "/d"), 0.0, SECONDS).body == b"ok"
        sender._kept.popitem()[1][0][0].close()
        server.result(SECONDS)
    assert list(said.queue) == [(0, "/a"), (0, "/b"), (0, "/last"), (1, "/c"), (2, "/d")]


def test_the_number_of_running_attempts_is_limited_and_an_attempt_that_raises_an_error_ends():
    clock = RealClock()
    service = TaskQueueService(clock)
    begun, ended, answers = Box(), Box(), Box()

    def send(request, start, deadline):
        begun.put(request.url)
        return answers.get(timeout=SECONDS)(request)

    dispatcher = RealTimeDispatcher(service, clock, send, ended.put, ended.put, most_running=2)
    dispatcher.start()
    with dispatcher.changing():
        for url in ("/a", "/b", "/c", "/d"):
            task = Task("", "default", "POST", url, (), b"", service.clock.timestamp, service.clock.timestamp)
            service.add(service.queues["default"], task, service.clock.timestamp)
    assert {begun.get(timeout=SECONDS) for _ in range(2)} == {"/a", "/b"}
    with dispatcher.changing():
        assert len(service.queues["default"].in_flight) == 2
    answers.put({}.__getitem__)  # raises a KeyError
    failed = ended.get(timeout=SECONDS)
    dispatcher.stop()
    assert (failed.status, failed.outcome) == (0, Outcome.RETRY)
    assert failed.response.hint.startswith("KeyError: ")
    for _ in range(3):
        answers.put(lambda request: Response(200))


def test_a_loop_whose_attempt_cannot_start_says_so_and_tries_again(monkeypatch):
    clock, errors, sent = RealClock(), Box(), Box()
    service = TaskQueueService(clock)
    dispatcher = RealTimeDispatcher(
        service, clock, lambda *request: sent.put(request) or Response(200), print, errors.put
    )
    starts = iter([RuntimeError("can't start new thread")])
    real = threading.Thread.start

    def start(thread):
        if thread.name == "attempt" and (error := next(starts, None)) is not None:
            raise error
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(real_time, "_LONGEST_WAIT", 0.01)
    dispatcher.start()
    with dispatcher.changing():
        task = Task("", "default", "POST", "/x", (), b"", service.clock.timestamp, service.clock.timestamp)
        service.add(service.queues["default"], task, service.clock.timestamp)
    assert str(errors.get(timeout=SECONDS)) == "can't start new thread"
    assert sent.get(timeout=SECONDS)[0].url == "/x"
    dispatcher.stop()


def test_the_command_serves_until_ctrl_c():
    command = [sys.executable, "-m", "harness", "cloud-tasks", "--port", "0", "--rest-port", "0", "--project", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            port = int(re.search(r"127\.0\.0\.1:(\d+) for projects/mine/locations/us-central1\.", line)[1])
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                (queue,) = make_client(channel).list_queues(parent="projects/mine/locations/us-central1")
                assert queue.name.endswith("/default")
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
    assert f'insecure_channel("127.0.0.1:{port}")' in rest and rest.endswith("stopped\n")


def test_a_second_server_cannot_use_the_ports_of_the_first(server):
    port, rest_port = (int(address.rpartition(":")[2]) for address in (server.address, server.rest_url))
    with pytest.raises(HarnessError, match=f"port {port} can't be used.* --port"):
        LocalServer(port, 0).close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    with pytest.raises(HarnessError, match=f"port {rest_port} can't be used.* --rest-port"):
        LocalServer(other, rest_port).close()
    LocalServer(other, 0).close()  # the refused server has released its other port


def test_wrong_options_are_explained_in_one_line(tmp_path, capsys):
    (tmp_path / "queue.yaml").write_text("queue:\n- nam: x\n")
    for options, part in (
        (["--target", "localhost"], "the target must be a URL"),
        (["--queue-yaml", str(tmp_path / "missing.yaml")], "can't be read: No such file"),
        (["--queue-yaml", str(tmp_path / "queue.yaml")], "line 2"),
    ):
        assert main(["cloud-tasks", "--port", "0", "--rest-port", "0", *options]) == 1
        err = capsys.readouterr().err
        assert part in err and "Traceback" not in err
