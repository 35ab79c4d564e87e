"""Rows T01 to T20 of harness/FIDELITY.md: Google's real client adds, and we look at the task that the queue holds."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from urllib.parse import parse_qs, parse_qsl

import pytest

from harness import Lab
from harness.appengine.clock import START, Clock
from harness.appengine.taskqueue import Task, TaskQueueService, connect, parse_queue_yaml
from harness.records import TaskState, find_header

QUEUES = parse_queue_yaml("""
queue:
- name: mail
- name: later
  mode: pull
""")
DAY = 86400
ADDS_WITHOUT_A_TARGET = """
from google.appengine.api import taskqueue

def begin():
    taskqueue.add(url=URL('again'), target='worker')
    return ''

def again():
    taskqueue.add(url=URL('work'))
    return ''

def work():
    return ''
"""
ADDS_AND_FAILS = """
def gen_task():
    from google.appengine.api import taskqueue
    db.mytable.insert(old='original text')
    taskqueue.add(url=URL('task_do'))
    raise RuntimeError('too late')
"""


@pytest.fixture
def stored(service: TaskQueueService, taskqueue: ModuleType) -> Callable[..., Task]:
    """Add a task with these arguments, and return it as the queue holds it."""

    def add(*args: object, **kwargs: object) -> Task:
        name = taskqueue.add(*args, **kwargs).name
        return service.history[name][-1]

    return add


def waiting(service: TaskQueueService, queue: str = "default") -> list[str]:
    return [task.name for task in service.queues[queue].waiting()]


def finish(service: TaskQueueService, name: str) -> None:
    """Let a task run to its end."""
    queue = service.queues["default"]
    task = queue.take(service.clock.timestamp)
    assert task is not None and task.name == name
    task.state = TaskState.DONE
    queue.done(task, service.clock.timestamp)


@pytest.mark.row("T01")
def test_first_positional_argument_is_the_payload_not_the_url(stored):
    task = stored("/tutorial/default/task_do")
    assert (task.url, task.body) == ("/_ah/queue/default", b"/tutorial/default/task_do")


@pytest.mark.row("T02")
def test_without_a_url_the_task_posts_to_the_url_of_its_queue(stored):
    task = stored(params={"a": "1"}, queue_name="mail")
    assert (task.method, task.url) == ("POST", "/_ah/queue/mail")


@pytest.mark.row("T03")
def test_a_post_with_a_query_string_is_refused(service, taskqueue):
    with pytest.raises(taskqueue.InvalidTaskError) as refusal:
        taskqueue.add(url="/tutorial/default/task_do?a=1")
    assert str(refusal.value) == 'POST method cannot have a query string; use the "params" keyword argument instead'
    assert waiting(service) == []


@pytest.mark.row("T04")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "DELETE"])
def test_a_query_string_beside_params_is_refused(service, taskqueue, method):
    with pytest.raises(taskqueue.InvalidTaskError) as refusal:
        taskqueue.add(url="/x?a=1", params={"b": "2"}, method=method)
    assert str(refusal.value) == "Query string and parameters both present; only one of these can be supplied"
    assert waiting(service) == []


@pytest.mark.row("T05")
def test_a_post_with_payload_and_params_is_refused(service, taskqueue):
    with pytest.raises(taskqueue.InvalidTaskError) as refusal:
        taskqueue.add("text", url="/x", params={"b": "2"})
    assert str(refusal.value) == (
        "Message body and parameters both present for POST method; only one of these can be supplied"
    )
    assert waiting(service) == []


@pytest.mark.row("T06")
def test_params_of_a_get_become_its_query_string_in_utf_8(stored):
    task = stored(url="/x", method="GET", params={"name": "Zoë"})
    assert (task.url, task.body) == ("/x?name=Zo%C3%AB", b"")


@pytest.mark.row("T06")
def test_a_get_may_carry_the_vars_of_its_url(stored):
    assert stored(url="/x?a=1&b=2", method="GET").url == "/x?a=1&b=2"


@pytest.mark.row("T07")
def test_a_put_carries_its_payload_in_the_body_and_its_params_in_the_url(stored):
    task = stored("text", url="/x", method="PUT", params={"a": "1"})
    assert (task.url, task.body) == ("/x?a=1", b"text")


@pytest.mark.row("T08")
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (["x", "y"], [("k", "x"), ("k", "y")]),
        (("x", 2), [("k", "x"), ("k", "2")]),
        (None, [("k", "None")]),
        (True, [("k", "True")]),
        (1.5, [("k", "1.5")]),
        ({"x": 1, "y": 2}, [("k", "x"), ("k", "y")]),
        ([], []),
        (b"\xc3\xab", [("k", "ë")]),
    ],
)
def test_a_params_value_is_sent_as_text_and_an_iterable_repeats_its_key(stored, value, sent):
    assert parse_qsl(stored(url="/x", params={"k": value, "end": "."}).body.decode()) == [*sent, ("end", ".")]


@pytest.mark.row("T09")
@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD", "DELETE"])
def test_five_methods_are_stored_as_such(stored, method):
    assert stored(url="/x", method=method).method == method


@pytest.mark.row("T09")
def test_the_method_patch_is_refused(service, taskqueue):
    with pytest.raises(taskqueue.InvalidTaskError, match="Invalid method: PATCH"):
        taskqueue.add(url="/x", method="PATCH")
    assert waiting(service) == []


@pytest.mark.row("T10")
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ({"params": {"a": "1"}}, "application/x-www-form-urlencoded"),
        ({"payload": "text"}, "text/plain; charset=utf-8"),
        ({"payload": b"bytes"}, "application/octet-stream"),
        ({"payload": b"{}", "headers": {"Content-Type": "application/json"}}, "application/json"),
        ({}, None),
    ],
)
def test_the_content_type_follows_from_the_kind_of_content(stored, content, content_type):
    headers = stored(url="/x", **content).headers
    assert find_header(headers, "Content-Type") == content_type
    assert sum(key.lower() == "content-type" for key, _ in headers) == (content_type is not None)


@pytest.mark.row("T11")
@pytest.mark.parametrize("name", ["a", "A-Z_0-9", "x" * 500])
def test_a_legal_name_is_kept(stored, name):
    assert stored(url="/x", name=name).name == name


@pytest.mark.row("T11")
@pytest.mark.parametrize("name", ["a b", "a.b", "é", "x" * 501, "task\n", "a/b"])
def test_an_illegal_name_is_refused(service, taskqueue, name):
    with pytest.raises(taskqueue.InvalidTaskNameError) as refusal:
        taskqueue.add(url="/x", name=name)
    assert name in str(refusal.value) or repr(name) in str(refusal.value)
    assert waiting(service) == []


@pytest.mark.row("T12")
def test_the_name_of_a_waiting_task_is_taken(service, taskqueue):
    taskqueue.add(url="/x", name="report")
    with pytest.raises(taskqueue.TaskAlreadyExistsError, match="'default' already has a task named 'report'"):
        taskqueue.add(url="/y", name="report")
    assert waiting(service) == ["report"]


@pytest.mark.row("T12")
def test_the_name_of_a_running_task_is_taken(service, taskqueue):
    taskqueue.add(url="/x", name="report")
    service.queues["default"].take(service.clock.timestamp)
    with pytest.raises(taskqueue.TaskAlreadyExistsError):
        taskqueue.add(url="/y", name="report")


@pytest.mark.row("T12")
def test_the_name_of_a_finished_task_is_a_tombstone_for_nine_days(service, taskqueue):
    taskqueue.add(url="/x", name="report")
    finish(service, "report")
    service.clock.advance(9 * DAY - 1)
    with pytest.raises(taskqueue.TombstonedTaskError, match="'default' recently had a task named 'report'"):
        taskqueue.add(url="/y", name="report")
    service.clock.advance(1)
    taskqueue.add(url="/y", name="report")
    assert waiting(service) == ["report"]


@pytest.mark.row("T12")
def test_names_are_unique_in_a_queue_only(service, taskqueue):
    for queue in ("default", "mail"):
        taskqueue.add(url="/x", name="report", queue_name=queue)
    assert [task.queue for task in service.history["report"]] == ["default", "mail"]


@pytest.mark.row("T13")
def test_deleting_and_purging_leave_tombstones(service, taskqueue):
    taskqueue.add(url="/x", name="deleted")
    taskqueue.Queue().delete_tasks_by_name("deleted")
    taskqueue.add(url="/x", name="purged")
    taskqueue.Queue().purge()
    for name in ("deleted", "purged"):
        with pytest.raises(taskqueue.TombstonedTaskError):
            taskqueue.add(url="/x", name=name)
        assert service.history[name][0].state is TaskState.DELETED


@pytest.mark.row("T13")
def test_a_new_service_knows_no_tombstones(service, taskqueue):
    taskqueue.add(url="/x", name="report")
    taskqueue.Queue().purge()
    with connect(TaskQueueService(Clock())) as connection:
        taskqueue.add(url="/x", name="report")
        assert waiting(connection.service) == ["report"]


@pytest.mark.row("T14")
def test_every_task_of_a_batch_of_100_gets_its_name(service, taskqueue):
    tasks = [taskqueue.Task(url="/x", params={"number": number}) for number in range(100)]
    taskqueue.Queue().add(tasks)
    assert [task.name for task in tasks] == [f"task{number}" for number in range(1, 101)]
    bodies = [service.history[task.name][0].body.decode() for task in tasks]
    assert bodies == [f"number={number}" for number in range(100)]
    assert all(task.was_enqueued and task.queue_name == "default" for task in tasks)


@pytest.mark.row("T14")
def test_a_batch_of_100_may_hold_as_much_as_a_hundred_tasks(service, taskqueue):
    taskqueue.Queue().add([taskqueue.Task(b"x" * 100_000, url="/x") for _ in range(100)])
    assert sum(len(task.body) for task in service.queues["default"].waiting()) == 10_000_000


@pytest.mark.row("T14")
def test_a_batch_of_101_is_refused(service, taskqueue):
    with pytest.raises(taskqueue.TooManyTasksError):
        taskqueue.Queue().add([taskqueue.Task(url="/x") for _ in range(101)])
    assert waiting(service) == []


@pytest.mark.row("T14")
def test_a_name_twice_in_a_batch_is_refused(service, taskqueue):
    with pytest.raises(taskqueue.DuplicateTaskNameError):
        taskqueue.Queue().add([taskqueue.Task(url="/x", name="twin") for _ in range(2)])
    assert waiting(service) == []


@pytest.mark.row("T14")
def test_the_good_tasks_of_a_partly_bad_batch_are_queued(service, taskqueue):
    taskqueue.add(url="/x", name="old")
    tasks = [taskqueue.Task(url="/x", name=name) for name in ("first", "old", "bad\n", "last")]
    with pytest.raises(taskqueue.InvalidTaskNameError):
        taskqueue.Queue().add(tasks)
    assert waiting(service) == ["old", "first", "last"]
    assert [task.was_enqueued for task in tasks] == [True, False, False, True]


@pytest.mark.row("T14")
def test_a_chosen_name_gives_way_to_the_names_that_a_batch_brings(service, taskqueue):
    taskqueue.Queue().add([taskqueue.Task(url="/x"), taskqueue.Task(url="/x", name="task1")])
    assert waiting(service) == ["task2", "task1"]


def test_chosen_names_skip_all_that_were_ever_used(service, taskqueue):
    taskqueue.add(url="/x", name="task1")
    taskqueue.add(url="/x", name="task3", queue_name="mail")
    taskqueue.Queue().purge()
    assert [taskqueue.add(url="/x", queue_name=queue).name for queue in ("default", "mail")] == ["task2", "task4"]


@pytest.mark.row("T15")
@pytest.mark.parametrize("count", [1, 2])
def test_an_unknown_queue_is_named_with_those_that_there_are(taskqueue, count):
    with pytest.raises(taskqueue.UnknownQueueError) as refusal:
        taskqueue.Queue("post").add([taskqueue.Task(url="/x") for _ in range(count)])
    assert str(refusal.value) == "the queue 'post' isn't in queue.yaml; the queues are 'default', 'mail', 'later'"


@pytest.mark.row("T16")
def test_a_task_of_more_than_100_kb_is_refused(service, taskqueue, stored):
    assert len(stored(b"x" * 100_000, url="/x").body) == 100_000
    with pytest.raises(taskqueue.TaskTooLargeError, match="102400"):
        taskqueue.add(b"x" * 102_400, url="/x")
    assert len(waiting(service)) == 1


@pytest.mark.row("T16")
def test_the_service_weighs_a_task_too(service, taskqueue):
    with pytest.raises(taskqueue.TaskTooLargeError, match="at most 102400 are allowed"):
        taskqueue.add(b"x" * 102_400, url="/x", _size_check=False)
    assert waiting(service) == []


@pytest.mark.row("T16")
def test_a_pull_task_may_have_a_megabyte(service, taskqueue):
    taskqueue.add(b"x" * 1_000_000, method="PULL", queue_name="later")
    for check in (True, False):  # by the client, and by the service
        with pytest.raises(taskqueue.TaskTooLargeError, match="1048576"):
            taskqueue.add(b"x" * 2**20, method="PULL", queue_name="later", _size_check=check)
    assert len(waiting(service, "later")) == 1


@pytest.mark.row("T16")
def test_the_client_weighs_a_task_as_it_is_made(taskqueue):
    with pytest.raises(taskqueue.TaskTooLargeError):
        taskqueue.Task(b"x" * 102_400, url="/x")


@pytest.mark.row("T17")
def test_a_countdown_counts_from_virtual_now(service, stored):
    service.clock.advance(3600)
    assert stored(url="/x", countdown=10).eta == START.timestamp() + 3610


@pytest.mark.row("T17")
def test_thirty_days_ahead_is_the_limit(service, taskqueue, stored):
    assert stored(url="/x", countdown=30 * DAY).eta == START.timestamp() + 30 * DAY
    assert stored(url="/x", eta=START + timedelta(days=30)).eta == START.timestamp() + 30 * DAY
    for late in ({"countdown": 30 * DAY + 1}, {"eta": START + timedelta(days=30, seconds=1)}):
        with pytest.raises(taskqueue.InvalidEtaError):
            taskqueue.add(url="/x", **late)
    assert len(waiting(service)) == 2


@pytest.mark.row("T17")
def test_a_task_that_was_made_by_another_clock_is_weighed_by_the_labs_own(service, taskqueue):
    ahead = Clock(START + timedelta(seconds=1))
    with connect(TaskQueueService(ahead)):
        task = taskqueue.Task(url="/x", countdown=30 * DAY)
    with pytest.raises(taskqueue.InvalidEtaError, match="2592001 s from now; at most 30 days are allowed"):
        task.add()
    assert waiting(service) == []


@pytest.mark.row("T17")
def test_eta_and_countdown_together_are_refused(taskqueue):
    with pytest.raises(taskqueue.InvalidTaskError, match="Cannot use a countdown and ETA together"):
        taskqueue.add(url="/x", countdown=1, eta=START)


@pytest.mark.row("T17")
@pytest.mark.parametrize("early", [{"countdown": -60}, {"eta": START - timedelta(days=365)}])
def test_an_eta_in_the_past_is_due_now(service, stored, early):
    task = stored(url="/x", **early)
    assert service.queues["default"].take(service.clock.timestamp) is task


@pytest.mark.row("T17")
def test_an_eta_before_1970_is_refused(service, taskqueue, stored):
    with pytest.raises(taskqueue.InvalidEtaError, match=r"the ETA is before 1970 \(-1 s\)"):
        taskqueue.add(url="/x", eta=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert waiting(service) == []
    assert stored(url="/x", eta=datetime(1970, 1, 1, tzinfo=UTC)).eta == 0


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kathmandu"])
def host_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.row("T17")
def test_a_naive_eta_is_utc_on_every_host(host_zone, stored):
    moment = datetime(2012, 9, 3, 12, 0, 0, 250_000)
    assert stored(url="/x", eta=moment).eta == moment.replace(tzinfo=UTC).timestamp()


@pytest.mark.row("T17")
def test_an_aware_eta_keeps_its_instant(host_zone, stored):
    moment = datetime(2012, 9, 3, 12, 0, tzinfo=timezone(timedelta(hours=-7)))
    assert stored(url="/x", eta=moment).eta == moment.timestamp()


@pytest.mark.row("T18")
@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "//x", "//example.com/x", "/x#part", "x", "?a=1", "https:/x", "/" + "x" * 2083],
)
def test_a_url_that_is_no_path_is_refused(service, taskqueue, url):
    with pytest.raises(taskqueue.InvalidUrlError):
        taskqueue.add(url=url, method="GET")
    assert waiting(service) == []


@pytest.mark.row("T19")
def test_add_async_takes_effect_when_it_is_waited_for(service, taskqueue):
    rpc = taskqueue.Task(url="/x").add_async()
    assert waiting(service) == []
    rpc.get_result()
    assert waiting(service) == ["task1"]


@pytest.mark.row("T19")
def test_an_add_async_belongs_to_the_lab_in_which_it_was_called(service, taskqueue):
    rpc = taskqueue.Task(url="/x").add_async()
    with connect(TaskQueueService(Clock())) as newer:
        rpc.get_result()
        assert waiting(newer.service) == []
    assert waiting(service) == ["task1"]


@pytest.mark.row("T19")
def test_three_ways_to_add_are_equal(service, taskqueue):
    arguments = {"url": "/x", "params": {"a": "1"}, "countdown": 5, "headers": {"X-Colour": "blue"}}
    taskqueue.add(**arguments, queue_name="mail")
    taskqueue.Task(**arguments).add("mail")
    taskqueue.Queue("mail").add(taskqueue.Task(**arguments))
    seen = {(task.method, task.url, task.headers, task.body, task.eta) for task in service.queues["mail"].waiting()}
    assert len(service.queues["mail"]) == 3
    assert len(seen) == 1


@pytest.mark.row("T20")
def test_a_transactional_add_is_refused_outside_of_a_datastore_transaction(service, taskqueue):
    with pytest.raises(taskqueue.BadTransactionStateError, match="not allowed outside of transactions"):
        taskqueue.add(url="/x", transactional=True)
    assert waiting(service) == []


@pytest.mark.row("T20")
def test_a_task_stays_queued_when_the_rows_are_rolled_back():
    with Lab() as lab:
        lab.write("models/db.py", "db = DAL('sqlite://storage.sqlite')\ndb.define_table('mytable', Field('old'))")
        lab.write("controllers/default.py", ADDS_AND_FAILS)
        assert lab.get("default/gen_task").status == 500
        assert [task.url for task in lab.tasks()] == ["/tutorial/default/task_do"]
        assert list(lab.table("mytable")) == []


def test_headers_keep_their_spelling_and_their_repetitions(stored):
    headers = stored(url="/x", headers={"X-CoLour": ["blue", "red"], "Host": "stats.example.com"}).headers
    assert [value for key, value in headers if key == "X-CoLour"] == ["blue", "red"]
    assert find_header(headers, "Host") == "stats.example.com"


def test_bytes_that_are_no_text_are_kept_as_far_as_they_go(taskqueue, stored):
    assert find_header(stored(url="/x", headers={"X-Raw": b"caf\xe9"}).headers, "X-Raw") == "caf\ufffd"
    assert stored("text", method="PULL", queue_name="later", tag=b"caf\xe9").tag == "caf\ufffd"
    assert len(taskqueue.Queue("later").lease_tasks_by_tag(60, 10, b"caf\xe9")) == 1


@pytest.mark.row("T47")
def test_a_task_without_a_target_goes_to_the_host_of_the_request_that_adds_it():
    with Lab() as lab:
        lab.write("controllers/default.py", ADDS_WITHOUT_A_TARGET)
        lab.get("default/begin")
        first, second = lab.run()
        assert (first.request.host, second.request.host) == 2 * ("worker.tutorial.appspot.com",)
        lab.get("default/again", headers={"Host": "v2.tutorial.appspot.com"})
        assert [find_header(task.headers, "Host") for task in lab.tasks()] == ["v2.tutorial.appspot.com"]
        lab.get("default/again")
        assert find_header(lab.tasks()[-1].headers, "Host") == "tutorial.appspot.com"


@pytest.mark.row("T47")
def test_a_task_of_an_application_with_a_domain_of_its_own_goes_to_that_application():
    with Lab(apps=("shop", "blog")) as lab:
        lab.write("routes.py", "routers = dict(BASE=dict(domains={'blog.example.com': 'blog'}))")
        lab.write("controllers/default.py", ADDS_WITHOUT_A_TARGET, app="blog")
        assert lab.get("/default/again", headers={"Host": "blog.example.com"}).ok
        attempt = lab.step()
        assert (attempt.request.host, attempt.task.url) == ("blog.example.com", "/work")
        assert (attempt.response.route.application, attempt.response.status) == ("blog", 200)


@pytest.mark.row("T47")
def test_a_task_from_a_mounted_application_goes_to_the_host_of_its_request(taskqueue):
    def app(environ, start_response):
        taskqueue.add(url="/x")
        start_response("200 OK", [])
        return [b""]

    with Lab() as lab:
        lab.mount("/plain", app)
        lab.get("/plain", headers={"Host": "v2.tutorial.appspot.com"})
        assert find_header(lab.tasks()[0].headers, "Host") == "v2.tutorial.appspot.com"
        taskqueue.add(url="/x")
        assert find_header(lab.tasks()[1].headers, "Host") == "tutorial.appspot.com"


def test_a_target_becomes_the_host(stored):
    assert find_header(stored(url="/x", target="v2.worker").headers, "Host") == "v2.worker.tutorial.appspot.com"
    assert find_header(stored(url="/x").headers, "Host") == "tutorial.appspot.com"


def test_a_dispatch_deadline_is_kept_in_seconds(stored):
    assert stored(url="/x", dispatch_deadline_usec=90_000_000).deadline == 90
    assert stored(url="/x").deadline == 600


def test_retry_options_that_are_not_given_are_googles_defaults(taskqueue, stored):
    retry = stored(url="/x", retry_options=taskqueue.TaskRetryOptions(task_retry_limit=2, task_age_limit=1.5)).retry
    assert (retry.task_retry_limit, retry.task_age_limit) == (2, 2)
    assert (retry.min_backoff, retry.max_backoff, retry.max_doublings) == (0.1, 3600, 16)
    assert stored(url="/x").retry is None


def test_the_time_of_the_add_is_virtual(service, stored):
    service.clock.advance(0.25)
    assert stored(url="/x").created == START.timestamp() + 0.25


def test_params_survive_the_whole_of_unicode(stored):
    text = "Zoë & Жук = 50% ☃ 😀\n"
    assert parse_qs(stored(url="/x", params={text: text}).body.decode()) == {text: [text]}


def test_the_environment_of_the_client_is_complete(taskqueue, caplog):
    assert os.environ["HTTP_HOST"] == "tutorial.appspot.com"
    taskqueue.add(url="/x")
    assert caplog.records == []
