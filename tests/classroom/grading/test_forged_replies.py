"""Whatever a child process returns to the judge: a value of the documented type, or a GradingError. Nothing hangs."""

import itertools
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.appengine.clock import START, Clock
from harness.appengine.taskqueue import TaskQueueService
from harness.appengine.taskqueue.client import preload
from harness.appengine.wsgi import to_environ
from harness.classroom.grading import isolated_engine, submission
from harness.classroom.grading.__main__ import IsolatedLab, _verdict
from harness.classroom.grading.grading_child import ChildLost, run_apart
from harness.classroom.grading.isolated_engine import Budget, IsolatedEngine
from harness.classroom.grading.reply import dump, load
from harness.cloudtasks import CloudTasks
from harness.course.catalogue import exercises, find_exercise, stub_cells
from harness.course.verdict import CheckOutcome
from harness.errors import GradingError, HarnessError
from harness.records import Frame, Request, Response, Route, Ticket
from tests.support.fuzz import LONGEST, ODD, ODD_TREES, examples, promptly

PLACE = "projects/tutorial/locations/us-central1"
RECORDS = (Request, Response, Route, Ticket, Frame)
ACTIONS: dict[str, Callable[[IsolatedLab], object]] = {
    "get": lambda lab: lab.get("default/f"),
    "post": lambda lab: lab.post("default/f", {"a": 1}),
    "table": lambda lab: lab.table("mytable"),
    "routes": lambda lab: lab.write("routes.py", "x = 1"),
}


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IsolatedEngine, "budget", Budget(1e9))
    preload()


def answered(data: bytes, action: Callable[[IsolatedLab], object], lab: IsolatedLab) -> object:
    """Return the result of an action of a lab whose child processes return these bytes, or its HarnessError."""
    with patch.object(isolated_engine, "run_apart", lambda *arguments: data):
        try:
            with promptly():
                return action(lab)
        except HarnessError as error:
            return error


def refusals(reply: object) -> set[type]:
    """Return what each action makes of a forged reply."""
    with IsolatedLab() as lab:
        return {type(answered(dump(reply), action, lab)) for action in ACTIONS.values()}


def assert_usable(lab: IsolatedLab) -> None:
    """Require that a lab still has a clock, shows what happened, and can send the next request."""
    assert 2012 <= lab.now.year < 9999
    assert len(str(lab.responses)) + len(str(lab.attempts)) + len(str(lab.tasks())) < 100_000
    request = lab._engine.user_client.request("GET", "default/f")
    assert all(value.isascii() or value.encode("latin-1") for value in to_environ(request).values() if value is str)


FORGED = {
    "nothing": None,
    "a number": 5,
    "too few": ("", ""),
    "no list of calls": ("", "", None, None),
    "a dict of calls": ("", "", None, {"a": 1}),
    "a call of one letter": ("", "", None, ["abc"]),
    "an error that is a number": (5, "text", None, []),
    "an error without a message": ("SourceError", None, None, []),
    "a call at no time": ("", "", None, [("BulkAdd", b"", float("nan"))]),
    "a call at the end of time": ("", "", None, [("BulkAdd", b"", 1e300)]),
    "a call of nobody": ("", "", None, [("Dance", b"", 0.0)]),
    "an empty batch": ("", "", None, [("BulkAdd", b"", 0.0)]),
}


@pytest.mark.parametrize("reply", FORGED.values(), ids=FORGED)
def test_a_reply_that_no_child_sends_is_refused(reply):
    assert refusals(reply) == {GradingError}


@pytest.mark.parametrize("kind", ["RunawayError", "HandlerStopped", "NothingDueError", "HarnessError", "Any", "é"])
def test_an_error_that_a_request_cannot_raise_is_a_grading_error(kind):
    assert refusals((kind, "because", None, [])) == {GradingError}


