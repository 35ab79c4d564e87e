"""The checks of lesson 02, Passing data. Their texts are in lesson02.toml."""

import json
import random
from collections.abc import Sequence
from typing import Any

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import by_text, content_type, is_plain, work
from harness.course.trial import Rows, Trial
from harness.records import TaskInfo

_EDITS = (("Ferry late", "Ferry on time"), ("Nacht & Nebel, 100 %", "Ночь + туман = 夜"), ("Ebb", "Flood"))
_VOTES: tuple[tuple[int, str | None, list[str]], ...] = (
    (4, "Mehr Möwen!", ["sport", "tides"]),
    (5, None, ["tides"]),
    (2, "None", ["chess", "sport", "tides"]),
    (3, None, []),
)
_TIDES: tuple[dict[str, Any], ...] = (
    {"port": "Rødvig", "metres": [9.25, 10.5, 9.75], "storm": True},
    {"port": "Ærø & Als", "metres": [-1.5], "storm": False},
)
_LOGIN = "from gluon.storage import Storage\ndef index(): session.auth = Storage(hmac_key='secret')\n"
_VOTED = ("section_vote", "section", "points", "comment")
_TIDE = ("tide", "port", "highest", "storm")
_SMALL = 1000  # bytes of a task's body in 2.4
_NEWS = (("Ferry cancelled", True), ("Möwen & Meer", False), ("Sturmflut: 100 % sicher", True), ("Chess club", False))


def _repair_the_call(trial: Trial, _: Scenario) -> None:
    trial.lab.write("controllers/login.py", _LOGIN)
    for old, new in _EDITS:
        if (old, new) == _EDITS[-1]:
            trial.lab.get("login/index")  # from now on, URL(user_signature=True) signs
        before, task = trial.queue_task("ex2_1/save", {"old": old, "new": new})
        trial.expect_address(task, "log_edit")
        work(trial, task)
        trial.expect_no_echo()
        rows = trial.rows()[len(before) :]
        trial.expect_equal(rows, [(old, new)], _log_mistake(task, rows, (old, new)))


def _log_mistake(task: TaskInfo, rows: Rows, expected: tuple[str, str]) -> str | None:
    if not rows:
        return None
    known = {(None, None): "no-values", expected[::-1]: "swapped"}
    return "plain-payload" if is_plain(task) else known.get(rows[0], "fixed-values")


def _round_trip(trial: Trial, _: Scenario) -> None:
    for stars, comment, sections in _VOTES:
        before = trial.rows(*_VOTED)
        trial.get("ex2_2/vote", stars=stars, comment=comment or "", sections=sections)
        trial.expect_nothing_new(before, *_VOTED)
        for task in trial.lab.tasks():
            trial.expect_address(task, "count_vote")
            work(trial, task)
        rows = trial.rows(*_VOTED)[len(before) :]
        expected = [(section, 20 * stars, comment) for section in sections]
        happened = f"for {stars} stars, comment {comment!r}, sections {sections}, the workers wrote"
        trial.expect_equal(by_text(rows), by_text(expected), _round_trip_mistake(rows, expected), happened)


def _round_trip_mistake(rows: Rows, expected: Rows) -> str | None:
    """Return the mistake in the first wrong column, sections first."""
    if not rows:
        return "no-row"
    sections, points, comments = zip(*rows, strict=True)
    if len(rows) > len(expected) and max(map(len, map(str, sections))) == 1:
        return "letters"
    if len(rows) != len(expected):
        return "none-text" if "None" in sections else "lists-in-one"
    if set(points) != {row[1] for row in expected}:
        return "text-number" if len(str(points[0])) > 9 else "points"
    sent, arrived = expected[0][2], comments[0]
    changes = {None: "none-lost" if sent == "None" else "comment-lost", "": "empty-text"}
    return changes.get(arrived, None if sent else "none-text")


def _json_payload(trial: Trial, _: Scenario) -> None:
    for tides in _TIDES:
        query = {**tides, "storm": "yes" if tides["storm"] else "no"}
        before, task = trial.queue_task("ex2_3/report", query, *_TIDE)
        trial.expect_address(task, "save_tides")
        _expect_json(trial, task, tides)
        work(trial, task)
        trial.expect_no_echo()
        rows = trial.rows(*_TIDE)[len(before) :]
        expected = (tides["port"], max(tides["metres"]), tides["storm"])
        trial.expect_equal(rows, [expected], _tide_mistake(rows, expected))


