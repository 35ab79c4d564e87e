"""The console: what its server sends, what it changes, and what it refuses."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from importlib.resources import files

import pytest
from tornado.iostream import StreamClosedError

from harness.errors import HarnessError
from harness.serve.console import console as module
from harness.serve.console.console import Console
from tests.support.fake_engine import FakeEngine, FakeStatus, attempt, task

SECONDS = 20  # that a test waits at most
FILES = ("/", "/console.css", "/console.js", "/look.css", "/icon.svg")
READS = (*FILES, "/events", "/tasks?queue=&text=", "/attempt?number=1", "/nothing")
ACTIONS = {
    "pause": {"queue": "mail"},
    "resume": {"queue": "mail"},
    "run_now": {"queue": "mail", "task": "t1"},
    "delete_task": {"queue": "mail", "task": "t1"},
    "purge": {"queue": "mail"},
}


@pytest.fixture
def engine():
    """An engine with two queues and a task."""
    engine = FakeEngine("default", "mail")
    engine.tasks.append(task("mail", "t1"))
    return engine


@pytest.fixture
def console(engine):
    console = Console(engine, [FakeStatus()], 0)
    yield console
    console.stop()


class Stream:
    """The events that a page receives."""

    def __init__(self, console):
        self.connection = HTTPConnection("127.0.0.1", console.port, timeout=SECONDS)
        self.connection.request("GET", "/events")
        self.response = self.connection.getresponse()
        self.events = self._read()

    def _read(self) -> Iterator[str]:
        deadline = time.monotonic() + SECONDS  # the server sends comments without end
        while (line := self.response.readline()) and time.monotonic() < deadline:
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ").decode().strip()

    def next(self):
        return json.loads(next(self.events))

    def until(self, accept):
        """Return the first event that a function accepts."""
        return next(event for event in map(json.loads, self.events) if accept(event))

    def close(self):
        self.response.close()
        self.connection.close()


@pytest.fixture
def stream(console):
    with closing(Stream(console)) as stream:
        assert next(stream.events) == console.start
        yield stream


def send(console, method, path, body=None, **headers):
    """Return the status, the headers and the body of a response; `headers` are those that differ from the page's."""
    own = {"Origin": console.url, "X_Console_Token": console.token} if method == "POST" else {}
    named = {name.replace("_", "-"): value for name, value in (own | headers).items() if value is not None}
    with closing(HTTPConnection("127.0.0.1", console.port, timeout=SECONDS)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def error_of(answer):
    return json.loads(answer[2])["error"]


def test_a_console_listens_on_this_machine_only(console):
    assert console._socket.getsockname() == ("127.0.0.1", console.port)


def test_the_page_has_the_token_and_loads_its_files(console):
    status, headers, body = send(console, "GET", "/")
    page = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=UTF-8")
    assert f'<meta name="token" content="{console.token}">' in page
    assert 'id="marker-DONE"' in page and "$" not in page
    links = re.findall(r'(?:src|href)="(?!#)([^"]+)"', page)
    assert set(links) == {name.lstrip("/") for name in FILES[1:]}
    assert [send(console, "GET", path)[0] for path in FILES] == [200] * len(FILES)


@pytest.mark.parametrize("path", FILES)
def test_a_file_names_no_other_host_and_has_no_code_that_the_policy_forbids(console, path):
    _, headers, body = send(console, "GET", path)
    text = body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://\w|url\(['\"]?(?:http|//)", text)
    assert not re.search(r"(?i)<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("host", ["evil.example:{}", "127.0.0.1", "127.0.0.1.evil.example:{}", "[::1]:{}"])
def test_a_request_to_another_host_is_refused(console, engine, path, host):
    answer = send(console, "GET", path, Host=host.format(console.port))
    assert answer[0] == 403
    assert error_of(answer).startswith(f"The console is at {console.url}, not at '")
    assert engine.snapshots == 0


def test_localhost_is_accepted_as_the_host(console):
    assert send(console, "GET", "/", Host=f"localhost:{console.port}")[0] == 200


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_calls_the_engine(console, engine, action):
    answer = send(console, "POST", f"/{action}", ACTIONS[action])
    assert (answer[0], json.loads(answer[2])) == (200, {})
    assert engine.calls == [(action, *ACTIONS[action].values())]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"X_Console_Token": None}, "older than the server"),
        ({"X_Console_Token": "wrong"}, "older than the server"),
        ({"X_Console_Token": "\xe9"}, "older than the server"),
        ({"Origin": "http://evil.example"}, "'http://evil.example'"),
        ({"Origin": "http://localhost:8080"}, "'http://localhost:8080'"),
        ({"Origin": "null"}, "'null'"),
        ({"Sec_Fetch_Site": "cross-site"}, "Only the console's own page"),
        ({"Sec_Fetch_Site": "same-site"}, "Only the console's own page"),
        ({"Host": "evil.example"}, "not at 'evil.example'"),
    ],
)
def test_an_action_of_another_page_is_refused(console, engine, action, headers, text):
    answer = send(console, "POST", f"/{action}", ACTIONS[action], **headers)
    assert answer[0] == 403
    assert text in error_of(answer)
    assert engine.calls == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_get_changes_nothing(console, engine, action):
    status, _, _ = send(console, "GET", f"/{action}?queue=mail&task=t1", X_Console_Token=console.token)
    assert status == 405
    assert engine.calls == []


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/delete_task", {"queue": "mail", "task": "gone"}, "the queue 'mail' has no task 'gone'"),
        ("/run_now", {"queue": "mail", "task": "100%s"}, "the queue 'mail' has no task '100%s'"),
        ("/purge", {"queue": "gone"}, "the queue 'gone' doesn't exist"),
        ("/pause", {"queue": ["mail"]}, "The names must be strings, not [['mail']]."),
        ("/delete_task", {"queue": "mail"}, "The body must be JSON with queue and task."),
        ("/pause", [], "The body must be JSON with queue."),
        ("/pause", None, "The body must be JSON with queue."),
    ],
)
def test_a_mistake_is_answered_with_the_reason(console, engine, path, body, text):
    answer = send(console, "POST", path, body)
    assert (answer[0], error_of(answer)) == (400, text)
    assert engine.calls == []


