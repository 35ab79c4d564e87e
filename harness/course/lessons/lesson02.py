"""The checks of lesson 02, Passing data. Their texts are in lesson02.toml, and their scenarios in scenarios02.py."""

import json
from collections.abc import Sequence

from harness.course.checks.expectations import by_text, carried, content_type, is_plain
from harness.course.checks.stories02 import too_large
from harness.course.scenarios.delivery02 import (
    Delivered,
    Job,
    Visit,
    again_mistake,
    row_mistake,
    send,
    text_mistake,
    what_happened,
    work,
)
from harness.course.scenarios.scenarios02 import (
    EDITS,
    LIKE_NONE,
    NEWS,
    REPORTS,
    STORIES,
    VOTES,
    Article,
    Edits,
    News,
    Report,
    Reports,
    SectionVote,
    SectionVotes,
)
from harness.course.trial import Trial
from harness.errors import quantity
from harness.records import TaskInfo

_LOGIN = "from gluon.storage import Storage\ndef index(): session.auth = Storage(hmac_key='secret')\n"
_LOG = Job("ex2_1/save", "log_edit", "mytable", ("old", "new"), {"old": "Ferry late", "new": "Ferry on time"}, True)
_VOTED = Job(
    "ex2_2/vote",
    "count_vote",
    "section_vote",
    ("section", "points", "comment"),
    {"section": "sport", "points": 80, "comment": "Fine"},
)
_TIDE = Job(
    "ex2_3/report",
    "save_tides",
    "tide",
    ("port", "highest", "storm"),
    {"port": "Gedser", "highest": 1.5, "storm": False},
    True,
)
_MAIL = Job("ex2_5/publish", "mail_news", "mytable", ("old", "new"), {"old": "urgent mail", "new": "Storm"})

_NOT_URGENT = {"", "0", "False", "None", "false", "off", "no"}  # what a task carries for an ordinary article


def _repair_the_call(trial: Trial, row: Edits) -> None:
    if row.logged_in:
        trial.lab.write("controllers/login.py", _LOGIN)
        trial.lab.get("login/index")  # from now on, URL(user_signature=True) signs
    visits = [Visit({"old": old, "new": new}, [(old, new)], row.is_form) for old, new in row.edits]
    for sent in send(trial, row, _LOG, visits):
        found = work(trial, row, _LOG, sent)
        if not found.is_right:
            is_lost = row.is_form and any(None in each for each in found.extra)
            mistake = "only-get" if is_lost else row_mistake(row, found) or _log_mistake(found)
            trial.expect_equal(by_text(found.rows), by_text(found.expected), mistake, what_happened(found))


def _log_mistake(found: Delivered) -> str | None:
    if not found.rows:
        return "no-row"
    if not found.extra or not found.missing:
        return None
    wrong, right = found.extra[0], found.missing[0]
    if set(wrong) == {None} and is_plain(found.tasks[0]):
        return "plain-payload"
    if wrong == right[::-1]:
        return "swapped"
    if wrong == ("old", "new"):
        return "fixed-values"
    if any(value is None and sent for sent, value in zip(right, wrong, strict=True)):
        return "no-values" if all(map({"old", "new"}.issubset, map(carried, found.tasks))) else "not-carried"
    place = 0 if wrong[0] != right[0] else 1
    return text_mistake(right[place], wrong[place])


def _round_trip(trial: Trial, row: SectionVotes) -> None:
    for sent in send(trial, row, _VOTED, [_vote(vote) for vote in row.votes]):
        found = work(trial, row, _VOTED, sent)
        if not found.is_right:
            mistake = again_mistake(found) or row_mistake(row, found) or _vote_mistake(found)
            trial.expect_equal(by_text(found.rows), by_text(found.expected), mistake, what_happened(found))


def _vote(vote: SectionVote) -> Visit:
    query = {"stars": vote.stars, "sections": list(vote.sections)}
    query |= {} if vote.comment is None else {"comment": vote.comment}
    return Visit(query, [(section, 20 * vote.stars, vote.comment or None) for section in vote.sections])


def _vote_mistake(found: Delivered) -> str | None:
    """Return the mistake in the first wrong column, sections first."""
    if not found.rows:
        return "no-row" if all("sections" in carried(task) for task in found.tasks) else "sections-lost"
    rows, expected = found.rows, found.expected
    sections, points, _ = zip(*rows, strict=True)
    if len(rows) > len(expected) and max(map(len, map(str, sections))) == 1:
        return "list-as-text" if any(len(visit.rows) > 1 for visit in found.visits) else "letters"
    if len(rows) != len(expected):
        return "none-text" if "None" in sections else "by-hand" if _is_part(found) else "lists-in-one"
    if set(points) != {row[1] for row in expected}:
        numeric = "other-stars" if _carries_other_stars(found) else "points"
        return "text-number" if len(str(points[0])) > 9 else numeric
    if not found.missing or not found.extra:
        return None
    (section, _, sent), (found_section, _, arrived) = found.missing[0], found.extra[0]
    if found_section is None and not found.is_later:
        return "no-section"
    if found_section != section:
        return text_mistake(section, found_section)
    if sent is None:
        return "empty-text" if arrived == "" else "none-text"
    if arrived is None:
        is_carried = all(sent in carried(task).get("comment", []) for task in found.tasks)
        return "none-lost" if sent in LIKE_NONE else "comment-unread" if is_carried else "comment-lost"
    return text_mistake(sent, arrived)


def _carries_other_stars(found: Delivered) -> bool:
    """Return whether a form carries neither the stars that the reader sent nor their points."""
    right = {str(factor * visit.query["stars"]) for visit in found.visits for factor in (1, 20)}
    return any(stars not in right for task in found.tasks for stars in carried(task).get("stars", []))


