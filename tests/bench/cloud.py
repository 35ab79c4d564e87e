"""Cloud Tasks: adding in both modes of the client, calls with few and with many waiting, and creates over sockets."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import grpc
from google.cloud.tasks_v2.types import CreateTaskRequest

from harness import Lab
from harness.appengine.clock import Clock
from harness.appengine.dispatcher import Dispatcher
from harness.appengine.taskqueue import Task, TaskQueueService
from harness.cloudtasks import connect_client
from harness.records import Response
from tests.bench.measure import Contestant, Row, collector_at_rest, in_turns, timed

COUNT = 1_000
SIZES = (1_000, 100_000)
ROUNDS = 5
GOAL = 1_200  # creates per second
_CALLERS = 4  # threads of the client that wait for responses
_QUEUE = "projects/tutorial/locations/us-central1/queues/default"
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")  # in the first two lines that the server prints
_METHOD = "/google.cloud.tasks.v2.CloudTasks/CreateTask"
_EMULATOR = Path(__file__).parents[2] / ".venv" / "emulator" / "bin" / "gcloud-tasks-emulator"


def rows() -> list[Row]:
    """Measure the modes, the sizes and, if it is installed, the other emulator."""
    return [_modes(), *_growth(), *_socket()]


def _modes() -> Row:
    from google.appengine.api import taskqueue

    def add(lab: Lab) -> float:
        with lab._engine._connection.active():
            return timed(lambda: [taskqueue.add(url="/worker", params={"old": "a"}) for _ in range(COUNT)], COUNT)

    with Lab() as bundled, Lab(cloud_tasks=True) as cloud, collector_at_rest():
        seconds = in_turns({"bundled": lambda: add(bundled), "cloud": lambda: add(cloud)}, ROUNDS)
    note = f"{seconds['cloud'] * 1e6:.0f} µs against {seconds['bundled'] * 1e6:.0f} µs"
    return Row("cloud", "add through Cloud Tasks / bundled", seconds["cloud"] / seconds["bundled"], "ratio", 3.0, note)


def _growth() -> list[Row]:
    """Compare the cost per task with few and with many waiting."""
    return [
        _grown("create_task in a lab", _creating, ROUNDS),
        _grown("list_tasks in a lab, all pages, per task", _listing, 3),
        _grown("an attempt in a lab", _running, ROUNDS),
    ]


def _grown(what: str, contestant: Callable[[int], Contestant], rounds: int) -> Row:
    with collector_at_rest():
        few, many = in_turns({str(size): contestant(size) for size in SIZES}, rounds).values()
    note = f"{many * 1e6:.0f} µs against {few * 1e6:.0f} µs"
    return Row("cloud", f"{what}: at 100,000 / at 1,000", many / few, "ratio", 1.5, note)


def _creating(size: int) -> Contestant:
    service = TaskQueueService(Clock())
    client, request = connect_client(service), _request(service.clock.now)
    _fill(service, size)
    return lambda: timed(lambda: [client.create_task(request) for _ in range(COUNT)], COUNT)


def _listing(size: int) -> Contestant:
    service = TaskQueueService(Clock())
    client = connect_client(service)
    _fill(service, size)
    return lambda: timed(lambda: [task.name for task in client.list_tasks(parent=_QUEUE)], size)


def _running(size: int) -> Contestant:
    """Run tasks that Google's client has created, half of the fewest in a round, with a handler that does nothing."""
    service = TaskQueueService(Clock())
    client, request = connect_client(service), _request(service.clock.now)
    dispatcher = Dispatcher(service, service.clock, lambda *_: Response(200))
    _fill(service, size)
    runs = SIZES[0] // 2

    def run() -> float:
        for _ in range(size - len(service.queues["default"])):
            client.create_task(request)
        return timed(lambda: [dispatcher.step() for _ in range(runs)], runs)

    return run


