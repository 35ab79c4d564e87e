"""The queues of Cloud Tasks' API, as Google's own client sees them."""

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf import duration_pb2

from harness.appengine.clock import START
from harness.appengine.taskqueue import QueueConfig
from harness.cloudtasks import LocalChannel, make_client
from harness.cloudtasks.names import ProjectLocation
from harness.cloudtasks.servicer import CloudTasks
from harness.errors import BadRequestError

LOCATION = "projects/tutorial/locations/us-central1"
DEFAULT, MAIL, MADE = (f"{LOCATION}/queues/{name}" for name in ("default", "mail", "made"))
TASK = {"app_engine_http_request": {}}
NOW = START.timestamp()


def made(client, **fields):
    return client.create_queue(parent=LOCATION, queue={"name": MADE} | fields)


def seconds(number):
    return duration_pb2.Duration(nanos=round(number % 1 * 1e9), seconds=int(number))


def limits(queue):
    return (
        queue.rate_limits.max_dispatches_per_second,
        queue.rate_limits.max_burst_size,
        queue.rate_limits.max_concurrent_dispatches,
    )


def retries(queue):
    retry = queue.retry_config
    age, least, most = (
        getattr(retry, field).total_seconds() if field in retry else None
        for field in ("max_retry_duration", "min_backoff", "max_backoff")
    )
    return retry.max_attempts, age, least, most, retry.max_doublings


@pytest.mark.row("T53")
def test_a_queue_of_the_api_has_cloud_tasks_defaults(client, service):
    queue = made(client)
    assert limits(queue) == (500, 500, 1000)
    assert retries(queue) == (100, None, 0.1, 3600, 16)
    assert (queue.name, queue.state.name) == (MADE, "RUNNING")
    assert service.queues["made"].config.retry.task_retry_limit == 99


@pytest.mark.row("T53")
def test_a_queue_of_queue_yaml_has_app_engines_defaults(client):
    queue = client.get_queue(name=DEFAULT)
    assert limits(queue) == (5, 5, 1000)
    assert retries(queue) == (-1, None, 0.1, 3600, 16)


def test_the_specified_fields_are_kept(client, service):
    rate = {"max_dispatches_per_second": 2.5, "max_concurrent_dispatches": 7, "max_burst_size": 99}
    retry = {"max_attempts": -1, "max_retry_duration": seconds(60), "min_backoff": seconds(1.5), "max_doublings": 3}
    override = {"service": "worker", "version": "v1"}
    queue = made(client, rate_limits=rate, retry_config=retry, app_engine_routing_override=override)
    assert limits(queue) == (2.5, 3, 7)
    assert retries(queue) == (-1, 60, 1.5, 3600, 3)
    assert queue.app_engine_routing_override.host == "v1.worker.tutorial.appspot.com"
    assert service.queues["made"].config.target == "v1.worker"


@pytest.mark.parametrize(
    ("retry", "expected"),
    [({"min_backoff": seconds(7200)}, (7200, 7200)), ({"max_backoff": seconds(0.05)}, (0.05, 0.05))],
)
def test_one_backoff_changes_the_default_of_the_other(client, retry, expected):
    assert retries(made(client, retry_config=retry))[2:4] == expected


BAD_QUEUES = {
    "rate": ({"rate_limits": {"max_dispatches_per_second": -1}}, "RateLimits.maxDispatchesPerSecond cannot be neg"),
    "NaN": ({"rate_limits": {"max_dispatches_per_second": float("nan")}}, "RateLimits.maxDispatchesPerSecond"),
    "high rate": ({"rate_limits": {"max_dispatches_per_second": 501}}, "must be less than or equal to 500."),
    "concurrent": ({"rate_limits": {"max_concurrent_dispatches": -1}}, "RateLimits.maxConcurrentDispatches cannot"),
    "many": ({"rate_limits": {"max_concurrent_dispatches": 5001}}, "must be less than or equal to 5000."),
    "attempts": ({"retry_config": {"max_attempts": -2}}, "RetryConfig.maxAttempts must be greater or equal to -1."),
    "doublings": ({"retry_config": {"max_doublings": -1}}, "RetryConfig.maxDoublings cannot be negative."),
    "backoff": ({"retry_config": {"min_backoff": seconds(-1)}}, "RetryConfig.minBackoff cannot be negative."),
    "endless": ({"retry_config": {"max_backoff": seconds(1e9)}}, "RetryConfig.maxBackoff must be at most"),
    "order": (
        {"retry_config": {"min_backoff": seconds(9), "max_backoff": seconds(5)}},
        "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
    ),
    "routing": ({"app_engine_routing_override": {"service": "a b"}}, "AppEngineRouting.service"),
}


