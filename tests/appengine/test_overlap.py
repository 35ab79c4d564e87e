"""`Lab.overlap` and `Lab(overlap=True)`: requests that run in turn, and instances that are shut down."""

import gc
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from greenlet import greenlet

from harness import Lab
from harness.errors import BadRequestError, BadValueError, UnknownTaskError
from harness.records import Attempt, Outcome, Overlap, Request, TaskInfo
from tests.support.labs import ADD, write

ROOT = Path(__file__).parents[2]
MODEL = """
db = DAL('sqlite://storage.sqlite')
db.define_table('counter', Field('n', 'integer'))
db.define_table('card', Field('title'))
db.define_table('star', Field('title', unique=True))
"""
ACTIONS = {
    "make": "return str(int(db.counter.insert(n=0)))",
    "ask": f"{ADD}for number in range(int(request.vars.n or 1)):\n"
    "    taskqueue.add(url=URL(request.vars.worker or 'bump'))\nreturn 'added'",
    "bump": "row = db(db.counter.id == 1).select().first()\nrow.update_record(n=row.n + 1)\nreturn 'ok'",
    "add_card": "if db(db.card.title == 'one').isempty():\n    db.card.insert(title='one')\nreturn 'ok'",
    "add_star": "if db(db.star.title == 'one').isempty():\n    db.star.insert(title='one')\nreturn 'ok'",
    "upsert": "db.card.update_or_insert(db.card.title == 'one', title='one')\nreturn 'ok'",
    "order": f"{ADD}id = int(db.card.insert(title='order'))\n"
    "taskqueue.add(url=URL('ship'), params=dict(id=id))\nreturn 'ordered'",
    "ship": "return 'shipped' if db.card(request.vars.id) else fail()",
    "fails": "db.card.insert(title='one')\nfail()",
    "slow": "import time\ndb.counter(1).update_record(n=5)\ntime.sleep(float(request.vars.s or 10))\nreturn 'slow'",
    "spin": "db.counter(1).update_record(n=5)\nwhile True:\n    pass",
    "once": f"{ADD}db.card.insert(title='one')\ndb.commit()\ntaskqueue.add(url=URL('ship'), params=dict(id=1))\n"
    "return 'ok'",
    "careful": "try:\n    db.card.insert(title='one')\n    db.counter(1)\nfinally:\n    print('finally')\nreturn 'ok'",
    "deferred": "db.executesql('BEGIN')\nrow = db.counter(1)\nrow.update_record(n=row.n + 1)\nreturn 'ok'",
    "locking": "db.executesql('BEGIN IMMEDIATE')\nrow = db.counter(1)\nrow.update_record(n=row.n + 1)\nreturn 'ok'",
}


def make_lab(**options: object) -> Lab:
    lab = Lab(**options)
    lab.write("models/db.py", MODEL)
    write(lab, ACTIONS)
    assert lab.get("default/make").text == "1"
    return lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with make_lab() as lab:
        yield lab


def ask(lab: Lab, worker: str) -> TaskInfo:
    """Add a task for a worker, and return it."""
    assert lab.get("default/ask", worker=worker).ok
    return lab.tasks()[-1]


def twice(lab: Lab, worker: str, order: str = "12", **options: object) -> Overlap:
    """Let two deliveries of a new task overlap."""
    task = ask(lab, worker)
    return lab.overlap(task, task, order=order, **options)


def count(lab: Lab) -> int:
    return lab.table("counter")[0]["n"]


def whose(overlap: Overlap) -> str:
    """Return who took each turn ("1212")."""
    return "".join(str(turn.request) for turn in overlap.turns)


def verbs(overlap: Overlap) -> list[str]:
    return [f"{turn.request} {turn.statement.split()[0]}" for turn in overlap.turns]


# What overlapping deliveries do


@pytest.mark.row("T45")
def test_two_deliveries_that_overlap_lose_an_update(lab):
    overlap = twice(lab, "bump")
    assert verbs(overlap) == ["1 SELECT", "2 SELECT", "1 UPDATE", "1 COMMIT", "2 UPDATE", "2 COMMIT"]
    assert count(lab) == 1


