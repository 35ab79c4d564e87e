"""The contract tests that fail in Cloud Tasks mode, how they fail, and the source of each difference.

The contract tests are written for the bundled service. A test that is listed here must fail in Cloud Tasks mode, with
an exception of the given class, whose message matches the given pattern. The column "in Cloud Tasks mode" of
harness/FIDELITY.md describes the differences of each row and names their sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# The modules of tests/appengine/ whose tests run in both modes
MODULES = ("test_contract_adding", "test_contract_queues", "test_contract_running", "test_add_bad_input")
# The modules of which only the tests of a row of the contract do. The tests of other modules use no client.
MODULES_WITH_ROWS = ("test_queue", "test_outside_services")
CONTRACT = {f"T{number:02}" for number in range(1, 45)}
# Functions of google/appengine/api/taskqueue/cloudtask.py in SDK 3.1.0
TASK, ERRORS, BATCH_ERRORS = "_build_ct_task_payload", "_to_taskqueue_error", "_map_rest_code_to_tq_code"
DURATION, STATISTICS = "_to_duration", "fetch_queue_stats_in_cloud_tasks"
DELETES = "__DeleteTasks"  # of taskqueue.py
HEADERS, PAST = "AppEngineHttpRequest.headers", "CreateTaskRequest.task"  # fields of google-cloud-tasks 2.26.0


@dataclass(frozen=True)
class Difference:
    """One test that differs.

    Attributes:
        row: the row of FIDELITY.md that describes the difference.
        test: the name of the test.
        error: the class of the exception with which the test fails; "Failed" if an expected exception isn't raised.
        shows: a pattern that the exception's message matches.
        source: what FIDELITY.md must name.
        cases: a pattern for the ids of the parameters that differ; by default all.
    """

    row: str
    test: str
    error: str
    shows: str
    source: str
    cases: str = ".*"


DIFFERENCES = (
    Difference(
        "T01",
        "test_first_positional_argument_is_the_payload_not_the_url",
        "AssertionError",
        "'/' != '/_ah/queue/default'",
        TASK,
    ),
    Difference(
        "T02",
        "test_without_a_url_the_task_posts_to_the_url_of_its_queue",
        "AssertionError",
        "'/' != '/_ah/queue/mail'",
        TASK,
    ),
    Difference(
        "T02",
        "test_an_empty_url_is_the_queues_own",
        "AssertionError",
        "assert '/' == '/_ah/queue/default'",
        TASK,
    ),
    Difference(
        "T11",
        "test_an_illegal_name_is_refused",
        "Error",
        '400 Task ID "task\n" can contain only letters',
        ERRORS,
        r"task\\n",
    ),
    Difference(
        "T12",
        "test_the_name_of_a_waiting_task_is_taken",
        "AssertionError",
        "Actual message: .409 Requested entity already exists. Task.name is",
        ERRORS,
    ),
    Difference(
        "T12",
        "test_the_name_of_a_finished_task_is_a_tombstone_for_nine_days",
        "TaskAlreadyExistsError",
        "409 The task cannot be created because a task with this name existed too recently",
        ERRORS,
    ),
    Difference(
        "T13",
        "test_deleting_and_purging_leave_tombstones",
        "TaskAlreadyExistsError",
        "a task with this name existed too recently. Task.name is .*/tasks/deleted",
        ERRORS,
    ),
    Difference(
        "T14",
        "test_the_good_tasks_of_a_partly_bad_batch_are_queued",
        "Error",
        '^Task ID "bad\n" can contain only letters',
        BATCH_ERRORS,
    ),
    Difference(
        "T15",
        "test_an_unknown_queue_is_named_with_those_that_there_are",
        "AssertionError",
        "404 Queue does not exist.* names the queue post, and the queues are default, mail",
        ERRORS,
    ),
    Difference(
        "T15",
        "test_bad_arguments_are_refused_by_name",
        "Error",
        "400 Queue name must be formatted",
        ERRORS,
        "arguments.-UnknownQueueError-.*",
    ),
    Difference(
        "T16",
        "test_the_service_weighs_a_task_too",
        "Error",
        "400 Task size too large: .* has 102410 bytes, and at most 102400",
        ERRORS,
    ),
    Difference(
        "T17",
        "test_a_task_that_was_made_by_another_clock_is_weighed_by_the_labs_own",
        "Error",
        "400 The Task.scheduleTime, .*, is too far in the future.* It is 2592001 s from now",
        ERRORS,
    ),
    Difference("T17", "test_an_eta_before_1970_is_refused", "Failed", "DID NOT RAISE .*InvalidEtaError", PAST),
    Difference(
        "T17",
        "test_bad_arguments_are_refused_by_name",
        "Failed",
        "DID NOT RAISE .*InvalidEtaError",
        PAST,
        "arguments.*-InvalidEtaError-before 1970",
    ),
    Difference(
        "T19",
        "test_add_async_takes_effect_when_it_is_waited_for",
        "AssertionError",
        r"assert \['task1'\] == \[\]",
        "_CloudTaskRPC",
    ),
    Difference(
        "T20",
        "test_a_transactional_add_is_refused_outside_of_a_datastore_transaction",
        "AssertionError",
        "Actual message: .Transactional tasks must be added inside a transaction.",
        "cloudtask_transactional.py",
    ),
    Difference(
        "T26",
        "test_the_namespace_that_the_client_puts_in_arrives",
        "AssertionError",
        "assert None == 'school'",
        TASK,
    ),
    Difference(
        "T27",
        "test_custom_headers_keep_their_spelling_and_repeats",
        "TypeError",
        "Failed to initialize AppEngineHttpRequest.* bad argument type",
        HEADERS,
    ),
    Difference(
        "T27",
        "test_headers_keep_their_spelling_and_their_repetitions",
        "TypeError",
        "Failed to initialize AppEngineHttpRequest.* bad argument type",
        HEADERS,
    ),
    Difference(
        "T27",
        "test_bytes_that_are_no_text_are_kept_as_far_as_they_go",
        "UnicodeDecodeError",
        "'utf-8' codec can't decode byte 0xe9",
        HEADERS,
    ),
    Difference(
        "T27",
        "test_the_host_is_the_tasks_own_unless_the_queue_has_a_target",
        "AssertionError",
        "assert 'tutorial.appspot.com' == 'www.example.com'",
        TASK,
        "arguments.-www.example.com",
    ),
    Difference(
        "T31",
        "test_a_backoff_without_end_is_refused",
        "OverflowError",
        "cannot convert float infinity to integer",
        DURATION,
        ".*-inf",
    ),
    Difference(
        "T31",
        "test_a_backoff_without_end_is_refused",
        "ValueError",
        "cannot convert float NaN to integer",
        DURATION,
        ".*-nan",
    ),
    Difference(
        "T31",
        "test_a_backoff_without_end_is_refused",
        "AssertionError",
        r"Actual message: .400 RetryConfig.m(in|ax)Backoff must be at most 3.1536e\+08 seconds",
        ERRORS,
        ".*-1000000000.0",
    ),
    Difference("T34", "test_a_tasks_own_dispatch_deadline_holds_instead", "AssertionError", "200 != 0", TASK),
    Difference("T34", "test_a_dispatch_deadline_is_kept_in_seconds", "AssertionError", "assert 600.0 == 90", TASK),
    Difference(
        "T41",
        "test_a_queue_that_does_not_exist_is_named",
        "AssertionError",
        "Actual message: .404 Queue does not exist",
        ERRORS,
        "<lambda>[01]",
    ),
    Difference(
        "T41",
        "test_a_queue_that_does_not_exist_is_named",
        "AssertionError",
        "Actual message: .Queue post not found: 404 Queue does not exist",
        STATISTICS,
        "<lambda>2",
    ),
    Difference(
        "T42",
        "test_a_deleted_task_cannot_be_leased_by_its_tag",
        "UnknownQueueError",
        "BatchDeleteTasksRequest.parent names the queue later",
        DELETES,
    ),
    Difference(
        "T42",
        "test_push_and_pull_do_not_mix",
        "UnknownQueueError",
        "CreateTaskRequest.parent names the queue later",
        ERRORS,
    ),
    Difference(
        "T42",
        "test_bad_arguments_are_refused_by_name",
        "UnknownQueueError",
        "CreateTaskRequest.parent names the queue later",
        ERRORS,
        "arguments.-InvalidQueueModeError-takes no push task",
    ),
    Difference(
        "T47",
        "test_a_task_of_an_application_with_a_domain_of_its_own_goes_to_that_application",
        "AssertionError",
        "'tutorial.appspot.com' != 'blog.example.com'",
        TASK,
    ),
)


def runs_in_both_modes(module: str, rows: Iterable[str]) -> bool:
    """Return whether a test of a module, which is marked with these rows, runs in both modes."""
    return module in MODULES or (module in MODULES_WITH_ROWS and not CONTRACT.isdisjoint(rows))


def find_difference(test: str, case: str) -> Difference | None:
    """Return the difference of a test, by the id of its parameters without the mode."""
    found = [each for each in DIFFERENCES if each.test == test and re.fullmatch(each.cases, case)]
    assert len(found) < 2, f"two differences describe {test}[{case}]"
    return found[0] if found else None
