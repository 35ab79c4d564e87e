"""Which service gets a task, depending on the task's host, and which files a service uses."""

from contextlib import ExitStack
from queue import Queue as Box
from types import SimpleNamespace

import pytest

from harness.records import Request, Response
from harness.serve.project import find_project
from harness.serve.reload import Reloader
from harness.serve.services import Service, Services, Surroundings
from harness.serve.supervisor import Supervisor


class FakeService:
    def __init__(self, name, host):
        self.name, self.host, self.said = name, host, []
        self.status = SimpleNamespace(is_running=False)

    def begin_stop(self):
        self.said.append("stopping")

    def send(self, request, start, deadline):
        return Response(200, self.name)

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def services():
    return Services([FakeService("default", "127.0.0.1:8080"), FakeService("worker", "127.0.0.1:8081")])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8080", "default"),
        ("127.0.0.1:8081", "worker"),  # a task that the service itself has added, without a target
        ("localhost:8081", "worker"),
        ("LOCALHOST:8081", "worker"),
        ("localhost:8080", "default"),
        ("worker.localhost:8080", "worker"),
        ("worker.127.0.0.1:8080", "worker"),
        ("default.127.0.0.1:8080", "default"),
        ("v2.worker.127.0.0.1:8080", "worker"),
        ("1.v2.worker.127.0.0.1:8080", "worker"),
        ("WORKER.tutorial.appspot.com", "worker"),
        ("v2-dot-worker-dot-tutorial.appspot.com", "worker"),
        ("tutorial.appspot.com", "default"),
        ("worker.example.com", "default"),
        ("", "default"),
    ],
)
def test_the_host_of_a_task_names_its_service(services, host, name):
    assert services(Request("POST", "/", host=host), 0.0, 10.0).reason == name
    assert services.default.said == []


def test_a_label_that_names_no_service_is_reported_once(services):
    for host in ("wroker.127.0.0.1:8080", "wroker.127.0.0.1:8080", "wroker.tutorial.appspot.com"):
        assert services.find(host) is services.default
    assert services.default.said == ["'wroker' isn't a service here, so its tasks run in 'default'"]


def test_the_host_of_a_full_url_names_no_service(services):
    assert services(Request("GET", "/", host="127.0.0.1:8081", scheme="http"), 0.0, 10.0).reason == "default"


def test_tasks_can_run_if_one_service_runs(services):
    assert not services.can_run_tasks()
    services.find("127.0.0.1:8081").status.is_running = True
    assert services.can_run_tasks()


@pytest.fixture
def surroundings():
    return Surroundings(1, "secret", 8, Box().put, print, print, Box().put)


@pytest.fixture
def start(monkeypatch, tmp_path, surroundings):
    """Make services whose processes and whose threads aren't started."""
    monkeypatch.setattr(Supervisor, "start", lambda self: None)
    monkeypatch.setattr(Reloader, "start", lambda self: None)
    with ExitStack() as stack:

        def start(name, default=None, *files):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "app.yaml").write_text("entrypoint: x\napp_engine_apis: true\n")
            for each in files:
                (folder / each).write_text("")
            service = Service(name, find_project(folder), 0, tmp_path, surroundings, default, stack)
            service.follow_files(stack)
            return service

        yield start


def messages(box):
    return list(box.__self__.queue)


def test_only_the_default_services_queue_yaml_is_used(start, surroundings, tmp_path):
    default = start("default", None, "queue.yaml")
    worker = start("worker", default, "queue.yaml")
    start("default", default)  # a second service in the folder of the first one
    assert messages(surroundings.say) == [
        "worker: not used here: queue.yaml, because the queue.yaml of default defines the queues"
    ]
    for each in (worker, default):
        (each.project.root / "queue.yaml").write_text("queue:\n")
        each._reloader.handle(set())
    assert messages(surroundings.on_queues) == [tmp_path / "default" / "queue.yaml"]


def test_an_attempt_names_the_service_that_does_not_run(start):
    default = start("default")
    worker = start("worker", default)
    hints = [each.send(Request("POST", "/"), 0.0, 10.0).hint for each in (default, worker)]
    names = ("the application", "the service worker")
    assert hints == [f"{name} doesn't run: it has not been started" for name in names]


def test_a_file_that_changes_whenever_the_application_starts_is_a_problem_in_the_console(start, monkeypatch):
    service = start("default")
    monkeypatch.setattr(Supervisor, "age", 1.0)
    for _ in range(5):
        service._reloader.handle({service.project.root / "main.py", service.project.root / "view.py"})
    assert service._supervisor.restarts == 3
    assert [each.partition(" ")[0] for each in service.status.problems.values()] == ["main.py", "view.py"]
