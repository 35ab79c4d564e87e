"""The checks of 6.1, 6.2 and 8.2: a worker's guard admits each task, and no user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.course.checks.expectations import FORM, NO_COOKIE, by_text, instance, let_pass
from harness.course.scenarios.scenarios06 import Guarded, Sender
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Response, TaskInfo
from harness.show.text import shorten

_AGENT = {"User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)"}
_ADDRESS = {"X-Forwarded-For": "0.1.0.2"}
_CLOUD = {"X-CloudTasks-QueueName": "default", "X-CloudTasks-TaskName": "task1", "X-CloudTasks-TaskRetryCount": "0"}
_QUEUE = {
    "X-AppEngine-QueueName": "default",
    "X-AppEngine-TaskName": "task1",
    "X-AppEngine-TaskRetryCount": "0",
    "X-AppEngine-TaskExecutionCount": "0",
    "X-AppEngine-Cron": "true",
}
_ALL = {**_AGENT, **_ADDRESS, **_CLOUD, **_QUEUE}
_Forgery = tuple[Mapping[str, str], str, str]  # headers, who sends them, and the mistake if the worker does its work
_FORGERIES: tuple[_Forgery, ...] = (
    ({}, "a user", "wide-open"),
    (NO_COOKIE, "a user without a cookie", "cookie"),
    (_AGENT, f"a user who sends the header User-Agent: {_AGENT['User-Agent']}", "user-agent"),
    (_ADDRESS, "a user who sends the header X-Forwarded-For: 0.1.0.2", "address"),
)
_OF_USERS = ("X-Appengine-Country", "X-Appengine-City", "X-Appengine-User-IP", "X-Appengine-Request-Log-Id")
_NAMESPACE = "x-appengine-current-namespace"  # the client of the task queue adds it
_QUEUES = "queue:\n- name: default\n  rate: 50/s\n- name: letters\n  rate: 50/s\n- name: default-2\n  rate: 50/s\n"
_SENDER = """
from google.appengine.api import taskqueue

def index():
    for number, (queue, method) in enumerate({tasks!r}):
        article = '%s %s' % (queue, method)
        url = URL('ex6_1', 'mail')
        taskqueue.add(url=url, params=dict(article=article), queue_name=queue, method=method, countdown=number)
    return 'added'
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an exercise's actions and rows are, and what its text requires.

    Args:
        controller: the controller.
        action: the action that adds the task.
        worker: the worker.
        table: the table in which the worker writes a row.
        field: the name of the param, and of the field.
        needs_403: whether users must get the status 403.
        on_schedule: what the worker writes when a job in cron.yaml requests it, or "" if no job does.
    """

    controller: str
    action: str
    worker: str
    table: str
    field: str
    needs_403: bool = False
    on_schedule: str = ""


def task_only(trial: Trial, row: Guarded) -> None:
    """Check 6.1."""
    _check(trial, row, _Place("ex6_1", "publish", "mail", "mailing", "article", needs_403=True))
    if row.senders:
        trial.lab.write("queue.yaml", _QUEUES)
        tasks = [(sender.queue, sender.method) for sender in row.senders]
        trial.lab.write("controllers/sender.py", _SENDER.format(tasks=tasks))
        trial.lab.get("sender/index")
        _expect_senders_admitted(trial, row.senders)


def forged(trial: Trial, row: Guarded) -> None:
    """Check 6.2."""
    _check(trial, row, _Place("ex6_2", "order", "gift", "free_month", "reader"))


def on_app_engine(trial: Trial, row: Guarded) -> None:
    """Check 8.2."""
    _check(trial, row, _Place("ex8_2", "order", "build", "report", "day", on_schedule="today"))


def _check(trial: Trial, row: Guarded, place: _Place) -> None:
    for number, value in enumerate(row.values):
        _request(trial, row, place, value, number)
    if not row.what or any(map(_has_written, trial.lab.responses)):
        trial.expect_nothing_new([], place.table, place.field)
    tasks = list(trial.lab.tasks())
    if row.attacked:
        for task in tasks:
            _expect_no_copy(trial, place, task, [])
    let_pass(trial, row.wait)
    for turns in row.shutdowns:
        trial.expect(trial.lab.tasks(), None, "the instance was shut down, and no task waits", "another attempt")
        trial.called = "lab.step()"
        trial.lab.step(kill_after=turns)
    while trial.lab.tasks():
        _expect_admitted(trial, row, place)
    expected: Rows = [(value,) for value in row.values]
    _expect_work(trial, row, place, expected)
    _expect_no_user(trial, row, place, tasks)
    if place.on_schedule:
        _expect_cron(trial, place)


def _request(trial: Trial, row: Guarded, place: _Place, value: str, number: int) -> None:
    """Send the user's request that adds a task."""
    with instance(trial, row.elsewhere):
        response = trial.get(f"{place.controller}/{place.action}", None, **{place.field: value})
    happened = f"the user got {response.status}"
    trial.expect(response.status < 400, "at-definition", happened, "a status of 200 to 399, and a task in the queue")
    waiting = trial.lab.tasks()
    missing = "not-queued" if not row.what else "lost"
    trial.expect_tasks(waiting, number + 1, missing if len(waiting) <= number else "two-tasks")
    let_pass(trial, row.pause)


