"""Whatever is passed to `taskqueue.add`: a documented exception and an unchanged queue, or one more task."""

import os
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.appengine.clock import START
from harness.appengine.taskqueue import TaskQueueService, parse_queue_yaml

EXAMPLES = int(os.environ.get("HARNESS_SOAK", "100"))
QUEUES = parse_queue_yaml("queue:\n- name: later\n  mode: pull")
NAN, INF = float("nan"), float("inf")


def size(service: TaskQueueService) -> int:
    return sum(len(queue) for queue in service.queues.values())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "PULL", "payload": "x"}, "InvalidQueueModeError", "takes no pull task"),
        ({"queue_name": "later"}, "InvalidQueueModeError", "takes no push task"),
        ({"queue_name": "later", "method": "PULL"}, "InvalidTaskError", "payload must be specified"),
        ({"queue_name": "default\n"}, "UnknownQueueError", r"'default\\n'"),
        ({"queue_name": ""}, "InvalidQueueNameError", "does not match"),
        ({"queue_name": "a b"}, "InvalidQueueNameError", "a b"),
        ({"eta": "tomorrow"}, "InvalidTaskError", "ETA must be a datetime"),
        ({"eta": START + timedelta(days=31)}, "InvalidEtaError", "too far in the future"),
        ({"eta": datetime(9999, 12, 31)}, "InvalidEtaError", "too far in the future"),
        ({"eta": datetime(9999, 12, 31, tzinfo=UTC)}, "InvalidEtaError", "too far in the future"),
        ({"eta": datetime(1969, 12, 31, 23)}, "InvalidEtaError", "before 1970"),
        ({"countdown": "soon"}, "InvalidTaskError", "Countdown must be a number"),
        ({"countdown": INF}, "InvalidEtaError", "too far in the future"),
        ({"payload": object()}, "InvalidTaskError", "Task payloads must be strings"),
        ({"payload": b"x" * 101 * 1024}, "TaskTooLargeError", "102400"),
        ({"payload": "x", "method": "GET"}, "InvalidTaskError", "Payload can only be specified"),
        ({"url": "http://example.com/"}, "InvalidUrlError", "scheme or location"),
        ({"url": "//x"}, "InvalidUrlError", "scheme or location"),
        ({"url": "x"}, "InvalidUrlError", 'must start with "/"'),
        ({"tag": "red"}, "InvalidTaskError", "tag can only be specified for pull tasks"),
        ({"queue_name": "later", "method": "PULL", "payload": "", "tag": "x" * 501}, "InvalidTagError", "501"),
        ({"target": "v2", "headers": {"Host": "x"}}, "InvalidTaskError", "host header"),
        ({"dispatch_deadline_usec": 14_000_000}, "InvalidDispatchDeadlineError", "less than"),
        ({"dispatch_deadline_usec": 86_401_000_000}, "InvalidDispatchDeadlineError", "more than"),
    ],
)
def test_bad_arguments_are_refused_by_name(service, taskqueue, arguments, error, message):
    with pytest.raises(getattr(taskqueue, error), match=message) as refusal:
        taskqueue.add(**arguments)
    assert type(refusal.value) is getattr(taskqueue, error)
    assert size(service) == 0


def test_an_empty_url_is_the_queues_own(service, taskqueue):
    taskqueue.add(url="")
    assert service.queues["default"].waiting()[0].url == "/_ah/queue/default"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"params": {"a": "\ud800"}}, UnicodeEncodeError),
        ({"params": ["a"]}, AttributeError),
        ({"url": None}, TypeError),
        ({"name": 5}, TypeError),
        ({"colour": "red"}, TypeError),
        ({"countdown": NAN}, ValueError),
    ],
)
def test_what_googles_client_trips_over_leaves_the_queue_alone(service, taskqueue, arguments, error):
    with pytest.raises(error):
        taskqueue.add(**arguments)
    assert size(service) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"min_backoff_seconds": -1},
        {"max_backoff_seconds": -1},
        {"min_backoff_seconds": 2, "max_backoff_seconds": 1},
        {"max_doublings": -1},
        {"task_retry_limit": -1},
        {"task_age_limit": -1},
    ],
)
def test_retry_options_out_of_range_are_refused(taskqueue, options):
    with pytest.raises(taskqueue.InvalidTaskRetryOptionsError):
        taskqueue.TaskRetryOptions(**options)


