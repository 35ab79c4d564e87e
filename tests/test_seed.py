"""The code and the claims of the text that the course teaches (seed.txt)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Lab
from harness.notebooks import files
from harness.notebooks.lint import markdown
from harness.records import Outcome, TaskState
from tests.support.labs import ADD, names, write

ROOT = Path(__file__).parents[1]

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


def test_the_application_of_the_seed_is_the_example_that_lesson_00_quotes():
    quoted = "\n".join(cell.source for cell in files.read(ROOT / "notebooks" / "00_welcome.ipynb").cells)
    (example,) = re.findall(r"> ```python\n(.*?)> ```", quoted, re.DOTALL)
    lines = [line.removeprefix(">").removeprefix(" ") for line in example.replace("dict(.....)", "dict()").splitlines()]
    source = (ROOT / "tests/applications/seed/controllers/default.py").read_text(encoding="utf-8")
    assert [line for line in source.splitlines() if line] == [line for line in lines if line]


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
        "done: the task leaves the queue",
        "action tutorial/default/task_do",
        "INSERT INTO",
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


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_status_from_200_to_299_means_done_as_lesson_01_says(lab, status):
    lab.write("controllers/default.py", SEED + f"    response.status = {status}\n")
    lab.get("default/gen_task")
    assert lab.step().outcome is Outcome.DONE
    assert "A status from 200 to 299 means that the task is done." in section("01", "A task with a wrong URL")


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


# Where the course teaches each sentence: the sentences, in their order in the text, each with the lesson, the title of
# the section, and a fragment of that section's text or code. A sentence may be taught in several sections.
PUT, QUEUE, FOLLOW = ("01", "Put it in the queue"), ("01", "The queue, before and after"), ("01", "Follow the task")
LAB = ("00", "A lab instead of App Engine")
TAUGHT = {
    "GAE offers a taskqueue module to allow tasks to be run in background.": [(*PUT, "import taskqueue")],
    "Each item added to the taskqueue is a redirect to a web2py URL (or any GAE URL) with parameters (equivalent to "
    "web2py request.vars).": [(*FOLLOW, "It isn't an HTTP redirect"), (*FOLLOW, "request.vars")],
    "The task is scheduled and executed in background by the GAE environment.": [(*QUEUE, "lab.run()")],
    "This is useful if you want to do additional operations that can complete after the current action is completed "
    "(eg updating a ratings or popularity table), and you do not want to slow down the current action.": [
        ("01", "The user waits", ".elapsed"),
        ("07", "Coalesced: one task for many ratings", "ratings"),
    ],
    "The GAE SDK supports taskqueue and executes tasks in much the same way as a production GAE application.": [
        (*LAB, "development server")
    ],
    "GAE taskqueue is not available in a non-GAE environment.": [(*LAB, "fetch_statistics()")],
    "The following is a simple working example:": [(*PUT, "Here is the example")],
    "def gen_task(): from google.appengine.api import taskqueue # .... do some things, then taskqueue.add("
    "url=URL('task_do'), params=dict(old='original text', new='new text')) return dict(.....)": [
        (*PUT, "params=dict(old='original text', new='new text'))")
    ],
    "def task_do(): db.mytable.insert(old=request.vars['old'], new=request.vars['new'])": [
        (*PUT, "db.mytable.insert(old=request.vars['old'], new=request.vars['new'])")
    ],
    "concepts": [("00", "A task in one picture", "![")],
    "action gen_task is executed by a user.": [(*PUT, "lab.get('default/gen_task')")],
    "as well as other possible operations, this action adds a task to the task queue.": [(*QUEUE, "lab.tasks()")],
    "This task will call action 'task_do', with vars as in the params dictionary.": [(*FOLLOW, "request.post_vars")],
    "task_do is executed by the GAE environment after gen_task, at a time determined by the GAE environment.": [
        (*QUEUE, "ETA")
    ],
    "This may be while other application actions are occurring.": [
        ("01", "While other actions run", "lab.get('news/index')"),
        ("01", "While other actions run", "lab.overlap("),
    ],
    "task_do inserts a record in a table, but may carry out any valid operations.": [
        ("01", "Nobody waits any more", "def mail_subscribers")
    ],
    "the web2py helper URL builds the url of the target action as shown in this example if the action is in the same "
    "controller.": [(*PUT, "URL('task_do')"), ("03", "Let URL() write it", "URL('log_edit')")],
    "The target action may be in a different controller or even different application (in fact any valid url).": [
        ("03", "Another application", "a='stats'"),
        ("03", "Any path of yours, and no other", "anchor='top'"),
    ],
    "Use the c and a arguments to specify a web2py target action in a different controller/application.": [
        ("03", "Another controller", "c='archive'"),
        ("03", "Another application", "a='stats', c='counter'"),
    ],
    "*Note* taskqueue.add(URL('myfunction', vars=dict(var1=v1, var2=v2, ...)) will not work as the variables must be "
    "passed through the tasqueue.add params keyword argument .": [
        ("02", "The call that looks right", "vars=dict("),
        ("02", "The way that works", "params=dict("),
    ],
}


def section(lesson: str, title: str) -> str:
    """Return the sources of the cells of a lesson's section; "" if the lesson has no section of this title."""
    (path,) = ROOT.glob(f"notebooks/{lesson}_*.ipynb")
    found = ""
    inside = False
    for cell in files.read(path).cells:
        titles = [text for level, text in markdown.headings(cell.source) if level <= 2 and cell.cell_type == "markdown"]
        inside = titles[-1] == title if titles else inside
        found += f"{cell.source}\n" if inside else ""
    return found


def test_lesson_00_quotes_the_whole_text_and_each_of_its_sentences_is_in_the_table():
    quoted = [line[1:] for line in section("00", "The text behind the course").splitlines() if line.startswith(">")]
    lines = [re.sub(r"^ - |^ ```.*", "", line) for line in quoted]
    assert " ".join(" ".join(lines).split()) == " ".join(TAUGHT)


@pytest.mark.parametrize(("lesson", "title", "fragment"), [place for places in TAUGHT.values() for place in places])
def test_the_section_that_teaches_a_sentence_exists_and_contains_its_idea(lesson, title, fragment):
    assert fragment in section(lesson, title), f"lesson {lesson} has no section {title!r} with {fragment!r}"
