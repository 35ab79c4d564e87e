"""The checks of lesson 03, Where a task goes. Their texts are in lesson03.toml."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from harness.course.checks.expectations import is_plain, leaves_unset, letters
from harness.course.scenarios.deliveries03 import (
    Done,
    Save,
    ask_as_other,
    carries,
    deliveries,
    expect_no_other,
    expect_row,
    path_of,
    succeed,
)
from harness.course.scenarios.scenarios03 import (
    ANOTHER_APPLICATION,
    ANOTHER_CONTROLLER,
    ARGS_AND_PARAMS,
    NEVER_STOPS,
    REWRITTEN,
    Addresses,
    Saves,
)
from harness.course.trial import Trial
from harness.records import Attempt, Response, TaskInfo

_DEFAULT = "/_ah/queue/default"
_LOG = ("tutorial", "ex3_5", "log")
_SHORT = "/corrections/log"
_NEWS = """
def index():
    from google.appengine.api import taskqueue
    taskqueue.add(url='/corrections/log', params=dict(new=request.vars['new']))

def addresses():
    return response.json([URL(*names) for names in {names!r}])
"""
_PAGE = "def {}():\n    return ''\n"


def _another_controller(trial: Trial, row: Saves) -> None:
    for name, source in trial.files.items():
        trial.lab.write(name.rpartition(":")[2], source, app="preview")
    for done in deliveries(trial, row, "ex3_1/save", ("old", "new")):
        app = done.save.app
        mistake = _misread_archive(app, done.task)
        succeed(trial, done.attempt, mistake or "wrong-address")
        if mistake != "itself":
            expect_no_other(trial, done)
        expect_row(trial, row, done, done.save.values, mistake)
        happened = f"the task called {done.attempt.request.url}"
        route = done.attempt.response.route
        arrived = route is not None and route.action == f"{app}/ex3_1_archive/log"
        trial.expect(arrived, mistake or "other-worker", happened, f"a task for log in ex3_1_archive of {app}")
        if row.bystander:
            _read_page(trial)


def _misread_archive(app: str, task: TaskInfo) -> str | None:
    """Return the mistake that leads to this address, or None if it may be right."""
    path = path_of(task)
    parts = [*path.split("/")[1:], "", ""]
    if path == _DEFAULT:
        return "no-address"
    if app != "tutorial" and parts[0] == "tutorial":
        return "fixed-app"
    if parts[0] != app:
        return "short-path" if parts[0] in ("ex3_1_archive", "log") else None
    if parts[1:3] == ["ex3_1", "save"]:
        return "itself"
    if parts[1] == "ex3_1":
        return "same-controller" if parts[2].startswith("log") else "slash" if "archive" in path else None
    if parts[1:3] == ["log", "ex3_1_archive"]:
        return "swapped"
    return "no-function" if parts[1:3] == ["ex3_1_archive", "save"] else None


def _read_page(trial: Trial) -> None:
    """Read the readers' page, which must stay as it is."""
    known = trial.lab.tasks()
    rows = trial.rows()
    page = trial.get("ex3_1/log")
    right = f"Corrections of today: {len(rows)}"
    trial.expect(page.text == right, "page-changed", f"status {page.status}, {page.text[:60]!r}", f"the page {right!r}")
    same = (len(trial.lab.tasks()), trial.rows()) == (len(known), rows)
    trial.expect(same, "each-request", "reading the page added a task or a row", "the page only shows the number")


def _another_application(trial: Trial, row: Saves) -> None:
    for done in deliveries(trial, row, "ex3_2/save", ("editor", "headline"), "stats"):
        mistake = _misread_counter(done.path)
        succeed(trial, done.attempt, mistake or "wrong-address")
        expect_no_other(trial, done)
        if mistake is not None:
            _expect_none_here(trial, done.task.url, mistake)
        expect_row(trial, row, done, done.save.values, mistake)
    _expect_none_here(trial, "a request or a task", None)
    if row.bystander:
        query = dict(zip(("editor", "headline"), row.rounds[0][0], strict=True))
        ask_as_other(trial, "/stats/ex3_2_counter/count", query, row.rounds[0][0], "stats")


def _expect_none_here(trial: Trial, by: str, mistake: str | None) -> None:
    trial.expect_equal(trial.rows(), [], mistake, f"{by} wrote to mytable of tutorial instead of stats:")