def _expect_admitted(trial: Trial, row: Guarded, place: _Place) -> None:
    """Run the next task, and require that it is admitted."""
    attempt = trial.step()
    if attempt.response.hint or attempt.request.url.startswith("/_ah/"):
        trial.succeed(attempt, None)
    if not attempt.ok:
        mistake = _why_refused_now(trial, row, place) if row.what else _why_refused(trial, row, place, attempt)
        happened = f"the task of the queue {attempt.task.queue} got {attempt.status}"
        trial.called = "lab.step()"
        trial.wrong(mistake, happened, "a status of 200 to 299")


def _why_refused_now(trial: Trial, row: Guarded, place: _Place) -> str:
    """Return the mistake by which a task was refused, or left undone, in the situation of this row."""
    if row.refused == "shared":  # tasks for two different values have run, so an equal value or name is the reason
        return "once" if len(set(trial.rows(place.table, place.field))) > 1 else "shared"
    if not (row.refused == "memory" and row.wait):
        return row.refused
    with trial.again() as other:  # here, the same instance runs the task
        _request(other, replace(row, elsewhere=False), place, row.values[0], 0)
        let_pass(other, row.wait)
        is_done = other.lab.step().ok and other.rows(place.table, place.field)
    return "memory" if is_done else "too-old"


def _why_refused(trial: Trial, row: Guarded, place: _Place, attempt: Attempt) -> str | None:
    """Return the mistake by which the first task of all was refused."""
    if trial.lab.table(place.table):
        return None
    own = [name.lower() for name, _ in attempt.task.headers]
    if any(name.startswith("x-appengine-") and name != _NAMESPACE for name in own):
        return "reserved-header"
    trial.lab.post(f"{place.controller}/{place.worker}", data={place.field: row.values[0]})
    if trial.lab.table(place.table):
        return "inverted"
    return "first-attempt" if trial.lab.tasks() and trial.lab.step().ok else "shut-out"


def _expect_work(trial: Trial, row: Guarded, place: _Place, expected: Rows) -> None:
    """Require that the tasks, which all were admitted, have done their work once each.

    If an instance was shut down after the COMMIT, the next attempt does the work again.
    """
    found = trial.rows(place.table, place.field)
    right = set(found) == set(expected) if row.shutdowns else by_text(found) == by_text(expected)
    is_missing = any(found.count(each) < expected.count(each) for each in expected)
    mistake = "twice" if not is_missing else "no-work" if not found else None
    mistake = _why_refused_now(trial, row, place) if row.what and is_missing else mistake
    happened = f"{place.table} contains {shorten(str(found), 110) if found else 'no row'}"
    trial.expect(right, mistake, happened, shorten(str(expected), 110))


def _expect_cron(trial: Trial, place: _Place) -> None:
    """Require that a job in cron.yaml is admitted, and that its work is done once."""
    before = trial.rows(place.table, place.field)
    response = trial.cron(f"{place.controller}/{place.worker}")
    new = trial.rows(place.table, place.field)[len(before) :]
    happened = f"the job got {response.status}, and the worker wrote {new or 'nothing'}"
    expected: Rows = [(place.on_schedule,)]
    trial.expect(response.ok and new == expected, trial.if_known("no-cron"), happened, f"200, and {expected}")


def _expect_senders_admitted(trial: Trial, senders: Sequence[Sender]) -> None:
    """Require of 6.1 that the tasks of another action are admitted, and do their work."""
    for sender in senders:
        attempt = trial.step()
        _expect_sender(trial, sender, attempt.ok, f"got {attempt.status}")
    mailed = trial.rows("mailing", "article")[-len(senders) :]
    for sender in senders:
        is_mailed = (f"{sender.queue} {sender.method}",) in mailed
        _expect_sender(trial, sender, is_mailed, "was admitted, but its article was not mailed")


