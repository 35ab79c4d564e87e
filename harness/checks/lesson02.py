"""Lesson 02, Passing data: what its exercises try. Their words are in lesson02.toml."""

from __future__ import annotations

import json
import random
from typing import Any

from harness.checks.trial import Trial
from harness.records import TaskInfo, find_header

Rows = list[tuple[Any, ...]]

_EDITS = (("Ferry late", "Ferry on time"), ("Nacht & Nebel, 100 %", "Ночь + туман = 夜"))
_VOTES: tuple[tuple[int, str | None, list[str]], ...] = (
    (4, "Mehr Möwen!", ["sport", "tides"]),
    (5, None, ["tides"]),
    (2, "None", ["chess", "sport", "tides"]),
    (3, None, []),
)
_TIDES: tuple[dict[str, Any], ...] = (
    {"port": "Rødvig", "metres": [10.5, 9.25], "storm": True},
    {"port": "Ærø & Als", "metres": [-1.5], "storm": False},
)
_SMALL = 1000  # bytes of a task's body, in 2.4
_NEWS = (("Ferry cancelled", True), ("Möwen & Meer", False), ("Sturmflut: 100 % sicher", True), ("Chess club", False))


def _repair_the_call(trial: Trial) -> None:
    for old, new in _EDITS:
        before = trial.rows("mytable", "old", "new")
        trial.get("ex2_1/save", old=old, new=new)
        _expect_nothing_new(trial, before, trial.rows("mytable", "old", "new"))
        task = trial.one_task(missing="not-queued")
        _expect_address(trial, task, "log_edit")
        _work(trial, task)
        _expect_no_echo(trial)
        rows = trial.rows("mytable", "old", "new")[len(before) :]
        trial.expect(
            rows == [(old, new)],
            _log_mistake(task, rows, (old, new)),
            happened=f"the worker wrote {rows or 'no row'}",
            expected=f"one row: {(old, new)}",
        )


def _log_mistake(task: TaskInfo, rows: Rows, expected: tuple[str, str]) -> str | None:
    if not rows:
        return None
    known = {(None, None): "no-values", expected[::-1]: "swapped"}
    return "plain-payload" if _is_plain(task) else known.get(rows[0], "fixed-values")


def _expect_nothing_new(trial: Trial, before: Rows, after: Rows) -> None:
    trial.expect(
        after == before,
        "called-directly",
        happened=f"{after[len(before) :]} was in the table before any task ran",
        expected="a task in the queue, and no new row yet",
    )


def _expect_no_echo(trial: Trial) -> None:
    trial.expect(
        not trial.lab.tasks(),
        "itself",
        happened=f"the task ran, and left another one, to {[task.url for task in trial.lab.tasks()]}",
        expected="an empty queue",
    )


def _expect_address(trial: Trial, task: TaskInfo, worker: str) -> None:
    trial.expect(
        not task.url.startswith("/_ah/"),
        "silent",
        happened=f"the task goes to {task.url} and carries {task.text[:60]!r}",
        expected=f"the task goes to your action {worker}",
    )


def _work(trial: Trial, task: TaskInfo) -> None:
    """Run the task that is next, and go on if its worker answered with success.

    web2py 2.26 raises a TypeError in a worker that looks for `request.vars` in a plain body, web2py 3.3 gives it empty
    ones: to the learner it is the same mistake.
    """
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception == "TypeError" and _is_plain(task):
        happened = f"the worker ended with a TypeError, {ticket.message!r}"
        trial.wrong("plain-payload", happened=happened, expected="the worker finds its values")
    if ticket is not None:
        trial.failed(ticket)
    trial.succeed(attempt, None if "view" in attempt.response.hint else "wrong-address")


def _is_plain(task: TaskInfo) -> bool:
    return _content_type(task) in ("text/plain", "application/octet-stream")


def _content_type(task: TaskInfo) -> str:
    return (find_header(task.headers, "content-type") or "none").partition(";")[0].lower()


def _round_trip(trial: Trial) -> None:
    for stars, comment, sections in _VOTES:
        before = trial.rows("section_vote", "section", "points", "comment")
        trial.get("ex2_2/vote", stars=stars, comment=comment or "", sections=sections)
        _expect_nothing_new(trial, before, trial.rows("section_vote", "section", "points", "comment"))
        for task in trial.lab.tasks():
            _work(trial, task)
        rows = trial.rows("section_vote", "section", "points", "comment")[len(before) :]
        expected = [(section, 20 * stars, comment) for section in sections]
        trial.expect(
            sorted(map(str, rows)) == sorted(map(str, expected)),
            _round_trip_mistake(rows, expected),
            happened=f"the rows are {rows[:5]}" if rows else "no row was written",
            expected=f"for {stars} stars, comment {comment!r}, sections {sections}: {expected or 'no row'}",
        )