@pytest.mark.row("T55")
@pytest.mark.parametrize(("fields", "text"), BAD_QUEUES.values(), ids=BAD_QUEUES)
def test_a_bad_queue_is_refused_with_a_message_that_names_the_field(client, service, fields, text):
    with pytest.raises(exceptions.InvalidArgument, match=text):
        made(client, **fields)
    assert "made" not in service.queues


def test_a_queue_with_an_http_target_is_not_supported(client):
    with pytest.raises(exceptions.MethodNotImplemented, match="Queue.httpTarget isn't supported by the lab"):
        made(client, http_target={"http_method": "POST"})


def test_a_name_that_exists_is_refused(client):
    made(client)
    for queue in ({"name": MADE}, {"name": DEFAULT}, {"name": f"{LOCATION}/queues/pull"}):
        with pytest.raises(exceptions.AlreadyExists, match="Queue already exists"):
            client.create_queue(parent=LOCATION, queue=queue)


@pytest.mark.row("T55")
@pytest.mark.parametrize(
    ("parent", "name", "kind", "text"),
    [
        ("default", MADE, exceptions.Forbidden, "CreateQueueRequest.parent must be formatted"),
        ("projects/a/locations/b", MADE, exceptions.Forbidden, "Permission denied on resource project a.*parent"),
        (LOCATION, "made", exceptions.InvalidArgument, "Queue name must be formatted.*Queue.name is 'made'"),
        (LOCATION, f"{MADE}_2", exceptions.InvalidArgument, "Queue name must be formatted"),
    ],
)
def test_a_queue_with_an_invalid_name_or_parent_is_refused(client, parent, name, kind, text):
    with pytest.raises(kind, match=text):
        client.create_queue(parent=parent, queue={"name": name})


@pytest.mark.row("T55")
def test_a_queue_that_does_not_exist_is_not_found(client):
    calls = (client.get_queue, client.pause_queue, client.resume_queue, client.purge_queue)
    for name in (MADE, f"{LOCATION}/queues/pull"):
        for call in calls:
            with pytest.raises(exceptions.NotFound, match="Queue does not exist. If you just created the queue"):
                call(name=name)
        with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
            client.delete_queue(name=name)


def test_queues_are_listed_in_alphabetical_order_without_pull_queues(client):
    for name in ("z", "a"):
        client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/{name}"})
    listed = client.list_queues(request={"parent": LOCATION, "page_size": 3})
    assert [queue.name.rpartition("/")[2] for queue in listed] == ["a", "default", "mail", "z"]
    with pytest.raises(exceptions.MethodNotImplemented, match=r"ListQueuesRequest.filter isn't supported"):
        client.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})


def test_without_a_mask_all_fields_are_updated(client, service):
    made(client, rate_limits={"max_dispatches_per_second": 2}, retry_config={"max_attempts": 5})
    queue = client.update_queue(queue={"name": MADE, "rate_limits": {"max_concurrent_dispatches": 3}})
    assert (limits(queue), retries(queue)[0]) == ((500, 500, 3), 100)
    client.update_queue(queue={"name": MAIL})
    assert [service.queues[name].config.from_yaml for name in ("made", "mail")] == [False, True]


