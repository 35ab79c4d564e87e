"""The tasks of Cloud Tasks' API, as Google's own client sees them."""

import re

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf import duration_pb2, timestamp_pb2

from harness.appengine.clock import START
from harness.cloudtasks import LocalChannel
from harness.records import TaskState

LOCATION = "projects/tutorial/locations/us-central1"
QUEUE = f"{LOCATION}/queues/default"
MAIL = f"{LOCATION}/queues/mail"
NOW = START.timestamp()
DAY = 86400
FULL = tasks_v2.Task.View.FULL


def app_engine(uri="/work", **fields):
    return {"app_engine_http_request": {"relative_uri": uri, **fields}}


def http(url="https://worker.example.com/work", **fields):
    return {"http_request": {"url": url, **fields}}


def at(seconds):
    return timestamp_pb2.Timestamp(seconds=int(NOW + seconds))


def seconds(number):
    return duration_pb2.Duration(seconds=number)


def create(client, task, parent=QUEUE, **fields):
    return client.create_task(request={"parent": parent, "task": task, **fields})


def refused(client, task, **fields):
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        create(client, task, **fields)
    return caught.value


def test_an_app_engine_task_is_stored_like_a_task_of_the_bundled_service(client, service):
    routing = {"service": "worker", "version": "v1"}
    created = create(client, app_engine("/a?b=1", body=b"x", headers={"X-Own": "1"}, app_engine_routing=routing))
    task = service.queues["default"].waiting()[0]
    assert created.name == f"{QUEUE}/tasks/{task.name}"
    assert (task.method, task.url, task.body) == ("POST", "/a?b=1", b"x")
    assert dict(task.headers) == {
        "X-Own": "1",
        "Host": "v1.worker.tutorial.appspot.com",
        "Content-Type": "application/octet-stream",
    }
    assert (task.eta, task.created, task.deadline) == (NOW, NOW, 600)
    assert created.app_engine_http_request.app_engine_routing.version == "v1"
    assert created.app_engine_http_request.app_engine_routing.service == "worker"


def test_the_line_that_creates_a_task_is_recorded(client, service):
    create(client, app_engine())
    assert (
        service.queues["default"].waiting()[0].call_site.source
        == 'return client.create_task(request={"parent": parent, "task": task, **fields})'
    )


def test_without_a_uri_an_app_engine_task_goes_to_the_root(client):
    assert create(client, {"app_engine_http_request": {}}).app_engine_http_request.relative_uri == "/"


def test_an_http_task_keeps_its_url_and_gets_no_content_type(client, service):
    created = create(client, http("http://me:secret@a.example:8080/x y?q=ä#part", body=b"x"), response_view=FULL)
    assert created.http_request.url == "http://a.example:8080/x%20y?q=%C3%A4"
    assert dict(created.http_request.headers) == {"User-Agent": "Google-Cloud-Tasks"}
    assert service.queues["default"].waiting()[0].info().url == created.http_request.url


def test_a_task_shows_the_headers_that_production_shows(client):
    created = create(client, app_engine(body=b"12345", headers={"user-agent": "mine", "content-type": "text/plain"}))
    assert dict(created.app_engine_http_request.headers) == {
        "content-type": "text/plain",
        "User-Agent": "mine AppEngine-Google; (+http://code.google.com/appengine)",
        "Content-Length": "5",
    }


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("kind", [app_engine, http])
def test_every_method_is_kept(client, service, kind, method):
    create(client, kind(http_method=method))
    assert service.queues["default"].waiting()[0].method == method


def test_the_body_is_shown_only_in_the_full_view(client):
    name = create(client, app_engine(body=b"secret")).name
    assert client.get_task(name=name).app_engine_http_request.body == b""
    assert client.get_task(name=name).view == tasks_v2.Task.View.BASIC
    full = client.get_task(request={"name": name, "response_view": FULL})
    assert (full.app_engine_http_request.body, full.view) == (b"secret", FULL)


def test_headers_that_only_google_sets_are_dropped(client, service):
    forbidden = ("Host", "Content-Length", "X-Google-A", "x-appengine-taskname", "X-CloudTasks-QueueName")
    for kind in (app_engine, http):
        create(client, kind(headers=dict.fromkeys(forbidden, "1") | {"X-Own": "1"}))
    first, second = service.queues["default"].waiting()
    assert first.headers == (("X-Own", "1"), ("Host", "tutorial.appspot.com"))
    assert second.headers == (("X-Own", "1"),)


