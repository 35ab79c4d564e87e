"""One dispatched task against one bare `wsgibase` POST of the same handler, in web2py's default settings.

Those settings make SQLite wait for the disk and collect garbage after every hundredth request; a lab spares both.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Lab
from tests.bench.measure import Row, collector_at_rest, in_turns, timed

COUNT = 200
GOALS = {"insert": 0.8, "trivial": 1.0}  # a lab spares the disk and web2py's collector, but not the rest of web2py
_ROOT = Path(__file__).parents[2]
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
    """Compare for a worker that inserts a row, as the seed's does, and for one that does nothing."""
    found = []
    for worker in GOALS:
        with Lab(queue_yaml="queue:\n- name: default\n  rate: 500/s\n  bucket_size: 100\n") as lab:
            lab.write("controllers/default.py", CONTROLLER)
            dispatched(lab, worker)  # the tables are made before another process sees them
            with bare(lab, worker) as post, collector_at_rest():
                seconds = in_turns(
                    {
                        "dispatched": lambda: dispatched(lab, worker),  # noqa: B023
                        "bare": lambda: post("on"),  # noqa: B023
                        "spared": lambda: post("off"),  # noqa: B023
                    }
                )
        found += _compare(worker, seconds)
    return found


def _compare(worker: str, seconds: dict[str, float]) -> Iterator[Row]:
    """Yield our share of the bare call, and how little web2py alone can need: without its collector, and without us."""
    bare = seconds["bare"]
    note = f"{seconds['dispatched'] * 1e3:.2f} ms against {bare * 1e3:.2f} ms"
    name, goal = f"task / bare wsgibase, worker {worker}", GOALS[worker]
    yield Row("dispatch", name, seconds["dispatched"] / bare, "ratio", goal, note)
    yield Row("dispatch", f"bare without its collector / bare, worker {worker}", seconds["spared"] / bare, "ratio")


def dispatched(lab: Lab, worker: str) -> float:
    """Return the seconds per task of a run; adding the tasks does not count."""
    lab.get("default/add", count=COUNT, worker=worker)
    seconds = timed(lab.run, COUNT)
    assert all(attempt.ok for attempt in lab.attempts[-COUNT:])
    return seconds


@contextmanager
def bare(lab: Lab, worker: str) -> Iterator[Callable[[str], float]]:
    """Yield what returns the seconds per POST of web2py itself, in a process without us, on the same application."""
    program = [sys.executable, "-m", "tests.bench.bare", str(lab._engine.site.root)]
    with subprocess.Popen(program, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, answered = process.stdin, process.stdout

        def post(collector: str) -> float:
            asked.write(f"/tutorial/default/{worker} old=original+text&new=new+text {COUNT} {collector}\n")
            asked.flush()
            return float(answered.readline())

        yield post
        asked.close()
