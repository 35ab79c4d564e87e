"""Records are immutable, equal by value, and can all be displayed."""

import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

from harness import records, show
from harness.records import (
    Attempt,
    Frame,
    Outcome,
    Record,
    Request,
    Response,
    Route,
    TaskInfo,
    TaskState,
    Ticket,
    find_header,
    read_later,
)

NOW = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
TASK = TaskInfo("task1", "default", "POST", "/x", NOW, NOW, body="ü".encode())


def test_the_exports_are_sorted_and_exist():
    assert records.__all__ == sorted(records.__all__)
    assert all(hasattr(records, name) for name in records.__all__)


def test_every_record_can_be_shown():
    exported = [getattr(records, name) for name in records.__all__]
    kinds = {each for each in exported if isinstance(each, type) and issubclass(each, Record)} - {Record}
    assert len(kinds) >= 10
    assert kinds == set(show.Record.cards)


def test_a_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASK.name = "other"


def test_variables_that_are_read_late_make_no_difference():
    def late() -> Route:
        return read_later(Route("a", "b", "c", args=("d",)), lambda: ({"n": "1"}, {}, {"n": "1"}))

    route = Route("a", "b", "c", args=("d",), get_vars={"n": "1"}, post_vars={}, vars={"n": "1"})
    assert late() == route
    assert pickle.loads(pickle.dumps(late())) == route
    assert dataclasses.replace(late(), function="e") == dataclasses.replace(route, function="e")
    assert str(late()) == str(route)
    with pytest.raises(AttributeError, match="'Route' object has no attribute 'variables'"):
        getattr(late(), "variables")  # noqa: B009


def test_a_header_is_found_in_any_spelling_and_the_first_one_counts():
    headers = (("Retry-After", "1"), ("retry-after", "2"))
    assert find_header(headers, "RETRY-AFTER") == "1"
    assert find_header(headers, "Retry") is None
    assert Request("GET", "/", headers).header("retry-after") == "1"
    assert Response(200, headers=headers).header("Retry-after") == "1"


def test_a_body_that_is_not_utf_8_has_a_text():
    assert Response(200, body=b"\xffa").text == "\ufffda"
    assert TASK.text == "ü"


def test_json_is_parsed():
    assert Response(200, body=b'{"a": [1]}').json == {"a": [1]}


def test_a_body_that_is_not_json_is_quoted():
    with pytest.raises(ValueError, match="not JSON.*'<html>"):
        _ = Response(200, body=b"<html>" + 1000 * b"x").json


@pytest.mark.parametrize(
    ("status", "ok"), [(199, False), (200, True), (299, True), (300, False), (404, False), (0, False)]
)
def test_success_is_200_to_299(status, ok):
    assert Response(status).ok is ok


def test_a_route_names_its_action():
    assert Route("tutorial", "default", "task_do").action == "tutorial/default/task_do"


def test_a_ticket_points_to_the_innermost_line():
    frames = (Frame("a.py", 1, "f"), Frame("b.py", 7, "g"))
    assert Ticket("t", "KeyError", "'a'", frames).where == "b.py, line 7"
    assert Ticket("t", "KeyError", "'a'").where == "unknown line"


def test_an_attempt_has_the_status_of_its_response():
    attempt = Attempt(1, TASK, Request("POST", "/x"), Response(503, elapsed=2.5), NOW, Outcome.RETRY)
    assert (attempt.status, attempt.elapsed, attempt.ok) == (503, 2.5, False)
    assert dataclasses.replace(attempt, outcome=Outcome.DONE).ok


def test_records_are_equal_by_value_and_survive_pickling():
    assert pickle.loads(pickle.dumps(TASK)) == TASK
    assert dataclasses.replace(TASK, state=TaskState.DONE) != TASK


def test_a_record_without_a_card_has_a_plain_repr():
    class Odd(Record):
        __slots__ = ()

    odd = Odd()
    assert "Odd object" in repr(odd)
    assert str(odd) == repr(odd)
    assert odd._repr_html_() is None