@pytest.mark.row("T45")
def test_a_row_is_inserted_twice_after_isempty(lab):
    twice(lab, "add_card")
    assert [row["title"] for row in lab.table("card")] == ["one", "one"]


@pytest.mark.row("T45")
def test_update_or_insert_inserts_twice(lab):
    twice(lab, "upsert")
    assert [row["title"] for row in lab.table("card")] == ["one", "one"]


@pytest.mark.row("T45")
def test_a_unique_index_refuses_the_second_insert(lab):
    overlap = twice(lab, "add_star")
    assert [row["title"] for row in lab.table("star")] == ["one"]
    assert isinstance(overlap.second, Attempt)
    assert (overlap.first.status, overlap.second.status) == (200, 500)
    assert overlap.second.response.ticket.exception == "IntegrityError"
    assert overlap.turns[-2].result == "waited for a lock, then IntegrityError: UNIQUE constraint failed: star.title"
    assert (overlap.second.outcome, list(lab.tasks())) == (Outcome.DONE, [])


def test_deliveries_that_do_not_overlap_lose_nothing(lab):
    assert whose(twice(lab, "bump", order="1")) == "111222"
    assert count(lab) == 2


def test_a_lock_that_is_taken_before_reading_makes_the_second_delivery_wait(lab):
    overlap = twice(lab, "locking")
    assert verbs(overlap)[:4] == ["1 BEGIN", "1 SELECT", "1 UPDATE", "1 COMMIT"]
    assert (overlap.turns[4].statement, overlap.turns[4].result) == ("BEGIN IMMEDIATE", "waited for a lock")
    assert count(lab) == 2


def test_a_task_and_a_users_request_overlap(lab):
    overlap = lab.overlap(ask(lab, "bump"), "default/bump", order="12")
    assert (overlap.first.status, overlap.second.status, count(lab)) == (200, 200, 1)
    assert lab.responses[-1] is overlap.second
    assert [attempt.number for attempt in lab.attempts] == [1]


def test_two_different_tasks_overlap(lab):
    first, second = ask(lab, "bump"), ask(lab, "slow")
    overlap = lab.overlap(second, first, order="21")
    assert (overlap.first.task.name, overlap.second.task.name) == ("task2", "task1")
    assert list(lab.tasks()) == []


def test_a_users_post_is_given_as_a_request(lab):
    write(lab, {"rate": "db.counter(1).update_record(n=int(request.post_vars.n))\nreturn 'rated'"})
    form = (("Content-Type", "application/x-www-form-urlencoded"), ("X-AppEngine-QueueName", "default"))
    overlap = lab.overlap(Request("POST", "/tutorial/default/rate", form, b"n=7"))
    assert (overlap.first.text, overlap.second, count(lab)) == ("rated", None, 7)
    assert overlap.first.request.header("X-AppEngine-QueueName") is None


# A task that starts as soon as it is added


@pytest.mark.row("T45")
def test_a_task_may_run_before_the_row_that_it_is_about_is_committed(lab):
    overlap = lab.overlap("default/order", order="1122")
    assert verbs(overlap) == ["1 INSERT", "1 taskqueue.add", "2 SELECT", "1 COMMIT"]
    assert (overlap.first.text, overlap.second.status, overlap.second.outcome) == ("ordered", 500, Outcome.RETRY)
    assert [attempt.status for attempt in lab.run()] == [200]


def test_a_task_that_is_added_after_the_commit_finds_its_row(lab):
    overlap = lab.overlap("default/once", order="12")
    assert verbs(overlap) == ["1 INSERT", "1 COMMIT", "1 taskqueue.add", "2 SELECT"]
    assert overlap.second.response.text == "shipped"


def test_a_request_that_adds_no_task_runs_alone(lab):
    overlap = lab.overlap("default/bump")
    assert (overlap.second, whose(overlap), count(lab)) == (None, "111", 1)


def test_a_task_that_adds_a_task_overlaps_with_it(lab):
    overlap = lab.overlap(ask(lab, "order"), order="1")
    assert [attempt.task.name for attempt in lab.attempts] == ["task1", "task2"]
    assert (overlap.first.outcome, overlap.second.outcome) == (Outcome.DONE, Outcome.DONE)


