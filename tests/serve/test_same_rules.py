"""The same tasks and handlers give the same results in a lab (virtual time) and in an engine (real time)."""

import io
import json
import threading
import time
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from harness import Lab
from harness.appengine.clock import RealClock
from harness.appengine.dispatcher import HttpSender, deferred_application
from harness.appengine.taskqueue import connect, preload
from tests.support.live_queues import LiveQueues
from tests.support.stage import appengine_headers

SPEED = 100  # seconds of the engine's clock in a second
LATE = 0.6 * SPEED  # seconds that an attempt may begin later than in virtual time
QUEUES = """
queue:
- {name: plain, rate: 500/s, bucket_size: 100}
- name: limit
  retry_parameters: {task_retry_limit: 2, min_backoff_seconds: 30, max_backoff_seconds: 200}
- name: age
  retry_parameters: {task_age_limit: 60s, min_backoff_seconds: 30, max_backoff_seconds: 200}
- name: both
  retry_parameters: {task_retry_limit: 1, task_age_limit: 60s, min_backoff_seconds: 40, max_backoff_seconds: 200}
- name: doublings
  retry_parameters: {min_backoff_seconds: 30, max_backoff_seconds: 100, max_doublings: 1}
- {name: slow, rate: 2/m, bucket_size: 2}
- {name: single, rate: 500/s, max_concurrent_requests: 1}
- {name: aimed, target: worker}
- {name: held}
- {name: purged}
- {name: batch}
- {name: pull, mode: pull, retry_parameters: {task_retry_limit: 2}}
"""
# The functions for both visits. `statuses` and `seconds` have a value for each attempt; the last one is repeated.
COMMON = """
from google.appengine.api import taskqueue
from google.appengine.ext import deferred
def attempt(what, action):
    try:
        results[what] = action()
    except Exception as error:
        results[what] = type(error).__name__
def add(queue, name, statuses="200", seconds="0", url=None, **options):
    url = url or "/tutorial/default/work?statuses=%s&seconds=%s" % (statuses, seconds)
    return attempt(name, lambda: taskqueue.add(url=url, queue_name=queue, name=name, method="GET", **options).name)
"""
FIRST = """
add("plain", "ok")
add("plain", "redirect", "302,404,204")
add("plain", "later", countdown=100)
add("plain", "headers", "500,200", headers={"X-Own": "a b", "X-AppEngine-QueueName": "forged", "User-Agent": "me"})
add("plain", "overlap1", seconds="60")
add("plain", "overlap2", seconds="60")
add("plain", "hurried", seconds="90,0", dispatch_deadline_usec=30000000)
options = taskqueue.TaskRetryOptions(task_retry_limit=0)
add("limit", "own", "500", retry_options=options)
add("limit", "in-limit", "503,404,500")
add("age", "in-age", "500")
add("both", "in-both", "500")
add("doublings", "in-doublings", "500,500,500,500,200")
for number in "12345":
    add("slow", "slow" + number)
for number in "123":
    add("single", "single" + number, seconds="40")
add("aimed", "aimed")
params = dict(statuses="200", seconds="0")
attempt("post", lambda: taskqueue.add(url="/tutorial/default/work", params=params, name="post").name)
add("held", "held1")
add("held", "held2")
add("purged", "purged1")
attempt("purge", lambda: taskqueue.Queue("purged").purge())
add("purged", "purged1")
add("purged", "purged2")
attempt("delete", lambda: taskqueue.Queue("purged").delete_tasks_by_name("purged2").was_deleted)
attempt("delete again", lambda: taskqueue.Queue("purged").delete_tasks_by_name("purged2").was_deleted)
add("batch", "taken")
url = "/tutorial/default/work"
tasks = [taskqueue.Task(name=name, url=url, params=params) for name in ("b1", "taken", "b2")]
attempt("batch", lambda: taskqueue.Queue("batch").add(tasks))
add("missing", "missing")
attempt("push to pull", lambda: taskqueue.add(url="/x", queue_name="pull"))
pull = taskqueue.Queue("pull")
for name in ("p1", "p2"):
    attempt(name, lambda: pull.add(taskqueue.Task(payload="text", method="PULL", name=name, tag="t")).name)
leased = []
attempt("lease", lambda: [leased.append(task) or task.name for task in pull.lease_tasks(1000, 1)])
attempt("extend", lambda: pull.modify_task_lease(leased[0], 2000) or leased[0].was_deleted)
attempt("lease by tag", lambda: [task.name for task in pull.lease_tasks_by_tag(3000, 5, "t")])
attempt("lease none", lambda: pull.lease_tasks(10, 5))
attempt("statistics", lambda: [each.tasks for each in taskqueue.QueueStatistics.fetch(["slow", "pull", "purged"])])
deferred.defer(abs, -1, _name="deferred", _queue="plain")
deferred.defer(int, "x", _name="failing", _queue="limit")
"""
# The second visit is made when no task can run any more.
SECOND = """
add("plain", "ok")
add("limit", "in-limit")
add("purged", "purged2")
add("batch", "b1")
attempt("delete", lambda: taskqueue.Queue("plain").delete_tasks_by_name("ok").was_deleted)
"""
CONTROLLER = """
import json, time
def work():
    attempt = int(request.env.http_x_appengine_taskretrycount)
    def now(values):
        values = values.split(',')
        return values[min(attempt, len(values) - 1)]
    time.sleep(float(now(request.vars.seconds)))
    raise HTTP(int(now(request.vars.statuses)))
def visit():
    results = {}
    names = dict(results=results)
    exec(request.vars.code, names)
    return json.dumps(results)
"""


