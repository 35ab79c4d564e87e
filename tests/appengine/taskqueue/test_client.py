"""How a service is connected with Google's client, and how that is undone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import ModuleType

import pytest

from harness.appengine.clock import START, Clock
from harness.appengine.taskqueue import TaskQueueService, connect, preload
from harness.errors import LabClosedError

NOW = START.timestamp()


@pytest.fixture
def taskqueue() -> Iterator[ModuleType]:
    preload()
    from google.appengine.api.taskqueue import taskqueue

    yield taskqueue
    assert taskqueue.time is time, "a connection was left open"


def new_service(hours: float = 0) -> TaskQueueService:
    service = TaskQueueService(Clock())
    service.clock.advance(hours * 3600)
    return service


def run_python(*lines: str) -> str:
    """Run a program in a fresh process, in which nothing of Google's is imported."""
    begin = (
        "from harness.appengine.clock import Clock",
        "from harness.appengine.taskqueue import TaskQueueService, connect, preload",
    )
    program = "\n".join((*begin, *lines))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CONNECT = "service = TaskQueueService(Clock()); connection = connect(service)"
IMPORT = "from google.appengine.api import taskqueue"
PRELOAD = "preload()"
ADD = "taskqueue.add(url='/x', countdown=10); print(service.queues['default'].next_eta())"


@pytest.mark.parametrize(
    "order",
    [
        (CONNECT, IMPORT, ADD),
        (IMPORT, CONNECT, ADD),
        (CONNECT, PRELOAD, IMPORT, ADD),
        (PRELOAD, CONNECT, IMPORT, ADD),
        (CONNECT, "connection.close()", IMPORT, CONNECT, ADD),
    ],
)
def test_the_client_is_on_the_virtual_clock_whenever_it_was_imported(order):
    assert run_python(*order) == str(NOW + 10)


def test_connecting_does_not_import_the_client():
    check = "import sys; print('google.appengine.api.taskqueue' in sys.modules, 'google.protobuf' in sys.modules)"
    assert run_python(CONNECT, check) == "False False"


def test_what_waits_for_the_client_goes_when_the_client_has_come():
    here = "from google.appengine.runtime import context; before = context.get"
    log = "import logging; logging.warning = print"
    check = "taskqueue.Task(url='/x'); print(context.get is before)"
    assert run_python(here, log, CONNECT, IMPORT, check) == "True", "and HTTP_HOST was found meanwhile"


def test_what_waits_for_the_client_goes_with_the_last_connection():
    here, check = "from google.appengine.runtime import context; before = context.get", "print(context.get is before)"
    assert run_python(here, CONNECT, check, "connection.close()", check) == "False\nTrue"


def test_the_client_is_preloaded_without_its_warnings():
    check = "print('google.appengine.api.taskqueue.taskqueue' in sys.modules)"
    assert run_python("import sys, warnings; warnings.simplefilter('error')", PRELOAD, check) == "True"


def test_the_packages_for_cloud_tasks_are_loaded_only_for_cloud_tasks_mode():
    """They would double the time that the client takes to import."""
    loaded = "print([name in sys.modules for name in ('google.api_core', 'google.cloud.tasks_v2')])"
    plain = "from harness import Lab; lab = Lab(); lab.run(); taskqueue.add(url='/x'); print(len(lab.tasks()))"
    cloud = "lab = Lab(cloud_tasks=True); lab.run(); print(taskqueue.add(url='/x').name, len(lab.tasks()))"
    used = "from google.cloud import tasks_v2; from google.appengine.api.taskqueue import cloudtask"
    same = "print(cloudtask.tasks_v2 is tasks_v2)"
    printed = run_python("import sys", PRELOAD, IMPORT, plain, loaded, cloud, used, same).splitlines()
    assert printed == ["1", "[False, False]", "task1 1", "True"]


def test_the_newest_service_answers(taskqueue):
    old, new = new_service(), new_service(hours=1)
    with connect(old), connect(new):
        taskqueue.add(url="/x", countdown=1)
    assert len(old.queues["default"]) == 0
    assert new.queues["default"].next_eta() == NOW + 3601


