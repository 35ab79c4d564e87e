"""The commands `serve` and `run`: the first response, empty tasks per second, and the memory of many tasks.

The rival is Google's stub with its own thread, whose tasks are sent to the same application.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import psutil

from harness.appengine.clock import Clock
from harness.appengine.taskqueue import TaskQueueService, connect
from harness.records import Request
from harness.serve.supervisor import ADDRESS, free_port
from harness.state import VARIABLE
from tests.bench.measure import Row, in_turns
from tests.bench.rivals import time_stub
from tests.support.terminal import Terminal, UserBrowser

COUNT = 1_000
GOAL = 300  # tasks per second
FIRST = 4.0  # seconds
FEW, MANY = 10_000, 100_000
_ROUNDS = 5
_SEED = Path(__file__).parents[1] / "applications" / "seed"
_WORKERS = 8
_QUEUES = 4  # with the largest rate that App Engine allows
_YAML = "queue:\n" + "".join(f"- {{name: q{number}, rate: 500/s, bucket_size: 500}}\n" for number in range(_QUEUES))
_APPLICATION = f"""
import os, threading, time
from google.appengine.api import taskqueue, wrap_wsgi_app
from waitress import serve

times, lock, finished = [], threading.Lock(), threading.Event()

def application(environ, start_response):
    body = b""
    if environ["PATH_INFO"] == "/work":
        with lock:
            times.append(time.monotonic())
            if len(times) == {COUNT}:
                finished.set()
    elif environ["PATH_INFO"] == "/add":
        for number in range({COUNT} // 100):
            tasks = [taskqueue.Task(url="/work", countdown=1) for _ in range(100)]
            taskqueue.Queue("q%d" % (number % {_QUEUES})).add(tasks)
    elif environ["PATH_INFO"] == "/seconds":
        finished.wait(60)
        body = str(times[-1] - times[0]).encode()
        times.clear()
        finished.clear()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

serve(wrap_wsgi_app(application), host="127.0.0.1", port=int(os.environ["PORT"]), threads=16, _quiet=True)
"""


def rows() -> Iterator[Row]:
    """Measure all three. Measuring the memory takes some minutes."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        os.environ[VARIABLE] = folder
        yield _first(Path(folder))
        yield from _tasks(Path(folder))


def _first(folder: Path) -> Row:
    app = shutil.copytree(_SEED, folder / "seed")
    seconds = in_turns({"first": lambda: _time_first("serve", str(app))}, _ROUNDS)
    return Row("serve", "from `serve FOLDER` to the first response", seconds["first"], "s", FIRST)


def _time_first(*arguments: str) -> float:
    """Return the seconds until the application's first response."""
    began, port = time.perf_counter(), free_port()
    with _server(*arguments, port=port):
        browser = UserBrowser(port)
        while True:
            with suppress(OSError):
                if browser.get("/seed/default/gen_task").ok:
                    return time.perf_counter() - began
            time.sleep(0.01)


def _tasks(folder: Path) -> Iterator[Row]:
    """Compare the tasks per second, and then the memory of the same process."""
    (folder / "queue.yaml").write_text(_YAML)
    command = ("run", "--workers", str(_WORKERS), "--", sys.executable, "-c", _APPLICATION)
    with _server(*command, cwd=folder) as terminal:
        terminal.wait_until_it_runs()
        stub, process = _Stub(terminal), psutil.Process(terminal.process.pid)
        seconds = in_turns({"ours": lambda: _time_tasks(terminal.port), "stub": stub}, _ROUNDS)
        yield from _compare(seconds)
        memory = {}
        for done in range((_ROUNDS + 1) * COUNT, MANY + 1, COUNT):
            _time_tasks(terminal.port)
            if done in (FEW, MANY):
                memory[done] = process.memory_info().rss / 2**20
        note = f"{memory[MANY]:.0f} MB against {memory[FEW]:.0f} MB"
        what = f"memory of the daemon: after {MANY:,} tasks / after {FEW:,}"
        yield Row("serve", what, memory[MANY] / memory[FEW], "ratio", 1.1, note)


def _compare(seconds: dict[str, float]) -> Iterator[Row]:
    rate = {name: f"{1 / each:.0f} tasks/s" for name, each in seconds.items()}
    yield Row("serve", "a task that does nothing", seconds["ours"] * 1e3, "ms", 1e3 / GOAL, rate["ours"])
    note = f"Google's stub: {rate['stub']}"
    yield Row("serve", "a task that does nothing: ours / stub", seconds["ours"] / seconds["stub"], "ratio", 1.0, note)


def _time_tasks(port: int) -> float:
    """Return the seconds per task, from the first task to the last one. Adding the tasks doesn't count."""
    browser = UserBrowser(port)
    assert browser.get("/add").ok
    return float(browser.get("/seconds").text) / COUNT


class _Stub:
    """Google's stub, which sends its tasks directly to the application's port, as the daemon does.

    It opens a connection for each request, as Google's development server does (devappserver2/http_proxy.py).
    """

    def __init__(self, terminal: Terminal) -> None:
        self._port = terminal.port
        self._target = int(terminal.application().environ()["PORT"])

    def __call__(self) -> float:
        with connect(TaskQueueService(Clock())):  # it sets the client's environment
            time_stub(self._respond, "/work", COUNT)
        return float(UserBrowser(self._port).get("/seconds").text) / COUNT

    def _respond(self, request: Request) -> int:
        headers = {name: value for name, value in request.headers if name.lower() != "content-length"}
        with closing(HTTPConnection(ADDRESS, self._target)) as connection:
            connection.request(request.method, request.url, request.body, headers)
            response = connection.getresponse()
            response.read()
            return response.status


@contextmanager
def _server(*arguments: str, port: int = 0, cwd: Path | None = None) -> Iterator[Terminal]:
    """A server in a process of its own."""
    options = ("--port", str(port), "--console-port", "0")
    terminal = Terminal(arguments[0], *options, *arguments[1:], cwd=cwd)
    try:
        yield terminal
    finally:
        terminal.end()
        terminal.close()
