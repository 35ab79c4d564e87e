"""The queues in real time: what the console sees and does, stops and kills, the machine's clock, and memory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter

import pytest

from harness.appengine.clock import RealClock
from harness.errors import BadRequestError, DiskError, HarnessError, QueueConfigError
from harness.records import Outcome, Response
from harness.serve.engine import QueueEngine
from tests.support.live_queues import SECONDS, Gate, live_queues

HOUR = 3600.0
YAML = """
queue:
- name: mail
  rate: 500/s
  bucket_size: 100
  max_concurrent_requests: 2
  target: worker
  retry_parameters: {min_backoff_seconds: 100, max_backoff_seconds: 100}
- {name: held, rate: 0/s}
- {name: pull, mode: pull}
"""
SOAK = os.environ.get("HARNESS_SOAK")
TASKS = 100_000 if SOAK else 1_200
KILLS = 20 if SOAK else 2


@pytest.fixture
def live():
    with live_queues(YAML) as live:
        yield live


def queue_of(live, name):
    return next(queue for queue in live.engine.snapshot()["queues"] if queue["name"] == name)


def test_a_snapshot_describes_queues_tasks_and_attempts(live):
    engine, gate = live.engine, Gate()
    live.handlers["/slow"] = gate
    live.handlers["/fail"] = lambda request: Response(503, "No", (("X-Answer", "1"),), b"b\xe9" + b"x" * 5000)
    live.add("fails", "mail", url="/fail?a=1")
    live.next_attempt()
    live.add("runs", "mail", url="/slow")
    live.add("waits", "held", countdown=50)
    gate.arrived.get(timeout=SECONDS)
    engine.log.add_line(1, "first line")
    engine.log.set_ticket(1, "welcome/1.2.3")
    state = engine.snapshot()
    assert json.loads(json.dumps(state)) == state
    assert (state["changes"], abs(state["now"] - time.time()) < SECONDS) == (engine.changes, True)
    assert [queue["name"] for queue in state["queues"]] == ["default", "mail", "held", "pull"]
    mail, held, pull = state["queues"][1:]
    assert 97 < mail.pop("tokens") <= 100
    oldest = mail.pop("oldest_eta")
    assert mail == {
        **{"name": "mail", "mode": "push", "rate": 500.0, "bucket_size": 100, "max_concurrent": 2, "target": "worker"},
        **{"paused": False, "waiting": 1, "running": 1, "last_minute": 2},
    }
    assert (held["tokens"], held["waiting"], pull["mode"], pull["tokens"], pull["oldest_eta"]) == (
        5,
        1,
        "pull",
        None,
        None,
    )
    assert [(task["name"], task["state"]) for task in state["tasks"]] == [
        ("runs", "running"),
        ("waits", "waiting"),
        ("fails", "waiting"),
    ]
    assert oldest == state["tasks"][0]["eta"]
    failed = state["tasks"][2]
    assert (failed["queue"], failed["method"], failed["url"]) == ("mail", "POST", "/fail?a=1")
    assert (failed["retries"], failed["previous_status"]) == (1, 503)
    (attempt,) = state["attempts"]
    assert ["X-AppEngine-QueueName", "mail"] in attempt.pop("headers")
    assert failed["eta"] == attempt.pop("next_eta") > attempt.pop("started") + 100
    assert failed["created"] <= state["now"] and attempt.pop("elapsed") < SECONDS
    assert attempt.pop("body") == "b\ufffd" + "x" * 4094
    assert attempt == {
        **{"number": 1, "queue": "mail", "task": "fails", "method": "POST", "url": "/fail?a=1", "attempt": 1},
        **{"status": 503, "outcome": "retry", "note": "status 503", "response_headers": [["X-Answer", "1"]]},
        **{"ticket": "welcome/1.2.3", "log": ["first line"], "payload": "a=1"},
    }
    assert [running["number"] for running in engine.log.running()] == [2]
    assert [task["started"] for task in state["tasks"]] == [engine.log.running()[0]["started"], None, None]
    gate.open.set()
    live.next_attempt()
    assert [attempt["number"] for attempt in engine.snapshot()["attempts"]] == [1, 2]


def test_a_snapshot_has_at_most_200_tasks_the_earliest_first(live):
    for number in range(300):
        live.add(f"t{number}", ("held", "pull")[number % 2], countdown=1000 - number)
    tasks = live.engine.snapshot()["tasks"]
    assert [task["name"] for task in tasks] == [f"t{number}" for number in range(299, 99, -1)]


def test_a_note_contains_why_no_response_arrived():
    with live_queues("queue:\n- {name: once, retry_parameters: {task_retry_limit: 0}}\n") as live:
        live.handlers["/x"] = lambda request: Response(0, hint="no server listens at http://127.0.0.1:1")
        live.add(queue="once")
        live.next_attempt()
        (attempt,) = live.engine.snapshot()["attempts"]
    assert attempt["note"] == "no server listens at http://127.0.0.1:1; task_retry_limit 0 reached"


def test_the_application_gets_the_address_of_the_task_queue_and_the_number_of_the_attempt(live):
    live.add(queue="mail")
    live.add(url="http://127.0.0.1:1/hook")
    requests = {request.scheme: request for request in (live.requests.get(timeout=SECONDS) for _ in range(2))}
    assert requests[""].host == "worker.tutorial.appspot.com"
    assert requests[""].header("X-Appengine-User-Ip") == "0.1.0.2"
    assert requests[""].header("X-Harness-Attempt") == "1"
    assert requests["http"].header("X-Harness-Attempt") is None
    live.next_attempt()
    live.wait_until(lambda: len(live.engine.snapshot()["attempts"]) == 2)
    assert "X-Harness-Attempt" not in str(live.engine.snapshot()["attempts"])


def test_a_paused_queue_holds_its_tasks_until_it_is_resumed(live):
    live.engine.pause("mail")
    live.add("a", "mail")
    live.add("b")
    assert live.next_attempt().task.name == "b"
    assert queue_of(live, "mail")["paused"]
    live.engine.resume("mail")
    assert live.next_attempt().task.name == "a"


def test_no_attempt_starts_while_the_application_is_not_ready():
    ready = threading.Event()
    with live_queues(is_ready=ready.is_set) as live:
        live.add("first", countdown=-5)
        live.engine.run_now("default", "first")
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            live.engine.wake()
        assert live.requests.empty()
        ready.set()
        live.engine.wake()
        assert live.next_attempt().task.name == "first"


def test_tasks_are_purged_deleted_and_run_now(live):
    for name in ("a", "b", "c"):
        live.add(name, "held", countdown=HOUR)
    live.engine.run_now("held", "b")
    assert live.next_attempt().task.name == "b"
    live.engine.delete_task("held", "a")
    assert live.waiting("held") == ["c"]
    live.engine.purge("held")
    assert live.waiting("held") == []


def test_a_task_that_is_deleted_while_it_runs_ends_deleted(live):
    gate = live.handlers["/x"] = Gate()
    live.add("a")
    gate.arrived.get(timeout=SECONDS)
    with pytest.raises(BadRequestError, match="'a' is running already"):
        live.engine.run_now("default", "a")
    live.engine.delete_task("default", "a")
    assert live.engine.snapshot()["tasks"] == [] and queue_of(live, "default")["running"] == 0
    gate.open.set()
    assert live.next_attempt().outcome is Outcome.DELETED


@pytest.mark.parametrize(
    "action, part",
    [
        (lambda engine: engine.pause("mali"), "the queue 'mali' doesn't exist; did you mean 'mail'?"),
        (lambda engine: engine.resume("x"), "the queues are default, mail, held, pull"),
        (lambda engine: engine.purge(""), "the queue '' doesn't exist"),
        (lambda engine: engine.find_tasks("x", "", 1), "the queue 'x' doesn't exist"),
        (lambda engine: engine.run_now("mail", "x"), "the queue 'mail' has no task 'x'; it has ended"),
        (lambda engine: engine.delete_task("mail", "x"), "the queue 'mail' has no task 'x'; it has ended"),
        (lambda engine: engine.run_now("pull", "p"), "'pull' is a pull queue"),
    ],
)
def test_an_error_names_the_queue_or_the_task_that_does_not_exist(live, action, part):
    live.add("p", "pull")
    with pytest.raises(BadRequestError) as error:
        action(live.engine)
    assert part in str(error.value)


def test_tasks_are_found_by_name_and_url(live):
    for name, queue, url in (
        ("Anna", "held", "/a"),
        ("b", "held", "/send?to=anna"),
        ("anna2", "pull", "/a"),
        ("c", "held", "/c"),
    ):
        live.add(name, queue, url=url, countdown=10)

    def names(*query):
        return [task["name"] for task in live.engine.find_tasks(*query)]

    assert names(None, "ANNA", 10) == ["Anna", "b", "anna2"]
    assert names("held", "anna", 10) == ["Anna", "b"]
    assert names(None, "anna", 1) == ["Anna"]


def test_only_a_change_wakes_a_thread_that_waits_for_one(live):
    engine = live.engine
    counter = engine.changes
    engine.snapshot()
    engine.find_tasks(None, "", 1)
    assert engine.wait_for_change(counter, 0) == counter == engine.changes
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(engine.wait_for_change(counter, 10 * SECONDS)), daemon=True)
    waiter.start()
    live.add("a", "held")
    waiter.join(SECONDS)
    assert woken and woken[0] > counter
    for change in (
        lambda: engine.pause("mail"),
        lambda: engine.purge("held"),
        lambda: engine.set_queues(b"queue:\n- name: mail\n"),
        lambda: (live.add("b"), live.next_attempt()),
        lambda: engine.log.add_line(1, "text"),
        lambda: engine.log.set_ticket(1, "text"),
    ):
        counter = engine.changes
        change()
        assert engine.changes > counter


def test_a_new_queue_yaml_keeps_tasks_and_an_invalid_one_changes_nothing(live):
    live.add("a", "held")
    with pytest.raises(QueueConfigError, match="line 2"):
        live.engine.set_queues(b"queue:\n- nam: held\n")
    assert queue_of(live, "held")["rate"] == 0
    live.engine.set_queues(b"queue:\n- {name: held, rate: 10/s}\n")
    assert live.next_attempt().task.name == "a"


def test_log_lines_are_cut_and_those_of_unknown_attempts_are_ignored(live):
    live.add()
    live.next_attempt()
    log = live.engine.log
    log.add_line(99, "unknown")
    log.set_ticket(99, "unknown")
    log.add_line(1, "y" * 2000)
    for _ in range(100):
        log.add_line(1, "x" * 900)
    (attempt,) = live.engine.snapshot()["attempts"]
    assert attempt["log"] == ["y" * 1000 + "…", *["x" * 900] * 9, "… more lines were left out"]


@pytest.mark.row("T69")
def test_a_full_disk_is_explained_and_the_queues_still_work(live, tmp_path, monkeypatch):
    import sqlite3

    def fail(statements):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(live.engine._journal, "_execute", fail)
        with pytest.raises(DiskError, match="can't be written .database or disk is full., so new tasks"):
            live.engine.pause("mail")
        assert live.engine.problem
    live.add("a", "mail")
    assert live.next_attempt().task.name == "a" and not live.engine.problem


@pytest.mark.row("T68")
def test_a_stop_is_fast_and_tasks_that_were_running_run_again(tmp_path):
    state, gate = tmp_path / "state", Gate()
    with live_queues(state=state) as live:
        live.handlers["/x"] = gate
        live.add("a")
        live.add("b", countdown=HOUR)
        gate.arrived.get(timeout=SECONDS)
        began = time.monotonic()
        live.engine.stop()
        assert time.monotonic() - began < 1
        with live_queues(state=state) as again:
            gate.open.set()
            assert again.next_attempt().task.name == "a"
            assert again.waiting() == ["b"]
            assert live.ended.empty()  # the old attempt has changed nothing
        with pytest.raises(Exception, match="can't be written"):
            live.add("c")


def test_an_engine_that_was_never_started_can_be_stopped_and_frees_its_file(tmp_path):
    for _ in range(2):
        engine = QueueEngine(lambda *sent: Response(200), state=tmp_path / "state")
        with pytest.raises(BadRequestError, match="was started with --no-run"):
            engine.run_now("default", "task1")
        engine.stop()
        engine.stop()
    with pytest.raises(HarnessError, match="line 1"):
        QueueEngine(lambda *sent: Response(200), queue_yaml=b"quee:", state=tmp_path / "state")
    QueueEngine(lambda *sent: Response(200), state=tmp_path / "state").stop()


KILLED = """
import os, sys, time
from pathlib import Path
from tests.support.live_queues import LiveQueues
tasks = int(sys.argv[2])
def work(request):
    os.write(1, request.header("X-AppEngine-TaskName").encode() + b"\\n")
    time.sleep(0.01)
    return 200
