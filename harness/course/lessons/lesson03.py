"""Lesson 03, Where a task goes: what its exercises try. Their words are in lesson03.toml."""

from __future__ import annotations

from urllib.parse import unquote

from harness.course.lessons.expectations import Rows, expect_no_echo, expect_nothing_new
from harness.course.trial import Trial
from harness.records import Attempt, Outcome, TaskInfo

# Exercise 3.5, a rewritten URL: what the learner's routes.py does to tasks and to pages.

_NEWS = """
def index():
    from google.appengine.api import taskqueue
    taskqueue.add(url='/corrections/log', params=dict(new=request.vars['new']))
    return URL(c='ex3_5', f='save')

def catalogue():
    return URL('catalogue')
"""


def rewritten(trial: Trial) -> None:
    """Go on if the short address leads to the log, for old tasks and new ones, and no other page has moved."""
    trial.lab.write("controllers/ex3_5_news.py", _NEWS)
    page = _visit(trial, "/tutorial/ex3_5_news/catalogue", "ex3_5_news/catalogue", "")
    _visit(trial, page, "ex3_5_news/catalogue", "")
    link = _visit(trial, "/tutorial/ex3_5_news/index", "ex3_5_news/index", "Nebel & Wind über Ærø")
    _visit(trial, link, "ex3_5/save", "Ferry on time")
    tasks = sorted(trial.lab.tasks(), key=lambda task: "Ferry" in task.text)
    trial.expect(len(tasks) == 2, happened=f"{len(tasks) - 1} new tasks waiting", expected="one new task waiting")
    _expect_arrivals(trial, tasks[0])
    trial.called = "as a user: GET /ex3_5/save"
    trial.expect(
        tasks[1].url.partition("?")[0] == "/corrections/log",
        "not-out",
        happened=f"the new task's address is {tasks[1].url}",
        expected="the address /corrections/log",
    )


def _visit(trial: Trial, path: str, action: str, new: str) -> str:
    """Visit a page that is to stay where it is, and return what it says."""
    trial.called = f"as a user: GET {path}"
    answer = trial.lab.get(path, new=new)
    if answer.ticket is not None:
        trial.failed(answer.ticket)
    seen = answer.route.action if answer.route else f"nobody, with {answer.status}"
    trial.expect(
        seen == f"tutorial/{action}",
        "catch-all",
        happened=f"the page {path} was answered by {seen}",
        expected=f"by tutorial/{action}: all other pages stay where they are",
    )
    return answer.text


def _expect_arrivals(trial: Trial, old: TaskInfo) -> None:
    """Run the task that waits with the old address, and that of `save`."""
    attempts = [trial.step(), trial.step()]
    trial.called = "lab.step(), with a task that waited for /corrections/log"
    attempt = next(each for each in attempts if each.task.name == old.name)
    trial.expect(
        attempt.ok,
        _misrouted(trial, attempt),
        happened=f"{attempt.request.url} was answered {attempt.status}. {attempt.response.hint}",
        expected="a status of 200 to 299",
    )
    rows = trial.rows("mytable", "old", "new")
    trial.expect(
        sorted(rows) == [("logged", "Ferry on time"), ("logged", "Nebel & Wind über Ærø")],
        None if rows else "wrong-target",
        happened=f"the two tasks wrote {rows or 'no row'}",
        expected="one row for the old task, and one for that of save",
    )


def _misrouted(trial: Trial, attempt: Attempt) -> str:
    """Tell why the old address leads nowhere."""
    untouched = "no application 'corrections'"
    if untouched not in attempt.response.hint:
        return "wrong-target"
    return "reversed" if untouched in trial.lab.get("/tutorial/ex3_5/log").hint else "not-in"