def test_the_message_of_a_forged_error_is_cut():
    assert refusals(("SourceError", "x" * 1_000_000, None, [])) == {isolated_engine.SourceError}


UNLIKE_A_RESPONSE = {
    "status": ["200", None, 200.0, 0, -1, 10**9, 1000],
    "reason": [b"OK", None],
    "headers": [None, {}, "abc", [("a", "b")], (("a",),), (("a", 5),), ("ab",)],
    "body": ["text", None, [1]],
    "elapsed": [-1.0, float("nan"), float("inf"), 601.0, "1", None],
    "route": [Frame("f", 1, "g"), 5, Route("a", "b", "c", args=(1,)), Route("a", "b", "c", vars=5)],
    "vars": [None, [], 5],
    "sql": ["select", (5,), None],
    "ticket": ["", Ticket("i", "E", 5), Ticket("i", "E", "m", frames=("f",)), Ticket(5, None, "")],
    "deadline": [5, True],
    "output": [None, b""],
    "hint": [None, 5],
}


@pytest.mark.parametrize("field", UNLIKE_A_RESPONSE)
def test_a_response_with_a_field_of_another_type_is_refused(field):
    with IsolatedLab() as lab:
        for value in UNLIKE_A_RESPONSE[field]:
            data = dump(("", "", Response(**{"status": 200, field: value}), []))
            assert isinstance(answered(data, ACTIONS["get"], lab), GradingError), value
        assert lab.responses == ()


def test_what_is_not_a_table_is_refused():
    with IsolatedLab() as lab:
        for rows in (5, "abc", {}, [5], [[]], [{}] * 10_001, Response(200)):
            assert isinstance(answered(dump(("", "", rows, [])), ACTIONS["table"], lab), GradingError)


@pytest.mark.parametrize(
    ("expires", "sent"),
    [
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", "a=b"),
        ("Mon, 01 Jan 2001 00:00:00 -0000", None),
        ("Mon, 01 Jan 2021 00:00:00 -0000", "a=b"),
        ("", "a=b"),
    ],
)
def test_a_cookie_is_deleted_if_it_expired_at_a_date(expires, sent):
    with IsolatedLab() as lab:
        response = Response(200, headers=(("Set-Cookie", f'a=b; Path=/; Expires="{expires}"'),))
        assert answered(dump(("", "", response, [])), ACTIONS["get"], lab) == lab.responses[-1]
        assert lab._engine.user_client.request("GET", "f").header("Cookie") == sent


def test_bytes_that_ask_for_much_memory_are_refused():
    """A pickle may name a place of its memo; the unpickler makes room for all places before it."""
    for data in (b"\x80\x04Nr\xff\xff\xff\x0f.", b"[" * 100_000, b"9" * 100_000, b'{"tuple":' * 10_000):
        with pytest.raises(ValueError, match="unreadable"), promptly():
            load(data)


@examples(30)
@given(st.binary(max_size=60) | ODD_TREES.map(pickle.dumps) | st.recursive(ODD, st.lists).map(dump))
def test_any_bytes_are_a_value_or_refused(data):
    try:
        with promptly():
            load(data)
    except ValueError as error:
        assert str(error).startswith("unreadable: ")


@examples(30)
@given(
    value=ODD_TREES | st.sampled_from(RECORDS).flatmap(lambda kind: st.builds(kind, *[ODD] * len(fields(kind)))),
    data=st.data(),
)
def test_changed_bytes_are_a_value_or_refused(value, data):
    forged = bytearray(dump(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(forged)))
        forged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        with promptly():
            load(bytes(forged))
    except ValueError as error:
        assert str(error).startswith("unreadable: ")