yaml = "queue:\\n- {name: fast, rate: 500/s, bucket_size: 500}\\n"
live = LiveQueues(yaml, state=Path(sys.argv[1]), workers=4)
live.handlers["/x"] = work
live.engine.start()
for number in range(tasks):
    live.add(f"t{number}", "fast")
os.write(1, b"added\\n")
live.wait_until(lambda: not len(live.engine.service.queues["fast"]))
os.write(1, b"finished\\n")
"""


@pytest.mark.row("T68")
def test_a_kill_loses_no_task_and_repeats_at_most_those_in_flight(tmp_path):
    runs, tasks = [], 300
    for number in range(KILLS + 1):
        command = [sys.executable, "-c", KILLED, tmp_path / "state", str(0 if number else tasks)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines, count = [], 0
            for line in process.stdout:
                lines.append(line.strip())
                count += "added" in lines
                if count > tasks // KILLS // 2 and number < KILLS:
                    process.send_signal(signal.SIGKILL)
                    break
            lines += process.stdout.read().split()
        assert ("finished" in lines) is (number == KILLS)
        runs += [line for line in lines if line.startswith("t")]
    counts = Counter(runs)
    assert len(counts) == tasks
    assert sum(counts.values()) - tasks <= 4 * KILLS


class AdjustedClock(RealClock):
    """A clock that the test sets forward and back."""

    ahead = 0.0

    @property
    def timestamp(self):
        return time.time() + self.ahead


@pytest.mark.row("T70")
def test_a_clock_that_jumps_loses_no_task_and_keeps_no_processor_busy(monkeypatch):
    clock, rounds = AdjustedClock(), []
    yaml = """