@pytest.mark.parametrize("closed_first", [0, 1, 2])
def test_connections_may_be_closed_in_any_order(taskqueue, closed_first):
    services = [new_service(), new_service(), new_service()]
    connections = [connect(service) for service in services]
    connections.pop(closed_first).close()
    taskqueue.add(url="/x")
    expected = [0, 0, 0]
    expected[1 if closed_first == 2 else 2] = 1
    assert [len(service.queues["default"]) for service in services] == expected
    for connection in connections:
        connection.close()
        connection.close()


def test_a_service_in_a_request_answers_although_another_is_newer(taskqueue):
    old, new = new_service(), new_service(hours=1)
    with connect(old) as connection, connect(new):
        with connection.active():
            taskqueue.add(url="/x", countdown=1)
        taskqueue.add(url="/x", countdown=2)
    assert old.queues["default"].next_eta() == NOW + 1
    assert new.queues["default"].next_eta() == NOW + 3602


def test_an_exception_ends_the_request_of_a_service(taskqueue):
    old, new = new_service(), new_service()
    with connect(old) as connection, connect(new):
        with pytest.raises(ZeroDivisionError), connection.active():
            raise ZeroDivisionError
        taskqueue.add(url="/x")
    assert len(new.queues["default"]) == 1


def test_within_a_request_the_clock_shows_what_has_passed_in_it(taskqueue):
    service = new_service()
    with connect(service), service.clock.travel(deadline=60):
        time.sleep(2)
        taskqueue.add(url="/x", countdown=10)
    assert service.queues["default"].next_eta() == NOW + 12


def test_without_a_lab_the_client_says_how_to_make_one(taskqueue):
    connect(new_service()).close()
    with pytest.raises(LabClosedError, match=r"no lab is open.*lab = Lab\(\)"):
        taskqueue.add(url="/x")


def test_a_lab_that_was_closed_within_its_own_request_answers_no_more(taskqueue):
    connection = connect(new_service())
    with connection.active():
        connection.close()
        with pytest.raises(LabClosedError):
            taskqueue.add(url="/x")


def test_the_environment_is_as_before_after_the_last_connection(taskqueue, monkeypatch):
    monkeypatch.setenv("HTTP_HOST", "example.com")
    monkeypatch.delenv("DEFAULT_VERSION_HOSTNAME", raising=False)
    monkeypatch.setenv("APPENGINE_USE_CLOUDTASK_PUSH_QUEUE", "true")
    before = dict(os.environ)
    first, second = connect(new_service()), connect(new_service())
    for connection in (first, second):
        assert os.environ["HTTP_HOST"] == "tutorial.appspot.com"
        assert "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE" not in os.environ
        connection.close()
    assert dict(os.environ) == before


def test_tasks_never_go_over_the_network(taskqueue, monkeypatch):
    monkeypatch.setenv("APPENGINE_USE_CLOUDTASK_PUSH_QUEUE", "true")
    service = new_service()
    with connect(service):
        taskqueue.add(url="/x")
    assert len(service.queues["default"]) == 1


def test_the_stub_of_somebody_else_comes_back(taskqueue):
    from google.appengine.api import apiproxy_stub_map

    ours, theirs = apiproxy_stub_map.apiproxy.GetStub("taskqueue"), object()
    apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", theirs)
    with connect(new_service()):
        taskqueue.add(url="/x")
    restored = apiproxy_stub_map.apiproxy.GetStub("taskqueue")
    apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", ours)
    assert restored is theirs


def test_the_rest_of_the_module_time_is_the_real_one(taskqueue):
    with connect(new_service()):
        assert taskqueue.time.gmtime is time.gmtime


def test_a_listener_of_the_service_receives_the_name_and_the_request_of_each_call(taskqueue):
    service, heard = new_service(), []
    service.listeners.append(lambda call, request: heard.append((call, type(request).__name__)))
    with connect(service):
        taskqueue.add(url="/x")
        taskqueue.Queue().purge()
    service.listeners.clear()
    assert heard == [("BulkAdd", "TaskQueueBulkAddRequest"), ("PurgeQueue", "TaskQueuePurgeQueueRequest")]