LINES = st.text(st.characters(), max_size=30)
COOKIES = st.builds(
    lambda name, value, attributes: "; ".join([f"{name}={value}", *attributes]),
    st.sampled_from(["a", "session_id_tutorial", "é", "a b", "", "$Version", '"']) | LINES,
    st.sampled_from(["b", '"\\073"', "\\" * 5000, "é\u20ac", '"' * 99, "a,b"]) | LINES,
    st.lists(
        st.sampled_from(["Max-Age=0", "Max-Age=-", "Max-Age=" + "9" * 999, "Expires=", "Secure=5", "Path", "; ;"])
        | LINES.map(lambda text: f"Expires={text}")
        | st.builds(
            "Expires={}, {:02} {} {} {}:{}:{} {}".format,
            LINES,
            st.integers(-1, 99),
            st.sampled_from(["Jan", "Feb"]),
            st.integers(),
            st.integers(0, 99),
            st.integers(0, 99),
            st.integers(0, 99),
            st.sampled_from(["GMT", "-0000", "+9999", "-99999999"]),
        ),
        max_size=3,
    ),
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["Set-Cookie", "set-cookie"]), COOKIES) | st.tuples(LINES, LINES), max_size=4
).map(tuple)
RESPONSES = st.builds(
    Response,
    status=st.integers(100, 999),
    reason=LINES,
    headers=HEADERS,
    body=st.binary(max_size=30) | st.just(b"x" * 1000),
    elapsed=st.floats(0, 600),
    vars=st.dictionaries(LINES, ODD_TREES, max_size=2),
    sql=st.lists(LINES, max_size=2).map(tuple),
    ticket=st.none()
    | st.builds(Ticket, LINES, LINES, LINES, st.tuples(st.builds(Frame, LINES, st.integers(), LINES, LINES))),
    deadline=st.sampled_from([None, "virtual", "real", "never"]),
    output=LINES,
    hint=LINES,
)


@examples(20)
@given(st.lists(RESPONSES, min_size=1, max_size=3))
def test_any_cookies_and_headers_leave_a_lab_that_works(responses):
    with IsolatedLab() as lab:
        for response in responses:
            got = answered(dump(("", "", response, [])), ACTIONS["get"], lab)
            assert isinstance(got, Response)
            assert (got.status, got.headers, got.body) == (response.status, response.headers, response.body)
            assert_usable(lab)


CALLS = ["Delete", "PurgeQueue", "QueryAndOwnTasks", "ModifyTaskLease", "FetchQueueStats", "UpdateQueue", "Add"]


@st.composite
def calls(draw) -> tuple[Any, Any, Any]:
    """A call to the task queue: its name, a message with odd fields or other bytes, and its time."""
    from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as messages

    name = draw(st.just("BulkAdd") | st.sampled_from(CALLS))
    message = getattr(messages, f"TaskQueue{name}Request")()
    _fill(draw, message, depth=3)
    forged = message.SerializePartialToString()
    return name, draw(st.just(forged) | st.binary(max_size=20)), draw(st.just(START.timestamp()) | st.floats())


@st.composite
def cloud_calls(draw) -> tuple[Any, Any, Any]:
    """A call to Cloud Tasks: its method, a message with odd fields or other bytes, and its time."""
    methods = CloudTasks(TaskQueueService(Clock())).methods
    name = draw(st.just("/google.cloud.tasks.v2.CloudTasks/CreateTask") | st.sampled_from(sorted(methods)))
    message = methods[name][0]()
    _fill(draw, message, depth=4)
    forged = message.SerializePartialToString()
    return name, draw(st.just(forged) | st.binary(max_size=20)), draw(st.just(START.timestamp()) | st.floats())


def _fill(draw: Any, message: Any, depth: int) -> None:
    """Set the required fields of a message, and some others, to odd values."""
    for field in message.DESCRIPTOR.fields:
        if not field.is_required and draw(st.booleans()):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            if depth:
                inner = getattr(message, field.name)
                _fill(draw, inner.add() if field.is_repeated else inner, depth - 1)
        elif field.is_repeated:
            getattr(message, field.name).append(draw(_values(field)))
        else:
            setattr(message, field.name, draw(_values(field)))