def _misread_counter(path: str) -> str | None:
    """Return the mistake that leads to this address, or None if it may be right."""
    known = {
        "/stats/ex3_2/count": "no-controller",
        "/tutorial/ex3_2_counter/count": "no-application",
        "/tutorial/ex3_2/count": "no-application",
        "/tutorial/stats/ex3_2_counter": "shifted",
        "/tutorial/stats/count": "app-as-controller",
        "/tutorial/ex3_2/stats": "app-as-function",
        "/tutorial/ex3_2/stats/ex3_2_counter/count": "slash",
        "/tutorial/stats/ex3_2_counter/count": "slash",
        "/tutorial/ex3_2/save": "itself",
        _DEFAULT: "no-address",
    }
    is_mixed = sorted(path.split("/")) == ["", "count", "ex3_2_counter", "stats"]
    return known.get(path) or ("wrong-order" if is_mixed and path != "/stats/ex3_2_counter/count" else None)


def _args_and_params(trial: Trial, row: Saves) -> None:
    for done in deliveries(trial, row, "ex3_3/save", ("number", "headline")):
        number, headline = done.save.values
        url = done.task.url
        route = done.attempt.response.route
        second = done.path == f"/tutorial/rename/{number}"
        succeed(trial, done.attempt, "second-argument" if second else "wrong-address")
        expect_no_other(trial, done)
        happened, expected = f"the task's address is {url}", f"an address that ends with /{number}"
        is_worker = route is not None and route.action == "tutorial/ex3_3/rename"
        trial.expect(is_worker, None, happened, "an address of the action rename")
        trial.expect("?" not in url, "in-query", happened, expected)
        args = unquote(done.path).rstrip("/").partition("/rename")[2].split("/")[1:]
        expect_row(trial, row, done, done.save.values, _lost(row, done, args))
        mistake = "headline-in-args" if _is_headline_in(args, headline) else "number-in-params"
        trial.expect(args[-1:] == [number], mistake, happened, expected)


def _lost(row: Saves, done: Done, args: list[str]) -> str | None:
    """Return the mistake that left the new row and has to do with the address, or None."""
    number, headline = done.save.values
    new = done.new
    if row.what or len(new) != 1 or new[0] in ((number, headline), (headline, number)):
        return None
    old, text = new[0]
    if len(args) > 1 and _is_headline_in(args, headline):
        return "headline-in-args"
    if old is None and not leaves_unset(done.attempt.response, "mytable", "old"):
        return "number-unread" if number in args else "unread" if carries(done.task, number) else "no-number"
    if text is None and carries(done.task, headline) and not leaves_unset(done.attempt.response, "mytable", "new"):
        return None if is_plain(done.task) and done.task.body else "headline-unread"
    if old is None or old == number:
        return None
    if old in args and number in args:
        return "other-arg"
    if number in old and not old.replace(number, "", 1).strip("<List:>[]()|{}'\", _number"):
        return "whole-args" if args == [number] else "args-dict"
    return None


def _is_headline_in(args: list[str], headline: str) -> bool:
    """Return whether args contain a headline, or at least its first letters."""
    return bool(letters(headline)) and letters(headline)[:8] in letters("".join(args))


def _never_stops(trial: Trial, row: Saves) -> None:
    for done in deliveries(trial, row, "ex3_4/save", ("old", "new")):
        if done.save.is_mail:
            known = {"/tutorial/ex3_4/log_edit": "itself", _DEFAULT: "no-address"}
            mistake = known.get(done.path)
            succeed(trial, done.attempt, mistake or "wrong-address")
            expect_row(trial, row, done, ("mail sent", done.save.values[1]), mistake)
            route = done.attempt.response.route
            is_mailer = route is not None and route.action == "tutorial/ex3_4/mail_editor"
            happened = f"the second task called {done.task.url}"
            trial.expect(is_mailer, mistake or "other-mailer", happened, "a second task for mail_editor")
            expect_no_other(trial, done)
            continue
        succeed(trial, done.attempt, "wrong-address")
        both = [done.save.values, ("mail sent", done.save.values[1])]
        expect_row(trial, row, done, done.save.values, "mailed-directly" if done.new == both else None)
        tasks = [task for task in trial.lab.tasks() if task.identity not in done.waiting]
        missing = "name-taken" if done.taken else "mail-skipped" if row.what or done.before else "no-mail"
        trial.expect_tasks(tasks, 1, "several-tasks" if tasks else missing, "after log_edit has run once, ")
        done.waiting[tasks[0].identity] = Save("tutorial", done.save.values, done.save.others, is_mail=True)
    if row.bystander:
        text = row.rounds[0][0][1]
        ask_as_other(trial, "/tutorial/ex3_4/mail_editor", {"new": text}, ("mail sent", text), "tutorial")