def application(environ, start_response):
    """Do the same as the controller, but in a real server."""
    if environ["PATH_INFO"] == "/_ah/queue/deferred":
        environ["REMOTE_ADDR"] = environ["HTTP_X_APPENGINE_USER_IP"]  # as `wrap_wsgi_app` of Google's client does
        return deferred_application(environ, start_response)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    query = parse_qs(environ["QUERY_STRING"] or body)
    attempt = int(environ["HTTP_X_APPENGINE_TASKRETRYCOUNT"])

    def now(name):
        values = query[name][0].split(",")
        return values[min(attempt, len(values) - 1)]

    time.sleep(float(now("seconds")) / SPEED)
    start_response(f"{now('statuses')} X", [("Content-Length", "0")])
    return [b""]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # a connection that doesn't fit in would be accepted a second later


class Silent(WSGIRequestHandler):
    def log_message(self, *line):
        pass

    def get_stderr(self):
        return io.StringIO()  # for the traceback of a deferred function


class Story:
    """What happened to the tasks: the attempts of each one, the results of the visits, and what still waits."""

    def __init__(self, began, attempts, results, waiting):
        self.results = results
        self.waiting = waiting
        self.starts, self.events, self.elapsed = {}, {}, {}
        for attempt in sorted(attempts, key=lambda attempt: attempt.number):
            name, request = attempt.task.name, attempt.request
            self.starts.setdefault(name, []).append(attempt.started.timestamp() - began)
            self.elapsed.setdefault(name, []).append(attempt.elapsed)
            headers = appengine_headers(request.headers)
            del headers["X-AppEngine-TaskETA"]
            event = (
                attempt.status,
                str(attempt.outcome),
                attempt.note,
                headers,
                request.method,
                request.url,
                request.body,
            )
            own = [pair for pair in request.headers if pair[0] in ("X-Own", "content-type", "User-Agent")]
            host = request.host.partition(".")[0] if attempt.task.queue == "aimed" else ""
            self.events.setdefault(name, []).append((*event, own, host))


def in_virtual_time():
    with Lab(queue_yaml=QUEUES) as lab:
        lab.write("controllers/default.py", CONTROLLER)
        began = lab.now.timestamp()
        lab.queue("held").pause()
        results = [json.loads(lab.post("default/visit", code=COMMON + FIRST).text)]
        lab.run()
        waiting = sorted(task.name for task in lab.tasks())
        results.append(json.loads(lab.post("default/visit", code=COMMON + SECOND).text))
        lab.queue("held").resume()
        lab.run()
        return Story(began, lab.attempts, results, waiting)


@contextmanager
def served():
    """The URL of the application behind a server."""
    server = make_server("127.0.0.1", 0, application, Server, Silent)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def in_real_time():
    preload()
    with served() as url:
        live = LiveQueues(QUEUES, clock=RealClock(SPEED), workers=20)
        live.engine.dispatcher._send = HttpSender(url)
        live.engine.start()
        engine, queues = live.engine, live.engine.service.queues

        def visit(code):
            """Run code as a controller does. Nothing starts until it has ended, as in a lab."""
            results = {}
            with engine.changing(), connect(engine.service):
                exec(code, {"results": results})
            return json.loads(json.dumps(results))

        def run(*but):
            live.wait_until(lambda: not any(len(queue) for name, queue in queues.items() if name not in but))

        began = engine.service.clock.timestamp
        engine.pause("held")
        results = [visit(COMMON + FIRST)]
        run("held", "pull")
        waiting = sorted([*live.waiting("held"), *live.waiting("pull")])
        results.append(visit(COMMON + SECOND))
        engine.resume("held")
        run("pull")
        engine.stop()
        return Story(began, list(live.ended.queue), results, waiting)


@pytest.fixture(scope="module")
def stories():
    return in_virtual_time(), in_real_time()


@pytest.mark.row("T65")
def test_the_client_gets_the_same_results(stories):
    virtual, real = stories
    assert real.results == virtual.results
    assert virtual.results[0]["missing"] == "UnknownQueueError" and virtual.results[1]["ok"] == "TombstonedTaskError"
    assert virtual.results[0]["batch"] == "TaskAlreadyExistsError" and virtual.results[0]["lease by tag"] == ["p2"]


@pytest.mark.row("T65")
def test_the_same_tasks_wait(stories):
    virtual, real = stories
    assert real.waiting == virtual.waiting == ["held1", "held2", "p1", "p2"]


@pytest.mark.row("T65")
def test_each_attempt_has_the_same_request_and_the_same_outcome(stories):
    virtual, real = stories
    assert real.events == virtual.events
    assert [event[1] for event in virtual.events["in-both"]] == ["retry", "retry", "dropped"]
    assert virtual.events["hurried"][0][2] == "deadline of 30 s exceeded"
    assert {"purged1", "purged2", "b1", "b2", "deferred", "failing", "held1"} & virtual.starts.keys() == {
        *("b1", "b2", "deferred", "failing", "held1"),
    }


@pytest.mark.row("T65")
def test_no_attempt_begins_earlier_than_in_virtual_time_or_much_later(stories):
    virtual, real = stories
    assert virtual.starts["in-doublings"] == [0, 30, 90, 190, 290] and virtual.starts["slow5"] == [90]
    assert virtual.starts["single3"] == [80] and virtual.starts["overlap2"] == [0]
    for name in virtual.starts.keys() - {"held1", "held2", "in-limit"}:
        late = [there - here for here, there in zip(virtual.starts[name], real.starts[name], strict=True)]
        assert all(-0.01 < each < LATE for each in late), (name, late)
        longer = [there - here for here, there in zip(virtual.elapsed[name], real.elapsed[name], strict=True)]
        assert all(-0.01 < each < LATE for each in longer), (name, longer)