def test_headers_have_an_order_although_a_map_has_none(client, service):
    names = [f"X-{number:02}" for number in range(20)]
    create(client, http(headers=dict.fromkeys(reversed(names), "1")))
    assert [name for name, _ in service.queues["default"].waiting()[0].headers] == names


@pytest.mark.row("T56")
def test_a_schedule_time_in_the_past_becomes_the_present(client):
    assert create(client, app_engine() | {"schedule_time": at(-60)}).schedule_time.timestamp() == NOW


def test_a_schedule_time_is_truncated_to_microseconds_and_the_create_time_to_seconds(client, service):
    service.clock.advance(0.75)
    moment = timestamp_pb2.Timestamp(seconds=int(NOW + 60), nanos=123_456_789)
    created = create(client, app_engine() | {"schedule_time": moment})
    assert created.schedule_time.nanosecond == 123_456_000
    assert created.create_time.timestamp() == NOW


@pytest.mark.row("T56")
def test_thirty_days_ahead_is_the_limit(client):
    create(client, app_engine() | {"schedule_time": at(30 * DAY)})
    error = refused(client, app_engine() | {"schedule_time": at(30 * DAY + 1)})
    assert isinstance(error, exceptions.InvalidArgument)
    begin = (
        "The Task.scheduleTime, 2012-10-03T09:00:01Z, is too far in the future. Schedule time must be no more than 720h"
    )
    assert error.message.startswith(begin)


BIG = b"x" * (100 * 1024 + 1)
BAD_TASKS = {
    "no message": ({}, "Task.message_type is required"),
    "100 KB": (app_engine(body=BIG), "Task size too large: Task.app_engine_http_request .*at most 102400 are"),
    "1 MB": (http(body=b"x" * (1 << 20)), "Task size too large: Task.http_request has .*1048576 are allowed"),
    "GET with body": (app_engine(http_method="GET", body=b"x"), "AppEngineHttpRequest.body.*or PUT, but it is GET"),
    "PATCH with body": (app_engine(http_method="PATCH", body=b"x"), "AppEngineHttpRequest.body.*but it is PATCH"),
    "HTTP GET with body": (http(http_method="GET", body=b"x"), "HttpRequest.body.*POST, PUT or PATCH, but it is GET"),
    "no slash": (app_engine("work"), 'AppEngineHttpRequest.relativeUri must begin with "/"'),
    "space": (app_engine("/a b"), "AppEngineHttpRequest.relativeUri: no spaces"),
    "long URI": (app_engine("/" + "x" * 2083), "relativeUri has 2084 characters"),
    "no URL": (http(""), "HttpRequest.url is required."),
    "no scheme": (http("example.com/path"), "HttpTarget.url must start with 'http://' or 'https://'"),
    "other scheme": (http("ftp://example.com/"), "HttpTarget.url must start with 'http://' or 'https://'"),
    "no host": (http("https:///path"), "HttpRequest.url .*it has no host"),
    "bad port": (http("https://a:99999/"), "HttpRequest.url .*Port out of range"),
    "long URL": (http("https://a/" + "ä" * 400), "HttpRequest.url has 2410 characters after encoding"),
    "header": (app_engine(headers={"A": "1\r\nB: 2"}), r"AppEngineHttpRequest.headers: 'A'"),
    "header name": (http(headers={"A B": "1"}), "HttpRequest.headers: 'A B'"),
    "big headers": (http(headers={"A": "x" * (80 << 10)}), "HttpRequest.headers: .*less than 80KB"),
    "routing": (app_engine(app_engine_routing={"service": "a/b"}), "AppEngineRouting.service"),
    "14 s": (
        http() | {"dispatch_deadline": seconds(14)},
        r"Task.dispatchDeadline must be between \[15s, 30m\]. It is 14s.",
    ),
    "0 s": (http() | {"dispatch_deadline": seconds(0)}, "Task.dispatchDeadline"),
    "30 min": (http() | {"dispatch_deadline": seconds(1801)}, "Task.dispatchDeadline"),
    "14 s of App Engine": (app_engine() | {"dispatch_deadline": seconds(14)}, "Task.dispatchDeadline"),
    "24 h": (
        app_engine() | {"dispatch_deadline": seconds(DAY + 16)},
        r"Task.dispatchDeadline must be between \[15s, 24h15s\]. It is 86416s.",
    ),
    "name": (app_engine() | {"name": f"{QUEUE}/tasks/not a name"}, 'Task ID "not a name" can contain only letters'),
    "long name": (app_engine() | {"name": f"{QUEUE}/tasks/" + "x" * 501}, "between 1 and 500 characters"),
    "no task name": (app_engine() | {"name": QUEUE}, "Task name must be formatted.*Task.name is"),
    "other queue": (app_engine() | {"name": f"{MAIL}/tasks/a"}, "must be the same as the queue name in the named task"),
    "attempts": (app_engine() | {"retry_config": {"max_attempts": -2}}, "RetryConfig.maxAttempts must be greater"),
}