def _is_part(found: Delivered) -> bool:
    """Return whether a wrong row has a part of a section's name, or of the comment, as its section."""
    texts = [text for section, _, comment in found.expected for text in (section, comment or "")]
    wrong = [str(section).strip() for section, _, _ in found.extra]
    return any(section and section in text for section in wrong for text in texts)


def _json_payload(trial: Trial, row: Reports) -> None:
    for sent in send(trial, row, _TIDE, [_report(report) for report in row.reports]):
        for task, report in zip(
            sent.tasks, [each for each in row.reports if _report(each) in sent.visits], strict=False
        ):
            _expect_json(trial, task, report, row.reports)
        found = work(trial, row, _TIDE, sent)
        if not found.is_right:
            mistake = row_mistake(row, found) or _tide_mistake(found)
            trial.expect_equal(by_text(found.rows), by_text(found.expected), mistake, what_happened(found))


def _report(report: Report) -> Visit:
    query = {"port": report.port, "metres": list(report.metres), "storm": "yes" if report.storm else "no"}
    return Visit(query, [(report.port, max(report.metres), report.storm)])


def _tide_mistake(found: Delivered) -> str | None:
    if not found.rows:
        return "no-row"
    if set(found.rows[0]) <= {None, False}:
        return "no-values"
    if len(found.rows) > len(found.expected):
        return "row-each"
    if not found.missing or not found.extra:
        return None
    port, highest, _ = found.missing[0]
    wrong = found.extra[0]
    if wrong[0] is None and not found.is_later:
        return "no-port"
    if wrong[0] != port:
        return text_mistake(port, wrong[0])
    return "not-highest" if wrong[1] != highest else "storm-lost"


def _expect_json(trial: Trial, task: TaskInfo, report: Report, reports: Sequence[Report]) -> None:
    kind, right = content_type(task), report.tides
    try:
        sent = json.loads(task.body)
    except ValueError:
        in_form = "in-a-form" if kind.endswith("form-urlencoded") else "not-json"
        is_cut = '"' in report.port and task.text.startswith('{"')
        mistake = "by-hand" if is_cut else in_form
        trial.wrong(mistake, f"the task's body is {task.text[:60]!r}", "JSON")
    if sent != right:
        is_other = sent in [other.tides for other in reports]
        mistake = "mixed-up" if is_other else _sent_mistake(sent, report)
        trial.expect_equal(sent, right, mistake, "the JSON is")
    trial.expect_equal(kind, "application/json", "no-header", "the task's Content-Type is")


def _sent_mistake(sent: object, report: Report) -> str:
    """Return the mistake in JSON that isn't the report's."""
    if not isinstance(sent, dict):
        return "encoded-twice" if isinstance(sent, str) else "not-tides"
    port, metres = sent.get("port"), sent.get("metres")
    if isinstance(metres, list) and any(isinstance(height, str) for height in metres):
        return "text-heights"
    if isinstance(port, str) and sent == report.tides | {"port": port}:
        return text_mistake(report.port, port)
    if '"' in report.port:
        return "by-hand"
    wrong = next((name for name, value in report.tides.items() if sent.get(name) != value), "")
    return {"port": "other-port", "metres": "other-metres", "storm": "other-storm"}.get(wrong, "not-tides")


def _silent_task(trial: Trial, row: News) -> None:
    visits = {article.title: article for article in row.articles}
    for sent in send(trial, row, _MAIL, [_article(article) for article in row.articles]):
        first = visits[sent.visits[0].query["title"]]
        if sent.visits[0].rows and sent.tasks:
            due = min(task.eta - task.created for task in sent.tasks)
            happened = f"the task of an urgent article is due {due.total_seconds():g} s after it was added"
            trial.expect(not due, "delayed", happened, "a task that is due immediately")
        found = work(trial, row, _MAIL, sent)
        if not found.is_right:
            mistake = again_mistake(found) or row_mistake(row, found) or _mail_mistake(found)
            kind = "an urgent" if first.urgent == "on" else "an ordinary"
            led = f"{quantity(len(sent.tasks), 'task')} of {kind} article, {first.title!r}, wrote"
            happened = led if len(sent.visits) == 1 else what_happened(found)
            trial.expect_equal(by_text(found.rows), by_text(found.expected), mistake, happened)


def _article(article: Article) -> Visit:
    query = {"title": article.title} | ({} if article.urgent is None else {"urgent": article.urgent})
    return Visit(query, [("urgent mail", article.title)] * (article.urgent == "on"))


def _mail_mistake(found: Delivered) -> str | None:
    titles = [visit.query["title"] for visit in found.visits if not visit.rows]
    if any(new in titles for _, new in found.extra):
        is_off = found.visits[0].query.get("urgent", "") not in ("", "on")
        return "mixed-up" if len(found.visits) > 1 else "not-on" if is_off else "always-true"
    if not found.expected:
        return "by-hand" if "&" in titles[0] or '"' in titles[0] else "always-true"
    if any(map(is_plain, found.tasks)) and not found.rows:
        return "plain-payload"
    if not found.rows:
        texts = {visit.query["title"] for visit in found.visits} | _NOT_URGENT
        values = {value for task in found.tasks for values in carried(task).values() for value in values}
        return "not-marked" if values <= texts else "never-true"
    if not found.extra or not found.missing:
        return None
    wrong, right = found.extra[0], found.missing[0]
    if wrong[1] is None:
        return "no-values"
    return "not-urgent-mail" if right[1] in wrong else text_mistake(right[1], wrong[1])


RUNS = {
    "2.1": (_repair_the_call, EDITS),
    "2.2": (_round_trip, VOTES),
    "2.3": (_json_payload, REPORTS),
    "2.4": (too_large, STORIES),
    "2.5": (_silent_task, NEWS),
}
