"""The checks of lesson 09, Beyond taskqueue. Their texts are in lesson09.toml, and their rows in scenarios09.py."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from harness.course.checks.expectations import expect_no_work, instance, let_pass, tasks_of_request
from harness.course.checks.tokens09 import PLACE, SENDER, admits
from harness.course.scenarios.scenarios09 import DRAWS, OFFERS, PRINTS, Draws, Offers
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Request, Response, TaskInfo
from harness.show.text import shorten

_PARTNER = "https://partner.example.com"
_TARGET = f"{_PARTNER}/articles"
_LIMITS = {"max_dispatches_per_second": 0.1, "max_concurrent_dispatches": 1}
_APART = 10.0  # seconds between two requests to the partner
_UNNAMED = ("/", "/_ah/queue/default")  # the addresses of a task without a URL


def _together(trial: Trial, path: str, order: str, **query: Any) -> list[Response]:
    """Let two equal requests overlap, require that they create one task, and return their responses.

    The responses of a request that found the database locked aren't among them.
    """
    known = {task.identity for task in trial.lab.tasks()}
    request = Request("GET", f"/tutorial/{path}?{urlencode(query)}")
    both = trial.lab.overlap(request, request, order=order)
    trial.called = f"lab.overlap of two requests for GET {request.url}"
    answers = [each for each in (both.first, both.second) if isinstance(each, Response)]
    for ticket in (answer.ticket for answer in answers):
        if ticket is not None and ticket.exception != "OperationalError":
            trial.failed(ticket)
    tasks = [task for task in trial.lab.tasks() if task.identity not in known]
    happened = f"the two requests created {quantity(len(tasks), 'task')}"
    trial.expect(len(tasks) == 1, "looks-first" if tasks else None, happened, "one task")
    return [answer for answer in answers if answer.ticket is None]


@contextmanager
def _refused_calls(trial: Trial) -> Iterator[None]:
    """Let each call of the task queue's service fail, as if App Engine couldn't reach the service."""
    from google.appengine.api.taskqueue.taskqueue_service_bytes_pb2 import TaskQueueServiceError
    from google.appengine.runtime.apiproxy_errors import ApplicationError

    def refuse(call: str, request: Any) -> None:
        raise ApplicationError(TaskQueueServiceError.TRANSIENT_ERROR)

    listeners = trial.lab._engine.service.listeners
    listeners.append(refuse)
    try:
        yield
    finally:
        listeners.remove(refuse)


def _expect_no_promise(trial: Trial, path: str, **query: Any) -> None:
    """Require that a request reports an error if its task can't be added."""
    trial.called = f"as a user: GET /{path}?{urlencode(query)}"
    answer = trial.lab.get(path, **query)
    happened = f"no task could be added, and the response was {_said(answer)}"
    trial.expect(answer.status >= 400, "swallowed", happened, "an error, so that the editor can try again")


# 9.1


def _draw(trial: Trial, row: Draws) -> None:
    if row.fails:
        with _refused_calls(trial):
            _expect_no_promise(trial, "ex9_1/draw", week=row.presses[0].week)
    asked: set[str] = set()
    for press, order in zip(row.presses, row.orders, strict=False):
        answers = _together(trial, "ex9_1/draw", order, week=press.week)
        found = sorted(answer.text for answer in answers)
        is_right = len(found) < 2 or found == ["queued", "waiting"]
        trial.expect(is_right, "other-response", f"the responses were {found}", "one 'queued' and one 'waiting'")
        asked.add(press.week)
    for press in row.presses if not row.orders else ():
        for _ in range(press.steps):
            with instance(trial, row.elsewhere):
                _pick(trial, row)
        let_pass(trial, press.pause)
        drawn = (press.week,) in trial.rows("prize", "week")
        with instance(trial, row.elsewhere):
            answer, tasks, _ = tasks_of_request(trial, "ex9_1/draw", press.other, week=press.week)
        if not row.what:
            expect_no_work(trial, "prize")
        if press.week in asked:
            _expect_state(trial, row, answer, tasks, drawn)
        else:
            _expect_queued(trial, row, answer, tasks, asked)
        asked.add(press.week)
    while trial.lab.tasks() and len(trial.lab.attempts) < 2 * len(row.presses):
        with instance(trial, row.elsewhere):
            _pick(trial, row)
    trial.run()
    _expect_prizes(trial, trial.rows("prize", "week"), [(week,) for week in asked])