@pytest.mark.row("T55")
@pytest.mark.parametrize(("task", "text"), BAD_TASKS.values(), ids=BAD_TASKS)
def test_a_bad_task_is_refused_with_a_message_that_names_the_field(client, service, task, text):
    error = refused(client, task)
    assert isinstance(error, exceptions.InvalidArgument)
    assert re.search(text, error.message, re.DOTALL), error.message
    assert len(service.queues["default"]) == 0


GOOD_TASKS = [
    app_engine(body=b"x" * (100 * 1024 - 200)),
    http(body=BIG),
    http(http_method="PATCH", body=b"x"),
    http("http://example.com/%zz"),
    http() | {"dispatch_deadline": seconds(1800)},
    app_engine() | {"dispatch_deadline": seconds(0)},
    app_engine() | {"dispatch_deadline": seconds(DAY + 15)},
]


@pytest.mark.row("T56")
@pytest.mark.parametrize("task", GOOD_TASKS)
def test_a_task_at_the_limit_is_accepted(client, service, task):
    create(client, task)
    assert len(service.queues["default"]) == 1


BAD_PARENTS = {
    f"{LOCATION}/queues/nowhere": (
        exceptions.NotFound,
        "Queue does not exist. If you just.*parent names the queue nowhere, .* default, mail",
    ),
    f"{LOCATION}/queues/pull": (exceptions.NotFound, "Queue does not exist"),
    "projects/other/locations/us-central1/queues/default": (exceptions.Forbidden, "resource project other"),
    "projects/tutorial/locations/mars/queues/default": (exceptions.InvalidArgument, "Location 'mars' is not a valid"),
    f"{LOCATION}/queues/a_b": (exceptions.InvalidArgument, "Queue name must be formatted.*CreateTaskRequest.parent is"),
    f"{LOCATION}/queues/" + "x" * 101: (exceptions.InvalidArgument, "Queue name must be formatted"),
    "default": (exceptions.InvalidArgument, "Queue name must be formatted"),
    "": (exceptions.InvalidArgument, "CreateTaskRequest.parent is ''"),
}


@pytest.mark.row("T55")
@pytest.mark.parametrize("parent", BAD_PARENTS)
def test_a_bad_parent_is_refused(client, parent):
    kind, text = BAD_PARENTS[parent]
    with pytest.raises(kind, match=text):
        create(client, app_engine(), parent)


@pytest.mark.row("T54")
def test_the_name_of_a_task_that_waits_is_taken(client):
    create(client, app_engine() | {"name": f"{QUEUE}/tasks/a"})
    error = refused(client, app_engine() | {"name": f"{QUEUE}/tasks/a"})
    assert isinstance(error, exceptions.AlreadyExists)
    assert error.message == f"Requested entity already exists. Task.name is '{QUEUE}/tasks/a'."


@pytest.mark.row("T54")
@pytest.mark.parametrize(("from_yaml", "hours"), [(True, 9 * 24), (False, 24)])
def test_a_name_stays_taken_for_the_documented_time(client, service, from_yaml, hours):
    parent = QUEUE if from_yaml else f"{LOCATION}/queues/made"
    if not from_yaml:
        client.create_queue(parent=LOCATION, queue={"name": parent})
    task = app_engine() | {"name": f"{parent}/tasks/a"}
    create(client, task, parent)
    client.delete_task(name=task["name"])
    service.clock.advance(hours * 3600 - 1)
    error = refused(client, task, parent=parent)
    assert isinstance(error, exceptions.AlreadyExists)
    assert error.message.startswith(
        "The task cannot be created because a task with this name existed too recently. Task"
    )
    service.clock.advance(1)
    create(client, task, parent)