# Instances that are shut down


@pytest.mark.row("T46")
@pytest.mark.parametrize("events", [0, 1, 2])
def test_a_kill_before_the_commit_leaves_nothing_and_the_retry_completes(lab, events):
    ask(lab, "bump")
    attempt = lab.step(kill_after=events)
    assert (attempt.status, attempt.response.killed, attempt.outcome, count(lab)) == (0, True, Outcome.RETRY, 0)
    assert len(attempt.response.turns) == len(attempt.response.sql) == events
    (retry,) = lab.run()
    assert (retry.outcome, count(lab)) == (Outcome.DONE, 1)


@pytest.mark.row("T46")
@pytest.mark.parametrize("events", [3, 9])
def test_a_kill_after_the_commit_repeats_the_work(lab, events):
    ask(lab, "bump")
    assert (lab.step(kill_after=events).status, count(lab)) == (0, 1)
    assert ([attempt.outcome for attempt in lab.run()], count(lab)) == ([Outcome.DONE], 2)


@pytest.mark.row("T46")
def test_the_retry_after_a_kill_has_the_headers_of_a_missing_response(lab):
    ask(lab, "bump")
    lab.step(kill_after=1)
    request = lab.step().request
    names = ("RetryCount", "ExecutionCount", "PreviousResponse", "RetryReason")
    values = [request.header(f"X-AppEngine-Task{name}") for name in names]
    assert values == ["1", "0", "0", "Instance Unavailable"]


def test_a_kill_between_commit_and_add_leaves_a_row_without_a_task(lab):
    overlap = lab.overlap("default/once", kill_after={1: 2})
    assert (overlap.first.killed, overlap.first.status, overlap.second) == (True, 0, None)
    assert (len(lab.table("card")), list(lab.tasks())) == (1, [])


def test_a_kill_between_add_and_commit_leaves_a_task_without_a_row(lab):
    overlap = lab.overlap("default/order", order="1", kill_after={1: 2})
    assert (overlap.second.status, len(lab.table("card"))) == (500, 0)


def test_the_code_of_a_killed_request_does_not_run_on(lab):
    ask(lab, "careful")
    response = lab.step(kill_after=1).response
    assert (response.output, response.ticket, len(lab.table("card"))) == ("", None, 0)
    gc.collect()
    assert "finally" not in "".join(attempt.response.output for attempt in lab.attempts)
    assert lab.step().response.output == "finally\n"


def test_a_killed_request_releases_its_locks_at_once(lab):
    overlap = twice(lab, "bump", order="1122", kill_after={1: 2})
    assert (overlap.first.response.killed, overlap.second.ok, overlap.second.elapsed) == (True, True, 0)
    assert (count(lab), [attempt.outcome for attempt in lab.run()]) == (1, [])


# Both deliveries of one task


def test_a_success_of_either_delivery_completes_the_task(lab):
    overlap = twice(lab, "bump", kill_after={1: 1})
    assert (overlap.first.outcome, overlap.second.outcome) == (Outcome.RETRY, Outcome.DONE)
    assert (list(lab.tasks()), list(lab.run()), lab.trace("task1").task.state) == ([], [], "done")


def test_two_failures_lead_to_one_retry(lab):
    overlap = twice(lab, "fails")
    assert [overlap.first.note, overlap.second.note] == ["status 500", "status 500; the retry is already waiting"]
    assert overlap.first.next_eta == overlap.second.next_eta
    assert [task.retries for task in lab.tasks()] == [1]


def test_a_task_that_both_deliveries_fail_may_be_dropped():
    with make_lab(queue_yaml="queue:\n- name: default\n  retry_parameters:\n    task_retry_limit: 0\n") as lab:
        overlap = twice(lab, "fails")
        assert [overlap.first.outcome, overlap.second.outcome] == [Outcome.DROPPED, Outcome.DROPPED]
        assert lab.trace("task1").task.state == "dropped"


