"""Tasks per second, from the first attempt to the last row: ours, Google's stub with its own thread, gluon.scheduler.

All run the same insert into SQLite through web2py. The rivals really wait; we do not, so the figure says what a learner
gains, not that they are slow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.appengine.api import apiproxy_stub_map, taskqueue
from google.appengine.api.taskqueue import taskqueue_stub

from harness import Lab
from harness.appengine.wsgi import Environ, to_environ
from harness.records import Request
from tests.bench.dispatch import CONTROLLER, COUNT
from tests.bench.measure import Row, in_turns, timed

_ROOT = Path(__file__).parents[2]
_ROUNDS = 5
_PARAMS = {"old": "original text", "new": "new text"}
_QUEUE_YAML = "queue:\n- name: default\n  rate: 500/s\n  bucket_size: 100\n"


def rows() -> list[Row]:
    """Measure all three; gluon.scheduler once, because it takes its time."""
    seconds = in_turns({"ours": _ours, "stub": _stub}, _ROUNDS)
    found = [
        Row("rivals", "ours", 1 / seconds["ours"], "tasks/s"),
        Row("rivals", "Google's stub with its scheduler thread", 1 / seconds["stub"], "tasks/s"),
    ]
    rate, note = _scheduler()
    return [*found, Row("rivals", "gluon.scheduler, one worker, SQLite", rate, "tasks/s", note=note)]


def _lab() -> Lab:
    lab = Lab(queue_yaml=_QUEUE_YAML)
    lab.write("controllers/default.py", CONTROLLER)
    return lab


def _ours() -> float:
    with _lab() as lab:
        lab.get("default/add", count=COUNT, worker="insert")
        seconds = timed(lab.run, COUNT)
        assert len(lab.table("mytable")) == COUNT
    return seconds


def _stub() -> float:
    """Let Google's stub dispatch to bare web2py, in its own thread."""
    with _lab() as lab:
        lab.get("default/trivial")
        seconds = time_stub(lambda request: _call_bare(lab, to_environ(request)), "/tutorial/default/insert", COUNT)
        assert len(lab.table("mytable")) == COUNT
    return seconds


def time_stub(respond: Callable[[Request], int], url: str, count: int) -> float:
    """Return the seconds per task of Google's stub with its own thread; adding the tasks doesn't count.

    Args:
        respond: handles a request, and returns the status.
        url: the tasks' URL.
        count: the number of tasks.
    """
    stub = taskqueue_stub.TaskQueueServiceStub(auto_task_running=True, request_data=_WebServer(respond))
    before = apiproxy_stub_map.apiproxy.GetStub("taskqueue")
    apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", stub)
    try:
        for _ in range(count):  # at a lab's time, which is in the past for the stub, or now, so they are due
            taskqueue.add(url=url, params=_PARAMS)
        return timed(lambda: _run_stub(stub), count)
    finally:
        stub.Shutdown()
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", before)


def _run_stub(stub: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the stub (SDK 3.1.0) calls Thread.setDaemon
        stub.StartBackgroundExecution()
    queue = stub._GetGroup().GetQueue("default")
    while queue.Oldest() is not None:
        time.sleep(0.001)


class _WebServer:
    """What Google's stub takes for the development server."""

    def __init__(self, respond: Callable[[Request], int]) -> None:
        self._respond = respond

    def get_dispatcher(self) -> _WebServer:
        return self

    def get_module(self, request_id: object) -> str:
        return "default"

    def get_version(self, request_id: object) -> str:
        return "1"

    def add_request(
        self, method: str, relative_url: str, headers: Any, body: bytes, source_ip: str, **rest: object
    ) -> Any:
        pairs = tuple((name, value) for name, value in headers if value is not None)
        request = Request(method, relative_url, pairs, body, remote_addr=source_ip)
        return SimpleNamespace(status=f"{self._respond(request)} OK")


def _call_bare(lab: Lab, environ: Environ) -> int:
    """Call `gluon.main.wsgibase` as a web server does; return the status."""
    gluon = sys.modules["gluon.main"]
    gluon.global_settings.applications_parent = str(lab._engine.site.root)
    statuses: list[int] = []
    list(gluon.wsgibase(environ, lambda status, headers, exc_info=None: statuses.append(int(status[:3]))))
    if statuses != [200]:
        raise RuntimeError(f"bare web2py answered {statuses}")
    return statuses[0]


def _scheduler() -> tuple[float, str]:
    """Run web2py's scheduler in a process of its own, as it wants to be run."""
    program = [sys.executable, "-m", "tests.bench.scheduler"]
    run = subprocess.run(program, cwd=_ROOT, capture_output=True, text=True, timeout=300)
    if run.returncode:
        return 0.0, f"not run: {run.stderr.splitlines()[-1]}"
    answer = json.loads(run.stdout.splitlines()[-1])
    return answer["tasks"] / answer["seconds"], f"{answer['tasks']} tasks"
