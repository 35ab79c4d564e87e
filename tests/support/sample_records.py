"""The history of a task as records: a user's request, a failed attempt, and a successful attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from harness.records import Attempt, Frame, Outcome, Request, Response, Route, TaskInfo, TaskState, Ticket

_START = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
_FILE = "tutorial/controllers/default.py"
_URL = "/tutorial/default/task_do"
_BODY = b"old=original+text&new=new+text"
_VARS = {"old": "original text", "new": "new text"}
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_SQL = "INSERT INTO mytable(old, new) VALUES ('original text', 'new text');"

RESPONSES = (
    Response(
        200,
        "OK",
        (("Content-Type", "text/html; charset=utf-8"),),
        b"<p>Saved.</p>",
        request=Request("GET", "/tutorial/default/gen_task"),
        started=_START,
        elapsed=0.2,
        route=Route("tutorial", "default", "gen_task"),
        vars={"message": "Saved."},
    ),
)

_ADDED = _START + timedelta(seconds=0.2)
_STORED = TaskInfo(
    name="task1",
    queue="default",
    method="POST",
    url=_URL,
    eta=_ADDED,
    created=_ADDED,
    headers=(_FORM,),
    body=_BODY,
    call_site=Frame(
        _FILE, 3, "gen_task", "taskqueue.add(url=URL('task_do'), params=dict(old='original text', new='new text'))"
    ),
)


def _attempt(number: int, task: TaskInfo, response: Response, outcome: Outcome, note: str = "") -> Attempt:
    headers = (
        ("User-Agent", "AppEngine-Google; (+http://code.google.com/appengine)"),
        _FORM,
        ("X-AppEngine-QueueName", task.queue),
        ("X-AppEngine-TaskName", task.name),
        ("X-AppEngine-TaskRetryCount", str(task.retries)),
    )
    request = Request("POST", _URL, headers, _BODY, remote_addr="0.1.0.2")
    retry = task.eta + timedelta(seconds=3.1) if outcome is Outcome.RETRY else None
    return Attempt(number, task, request, response, task.eta, outcome, retry, note)


_ROUTE = Route("tutorial", "default", "task_do", post_vars=_VARS, vars=_VARS)
_TICKET = Ticket(
    "1", "ConnectionError", "the partner's shop is down", (Frame(_FILE, 9, "task_do", "tell_partner(row)"),)
)
_FAILED = Response(500, "INTERNAL SERVER ERROR", elapsed=3.0, route=_ROUTE, sql=(_SQL,), ticket=_TICKET)
_GOOD = Response(200, "OK", (), b"saved", elapsed=0.5, route=_ROUTE, sql=(_SQL,), output="told the partner\n")

_first = _attempt(1, _STORED, _FAILED, Outcome.RETRY, "status 500")
_again = replace(_STORED, eta=_ADDED + timedelta(seconds=3.1), retries=1, executions=1, first_try=_ADDED)
ATTEMPTS = (_first, _attempt(2, _again, _GOOD, Outcome.DONE))
TASK = replace(_again, state=TaskState.DONE)