def _tide_mistake(rows: Rows, expected: tuple[Any, ...]) -> str | None:
    if not rows:
        return "no-row"
    if set(rows[0]) <= {None, False}:
        return "no-values"
    if len(rows) > 1 or rows[0][1] != expected[1]:
        return "not-highest"
    return "storm-lost" if rows[0][0] == expected[0] else None


def _expect_json(trial: Trial, task: TaskInfo, tides: dict[str, Any]) -> None:
    kind = content_type(task)
    try:
        sent = json.loads(task.body)
    except ValueError:
        mistake = "in-a-form" if kind.endswith("form-urlencoded") else "not-json"
        trial.wrong(mistake, f"the task's body is {task.text[:60]!r}", "JSON")
    trial.expect_equal(sent, tides, "encoded-twice" if isinstance(sent, str) else "not-tides", "the JSON is")
    trial.expect_equal(kind, "application/json", "no-header", "the task's Content-Type is")


def _too_large(trial: Trial, _: Scenario) -> None:
    letters = random.Random(2).choices("αβγδεζηθικλμνξοπρστυφχψω", k=24_000)
    long = " ".join("".join(letters[start : start + 6]) for start in range(0, len(letters), 6))
    work(trial, _save_story(trial, long))
    trial.expect_no_echo()
    _expect_words(trial, {1: 4000})
    task, other = _save_story(trial, "The ferry is late."), _save_story(trial, "Ebb and flood.")
    trial.post("ex2_4/correct", {"id": 2, "body": "The ferry is on time again."})
    work(trial, task)
    work(trial, other)
    _expect_words(trial, {2: 6, 3: 3, 1: 4000}, {4: "as-it-was"})
    _save_story(trial, "The ferry is gone.")
    trial.post("ex2_4/delete", {"id": 4})
    happened = "the story was deleted, and its task failed with"
    trial.expect_ok(trial.step(may_fail=True), "deleted", happened, ", because nothing is left to do")
    work(trial, _save_story(trial, "It is back."))
    _expect_words(trial, {5: 3})


def _save_story(trial: Trial, body: str) -> TaskInfo:
    known = {task.name for task in trial.lab.tasks()}
    trial.post("ex2_4/save", {"body": body})
    trial.called = f"as a user: POST /ex2_4/save with a story of {len(body.split()):,} words"
    new = [task for task in trial.lab.tasks() if task.name not in known]
    trial.expect_tasks(new, 1, "several-tasks" if new else "not-queued", "apart from earlier tasks, ")
    trial.expect_address(new[0], "count_words")
    size = len(new[0].body)
    happened = f"the body of the task has {size:,} bytes"
    trial.expect(size < _SMALL, "still-the-text", happened, f"less than {_SMALL:,} bytes")
    return new[0]


def _expect_words(trial: Trial, stories: dict[int, int], known: dict[int, str] | None = None) -> None:
    """Require that these stories have these numbers of words; `known` are the mistakes by wrong number."""
    rows = {row["id"]: row["words"] for row in trial.lab.table("story")}
    for number, expected in stories.items():
        words = rows[number]
        others = [count for story, count in stories.items() if story != number]
        missing = "other-story" if number != max(rows) else "not-counted"
        mistake = missing if words is None else "other-story" if words in others else (known or {}).get(words)
        trial.expect_equal(words, expected, mistake, f"after the task, words of story {number} is")


def _silent_task(trial: Trial, _: Scenario) -> None:
    for title, urgent in _NEWS:
        before = trial.rows()
        trial.get("ex2_5/publish", title=title, urgent="on" if urgent else "")
        trial.expect_nothing_new(before)
        tasks = trial.lab.tasks()
        for task in tasks:
            trial.expect_address(task, "mail_news")
            work(trial, task)
        mails = trial.rows()[len(before) :]
        happened = f"{'an urgent' if urgent else 'an ordinary'} article, {title!r}, led to"
        expected = [("urgent mail", title)] * urgent
        trial.expect_equal(mails, expected, _mail_mistake(tasks, mails, title, urgent), happened)


def _mail_mistake(tasks: Sequence[TaskInfo], mails: Rows, title: str, urgent: bool) -> str | None:
    if not urgent:
        return "always-true"
    if any(map(is_plain, tasks)):
        return "plain-payload"
    if not mails:
        return "never-true" if tasks else "not-queued"
    if len(mails) > 1:
        return "several-tasks"
    return None if title in mails[0] else "no-values"


RUNS = {
    "2.1": (_repair_the_call, (Scenario(),)),
    "2.2": (_round_trip, (Scenario(),)),
    "2.3": (_json_payload, (Scenario(),)),
    "2.4": (_too_large, (Scenario(),)),
    "2.5": (_silent_task, (Scenario(),)),
}
