"""`Lab(cloud_tasks=True)`: Google's `taskqueue` client sends its tasks to Cloud Tasks, and they reach the lab."""

import os
import threading
from datetime import timedelta

import pytest
from google.auth.exceptions import DefaultCredentialsError

from harness import Lab
from harness.appengine.clock import START
from harness.appengine.taskqueue import client, preload
from harness.errors import BadValueError, LabClosedError
from harness.records import Outcome
from tests.support.stage import import_deferred

VARIABLES = ("APPENGINE_USE_CLOUDTASK_PUSH_QUEUE", "GOOGLE_CLOUD_PROJECT", "LOCATION_ID", "GAE_SERVICE", "GAE_VERSION")
NOW = START.timestamp()
QUEUES = "queue:\n- name: mail\n  rate: 20/s\n- name: pull\n  mode: pull\n"
CONTROLLER = """
from google.appengine.api import taskqueue

def add():
    return taskqueue.add(url=URL('work'), params=dict(a=1), name=request.vars.name).name

def work():
    db.mytable.insert(old=request.vars.a, new=request.env.http_host)

def adds_in_background():
    rpc = taskqueue.Queue().add_async(taskqueue.Task(url=URL('work'), params=dict(a=2)))
    return 'not waited for'
"""

OWN_CLIENT = """
from google.cloud import tasks_v2

def add():
    client = tasks_v2.CloudTasksClient()
    parent = client.queue_path("tutorial", "us-central1", "mail")
    return client.create_task(parent=parent, task={"app_engine_http_request": {"relative_uri": URL("work")}}).name

def work():
    db.mytable.insert(old="x")
"""
PLACE = "projects/tutorial/locations/us-central1"


@pytest.fixture(scope="module")
def taskqueue():
    preload()
    from google.appengine.api import taskqueue

    return taskqueue


@pytest.fixture
def cloud():
    with Lab(QUEUES, cloud_tasks=True) as lab:
        lab.write("controllers/default.py", CONTROLLER)
        yield lab


@pytest.fixture
def heard(cloud):
    """The names of the calls that reach the service."""
    calls = []
    cloud._engine.service.listeners.append(lambda call, request: calls.append(call))
    return calls


def test_a_task_of_a_controller_goes_through_cloud_tasks_and_runs(cloud, heard):
    assert cloud.get("default/add").text == "task1"
    assert heard == ["CreateTask"]
    (attempt,) = cloud.run()
    assert attempt.outcome is Outcome.DONE
    assert [row["old"] for row in cloud.table("mytable")] == ["1"]


def test_the_trace_names_the_learners_line_that_adds_a_task(cloud, taskqueue):
    cloud.get("default/add")
    call_site = cloud.trace("task1").task.call_site
    assert call_site.where == "tutorial/controllers/default.py, line 5"
    assert call_site.source.startswith("return taskqueue.add(")
    cloud.get("default/adds_in_background")
    assert cloud.trace("task2").task.call_site.where == "tutorial/controllers/default.py, line 11"
    taskqueue.Queue().add([taskqueue.Task(), taskqueue.Task()])
    assert cloud.trace("task4").task.call_site.function == "test_the_trace_names_the_learners_line_that_adds_a_task"
    assert len(cloud.timeline().axes) > 0


def test_a_handlers_own_client_reaches_the_lab_as_it_is_made_in_production(cloud):
    from google.cloud import tasks_v2

    cloud.write("controllers/own.py", OWN_CLIENT)
    assert cloud.get("own/add").text == f"{PLACE}/queues/mail/tasks/task1"
    assert [attempt.task.queue for attempt in cloud.run()] == ["mail"]
    turns = cloud.overlap("own/add", "own/add").turns
    assert "CreateTask '/tutorial/own/work'" in [turn.statement for turn in turns]
    cloud.close()
    with pytest.raises(DefaultCredentialsError):
        tasks_v2.CloudTasksClient()


def test_a_task_without_a_url_goes_to_the_root(cloud, taskqueue):
    taskqueue.add()
    assert [task.url for task in cloud.tasks()] == ["/"]


