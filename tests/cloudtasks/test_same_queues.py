"""Generated sequences of calls: both modes of Google's client, and both ways to Cloud Tasks, give equal results."""

import os
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import NamedTuple

import grpc
import pytest
from google.api_core.exceptions import GoogleAPICallError

from harness import Lab
from harness.appengine.clock import START, Clock, RealClock
from harness.appengine.dispatcher import RealTimeDispatcher
from harness.appengine.taskqueue import QueueConfig, TaskQueueService, preload
from harness.cloudtasks import CloudTasks, LocalChannel, make_client
from harness.cloudtasks.grpc_server import ADDRESS, GrpcServer

QUEUES = "queue:\n- name: slow\n  rate: 1/s\n  bucket_size: 2\n  retry_parameters:\n    task_retry_limit: 3\n"
SEQUENCES = int(os.environ.get("HARNESS_SOAK", "0")) // 5 or 10
CALLS = 30


def flaky(environ, start_response):
    """Respond with the status in the URL, or with 200 from the second retry on."""
    status = environ["PATH_INFO"].rpartition("/")[2] if environ["HTTP_X_APPENGINE_TASKRETRYCOUNT"] < "2" else "200"
    start_response(f"{status} X", [])
    return []


def play(seed, cloud_tasks):
    """Make the calls of a seed, and return what the client and the queues show after each call."""
    from google.appengine.api import taskqueue

    random, shown = Random(seed), []
    with Lab(QUEUES, cloud_tasks=cloud_tasks) as lab:
        lab.mount("/flaky", flaky)
        for _ in range(CALLS):
            try:
                shown.append(call(taskqueue, random, lab))
            except taskqueue.Error as error:
                shown.append(type(error).__name__.replace("Tombstoned", "").replace("AlreadyExists", ""))
            shown += sorted(map(visible, lab.tasks()))
        lab.run()
        shown += [(visible(each.task), each.started, each.note, each.outcome) for each in lab.attempts]
    return shown


def call(taskqueue, random, lab):
    queue = taskqueue.Queue(random.choice(["default", "slow", "slow", "nowhere"][: random.randint(1, 4)]))
    kind = random.choice(["add"] * 5 + ["batch"] * 2 + ["delete", "purge", "run", "advance", "statistics"])
    if kind == "add":
        return queue.add(make_task(taskqueue, random)).name
    if kind == "batch":
        tasks = [make_task(taskqueue, random) for _ in range(random.randint(1, 5))]
        try:
            return [task.name for task in queue.add(tasks)]
        finally:
            lab.advance(random.choice([0, 3]))
    if kind == "delete":
        # A tombstone and a name that never existed are equal here: neither is deleted.
        return [task.was_deleted for task in queue.delete_tasks_by_name([f"t{random.randint(0, 9)}", "t10"])]
    if kind == "purge":
        return queue.purge()
    if kind == "run":
        return len(lab.run())
    if kind == "advance":
        return len(lab.advance(random.choice([0.5, 10, 100000])))
    found = queue.fetch_statistics()
    return found.tasks, found.oldest_eta_usec, found.executed_last_minute, found.in_flight, found.enforced_rate


def make_task(taskqueue, random):
    method = random.choice(["POST", "PUT", "GET", "HEAD", "DELETE"])
    values = {"url": f"/flaky/{random.choice([200, 204, 302, 404, 500, 503])}", "method": method}
    values["countdown"] = random.choice([0, 0, 1.25, 60])
    if random.random() < 0.5:
        values["params"] = {"a": random.choice(["x", "é", [1, 2], None])}
    elif method in ("POST", "PUT"):
        values["payload"] = random.choice(["text", b"\xff\0", ""])
    if random.random() < 0.4:
        values["name"] = f"t{random.randint(0, 9)}"
    if random.random() < 0.3:
        values["headers"] = {"X-Own": "1", "User-Agent": "mine", "X-AppEngine-TaskName": "false"}
    if random.random() < 0.3:
        values["target"] = random.choice(["worker", "v2.worker"])
    if random.random() < 0.3:
        limits = {"task_retry_limit": random.randint(0, 3), "task_age_limit": 30}
        chosen = random.choice(list(limits))
        values["retry_options"] = taskqueue.TaskRetryOptions(
            min_backoff_seconds=random.choice([0.5, 7]), **{chosen: limits[chosen]}
        )
    return taskqueue.Task(**values)


def visible(task):
    """Return what both modes must agree on. Cloud Tasks keeps headers in a map, and drops those of App Engine."""
    own = {name.lower(): value for name, value in task.headers if not name.lower().startswith("x-appengine-")}
    return task.name, task.queue, task.method, task.url, task.body, task.eta, sorted(own.items()), task.retries


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_both_modes_leave_equal_queues(seed):
    preload()
    bundled, cloud = play(seed, False), play(seed, True)
    for one, other in zip(bundled, cloud, strict=True):
        assert one == other