queue:
- {name: slow, rate: 2/s, bucket_size: 1}
- {name: again, retry_parameters: {min_backoff_seconds: 0.5}}
- {name: later, rate: 500/s}
- {name: pull, mode: pull}
"""
    with live_queues(yaml, clock=clock) as live:
        loop, follow = live.engine.dispatcher, live.engine.dispatcher._follow_clock
        monkeypatch.setattr(loop, "_follow_clock", lambda now: (rounds.append(1), follow(now)))
        live.handlers["/fail"] = lambda request: 500 if request.header("X-AppEngine-TaskRetryCount") == "0" else 200
        live.add("retried", "again", url="/fail")
        live.add("leased", "pull")
        for name in ("first", "second"):
            live.add(name, "slow")
        live.add("hour", "later", countdown=1800)
        gate = live.handlers["/during"] = Gate(500)
        live.add("during", "again", url="/during")
        gate.arrived.get(timeout=SECONDS)
        assert {live.next_attempt().task.name for _ in range(2)} == {"retried", "first"}
        clock.ahead = -HOUR
        assert {live.next_attempt().task.name for _ in range(2)} == {"retried", "second"}
        gate.open.set()
        assert [live.next_attempt().task.retries for _ in range(2)] == [0, 1]
        live.engine.purge("again")
        assert live.waiting("later") == ["hour"]
        with live.engine.changing():
            (leased,) = live.engine.service.queues["pull"].lease(1, 60, clock.timestamp, False, None)
        assert leased.name == "leased"
        clock.ahead = 0.0
        live.add("now", "later")
        assert live.next_attempt().task.name == "now"
        clock.ahead = HOUR
        assert live.next_attempt().task.name == "hour"
    assert len(rounds) < 100


class ShakyClock(RealClock):
    """A clock that goes back a little at each reading."""

    behind = 0.0

    @property
    def timestamp(self):
        self.behind += 0.0001
        return time.time() - self.behind


def test_a_clock_that_goes_back_between_two_readings_keeps_no_processor_busy(monkeypatch):
    rounds, errors = [], []
    yaml = "queue:\n- {name: fast, rate: 500/s, bucket_size: 100}\n"
    with live_queues(yaml, clock=ShakyClock(), on_error=errors.append) as live:
        loop, follow = live.engine.dispatcher, live.engine.dispatcher._follow_clock
        monkeypatch.setattr(loop, "_follow_clock", lambda now: (rounds.append(1), follow(now)))
        for _ in range(50):
            live.add(queue="fast")
        assert len([live.next_attempt() for _ in range(50)]) == 50
    assert (len(rounds) < 20_000, errors) == (True, [])  # a loop that only spins makes far more rounds


@pytest.mark.row("T66")
def test_at_most_as_many_attempts_run_as_there_are_workers():
    yaml = "queue:\n- {name: a, rate: 500/s, bucket_size: 100}\n- {name: b, rate: 500/s, bucket_size: 100}\n"
    with live_queues(yaml, workers=3) as live:
        gate = live.handlers["/x"] = Gate()
        with live.engine.changing():
            for number in range(8):
                live.add(queue="ab"[number % 2])
        gate.arrived.get(timeout=SECONDS)
        running = sum(queue["running"] for queue in live.engine.snapshot()["queues"])  # the loop waits now
        gate.open.set()
        assert running == 3
        assert {live.next_attempt().status for _ in range(8)} == {200}


def test_the_threads_of_attempts_are_used_again(live):
    threads = set()
    live.handlers["/x"] = lambda request: threads.add(threading.get_ident()) or 200
    for _ in range(50):
        live.add(queue="mail")
        live.next_attempt()
    assert len(threads) <= 2


def test_memory_does_not_grow():
    """This test counts only what Python allocates. SQLite's page cache has a limit of its own."""
    queues = "".join(f"- {{name: q{number}, rate: 500/s, bucket_size: 500}}\n" for number in range(8))
    with live_queues(f"queue:\n{queues}", kept=50) as live:

        def run(tasks):
            for begin in range(0, tasks, 400):
                for number in range(begin, begin + 400):
                    live.add(queue=f"q{number % 8}", url=f"/x?{number}")
                for _ in range(400):
                    live.next_attempt()
                    live.requests.get()

        tracemalloc.start()
        run(max(800, TASKS // 2))  # in the soak, more than a queue executes in the minute that it counts
        before, _ = tracemalloc.get_traced_memory()
        run(TASKS)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(live.engine.snapshot()["attempts"]) == 50
        service = live.engine.service
        assert not service.history and not service.chosen_names and not live.engine.dispatcher.attempts
    assert after - before < 300_000
