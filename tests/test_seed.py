"""The code and the claims of the text that the course teaches (seed.txt)."""

from collections.abc import Iterator

import pytest

from harness import Lab
from harness.records import Outcome, TaskState
from tests.support.labs import ADD, names, write

SEED = """
def gen_task():
    from google.appengine.api import taskqueue
    # do some things, then
    taskqueue.add(url=URL('task_do'),
                params=dict(old='original text', new='new text'))
    return dict(message='added')

def task_do():
    db.mytable.insert(old=request.vars['old'], new=request.vars['new'])
"""
ROWS = [("original text", "new text")]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(apps=("tutorial", "stats")) as lab:
        lab.write("controllers/default.py", SEED)
        yield lab


def rows(lab: Lab, app: str | None = None) -> list[tuple[str, str]]:
    return [(row["old"], row["new"]) for row in lab.table("mytable", app=app)]


def test_after_the_visit_one_task_waits_and_the_table_is_empty(lab):
    response = lab.get("default/gen_task")
    assert (response.status, response.vars) == (200, {"message": "added"})
    assert names(lab) == ["task1"]
    assert rows(lab) == []
    task = lab.tasks()[0]
    assert (task.queue, task.method, task.url) == ("default", "POST", "/tutorial/default/task_do")
    assert task.text == "old=original+text&new=new+text"


def test_after_the_run_the_row_is_there(lab):
    lab.get("default/gen_task")
    (attempt,) = lab.run()
    assert (attempt.status, attempt.outcome, attempt.response.text) == (200, Outcome.DONE, "None")
    assert (rows(lab), names(lab)) == (ROWS, [])


def test_the_trace_shows_how_hop_by_hop(lab):
    lab.get("default/gen_task")
    lab.run()
    trace = lab.trace("task1")
    origin, (attempt,) = trace.task.call_site, trace.attempts
    assert (origin.file, origin.function) == ("tutorial/controllers/default.py", "gen_task")
    assert origin.source.startswith("taskqueue.add(url=URL('task_do'),\n")
    assert trace.task.state is TaskState.DONE
    assert attempt.request.header("X-AppEngine-TaskName") == "task1"
    assert attempt.response.route.action == "tutorial/default/task_do"
    assert attempt.response.route.vars == {"old": "original text", "new": "new text"}
    assert attempt.response.sql == ("""INSERT INTO "mytable"("old","new") VALUES ('original text','new text');""",)
    told = [
        "The action gen_task adds a task",
        "tutorial/controllers/default.py, line 5",
        "POST /tutorial/default/task_do",
        "new = 'new text'",
        "the worker returns 200 OK, done",
        "action tutorial/default/task_do",
        "INSERT INTO",
        "done: the task leaves the queue",
    ]
    text = str(trace)
    assert [text.find(words) for words in told] == sorted(text.find(words) for words in told)
    assert -1 not in [text.find(words) for words in told]


def test_the_timeline_shows_how(lab):
    lab.get("default/gen_task")
    lab.run()
    told = str(lab.timeline())
    for words in (
        "1 request, 1 task, 1 attempt: 1 done",
        "User: gen_task starts at 0 s",
        "Queue default: task1 is added",
    ):
        assert words in told
    assert "Worker: task1 runs at 0 s (attempt done)" in told


def test_the_user_does_not_wait_for_the_task(lab):
    lab.write("controllers/default.py", SEED + "    import time\n    time.sleep(30)\n")
    assert lab.get("default/gen_task").elapsed == 0
    assert lab.step().elapsed == 30


def test_other_actions_may_run_between_the_visit_and_the_task(lab):
    lab.get("default/gen_task")
    write(lab, {"look": "return str(db(db.mytable).count())"}, "controllers/other.py")
    assert lab.get("other/look").text == "0"
    lab.run()
    assert lab.get("other/look").text == "1"


WORKER = "db.mytable.insert(old=request.vars['old'], new=request.vars['new'])"


def call(lab: Lab, url: str) -> None:
    """Add the seed's task with another url, an expression of the controller."""
    parameters = "params=dict(old='original text', new='new text')"
    write(lab, {"gen_task": f"{ADD}taskqueue.add(url={url}, {parameters})\nreturn ''"})
    assert lab.get("default/gen_task").ok
    assert [attempt.ok for attempt in lab.run(cap=10)] == [True]


def test_the_target_may_be_in_a_different_controller(lab):
    write(lab, {"task_do": WORKER}, "controllers/jobs.py")
    call(lab, "URL(c='jobs', f='task_do')")
    assert lab.attempts[0].request.url == "/tutorial/jobs/task_do"
    assert rows(lab) == ROWS


def test_the_target_may_be_in_a_different_application(lab):
    write(lab, {"task_do": WORKER}, "controllers/jobs.py", app="stats")
    call(lab, "URL(a='stats', c='jobs', f='task_do')")
    assert lab.attempts[0].request.url == "/stats/jobs/task_do"
    assert (rows(lab), rows(lab, "stats")) == ([], ROWS)


def test_the_function_in_first_place_goes_together_with_neither_c_nor_a(lab):
    """gluon/html.py: with `c`, the first place is the controller's, and it is always that of `a`."""
    write(lab, {"f": "return URL('task_do', c='jobs')", "g": "return URL('task_do', c='jobs', a='stats')"})
    assert lab.get("default/f").text == "/tutorial/task_do/jobs"
    ticket = lab.get("default/g").ticket
    assert (ticket.exception, "multiple values for argument 'a'" in ticket.message) == ("TypeError", True)


@pytest.mark.parametrize("url", ["'/plain'", "'/plain/any/path'"])
def test_the_target_may_be_any_url_even_one_that_is_not_web2py(url, lab):
    seen = []

    def application(environ, start_response):
        seen.append(environ["wsgi.input"].read().decode())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    lab.mount("/plain", application)
    write(lab, {"gen_task": f"{ADD}taskqueue.add(url={url}, payload='old=1')\nreturn ''"})
    lab.get("default/gen_task")
    assert [attempt.response.text for attempt in lab.run()] == ["done"]
    assert seen == ["old=1"]


def test_variables_in_the_url_with_params_are_refused_as_the_note_says(lab):
    source = "taskqueue.add(url=URL('task_do', vars=dict(old='a')), params=dict(new='b'))\nreturn ''"
    write(lab, {"gen_task": ADD + source})
    response = lab.get("default/gen_task")
    assert response.ticket.exception == "InvalidTaskError"
    assert names(lab) == []


def test_variables_in_a_url_that_is_given_as_the_payload_reach_nobody(lab):
    """`taskqueue.add(URL(…))`, as the note writes it: the first argument is the payload, and the url is missing."""
    write(lab, {"gen_task": f"{ADD}taskqueue.add(URL('task_do', vars=dict(old='a')))\nreturn ''"})
    assert lab.get("default/gen_task").ok
    (task,) = lab.tasks()
    assert (task.url, task.text) == ("/_ah/queue/default", "/tutorial/default/task_do?old=a")
    assert lab.step().status == 404
    assert rows(lab) == []
