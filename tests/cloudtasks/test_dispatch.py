"""How a lab delivers the tasks of Cloud Tasks' API: HTTP targets, forced runs, and the record of attempts."""

import pytest
from google.api_core import exceptions
from google.protobuf import duration_pb2

from harness import Lab
from harness.appengine.clock import START
from harness.appengine.taskqueue.client import HOST
from harness.errors import BadRequestError
from harness.records import Outcome

LOCATION = "projects/tutorial/locations/us-central1"
QUEUE = f"{LOCATION}/queues/default"
MADE = f"{LOCATION}/queues/made"
WORKER = "https://worker.example.com"
NOW = START.timestamp()
CONTROLLER = """
def echo():
    return repr((request.env.request_method, request.env.http_host, request.env.wsgi_url_scheme, request.is_local,
        request.vars.a, request.env.http_x_appengine_taskname, request.env.http_x_cloudtasks_taskname))

def creates():
    from harness.lab import current_lab
    client = current_lab().cloud_tasks_client()
    client.create_queue(parent='%s', queue={'name': '%s'})
    client.create_task(parent='%s', task={'app_engine_http_request': {'relative_uri': URL('echo')}})
""" % (LOCATION, MADE, MADE)  # noqa: UP031


class Worker:
    """A WSGI application that keeps the requests, and responds with given statuses."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.environs = []

    def __call__(self, environ, start_response):
        self.environs.append(environ)
        start_response(f"{self.statuses.pop(0) if self.statuses else 200} X", [])
        return []


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.write("controllers/default.py", CONTROLLER)
        yield lab


@pytest.fixture
def client(lab):
    return lab.cloud_tasks_client()


def http(client, url=f"{WORKER}/work", parent=QUEUE, **fields):
    return client.create_task(parent=parent, task={"http_request": {"url": url} | fields})


def app_engine(client, uri="/tutorial/default/echo", parent=QUEUE, **fields):
    return client.create_task(parent=parent, task={"app_engine_http_request": {"relative_uri": uri}} | fields)


@pytest.mark.row("T57")
def test_an_http_target_gets_the_headers_that_production_sent(lab, client):
    worker = Worker(503, 404, 200)
    lab.mount(WORKER, worker)
    name = http(client, body=b"x", headers={"X-Own": "1", "user-agent": "mine"}).name.rpartition("/")[2]
    first, second, third = lab.run()
    assert [dict(attempt.request.headers) for attempt in (first, second, third)] == [
        {
            "X-Own": "1",
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": "default",
            "X-CloudTasks-TaskName": name,
            "X-CloudTasks-TaskRetryCount": str(retries),
            "X-CloudTasks-TaskExecutionCount": str(executions),
            "X-CloudTasks-TaskETA": f"{attempt.task.eta.timestamp():.6f}",
        }
        | ({"X-CloudTasks-TaskPreviousResponse": previous, "X-CloudTasks-TaskRetryReason": ""} if previous else {})
        for attempt, retries, executions, previous in ((first, 0, 0, ""), (second, 1, 0, "503"), (third, 2, 1, "404"))
    ]
    environ = worker.environs[0]
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["wsgi.url_scheme"]) == (
        "worker.example.com",
        "/work",
        "https",
    )
    assert environ["REMOTE_ADDR"] not in ("127.0.0.1", "0.1.0.2")


@pytest.mark.row("T58")
@pytest.mark.parametrize("host", ["tutorial.appspot.com", "worker.tutorial.appspot.com", "v1-dot-tutorial.appspot.com"])
def test_a_full_url_reaches_the_labs_own_applications(lab, client, host):
    http(client, f"https://{host}/tutorial/default/echo?a=1")
    attempt = lab.run()[0]
    assert attempt.response.text == repr(("POST", host, "https", False, "1", None, "task1"))


@pytest.mark.row("T58")
def test_a_mounted_path_is_reached_only_by_a_full_url_of_the_lab(lab, client):
    worker = Worker()
    lab.mount("/plain", worker)
    http(client, "https://tutorial.appspot.com/plain/x")
    http(client, f"{WORKER}/plain/x")
    assert [attempt.outcome for attempt in lab.advance(0)] == [Outcome.DONE, Outcome.RETRY]
    assert len(worker.environs) == 1


@pytest.mark.row("T58")
def test_an_attempt_for_a_url_of_another_server_fails_with_an_explanation(lab, client):
    name = http(client, "https://evil-tutorial.appspot.com/x").name
    attempt = lab.step()
    assert attempt.outcome is Outcome.RETRY
    assert attempt.status == 0
    assert attempt.note == "no request was sent to https://evil-tutorial.appspot.com"
    assert attempt.response.hint.startswith("https://evil-tutorial.appspot.com is not a host of the lab")
    assert 'lab.mount("https://evil-tutorial.appspot.com", application)' in attempt.response.hint
    assert "Cloud Tasks sends  POST https://evil-tutorial.appspot.com/x\n" in str(attempt)
    task = client.get_task(name=name)
    assert (task.dispatch_count, task.response_count) == (1, 0)
    assert task.last_attempt.response_status.code == 14
    assert task.last_attempt.response_status.message.startswith("UNAVAILABLE(14): https://evil-tutorial")
    assert lab.step().request.header("X-CloudTasks-TaskExecutionCount") == "0"


def test_a_task_without_a_server_also_fails_if_requests_take_turns(lab, client):
    http(client)
    overlap = lab.overlap(lab.tasks()[0], "/tutorial/default/echo")
    assert (overlap.first.status, overlap.second.status) == (0, 200)
    assert overlap.first.note == "no request was sent to https://worker.example.com"


def test_the_mount_with_the_longest_path_handles_a_request(lab, client):
    every, part = Worker(), Worker()
    lab.mount(WORKER, every)
    lab.mount(f"{WORKER}/part/", part)
    for path in ("/part/x", "/party"):
        http(client, WORKER.upper().replace("HTTPS", "https") + path)
    lab.run()
    assert [[environ["PATH_INFO"] for environ in worker.environs] for worker in (part, every)] == [
        ["/part/x"],
        ["/party"],
    ]


@pytest.mark.parametrize("prefix", ["https://", "ftp://a", "https://a?b", "https://a b", "", "/", None])
def test_a_prefix_that_is_neither_a_path_nor_a_url_is_refused(lab, prefix):
    with pytest.raises(BadRequestError, match='"/plain" or "https://example.com"'):
        lab.mount(prefix, Worker())


def test_an_app_engine_task_is_delivered_like_a_task_of_the_bundled_service(lab, client):
    app_engine(client, app_engine_http_request={"relative_uri": "/tutorial/default/echo?a=1", "http_method": "GET"})
    attempt = lab.run()[0]
    assert attempt.response.text == repr(("GET", "tutorial.appspot.com", "http", False, "1", "task1", None))
    assert attempt.request.header("User-Agent") == "AppEngine-Google; (+http://code.google.com/appengine)"


@pytest.mark.row("T56")
def test_the_dispatch_deadline_holds_in_virtual_time(lab, client):
    lab.write("controllers/default.py", "import time\ndef slow(): time.sleep(100)")
    app_engine(client, "/tutorial/default/slow", dispatch_deadline=duration_pb2.Duration(seconds=20))
    attempt = lab.step()
    assert (attempt.elapsed, attempt.outcome) == (20, Outcome.RETRY)
    status = client.get_task(name=f"{QUEUE}/tasks/task1").last_attempt.response_status
    assert (status.code, status.message) == (4, "DEADLINE_EXCEEDED(4): the handler missed the deadline")


def test_a_task_shows_its_first_and_its_last_attempt(lab, client):
    lab.mount(WORKER, Worker(500, 404))
    config = {"min_backoff": duration_pb2.Duration(seconds=10)}
    name = client.create_task(parent=QUEUE, task={"http_request": {"url": WORKER}, "retry_config": config}).name
    lab.step()
    lab.step()
    task = client.get_task(name=name)
    assert (task.dispatch_count, task.response_count) == (2, 2)
    assert task.first_attempt.dispatch_time.timestamp() == NOW
    last = task.last_attempt
    assert [each.timestamp() for each in (last.schedule_time, last.dispatch_time, last.response_time)] == [NOW + 10] * 3
    assert (last.response_status.code, last.response_status.message) == (5, "NOT_FOUND(5): HTTP status code 404")
    assert task.schedule_time.timestamp() == NOW + 30


def test_a_task_that_runs_counts_its_attempt_as_dispatched(lab, client):
    seen = []

    def worker(environ, start_response):
        task = client.get_task(name=f"{QUEUE}/tasks/task1")
        seen.append((task.dispatch_count, task.response_count, "response_time" in task.last_attempt))
        start_response("200 OK" if len(seen) == 2 else "500 Error", [])
        return []

    lab.mount(WORKER, worker)
    http(client)
    lab.run()
    assert seen == [(1, 0, False), (2, 1, False)]


def test_chaos_gets_the_name_of_an_http_task(lab, client, monkeypatch):
    forgotten = []
    monkeypatch.setattr(lab._engine._chaos, "forgets", forgotten.append)
    http(client)
    lab.step()
    assert forgotten == ["task1"]


def test_an_attempt_that_ctrl_c_interrupts_is_not_recorded(lab, client):
    def worker(environ, start_response):
        if not interrupts:
            start_response("500 Error", [])
            return []
        raise KeyboardInterrupt

    lab.mount(WORKER, worker)
    interrupts = []
    name = http(client).name
    lab.step()
    before = client.get_task(name=name)
    interrupts.append(True)
    with pytest.raises(KeyboardInterrupt):
        lab.step()
    after = client.get_task(name=name)
    assert (after.dispatch_count, after.last_attempt) == (1, before.last_attempt)


@pytest.mark.row("T59")
def test_a_forced_task_runs_before_its_time_in_a_paused_queue_without_a_token(lab, client):
    lab.write("queue.yaml", "queue:\n- name: default\n  rate: 1/h\n  bucket_size: 1\n")
    app_engine(client)
    lab.run()
    client.pause_queue(name=QUEUE)
    later = app_engine(client, schedule_time=lab.now.replace(year=2012, month=9, day=10))
    app_engine(client)
    assert lab.run() == ()
    assert client.run_task(name=later.name).name == later.name
    (attempt,) = lab.run()
    assert attempt.task.name == later.name.rpartition("/")[2]
    assert attempt.started == lab.now
    client.resume_queue(name=QUEUE)
    assert lab.step().started.timestamp() == NOW + 3600, "the forced attempt took a token"


@pytest.mark.row("T59")
def test_a_forced_task_that_fails_waits_for_its_backoff(lab, client):
    lab.mount(WORKER, Worker(500))
    name = http(client, WORKER).name
    client.pause_queue(name=QUEUE)
    client.run_task(name=name)
    assert [attempt.outcome for attempt in lab.run()] == [Outcome.RETRY]
    assert client.get_task(name=name).schedule_time.timestamp() == pytest.approx(NOW + 0.1)


@pytest.mark.row("T59")
@pytest.mark.parametrize("remove", ["delete_task", "purge_queue", "delete_queue"])
def test_a_forced_task_that_is_removed_never_runs(lab, client, remove):
    task = app_engine(client)
    client.run_task(name=task.name)
    getattr(client, remove)(name=task.name if remove == "delete_task" else QUEUE)
    assert lab.run() == ()


def test_a_task_in_a_queue_that_a_handler_creates_runs_in_the_same_run(lab, client):
    app_engine(client, "/tutorial/default/creates")
    assert [attempt.task.queue for attempt in lab.run()] == ["default", "made"]


@pytest.mark.row("T53")
def test_a_queue_of_the_api_drops_a_task_after_100_attempts(lab, client):
    client.create_queue(parent=LOCATION, queue={"name": MADE})
    lab.mount(WORKER, Worker(*[500] * 200))
    name = http(client, WORKER, MADE).name
    attempts = lab.run()
    assert (len(attempts), attempts[-1].outcome) == (100, Outcome.DROPPED)
    assert (attempts[1].started - attempts[0].started).total_seconds() == pytest.approx(0.1)
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        client.get_task(name=name)


def test_the_target_of_a_queue_overrides_that_of_its_app_engine_tasks(lab, client):
    override = {"service": "worker", "version": "v1"}
    client.create_queue(parent=LOCATION, queue={"name": MADE, "app_engine_routing_override": override})
    request = {"relative_uri": "/tutorial/default/echo", "app_engine_routing": {"service": "other"}}
    app_engine(client, parent=MADE, app_engine_http_request=request)
    http(client, "http://tutorial.appspot.com/tutorial/default/echo", MADE)
    assert [attempt.request.host for attempt in lab.run()] == [
        "v1.worker.tutorial.appspot.com",
        "tutorial.appspot.com",
    ]


def test_the_samples_of_a_deleted_queue_stay(lab, client):
    client.create_queue(parent=LOCATION, queue={"name": MADE})
    app_engine(client, parent=MADE)
    lab.run()
    before = lab._engine.samples("made")
    client.delete_queue(name=MADE)
    app_engine(client)
    lab.run()
    assert lab._engine.samples("made") == before != []


@pytest.mark.row("T57")
def test_a_task_with_a_full_url_cannot_forge_the_headers_of_app_engine(lab, client):
    headers = {"X_AppEngine_TaskName": "forged", "X_CloudTasks_TaskName": "forged"}
    name = http(client, f"https://{HOST}/tutorial/default/echo", headers=headers).name.rpartition("/")[2]
    (attempt,) = lab.run()
    assert attempt.response.text.endswith(f", None, None, '{name}')")