def _fill(service: TaskQueueService, size: int) -> None:
    now = service.clock.timestamp
    for number in range(size):
        name = f"filling-{number * 7919 % size}"  # not in the order of a list
        task = Task(name, "default", "POST", "/worker", (), b"", now, now)
        service.add(service.queues["default"], task, now)


def _socket() -> list[Row]:
    """Compare creates over a socket. Each server has a process of its own, and its tasks are due in an hour."""
    with ExitStack() as stack:
        contestants = stack.enter_context(_ours())
        if _EMULATOR.exists():
            contestants["emulator"] = stack.enter_context(_emulator())
        stack.enter_context(collector_at_rest())
        seconds = in_turns(contestants, ROUNDS)
    rate = {name: f"{1 / each:.0f} creates/s" for name, each in seconds.items()}
    missing = "; not compared; `make .venv/emulator/.done` installs gcloud-tasks-emulator"
    note = rate["grpc"] + ("" if "emulator" in seconds else missing)
    found = [
        Row("cloud", "create over a socket", seconds["grpc"] * 1e3, "ms", 1e3 / GOAL, note),
        Row("cloud", "create over REST", seconds["rest"] * 1e3, "ms", None, rate["rest"]),
    ]
    if "emulator" not in seconds:
        return found
    ratio, note = seconds["grpc"] / seconds["emulator"], f"gcloud-tasks-emulator: {rate['emulator']}"
    return [*found, Row("cloud", "create over a socket: ours / emulator", ratio, "ratio", 1.0, note)]


@contextmanager
def _ours() -> Iterator[dict[str, Contestant]]:
    command = [sys.executable, "-m", "harness", "cloud-tasks", "--port", "0", "--rest-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address, rest = (_ADDRESS.findall(process.stdout.readline())[0] for _ in range(2))
            with _caller(address) as call, _rest_caller(rest) as call_rest:
                yield {"grpc": call, "rest": call_rest}
        finally:
            process.kill()


@contextmanager
def _emulator() -> Iterator[Contestant]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [_EMULATOR, "start", "--quiet", "--port", str(port), "--default-queue", _QUEUE]
    hidden = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=hidden, stderr=hidden) as process:
        try:
            with _caller(f"127.0.0.1:{port}") as call:
                yield call
        finally:
            process.kill()


@contextmanager
def _caller(address: str) -> Iterator[Contestant]:
    """Yield a function that returns the seconds per create on a server; its client itself needs hardly any time."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(30)
        create, request = channel.unary_unary(_METHOD), CreateTaskRequest.serialize(_request(datetime.now(UTC)))
        time.sleep(0.5)  # until the server has started its own threads
        with _in_threads(lambda: create(request, timeout=20)) as call:
            yield call


@contextmanager
def _rest_caller(address: str) -> Iterator[Contestant]:
    """Yield the same for the REST form. Each thread keeps its connection."""
    body = CreateTaskRequest.to_json(_request(datetime.now(UTC)))
    threads = threading.local()

    def create() -> None:
        if not hasattr(threads, "connection"):
            threads.connection = HTTPConnection(address, timeout=20)
        threads.connection.request("POST", f"/v2/{_QUEUE}/tasks", body, {"Content-Type": "application/json"})
        response = threads.connection.getresponse()
        content = response.read()
        assert response.status == 200, content

    with _in_threads(create) as call:
        yield call


@contextmanager
def _in_threads(create: Callable[[], object]) -> Iterator[Contestant]:
    def creates(_: int) -> None:
        for _ in range(COUNT // _CALLERS):
            create()

    with ThreadPoolExecutor(_CALLERS) as threads:
        list(threads.map(creates, range(_CALLERS)))
        yield lambda: timed(lambda: list(threads.map(creates, range(_CALLERS))), COUNT)


def _request(now: datetime) -> CreateTaskRequest:
    task = {
        "app_engine_http_request": {"relative_uri": "/worker", "body": b"old=a&new=b"},
        "schedule_time": now + timedelta(hours=1),
    }
    return CreateTaskRequest(parent=_QUEUE, task=task)
