"""`serve` and `run` as a user calls them: mistakes, the lines in the terminal, and a whole application."""

import os
import re
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.classroom.cli import main
from harness.records import Attempt, Outcome, Request, Response, TaskInfo
from harness.serve.attempt_log import PERIOD, SHOWN, AttemptLines
from harness.state import VARIABLE
from tests.support.terminal import SECONDS

PAGE = (Path(__file__).parents[2] / "notebooks" / "SERVE.md").read_text(encoding="utf-8")
SEED = Path(__file__).parents[1] / "applications" / "seed"
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)
CONTROLLER = """
import os

def add():
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL(request.args(0)), params=dict(a="b"), queue_name=request.args(1) or "default")
    return "added"

def print_values():
    env = request.env
    print("worked for %s on %s with %s" % (env.http_x_appengine_queuename, env.http_host, request.vars.a))

def fail():
    raise RuntimeError("on purpose")

def block():
    print("blocks")
    open(os.path.join(request.folder, "private", "go")).read()
    print("went on")

def number():
    import answer
    return str(answer.number)
"""


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "my-app"
    shutil.copytree(SEED, folder)
    return folder


def attempt(number, status=500, outcome=Outcome.RETRY, queue="default"):
    task = TaskInfo(f"task{number}", queue, "POST", "/work", NOW, NOW)
    request = Request("POST", "/work")
    return Attempt(number, task, request, Response(status), NOW, outcome, NOW if outcome is Outcome.RETRY else None)


def test_failed_attempts_have_a_line_each_and_thousands_have_a_summary():
    said, now = [], [100.0]
    lines = AttemptLines(said.append, lambda: now[0])
    lines.add(attempt(1, 200, Outcome.DONE))
    assert said == []
    for number in range(2000):
        lines.add(attempt(number, 500 if number % 2 else 0))
    assert len(said) == SHOWN
    assert said[1] == "09:00:00 default/task1 POST /work: status 500; runs again in 0.0 s"
    for seconds in (1.0, PERIOD - 1.0):
        now[0] += seconds
        lines.flush()
    assert said[SHOWN:] == [
        "1,990 more attempts failed in 5 s (995 in default: no response, 995 in default: status 500)"
    ]
    now[0] += PERIOD
    lines.flush()
    lines.add(attempt(1, 404, Outcome.DROPPED, "mail"))
    assert said[SHOWN + 1 :] == ["09:00:00 mail/task1 POST /work: status 404; dropped"]


def test_a_summary_names_the_largest_groups():
    said, now = [], [0.0]
    lines = AttemptLines(said.append, lambda: now[0])
    for number in range(SHOWN + 5):
        lines.add(replace(attempt(number), task=replace(attempt(1).task, queue=f"q{number}")))
    now[0] = PERIOD
    lines.flush()
    assert said[-1].endswith("(1 in q10: status 500, 1 in q11: status 500, 1 in q12: status 500, …)")


def in_threads(call, number):
    """Call a function in several threads, and require that all of them end."""
    threads = [threading.Thread(target=call) for _ in range(number)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SECONDS)
        assert not each.is_alive()


def test_an_attempt_that_fails_while_a_summary_is_printed_is_printed_too():
    said, now = [], [0.0]

    def say(text):
        said.append(text)
        if len(said) == SHOWN + 1:  # the summary
            in_threads(lambda: lines.add(attempt(100)), 1)

    lines = AttemptLines(say, lambda: now[0])
    for number in range(SHOWN + 1):
        lines.add(attempt(number))
    now[0] = PERIOD
    lines.flush()
    assert len(said) == SHOWN + 2
    assert said[-2].startswith("1 more attempt failed") and "task100" in said[-1]


def test_one_thread_at_a_time_counts_attempts():
    meeting, met = threading.Barrier(2), []

    def clock():
        with suppress(threading.BrokenBarrierError):
            met.append(meeting.wait(0.1))
        return 0.0

    lines = AttemptLines(print, clock)
    meeting.reset()
    in_threads(lines.flush, 2)
    assert met == []


