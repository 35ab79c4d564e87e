"""The errors that the project aertje/cloud-tasks-emulator recorded in production (its test/conformance/golden/)."""

import pytest
from google.api_core import exceptions
from google.protobuf import duration_pb2, timestamp_pb2

LOCATION = "projects/tutorial/locations/us-central1"
QUEUE, MADE, MISSING = (f"{LOCATION}/queues/{name}" for name in ("default", "made", "missing"))
_HIDDEN = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."


def create_queue(name=MADE, parent=LOCATION, **fields):
    return lambda client: client.create_queue(parent=parent, queue={"name": name, **fields})


def create_task(parent=QUEUE, name="", kind="http_request", request=None, **fields):
    request = {"url": "https://example.com/"} if request is None else request
    return lambda client: client.create_task(parent=parent, task={"name": name, kind: request, **fields})


def call(method, name):
    return lambda client: getattr(client, method)(name=name)


def twice(action):
    return lambda client: (action(client), action(client))


def after_deletion(action):
    def run(client):
        client.create_queue(parent=LOCATION, queue={"name": MADE})
        client.delete_queue(name=MADE)
        return action(client)

    return run


def finished_task(client):
    client.create_task(parent=QUEUE, task={"name": f"{QUEUE}/tasks/a", "http_request": {"url": "https://example.com/"}})
    client.delete_task(name=f"{QUEUE}/tasks/a")
    return client.get_task(name=f"{QUEUE}/tasks/a")


def retry(**fields):
    return create_queue(retry_config=fields)


def limits(**fields):
    return create_queue(rate_limits=fields)


def seconds(number):
    return duration_pb2.Duration(seconds=number)


RECORDED = {
    "queue/create/already-exists": (twice(create_queue()), 409, "Queue already exists"),
    "queue/create/backoff-order": (
        retry(min_backoff=seconds(9), max_backoff=seconds(1)),
        400,
        "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
    ),
    "queue/create/concurrent-negative": (
        limits(max_concurrent_dispatches=-1),
        400,
        "RateLimits.maxConcurrentDispatches cannot be negative.",
    ),
    "queue/create/concurrent-too-high": (
        limits(max_concurrent_dispatches=5001),
        400,
        "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.",
    ),
    "queue/create/invalid-name": (
        create_queue("bad name"),
        400,
        'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".',
    ),
    "queue/create/invalid-parent": (
        create_queue(parent="not-a-valid-parent"),
        403,
        "Permission denied on resource project not-a-valid-parent.",
    ),
    "queue/create/max-attempts-below-minus-one": (
        retry(max_attempts=-2),
        400,
        "RetryConfig.maxAttempts must be greater or equal to -1.",
    ),
    "queue/create/max-doublings-negative": (
        retry(max_doublings=-1),
        400,
        "RetryConfig.maxDoublings cannot be negative.",
    ),
    "queue/create/min-backoff-negative": (
        retry(min_backoff=seconds(-1)),
        400,
        "RetryConfig.minBackoff cannot be negative.",
    ),
    "queue/create/rate-negative": (
        limits(max_dispatches_per_second=-1),
        400,
        "RateLimits.maxDispatchesPerSecond cannot be negative.",
    ),
    "queue/create/rate-too-high": (
        limits(max_dispatches_per_second=501),
        400,
        "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
    ),
    "queue/create/recently-deleted": (
        after_deletion(create_queue()),
        400,
        "The queue cannot be created because a queue with this name existed too recently.",
    ),
    "queue/delete/not-found": (call("delete_queue", MISSING), 404, "Requested entity was not found."),
    "queue/get/not-found": (call("get_queue", MISSING), 404, _HIDDEN),
    "queue/get/recently-deleted": (after_deletion(call("get_queue", MADE)), 404, _HIDDEN),
    "queue/pause/not-found": (call("pause_queue", MISSING), 404, _HIDDEN),
    "queue/purge/not-found": (call("purge_queue", MISSING), 404, _HIDDEN),
    "queue/resume/not-found": (call("resume_queue", MISSING), 404, _HIDDEN),
    "task/create/already-exists": (
        twice(create_task(name=f"{QUEUE}/tasks/a")),
        409,
        "Requested entity already exists",
    ),
    "task/create/appengine-deadline-too-long": (
        create_task(kind="app_engine_http_request", request={}, dispatch_deadline=seconds(86416)),
        400,
        "Task.dispatchDeadline must be between [15s, 24h15s].",
    ),
    "task/create/deadline-too-long": (
        create_task(dispatch_deadline=seconds(1801)),
        400,
        "Task.dispatchDeadline must be between [15s, 30m].",
    ),
    "task/create/deadline-too-short": (
        create_task(dispatch_deadline=seconds(14)),
        400,
        "Task.dispatchDeadline must be between [15s, 30m].",
    ),
    "task/create/invalid-name": (
        create_task(name=f"{QUEUE}/tasks/not a valid id"),
        400,
        'Task ID "not a valid id" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores '
        "(_). Task ID must between 1 and 500 characters.",
    ),
    "task/create/invalid-url-empty": (create_task(request={}), 400, "HttpRequest.url is required."),
    "task/create/invalid-url-no-scheme": (
        create_task(request={"url": "example.com"}),
        400,
        "HttpTarget.url must start with 'http://' or 'https://'.",
    ),
    "task/create/queue-mismatch": (
        create_task(name=f"{QUEUE}-other/tasks/a"),
        400,
        f"The queue name from request ('{QUEUE}') must be the same as the queue name in the named task "
        f"('{QUEUE}-other').",
    ),
    "task/create/queue-not-found": (create_task(MISSING), 404, _HIDDEN),
    "task/create/queue-recently-deleted": (after_deletion(create_task(MADE)), 404, _HIDDEN),
    "task/create/schedule-too-far": (
        create_task(schedule_time=timestamp_pb2.Timestamp(seconds=4102444800)),
        400,
        "The Task.scheduleTime, 2100-01-01T00:00:00Z, is too far in the future. "
        "Schedule time must be no more than 720h in the future.",
    ),
    "task/delete/not-found": (call("delete_task", f"{QUEUE}/tasks/a"), 404, "Requested entity was not found."),
    "task/get/not-found": (call("get_task", f"{QUEUE}/tasks/a"), 404, "Requested entity was not found."),
    "task/get/recently-deleted": (
        finished_task,
        404,
        "The task no longer exists, though a task with this name existed recently. The task either successfully "
        "completed or was deleted.",
    ),
    "task/run/not-found": (call("run_task", f"{QUEUE}/tasks/a"), 404, "Requested entity was not found."),
}


@pytest.mark.row("T55")
@pytest.mark.parametrize("case", RECORDED)
def test_an_error_has_the_code_and_begins_with_the_text_that_production_gave(client, case):
    action, code, text = RECORDED[case]
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        action(client)
    assert caught.value.code == code
    assert caught.value.message.startswith(text)


@pytest.mark.parametrize(
    "action",
    [
        limits(max_burst_size=-1),
        create_task(request={"url": "https://example.com/%zz"}),
        create_task(kind="app_engine_http_request", request={}, dispatch_deadline=seconds(3600)),
    ],
)
def test_what_production_accepted_is_accepted(client, action):
    assert action(client).name
