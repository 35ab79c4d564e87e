"""A learner's mistakes: each causes a clear error, loses no data, and leaves a lab that works."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import Lab
from harness.appengine import time_limit
from harness.appengine.clock import START
from harness.errors import (
    BadRequestError,
    BadValueError,
    HarnessError,
    LabClosedError,
    NameRefusedError,
    NothingDueError,
    QueueConfigError,
    RunawayError,
    SourceError,
    UnknownTableError,
    UnknownTaskError,
)
from harness.records import Outcome, Request, Response
from harness.show.progress_bar import Meter
from harness.visitor import Visitor
from tests.support.labs import ADD, add, deliver, names, python, visit, write


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab
        if not lab.closed:
            assert_it_works(lab)


@contextmanager
def impatient(lab: Lab) -> Iterator[None]:
    """Stop a handler after 0.3 real seconds in this scope."""
    server = lab._engine.server
    usual, server.real_seconds = server.real_seconds, 0.3
    yield
    server.real_seconds = usual


def assert_it_works(lab: Lab) -> None:
    """Send a user's request and a task through a lab, whatever happened to it before."""
    before = len(lab.table("mytable"))
    write(lab, {"fine": "db.mytable.insert(old='fine')\nreturn 'fine'"}, "controllers/working.py")
    assert lab.get("working/fine").text == "fine"
    add(lab, "/tutorial/working/fine", name="works")
    lab.run()
    assert lab.trace("works").attempts[0].ok
    assert len(lab.table("mytable")) == before + 2


# -- sources and names --

SOURCES = {
    "def f(:\n    pass": "invalid syntax",
    "def f():\n\tif True:\n        return 1": "inconsistent use of tabs",
    "def f():\n    return 1\n  x = 2": "unindent does not match",
    "def f():\nreturn 1": "expected an indented block",
    "def f():\n    return dict(.....)": "The dots mark code that was left out",
    "def f():\n    print 'x'": "Python 2",
    "x = '": "unterminated string",
    "": "holds no code yet",
    "\n\n   \n# only a comment\n": "holds no code yet",
    "x = 1\0": "null bytes",
    "'\udc80'": "surrogates not allowed",
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_controller_that_does_not_compile_says_why_and_changes_nothing(source, lab):
    visit(lab, "return 'before'")
    with pytest.raises(SourceError, match="tutorial/controllers/default.py") as caught:
        lab.write("controllers/default.py", source)
    assert SOURCES[source] in str(caught.value)
    assert lab.get("default/f").text == "before"


PATHS = ["controllers/my-file.py", "controllers/a b.py", "controllers/ä.py", "controllers/default", "default.py", ""]
PATHS += ["controllers/../../x.py", "/etc/passwd", "C:\\x.py", "controllers/static.py", "databases/x", "views/", 5]


@pytest.mark.parametrize("path", [*PATHS, None])
def test_a_file_that_web2py_would_never_use_is_refused_by_name(path, lab):
    with pytest.raises(NameRefusedError) as caught:
        lab.write(path, "def f(): pass")
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("path", ["controllers/x.py", "views/x/y.html", "routes.py", "queue.yaml"])
@pytest.mark.parametrize("source", [None, 5, ["x = 1"], b"\xff"])
def test_a_source_that_is_no_text_is_refused_by_the_name_of_its_file(path, source, lab):
    with pytest.raises((SourceError, QueueConfigError), match=path):
        lab.write(path, source)


@pytest.mark.parametrize("apps", ["my app", ("tutorial", "a-b"), "", ("",), ("ä",), (5,), "../x"])
def test_an_application_name_that_web2py_refuses_is_quoted(apps):
    with pytest.raises(NameRefusedError) as caught:
        Lab(apps=apps)
    assert repr(apps if isinstance(apps, str) else apps[-1]) in str(caught.value)


def test_an_application_name_that_is_too_long_for_a_folder_is_told_so():
    with pytest.raises(NameRefusedError, match="'aaaaaaaaaaaaaaaaaaaa'… is too long"):
        Lab(apps="a" * 300)


@pytest.mark.parametrize("apps", [(), [], None, 5])
def test_a_lab_without_applications_is_refused(apps):
    with pytest.raises(NameRefusedError, match="at least one application") as caught:
        Lab(apps=apps)
    assert repr(apps) in str(caught.value)


def test_an_unknown_application_is_named_with_those_that_there_are(lab):
    for action in (lambda: lab.write("controllers/x.py", "x = 1", "stats"), lambda: lab.table("mytable", app="stats")):
        with pytest.raises(
            NameRefusedError, match="the application 'stats' doesn't exist; the applications are: tutorial"
        ):
            action()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("x = 1 / 0", "ZeroDivisionError"),
        ("db.define_table('a', 5)", "models/zz.py"),
        ("raise HTTP(503)", "503"),
        ("raise SystemExit", "models/zz.py, line 1\n    raise SystemExit\nSystemExit"),
        ("exit('bye')", "SystemExit: bye"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(BaseException): pass\nraise E('odd')", "E: odd"),
    ],
)
def test_a_model_that_does_not_work_is_told_of_in_requests_and_in_tables(model, says, lab):
    write(lab, {"f": "return ''"})
    lab.write("models/zz.py", model)
    assert lab.get("default/f").status in (500, 503)
    with pytest.raises(SourceError, match=says):
        lab.table("mytable")
    lab.write("models/zz.py", "")