@pytest.mark.parametrize("option", ["--port", "--console-port", "--cloud-tasks"])
def test_a_port_in_use_is_reported_in_one_line_that_names_the_option(app, capsys, option):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        given = {"--port": "0", "--console-port": "0"} | {option: str(port)}
        assert main(["serve", str(app), *(word for pair in given.items() for word in pair)]) == 1
    assert (
        capsys.readouterr().err
        == f"port {port} can't be used: Address already in use; choose another one with {option}\n"
    )


def test_mistakes_of_the_user_are_explained(app, capsys, tmp_path):
    (app / "queue.yaml").write_text("queue:\n- name: a\n  rate: 5/x\n")
    for arguments, status, message in (
        (["serve", str(tmp_path)], 1, "contains some. Pass the folder of one: my-app"),
        (["serve", str(app)], 1, "queue.yaml, line 3: rate: '5/x' is not a rate"),
        (["serve", str(app), "--fresh", "--state", "x"], 2, "--fresh keeps nothing"),
        (["run", "--", "no-such-command", "--port", "1"], 1, "the command no-such-command doesn't exist"),
        (["run"], 2, "Missing argument 'COMMAND...'"),
        (["serve", str(app), "--service", "worker"], 2, "--service needs NAME=FOLDER"),
        (["serve", str(app), "--service", f"Worker={app}"], 2, "not 'Worker="),
        (["serve", str(app), "--service", f"default={app}"], 2, "default is the name of another service"),
        (["serve", str(app), "--service", "worker=none"], 1, "none"),
    ):
        assert main(arguments) == status, arguments
        assert message in capsys.readouterr().err


def test_an_application_runs_with_its_tasks_until_serve_stops_and_after_its_next_start(app, terminal):
    (app / "controllers" / "default.py").write_text(CONTROLLER)
    (app / "modules").mkdir()
    (app / "private").mkdir()
    os.mkfifo(app / "private" / "go")
    one = terminal("serve", str(app))
    host = f"127.0.0.1:{one.port}"
    assert one.get("/my_app/default/add/print_values") == "added"
    assert one.wait_for("worked for") == f"worked for default on {host} with b"
    one.get("/my_app/default/add/fail")
    assert one.wait_for("File").strip()
    one.find("status 500; runs again in 0.1 s")  # this line may come before the traceback
    assert not [line for line in one.lines if "/state/" in line and "controllers" in line]  # the real path is shown

    (app / "modules" / "answer.py").write_text("number = 1\n")
    began = time.monotonic()
    one.wait_for("modules/answer.py has changed, so the application starts again")
    one.wait_for("the application runs")
    assert one.get("/my_app/default/number") == "1"
    assert time.monotonic() - began < 4  # 2 s on a machine that does nothing else
    (app / "queue.yaml").write_text("queue:\n- name: a\n  rate: x\n")
    one.wait_for("queue.yaml, line 3: rate: 'x' is not a rate")
    (app / "queue.yaml").write_text("queue:\n- name: mail\n  rate: 5/s\n")
    one.wait_for("queue.yaml has changed, and the queues use it")
    one.get("/my_app/default/add/print_values/mail")
    assert one.wait_for("worked for") == f"worked for mail on {host} with b"

    one.get("/my_app/default/add/block/mail")
    one.wait_for("blocks")
    began = time.monotonic()
    assert one.end() == 0
    assert time.monotonic() - began < 3
    two = terminal("serve", str(app))
    two.wait_for("blocks")  # again, because the first attempt was broken off
    assert not [line for line in two.lines if "no server listens" in line]  # tasks wait until the application runs
    (app / "private" / "go").write_text("")
    two.wait_for("went on")
    assert two.end(signal.SIGTERM) == 0


