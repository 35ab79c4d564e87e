"""The endpoint for Google's unmodified client, which runs in a process of its own as it does in an application."""

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from http.client import HTTPConnection

import pytest

from harness.appengine.dispatcher import real_time
from harness.serve import rpc_endpoint
from harness.serve.rpc_endpoint import RpcEndpoint
from tests.support.live_queues import SECONDS, live_queues

YAML = "queue:\n- {name: held, rate: 0/s}\n- {name: pull, mode: pull}\n"
ADVICE = "choose another name, or leave the name out"
APPLICATION = """
import json, threading
from google.appengine.api import app_identity, taskqueue, wrap_wsgi_app
from google.appengine.ext import deferred
found = {}
def attempt(what, action):
    try:
        found[what] = action()
    except Exception as error:
        found[what] = f"{type(error).__name__}: {error}"
def many(number):
    for batch in range(5):
        tasks = [taskqueue.Task(name=f"n{number}-{batch}-{each}", url="/x") for each in range(20)]
        taskqueue.Queue("held").add(tasks)
    for each in range(25):
        taskqueue.add(queue_name="held", url="/x", params={"each": each})
def every_method():
    held, pull = taskqueue.Queue("held"), taskqueue.Queue("pull")
    attempt("statistics", lambda: held.fetch_statistics().tasks)
    attempt("chosen", lambda: taskqueue.add(queue_name="held", url="/x").name)
    attempt("twice", lambda: taskqueue.add(queue_name="held", url="/x", name="n0-0-0"))
    attempt("delete", lambda: held.delete_tasks_by_name("n0-0-0").was_deleted)
    attempt("tombstone", lambda: taskqueue.add(queue_name="held", url="/x", name="n0-0-0"))
    attempt("unknown queue", lambda: taskqueue.add(queue_name="misspelled", url="/x"))
    attempt("pull", lambda: pull.add(taskqueue.Task(payload=b"\\0text", method="PULL", name="p")).name)
    leased = []
    attempt("lease", lambda: [leased.append(task) or task.payload.decode() for task in pull.lease_tasks(60, 5)])
    attempt("extend", lambda: pull.modify_task_lease(leased[0], 90))
    attempt("purge", lambda: held.purge())
    attempt("empty", lambda: held.fetch_statistics().tasks)
    attempt("defer", lambda: deferred.defer(abs, -1, _queue="held", _name="d").name)
    attempt("now", lambda: taskqueue.add(url="/now", name="now").name)
    attempt("unknown service", lambda: app_identity.get_default_gcs_bucket_name())
def respond(environ, start_response):
    environ["work"]()
    start_response("200 OK", [])
    return []
application = wrap_wsgi_app(respond)
def visit(work):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "localhost"}
    environ |= {"SERVER_PORT": "80", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http"}
    environ |= {"HTTP_X_APPENGINE_API_TICKET": "ticket", "work": work}
    list(application(environ, lambda *started: None))
threads = [threading.Thread(target=visit, args=[lambda number=number: many(number)]) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
visit(every_method)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def live():
    with pytest.MonkeyPatch.context() as patch, live_queues(YAML) as live:
        patch.setattr(real_time, "_LONGEST_WAIT", 10 * SECONDS)  # so that only a notice of a change wakes the loop
        live.engine.resume("held")  # wakes it
        yield live


@pytest.fixture(scope="module")
def endpoint(live):
    """The port of an endpoint."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    endpoint = RpcEndpoint(live.engine, listener)
    endpoint.start()
    yield port
    endpoint.stop()


def test_googles_unmodified_client_calls_every_method_from_several_threads(endpoint, live):
    environment = os.environ | {"API_HOST": "127.0.0.1", "API_PORT": str(endpoint), "GAE_APPLICATION": "tutorial"}
    command = [sys.executable, "-W", "ignore", "-c", APPLICATION]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    unknown = found.pop("unknown service")
    assert found == {
        "statistics": 1000,
        "chosen": "task201",
        "twice": f"TaskAlreadyExistsError: queue 'held' already has a task named 'n0-0-0'; {ADVICE}",
        "delete": True,
        "tombstone": "TombstonedTaskError: queue 'held' recently had a task named 'n0-0-0', so the name is still "
        f"taken; {ADVICE}",
        "unknown queue": "UnknownQueueError: the queue 'misspelled' isn't in queue.yaml; the queues are 'default', "
        "'held', 'pull'",
        "pull": "p",
        "lease": ["\0text"],
        "extend": None,
        "purge": None,
        "empty": 0,
        "defer": "d",
        "now": "now",
    }
    assert live.next_attempt().task.name == "now"
    assert "App Engine's service 'app_identity_service' isn't available here; only taskqueue is" in unknown