@pytest.mark.parametrize(
    "model",
    [
        "db.mytable._common_filter = lambda query: 1 / 0",
        "db.mytable._common_filter = lambda query: exit()",
        "db.mytable.half = Field.Virtual('half', lambda row: exit())",
    ],
)
def test_a_model_that_fails_while_its_table_is_read_is_told_of(model, lab):
    visit(lab, "db.mytable.insert(old='row')\nreturn ''")
    lab.write("models/zz.py", model)
    with pytest.raises(SourceError, match="models/zz.py, line 1"):
        lab.table("mytable")
    lab.write("models/zz.py", "")


@pytest.mark.parametrize(
    "end", ["raise SystemExit", "raise GeneratorExit", "class E(BaseException): pass\n    raise E"]
)
def test_a_mounted_application_that_raises_what_is_no_exception_is_answered_500(end, lab):
    scope: dict[str, Any] = {}
    exec(f"def app(environ, start_response):\n    {end}\n", scope)
    lab.mount("/plain", scope["app"])
    response = lab.get("/plain")
    assert (response.status, response.ticket is None) == (500, False)


def test_a_model_that_does_not_compile_leaves_the_one_before(lab):
    before = lab.read("models/db.py")
    with pytest.raises(SourceError, match="tutorial/models/db.py, line 2"):
        lab.write("models/db.py", "\ndb = DAL(")
    assert lab.read("models/db.py") == before


@pytest.mark.parametrize(
    "body",
    ["while True:\n    pass", "import time\ntime.sleep(3600)", "raise SystemExit", "raise GeneratorExit", "1 / 0"],
)
def test_a_routes_py_that_does_not_work_leaves_the_one_before(body, lab):
    write(lab, {"f": "return 'routed'"})
    lab.write("routes.py", "routes_in = [('/short', '/tutorial/default/f')]\n")
    with impatient(lab), pytest.raises(SourceError, match="routes.py"):
        lab.write("routes.py", body)
    assert lab.get("/short").text == "routed"
    assert "short" in lab.read("routes.py")


def test_a_routes_py_that_is_interrupted_leaves_the_one_before(lab):
    lab.write("routes.py", "x = 1\n")
    with pytest.raises(KeyboardInterrupt):
        lab.write("routes.py", "import signal\nsignal.raise_signal(signal.SIGINT)\n")
    assert lab.read("routes.py") == "x = 1\n"


def test_a_table_that_no_model_defines_is_named_with_those_that_there_are(lab):
    with pytest.raises(UnknownTableError, match="no table 'mytabel'; its tables: .*mytable"):
        lab.table("mytabel")


@pytest.mark.parametrize(
    "source", ["queue: 5", "- a", "queue:\n- rate: 5/s", "queue:\n- name: a\n  rate: 5/x", "a: [", "", 5]
)
def test_a_queue_yaml_with_a_mistake_leaves_the_queues_of_before(source, lab):
    lab.write("queue.yaml", "queue:\n- name: mail\n")
    add(lab, "/x", queue_name="mail", name="kept", countdown=9999)
    with pytest.raises(QueueConfigError, match="queue.yaml"):
        lab.write("queue.yaml", source)
    with pytest.raises(QueueConfigError):
        Lab(source)
    assert lab.queue("mail").statistics().tasks == 1
    lab.queue("mail").purge()