def test_an_exception_in_one_request_leaves_the_other_alone(lab):
    overlap = lab.overlap(ask(lab, "fails"), "default/bump", order="12")
    assert (overlap.first.response.ticket.exception, overlap.second.text) == ("NameError", "ok")
    assert (count(lab), len(lab.table("card"))) == (1, 0)


# Locks and time


@pytest.mark.row("T45")
def test_a_lock_that_is_held_for_too_long_is_a_failure_that_the_queue_retries(lab):
    first, second = ask(lab, "slow"), ask(lab, "bump")
    overlap = lab.overlap(first, second, order="1112")
    assert overlap.second.response.ticket.exception == "OperationalError"
    assert "database is locked" in overlap.second.response.ticket.message
    assert (overlap.first.elapsed, overlap.second.elapsed, overlap.second.outcome) == (10, 5, Outcome.RETRY)
    assert [attempt.outcome for attempt in lab.run()] == [Outcome.DONE]
    assert count(lab) == 6


def test_a_reader_that_wants_to_write_fails_at_once(lab):
    overlap = twice(lab, "deferred")
    assert [overlap.first.status, overlap.second.status] == [200, 500]
    assert "database is locked" in overlap.second.response.ticket.message
    assert (overlap.second.elapsed, count(lab)) == (0, 1)


def test_a_request_that_sleeps_lets_the_others_run(lab):
    write(lab, {**ACTIONS, "nap": "import time\ntime.sleep(2)\nreturn request.now.isoformat()"})
    overlap = lab.overlap("default/nap", "default/bump")
    assert (overlap.first.elapsed, overlap.second.elapsed) == (2, 0)
    assert (lab.now - overlap.first.started).total_seconds() == 2


def test_the_deadline_holds_for_each_request(lab):
    write(lab, {**ACTIONS, "nap": "import time\ntime.sleep(3600)"})
    overlap = lab.overlap("default/nap", ask(lab, "bump"))
    assert (overlap.first.deadline, overlap.first.elapsed) == ("virtual", 600)
    assert (overlap.second.ok, overlap.second.elapsed) == (True, 0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signal")
def test_an_endless_loop_is_stopped_and_the_other_request_completes(lab):
    lab._engine.server.real_seconds = 0.3
    overlap = lab.overlap(ask(lab, "spin"), "default/bump", order="1112")
    assert (overlap.first.response.deadline, overlap.first.outcome) == ("real", Outcome.RETRY)
    assert (overlap.second.text, overlap.second.deadline, count(lab)) == ("ok", None, 1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signal")
def test_an_endless_loop_of_long_statements_is_stopped(lab):
    lab._engine.server.real_seconds = 0.3
    count_up = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400000) SELECT max(n) FROM c"
    write(lab, {**ACTIONS, "long": f"for number in range(60):\n    db.executesql('{count_up}')\nreturn 'ended'"})
    response = lab.overlap("default/long", "default/bump").first
    assert (response.status, response.deadline) == (500, "real")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signal")
@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n    db.counter(1)",
        "while True:\n    try:\n        db.counter(1)\n    except:\n        pass",
        "import time\nwhile True:\n    time.sleep(0)",
        f"{ADD}while True:\n    taskqueue.add(url='/x')",
    ],
)
def test_an_endless_loop_of_turns_is_stopped(lab, loop):
    lab._engine.server.real_seconds = 0.5
    write(lab, {**ACTIONS, "loops": f"db.counter(1).update_record(n=9)\n{loop}"})
    overlap = lab.overlap("default/loops", "default/make", order="1112")
    assert (overlap.first.status, overlap.first.deadline, overlap.second.text) == (500, "real", "2")
    assert count(lab) == 0


def test_ctrl_c_stops_both_and_the_task_stays(lab):
    write(lab, {**ACTIONS, "broken": "import signal\ndb.counter(1).update_record(n=9)\nsignal.raise_signal(2)\nfail()"})
    task = ask(lab, "broken")
    with pytest.raises(KeyboardInterrupt):
        lab.overlap(task, "default/bump", order="1112")
    assert (count(lab), [each.name for each in lab.tasks()], list(lab.attempts)) == (0, ["task1"], [])
    assert lab.overlap(ask(lab, "bump"), "default/bump", order="1").second.ok
    assert count(lab) == 2


