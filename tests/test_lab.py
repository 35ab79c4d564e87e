"""The lab's public interface: files, users, the queue, and the records."""

import gc
from datetime import UTC, datetime, timedelta

import pytest

import harness
from harness import Lab
from harness.appengine.clock import START
from harness.appengine.taskqueue import preload
from harness.errors import BadRequestError, NameRefusedError, RunawayError, SourceError, UnknownTaskError
from harness.lab import current_lab
from harness.records import Outcome, TaskState
from tests.support.labs import ADD, add, deliver, names, visit, write


def test_the_exports_are_what_a_notebook_needs():
    assert harness.__all__ == sorted(harness.__all__)
    assert {"Lab", "check", "hint", "solution", "progress", "predict"} <= set(harness.__all__)


def test_a_fresh_lab_has_the_application_tutorial_an_empty_queue_and_a_fixed_clock(lab):
    assert repr(lab) == "<Lab tutorial: 2012-09-03 09:00:00 UTC, 0 tasks waiting>"
    assert lab.now == datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
    assert (lab.tasks(), lab.attempts, lab.responses, lab.table("mytable")) == ([], [], (), [])


# -- users --


def test_a_visit_takes_as_long_as_its_action_and_no_longer(lab):
    response = visit(lab, "import time\ntime.sleep(3)\nreturn 'done'")
    assert (response.text, response.elapsed, response.started) == ("done", 3.0, START)
    assert lab.now == START + timedelta(seconds=3)
    assert lab.responses == (response,)


def test_get_sends_a_query_and_post_a_form(lab):
    source = "return '%s %s %s' % (request.env.request_method, dict(request.get_vars), dict(request.post_vars))"
    write(lab, {"f": source})
    assert lab.get("default/f", old="a b").text == "GET {'old': 'a b'} {}"
    assert lab.post("default/f", {"old": "a b"}).text == "POST {} {'old': 'a b'}"
    assert lab.post("default/f?x=1", data={"old": "a"}).text == "POST {'x': '1'} {'old': 'a'}"


def test_a_keyword_is_a_query_variable_in_get_and_in_post(lab):
    write(lab, {"f": "return '%s %s' % (dict(request.get_vars), dict(request.post_vars))"})
    assert lab.get("default/f", old="a b").text == "{'old': 'a b'} {}"
    assert lab.post("default/f", old="a b").text == "{'old': 'a b'} {}"
    assert lab.post("default/f", {"new": "c"}, old="a b").text == "{'old': 'a b'} {'new': 'c'}"


def test_a_query_variable_may_be_named_as_an_argument_of_the_lab(lab):
    write(lab, {"f": "return str(sorted(request.get_vars.items()))"})
    names = {"headers": "1", "data": "2", "query": "3", "path": "4"}
    for send in (lab.get, lab.post):
        assert send("default/f", query=names, more="5").text == str(sorted({**names, "more": "5"}.items()))
    with pytest.raises(BadRequestError, match=r"query must be a dict .*not 'ferry'.*query=\{\"query\": 'ferry'\}"):
        lab.get("default/f", query="ferry")
    with pytest.raises(BadRequestError, match=r"headers must be a dict .*not 'all'.*query=\{\"headers\": 'all'\}"):
        lab.get("default/f", headers="all")


def test_a_variable_may_have_any_name_even_that_of_the_path(lab):
    write(lab, {"f": "return request.vars.path + request.vars.self"})
    assert lab.get("default/f", path="a", self="b").text == "ab"