@pytest.mark.parametrize("duplicates", [2, -0.1, "x", None, float("nan")])
def test_a_share_of_duplicates_that_is_none_is_quoted(duplicates):
    with pytest.raises(BadValueError, match="duplicates") as caught:
        Lab(duplicates=duplicates)
    assert repr(duplicates) in str(caught.value)


@pytest.mark.parametrize("seed", ["x", None, 1.5, [1]])
def test_a_seed_that_is_no_whole_number_is_quoted(seed):
    with pytest.raises(BadValueError, match="seed") as caught:
        Lab(seed=seed)
    assert repr(seed) in str(caught.value)


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


FORM = Response(200, body=b"<form><input name=a></form>", request=Request("GET", "/tutorial/default/f"))
WIKI = Path(__file__).parent / "applications" / "wiki"
BAD_ARGUMENTS: dict[str, Callable[[Lab, Any], object]] = {
    "apps": lambda lab, bad: Lab(apps=(bad,)),
    "seed": lambda lab, bad: Lab(seed=bad),
    "duplicates": lambda lab, bad: Lab(duplicates=bad),
    "write path": lambda lab, bad: lab.write(bad, "x = 1"),
    "write app": lambda lab, bad: lab.write("controllers/x.py", "x = 1", bad),
    "write routes app": lambda lab, bad: lab.write("routes.py", "x = 1", [bad]),
    "read path": lambda lab, bad: lab.read(bad),
    "read app": lambda lab, bad: lab.read("models/db.py", bad),
    "read routes app": lambda lab, bad: lab.read("routes.py", bad),
    "read queue app": lambda lab, bad: lab.read("queue.yaml", bad),
    "mount prefix": lambda lab, bad: lab.mount([bad], print),
    "mount app": lambda lab, bad: lab.mount("/plain", [bad]),
    "table": lambda lab, bad: lab.table(bad),
    "table app": lambda lab, bad: lab.table("mytable", bad),
    "db app": lambda lab, bad: lab.db(bad).__enter__(),
    "from_folder path": lambda lab, bad: Lab.from_folder(bad),
    "from_folder name": lambda lab, bad: Lab.from_folder(WIKI, name=[bad]),
    "from_folder start": lambda lab, bad: Lab.from_folder(WIKI, start=bad),
    "submit page": lambda lab, bad: lab.submit(bad),
    "submit fields": lambda lab, bad: lab.submit(FORM, [bad]),
    "submit value": lambda lab, bad: lab.submit(FORM, a=[bad]),
    "submit headers": lambda lab, bad: lab.submit(FORM, headers=[bad]),
    "get path": lambda lab, bad: lab.get([bad]),
    "get headers": lambda lab, bad: lab.get("default/f", [bad]),
    "get header": lambda lab, bad: lab.get("default/f", {"X": [bad]}),
    "get query": lambda lab, bad: lab.get("default/f", query=[bad]),
    "post data": lambda lab, bad: lab.post("default/f", [bad]),
    "tasks": lambda lab, bad: lab.tasks(bad),
    "queue": lambda lab, bad: lab.queue(bad),
    "run": lambda lab, bad: lab.run(bad),
    "advance": lambda lab, bad: lab.advance(bad),
    "trace": lambda lab, bad: lab.trace(bad),
    "trace queue": lambda lab, bad: lab.trace("x", bad),
    "delete": lambda lab, bad: lab.queue("default").delete(bad),
    "backoff_plot": lambda lab, bad: lab.queue("default").backoff_plot(bad),
}


@pytest.mark.parametrize("bad", ["x" * 100_000, type, [["x"] * 50_000], Unprintable()], ids=type)
@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_bad_argument_is_told_of_in_a_short_message(name, bad, lab):
    with pytest.raises(HarnessError) as caught:
        BAD_ARGUMENTS[name](lab, bad)
    assert 20 < len(str(caught.value)) <= 2000


# -- requests --