# Handlers that do unusual things


def test_a_deferred_function_takes_turns_and_its_output_is_kept(lab):
    lab.write("modules/jobs.py", "import time\ndef job():\n    print('one')\n    time.sleep(1)\n    print('two')\n")
    lab.write(
        "controllers/later.py",
        "from google.appengine.ext import deferred\nfrom applications.tutorial.modules.jobs import job\n"
        "def index():\n    deferred.defer(job)\n    return ''\n",
    )
    lab.get("later/index")
    overlap = lab.overlap(lab.tasks()[0], "default/bump")
    assert (overlap.first.status, overlap.first.response.output, overlap.first.elapsed) == (200, "one\ntwo\n", 1)
    assert (overlap.second.text, overlap.second.output) == ("ok", "")


def test_the_output_of_each_request_is_its_own(lab):
    write(lab, {**ACTIONS, "says": "for word in request.args:\n    print(word)\n    db.counter(1)\nreturn ''"})
    overlap = lab.overlap("default/says/a/b", "default/says/c/d", order="12")
    assert (overlap.first.output, overlap.second.output) == ("a\nb\n", "c\nd\n")


def test_a_redirected_output_stays_redirected_when_the_request_continues(lab):
    body = "import io, contextlib\nfile = io.StringIO()\nwith contextlib.redirect_stdout(file):\n    print(1)\n"
    body += "    db.counter(1)\n    print(2)\nreturn file.getvalue()"
    write(lab, {**ACTIONS, "redirects": body})
    assert lab.overlap("default/redirects", "default/redirects", order="12").first.text == "1\n2\n"


def test_an_endless_recursion_in_one_request_leaves_the_other_alone(lab):
    write(lab, {**ACTIONS, "recurse": "db.counter(1)\ndef f(): f()\nf()"})
    overlap = lab.overlap("default/recurse", "default/bump", order="12")
    assert (overlap.first.ticket.exception, overlap.second.text) == ("RecursionError", "ok")