def _expect_sender(trial: Trial, row: Sender, condition: bool, happened: str) -> None:
    happened = f"the {row.method} task of the queue {row.queue} {happened}"
    trial.expect(condition, row.closed, happened, "a status of 200 to 299, and a mail")


def _expect_no_user(trial: Trial, row: Guarded, place: _Place, tasks: list[TaskInfo]) -> None:
    """Require that users can't call the worker, whatever headers they send."""
    before = trial.rows(place.table, place.field)
    if not row.what:
        for headers, sender, mistake in _FORGERIES:
            for method in ("POST",) if headers else ("GET", "POST"):
                response = _send(trial, place, method, headers)
                mistake = "still-open" if not headers and _names_header(trial) else mistake
                _expect_refused(trial, place, response, f"a {method} request of {sender}", mistake, before)
    if not row.what and place.on_schedule:
        response = trial.get(f"{place.controller}/{place.worker}", NO_COOKIE)
        _expect_refused(trial, place, response, "a user's GET request without params", "wide-open", before)
        response = trial.front_end_get(f"{place.controller}/{place.worker}", dict.fromkeys(_OF_USERS, "x"))
        sender = f"a user's request, to which App Engine adds headers such as {_OF_USERS[0]},"
        _expect_refused(trial, place, response, sender, trial.if_known("any-header"), before)
    for task in tasks if row.attacked else ():
        response = _replay(trial, task, _ALL)
        _expect_refused(trial, place, response, "a copy of the task with all headers", "together", before)
        response = _send(trial, place, "GET", {**NO_COOKIE, **_ALL})
        _expect_refused(trial, place, response, "a user's GET request with all headers", "together", before)
    left = trial.lab.tasks()
    if left:
        trial.run(may_fail=True)
        happened = f"users' requests added {quantity(len(left), 'task')}, which wrote rows"
        trial.expect(trial.rows(place.table, place.field) == before, "requeued", happened, "no row for a user")


def _names_header(trial: Trial) -> bool:
    """Return whether the learner's code names a header of the queue."""
    return any("http_x_appengine_" in text for text in trial.files.values())


def _send(trial: Trial, place: _Place, method: str, headers: Mapping[str, str]) -> Response:
    path, values = f"{place.controller}/{place.worker}", {place.field: "forged"}
    return trial.get(path, headers, **values) if method == "GET" else trial.post(path, values, headers)


def _expect_no_copy(trial: Trial, place: _Place, task: TaskInfo, before: Rows) -> None:
    """Require that users who send the same request as a task are refused."""
    own = {name: value for name, value in task.headers if not name.lower().startswith("x-appengine-")}
    own = {name: value for name, value in own.items() if name.lower() not in ("content-type", "host", "user-agent")}
    copies: tuple[tuple[Mapping[str, str], str, str], ...] = (
        ({}, "a copy of the task's URL and params", "secret"),
        (own, f"a copy of the task with its header {', '.join(own)}", "custom-header"),
        ({**own, **_CLOUD}, f"a copy of the task with the headers {', '.join(_CLOUD)}", "cloud-tasks"),
        ({**own, **_ALL}, "a copy of the task with all headers", "together"),
    )
    for headers, request, mistake in copies:
        if headers or mistake == "secret":
            _expect_refused(trial, place, _replay(trial, task, headers), request, mistake, before)


def _replay(trial: Trial, task: TaskInfo, headers: Mapping[str, str]) -> Response:
    """Send, as a user, the same request as the task."""
    if task.method == "GET":
        return trial.get(task.url, {**NO_COOKIE, **headers})
    types = {name: value for name, value in task.headers if name.lower() == "content-type"}
    return trial.post(task.url, task.body, {**NO_COOKIE, **(types or FORM), **headers})


def _expect_refused(
    trial: Trial, place: _Place, response: Response, sender: str, mistake: str | None, before: Rows
) -> None:
    """Require that a user's request was refused, and that no row is new."""
    worked = _has_written(response) and trial.rows(place.table, place.field) != before
    happened = f"{sender} got {response.status}, and the worker wrote {'a row' if worked else 'nothing'}"
    expected = "403, and no row" if place.needs_403 else "no row"
    trial.expect(not worked, mistake if response.ok else "too-late", happened, expected)
    if place.needs_403:
        trial.expect(response.status == 403, trial.if_known("other-status"), happened, expected)


def _has_written(response: Response) -> bool:
    return any("INSERT" in statement.upper() for statement in response.sql)