@pytest.mark.parametrize(
    ("paths", "rate", "retry"),
    [
        (["rate_limits"], (9, 9, 8), (5, None, 0.1, 3600, 2)),
        (["rate_limits.max_concurrent_dispatches"], (2, 2, 8), (5, None, 0.1, 3600, 2)),
        (["retry_config.max_attempts", "retry_config.max_backoff"], (2, 2, 1000), (7, None, 0.1, 60, 2)),
        (["retry_config.max_doublings"], (2, 2, 1000), (5, None, 0.1, 3600, 0)),
        (["state", "name", "rate_limits.max_burst_size"], (2, 2, 1000), (5, None, 0.1, 3600, 2)),
        (["*"], (9, 9, 8), (7, None, 0.1, 60, 16)),
    ],
)
def test_only_the_fields_of_the_mask_are_updated(client, paths, rate, retry):
    made(client, rate_limits={"max_dispatches_per_second": 2}, retry_config={"max_attempts": 5, "max_doublings": 2})
    fields = {
        "rate_limits": {"max_dispatches_per_second": 9, "max_concurrent_dispatches": 8, "max_burst_size": 77},
        "retry_config": {"max_attempts": 7, "max_backoff": seconds(60)},
        "state": "PAUSED",
    }
    queue = client.update_queue(queue={"name": MADE} | fields, update_mask={"paths": paths})
    assert (limits(queue), retries(queue), queue.state.name) == (rate, retry, "RUNNING")


def test_the_mask_may_contain_only_fields_that_can_be_updated(client):
    made(client)
    with pytest.raises(
        exceptions.InvalidArgument, match="update_mask.paths: a queue has no field 'rate' .*rate_limits"
    ):
        client.update_queue(queue={"name": MADE}, update_mask={"paths": ["rate"]})
    with pytest.raises(exceptions.InvalidArgument, match="minBackoff must be less than or equal"):
        config = {"min_backoff": seconds(7200), "max_backoff": seconds(9000)}
        mask = {"paths": ["retry_config.min_backoff"]}
        client.update_queue(queue={"name": MADE, "retry_config": config}, update_mask=mask)


def test_an_update_resets_the_burst_size_of_a_queue_of_queue_yaml_and_keeps_its_tombstones(client, service):
    service.configure([QueueConfig("mail", rate=20, bucket_size=100)])
    queue = client.update_queue(queue={"name": MAIL}, update_mask={"paths": ["retry_config.max_attempts"]})
    assert limits(queue) == (20, 20, 1000)
    assert retries(queue)[0] == 100
    assert service.queues["mail"].config.from_yaml


def test_an_update_creates_a_queue_that_does_not_exist(client):
    assert limits(client.update_queue(queue={"name": MADE})) == (500, 500, 1000)


@pytest.mark.row("T54")
def test_a_queue_is_deleted_with_its_tasks_and_its_name_is_taken_for_three_days(client, service):
    made(client)
    client.create_task(parent=MADE, task=TASK)
    client.delete_queue(name=MADE)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        client.get_queue(name=MADE)
    service.clock.advance(3 * 86400 - 1)
    for create in (lambda: made(client), lambda: client.update_queue(queue={"name": MADE})):
        with pytest.raises(exceptions.FailedPrecondition, match="a queue with this name existed too recently"):
            create()
    service.clock.advance(1)
    made(client)
    assert len(service.queues["made"]) == 0


def test_a_queue_is_paused_and_resumed(client, service):
    assert client.pause_queue(name=DEFAULT).state.name == "PAUSED"
    client.create_task(parent=DEFAULT, task=TASK)
    assert service.queues["default"].paused
    assert client.resume_queue(name=DEFAULT).state.name == "RUNNING"


def test_a_queue_that_queue_yaml_leaves_out_is_disabled_until_it_is_resumed(client, service):
    made(client)
    service.configure([])
    assert [client.get_queue(name=name).state.name for name in (MAIL, MADE)] == ["DISABLED", "DISABLED"]
    assert client.resume_queue(name=MADE).state.name == "RUNNING"


def test_a_purge_empties_the_queue_and_is_recorded(client, service):
    client.create_task(parent=DEFAULT, task=TASK)
    assert "purge_time" not in client.get_queue(name=DEFAULT)
    service.clock.advance(1.5)
    assert client.purge_queue(name=DEFAULT).purge_time.timestamp() == NOW + 1.5
    assert len(service.queues["default"]) == 0