def call(endpoint, body=b"", path="/rpc_http", **headers):
    """Return the status and the body of the response to a POST."""
    sent = {"X-Google-RPC-Service-Endpoint": "app-engine-apis", "Content-Length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection("127.0.0.1", endpoint)
    connection.putrequest("POST", path, skip_host="Host" in sent)
    for name, value in sent.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def remote_api(endpoint, service="taskqueue", method="PurgeQueue", request=b""):
    from google.appengine.ext.remote_api import remote_api_bytes_pb2

    content = remote_api_bytes_pb2.Request(service_name=service, method=method, request=request, request_id="ticket")
    status, answer = call(endpoint, content.SerializeToString())
    assert status == 200
    return remote_api_bytes_pb2.Response.FromString(answer)


@pytest.mark.parametrize(
    "changes, status, text",
    [
        ({"X_Google_RPC_Service_Endpoint": None}, 403, "only Google's client on this machine"),
        ({"Origin": "http://a.example"}, 403, "only Google's client on this machine"),
        ({"Host": "a.example"}, 403, "only Google's client on this machine"),
        ({"path": "/"}, 404, "the only path is /rpc_http"),
        ({"Content_Length": None}, 411, "Content-Length is missing"),
        ({"Content_Length": "-1"}, 411, "Content-Length is missing"),
        ({"Content_Length": "99999999"}, 413, "a call may have at most 34603008 bytes"),
    ],
)
def test_other_clients_are_refused(endpoint, changes, status, text):
    found, content = call(endpoint, **changes)
    assert (found, text in content.decode()) == (status, True)


def test_errors_of_calls_are_those_of_remote_api(endpoint, live, monkeypatch):
    from google.appengine.ext.remote_api.remote_api_bytes_pb2 import RpcError

    unknown = remote_api(endpoint, method="Purge%s").rpc_error
    assert unknown.code == RpcError.CALL_NOT_FOUND
    assert unknown.detail.startswith("taskqueue has no method 'Purge%%s' here; its methods are BulkAdd, Delete, Fetch")
    assert remote_api(endpoint, service="mail").rpc_error.code == RpcError.CALL_NOT_FOUND
    assert remote_api(endpoint, request=b"\xff").rpc_error.code == RpcError.PARSE_ERROR
    assert remote_api(endpoint, request=b"\x12\x01x").application_error.code == 1
    monkeypatch.setattr(live.engine.service, "_Dynamic_PurgeQueue", lambda *call: 1 / 0)
    failed = remote_api(endpoint, request=b"\x12\x04held").rpc_error
    assert (failed.code, failed.detail) == (RpcError.UNKNOWN, "ZeroDivisionError: division by zero")


def test_a_client_that_disappears_harms_nothing(endpoint):
    with socket.create_connection(("127.0.0.1", endpoint)) as half:
        half.sendall(b"POST /rpc_http HTTP/1.1\r\nX-Google-RPC-Service-Endpoint: a\r\nContent-Length: 100\r\n\r\nx")
    assert remote_api(endpoint, request=b"\x12\x01x").application_error.code == 1


def test_a_call_that_arrives_before_the_queues_exist_waits(live):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=SECONDS) as early,
    ):
        early.sendall(b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n")
        endpoint = RpcEndpoint(live.engine, listener)
        endpoint.start()
        assert early.makefile("rb").readline() == b"HTTP/1.1 403 Forbidden\r\n"
        endpoint.stop()


def test_stop_closes_the_listener_although_it_is_interrupted_or_nothing_has_started(live, monkeypatch):
    def interrupt(server):
        shutdown(server)
        raise KeyboardInterrupt

    shutdown = rpc_endpoint._Server.shutdown
    monkeypatch.setattr(rpc_endpoint._Server, "shutdown", interrupt)
    for has_started in (False, True):
        listener = socket.create_server(("127.0.0.1", 0))
        endpoint = RpcEndpoint(live.engine, listener)
        if has_started:
            endpoint.start()
        with pytest.raises(KeyboardInterrupt) if has_started else nullcontext():
            endpoint.stop()
        assert listener.fileno() == -1