def test_a_user_keeps_a_session(lab):
    write(lab, {"f": "session.count = (session.count or 0) + 1\nreturn str(session.count)"})
    assert [lab.get("default/f").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.row("T26")
def test_a_user_cannot_pretend_to_be_the_task_queue(lab):
    write(lab, {"f": "return str(request.env.http_x_appengine_queuename)"})
    assert lab.get("default/f", headers={"X-AppEngine-QueueName": "default"}).text == "None"


@pytest.mark.row("T26")
def test_a_user_can_send_the_headers_of_cloud_tasks_http_targets(lab):
    write(lab, {"f": "return request.env.http_x_cloudtasks_queuename"})
    assert lab.get("default/f", headers={"X-CloudTasks-QueueName": "default"}).text == "default"


def test_an_action_that_fails_has_a_ticket_and_the_lab_goes_on(lab):
    response = visit(lab, "return 1 / 0")
    assert (response.status, response.ticket.exception) == (500, "ZeroDivisionError")
    assert response.ticket.where == "tutorial/controllers/default.py, line 2"
    assert visit(lab, "return 'fine'").text == "fine"


# -- files --


def test_a_file_that_does_not_compile_leaves_the_one_before(lab):
    visit(lab, "return 'old'")
    with pytest.raises(SourceError):
        lab.write("controllers/default.py", "def f(:")
    assert lab.get("default/f").text == "old"


def test_what_is_written_is_read_back(lab):
    queue_yaml = "queue:\n- name: mail\n"
    for path, source in (("controllers/a.py", "def f(): pass\n"), ("routes.py", "x = 1\n"), ("queue.yaml", queue_yaml)):
        lab.write(path, source)
        assert lab.read(path) == source


@pytest.mark.parametrize("path", ["controllers/none.py", "queue.yaml", "routes.py", "app.yaml", "main.py"])
def test_a_file_that_was_never_written_cannot_be_read(path, lab):
    with pytest.raises(NameRefusedError, match=path):
        lab.read(path)


def test_the_queue_yaml_that_the_lab_began_with_is_read_back():
    with Lab("queue:\n- name: mail\n") as lab:
        assert lab.read("queue.yaml") == "queue:\n- name: mail\n"


def test_each_application_has_files_and_tables_of_its_own():
    with Lab(apps=("news", "stats")) as lab:
        write(lab, {"f": "db.mytable.insert(old='news')\nreturn 'news'"})
        write(lab, {"f": "db.mytable.insert(old='stats')\nreturn 'stats'"}, app="stats")
        assert lab.get("default/f").text == "news"
        assert lab.get("/stats/default/f").text == "stats"
        assert [row["old"] for row in lab.table("mytable")] == ["news"]
        assert [row["old"] for row in lab.table("mytable", app="stats")] == ["stats"]


def test_an_application_given_as_empty_text_is_not_taken_for_the_first(lab):
    for action in (lambda: lab.table("mytable", app=""), lambda: lab.read("models/db.py", app="")):
        with pytest.raises(NameRefusedError, match="the application '' doesn't exist"):
            action()


# -- the queue --


def test_adding_runs_nothing(lab):
    write(lab, {"f": "db.mytable.insert(old='x')"})
    add(lab, "/tutorial/default/f")
    assert names(lab) == ["task1"]
    assert (lab.attempts, lab.table("mytable")) == ([], [])


def test_tasks_wait_in_the_order_of_their_eta(lab):
    for name, countdown in (("late", 60), ("soon", 0), ("later", 90)):
        add(lab, "/x", name=name, countdown=countdown)
    assert names(lab) == ["soon", "late", "later"]
    assert [task.state for task in lab.tasks()] == [TaskState.WAITING] * 3


def test_a_task_added_in_a_cell_counts_from_virtual_now(lab):
    preload()
    lab.advance(100)
    from google.appengine.api import taskqueue

    taskqueue.add(url="/x", countdown=10)
    assert lab.tasks()[0].eta == START + timedelta(seconds=110)
    taskqueue.add(url="/x", eta=datetime(2012, 9, 3, 9, 0, 5))
    assert lab.tasks()[0].eta == START + timedelta(seconds=5)
    assert lab.tasks()[0].call_site.file == "test_lab.py"


def test_step_runs_one_attempt_and_stops_at_its_end(lab):
    write(lab, {"f": "import time\ntime.sleep(4)\nreturn ''"})
    for _ in range(2):
        add(lab, "/tutorial/default/f")
    attempt = lab.step()
    assert (attempt.number, attempt.ok, attempt.elapsed) == (1, True, 4.0)
    assert (lab.now, names(lab)) == (START + timedelta(seconds=4), ["task2"])


def test_run_goes_from_eta_to_eta_until_nothing_waits(lab):
    write(lab, {"f": "return ''"})
    for countdown in (3600, 0, 7200):
        add(lab, "/tutorial/default/f", countdown=countdown)
    attempts = lab.run()
    assert [attempt.started - START for attempt in attempts] == [timedelta(hours=hours) for hours in range(3)]
    assert (lab.now, lab.tasks(), lab.attempts) == (START + timedelta(hours=2), [], attempts)


def test_run_returns_the_attempts_of_this_run_only(lab):
    deliver(lab, "return ''")
    add(lab, "/tutorial/default/f")
    assert [attempt.number for attempt in lab.run()] == [2]
    assert [attempt.number for attempt in lab.attempts] == [1, 2]


def test_advance_runs_what_falls_due_meanwhile(lab):
    write(lab, {"f": "return ''"})
    for countdown in (10, 20, 30):
        add(lab, "/tutorial/default/f", countdown=countdown)
    assert [attempt.task.name for attempt in lab.advance(seconds=20)] == ["task1", "task2"]
    assert (lab.now, names(lab)) == (START + timedelta(seconds=20), ["task3"])
    assert lab.advance(0) == []


def test_a_failed_task_is_tried_again_with_backoff(lab):
    write(lab, {"f": "if db(db.mytable).isempty():\n    db.mytable.insert(old='x')\n    raise HTTP(503)\nreturn ''"})
    add(lab, "/tutorial/default/f")
    first, second = lab.run()
    assert (first.status, first.outcome, second.outcome) == (503, Outcome.RETRY, Outcome.DONE)
    assert second.started - first.started == timedelta(seconds=0.1)


def test_a_runaway_is_stopped_at_the_cap_and_the_lab_goes_on(lab):
    write(lab, {"f": f"{ADD}taskqueue.add(url=URL('f'))\nreturn ''"})
    add(lab, "/tutorial/default/f")
    with pytest.raises(RunawayError, match=r"25 attempts.*\n.*/tutorial/default/f"):
        lab.run(cap=25)
    assert len(lab.attempts) == 25
    assert len(lab.tasks()) == 1
    write(lab, {"f": "return 'enough'"})
    assert [attempt.ok for attempt in lab.run()] == [True]


def test_a_mounted_application_is_a_target(lab):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    lab.mount("/plain", app)
    assert lab.post("/plain", data="hello").text == "hello"
    add(lab, "/plain/deep", params={"a": 1})
    assert lab.step().response.text == "a=1"


def test_a_deferred_function_runs(lab):
    from tests.support.stage import import_deferred

    preload()
    import_deferred().defer(print, "deferred")
    attempt = lab.step()
    assert (attempt.ok, attempt.response.output) == (True, "deferred\n")


def test_the_same_seed_gives_the_same_order():
    def order(seed: int) -> list[str]:
        with Lab(seed=seed, shuffle=True) as lab:
            write(lab, {"f": "return ''"})
            for _ in range(8):
                add(lab, "/tutorial/default/f")
            return [attempt.task.name for attempt in lab.run()]

    assert order(7) == order(7)
    assert order(7) != order(8)


def test_duplicates_are_delivered_and_marked():
    with Lab(duplicates=1) as lab:
        write(lab, {"f": "db.mytable.insert(old='x')"})
        add(lab, "/tutorial/default/f")
        assert [attempt.duplicate for attempt in lab.run()] == [False, True]
        assert len(lab.table("mytable")) == 2


# -- what happened --


def test_a_trace_follows_one_task(lab):
    add(lab, "/tutorial/default/none", name="lost", countdown=60)
    deliver(lab, "return ''")
    trace = lab.trace("task1")
    assert (trace.task.state, [attempt.task.name for attempt in trace.attempts]) == (TaskState.DONE, ["task1"])
    assert trace.task.call_site.where == "tutorial/controllers/adding.py, line 3"


def test_a_trace_of_a_name_on_two_queues_asks_for_the_queue():
    with Lab("queue:\n- name: mail\n") as lab:
        write(lab, {"f": "return ''"})
        for queue in ("default", "mail"):
            add(lab, "/tutorial/default/f", name="same", queue_name=queue)
        lab.run()
        assert [len(lab.trace("same", queue).attempts) for queue in ("default", "mail")] == [1, 1]
        assert lab.trace("same", "default").task.queue == "default"
        with pytest.raises(UnknownTaskError, match="'same' was ever added to the queue 'other'; the .* are same"):
            lab.trace("same", "other")


def test_a_trace_of_a_name_that_was_used_again_follows_the_newest_task_alone(lab):
    write(lab, {"first": "return ''", "second": "return ''"})
    add(lab, "/tutorial/default/first", name="weekly")
    lab.run()
    lab.advance(10 * 86400)  # by when the tombstone has lapsed
    add(lab, "/tutorial/default/second", name="weekly")
    lab.run()
    assert [attempt.request.url for attempt in lab.trace("weekly").attempts] == ["/tutorial/default/second"]


def test_an_unknown_task_is_answered_with_the_first_ones_that_there_were(lab):
    with pytest.raises(UnknownTaskError, match="'task1' was ever added; no task was added yet"):
        lab.trace("task1")
    for _ in range(12):
        add(lab, "/x")
    with pytest.raises(UnknownTaskError, match="'task0' was ever added; the added tasks are .*task10 and 2 more"):
        lab.trace("task0")


def test_the_timeline_tells_of_users_and_workers(lab):
    deliver(lab, "return ''")
    figure = lab.timeline()
    assert "1 request, 1 task, 1 attempt: 1 done" in str(figure)


# -- several labs --


def test_two_labs_do_not_see_each_other():
    with Lab() as one, Lab() as two:
        write(one, {"f": "db.mytable.insert(old='one')\nreturn 'one'"})
        write(two, {"f": "return 'two'"})
        add(one, "/tutorial/default/f")
        assert (names(one), names(two)) == (["task1"], [])
        assert (one.get("default/f").text, two.get("default/f").text) == ("one", "two")
        assert two.run() == []
        assert one.run()[0].ok
        assert (len(one.table("mytable")), len(two.table("mytable"))) == (2, 0)
        two.advance(60)
        assert one.now == START


def test_a_task_from_a_cell_goes_to_the_newest_lab_and_in_a_request_to_the_lab_that_answers():
    preload()
    from google.appengine.api import taskqueue

    with Lab() as older, Lab() as newer:
        add(older, "/x", name="in-a-request")
        taskqueue.add(url="/x", name="in-a-cell")
        assert (names(older), names(newer)) == (["in-a-request"], ["in-a-cell"])
        newer.close()
        taskqueue.add(url="/x", name="again")
        assert names(older) == ["in-a-request", "again"]


def test_the_current_lab_is_the_newest_that_is_open():
    with Lab() as older:
        with Lab() as newer:
            assert current_lab() is newer
        assert current_lab() is older


def test_a_lab_that_nobody_holds_is_not_the_current_one():
    with Lab() as held:
        Lab()
        gc.collect()
        assert current_lab() is held


def test_a_worker_that_answers_404_itself_is_not_taken_for_one_without_a_view(lab):
    lab.write("controllers/default.py", "def gone(): raise HTTP(404, 'no such letter')\ndef seen(): return dict()\n")
    add(lab, "/tutorial/default/gone")
    assert (lab.step().status, lab.attempts[-1].response.hint) == (404, "")
    add(lab, "/tutorial/default/seen")
    assert "the view default/seen.html does not" in lab.step().response.hint


def test_an_address_that_web2py_cannot_read_says_so(lab):
    add(lab, "/tutorial/def-ault/f")
    attempt = lab.step()
    assert attempt.status == 400
    assert "cannot read '/tutorial/def-ault/f'" in attempt.response.hint