SERVER = """
import os
import signal
from wsgiref.simple_server import make_server
from google.appengine.api import taskqueue, wrap_wsgi_app

def application(environ, start_response):
    if environ["PATH_INFO"] == "/add":
        taskqueue.add(url="/work", payload=os.environ["GAE_ENV"])
        taskqueue.add(url="/work", target="worker")
    else:
        print("worked for", environ.get("HTTP_X_APPENGINE_QUEUENAME"), environ["HTTP_HOST"])
    start_response("200 OK", [])
    return [b"ok"]

signal.signal(signal.SIGTERM, signal.SIG_IGN)
make_server("127.0.0.1", PORT, wrap_wsgi_app(application)).serve_forever()
"""


def test_any_server_has_the_same_queues_and_a_second_ctrl_c_ends_it(terminal, tmp_path):
    source = SERVER.replace("PORT", "int('$PORT')")
    nowhere = {"HOME": str(tmp_path / "home"), VARIABLE: ""}
    worker = tmp_path / "worker"
    worker.mkdir()
    (worker / "main.py").write_text(SERVER.replace("PORT", "int(os.environ['PORT'])"))
    (worker / "app.yaml").write_text(f"entrypoint: {sys.executable} -u main.py\n")
    service = ("--service", f"worker={worker}")
    one = terminal("run", "--fresh", *service, "--", sys.executable, "-c", source, cwd=tmp_path, **nowhere)
    port = re.search(r":(\d+)/", one.find("run: the service worker is at http://127.0.0.1:"))[1]
    one.find("run: worker: the application runs")
    assert one.get("/add") == "ok"
    lines = {one.wait_for("worked for") for _ in range(2)}
    assert lines == {f"worked for default 127.0.0.1:{one.port}", f"worker | worked for default 127.0.0.1:{port}"}
    one.process.send_signal(signal.SIGINT)
    one.wait_for("run: stopping")
    assert one.end() == 130  # the server ignores SIGTERM, so after one Ctrl-C it would end only after 1.5 s
    assert list(tmp_path.iterdir()) == [worker]


def test_the_examples_of_the_page_work_as_they_are_printed(terminal, tmp_path):
    def fetch():
        command, url = next(commands).split()
        assert command == "curl"
        return one.get(urlsplit(url).path)

    def blocks(kind):
        return iter(re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL))

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def start():
        command, *arguments = shlex.split(next(commands))
        assert command == "taskqueue-course"
        return terminal(*arguments, cwd=tmp_path, PATH=path, HOME=str(tmp_path), **{VARIABLE: ""})

    def printed(lines):
        """Return the lines as a set, because the application starts beside the others."""
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST", "\n".join(lines))
        return set(re.sub(r"shop-[0-9a-f]{10}", "shop", text).splitlines())

    commands, outputs, programs = blocks("console"), blocks("text"), blocks("python")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    model, controller, main_py = programs
    write("shop/models/db.py", model)
    write("shop/controllers/default.py", controller)
    one = start()
    assert printed(one.lines) == printed(next(outputs).splitlines())
    assert fetch() == next(outputs)
    assert one.wait_for("a row was inserted") == "a row was inserted"
    assert fetch() == next(outputs)

    (failing,) = re.findall("add the line `(raise [^`]*)`", PAGE)
    write("shop/controllers/default.py", controller.replace("task_do():\n", f"task_do():\n    {failing}\n"))
    one.get("/shop/default/gen_task")
    time_of_day = len("serve: 09:00:00")
    assert one.wait_for("; runs again")[time_of_day:] == next(outputs)[time_of_day:].rstrip()
    write("shop/controllers/default.py", controller)
    one.wait_for("a row was inserted")
    assert one.get("/shop/default/index") == "rows: 2\n"
    assert one.end() == 0

    write("main.py", main_py)
    one = start()
    assert one.get("/add") == "ok\n"
    assert one.wait_for("worked") == "worked on a letter"