def _values(field: Any) -> st.SearchStrategy[Any]:
    if field.cpp_type == field.CPPTYPE_ENUM:
        return st.sampled_from([each.number for each in field.enum_type.values])
    bits = {field.CPPTYPE_INT32: 31, field.CPPTYPE_INT64: 63}.get(field.cpp_type)
    if bits:
        return st.integers(0, 3) | st.integers(-(2**bits), 2**bits - 1)
    if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return st.integers(0, 2**32 - 1)
    if field.type == field.TYPE_STRING:
        return st.sampled_from([PLACE, f"{PLACE}/queues/default", f"{PLACE}/queues/default/tasks/a"]) | st.text(
            max_size=9
        )
    texts = st.sampled_from([b"default", b"later", b"a", b"/x", b""]) | st.binary(max_size=9)
    floats = st.floats(width=32)
    others = {field.CPPTYPE_DOUBLE: floats, field.CPPTYPE_FLOAT: floats, field.CPPTYPE_BOOL: st.booleans()}
    return others.get(field.cpp_type, texts)


@examples(20)
@given(st.lists(calls(), max_size=4), RESPONSES)
def test_any_calls_to_the_queue_are_made_or_refused_and_the_tasks_run(made, response):
    with IsolatedLab("queue:\n- name: later\n  mode: pull\n") as lab:
        got = answered(dump(("", "", response, made)), ACTIONS["get"], lab)
        assert isinstance(got, Response | GradingError)
        assert_usable(lab)
        answered(dump(("", "", response, [])), lambda lab: lab.advance(3600, 20), lab)
        assert_usable(lab)


@examples(20)
@given(st.lists(cloud_calls() | calls(), max_size=4), RESPONSES)
def test_any_calls_to_cloud_tasks_are_made_or_refused_and_the_tasks_run(made, response):
    with IsolatedLab(cloud_tasks=True) as lab:
        got = answered(dump(("", "", response, made)), ACTIONS["get"], lab)
        assert isinstance(got, Response | GradingError)
        assert_usable(lab)
        answered(dump(("", "", response, [])), lambda lab: lab.advance(3600, 20), lab)
        assert_usable(lab)


def test_a_call_to_cloud_tasks_is_refused_in_a_lab_without_cloud_tasks():
    call = ("/google.cloud.tasks.v2.CloudTasks/PauseQueue", b"", START.timestamp())
    with IsolatedLab() as lab:
        assert isinstance(answered(dump(("", "", Response(200), [call])), ACTIONS["get"], lab), GradingError)


@pytest.mark.parametrize(
    "forged",
    [
        [],
        [Response(200)] * 3,
        [Response(200), Response(99)],
        [Response(200), Response(200, elapsed=1300.0)],
        [Response(200), Response(200, elapsed=float("nan"))],
        [Response(200), Response(200, started=START + timedelta(days=1))],
    ],
)
def test_responses_to_requests_that_take_turns_are_in_the_limits_of_these_requests(forged):
    with IsolatedLab() as lab:
        got = answered(dump(("", "", forged, [])), lambda lab: lab.overlap("default/f", "default/g"), lab)
        assert isinstance(got, GradingError)
        assert lab.now == START
        early = [Response(200, started=START - timedelta(days=1)), Response(200, elapsed=600.0)]
        answered(dump(("", "", early, [])), lambda lab: lab.overlap("default/f", "default/g"), lab)
        assert [each.started for each in lab.responses] == [START, START]


@examples(30)
@given(
    st.tuples(st.just("") | st.sampled_from(["SourceError", "RunawayError"]), st.text(), ODD_TREES, ODD_TREES)
    | ODD_TREES
)
def test_any_value_in_the_place_of_a_reply_is_refused_or_of_the_documented_type(reply):
    with IsolatedLab() as lab:
        for name, action in ACTIONS.items():
            got = answered(dump(reply), action, lab)
            assert isinstance(got, HarnessError) or name in ("table", "routes")
        assert_usable(lab)


