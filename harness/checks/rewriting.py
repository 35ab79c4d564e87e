"""Exercise 3.5, a rewritten URL: what the learner's routes.py does to tasks and to pages."""

from __future__ import annotations

from harness.checks.trial import Trial
from harness.records import Attempt, TaskInfo

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