_FIELDS = ("old", "new")
_EDITS = (("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))
_COUNTS = (("Ada", "Ferry on time"), ("Björn & Co.", "Sturm: 50 % mehr Möwen"))
_ARTICLES = (("17", "Fish & chips: 1/2 price?"), ("4", "Ferry on time"), ("17", "Möwen über Ærø, 100 % sicher"))
_DEFAULT = "/_ah/queue/default"


def _another_controller(trial: Trial) -> None:
    for file in trial.exercise.files:
        trial.lab.write(file, trial.lab.read(file), app="preview")
    for app in ("tutorial", "preview"):
        for edit in _EDITS:
            before = trial.rows("mytable", *_FIELDS, app=app)
            trial.get(f"/{app}/ex3_1/save", old=edit[0], new=edit[1])
            expect_nothing_new(trial, before, app=app)
            mistake = _misread_archive(app, trial.one_task(missing="not-queued"))
            _deliver(trial, mistake)
            _expect_row(trial, before, edit, mistake, app)
            trial.expect(
                mistake == "wrong-address",  # the one that an address gets in which none of the others is found
                mistake,
                happened=f"the task went to {trial.lab.attempts[-1].request.url}",
                expected=f"log in ex3_1_archive of {app}, and the page log in ex3_1 as it was",
            )


def _misread_archive(app: str, task: TaskInfo) -> str:
    """Say which mistake wrote this address, if it is one."""
    path = _path(task)
    if app == "preview" and path.startswith("/tutorial/"):
        return "fixed-app"
    if path.startswith(f"/{app}/ex3_1/") and "archive" in path:
        return "slash"
    if path.startswith(f"/{app}/ex3_1_archive/save"):
        return "no-function"
    known = {
        f"/{app}/log/ex3_1_archive": "swapped",
        f"/{app}/ex3_1/log": "same-controller",
        "/ex3_1_archive/log": "short-path",
        "/log": "short-path",
        _DEFAULT: "no-address",
    }
    return known.get(path, "wrong-address")


def _another_application(trial: Trial) -> None:
    addresses = {
        "/stats/ex3_2/count": "no-controller",
        "/tutorial/ex3_2_counter/count": "no-application",
        "/tutorial/ex3_2/count": "no-application",
        "/tutorial/stats/ex3_2_counter": "shifted",
        "/tutorial/stats/count": "shifted",
        "/tutorial/ex3_2/stats": "shifted",
        "/tutorial/ex3_2/stats/ex3_2_counter/count": "slash",
        "/tutorial/stats/ex3_2_counter/count": "slash",
        _DEFAULT: "no-address",
    }
    for count in _COUNTS:
        before = trial.rows("mytable", *_FIELDS, app="stats")
        mine = trial.rows("mytable", *_FIELDS)
        trial.get("ex3_2/save", editor=count[0], headline=count[1])
        expect_nothing_new(trial, mine)
        expect_nothing_new(trial, before, app="stats")
        task = trial.one_task(missing="not-queued")
        mistake = addresses.get(_path(task), "wrong-address")
        _deliver(trial, mistake)
        mine = trial.rows("mytable", *_FIELDS)
        trial.expect(
            not mine,
            mistake,
            happened=f"{task.url} wrote {mine} into mytable of tutorial",
            expected="a row in mytable of stats, and none in that of tutorial",
        )
        _expect_row(trial, before, count, None, "stats")


def _args_and_params(trial: Trial) -> None:
    for number, headline in _ARTICLES:
        before = trial.rows("mytable", *_FIELDS)
        trial.get("ex3_3/save", number=number, headline=headline)
        expect_nothing_new(trial, before)
        task = trial.one_task(missing="not-queued")
        attempt = trial.step()
        trial.succeed(attempt, _unanswered(attempt, number))
        expect_no_echo(trial)
        trial.expect(
            "?" not in task.url,
            "headline-in-query",
            happened=f"the task's address is {task.url}",
            expected=f"an address that ends with /{number}",
        )
        args = _path(task).rstrip("/").partition("/rename/")[2].split("/")
        _expect_row(trial, before, (number, headline), _lost(trial, before, (number, headline), args))
        trial.expect(
            args[-1] == number,
            "headline-in-args" if number in args else "number-in-params",
            happened=f"the task's address is {task.url}",
            expected=f"an address that ends with /{number}",
        )


def _unanswered(attempt: Attempt, number: str) -> str:
    """Say why nobody answered the task with this number, in the words of a mistake."""
    return "second-argument" if _path(attempt.task) == f"/tutorial/rename/{number}" else "wrong-address"


def _lost(trial: Trial, before: Rows, row: tuple[str, str], args: list[str]) -> str | None:
    """Say which mistake left the newest row."""
    rows = trial.rows("mytable", *_FIELDS)[len(before) :]
    if not rows or rows[-1] == row[::-1]:
        return "swapped" if rows else "not-written"
    (old, new), number = rows[-1], row[0]
    if len(args) > 1 and (old == number or _letters(row[1]) in _letters(unquote("".join(args)))):
        return "headline-in-args"
    if old is None or new is None or (old != number and number in args and old in args):
        return "looked-elsewhere"
    if old == number:
        return "headline-in-args" if "_" in new else None
    return "whole-args" if number in old else "fixed-values"


def _letters(text: str) -> str:
    """Return what web2py leaves of a text in an address."""
    return "".join(filter(str.isalnum, text))


def _never_stops(trial: Trial) -> None:
    for edit in _EDITS:
        before = trial.rows("mytable", *_FIELDS)
        trial.get("ex3_4/save", old=edit[0], new=edit[1])
        trial.one_task(missing="not-queued")
        first = trial.step()
        _expect_success(trial, first)
        count = len(trial.rows("mytable", *_FIELDS)) - len(before)
        _expect_row(trial, before, edit, {0: "not-written", 2: "mailed-directly"}.get(count))
        task = trial.one_task(missing="no-mail")
        known = {_path(first.task): "itself", _DEFAULT: "no-address"}
        before = trial.rows("mytable", *_FIELDS)
        _expect_success(trial, trial.step(), known.get(_path(task), "wrong-address"))
        nothing = trial.rows("mytable", *_FIELDS)[len(before) :] == [("mail sent", None)]
        _expect_row(trial, before, ("mail sent", edit[1]), "no-values" if nothing else known.get(_path(task)))
        expect_no_echo(trial)


def _expect_success(trial: Trial, attempt: Attempt, mistake: str | None = None) -> None:
    unwanted = {Outcome.DROPPED: "given-up", Outcome.DELETED: "deleted"}
    hint = attempt.response.hint
    answered = "dict-without-view" if "the view" in hint else mistake if hint else "failure-status"
    trial.expect(
        attempt.ok,
        unwanted.get(attempt.outcome, answered),
        happened=f"{attempt.request.url} was answered {attempt.status} ({attempt.outcome}). {attempt.response.hint}",
        expected="a status of 200 to 299 at the first attempt",
    )


def _deliver(trial: Trial, mistake: str | None) -> None:
    """Run the task once; it must succeed, and leave no other behind."""
    trial.succeed(trial.step(), mistake)
    expect_no_echo(trial)


def _expect_row(trial: Trial, before: Rows, row: tuple[str, str], mistake: str | None, app: str = "tutorial") -> None:
    rows = trial.rows("mytable", *_FIELDS, app=app)[len(before) :]
    if rows == [(None, None)]:
        mistake = trial.if_known("no-values") or mistake
    elif mistake in (None, "wrong-address") and len(rows) == 1 and not set(rows[0]) & set(row):
        mistake = trial.if_known("fixed-values")
    trial.expect(
        rows == [row],
        mistake,
        happened=f"the worker wrote {rows or 'no row'}",
        expected=f"one row in mytable of {app}: {row}",
    )


def _path(task: TaskInfo) -> str:
    return task.url.partition("?")[0]


RUNS = {
    "3.1": _another_controller,
    "3.2": _another_application,
    "3.3": _args_and_params,
    "3.4": _never_stops,
    "3.5": rewritten,
}