# Cloud Tasks' API through the channel of a lab, and through a socket. Two differences are left out. A timeout of more
# than 30 seconds is refused only through a socket, so each call has the client's default. A name of many kilobytes is
# refused there with another error, because the client sends it in a header, too.

PLACE = "projects/tutorial/locations/us-central1"
BAD_PLACES = ["projects/other/locations/us-central1", "projects/tutorial/locations/mars", "tutorial", ""]
BAD_QUEUE_IDS = ["nowhere", "pull", "ä_b", "a b\n", "q" * 101, ""]
TASK_IDS, BAD_TASK_IDS = [f"t{number}" for number in range(8)], ["bad\n", "ö%41", "x" * 501, ""]
API_CALLS = 60
METHODS = (
    ["create_task"] * 8
    + ["batch_create_tasks", "list_tasks", "get_task", "delete_task", "run_task"] * 3
    + ["batch_delete_tasks", "create_queue", "update_queue", "get_queue", "list_queues"] * 2
    + ["pause_queue", "resume_queue", "delete_queue", "purge_queue", "advance"]
)


class Failed(NamedTuple):
    """A call that failed."""

    code: grpc.StatusCode
    text: str


class Draw(Random):
    """Random calls of Google's CloudTasksClient.

    `tokens` and `names` are the page tokens and the names of tasks in previous responses.
    """

    def __init__(self, seed):
        super().__init__(seed)
        self.tokens, self.names = [], []

    def one(self, good, bad):
        """Return one of the good values, and seldom one of the bad ones."""
        return self.choice(bad if self.random() < 0.025 else good)

    def call(self):
        """Return a method and its request."""
        method, place = self.choice(METHODS), self.one([PLACE], BAD_PLACES)
        ids = ["made", "made", "brief"] if method in ("create_queue", "delete_queue") else ["default", "mail", "made"]
        queue = f"{place}/queues/{self.one(ids, BAD_QUEUE_IDS)}"
        view = {"response_view": self.randint(0, 2)}
        token = self.one(["", *self.tokens[-2:]], ["x", "é", *self.tokens])
        page = {"page_size": self.one([0, 1, 2, 3, 5], [-1]), "page_token": token}
        if method == "advance":
            return method, self.choice([0, 60, 7201, 3 * 86400])
        if method == "create_queue":
            return method, {"parent": self.one([PLACE], BAD_PLACES), "queue": self.queue(queue)}
        if method == "update_queue":
            paths = [self.one(["rate_limits", "retry_config.max_attempts", "retry_config", "*", "state"], ["nothing"])]
            return method, {"queue": self.queue(queue), "update_mask": self.choice([None, {"paths": paths}])}
        if method == "list_queues":
            return method, {"parent": place, "filter": self.one([""], ["state: PAUSED"]), **page}
        if method == "list_tasks":
            return method, {"parent": queue, **view, **page}
        if method == "create_task":
            return method, self.create(queue)
        if method == "batch_create_tasks":
            requests = [self.create(queue) for _ in range(self.one([1, 2, 3, 5], [0, 101]))]
            return method, {"parent": queue, "requests": requests, "request_id": self.choice(["", "", "r1", "r2"])}
        if method == "batch_delete_tasks":
            names = [self.task_name(queue) for _ in range(self.one([1, 2, 3, 5], [0]))]
            return method, {"parent": queue, "names": names}
        if method not in ("get_task", "run_task", "delete_task"):
            return method, {"name": queue}
        name = self.choice(self.names[-8:] or [self.task_name(queue)])
        return method, {"name": name} | (view if method != "delete_task" else {})

    def task_name(self, queue):
        owner = self.one([queue], [f"{PLACE}/queues/mail", ""])
        return f"{owner}/tasks/{self.one(TASK_IDS, BAD_TASK_IDS)}"

    def create(self, queue):
        """Return a CreateTaskRequest."""
        method = self.choice([1, 1, 4, self.randint(0, 7)])
        headers = [{}, {"Content-Type": "text/plain", "X-Own": "é"}, {"Host": "a.example.com", "User-Agent": "mine"}]
        request = {
            "http_method": method,
            "headers": self.one(headers, [{"a b": "1"}, {"a": "1\n2"}]),
            "body": self.choice([b"", b"text", b"\xff\0"]) if method in (1, 4) else self.one([b""], [b"text"]),
        }
        if self.random() < 0.5:
            request["relative_uri"] = self.one(["/work", "", "/a?b=é"], ["work", "/a b", "/" + "a" * 2083])
            labels = {"service": self.one(["", "worker"], ["a_b"]), "version": self.choice(["", "v1"])}
            task = {"app_engine_http_request": request | {"app_engine_routing": labels}}
        else:
            request["url"] = self.one(["http://localhost/x", "https://a.example.com/é"], ["", "ftp://a", "http://[a"])
            account = {"service_account_email": "a@tutorial.iam.gserviceaccount.com"}
            tokens = [{}, {}, {"oidc_token": account}, {"oidc_token": account | {"audience": "me"}}]
            task = {"http_request": request | self.one([*tokens, {"oauth_token": account}], [{"oidc_token": {}}])}
        times = [None, *(START + timedelta(seconds=each) for each in (-9e8, 0, 60.123456, 30 * 86400))]
        task["name"] = self.choice(["", self.task_name(queue)])
        task["schedule_time"] = self.one(times, [START + timedelta(days=99)])
        task["dispatch_deadline"] = self.seconds([15, 600.5], [-1, 14, 1801, 90000])
        task["retry_config"] = self.choice([None, None, self.retry()])
        return {"parent": queue, "task": self.one([task], [{}]), "response_view": self.randint(0, 2)}

    def queue(self, name):
        """Return a Queue."""
        limits = {
            "max_dispatches_per_second": self.one([0, 1, 2.5], [501, -1]),
            "max_concurrent_dispatches": self.one([0, 3], [-1, 9999]),
        }
        return {
            "name": name,
            "rate_limits": self.choice([None, limits]),
            "retry_config": self.choice([None, self.retry()]),
            "app_engine_routing_override": self.one([None, {"service": "worker"}], [{"service": "a_b"}]),
        }

    def retry(self):
        """Return a RetryConfig."""
        times = {field: self.seconds([0, 0.25, 7], [-1, 4e8]) for field in ("max_retry_duration", "max_backoff")}
        return {"max_attempts": self.one([0, 1, 5, -1], [-2]), "max_doublings": self.one([0, 3], [-1]), **times}

    def seconds(self, good, bad):
        """Return a Duration or None."""
        seconds = self.one([None, *good], bad)
        return None if seconds is None else timedelta(seconds=seconds)