def test_an_add_async_takes_effect_without_being_waited_for(cloud, taskqueue):
    threads = set(threading.enumerate())
    taskqueue.Queue().add_async(taskqueue.Task(url="/x"))
    assert [task.url for task in cloud.tasks()] == ["/x"]
    failed = taskqueue.Queue("nowhere").add_async(taskqueue.Task())
    with pytest.raises(taskqueue.UnknownQueueError):
        failed.get_result()
    assert set(threading.enumerate()) <= threads, "a thread was started"


def test_an_interrupt_is_not_kept_for_later(cloud, taskqueue, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud._engine.service, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        taskqueue.Queue().add_async(taskqueue.Task())


def test_times_are_virtual(cloud, taskqueue):
    cloud.advance(100)
    task = taskqueue.add(url="/tutorial/default/work", countdown=50)
    assert task.eta.timestamp() == NOW + 150
    taskqueue.add(url="/tutorial/default/work", eta=START + timedelta(seconds=30))
    assert [task.eta.timestamp() for task in cloud.tasks()] == [NOW + 100, NOW + 150]
    assert [attempt.started.timestamp() for attempt in cloud.run()] == [NOW + 100, NOW + 150]


def test_a_target_becomes_the_routing_of_the_task(cloud, taskqueue):
    taskqueue.add(url="/a", target="v1.worker")
    cloud.get("default/add", headers={"Host": "other.tutorial.appspot.com"})
    assert [dict(task.headers)["Host"] for task in cloud.tasks()] == [
        "v1.worker.tutorial.appspot.com",
        "other.tutorial.appspot.com",
    ]


def test_retry_options_apply(cloud, taskqueue):
    options = taskqueue.TaskRetryOptions(task_retry_limit=2, min_backoff_seconds=10)
    taskqueue.add(url="/tutorial/default/nothing", retry_options=options)
    attempts = cloud.run()
    assert [attempt.started.timestamp() - NOW for attempt in attempts] == [0, 10, 30]
    assert attempts[-1].note == "status 404; task_retry_limit 2 reached"


def test_max_doublings_of_0_is_not_transmitted_so_the_default_applies(cloud, taskqueue):
    options = taskqueue.TaskRetryOptions(min_backoff_seconds=10, max_doublings=0, task_retry_limit=3)
    taskqueue.add(url="/tutorial/default/nothing", retry_options=options)
    assert [attempt.started.timestamp() - NOW for attempt in cloud.run()] == [0, 10, 30, 70]


def test_the_names_of_waiting_and_of_finished_tasks_raise_the_same_error(cloud, taskqueue):
    taskqueue.add(name="a", url="/tutorial/default/work")
    for _ in ("it waits", "it has run"):
        with pytest.raises(taskqueue.TaskAlreadyExistsError):
            taskqueue.add(name="a")
        cloud.run()


def test_in_a_partly_bad_batch_the_good_tasks_are_added_and_named(cloud, taskqueue, heard):
    taskqueue.add(name="a")
    tasks = [taskqueue.Task(), taskqueue.Task(name="a"), taskqueue.Task(name="b")]
    with pytest.raises(taskqueue.TaskAlreadyExistsError):
        taskqueue.Queue().add(tasks)
    assert [(task.name, task.was_enqueued) for task in tasks] == [("task1", True), ("a", False), ("b", True)]
    assert heard == ["CreateTask", "BatchCreateTasks"]
    with pytest.raises(taskqueue.UnknownQueueError):
        taskqueue.Queue("nowhere").add([taskqueue.Task(), taskqueue.Task()])


def test_tasks_are_deleted_and_queues_purged(cloud, taskqueue, heard):
    queue = taskqueue.Queue("mail")
    one, two = queue.add([taskqueue.Task(name="one"), taskqueue.Task(name="two")])
    queue.delete_tasks(one)
    assert queue.delete_tasks_by_name(["two", "three"])[1].was_deleted is False
    assert not queue.delete_tasks(taskqueue.Task(name="four")).was_deleted
    queue.add(taskqueue.Task())
    queue.purge()
    assert (one.was_deleted, len(cloud.tasks())) == (True, 0)
    assert heard == ["BatchCreateTasks", *["BatchDeleteTasks"] * 3, "CreateTask", "PurgeQueue"]


def test_the_statistics_are_true(cloud, taskqueue):
    taskqueue.Queue("mail").add([taskqueue.Task(countdown=5), taskqueue.Task(countdown=9)])
    mail, default = taskqueue.QueueStatistics.fetch([taskqueue.Queue("mail"), taskqueue.Queue()])
    assert (mail.tasks, mail.oldest_eta_usec, mail.in_flight, mail.enforced_rate) == (2, (NOW + 5) * 1e6, 0, 20)
    assert (default.tasks, default.executed_last_minute) == (0, 0)
    with pytest.raises(taskqueue.UnknownQueueError):
        taskqueue.Queue("nowhere").fetch_statistics()


def test_pull_tasks_still_use_the_bundled_service(cloud, taskqueue, heard):
    queue = taskqueue.Queue("pull")
    queue.add(taskqueue.Task(payload="x", method="PULL"))
    assert [task.payload for task in queue.lease_tasks(60, 1)] == [b"x"]
    assert heard == ["BulkAdd", "QueryAndOwnTasks"]


def test_a_deferred_function_runs(cloud, taskqueue):
    deferred = import_deferred()

    deferred.defer(len, "abc")
    (attempt,) = cloud.run()
    assert (attempt.request.url, attempt.outcome) == ("/_ah/queue/deferred", Outcome.DONE)


def test_a_transactional_task_needs_a_datastore(cloud, taskqueue):
    with pytest.raises(taskqueue.BadTransactionStateError):
        taskqueue.add(transactional=True)


def test_an_add_is_a_turn_of_a_request_that_overlaps(cloud):
    overlap = cloud.overlap("default/add", order="1")
    assert [turn.statement for turn in overlap.first.turns][0] == "taskqueue.add '/tutorial/default/work'"
    assert overlap.second.outcome is Outcome.DONE


def test_a_lab_from_a_folder_can_use_cloud_tasks(tmp_path, taskqueue):
    for folder in ("controllers", "models"):
        (tmp_path / "shop" / folder).mkdir(parents=True)
    (tmp_path / "shop" / "controllers" / "default.py").write_text("def index(): return 'x'\n")
    with Lab.from_folder(tmp_path / "shop", cloud_tasks=True) as lab:
        taskqueue.add()
        assert [task.url for task in lab.tasks()] == ["/"]


# Several labs, and the state after a lab is closed


def environment():
    from google.appengine.api.taskqueue import cloudtask

    variables = {name: os.environ.get(name) for name in VARIABLES}
    return variables, cloudtask._CLIENTS, cloudtask._THREAD_POOL, cloudtask._CACHED_REGION


@pytest.mark.parametrize("value", [None, "mine"])
def test_a_closed_lab_leaves_nothing_behind(taskqueue, monkeypatch, value):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    before = environment()
    with Lab(cloud_tasks=True) as lab:
        taskqueue.add()
        assert dict(lab.tasks()[0].headers)["Host"] == "tutorial.appspot.com"
        assert environment()[0]["GOOGLE_CLOUD_PROJECT"] == "tutorial"
        assert environment()[1] is not before[1]
    assert environment() == before
    hidden = {} if client._connections else {"APPENGINE_USE_CLOUDTASK_PUSH_QUEUE": None}  # by the process's first lab
    with Lab():
        assert environment()[0] == before[0] | hidden
    with Lab(), Lab(cloud_tasks=True):
        pass
    assert environment() == before


@pytest.mark.parametrize("cloud_tasks", [True, False])
def test_a_lab_that_its_own_handler_closes_leaves_nothing_behind(taskqueue, cloud_tasks):
    closes = "from harness.lab import current_lab\ndef index():\n    current_lab().close()"
    before = environment(), dict(os.environ)
    with Lab(cloud_tasks=cloud_tasks) as lab:
        lab.write("controllers/default.py", closes)
        lab.get("default/index")
        assert lab.closed
        assert (environment(), dict(os.environ)) == before
    with Lab(cloud_tasks=cloud_tasks) as lab:
        lab.mount("/reopens", lambda environ, start_response: lab.close() or Lab().close() or [])
        lab.get("/reopens")
    assert (environment(), dict(os.environ)) == before


def test_two_labs_do_not_share_tasks(taskqueue):
    with Lab(cloud_tasks=True) as one, Lab(cloud_tasks=True) as other:
        for lab in (one, other):
            lab.write("controllers/default.py", CONTROLLER)
        taskqueue.add(url="/notebook")
        one.get("default/add")
        assert [[task.url for task in lab.tasks()] for lab in (one, other)] == [
            ["/tutorial/default/work"],
            ["/notebook"],
        ]
        one.run()
        assert [len(lab.table("mytable")) for lab in (one, other)] == [1, 0]
        other.close()
        taskqueue.add(url="/again")
        assert [task.url for task in one.tasks()] == ["/again"]


@pytest.mark.parametrize("newest_is_cloud", [True, False])
def test_each_lab_keeps_its_own_mode(taskqueue, newest_is_cloud):
    with Lab(cloud_tasks=not newest_is_cloud) as older, Lab(cloud_tasks=newest_is_cloud) as newer:
        heard = {True: [], False: []}
        for lab, is_cloud in ((older, not newest_is_cloud), (newer, newest_is_cloud)):
            calls = heard[is_cloud]
            lab._engine.service.listeners.append(lambda call, request, calls=calls: calls.append(call))
        taskqueue.add()
        for lab in (newer, older):
            lab.write("controllers/default.py", CONTROLLER)
            lab.get("default/add")
            taskqueue.add()
        in_cell = 3
        assert heard[True] == ["CreateTask"] * (1 + in_cell * newest_is_cloud)
        assert heard[False] == ["BulkAdd"] * (1 + in_cell * (not newest_is_cloud))
        assert {task.url for task in newer.tasks()} == {
            "/tutorial/default/work",
            "/" if newest_is_cloud else "/_ah/queue/default",
        }
        assert [task.url for task in older.tasks()] == ["/tutorial/default/work"]


def test_a_handler_adds_tasks_in_the_mode_of_its_own_lab(taskqueue):
    chain = "from google.appengine.api import taskqueue\ndef index():\n    taskqueue.add(params=dict(last=1))"
    with Lab(cloud_tasks=True) as cloud, Lab() as bundled:
        for lab in (cloud, bundled):
            lab.write("controllers/default.py", chain)
            lab.get("default/index")
        assert [[task.url for task in lab.tasks()] for lab in (cloud, bundled)] == [["/"], ["/_ah/queue/default"]]


def test_a_client_belongs_to_the_lab_that_made_it(taskqueue):
    queue = "projects/tutorial/locations/us-central1/queues/default"
    with Lab() as lab, Lab(cloud_tasks=True) as newer:
        lab.cloud_tasks_client().create_task(parent=queue, task={"app_engine_http_request": {}})
        assert [len(each.tasks()) for each in (lab, newer)] == [1, 0]
    with pytest.raises(LabClosedError):
        lab.cloud_tasks_client()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_client_ends_with_its_lab():
    with Lab() as lab:
        client = lab.cloud_tasks_client()
    with pytest.raises(LabClosedError):
        client.get_queue(name=f"{PLACE}/queues/default")


@pytest.mark.parametrize("value", ["false", 1, None])
def test_the_mode_is_on_or_off(value):
    with pytest.raises(BadValueError, match="cloud_tasks is True or False, not"):
        Lab(cloud_tasks=value)


def test_a_forked_process_reaches_the_lab_too(cloud, taskqueue):
    taskqueue.add()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            taskqueue.add(url="/child")
            status = 0 if [task.url for task in cloud.tasks()] == ["/", "/child"] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