def _pick(trial: Trial, row: Draws) -> None:
    """Run the next attempt, which may fail only if the database is locked."""
    attempt = trial.step(may_fail=bool(row.models))
    ticket = attempt.response.ticket
    if ticket is None:
        trial.succeed(attempt, "wrong-address")
    elif "the database is locked" not in ticket.message:
        trial.failed(ticket)


def _expect_queued(trial: Trial, row: Draws, answer: Response, tasks: list[TaskInfo], asked: set[str]) -> None:
    """Require that the first request for a week queued one task."""
    mistake = "several-tasks" if tasks else _why_not_queued(trial, row, answer, asked)
    happened = f"the first request for this week queued {quantity(len(tasks), 'task')}, and it got {_said(answer)}"
    trial.expect(len(tasks) == 1, mistake, happened, "one task")
    happened, expected = f"the task's URL is {tasks[0].url}", "the URL of your action pick"
    trial.expect(tasks[0].url not in _UNNAMED, "no-address", happened, expected)
    _expect_answer(trial, answer, "queued", "other-response")


def _why_not_queued(trial: Trial, row: Draws, answer: Response, asked: set[str]) -> str:
    """Return why the first request for a week queued no task."""
    if asked:
        return row.early if answer.text == "drawn" else "fixed-name"
    with trial.again(cloud_tasks=True) as other:
        other.lab.get("ex9_1/draw", week="2012-36")
        return "only-cloud" if other.lab.tasks() else "not-queued"


def _expect_state(trial: Trial, row: Draws, answer: Response, tasks: list[TaskInfo], drawn: bool) -> None:
    """Require that a later request for a week queued nothing, and that its response is the state of the prize."""
    happened = f"a later request for this week queued {quantity(len(tasks), 'task')}"
    trial.expect(not tasks, "after-the-draw" if drawn else row.again, happened, "no other task for the same week")
    known = answer.text in ("drawn", "waiting")
    mistake = "other-response" if not known else row.undrawn if drawn else row.early
    _expect_answer(trial, answer, "drawn" if drawn else "waiting", mistake)


def _expect_answer(trial: Trial, answer: Response, text: str, mistake: str) -> None:
    trial.expect(answer.text == text, mistake, f"the response was {_said(answer)}", f"the response {text!r}")


def _said(answer: Response) -> str:
    return f"the status {answer.status} and the text {shorten(answer.text, 60)!r}"


def _expect_prizes(trial: Trial, found: Rows, right: Rows) -> None:
    """Require that the worker has written one row for each week."""
    mistake = "several-rows" if len(found) > len(right) else "no-row" if len(found) < len(right) else "no-values"
    trial.expect_equal(sorted(found, key=str), sorted(right), mistake, "prize contains")


# 9.3


@dataclass(slots=True)
class _Delivery:
    """A request that the partner's server got, with the claims of its token."""

    method: str
    kind: str
    body: bytes
    authorization: str
    claims: dict[str, Any]


@dataclass(slots=True, eq=False)
class _Server:
    """The partner's server, a WSGI application. It fails `failures` times for each task."""

    failures: int
    deliveries: list[_Delivery] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        claims = _claims(authorization.partition(" ")[2])
        self.deliveries.append(_Delivery(environ["REQUEST_METHOD"], kind, body, authorization, claims))
        fails = int(environ.get("HTTP_X_CLOUDTASKS_TASKRETRYCOUNT", 0)) < self.failures
        start_response("503 Service Unavailable" if fails else "200 OK", [])
        return []


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of an ID token, or {} if it isn't valid."""
    from google.auth import jwt  # slow, like the next module, because it imports cryptography

    from harness.appengine.id_tokens import certificates

    try:
        return dict(jwt.decode(token, certificates()))
    except ValueError:
        return {}


