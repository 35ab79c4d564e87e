"""What the queues guarantee in real time: `kill -9` loses no task, and attempts start at the rate of the queue."""

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from queue import Queue as Box

import pytest

from harness.appengine.clock import RealClock
from tests.support.live_queues import SECONDS, live_queues

SOAK = os.environ.get("HARNESS_SOAK")
SEED = Path(__file__).parents[1] / "applications" / "seed"
WORKERS = 8
KILLS = 20 if SOAK else 2  # of the daemon, and as many of the application
TASKS = 1_000 if SOAK else 100
BETWEEN = TASKS // (4 * KILLS)  # attempts between two kills, and a few more that start before the kill
FAST = "queue:\n- {name: default, rate: 500/s, bucket_size: 100}\n"
CONTROLLER = """
import os
import time

def add():
    from google.appengine.api import taskqueue
    for number in range(int(request.vars.count)):
        taskqueue.add(url=URL('work'), name='t%s' % number, countdown=2)  # so that all are added first

def work():
    name = request.env.http_x_appengine_taskname
    with open(os.path.join(request.folder, 'starts'), 'a') as starts:
        starts.write(name + '\\n')
    print('process', os.getpid(), 'works')
    time.sleep(0.02)  # so that most kills break off several attempts
    db.mytable.insert(old=name)
"""
SPEED = 1 if SOAK else 10  # of the clock
LATE = 0.1 * SPEED  # seconds of the clock that a start may be late
RATES = """
queue:
- {name: each-second, rate: 1/s, bucket_size: 1}
- {name: again, rate: 500/s, bucket_size: 100, retry_parameters: {min_backoff_seconds: 1, max_doublings: 2}}
"""


def test_kills_of_the_daemon_and_of_the_application_lose_no_task(terminal, tmp_path):
    """The kills alternate, so that the application doesn't count as one that crashes repeatedly."""
    app = tmp_path / "app"
    shutil.copytree(SEED, app)
    (app / "controllers" / "default.py").write_text(CONTROLLER)
    (app / "queue.yaml").write_text(FAST)
    serve = terminal("serve", "--workers", str(WORKERS), str(app))
    serve.get(f"/app/default/add?count={TASKS}")
    for _ in range(KILLS):
        serve.wait_for("works", BETWEEN)
        serve.process.kill()
        serve = terminal("serve", "--workers", str(WORKERS), str(app))
        line = serve.wait_for("works", BETWEEN)
        os.kill(int(line.split()[1]), signal.SIGKILL)
        serve.wait_for("the application crashed: it ended by itself")
        serve.wait_for("the application runs")
    serve.wait_until_done()
    starts = Counter((app / "starts").read_text().split())
    with closing(sqlite3.connect(app / "databases" / "storage.sqlite")) as connection:
        ended = {name for (name,) in connection.execute("select old from mytable")}
    names = {f"t{number}" for number in range(TASKS)}
    assert starts.keys() == ended == names
    assert starts.total() - TASKS <= 2 * KILLS * WORKERS


class Delays:
    """Measures in a thread, while its scope is open, how late this process is woken, for example on a busy machine.

    `longest` is in seconds of the clock.
    """

    def __init__(self):
        self.longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._measure)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def _measure(self):
        while not self._ended.is_set():
            began = time.monotonic()
            time.sleep(0.005)
            self.longest = max(self.longest, (time.monotonic() - began - 0.005) * SPEED)


@pytest.fixture
def live():
    with live_queues(RATES, clock=RealClock(SPEED)) as live:
        yield live


def test_a_rate_of_1_per_second_starts_a_task_each_second(live):
    clock, arrivals, tasks = live.engine.service.clock, Box(), 20
    live.handlers["/x"] = lambda request: arrivals.put(clock.timestamp) or 200
    with Delays() as delays:
        with live.engine.changing():
            for _ in range(tasks):
                live.add(queue="each-second")
        starts = [arrivals.get(timeout=SECONDS) for _ in range(tasks)]
    late = [start - starts[0] - number for number, start in enumerate(starts)]
    assert max(map(abs, late)) < LATE + delays.longest, late
    assert (starts[-1] - starts[0]) / (tasks - 1) == pytest.approx(1.0, abs=0.1)
    if SOAK:
        assert [after - before for before, after in zip(starts, starts[1:], strict=False)] == [
            pytest.approx(1.0, abs=0.1)
        ] * (tasks - 1)


def test_retries_start_after_1_2_and_4_seconds(live):
    clock, arrivals = live.engine.service.clock, []
    live.handlers["/x"] = lambda request: arrivals.append(clock.timestamp) or (500 if len(arrivals) < 4 else 200)
    live.add(queue="again")
    with Delays() as delays:
        attempts = [live.next_attempt() for _ in range(4)]
    latest = LATE + delays.longest
    for backoff, attempt, arrival, following in zip((1, 2, 4), attempts, arrivals, arrivals[1:], strict=False):
        planned = attempt.next_eta.timestamp()
        assert backoff < planned - arrival < backoff + latest
        assert planned <= following < planned + latest
