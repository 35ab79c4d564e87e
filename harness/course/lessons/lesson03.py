"""The checks of lesson 03, Where a task goes. Their texts are in lesson03.toml."""

from urllib.parse import unquote

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import EDITS, letters
from harness.course.trial import Rows, Trial
from harness.records import Attempt, Outcome, TaskInfo

_COUNTS = (("Ada", "Ferry on time"), ("Björn & Co.", "Sturm: 50 % mehr Möwen"))
_ARTICLES = (("17", "Fish & chips: 1/2 price?"), ("4", "Ferry on time"), ("17", "Möwen über Ærø, 100 % sicher"))
_DEFAULT = "/_ah/queue/default"
_NEWS = """
def index():
    from google.appengine.api import taskqueue
    taskqueue.add(url='/corrections/log', params=dict(new=request.vars['new']))
    return URL(c='ex3_5', f='save')

def catalogue():
    return URL('catalogue')
"""


def _another_controller(trial: Trial, _: Scenario) -> None:
    for file in trial.exercise.files:
        trial.lab.write(file, trial.lab.read(file), app="preview")
    for app in ("tutorial", "preview"):
        for edit in EDITS:
            query = {"old": edit[0], "new": edit[1]}
            before, task = trial.queue_task(f"/{app}/ex3_1/save", query, app=app)
            mistake = _misread_archive(app, task)
            _deliver(trial, mistake)
            _expect_row(trial, before, edit, mistake, app)
            happened = f"the task called {trial.lab.attempts[-1].request.url}"
            expected = f"a call of log in ex3_1_archive of {app}, and an unchanged page log in ex3_1"
            trial.expect(mistake == "wrong-address", mistake, happened, expected)  # there is no other mistake


def _misread_archive(app: str, task: TaskInfo) -> str:
    """Return the mistake that leads to this address, or "wrong-address" for a right address."""
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


def _another_application(trial: Trial, _: Scenario) -> None:
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
        before = trial.rows(app="stats")
        mine = trial.rows()
        trial.get("ex3_2/save", editor=count[0], headline=count[1])
        trial.expect_nothing_new(mine)
        trial.expect_nothing_new(before, app="stats")
        task = trial.one_task(missing="not-queued")
        mistake = addresses.get(_path(task), "wrong-address")
        _deliver(trial, mistake)
        trial.expect_equal(trial.rows(), [], mistake, f"{task.url} wrote to mytable of tutorial instead of stats:")
        _expect_row(trial, before, count, None, "stats")


def _args_and_params(trial: Trial, _: Scenario) -> None:
    for number, headline in _ARTICLES:
        before, task = trial.queue_task("ex3_3/save", {"number": number, "headline": headline})
        attempt = trial.step()
        second_argument = _path(task) == f"/tutorial/rename/{number}"
        trial.succeed(attempt, "second-argument" if second_argument else "wrong-address")
        trial.expect_no_echo()
        happened, expected = f"the task's address is {task.url}", f"an address that ends with /{number}"
        trial.expect("?" not in task.url, "headline-in-query", happened, expected)
        args = _path(task).rstrip("/").partition("/rename/")[2].split("/")
        _expect_row(trial, before, (number, headline), _lost(trial, before, (number, headline), args))
        mistake = "headline-in-args" if number in args else "number-in-params"
        trial.expect(args[-1] == number, mistake, happened, expected)


def _lost(trial: Trial, before: Rows, row: tuple[str, str], args: list[str]) -> str | None:
    """Return the mistake that left the newest row."""
    rows = trial.rows()[len(before) :]
    if not rows or rows[-1] == row[::-1]:
        return "swapped" if rows else "not-written"
    (old, new), number = rows[-1], row[0]
    if len(args) > 1 and (old == number or letters(row[1]) in letters(unquote("".join(args)))):
        return "headline-in-args"
    if old is None or new is None or (old != number and number in args and old in args):
        return "looked-elsewhere"
    if old == number:
        return "headline-in-args" if "_" in new else None
    return "whole-args" if number in old else "fixed-values"


def _never_stops(trial: Trial, _: Scenario) -> None:
    for edit in EDITS:
        before = trial.rows()
        trial.get("ex3_4/save", old=edit[0], new=edit[1])
        trial.one_task(missing="not-queued")
        first = trial.step()
        _expect_success(trial, first)
        count = len(trial.rows()) - len(before)
        _expect_row(trial, before, edit, {0: "not-written", 2: "mailed-directly"}.get(count))
        task = trial.one_task(missing="no-mail")
        known = {_path(first.task): "itself", _DEFAULT: "no-address"}
        before = trial.rows()
        _expect_success(trial, trial.step(), known.get(_path(task), "wrong-address"))
        nothing = trial.rows()[len(before) :] == [("mail sent", None)]
        _expect_row(trial, before, ("mail sent", edit[1]), "no-values" if nothing else known.get(_path(task)))
        trial.expect_no_echo()