def test_a_search_finds_tasks_by_name_and_url_in_one_queue_or_in_all(console, engine):
    engine.tasks += [task("default", "t2", url="/mail?to=ann"), task("default", "t3")]

    def names(query):
        return [each["name"] for each in json.loads(send(console, "GET", f"/tasks?{query}")[2])["tasks"]]

    assert names("queue=&text=ann") == ["t2"]
    assert names("queue=default&text=") == ["t2", "t3"]
    assert error_of(send(console, "GET", "/tasks?queue=gone&text=t")) == "the queue 'gone' doesn't exist"


def test_an_attempt_has_its_headers_without_the_secrets(console, engine):
    headers = [["Cookie", "session=s3cret"], ["Authorization", "Bearer s3cret"], ["X-AppEngine-QueueName", "mail"]]
    engine.attempts.append(attempt(7, "mail", "t0", headers=headers, log=["one"], ticket="a traceback"))
    status, _, body = send(console, "GET", "/attempt?number=7")
    found = json.loads(body)
    assert found["headers"] == ["Cookie: session=…", "Authorization: Bearer …", "X-AppEngine-QueueName: mail"]
    assert (found["log"], found["ticket"], found["body"]) == (["one"], "a traceback", "ok")
    assert b"s3cret" not in body
    assert "isn't kept any more" in error_of(send(console, "GET", "/attempt?number=8"))


def test_a_page_receives_everything_and_then_only_what_changes(engine, stream):
    first = stream.next()
    assert [each["name"] for each in first["queues"]] == ["default", "mail"]
    assert [each["name"] for each in first["tasks"]] == ["t1"]
    assert first["applications"][0]["state"] == "running"
    assert first["attempts"] == []
    with engine.changing():
        engine.attempts.append(attempt(1, "mail", "t0"))
    event = stream.next()
    assert [each["number"] for each in event["attempts"]] == [1]
    assert "tasks" not in event and "applications" not in event


def test_a_change_is_sent_within_a_second_and_many_changes_in_one_event(engine, stream):
    stream.next()
    began = time.monotonic()
    with engine.changing():
        engine.attempts += [attempt(number, "mail", "t0") for number in range(1, 301)]
    assert [each["number"] for each in stream.next()["attempts"]] == list(range(1, 301))
    assert time.monotonic() - began < 1