@pytest.fixture
def beta(service):
    return make_client(LocalChannel(CloudTasks(service)), "tasks_v2beta3")


def test_the_statistics_are_shown_only_if_the_read_mask_contains_them(beta, client, service):
    service.clock.advance(10)
    client.create_task(parent=MAIL, task=TASK)
    client.create_task(parent=MAIL, task=TASK)
    service.queues["mail"].take(NOW + 10)
    assert "stats" not in beta.get_queue(name=MAIL)
    found = beta.get_queue(request={"name": MAIL, "read_mask": {"paths": ["stats"]}})
    assert found.name == ""
    stats = found.stats
    assert (stats.tasks_count, stats.executed_last_minute_count, stats.concurrent_dispatches_count) == (2, 1, 1)
    assert stats.oldest_estimated_arrival_time.timestamp() == NOW + 10
    assert stats.effective_execution_rate == 20
    part = beta.get_queue(request={"name": MAIL, "read_mask": {"paths": ["stats.tasks_count", "name"]}})
    assert (part.name, part.stats.tasks_count, part.stats.concurrent_dispatches_count) == (MAIL, 2, 0)
    with pytest.raises(exceptions.InvalidArgument, match="GetQueueRequest.read_mask: a queue has no field 'size'"):
        beta.get_queue(request={"name": MAIL, "read_mask": {"paths": ["size"]}})


def test_an_empty_queue_has_no_oldest_task_and_a_paused_queue_has_a_rate_of_0(beta, client):
    client.pause_queue(name=MAIL)
    stats = beta.get_queue(request={"name": MAIL, "read_mask": {"paths": ["stats"]}}).stats
    assert "oldest_estimated_arrival_time" not in stats
    assert stats.effective_execution_rate == 0


def test_v2beta3_shows_the_kind_and_the_tombstones_of_a_queue(beta, client):
    made(client, app_engine_routing_override={"service": "worker"})
    queue = beta.get_queue(name=MADE)
    assert (queue.type_.name, queue.tombstone_ttl.days) == ("PUSH", 1)
    assert queue.app_engine_http_queue.app_engine_routing_override.service == "worker"
    pull = beta.get_queue(name=f"{LOCATION}/queues/pull")
    assert (pull.type_.name, pull.tombstone_ttl.days) == ("PULL", 9)
    with pytest.raises(exceptions.MethodNotImplemented, match="no method .*v2beta3.CloudTasks/ListQueues"):
        beta.list_queues(parent=LOCATION)


def test_each_call_is_reported_to_the_listeners_of_the_service(client, service):
    heard = []
    service.listeners.append(lambda call, request: heard.append((call, request.parent)))
    client.create_task(parent=DEFAULT, task=TASK)
    assert heard == [("CreateTask", DEFAULT)]
    assert isinstance(client, tasks_v2.CloudTasksClient)


def test_a_queue_that_is_resumed_and_paused_again_is_paused_by_its_user(client, service):
    service.configure([])
    client.resume_queue(name=MAIL)
    assert client.pause_queue(name=MAIL).state.name == "PAUSED"
    service.configure([QueueConfig("mail")])
    assert client.get_queue(name=MAIL).state.name == "PAUSED"


@pytest.mark.row("T54")
def test_a_queue_that_queue_yaml_takes_over_keeps_names_as_long_as_its_other_queues(client, service):
    client.create_queue(parent=LOCATION, queue={"name": MADE})
    service.configure([QueueConfig("made")])
    assert service.queues["made"].tombstones.lifetime == service.queues["default"].tombstones.lifetime


@pytest.mark.parametrize(("project", "location"), [("my_project", "a"), ("", "a"), ("a", "eu west"), ("a/b", "c")])
def test_a_project_and_a_location_are_parts_of_names(project, location):
    with pytest.raises(BadRequestError, match="can't be part of a name"):
        ProjectLocation(project, location)