@pytest.mark.row("T31")
@pytest.mark.parametrize("seconds", [NAN, INF, 1e9])
@pytest.mark.parametrize("field", ["min_backoff_seconds", "max_backoff_seconds"])
def test_a_backoff_without_end_is_refused(service, taskqueue, field, seconds):
    options = taskqueue.TaskRetryOptions(**{field: seconds})
    with pytest.raises(taskqueue.Error, match=rf"{field} {seconds!r}: use 0 to 3.1536e\+08 seconds"):
        taskqueue.add(url="/x", retry_options=options)
    assert size(service) == 0


def test_a_backoff_of_zero_is_allowed(service, taskqueue):
    taskqueue.add(url="/x", retry_options=taskqueue.TaskRetryOptions(min_backoff_seconds=0, max_backoff_seconds=0))
    assert service.queues["default"].waiting()[0].retry.delay(3) == 0


def test_a_backoff_of_ten_years_is_allowed(service, taskqueue):
    options = taskqueue.TaskRetryOptions(min_backoff_seconds=10 * 365 * 86400, max_backoff_seconds=10 * 365 * 86400)
    taskqueue.add(url="/x", retry_options=options)
    assert service.queues["default"].waiting()[0].retry.delay(1) == 315_360_000


@pytest.mark.row("T42")
@pytest.mark.parametrize(
    ("seconds", "count", "error"),
    [
        (-1, 1, "InvalidLeaseTimeError"),
        (8 * 86400, 1, "InvalidLeaseTimeError"),
        (NAN, 1, "Error"),
        (1, 0, "InvalidMaxTasksError"),
        (1, 1001, "InvalidMaxTasksError"),
    ],
)
def test_a_lease_out_of_range_is_refused(service, taskqueue, seconds, count, error):
    queue = taskqueue.Queue("later")
    task = queue.add(taskqueue.Task("text", method="PULL"))
    with pytest.raises(getattr(taskqueue, error)):
        queue.lease_tasks(seconds, count)
    if count == 1:
        with pytest.raises(getattr(taskqueue, error)):
            queue.modify_task_lease(task, seconds)
    assert service.queues["later"].next_eta() == START.timestamp()


def innermost_file(error: BaseException) -> str:
    return traceback.extract_tb(error.__traceback__)[-1].filename


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=2)
)
TEXT = st.text(st.characters(), max_size=20)  # with surrogates
MOMENTS = st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.datetimes(START.replace(tzinfo=None))
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "payload": TEXT | st.binary() | ODD,
        "name": st.from_regex("[a-z]{1,3}") | TEXT | ODD,
        "url": st.sampled_from(["/x", "/x?a=1", "//x", "/x#y", "x"]) | TEXT | ODD,
        "method": st.sampled_from(["POST", "GET", "PUT", "HEAD", "DELETE", "PULL", "PATCH", "get"]) | ODD,
        "params": st.dictionaries(TEXT, TEXT | ODD, max_size=3) | ODD,
        "headers": st.dictionaries(TEXT, TEXT | ODD, max_size=3) | ODD,
        "countdown": st.integers(-10, 10) | st.floats() | ODD,
        "eta": MOMENTS | ODD,
        "queue_name": st.sampled_from(["default", "later", "nowhere", "default\n"]) | TEXT | ODD,
        "tag": TEXT | ODD,
        "target": TEXT | ODD,
        "transactional": st.booleans(),
        "dispatch_deadline_usec": st.integers(15_000_000, 90_000_000) | ODD,
        "retry_options": st.fixed_dictionaries(
            {}, optional={"min_backoff_seconds": ODD, "max_doublings": ODD, "task_retry_limit": ODD}
        ),
    },
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=ARGUMENTS)
def test_any_arguments_give_a_task_or_a_documented_exception(service, taskqueue, arguments):
    before = size(service)
    try:
        if "retry_options" in arguments:
            arguments["retry_options"] = taskqueue.TaskRetryOptions(**arguments["retry_options"])
        name = taskqueue.add(**arguments).name
    except (taskqueue.Error, TypeError, ValueError, AttributeError, OverflowError) as error:
        assert size(service) == before
        assert isinstance(error, taskqueue.Error) or "harness" not in innermost_file(error)
    else:
        assert size(service) == before + 1
        assert service.history[name][-1].info().name == name