def test_changes_without_a_break_are_read_at_most_5_times_a_second(engine, stream):
    stream.next()
    began = time.monotonic()
    while engine.snapshots < 4 and time.monotonic() - began < SECONDS:
        with engine.changing():
            engine.queues[0]["last_minute"] += 1
    assert engine.snapshots >= 4
    assert time.monotonic() - began > 2 * 0.2


def test_an_attempt_that_started_early_and_ended_late_is_sent(engine, stream):
    with engine.changing():
        engine.attempts.append(attempt(2, "mail", "fast"))
    stream.until(lambda event: [each["task"] for each in event["attempts"]] == ["fast"])
    with engine.changing():
        engine.attempts.append(attempt(1, "mail", "slow"))
    stream.until(lambda event: [each["task"] for each in event["attempts"]] == ["slow"])


def test_a_list_of_attempts_has_their_marks_and_not_their_bodies(engine, stream):
    with engine.changing():
        late = attempt(3, "mail", "late", 0, note="deadline of 600 s exceeded")
        dropped = attempt(4, "mail", "bad", 404, outcome="dropped")
        engine.attempts += [attempt(1, "mail", "good"), attempt(2, "mail", "bad", 500), late, dropped]
    event = stream.until(lambda event: event["attempts"])
    assert [each["mark"] for each in event["attempts"]] == ["DONE", "FAILED", "STOPPED", "DROPPED"]
    assert {"body", "headers", "log"} & set(event["attempts"][0]) == set()


def test_a_change_of_the_application_is_sent(console, stream):
    stream.next()
    began = time.monotonic()
    console.applications[0].values |= {"state": "failed", "problems": ["queue.yaml, line 3: …"]}
    event = stream.until(lambda event: "applications" in event)
    assert (event["applications"][0]["state"], event["applications"][0]["problems"]) == (
        "failed",
        ["queue.yaml, line 3: …"],
    )
    assert time.monotonic() - began < 2


def test_an_idle_page_reads_nothing_and_nothing_waits_after_it_is_closed(engine, stream, monkeypatch):
    stream.next()
    monkeypatch.setattr(module, "_NOTICE", 0.01)
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    looks, wait = threading.Semaphore(0), engine.wait_for_change
    engine.wait_for_change = lambda *arguments: looks.release() or wait(*arguments)
    assert all(looks.acquire(timeout=SECONDS) for _ in range(20))
    assert engine.snapshots == 1
    stream.close()
    deadline = time.monotonic() + SECONDS
    while looks.acquire(timeout=1):
        assert time.monotonic() < deadline, "the engine is still asked"


def test_a_page_that_is_closed_while_it_is_written_to_does_not_stop_the_console(console, monkeypatch):
    asked = threading.Event()

    def flush(handler, **options):
        asked.set()
        future = asyncio.get_running_loop().create_future()
        future.set_exception(StreamClosedError())
        future.exception()  # or the loop reports that nobody has looked at it
        return future

    monkeypatch.setattr(module._Events, "flush", flush)
    with closing(HTTPConnection("127.0.0.1", console.port, timeout=SECONDS)) as connection:
        connection.request("GET", "/events")
        assert asked.wait(SECONDS)
        assert send(console, "GET", "/")[0] == 200


def test_a_port_in_use_names_the_option(console):
    with pytest.raises(
        HarnessError, match=rf"^port {console.port} can't be used: .*; choose another .*--console-port$"
    ):
        Console(FakeEngine(), [], console.port)


def test_a_console_stops_quickly_and_quietly_while_pages_are_open(capfd):
    console = Console(FakeEngine("default"), [], 0)
    streams = [Stream(console) for _ in range(3)]
    for stream in streams:
        next(stream.events)
        stream.next()
    began = time.monotonic()
    console.stop()
    assert time.monotonic() - began < 1
    assert [list(stream.events) for stream in streams] == [[], [], []]
    for stream in streams:
        stream.close()
    assert capfd.readouterr().err == ""


def test_the_files_of_the_page_are_data_of_the_package():
    names = {file.name for file in files("harness.serve.console").iterdir() if file.suffix not in (".py", "")}
    assert names == {"index.html", "console.css", "console.js", "icon.svg"}