def _expect_success(trial: Trial, attempt: Attempt, mistake: str | None = None) -> None:
    unwanted = {Outcome.DROPPED: "given-up", Outcome.DELETED: "deleted"}
    hint = attempt.response.hint
    answered = "dict-without-view" if "the view" in hint else mistake if hint else "failure-status"
    happened = f"{attempt.request.url} responded with {attempt.status} ({attempt.outcome}). {hint}"
    expected = "a status of 200 to 299 at the first attempt"
    trial.expect(attempt.ok, unwanted.get(attempt.outcome, answered), happened, expected)


def _deliver(trial: Trial, mistake: str | None) -> None:
    """Run the task once, and require that it succeeds and leaves no other task."""
    trial.succeed(trial.step(), mistake)
    trial.expect_no_echo()


def _expect_row(trial: Trial, before: Rows, row: tuple[str, str], mistake: str | None, app: str = "tutorial") -> None:
    rows = trial.rows(app=app)[len(before) :]
    if rows == [(None, None)]:
        mistake = trial.if_known("no-values") or mistake
    elif mistake in (None, "wrong-address") and len(rows) == 1 and not set(rows[0]) & set(row):
        mistake = trial.if_known("fixed-values")
    trial.expect_equal(rows, [row], mistake, f"the worker wrote to mytable of {app}:")


def _path(task: TaskInfo) -> str:
    return task.url.partition("?")[0]


def _rewritten(trial: Trial, _: Scenario) -> None:
    """Require that the short address leads to the log, for old and new tasks, and that no other page has moved."""
    trial.lab.write("controllers/ex3_5_news.py", _NEWS)
    page = _visit(trial, "/tutorial/ex3_5_news/catalogue", "ex3_5_news/catalogue", "")
    _visit(trial, page, "ex3_5_news/catalogue", "")
    link = _visit(trial, "/tutorial/ex3_5_news/index", "ex3_5_news/index", "Nebel & Wind über Ærø")
    _visit(trial, link, "ex3_5/save", "Ferry on time")
    tasks = sorted(trial.lab.tasks(), key=lambda task: "Ferry" in task.text)
    trial.expect_tasks(tasks, 2, None, "with the earlier task, ")
    _expect_arrivals(trial, tasks[0])
    trial.called = "as a user: GET /ex3_5/save"
    trial.expect_equal(_path(tasks[1]), "/corrections/log", "not-out", "the new task's address is")


def _visit(trial: Trial, path: str, action: str, new: str) -> str:
    """Request a page that must keep its address, and return its text."""
    trial.called = f"as a user: GET {path}"
    answer = trial.lab.get(path, new=new)
    if answer.ticket is not None:
        trial.failed(answer.ticket)
    seen = answer.route.action if answer.route else f"no action, with status {answer.status}"
    trial.expect_equal(seen, f"tutorial/{action}", "catch-all", f"{path}, which must keep its address, was served by")
    return answer.text


def _expect_arrivals(trial: Trial, old: TaskInfo) -> None:
    """Run the task that waits with the old address, and the one that `save` queued."""
    attempts = [trial.step(), trial.step()]
    trial.called = "lab.step(), with a task that waited for /corrections/log"
    attempt = next(each for each in attempts if each.task.name == old.name)
    happened = f"{attempt.request.url} responded with {attempt.status}. {attempt.response.hint}"
    trial.expect(attempt.ok, _misrouted(trial, attempt), happened, "a status of 200 to 299")
    rows = sorted(trial.rows())
    expected = [("logged", "Ferry on time"), ("logged", "Nebel & Wind über Ærø")]
    trial.expect_equal(rows, expected, None if rows else "wrong-target", "the two tasks wrote")


def _misrouted(trial: Trial, attempt: Attempt) -> str:
    """Return the mistake by which the old address leads nowhere."""
    untouched = "no application 'corrections'"
    if untouched not in attempt.response.hint:
        return "wrong-target"
    return "reversed" if untouched in trial.lab.get("/tutorial/ex3_5/log").hint else "not-in"


RUNS = {
    "3.1": (_another_controller, (Scenario(),)),
    "3.2": (_another_application, (Scenario(),)),
    "3.3": (_args_and_params, (Scenario(),)),
    "3.4": (_never_stops, (Scenario(),)),
    "3.5": (_rewritten, (Scenario(),)),
}