def _round_trip_mistake(rows: Rows, expected: Rows) -> str | None:
    """Tell a wrong set of votes by the column in which it is wrong, sections first."""
    if not rows:
        return "no-row"
    sections, points, comments = zip(*rows, strict=True)
    if len(rows) > len(expected) and max(map(len, map(str, sections))) == 1:
        return "letters"
    if len(rows) != len(expected):
        return "none-text" if "None" in sections else "lists-in-one"
    if set(points) != {row[1] for row in expected}:
        return "text-number"
    changes = {("None", None): "none-text", (None, "None"): "none-lost", ("", None): "empty-text"}
    return changes.get((comments[0], expected[0][2]))


def _json_payload(trial: Trial) -> None:
    for tides in _TIDES:
        before = trial.rows("tide", "port", "highest", "storm")
        storm = "yes" if tides["storm"] else "no"
        trial.get("ex2_3/report", port=tides["port"], metres=tides["metres"], storm=storm)
        task = trial.one_task(missing="not-queued")
        _expect_address(trial, task, "save_tides")
        _expect_json(trial, task, tides)
        _work(trial, task)
        rows = trial.rows("tide", "port", "highest", "storm")[len(before) :]
        expected = (tides["port"], max(tides["metres"]), tides["storm"])
        trial.expect(
            rows == [expected],
            "no-row" if not rows else "no-values" if set(rows[0]) <= {None, False} else None,
            happened=f"the worker wrote {rows or 'no row'}",
            expected=f"one row: {expected}",
        )


def _expect_json(trial: Trial, task: TaskInfo, tides: dict[str, Any]) -> None:
    kind = _content_type(task)
    try:
        sent = json.loads(task.body)
    except ValueError:
        mistake = "in-a-form" if kind.endswith("form-urlencoded") else "not-json"
        trial.wrong(mistake, happened=f"the task's body is {task.text[:60]!r}", expected="JSON")
    trial.expect(
        sent == tides,
        "encoded-twice" if isinstance(sent, str) else None,
        happened=f"the JSON says {sent!r}",
        expected=f"{tides!r}",
    )
    happened = f"the task's Content-Type is {kind}"
    trial.expect(kind == "application/json", "no-header", happened=happened, expected="application/json")


def _too_large(trial: Trial) -> None:
    letters = random.Random(2).choices("αβγδεζηθικλμνξοπρστυφχψω", k=24_000)
    long = " ".join("".join(letters[start : start + 6]) for start in range(0, len(letters), 6))
    _work(trial, _save_story(trial, long))
    _expect_words(trial, 1, 4000)
    task = _save_story(trial, "The ferry is late.")
    trial.post("ex2_4/correct", {"id": 2, "body": "The ferry is on time again."})
    _work(trial, task)
    _expect_words(trial, 2, 6, "as-it-was")
    _save_story(trial, "The ferry is gone.")
    trial.post("ex2_4/delete", {"id": 3})
    attempt = trial.step(may_fail=True)
    trial.expect(
        attempt.ok,
        "deleted",
        happened=f"the story was deleted, and its task answered {attempt.status}: the queue will try it for ever",
        expected="a status of 200 to 299, because nothing is left to do",
    )


def _save_story(trial: Trial, body: str) -> TaskInfo:
    trial.post("ex2_4/save", {"body": body})
    trial.called = f"as a user: POST /ex2_4/save with a story of {len(body.split()):,} words"
    task = trial.one_task(missing="not-queued")
    _expect_address(trial, task, "count_words")
    trial.expect(
        len(task.body) < _SMALL,
        "still-the-text",
        happened=f"the body of the task has {len(task.body):,} bytes",
        expected=f"less than {_SMALL:,} bytes",
    )
    return task


def _expect_words(trial: Trial, number: int, expected: int, mistake: str | None = None) -> None:
    words = next(row["words"] for row in trial.lab.table("story") if row["id"] == number)
    trial.expect(
        words == expected,
        "not-counted" if words is None else mistake,
        happened=f"words is {words}",
        expected=f"{expected}, the number of words of the story when the task runs",
    )


def _silent_task(trial: Trial) -> None:
    for title, urgent in _NEWS:
        before = trial.rows("mytable", "old", "new")
        trial.get("ex2_5/publish", title=title, urgent="on" if urgent else "")
        _expect_nothing_new(trial, before, trial.rows("mytable", "old", "new"))
        tasks = list(trial.lab.tasks())
        for task in tasks:
            _expect_address(trial, task, "mail_news")
            _work(trial, task)
        mails = trial.rows("mytable", "old", "new")[len(before) :]
        trial.expect(
            mails == [("urgent mail", title)] * urgent,
            "plain-payload" if any(map(_is_plain, tasks)) else _mail_mistake(mails, title, urgent),
            happened=f"{'an urgent' if urgent else 'an ordinary'} article, {title!r}, led to {mails or 'no mail'}",
            expected="one mail with its title" if urgent else "no mail",
        )


def _mail_mistake(mails: Rows, title: str, urgent: bool) -> str | None:
    if not urgent:
        return "always-true"
    if not mails:
        return "never-true"
    return None if title in mails[0] else "no-values"


RUNS = {
    "2.1": _repair_the_call,
    "2.2": _round_trip,
    "2.3": _json_payload,
    "2.4": _too_large,
    "2.5": _silent_task,
}