@pytest.mark.row("T55")
def test_a_missing_task_is_not_found_and_the_message_shows_whether_it_existed(client):
    name = create(client, app_engine()).name
    client.delete_task(name=name)
    for call in (client.get_task, client.delete_task, client.run_task):
        with pytest.raises(exceptions.NotFound, match="a task with this name existed recently"):
            call(name=name)
        with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
            call(name=f"{QUEUE}/tasks/never")


@pytest.mark.row("T60")
def test_a_batch_adds_the_good_tasks_and_reports_the_others_by_index(client, service):
    tasks = [app_engine(), {}, http(), app_engine() | {"name": f"{QUEUE}/tasks/task2"}]
    operation = client.batch_create_tasks(
        request={"parent": QUEUE, "requests": [{"parent": QUEUE, "task": task} for task in tasks]}
    )
    assert operation.done()
    assert [task.name.rpartition("/")[2] for task in operation.result().tasks] == ["task1", "task3", "task2"]
    assert set(operation.metadata.failed_requests) == {1}
    assert operation.metadata.failed_requests[1].code == 3
    assert "Task.message_type" in operation.metadata.failed_requests[1].message
    assert operation.metadata.state.name == "PARTIALLY_SUCCEEDED"
    assert len(service.queues["default"]) == 3


@pytest.mark.row("T60")
def test_a_batch_in_which_everything_fails_is_aborted(client):
    operation = client.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}/tasks/a", f"{MAIL}/tasks/b"]})
    with pytest.raises(exceptions.Aborted, match="None of the requests succeeded"):
        operation.result()
    assert [operation.metadata.failed_requests[index].code for index in (0, 1)] == [5, 3]


@pytest.mark.row("T60")
@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_has_1_to_100_tasks(client, count):
    requests = [{"parent": QUEUE, "task": app_engine()}] * count
    with pytest.raises(exceptions.InvalidArgument, match="BatchCreateTasksRequest.requests must contain 1 to 100"):
        client.batch_create_tasks(request={"parent": QUEUE, "requests": requests})


@pytest.mark.row("T60")
def test_a_batch_of_1000_tasks_is_deleted(client, service):
    names = [create(client, app_engine()).name for _ in range(1000)]
    assert client.batch_delete_tasks(request={"parent": QUEUE, "names": names}).metadata.state.name == "SUCCEEDED"
    assert len(service.queues["default"]) == 0
    with pytest.raises(exceptions.InvalidArgument, match="BatchDeleteTasksRequest.names must contain 1 to 1000"):
        client.batch_delete_tasks(request={"parent": QUEUE, "names": [*names, names[0]]})


@pytest.mark.row("T60")
def test_a_repeated_request_id_adds_nothing(client, service):
    request = {"parent": QUEUE, "request_id": "a", "requests": [{"parent": QUEUE, "task": app_engine()}]}
    first, second = client.batch_create_tasks(request=request), client.batch_create_tasks(request=request)
    assert first.operation.name == second.operation.name
    assert len(service.queues["default"]) == 1


@pytest.mark.row("T61")
def test_pages_contain_every_task_once_even_if_others_are_added_and_deleted(client):
    for number in range(7):
        create(client, app_engine() | {"name": f"{QUEUE}/tasks/t{number}"})
    first = client.list_tasks(request={"parent": QUEUE, "page_size": 3}).pages
    found = [task.name[-2:] for task in next(first).tasks]
    client.delete_task(name=f"{QUEUE}/tasks/t0")
    create(client, app_engine() | {"name": f"{QUEUE}/tasks/s9"})
    for page in first:
        found += [task.name[-2:] for task in page.tasks]
    assert found == ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]


@pytest.mark.row("T61")
def test_a_list_of_10_000_tasks_has_pages_of_1000(client, service):
    for _ in range(100):
        requests = [{"parent": QUEUE, "task": app_engine()}] * 100
        client.batch_create_tasks(request={"parent": QUEUE, "requests": requests})
    pages = [len(page.tasks) for page in client.list_tasks(request={"parent": QUEUE, "page_size": 5000}).pages]
    assert pages == [1000] * 10


