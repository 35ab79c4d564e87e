"""One dispatched task against one bare `wsgibase` POST of the same handler, in web2py's default settings."""

from __future__ import annotations

import sys
from typing import Any

from harness import Lab
from harness.records import Request
from harness.wsgi import Environ, to_environ
from tests.bench.measure import Row, collector_at_rest, in_turns, timed

COUNT = 200
CONTROLLER = """
def add():
    from google.appengine.api import taskqueue
    for number in range(int(request.vars.count)):
        taskqueue.add(url=URL(request.vars.worker), params=dict(old='original text', new='new text'))
    return 'added'

def insert():
    db.mytable.insert(old=request.vars['old'], new=request.vars['new'])
    return 'done'

def trivial():
    return 'done'
"""


def rows() -> list[Row]:
    """Compare for a worker that inserts a row, and for one that does nothing."""
    found = []
    for worker in ("insert", "trivial"):
        with Lab(queue_yaml="queue:\n- name: default\n  rate: 500/s\n  bucket_size: 100\n") as lab:
            lab.write("controllers/default.py", CONTROLLER)
            with collector_at_rest():
                seconds = in_turns(
                    {
                        "dispatched": lambda: dispatched(lab, worker),  # noqa: B023  # called before the next round
                        "bare": lambda: bare(lab, worker),  # noqa: B023
                    }
                )
        ratio = seconds["dispatched"] / seconds["bare"]
        note = f"{seconds['dispatched'] * 1e3:.2f} ms against {seconds['bare'] * 1e3:.2f} ms"
        found.append(Row("dispatch", f"task / bare wsgibase, worker {worker}", ratio, "ratio", 0.8, note))
    return found


def dispatched(lab: Lab, worker: str) -> float:
    """Return the seconds per task of a run; adding the tasks does not count."""
    lab.get("default/add", count=COUNT, worker=worker)
    seconds = timed(lab.run, COUNT)
    assert all(attempt.ok for attempt in lab.attempts[-COUNT:])
    return seconds


def bare(lab: Lab, worker: str) -> float:
    """Return the seconds per call of web2py itself, on the same application, with nothing of ours around it."""
    body = b"old=original+text&new=new+text"
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    request = Request("POST", f"/tutorial/default/{worker}", headers, body)
    return timed(lambda: [call_bare(lab, to_environ(request)) for _ in range(COUNT)], COUNT)


def call_bare(lab: Lab, environ: Environ) -> int:
    """Call `gluon.main.wsgibase` as a web server does; return the status."""
    gluon = sys.modules["gluon.main"]
    gluon.global_settings.applications_parent = str(lab._appengine.site.root)
    statuses: list[int] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        statuses.append(int(status[:3]))

    list(gluon.wsgibase(environ, start_response))
    if statuses != [200]:
        raise RuntimeError(f"bare web2py answered {statuses}")
    return statuses[0]