def _rewritten(trial: Trial, row: Addresses) -> None:
    """Require that the short address leads to the log, for old and new tasks, and that no other page has moved."""
    names = [_LOG, *row.pages] if row.pages else []
    trial.lab.write("controllers/ex3_5_news.py", _NEWS.format(names=names) + "".join(_pages(row, "ex3_5_news")))
    for controller in {page[1] for page in row.pages if page[0] == "tutorial"} - {"ex3_5", "ex3_5_news"}:
        trial.lab.write(f"controllers/{controller}.py", "".join(_pages(row, controller)))
    old, new = row.headlines
    for page, headline in (("ex3_5_news/index", old), ("ex3_5/save", new)):
        _visit(trial, f"/tutorial/{page}", new=headline)
    tasks = sorted(trial.lab.tasks(), key=lambda task: task.call_site is None or "news" not in task.call_site.file)
    trial.expect_tasks(tasks, 2, None, "with the earlier task, ")
    _expect_arrivals(trial, tasks[0], row)
    trial.called = "as a user: GET /tutorial/ex3_5/save"
    address = path_of(tasks[1])
    long = address == "/tutorial/ex3_5/log"
    trial.expect_equal(address, _SHORT, "not-out" if long else "other-out", "the new task's address is")
    expected = sorted(("logged", headline) for headline in row.headlines)
    trial.expect_equal(sorted(trial.rows()), expected, None, "the two tasks wrote")
    if names:
        _expect_links(trial, names)
    for app, controller, function in row.pages:
        if app == "tutorial" and (controller != "ex3_5" or function == "save"):
            _visit(trial, f"/{app}/{controller}/{function}", new=new)
        else:
            _expect_stranger(trial, f"/{app}/{controller}/{function}")
    for address in row.strangers:
        _expect_stranger(trial, address)


def _pages(row: Addresses, controller: str) -> Iterator[str]:
    """Yield the actions that a controller of the scenario needs."""
    yield from (_PAGE.format(name) for app, where, name in row.pages if (app, where) == ("tutorial", controller))


def _visit(trial: Trial, path: str, **query: Any) -> Response:
    """Request a page that must keep its address, and return the response."""
    trial.called = f"as a user: GET {path}"
    answer = trial.lab.get(path, **query)
    if answer.ticket is not None:
        trial.failed(answer.ticket)
    seen = answer.route.action if answer.route else f"no action, with status {answer.status}"
    trial.expect_equal(seen, path[1:], "in-too-wide", f"{path}, which must keep its address, was served by")
    return answer


def _expect_stranger(trial: Trial, path: str) -> None:
    """Require that an address doesn't lead to the log, for a visitor or for a task."""
    for method, answer in (("GET", trial.lab.get(path)), ("POST", trial.lab.post(path))):
        trial.called = f"{method} {path}"
        seen = answer.route.action if answer.route else ""
        trial.expect(seen != "/".join(_LOG), "in-too-wide", f"{path} was served by {seen}", "it doesn't reach log")


def _expect_links(trial: Trial, names: list[tuple[str, str, str]]) -> None:
    """Require that URL() writes the short address of the log, and the usual ones of the other pages."""
    written = dict(zip(names, json.loads(_visit(trial, "/tutorial/ex3_5_news/addresses").text), strict=True))
    for name in names:
        app, controller, function = name
        trial.called = f"on another page: URL(a='{app}', c='{controller}', f='{function}')"
        right = _SHORT if name == _LOG else f"/{app}/{controller}/{function}"
        trial.expect_equal(written[name], right, "not-by-rule" if name == _LOG else "out-too-wide", "it writes")


def _expect_arrivals(trial: Trial, old: TaskInfo, row: Addresses) -> None:
    """Run the task that waits with the old address, and the one that `save` queued; the first one must be logged."""
    attempts = [trial.step(), trial.step()]
    trial.called = "lab.step(), with a task that waited for /corrections/log"
    attempt = next(each for each in attempts if each.task.name == old.name)
    happened = f"{attempt.request.url} responded with {attempt.status}. {attempt.response.hint}"
    trial.expect(attempt.ok, _misrouted(trial, attempt), happened, "a status of 200 to 299")
    logged = ("logged", row.headlines[0])
    trial.expect(logged in trial.rows(), "wrong-target", f"the task wrote {trial.rows() or 'no row'}", f"{logged}")


def _misrouted(trial: Trial, attempt: Attempt) -> str:
    """Return the mistake by which the old address leads nowhere."""
    untouched = "no application 'corrections'"
    if any(line.startswith("routers") for line in trial.files["routes.py"].splitlines()):
        return "routers"
    if untouched not in attempt.response.hint:
        return "wrong-target"
    if untouched in trial.lab.get("/tutorial/ex3_5/log").hint:
        return "reversed"
    browser = trial.lab.get(_SHORT).route
    return "client-only" if browser and browser.action == "/".join(_LOG) else "not-in"


RUNS = {
    "3.1": (_another_controller, ANOTHER_CONTROLLER),
    "3.2": (_another_application, ANOTHER_APPLICATION),
    "3.3": (_args_and_params, ARGS_AND_PARAMS),
    "3.4": (_never_stops, NEVER_STOPS),
    "3.5": (_rewritten, REWRITTEN),
}