def test_a_thread_of_a_library_takes_no_turns(lab, monkeypatch):
    def run(work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    monkeypatch.setitem(sys.modules, "some_library", SimpleNamespace(run=run))
    body = "import some_library\nfound = []\ndef work():\n"
    body += "    other = DAL('sqlite://other.sqlite', folder=request.folder)\n"
    body += "    found.append(other.executesql('SELECT 7')[0][0])\n    other.close()\n"
    body += "some_library.run(work)\nreturn str(found)"
    write(lab, {**ACTIONS, "threads": body})
    assert lab.overlap("default/threads", "default/bump").first.text == "[7]"


def test_a_handler_with_very_many_statements_is_recorded_in_part(lab):
    write(lab, {**ACTIONS, "many": "for number in range(300):\n    db.executesql('SELECT 1')\nreturn 'ok'"})
    response = lab.overlap("default/many").first
    assert (response.text, len(response.turns), len(response.sql)) == ("ok", 200, 201)


# By seed


def history(seed: int, tasks: int = 6) -> tuple[list[str], int]:
    with make_lab(overlap=True, seed=seed) as lab:
        lab.get("default/ask", n=tasks)
        lab.run()
        traces = [str(lab.trace(f"task{number}")) for number in range(1, tasks + 1)]
        return traces, count(lab)


@pytest.mark.row("T45")
def test_the_same_seed_gives_the_same_turns():
    assert history(3) == history(3)


def test_other_seeds_give_other_turns():
    assert len({count for _, count in map(history, range(6))}) > 1


def test_a_task_that_was_delivered_twice_at_once_is_not_delivered_again():
    with make_lab(overlap=True, duplicates=1.0) as lab:
        lab.get("default/ask", n=6)
        lab.run()
        names = [each.task.name for each in lab.attempts if each.duplicate]
        assert sorted(names) == [f"task{number}" for number in range(1, 7)]


@pytest.mark.row("T45", "T46")
def test_a_run_delivers_some_tasks_twice_lets_others_overlap_and_kills_some():
    kinds = set()
    for seed in range(8):
        with make_lab(overlap=True, seed=seed) as lab:
            lab.get("default/ask", n=5)
            attempts = lab.run()
            assert {task.state for task in [lab.trace(f"task{n}").task for n in range(1, 6)]} == {"done"}
            kinds |= {"twice" for each in attempts if each.duplicate}
            kinds |= {"killed" for each in attempts if each.response.killed}
            kinds |= {"alone" for each in attempts if not each.response.turns}
            first_turns = [each.response.turns[0] for each in attempts if each.response.turns and not each.duplicate]
            kinds |= {"beside another" for turn in first_turns if turn.number > 1}
    assert kinds == {"twice", "killed", "alone", "beside another"}


def test_a_lab_without_overlap_takes_no_turns(lab):
    lab.get("default/ask", n=5)
    assert [attempt.response.turns for attempt in lab.run()] == [()] * 5


# What is left behind


def test_nothing_is_left_behind(lab):
    threads, trace, current = set(threading.enumerate()), sys.gettrace(), threading.current_thread()
    before = open_connections()
    twice(lab, "bump", kill_after={1: 2})
    lab.overlap("default/order")
    lab.close()
    assert (sys.gettrace(), threading.current_thread()) == (trace, current)
    assert set(threading.enumerate()) <= threads  # an earlier test's thread may have ended
    assert [each for each in open_connections() if all(each is not other for other in before)] == []


def test_a_lab_with_a_killed_request_is_closed_when_nobody_holds_it():
    lab = make_lab()
    root = lab._engine.site.root
    ask(lab, "bump")
    lab.step(kill_after=1)
    del lab
    gc.collect()
    assert not root.exists()


def test_a_process_with_killed_requests_ends_quietly(tmp_path):
    source = """
from tests.appengine.test_overlap import ask, make_lab, write
lab = make_lab()
write(lab, {"f": "import os\\ntry:\\n    db.counter(1)\\nfinally:\\n    os.write(1, b'finally')"})
print(lab.overlap("default/f", kill_after={1: 1}).first.killed)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def open_connections() -> list[sqlite3.Connection]:
    """Return the open connections of this process; other tests may have left some."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, sqlite3.Connection) and is_open(each)]


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "13"}, "order is a string of the digits 1 and 2"),
        ({"order": 12}, "order is a string"),
        ({"kill_after": {3: 1}}, "kill_after is a dict from 1 or 2"),
        ({"kill_after": {1: -1}}, "kill_after is a dict"),
        ({"kill_after": 2}, "kill_after is a dict"),
        ({"kill_after": 0}, "kill_after is a dict"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(lab, options, words):
    with pytest.raises(BadValueError, match=words):
        lab.overlap("default/bump", **options)
    assert count(lab) == 0


@pytest.mark.parametrize("events", [-1, 1.5, "1", True])
def test_a_kill_after_a_senseless_number_of_turns_is_refused(lab, events):
    task = ask(lab, "bump")
    with pytest.raises(BadValueError, match="kill_after is a number of turns, an integer of 0 or more"):
        lab.step(kill_after=events)
    assert list(lab.tasks()) == [task]


def test_what_is_neither_a_task_nor_a_request_is_refused(lab):
    with pytest.raises(BadRequestError, match="a waiting task, a Request or a path is needed, not 5"):
        lab.overlap(5)


def test_a_task_that_no_longer_waits_is_refused(lab):
    task = ask(lab, "bump")
    lab.run()
    with pytest.raises(UnknownTaskError, match="the task 'task1' doesn't wait in a push queue"):
        lab.overlap(task, task)


def test_overlap_is_a_bool():
    with pytest.raises(BadValueError, match="overlap is True or False, not 0.5"):
        Lab(overlap=0.5)


def test_a_killed_greenlet_is_never_resumed(lab):
    ask(lab, "careful")
    lab.step(kill_after=1)
    assert all(isinstance(each, greenlet) and not each.dead for each in _killed())


def _killed() -> list[greenlet]:
    from harness.appengine import turns

    return turns._killed
