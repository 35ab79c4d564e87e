"""A trace as a card: the steps of a task from the call of `add` to its last attempt."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import harness.show  # noqa: F401  # registers the cards
from harness.records import Attempt, Outcome, TaskState, Trace
from tests.support.sample_records import ATTEMPTS, TASK

FAILED, GOOD = ATTEMPTS


def steps(trace: Trace) -> list[str]:
    """The titles of the numbered steps."""
    return re.findall(r"(?m)^\d+\. (.*)$", str(trace))


def failures(number: int) -> tuple[Attempt, ...]:
    return tuple(
        replace(FAILED, number=place, started=FAILED.started + timedelta(seconds=place))
        for place in range(1, number + 1)
    )


def test_a_trace_shows_the_call_the_stored_task_and_each_attempt() -> None:
    assert steps(Trace(TASK, ATTEMPTS)) == [
        "The action gen_task adds a task at 09:00:00.2",
        "The queue default stores the task, and the user doesn't wait for it",
        "✗ Attempt 1 at 09:00:00.2: the worker returns 500 INTERNAL SERVER ERROR, failed",
        "✓ Attempt 2 at 09:00:03.3: the worker returns 200 OK, done",
    ]


def test_a_trace_shows_the_learners_line_the_request_and_what_ran() -> None:
    story = str(Trace(TASK, ATTEMPTS))
    for fact in (
        "tutorial/controllers/default.py, line 3, in gen_task",
        "taskqueue.add(url=URL('task_do'), params=dict(old='original text', new='new text'))",
        "App Engine sends   POST /tutorial/default/task_do",
        "X-AppEngine-TaskRetryCount: 1",
        "worker             action tutorial/default/task_do",
        "request.post_vars  old = 'original text'",
        "SQL                INSERT INTO mytable(old, new) VALUES ('original text', 'new text');",
        "printed          told the partner",
        "ticket             ConnectionError: the partner's shop is down",
        "next               failed (status 500); retry at 09:00:03.3, in 0.1 s",
        "next             done: the task leaves the queue",
    ):
        assert fact in story


def facts(story: object, attempt: int) -> list[tuple[str, str]]:
    """The labels of an attempt's facts with their first lines, in their order."""
    step = str(story).split(f"Attempt {attempt} at")[1].split("Attempt")[0]
    return re.findall(r"(?m)^   (\S.*?)(?: {2,}(.*))?$", step)


def test_an_attempt_begins_with_its_outcome_and_the_reason() -> None:
    killed = replace(FAILED, response=replace(FAILED.response, hint="no such action", killed=True))
    labels = [label for label, _ in facts(Trace(TASK, (killed,)), 1)]
    assert labels[:5] == ["status", "why", "stopped", "ticket", "next"]


def test_a_later_attempt_shows_only_what_differs() -> None:
    assert facts(Trace(TASK, ATTEMPTS), 2) == [
        ("status", "200 OK"),
        ("next", "done: the task leaves the queue"),
        ("headers", "X-AppEngine-TaskRetryCount: 1"),
        ("printed", "told the partner"),
        ("text", "saved"),
        ("took", "0.5 s"),
        ("as in attempt 1", "App Engine sends, body, from, worker, request.post_vars, request.vars, SQL"),
        ("not this time", "ticket"),
    ]


def test_headers_are_folded_in_a_notebook() -> None:
    html = Trace(TASK, ATTEMPTS)._repr_html_() or ""
    summary, _, rest = html.partition("<summary>6 headers</summary>")
    assert summary.endswith("<details>")
    assert "User-Agent" in rest.partition("</details>")[0]
    assert "User-Agent" not in summary
    assert html.count("<details>") == 1


def test_a_trace_uses_the_words_of_the_course() -> None:
    story = str(Trace(TASK, ATTEMPTS)).lower()
    assert all(word in story for word in ("user", "action", "task", "queue", "worker", "attempt"))


def test_the_stored_task_keeps_its_first_eta() -> None:
    stored = str(Trace(TASK, ATTEMPTS)).split("Attempt 1")[0]
    assert "ETA      09:00:00.2 (now)" in stored


def test_a_task_without_an_attempt_waits() -> None:
    waiting = replace(TASK, state=TaskState.WAITING, eta=TASK.created + timedelta(seconds=10))
    story = Trace(waiting)
    assert str(story).startswith("task task1: waits in the queue default, no attempts so far\n")
    assert steps(story)[-1] == "The task waits in the queue, and App Engine calls the worker at 09:00:10.2 or later"
    assert "(in 10 s)" in str(story)


def test_a_deleted_task_says_so() -> None:
    assert steps(Trace(replace(TASK, state=TaskState.DELETED)))[-1] == "The task was deleted from the queue"


def test_a_task_deleted_by_its_own_worker_is_shown_once() -> None:
    attempt = replace(GOOD, outcome=Outcome.DELETED)
    assert steps(Trace(replace(TASK, state=TaskState.DELETED), (attempt,)))[-1].startswith("✓ Attempt 1")


def test_a_running_task_says_so() -> None:
    assert steps(Trace(replace(TASK, state=TaskState.RUNNING)))[-1] == "The worker is running"


def test_a_task_from_a_notebook_cell_is_added_by_your_code() -> None:
    assert TASK.call_site is not None
    cell = replace(TASK.call_site, file="notebook cell", function="<module>")
    story = Trace(replace(TASK, call_site=cell), ATTEMPTS)
    assert steps(story)[0] == "Your code adds a task at 09:00:00.2"
    assert "line  notebook cell, line 3\n" in str(story)


def test_a_task_of_unknown_origin_begins_in_the_queue() -> None:
    assert steps(Trace(replace(TASK, call_site=None), ATTEMPTS))[0].startswith("The queue default stores the task")


def test_six_attempts_are_shown_in_full() -> None:
    assert len(re.findall(r"(?m)^ +next ", str(Trace(TASK, failures(6))))) == 6


def test_of_more_attempts_the_middle_ones_take_a_line_each() -> None:
    story = Trace(TASK, failures(9))
    assert len(re.findall(r"(?m)^ +next ", str(story))) == 4
    assert str(story).count("as in attempt") == 3
    assert "as in attempt 8" in str(story)
    assert "as in attempt 2  status, ticket, App" in str(story).split("Attempt 8 ")[1]
    assert len(steps(story)) == 2 + 9
    assert steps(story)[4] == "✗ Attempt 3 at 09:00:03.2: failed (status 500); retry at 09:00:03.3, 2.9 s ago"


def test_of_very_many_attempts_the_rest_is_counted() -> None:
    story = Trace(TASK, failures(500))
    assert len(str(story)) < 10_000
    assert "… 466 more attempts like these …" in steps(story)


def test_a_worker_without_a_route_is_not_an_action() -> None:
    mounted = replace(GOOD, response=replace(GOOD.response, route=None))
    assert "worker            not a web2py action" in str(Trace(TASK, (mounted,)))


def test_a_stopped_worker_returns_no_response() -> None:
    stopped = replace(FAILED, response=replace(FAILED.response, status=0, deadline="virtual", ticket=None))
    assert steps(Trace(TASK, (stopped,)))[2].endswith("the worker returns no response, stopped at its deadline")