def _offer(trial: Trial, row: Offers) -> None:
    server = _Server(row.failures)
    trial.lab.mount(_PARTNER, server)
    queue = {"name": f"{PLACE}/queues/partner", "rate_limits": _LIMITS}
    if row.missing:
        _expect_no_promise(trial, "ex9_3/offer", article=row.offers[0].article, title=row.offers[0].title)
    trial.lab.cloud_tasks_client().create_queue(parent=PLACE, queue=queue)
    offered: dict[int, str] = {}
    usual: tuple[int, str] | None = None
    for offer, order in zip(row.offers, row.orders, strict=False):
        answers = _together(trial, "ex9_3/offer", order, article=offer.article, title=offer.title)
        found = sorted({(answer.status, answer.text) for answer in answers})
        trial.expect(len(found) < 2, "other-response", f"the responses were {found}", "two equal responses")
        offered[offer.article] = offer.title
    for offer in row.offers if not row.orders else ():
        if offer.sent:
            trial.run(may_fail=True)
        let_pass(trial, offer.pause)
        with instance(trial, row.elsewhere):
            answer, tasks, _ = tasks_of_request(
                trial, "ex9_3/offer", offer.other, article=offer.article, title=offer.title
            )
        if offer.article in offered:
            happened = f"a later request for this article created {quantity(len(tasks), 'task')}"
            trial.expect(not tasks, row.again, happened, "no other task for the same article")
        else:
            _expect_created(trial, tasks, bool(offered))
            offered[offer.article] = offer.title
        usual = usual or (answer.status, answer.text)
        happened, expected = f"the response was {_said(answer)}", f"{usual[0]}: {shorten(usual[1], 60)}, as before"
        trial.expect((answer.status, answer.text) == usual, "other-response", happened, expected)
    trial.run(may_fail=True)
    for delivery in server.deliveries:
        _expect_delivery(trial, delivery)
    _expect_contents(trial, row, server.deliveries, offered)
    _expect_pace(trial, list(trial.lab.attempts))


def _expect_created(trial: Trial, tasks: list[TaskInfo], is_later: bool) -> None:
    """Require that the first request for an article created one task, for the partner's server."""
    mistake = "several-tasks" if tasks else "fixed-name" if is_later else "not-queued"
    happened = f"the first request for this article created {quantity(len(tasks), 'task')}"
    trial.expect(len(tasks) == 1, mistake, happened, "one task")
    [task] = tasks
    happened = f"the task is sent to {task.url}"
    trial.expect(task.url == _TARGET, "old-target" if task.url.startswith("/") else "other-url", happened, _TARGET)
    trial.expect(task.queue == "partner", "wrong-queue", f"the task is in the queue {task.queue}", "the queue partner")


def _expect_delivery(trial: Trial, found: _Delivery) -> None:
    """Require what all requests to the partner have in common."""
    trial.called = "offer, and lab.run()"
    trial.expect(found.method == "POST", "other-method", f"the partner got a {found.method} request", "a POST request")
    happened = f"the partner got the body {shorten(repr(found.body), 80)}"
    trial.expect(found.body, "no-body", happened, "a JSON object")
    trial.expect(not _is_decoded(found.body), "text-body", happened, "a JSON object")
    happened = f"the partner got the Content-Type {found.kind or '(none)'}"
    trial.expect(found.kind == "application/json", "no-type", happened, "application/json")
    sent = shorten(found.authorization, 20) or "no header Authorization"
    is_access = found.authorization.startswith("Bearer ya29.")
    expected = "Authorization: Bearer, and a valid ID token"
    trial.expect(found.claims, "access-token" if is_access else "no-token", f"the partner got {sent}", expected)
    account, audience = found.claims.get("email"), found.claims.get("aud")
    trial.expect(account == SENDER, "other-account", f"the token is that of {account}", SENDER)
    trial.expect(audience == _PARTNER, "other-audience", f"the token's audience is {audience}", _PARTNER)


def _is_decoded(body: bytes) -> bool:
    """Return whether a body looks like JSON that was decoded as base64."""
    try:
        body.decode("ascii")
    except UnicodeDecodeError:
        return not body.lstrip().startswith(b"{")
    return False


def _expect_contents(trial: Trial, row: Offers, deliveries: list[_Delivery], offered: dict[int, str]) -> None:
    """Require that each article arrived, and that each attempt had the same body."""
    right = [{"article": str(article), "title": title} for article, title in offered.items()]
    found = [_parsed(delivery.body) for delivery in deliveries]
    wrong = [each for each in found if each not in right]
    happened = f"the partner got {shorten(str(wrong[0]) if wrong else str(found), 110)}"
    is_complete = not wrong and all(found.count(each) == row.failures + 1 for each in right)
    trial.expect(is_complete, row.content if wrong else "lost", happened, shorten(str(right), 110))


def _parsed(body: bytes) -> object:
    """Return the JSON of a body, or its text if it isn't JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _expect_pace(trial: Trial, attempts: list[Attempt]) -> None:
    gaps = [(after.started - before.started).total_seconds() for before, after in pairwise(attempts)]
    happened = f"the next request to the partner started after {min(gaps, default=_APART):g} s"
    trial.expect(min(gaps, default=_APART) >= _APART, "too-fast", happened, f"{_APART:g} s or more")


RUNS = {"9.1": (_draw, DRAWS), "9.2": (admits, PRINTS), "9.3": (_offer, OFFERS)}