@pytest.mark.row("T61")
def test_a_page_token_is_valid_for_one_list_and_for_two_hours(client, service):
    for parent in (QUEUE, MAIL):
        create(client, app_engine(), parent)
        create(client, app_engine(), parent)
    token = client.list_tasks(request={"parent": QUEUE, "page_size": 1}).next_page_token
    with pytest.raises(exceptions.InvalidArgument, match="ListTasksRequest.page_token .* is not a token of this list"):
        client.list_tasks(request={"parent": MAIL, "page_token": token})
    with pytest.raises(exceptions.InvalidArgument, match="ListQueuesRequest.page_token .* is not a token of this list"):
        client.list_queues(request={"parent": LOCATION, "page_token": token})
    for bad in ("x", "é", "eA=="):
        with pytest.raises(exceptions.InvalidArgument, match="page_token"):
            client.list_tasks(request={"parent": QUEUE, "page_token": bad})
    service.clock.advance(7201)
    with pytest.raises(exceptions.InvalidArgument, match="ListTasksRequest.page_token has expired"):
        client.list_tasks(request={"parent": QUEUE, "page_token": token})
    with pytest.raises(exceptions.InvalidArgument, match="ListTasksRequest.page_size cannot be negative"):
        client.list_tasks(request={"parent": QUEUE, "page_size": -1})


def test_a_tasks_own_retry_config_replaces_the_queues(client, service):
    config = {"max_attempts": 3, "min_backoff": seconds(10), "max_retry_duration": seconds(60)}
    created = create(client, app_engine() | {"retry_config": config})
    retry = service.queues["default"].waiting()[0].retry
    assert (retry.task_retry_limit, retry.min_backoff, retry.max_backoff) == (2, 10, 3600)
    assert (retry.task_age_limit, retry.max_doublings) == (60, 16)
    assert created.retry_config.max_attempts == 3


@pytest.mark.row("T53")
def test_an_unspecified_field_of_a_tasks_retry_config_has_the_default_of_the_kind_of_queue(client, service):
    made = f"{LOCATION}/queues/made"
    client.create_queue(parent=LOCATION, queue={"name": made, "retry_config": {"max_attempts": 7}})
    for parent in (QUEUE, made):
        create(client, app_engine() | {"retry_config": {"min_backoff": seconds(10)}}, parent)
    tasks = [service.queues[name].waiting()[0] for name in ("default", "made")]
    assert [task.retry.task_retry_limit for task in tasks] == [None, 99]


def test_a_list_contains_added_tasks_and_no_deleted_tasks(client):
    names = []
    for _ in range(2):
        names.append(create(client, app_engine()).name)
        assert [task.name for task in client.list_tasks(parent=QUEUE)] == names
    client.delete_task(name=names[0])
    assert [task.name for task in client.list_tasks(request={"parent": QUEUE, "page_size": 1}).tasks] == names[1:]


def test_a_running_task_can_be_found_and_deleted(client, service):
    name = create(client, app_engine()).name
    task = service.queues["default"].take(NOW)
    assert client.get_task(name=name).name == name
    client.delete_task(name=name)
    assert task.state is TaskState.DELETED


def test_methods_that_the_lab_does_not_have_are_refused_with_an_explanation(client):
    for call in (client.get_iam_policy, client.set_iam_policy, client.test_iam_permissions):
        with pytest.raises(exceptions.MethodNotImplemented, match="The lab has no access control"):
            call(request={"resource": QUEUE})
    with pytest.raises(
        exceptions.MethodNotImplemented, match="no method .*GetCmekConfig. Its methods are .*CreateTask"
    ):
        client.get_cmek_config(name=f"{LOCATION}/cmekConfig")


def test_the_channel_makes_no_calls_in_the_background(service, client):
    channel = client.transport.grpc_channel
    assert isinstance(channel, LocalChannel)
    with pytest.raises(NotImplementedError, match="only in the caller's thread"):
        channel.unary_unary("/x").future(b"")
    with pytest.raises(NotImplementedError, match="no methods with streams"):
        channel.unary_stream("/x")


def test_a_queue_may_have_the_name_tasks(client):
    parent = f"{LOCATION}/queues/tasks"
    client.create_queue(parent=LOCATION, queue={"name": parent})
    name = create(client, app_engine(), parent).name
    assert client.get_task(name=name).name == name
    client.batch_delete_tasks(request={"parent": parent, "names": [name]})
    assert list(client.list_tasks(parent=parent)) == []


@pytest.mark.parametrize("uri", ["//evil.example/x", "/x#part"])
def test_a_uri_is_a_path_with_or_without_a_query(client, uri):
    assert "must be a path with or without a query" in refused(client, app_engine(uri)).message


