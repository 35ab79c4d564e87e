"""The application's process: web2py on real files, behind waitress, with Google's client and without forged headers."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from harness.serve.child import AttemptStream, split_line
from harness.serve.project import find_project
from harness.serve.services import environment
from harness.serve.supervisor import Supervisor, free_port

SECONDS = 30
TOKEN = "secret"
CONTROLLER = """
import json
import os
import sys

def count():
    session.number = (session.number or 0) + 1
    return str(session.number)

def show():
    names = ["http_x_appengine_queuename", "remote_addr", "server_port", "http_x_harness_token"]
    ticket, production = os.environ.get("HTTP_X_APPENGINE_API_TICKET"), "GAE_APPLICATION" in os.environ
    return json.dumps({
        "args": request.args, "host": URL("x", host=True), "local": request.is_local, "folder": request.folder,
        "ticket": ticket, "production": production, **{name: request.env[name] for name in names},
    })

def move():
    redirect(URL("show"))

def text():
    raise HTTP(200, T("a text"))

def talk():
    print("one", end="")
    print(" line")
    sys.stderr.write("no end")
    return ""

def fail():
    print("before")
    raise ValueError("my mistake")
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The folder of a small application."""
    folder = tmp_path_factory.mktemp("child") / "my-app"
    shutil.copytree(Path(__file__).parents[1] / "applications" / "seed", folder)
    (folder / "controllers" / "default.py").write_text(CONTROLLER)
    (folder / "queue.py").write_text("raise RuntimeError('it hides a module of Python')")
    return folder


class Process:
    """The child's process, with its lines."""

    def __init__(self, app):
        self.lines, self.port, self.ready = [], free_port(), threading.Event()
        command = find_project(app).command(app.parent / "state", threads=8)
        values = environment(self.port, free_port(), TOKEN)
        self.supervisor = Supervisor(command, values, self.port, lambda text: self.ready.set(), self.lines.append, app)
        self.supervisor.start()
        assert self.ready.wait(SECONDS), self.lines
        assert self.supervisor.state == "running", self.lines

    def ask(self, method, path, body=None, headers=()):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request(method, path, body, {"Host": "127.0.0.1:8080"} | dict(headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content


@pytest.fixture(scope="module")
def process(app):
    process = Process(app)
    yield process
    process.supervisor.stop()


def of_task(**more):
    names = {name.replace("_", "-"): value for name, value in more.items()}
    return {"X-Harness-Token": TOKEN, "X-AppEngine-QueueName": "default", "X-Appengine-User-Ip": "0.1.0.2"} | names


def test_no_change_of_a_session_is_lost_in_8_threads(process):
    cookie = process.ask("GET", "/my_app/default/count")[0].headers["Set-Cookie"].partition(";")[0].strip()
    with ThreadPoolExecutor(8) as pool:
        count = lambda _: int(process.ask("GET", "/my_app/default/count", headers={"Cookie": cookie})[1])  # noqa: E731
        numbers = list(pool.map(count, range(80)))
    assert sorted(numbers) == list(range(2, 82))


@pytest.mark.row("T71")
def test_a_users_request_has_no_forged_headers_and_has_the_fronts_port(process, app):
    forged = of_task() | {"X-Harness-Token": "guessed"}
    seen = json.loads(process.ask("GET", "/my_app/default/show/caf%C3%A9", headers=forged)[1])
    assert seen["http_x_appengine_queuename"] is seen["http_x_harness_token"] is None
    assert (seen["remote_addr"], seen["local"], seen["server_port"]) == ("127.0.0.1", True, "8080")
    assert (seen["args"], seen["host"]) == (["café"], "http://127.0.0.1:8080/my_app/default/x")
    assert seen["ticket"] and not seen["production"]
    assert Path(seen["folder"]).resolve() == app
    assert (app / "sessions").is_dir()


def test_redirects_translated_texts_and_head_requests_work(process):
    response, _ = process.ask("GET", "/my_app/default/move")
    assert (response.status, response.headers["Location"]) == (303, "/my_app/default/show")
    assert process.ask("GET", "/my_app/default/text")[1] == b"a text"
    assert process.ask("HEAD", "/my_app/default/count")[1] == b""


@pytest.mark.row("T71")
def test_a_tasks_request_has_its_headers(process):
    seen = json.loads(process.ask("POST", "/my_app/default/show", b"", of_task())[1])
    assert (seen["http_x_appengine_queuename"], seen["remote_addr"], seen["local"]) == ("default", "0.1.0.2", False)
    assert seen["http_x_harness_token"] is None


@pytest.mark.row("T74")
def test_a_deferred_function_runs_for_tasks_only(process):
    body = pickle.dumps((print, ("deferred output",), {}))
    headers = of_task(X_AppEngine_TaskName="t", X_Harness_Attempt="7")
    assert process.ask("POST", "/_ah/queue/deferred", body, headers | {"X-Harness-Token": ""})[0].status == 403
    assert "\x1e7\x1fdeferred output" not in process.lines
    assert process.ask("POST", "/_ah/queue/deferred", body, headers)[0].status == 200
    assert lines_of(process, 7) == ["deferred output"]


def lines_of(process, number):
    """Return the lines of an attempt that has ended. The line of a later request shows that they have arrived."""
    process.ask("GET", "/my_app/default/talk", headers=of_task(X_Harness_Attempt=f"{number}000"))
    while (number * 1000, "no end") not in map(split_line, list(process.lines)):
        assert process.supervisor.state == "running"
    return [text for attempt, text in map(split_line, list(process.lines)) if attempt == number]


def test_the_lines_of_an_attempt_are_marked_with_its_number(process):
    process.ask("GET", "/my_app/default/talk", headers=of_task(X_Harness_Attempt="1"))
    response, _ = process.ask("GET", "/my_app/default/fail", headers=of_task(X_Harness_Attempt="2"))
    assert response.status == 500 and response.headers["web2py_error"].startswith("ticket my_app/")
    assert lines_of(process, 1) == ["one line", "no end"]
    assert lines_of(process, 2)[0] == "before" and "ValueError: my mistake" in lines_of(process, 2)


def test_a_changed_controller_takes_effect_in_the_next_request(process, app):
    path = app / "controllers" / "default.py"
    path.write_text(f"{CONTROLLER}\ndef added():\n    return 'new'\n")
    assert process.ask("GET", "/my_app/default/added")[1] == b"new"
    path.write_text(f"{CONTROLLER}\ndef added():\n    return 'newer'\n")
    assert process.ask("GET", "/my_app/default/added")[1] == b"newer"


def test_the_process_ends_when_its_standard_input_is_closed(app):
    port = free_port()
    command = find_project(app).command(app.parent / "state", threads=1)
    with subprocess.Popen(command, env=environment(port, 1, TOKEN), cwd=app, stdin=-1, stderr=-1) as process:
        try:
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 1


def test_lines_of_several_threads_do_not_mix():
    written = io.StringIO()
    stream = AttemptStream(written)
    go_on = threading.Event()

    def other():
        stream.begin("2")
        stream.write("b1")
        go_on.set()
        stream.begin(None)

    stream.begin("1")
    stream.write("a1\na")
    thread = threading.Thread(target=other)
    thread.start()
    assert go_on.wait(SECONDS)
    thread.join()
    print("2", file=stream)
    stream.begin(None)
    stream.write("plain\n")
    lines = written.getvalue().split("\n")
    assert [split_line(line) for line in lines] == [(1, "a1"), (2, "b1"), (1, "a2"), (None, "plain"), (None, "")]


@pytest.mark.row("T73")
def test_the_environment_is_that_of_a_local_app_engine(monkeypatch):
    monkeypatch.setenv("APPENGINE_USE_CLOUDTASK_PUSH_QUEUE", "true")
    monkeypatch.setenv("PATH", "/bin")
    values = environment(8001, 8002, TOKEN)
    assert (values["PORT"], values["API_HOST"], values["API_PORT"]) == ("8001", "127.0.0.1", "8002")
    assert (values["GAE_ENV"], values["SERVER_SOFTWARE"]) == ("localdev", "Development/2.0")
    assert "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE" not in values
    assert values["PATH"].split(os.pathsep) == ["/bin", str(Path(sys.executable).parent)]