def test_the_name_of_an_exception_is_shortened_before_patterns_are_searched_in_it():
    ticket = Ticket("id", "TypeError: the JSON object must be str" * 4000, "because", (Frame("f.py", 1, "f", "x"),))
    replies = iter([dump(("", "", value, [])) for value in (Response(500, ticket=ticket), [])])
    files = dict.fromkeys(find_exercise("1.1").files, "x = 1")
    with patch.object(isolated_engine, "run_apart", lambda *arguments: next(replies)), promptly():
        outcome, text, _ = _verdict("1.1", files, stub_cells(find_exercise("1.1")))
    assert outcome == CheckOutcome.ERROR
    assert 0 < text.count("TypeError") < 20, text


ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"id": ODD, "old": ODD_TREES, "new": ODD_TREES, "title": ODD, "stars": ODD}),
    max_size=4,
)
ADDS = st.lists(calls(), max_size=2) | st.just([])


@examples(20)
@given(st.sampled_from(list(exercises())), st.lists(st.tuples(RESPONSES | ROWS, ADDS), min_size=1, max_size=3))
def test_whatever_rows_and_responses_an_answer_returns_it_gets_a_short_verdict(exercise, replies):
    replies = itertools.cycle([dump(("", "", value, made)) for value, made in replies])
    files = dict.fromkeys(exercise.files, "queue: []\n# mine")
    with patch.object(isolated_engine, "run_apart", lambda *arguments: next(replies)), promptly():
        outcome, text, mistake = _verdict(exercise.number, files, stub_cells(exercise))
    assert outcome in set(CheckOutcome)
    assert 0 < len(text) <= 5 * LONGEST
    assert isinstance(mistake, str | None)


@examples(10)
@given(st.binary(max_size=60))
def test_any_bytes_in_the_pipe_are_a_result_or_a_lost_child(data):
    def forge(action: object, writing: int, parent: int) -> None:
        try:
            os.write(writing, data)
        finally:
            os._exit(0)  # the child must never return into the tests

    with patch("harness.classroom.grading.grading_child._be_the_child", forge):
        try:
            with promptly():
                assert run_apart(bytes, 5) in data
        except ChildLost as lost:
            assert "result" in str(lost) or "returned more than" in str(lost)


JUDGES = ["ready", ["correct", "fine", None], ["wrong", "no", "key"]]


@examples(20)
@given(
    st.lists(st.sampled_from(JUDGES) | st.recursive(st.none() | st.text() | st.floats(), st.lists), max_size=4),
    st.binary(max_size=9),
)
def test_any_output_of_a_checker_process_gives_a_grade_per_answer_or_a_grading_error(values, end):
    output = b"".join(json.dumps(value).encode() + b"\n" for value in values) + end
    with patch.object(submission, "_run", lambda *arguments: (submission._read(output), "it ended")):
        try:
            with promptly():
                grades = submission.check_in_isolation([("1.1", {}, {})] * 2)
        except GradingError:
            return
    assert [each.exercise for each in grades] == ["1.1"] * 2
    assert {type(each.text) for each in grades} == {str}
    assert {type(each.outcome) for each in grades} == {CheckOutcome}


def test_output_that_is_not_a_verdict_gives_that_answer_no_points():
    for line in (b"{", b"[]", b'["correct"]', b'["perfect", "1", null]', b'["correct", 5, null]', b"[" * 9999, b"\xff"):
        with patch.object(
            submission, "_run", lambda *_, line=line: (submission._read(b'"ready"\n' + line + b"\n"), "bad")
        ):
            (grade,) = submission.check_in_isolation([("1.1", {}, {})])
        assert (grade.outcome, grade.text) == (CheckOutcome.ERROR, "1.1 couldn't be checked: bad.")