def test_a_uri_with_other_letters_is_encoded(client, service):
    created = create(client, app_engine("/x/\u00e4?b=\u20ac%20"))
    assert created.app_engine_http_request.relative_uri == "/x/%C3%A4?b=%E2%82%AC%20"
    assert service.queues["default"].waiting()[0].url == "/x/%C3%A4?b=%E2%82%AC%20"


@pytest.mark.parametrize("url", ["http://[::1].evil.example/x", "http://a:80:80/", "http://[::1]x/"])
def test_the_host_of_a_url_is_a_name_or_an_address(client, url):
    assert "is not a URL" in refused(client, http(url)).message


@pytest.mark.row("T57")
@pytest.mark.parametrize("name", ["X_AppEngine_QueueName", "x_cloudtasks-TaskName", "X_Google_A", "Content_Length"])
def test_a_header_of_google_is_dropped_if_it_is_written_with_underscores(client, service, name):
    create(client, http(headers={name: "forged"}))
    assert service.queues["default"].waiting()[0].headers == ()


def test_a_version_without_a_service_is_one_of_the_default_service(client, service):
    created = create(client, app_engine(app_engine_routing={"version": "v1"}))
    routing = created.app_engine_http_request.app_engine_routing
    assert (routing.service, routing.version) == ("default", "v1")
    assert dict(service.queues["default"].waiting()[0].headers)["Host"] == "v1.default.tutorial.appspot.com"


def test_each_request_of_a_batch_names_the_queue_of_the_batch(client, service):
    requests = [{"parent": QUEUE, "task": app_engine()}, {"parent": MAIL, "task": app_engine()}]
    with pytest.raises(exceptions.InvalidArgument, match=r"requests\[1\].parent must be the same"):
        client.batch_create_tasks(request={"parent": QUEUE, "requests": requests})
    assert len(service.queues["default"]) == 0


def test_a_request_id_belongs_to_one_method_and_one_queue(client, service):
    def add(parent):
        requests = [{"parent": parent, "task": app_engine()}]
        return client.batch_create_tasks(request={"parent": parent, "requests": requests, "request_id": "a"})

    name = add(QUEUE).result().tasks[0].name
    add(MAIL)
    client.batch_delete_tasks(request={"parent": QUEUE, "names": [name], "request_id": "a"}).result()
    assert (len(service.queues["default"]), len(service.queues["mail"])) == (0, 1)


@pytest.mark.row("T60")
def test_the_latest_100_operations_can_be_read_again(client):
    def add():
        requests = [{"parent": QUEUE, "task": app_engine()}]
        return client.batch_create_tasks(request={"parent": QUEUE, "requests": requests, "request_id": "a"}).operation

    first = add()
    assert first.name == f"{LOCATION}/operations/1"
    for _ in range(99):
        client.batch_create_tasks(request={"parent": QUEUE, "requests": [{"parent": QUEUE, "task": app_engine()}]})
    assert client.get_operation({"name": first.name}) == first == add()
    client.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}/tasks/task1"]})
    with pytest.raises(exceptions.NotFound, match="GetOperationRequest.name is"):
        client.get_operation({"name": first.name})
    assert add().name == f"{LOCATION}/operations/102"


def test_a_page_ends_before_it_is_too_large_for_a_client(client):
    for _ in range(50):
        create(client, app_engine(body=bytes(100_000)))
    pages = list(client.list_tasks(request={"parent": QUEUE, "response_view": FULL}).pages)
    assert [len(page.tasks) for page in pages] == [30, 20]
    assert len({task.name for page in pages for task in page.tasks}) == 50


def test_a_message_about_many_queues_and_long_names_stays_short(client):
    for number in range(900):
        client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/{number:0100}"})
    for name in (f"{LOCATION}/queues/missing", f"projects/{'a' * 5000}/locations/b/queues/c"):
        with pytest.raises(exceptions.GoogleAPICallError) as caught:
            client.get_queue(name=name)
        assert len(caught.value.message) < 2000


@pytest.mark.row("T64")
def test_a_call_may_last_30_seconds_as_in_production(client):
    with pytest.raises(exceptions.InvalidArgument, match="60 s in the future. The deadline cannot be more than 30s"):
        client.get_queue(name=QUEUE, timeout=60)
    assert client.get_queue(name=QUEUE, timeout=30).name == QUEUE