def play_calls(seed, service, client):
    """Make the calls of a seed, and yield each with the messages of its response, or with a Failed."""
    draw = Draw(seed)
    for _ in range(API_CALLS):
        method, request = draw.call()
        if method == "advance":
            service.clock.advance(request)
            continue
        try:
            response = getattr(client, method)(request=request)
        except GoogleAPICallError as error:
            yield method, request, Failed(error.grpc_status_code, error.message)
            continue
        if method.startswith("list"):
            response = list(response.pages)
            draw.tokens += [page.next_page_token for page in response]
        elif method.startswith("batch"):
            failure = response.exception()
            response = (failure.message if failure else response.result()), response.metadata
        elif method == "create_task":
            draw.names += [response.name, draw.task_name(request["parent"])]
        yield method, request, response
    for queue in client.list_queues(parent=PLACE):
        yield "list_tasks", queue, list(client.list_tasks(request={"parent": queue.name, "response_view": 2}))


def new_service():
    """Return a service whose clock moves only between two calls."""
    return TaskQueueService(Clock(), [QueueConfig("mail", rate=20.0), QueueConfig("pull", mode="pull")])


@contextmanager
def serve(service):
    """Yield Google's client, connected to a service through a socket. The dispatcher runs no tasks."""
    server = GrpcServer(CloudTasks(service), RealTimeDispatcher(service, RealClock(), None, print, print), 0)
    try:
        with grpc.insecure_channel(f"{ADDRESS}:{server.port}") as channel:
            yield make_client(channel)
    finally:
        server.stop()


def test_the_socket_and_the_channel_of_a_lab_give_equal_results():
    ended = Counter()
    for seed in range(max(SEQUENCES, 10)):
        one, other = new_service(), new_service()
        with serve(other) as client:
            local = play_calls(seed, one, make_client(LocalChannel(CloudTasks(one))))
            for mine, its in zip(local, play_calls(seed, other, client), strict=True):
                assert mine == its, f"seed {seed}"
                ended[mine[0], mine[2].code.name if isinstance(mine[2], Failed) else "OK"] += 1
    methods = {method for method in METHODS if method != "advance"}
    assert {method for method, code in ended if code == "OK"} == methods
    assert {method for method, code in ended if code != "OK"} == methods
    codes = ["NOT_FOUND", "INVALID_ARGUMENT", "ALREADY_EXISTS", "PERMISSION_DENIED", "FAILED_PRECONDITION"]
    assert {code for _, code in ended} == {"OK", "UNIMPLEMENTED", *codes}