@pytest.mark.parametrize("path", ["http://localhost/tutorial/default/f", "//host/x", 5, None, "a\nb"])
def test_a_path_that_cannot_be_sent_is_quoted_and_the_clock_stands_still(path, lab):
    with pytest.raises(BadRequestError) as caught:
        lab.get(path)
    assert repr(path) in str(caught.value)
    assert (lab.now, lab.responses) == (START, ())


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/nowhere/default/f", 404, "The lab has no application 'nowhere'"),
        ("default2/f", 404, "has no controller 'default2' (did you mean 'default'?)"),
        ("default/g", 404, "has no action 'g'"),
        ("default/takes", 404, "takes arguments"),
        ("default/later", 404, "async def"),
        ("def-ault/f", 404, None),
        ("default/d", 200, ""),
    ],
)
def test_an_address_without_an_action_is_answered_404_with_the_reason(path, status, why, lab):
    lab.write(
        "controllers/default.py",
        "def f(): return ''\ndef takes(x): return ''\nasync def later(): return ''\ndef d(): return dict(a=1)\n",
    )
    response = lab.get(path)
    if why is None:
        assert response.status in (400, 404)
    else:
        assert (response.status, why in response.hint) == (status, True)
        assert why in str(response)


def test_a_task_to_nowhere_fails_with_the_reason_in_its_trace(lab):
    add(lab, "/tutorial/default/nobody", name="lost", retry_options=None)
    attempt = lab.step()
    assert (attempt.status, attempt.outcome) == (404, Outcome.RETRY)
    assert "no controller" in attempt.response.hint
    assert attempt.response.hint in str(attempt)
    assert "why" in str(lab.trace("lost"))
    lab.queue("default").purge()


# -- handlers --

ONE_ROW = "db.mytable.insert(old='row')\n"
ENDLESS = {
    "spins": "while True:\n    pass",
    "spins and swallows exceptions": "while True:\n    try:\n        x = 1\n    except Exception:\n        pass",
    "spins and swallows everything": "while True:\n    try:\n        x = 1\n    except:\n        pass",
    "sleeps for real": "import threading\nthreading.Event().wait()",
    "adds for ever": f"{ADD}while True:\n    taskqueue.add(url='/x', countdown=86400)",
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_a_handler_without_an_end_is_stopped_after_real_seconds(body, lab):
    visit(lab, "return ''")
    write(lab, {"f": ONE_ROW + body})
    with impatient(lab):
        response = lab.get("default/f")
    assert (response.status, response.deadline, response.elapsed) == (500, "real", 600)
    assert lab.now == START + timedelta(seconds=600)
    assert lab.table("mytable") == []
    assert len(lab.tasks()) == lab.queue("default").statistics().tasks
    lab.queue("default").purge()


def test_a_task_without_an_end_is_stopped_and_tried_again(lab):
    visit(lab, "return ''")
    with impatient(lab):
        attempt = deliver(lab, "while True:\n    pass")
    assert (attempt.status, attempt.response.deadline, attempt.outcome) == (0, "real", Outcome.RETRY)
    write(lab, {"f": "return ''"})
    assert [attempt.ok for attempt in lab.run()] == [True]


@pytest.mark.row("T34")
def test_a_handler_that_sleeps_an_hour_is_stopped_after_ten_virtual_minutes(lab):
    begun = time.perf_counter()
    response = visit(lab, ONE_ROW + "import time\ntime.sleep(3600)\nreturn ''")
    assert (response.status, response.deadline, response.elapsed) == (500, "virtual", 600)
    assert lab.table("mytable") == []
    attempt = deliver(lab, "import time\ntime.sleep(3600)\nreturn ''")
    assert (attempt.outcome, attempt.elapsed, "600 s" in attempt.note) == (Outcome.RETRY, 600, True)
    assert time.perf_counter() - begun < 600
    lab.queue("default").purge()


def test_a_handler_that_swallows_its_deadline_gets_no_more_time(lab):
    body = (
        "import time\nfor _ in range(5):\n    try:\n        time.sleep(500)\n    except:\n        pass\nreturn 'late'"
    )
    response = visit(lab, body)
    assert (response.elapsed, response.deadline) == (600, "virtual")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("raise KeyError('old')", 500, "Internal error"),
        ("return None", 200, "None"),
        ("return 5", 200, "5"),
        ("return dict(a=1)", 200, "<td>1</td>"),
        ("import sys\nsys.exit()", 500, ""),
        ("import sys\nsys.exit('bye')", 500, ""),
        ("raise SystemExit", 500, ""),
        ("return object()", 200, "<object object"),
        ("raise HTTP(503, 'later')", 503, "later"),
        ("redirect(URL('g'))", 303, ""),
        ("class E(BaseException): pass\nraise E", 500, ""),
        ("return (lambda f: f(f))(lambda f: f(f))", 500, ""),
        ("return 'x' * 1000000", 200, "x" * 100),
    ],
)
def test_whatever_an_action_does_there_is_an_answer(body, status, text, lab):
    response = visit(lab, body)
    assert (response.status, text in response.text) == (status, True)
    assert str(response) and response._repr_html_()
    assert (response.ticket is None) == (status != 500)


