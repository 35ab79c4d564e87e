"""The process of `serve` with fake services."""

import socket
import threading
from types import SimpleNamespace

import pytest

from harness.serve import daemon
from harness.serve.daemon import Daemon, Options
from harness.serve.project import command_project
from harness.state import VARIABLE

SECONDS = 20
events = []


class FakeService:
    """A service without a process, which calls the task queue as soon as it starts."""

    def __init__(self, name, project, port, folder, surroundings, default, stack):
        self.name, self.host, self.surroundings = name, f"127.0.0.1:{8080 + len(events)}", surroundings
        self.status = SimpleNamespace(is_running=True, problems={}, url=f"http://{self.host}/", describe=dict)
        socket.create_connection(("127.0.0.1", surroundings.api_port), timeout=SECONDS).close()
        events.append(f"{name} starts")
        stack.callback(events.append, f"{name} has stopped")

    def follow_files(self, stack):
        pass

    def begin_stop(self):
        events.append(f"{self.name} stops")


@pytest.fixture
def start(monkeypatch, tmp_path):
    monkeypatch.setattr(daemon, "Service", FakeService)
    monkeypatch.setattr(daemon.signal, "signal", lambda *handler: None)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    events.clear()

    def start(say):
        project = command_project(tmp_path, ["x"])
        options = Options(port=0, console_port=0, fresh=True, services=(("worker", project),))
        return Daemon(project, options, say)

    return start


def test_all_services_stop_at_the_same_time(start):
    with start(print):
        assert events == ["default starts", "worker starts"]
    assert events[2:] == ["default stops", "worker stops", "worker has stopped", "default has stopped"]


def test_the_server_ends_when_its_output_is_closed(start):
    error = OSError("the disk is full")

    def say(text):
        raise error

    with start(say) as one:
        surroundings = one._default.surroundings
        surroundings.say("the application runs")
        surroundings.on_line("a line of it", None)
        assert not one._ending.is_set()
        error = BrokenPipeError()
        surroundings.on_line("a line of it", None)
        waiting = threading.Thread(target=one.wait, daemon=True)
        waiting.start()
        waiting.join(SECONDS)
        assert not waiting.is_alive()
