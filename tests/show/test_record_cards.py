"""Records as cards: the same facts in text and in HTML, whatever the values."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import harness.records
import harness.show
from harness.errors import quantity
from harness.records import (
    Attempt,
    Frame,
    Outcome,
    QueueSample,
    Record,
    Request,
    Response,
    Route,
    TaskInfo,
    TaskState,
    Ticket,
    Trace,
)
from harness.show.text import clean, clock, duration, literal, relative, shorten, width
from tests.support.sample_records import ATTEMPTS, RESPONSES, TASK
from tests.support.shown import Shown, words

NINE = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)


RECORDS: dict[str, Record] = {
    "request": ATTEMPTS[0].request,
    "response": RESPONSES[0],
    "failed response": ATTEMPTS[0].response,
    "route": ATTEMPTS[0].response.route or Route("a", "b", "c"),
    "ticket": ATTEMPTS[0].response.ticket or Ticket("", "", ""),
    "frame": TASK.call_site or Frame("", 0, ""),
    "task": TASK,
    "attempt": ATTEMPTS[1],
    "trace": Trace(TASK, ATTEMPTS),
    "sample": QueueSample(NINE, 4.5, 3, 1),
}
NASTY = (
    "<script>alert(1)</script> & \udc80 \x00 \x1b[31m \u202e 日本語 e\u0301 👩‍👩‍👧 at 0x7f3a12345678 " + "x" * 1_000_000
)


def nasty_response() -> Response:
    variables = {"text": NASTY, "bytes": b"\xff" * 1000, "none": None, "object": object(), "set": {"b", "a"}}
    route = Route("a", "b", "c", "html", (NASTY,), variables, {}, variables)
    ticket = Ticket(NASTY, "E", NASTY, (Frame(NASTY, 1, NASTY, NASTY),), NASTY)
    request = Request("GET", NASTY, ((NASTY, NASTY), ("Cookie", "secret=123")), b"\x00\xff")
    return Response(
        500, NASTY, (), b"\xff\x00", request, NINE, 0.0, route, variables, (NASTY, ""), ticket, NASTY, NASTY
    )


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_text_and_html_show_the_same_facts(record: Record) -> None:
    html = record._repr_html_()
    assert html is not None
    assert words(Shown(html).text) == words(str(record)) != []


def test_nasty_values_show_the_same_facts_in_text_and_html() -> None:
    response = nasty_response()
    assert words(Shown(response._repr_html_() or "").text) == words(str(response))


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_repr_is_one_line_without_an_address(record: Record) -> None:
    assert "\n" not in repr(record)
    assert "0x" not in repr(record)
    assert repr(record).startswith(f"<{type(record).__name__} ")


def test_nasty_values_are_escaped_and_short() -> None:
    response = nasty_response()
    html, text = response._repr_html_() or "", str(response)
    assert "<script" not in html
    assert len(text) < 10_000
    assert len(html) < 30_000
    for unwanted in ("\x00", "\x1b", "\u202e", "\udc80", "0x7f3a", "secret", "123"):
        assert unwanted not in text.replace("(1,000,", "")
        assert unwanted not in html.replace("(1,000,", "")
    html.encode("utf-8")


def test_html_has_no_scripts_and_no_colours_of_its_own() -> None:
    html = "".join(record._repr_html_() or "" for record in RECORDS.values())
    assert Shown(html).tags <= {
        "div",
        "strong",
        "table",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "ol",
        "li",
        "br",
        "details",
        "summary",
    }
    assert "color" not in html
    assert 'scope="row"' in html


def test_of_a_cookie_only_the_name_is_shown() -> None:
    request = str(Request("GET", "/", (("Cookie", "session=random123"), ("Accept", "*/*"), ("Content-Length", "0"))))
    assert "headers  Cookie: session=…\n           Accept: */*" in request
    assert "random123" not in request
    assert "Content-Length" not in request


def test_a_long_value_unfolds_to_all_of_it() -> None:
    html = Request("POST", "/", (), b"a" * 500)._repr_html_() or ""
    assert "a" * 500 in html
    assert "a" * 200 not in Shown(html).text
    assert "(500 characters)" in Shown(html).text


def test_a_ticket_of_a_response_takes_the_place_of_its_page() -> None:
    failed = replace(ATTEMPTS[0].response, body=b"Ticket issued: tutorial/127.0.0.1.2012-09-03.09-00-00.uuid")
    assert "uuid" not in str(failed)
    assert "ConnectionError: the partner's shop is down" in str(failed)
    assert "tutorial/controllers/default.py, line 9, in task_do" in str(failed)


def test_a_page_is_shown_as_its_visible_text() -> None:
    page = b"<!DOCTYPE html><html><head><title>t</title></head><body><h1>Shop</h1>\n<p>Thanks &amp; bye!</p>"
    page += b"<script>if (1 < 2) hidden()</script><!-- <b>hidden</b> --><STYLE>p {}</STYLE></body></html>"
    assert "page  Shop Thanks & bye!\n" in str(Response(200, "OK", body=page)) + "\n"


@pytest.mark.parametrize("body", [b"<html><![foo[", b"<html" + b"<" * 50_000, b"<html>" + b"<title" * 9_000])
def test_an_invalid_page_is_shown(body: bytes) -> None:
    assert str(Response(200, "OK", body=body)).startswith("200 OK\n")


def test_json_is_shown_without_escapes() -> None:
    json = Response(200, "OK", (("Content-Type", "application/json"),), b'{"a": "\\u00e9"}')
    assert 'json     {"a": "é"}' in str(json)
    deep = Response(200, "OK", (("Content-Type", "application/json"),), b"[" * 100_000)
    assert "text" in str(deep)


def test_a_stopped_handler_returns_no_response() -> None:
    stopped = Response(0, elapsed=600.0, deadline="virtual")
    assert str(stopped).startswith("no response\n")
    assert "stopped  at its deadline (virtual time)" in str(stopped)


def test_request_vars_that_equal_the_posted_ones_are_shown_once() -> None:
    route = str(Route("a", "b", "c", post_vars={"n": "5"}, vars={"n": "5"}))
    assert "request.post_vars  n = '5'" in route
    assert "request.vars       the same as request.post_vars" in route
    assert "request.get_vars" not in route


def test_request_vars_that_differ_are_all_shown() -> None:
    route = str(Route("a", "b", "c", get_vars={"n": "1"}, post_vars={"n": "2"}, vars={"n": ["1", "2"]}))
    assert "request.get_vars   n = '1'" in route
    assert "request.vars       n = ['1', '2']" in route


def test_params_are_decoded_from_the_form_of_a_task() -> None:
    form = replace(TASK, body=b"a=1&a=2&b=&c=%E6%97%A5")
    assert "params    a = '1'\n            a = '2'\n            b = ''\n            c = '日'" in str(form)


def test_a_json_body_has_no_params() -> None:
    json = replace(TASK, call_site=None, headers=(("content-type", "application/json"),), body=b'{"a": 1}')
    assert 'body     {"a": 1}' in str(json)
    assert "params" not in str(json)


def test_params_of_a_get_task_are_read_from_its_url() -> None:
    assert "params    n = '5'" in str(replace(TASK, method="GET", url="/a/b/c?n=5", body=b"", headers=()))


def test_a_record_without_optional_parts_leaves_them_out() -> None:
    assert str(Response(204)) == "204\n  took  0 s"


@pytest.mark.parametrize(
    ("outcome", "note", "shown"),
    [
        (Outcome.DONE, "status 200", "done: the task leaves the queue"),
        (
            Outcome.DROPPED,
            "task_retry_limit 3 reached",
            "dropped (task_retry_limit 3 reached): the task leaves",
        ),
        (Outcome.DELETED, "", "deleted: the task was deleted from the queue while it ran"),
        (Outcome.RETRY, "status 500", "failed (status 500); retry at 09:00:10, in 6.8 s"),
    ],
)
def test_an_attempt_shows_what_happens_next(outcome: Outcome, note: str, shown: str) -> None:
    attempt = replace(ATTEMPTS[0], outcome=outcome, note=note, next_eta=NINE + timedelta(seconds=10))
    assert shown in str(attempt)


def test_a_duplicate_says_that_delivery_is_at_least_once() -> None:
    assert "at least once" in str(replace(ATTEMPTS[1], duplicate=True))
    assert "at least once" not in str(ATTEMPTS[1])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.0001, "under 1 ms"),
        (0.1, "0.1 s"),
        (59.9999, "1 min"),
        (90, "1 min 30 s"),
        (3600.2, "1 h"),
        (3601, "1 h 1 s"),
        (30 * 86400, "30 d"),
    ],
)
def test_durations_have_two_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_clock_shows_the_date_only_of_another_day() -> None:
    assert clock(NINE, NINE) == "09:00:00"
    assert clock(NINE + timedelta(microseconds=299_999), NINE) == "09:00:00.3"
    assert clock(NINE + timedelta(days=1), NINE) == "2012-09-04 09:00:00"
    assert clock(NINE) == "2012-09-03 09:00:00"


def test_relative_times_are_past_or_future() -> None:
    times = [relative(NINE + timedelta(seconds=seconds), NINE) for seconds in (-3, 0, 10)]
    assert times == ["3 s ago", "now", "in 10 s"]


def test_counts_have_their_plural() -> None:
    assert [quantity(number, "retry") for number in (0, 1, 1000)] == ["no retries", "1 retry", "1,000 retries"]


def test_shortening_keeps_both_ends_and_whole_graphemes() -> None:
    assert shorten("abcdefghij", 7) == "abcd…ij"
    family = "👩‍👩‍👧" * 20
    short = shorten(family, 10)
    assert set(short.split("…")) <= {"👩‍👩‍👧" * number for number in range(1, 6)}
    assert width(short) <= 10


def test_clean_text_is_one_printable_line() -> None:
    assert clean("a\nb\x00\ud800\u2028") == "a\\nb\\x00\\ud800\\u2028"
    assert clean("日本 語 👩‍👧") == "日本 語 👩‍👧"
    assert clean("<object at 0x7f3a12345678>") == "<object at 0x…>"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Rude(), "<Rude>"),
        ([Rude(), 1], "[<Rude>, 1]"),
        ({"b", "a"}, "{'a', 'b'}"),
        ({"a": [1, ("x",)]}, "{'a': [1, ('x',)]}"),
        ([[[[1]]]], "[[[…]]]"),
        (list(range(22)), f"[{', '.join(map(str, range(20)))}, … 2 more]"),
        (datetime(2012, 9, 3), "2012-09-03 00:00:00"),
        ("object at 0x7f3a12345678", "'object at 0x…'"),
    ],
)
def test_literals_call_no_method_of_an_unknown_class(value: object, shown: str) -> None:
    assert literal(value) == shown


def test_a_huge_number_is_shown_by_its_size() -> None:
    assert literal(10**5000) == "<int of 16,610 bits>"


def test_displays_do_not_depend_on_hash_seed_or_time_zone() -> None:
    code = (
        "from tests.support.sample_records import *; from harness.records import *; import harness.show\n"
        "trace, response = Trace(TASK, ATTEMPTS), Response(200, vars={'set': {'b', 'a', 'c'}})\n"
        "print(trace, trace._repr_html_(), response, response._repr_html_())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for zone, seed in (("UTC", "1"), ("Asia/Tokyo", "2"))
    }
    assert len(runs) == 1


def test_every_record_has_a_card() -> None:
    kinds = {kind for kind in vars(harness.records).values() if isinstance(kind, type) and issubclass(kind, Record)}
    assert kinds - {Record} == set(Record.cards)


def test_a_task_shows_its_state() -> None:
    waiting: TaskInfo = replace(TASK, state=TaskState.WAITING)
    assert str(waiting).startswith("task task1, waiting in the queue default\n")
    assert repr(waiting).startswith(
        "<TaskInfo task1: POST /tutorial/default/task_do, waiting in the queue default, ETA 2012"
    )


def test_an_attempt_shows_its_number() -> None:
    attempt: Attempt = replace(ATTEMPTS[1], number=7)
    assert str(attempt).startswith("✓ attempt 7: task1 done\n")