def test_a_dict_without_a_view_is_a_404_for_a_task_after_its_work_was_done(lab):
    attempt = deliver(lab, ONE_ROW + "return dict(a=1)")
    assert (attempt.status, attempt.outcome) == (404, Outcome.RETRY)
    assert "view default/f.html does not" in attempt.response.hint
    assert len(lab.table("mytable")) == 1
    lab.queue("default").purge()


def test_a_handler_cannot_move_the_kernel_to_another_folder(lab):
    before = os.getcwd()
    visit(lab, "import os\nos.chdir('/')\nreturn ''")
    assert os.getcwd() == before


def test_a_megabyte_that_is_printed_is_cut_short_and_stays_out_of_the_notebook(lab, capsys):
    response = visit(lab, "print('x' * 1000000)\nreturn 'done'")
    assert response.text == "done"
    assert len(response.output) < 11_000
    assert "990001 more bytes" in response.output
    assert capsys.readouterr() == ("", "")
    assert len(str(response)) < 3_000


def test_a_handler_cannot_send_a_request_from_inside_a_request(lab):
    def app(environ: Any, start_response: Any) -> list[bytes]:
        lab.get("default/f")
        return []

    lab.mount("/nested", app)
    response = lab.get("/nested")
    assert (response.status, "already running" in response.ticket.message) == (500, True)


# -- the queue --


def test_a_task_that_adds_itself_for_ever_is_stopped_and_named(lab):
    write(lab, {"f": f"{ONE_ROW}{ADD}taskqueue.add(url=URL('f'))\nreturn ''"})
    add(lab, "/tutorial/default/f")
    with pytest.raises(RunawayError, match="stopped after 40 attempts") as caught:
        lab.run(cap=40)
    assert "/tutorial/default/f: 40 attempts of 40 tasks, the last of them 'task40'" in str(caught.value)
    assert (len(lab.table("mytable")), names(lab)) == (40, ["task41"])
    lab.queue("default").purge()


def test_a_runaway_within_an_instant_is_stopped_while_time_advances_too(lab):
    write(lab, {"f": f"{ADD}taskqueue.add(url=URL('f'))\nreturn ''"})
    add(lab, "/tutorial/default/f")
    with pytest.raises(RunawayError, match="stopped after 20 attempts"):
        lab.advance(3600, cap=20)
    lab.queue("default").purge()


@pytest.mark.parametrize("seconds", [-1, "5", None, float("inf"), float("nan"), 1e12, [5], 10**400])
def test_seconds_that_no_clock_can_advance_by_run_nothing(seconds, lab):
    add(lab, "/x")
    with pytest.raises(BadValueError, match="the clock cannot be moved") as caught:
        lab.advance(seconds)
    assert repr(seconds) in str(caught.value) or seconds == 10**400
    assert (lab.now, lab.attempts, len(lab.tasks())) == (START, [], 1)
    lab.queue("default").purge()


@pytest.mark.parametrize("cap", [-1, "5", None, 2.0, float("nan"), True])
def test_a_cap_that_counts_no_attempts_runs_nothing(cap, lab):
    add(lab, "/x")
    for act in (lab.run, lambda cap: lab.advance(5, cap)):
        with pytest.raises(BadValueError, match="cap") as caught:
            act(cap)
        assert repr(cap) in str(caught.value)
    assert (lab.now, lab.attempts, len(lab.tasks())) == (START, [], 1)
    lab.queue("default").purge()


def test_an_unknown_task_and_a_step_into_the_void_say_what_there_is(lab):
    with pytest.raises(UnknownTaskError, match="'task7' was ever added; no task was added yet"):
        lab.trace("task7")
    for name in (None, ["task1"], b"task1"):
        with pytest.raises(UnknownTaskError, match="no task named .* was ever added"):
            lab.trace(name)
        with pytest.raises(UnknownTaskError, match="doesn't contain a task"):
            lab.queue("default").delete(name)
    with pytest.raises(NothingDueError, match="add one first"):
        lab.step()


# -- the end of a lab --

USES: dict[str, Callable[[Lab], object]] = {
    "write": lambda lab: lab.write("controllers/default.py", "def f(): pass"),
    "write queue.yaml": lambda lab: lab.write("queue.yaml", "queue:\n- name: mail\n"),
    "read": lambda lab: lab.read("models/db.py"),
    "mount": lambda lab: lab.mount("/x", lambda environ, start_response: []),
    "get": lambda lab: lab.get("default/f"),
    "post": lambda lab: lab.post("default/f"),
    "tasks": lambda lab: lab.tasks(),
    "queue": lambda lab: lab.queue("default"),
    "step": lambda lab: lab.step(),
    "overlap": lambda lab: lab.overlap("default/f"),
    "run": lambda lab: lab.run(),
    "advance": lambda lab: lab.advance(1),
    "now": lambda lab: lab.now,
    "attempts": lambda lab: lab.attempts,
    "mails": lambda lab: lab.mails,
    "responses": lambda lab: lab.responses,
    "trace": lambda lab: lab.trace("task1"),
    "timeline": lambda lab: lab.timeline(),
    "cloud_tasks_client": lambda lab: lab.cloud_tasks_client(),
    "table": lambda lab: lab.table("mytable"),
    "db": lambda lab: lab.db().__enter__(),
    "submit": lambda lab: lab.submit(FORM, a="1"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_lab_says_that_it_is_closed(use):
    lab = Lab()
    lab.close()
    lab.close()
    with pytest.raises(LabClosedError, match="this lab was closed.*lab = Lab()"):
        use(lab)
    assert repr(lab) == "<Lab, closed>"


def test_no_public_name_of_the_lab_is_missing_from_the_list():
    public = {name for kind in (Lab, Visitor) for name in vars(kind) if not name.startswith("_")}
    assert public - {"close", "closed", "from_folder"} == {name.split()[0] for name in USES}


def test_what_was_shown_of_a_closed_lab_stays():
    with Lab() as lab:
        response, attempt = visit(lab, "return 'x'"), deliver(lab, "return ''")
        trace, table = lab.trace("task1"), lab.run()
    assert "200" in str(response) + str(attempt)
    assert "done" in str(trace)
    assert str(table) == "no attempt was made"


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("harness-*"))


@pytest.fixture
def own_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that no other process uses."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_closed_lab_leaves_no_file(own_temp):
    lab = Lab()
    visit(lab, ONE_ROW + "return ''")
    assert folders()
    lab.close()
    assert not folders()


def test_a_lab_that_nobody_holds_any_more_leaves_no_file(own_temp):
    lab = Lab()
    visit(lab, ONE_ROW + "return ''")
    del lab
    gc.collect()
    assert not folders()


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1/0", "import gc; gc.disable()"])
def test_a_process_that_ends_leaves_no_file(end, own_temp):
    source = f"from harness import Lab\nlab = Lab()\nlab.get('default/f')\nprint('made')\n{end}"
    done = python(source, own_temp, TMPDIR=str(own_temp))
    assert done.stdout == "made\n"
    assert not folders()


# -- Ctrl-C --


def test_a_run_that_is_interrupted_in_a_handler_loses_no_task(lab):
    body = "if not db(db.mytable.old == 'stop').isempty():\n    import signal\n    signal.raise_signal(signal.SIGINT)\n"
    write(lab, {"f": f"{body}db.mytable.insert(old='done')\nreturn ''", "stop": "db.mytable.insert(old='stop')"})
    for url in ("f", "f", "stop", "f", "f"):
        add(lab, f"/tutorial/default/{url}")
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    assert [attempt.task.name for attempt in lab.attempts] == ["task1", "task2", "task3"]
    assert sorted(names(lab)) == ["task4", "task5"]
    lab.write("controllers/default.py", "def f(): return ''")
    assert sorted(attempt.task.name for attempt in lab.run()) == ["task4", "task5"]


def test_an_interrupt_between_two_tasks_stops_the_run_there(lab, monkeypatch):
    write(lab, {"f": "return ''"})
    for _ in range(5):
        add(lab, "/tutorial/default/f")
    monkeypatch.setattr(Meter, "count", lambda meter: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    monkeypatch.undo()
    ended = {attempt.task.name for attempt in lab.attempts}
    assert len(ended) + len(lab.queue("default")._queue) == 5
    lab.run()
    assert len({attempt.task.name for attempt in lab.attempts}) == 5


def press_at(number: int, interrupted: list[str]) -> Callable[..., Any]:
    """Make a trace function that presses Ctrl-C once, at the n-th line that runs in the harness or in a handler."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        file = frame.f_code.co_filename
        if "/applications/" not in file and not time_limit.is_harness(file):
            return None
        if event == "line" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            lines += 1
            if lines == number:
                interrupted.append(f"{file}:{frame.f_lineno}")
                signal.raise_signal(signal.SIGINT)
        return trace

    return trace


def interrupted_at(number: int, action: Callable[[], object]) -> bool:
    """Press Ctrl-C at the n-th line of an action; return whether it ran that far."""
    pressed: list[str] = []
    before = sys.gettrace()
    sys.settrace(press_at(number, pressed))
    try:
        action()
    except KeyboardInterrupt:
        assert pressed
    else:
        assert not pressed, f"Ctrl-C at {pressed} was swallowed"
    finally:
        sys.settrace(before)
    return bool(pressed)


def test_a_run_that_is_interrupted_anywhere_does_each_task_once(lab):
    write(lab, {"f": "db.mytable.insert(old=request.vars.n)\nreturn ''"})
    line, ran = 1, 0
    while True:
        for _ in range(2):
            add(lab, "/tutorial/default/f", params={"n": ran})
            ran += 1
        pressed = interrupted_at(line, lab.run)
        lab.run()
        assert (len(lab.table("mytable")), len(lab.attempts), len(lab.queue("default")._queue)) == (ran, ran, 0)
        if not pressed:
            break
        line += 29
    assert line > 400


def test_a_visit_that_is_interrupted_anywhere_is_either_made_or_not(lab):
    write(lab, {"f": "db.mytable.insert(old='x')\nreturn ''"})
    line, before = 1, 0
    while interrupted_at(line, lambda: lab.get("default/f")):
        rows = len(lab.table("mytable"))
        assert rows == len(lab.responses)
        assert rows in (before, before + 1)
        line, before = line + 29, rows
    assert 0 < before < line / 29


# -- the machine --

FULL_TURN = f"""
from harness import Lab
lab = Lab()
lab.write("controllers/default.py", '''
def add():
    {ADD.strip()}
    taskqueue.add(url=URL('f'))
    return ''
def f():
    db.mytable.insert(old='row')
''')
lab.get("default/add")
print(lab.run()[0].ok, len(lab.table("mytable")))
"""


def test_a_folder_that_cannot_be_written_to_is_no_hindrance_and_stays_empty(tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    done = python(FULL_TURN, folder)
    assert done.stdout == "True 1\n", done.stderr
    assert list(folder.iterdir()) == []


def test_a_home_that_does_not_exist_is_no_hindrance(tmp_path):
    home = tmp_path / "nowhere"
    done = python(FULL_TURN, tmp_path, HOME=str(home), IPYTHONDIR=None, JUPYTER_DATA_DIR=None)
    assert done.stdout == "True 1\n", done.stderr
    assert not home.exists()


@pytest.mark.parametrize("where", ["", "missing", "empty"])
def test_a_web2py_path_without_a_web2py_is_quoted(where, tmp_path):
    (tmp_path / "empty").mkdir()
    path = str(tmp_path / where) if where else ""
    source = "from harness import Lab\ntry:\n    Lab()\nexcept Exception as error:\n    print(repr(error))"
    done = python(source, tmp_path, WEB2PY_PATH=path)
    assert done.stdout.startswith("Web2pyNotFoundError("), done.stderr
    assert repr(path) in done.stdout or path in done.stdout
    assert "web2py-gluon" in done.stdout


def test_six_learners_on_one_machine_do_not_see_each_other(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    learners = [
        subprocess.Popen([sys.executable, "-c", FULL_TURN], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(6)
    ]
    assert [learner.communicate(timeout=600)[0] for learner in learners] == ["True 1\n"] * 6
    assert list(tmp_path.iterdir()) == []
