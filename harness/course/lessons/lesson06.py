"""The checks of lesson 06, Who may call `task_do`? Their texts are in lesson06.toml."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import new
from urllib.parse import unquote_plus

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import NO_COOKIE, letters
from harness.course.trial import Rows, Trial
from harness.records import Response, TaskInfo
from harness.show.text import shorten

_AGENT = {"User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)"}
_ADDRESS = {"X-Forwarded-For": "0.1.0.2"}
_QUEUE = {
    "X-AppEngine-QueueName": "default",
    "X-AppEngine-TaskName": "task1",
    "X-AppEngine-TaskRetryCount": "0",
    "X-AppEngine-TaskExecutionCount": "0",
}
_FORGERIES = (
    ("GET", None, "a user's plain request", "wide-open"),
    ("POST", None, "a user's plain request", "wide-open"),
    ("GET", NO_COOKIE, "a user's request without a cookie", "cookie"),
    ("GET", _AGENT, "with the queue's User-Agent", "user-agent"),
    ("GET", _ADDRESS, "with X-Forwarded-For: 0.1.0.2", "address"),
)
_TWO_QUEUES = "queue:\n- name: default\n  rate: 5/s\n- name: letters\n  rate: 5/s\n"
_SENDER = """
from google.appengine.api import taskqueue

def index():
    taskqueue.add(url=URL('ex6_1', 'mail'), params=dict(article=request.vars['article']), queue_name='letters')
    return 'added'
"""
_SUBSCRIBERS = """
def index():
    for email, token in {cards!r}:
        db.subscriber.insert(email=email, token=token)
    db(db.subscriber.id == 2).delete()
    return 'filled'

def change():
    number = int(request.vars.id) - 1
    subscriber = db(db.subscriber.id == request.vars.id)
    subscriber.update(email='vera%s@example.org' % number, token='tok-%s' % (8150 + number))
"""
_MAILED = ("mailing", "article")  # a table, and the fields that a check reads
_GIFTS = ("free_month", "reader")
_CHARGED = ("charged", "email", "card")
_CARDS = [(f"ebbe{number}.larsen@example.com", f"tok-zq{number}-{4711 + number}") for number in range(4)]
_OTHER_CARDS = [(f"Kim-{number}@mail.test", f"XK{number}_{90536 - 7 * number}") for number in range(4)]  # other letters


def _expect_admitted(trial: Trial, mistake: str, table: tuple[str, ...], expected: Rows) -> None:
    """Run the task that waits, and require that its worker succeeds and that the table then contains these rows."""
    attempt = trial.step()
    trial.expect_ok(attempt, mistake, f"the task of the queue {attempt.task.queue} ended with")
    trial.expect_equal(trial.rows(*table), expected, trial.if_known("no-work"), f"{table[0]} contains")


def _task_only(trial: Trial, _: Scenario) -> None:
    trial.lab.write("queue.yaml", _TWO_QUEUES)
    trial.lab.write("controllers/sender.py", _SENDER)
    answer = trial.get("ex6_1/publish", article="Möwen")
    trial.expect_ok(answer, "at-definition", "a user's request to publish got", ", and a task in the queue")
    _expect_admitted(trial, "shut-out", _MAILED, [("Möwen",)])
    _expect_refused(trial, {}, "wide-open")
    forged = ((NO_COOKIE, "cookie"), (_QUEUE, "wide-open"), (_AGENT, "user-agent"), (_ADDRESS, "address"))
    for headers, mistake in forged:
        _expect_refused(trial, headers, mistake)
    trial.get("sender/index", article="Ebbe")
    _expect_admitted(trial, "one-queue", _MAILED, [("Möwen",), ("Ebbe",)])


def _expect_refused(trial: Trial, headers: Mapping[str, str], mistake: str) -> None:
    without = "a user without a cookie" if headers else "a user"
    sender = f"a user who sends {', '.join(headers)}" if any(headers.values()) else without
    for method in ("GET", "POST"):
        answer = _send(trial, method, "ex6_1/mail", {"article": "forged"}, headers)
        worked = len(trial.rows(*_MAILED)) > 1
        key = mistake if answer.ok and worked else "too-late" if worked else "other-status"
        happened = f"{sender} got {answer.status}, and the article was {'' if worked else 'not '}mailed"
        trial.expect(answer.status == 403 and not worked, key, happened, "403, and no mail")


def _send(
    trial: Trial, method: str, path: str, values: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Response:
    return trial.get(path, headers, **values) if method == "GET" else trial.post(path, values, headers)


def _replay(trial: Trial, task: TaskInfo, headers: Mapping[str, str]) -> Response:
    """Send, as a user, the same request as the task."""
    if task.method == "GET":
        return trial.get(task.url, {**NO_COOKIE, **headers})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return trial.post(task.url, task.body, {**NO_COOKIE, **form, **headers})


def _forged(trial: Trial, _: Scenario) -> None:
    trial.get("ex6_2/order", reader="Grüße")
    task = trial.one_task(missing=None)
    expected: Rows = [("Grüße",)]
    _expect_admitted(trial, "shut-out", _GIFTS, expected)
    own = {name: value for name, value in task.headers if not name.lower().startswith("x-appengine-")}
    own = {name: value for name, value in own.items() if name.lower() not in ("content-type", "host", "user-agent")}
    for method, headers, request, mistake in _FORGERIES:
        answer = _send(trial, method, "ex6_2/gift", {"reader": "me"}, headers)
        _expect_no_gift(trial, answer, request, mistake, expected)
    everything = {**own, **_AGENT, **_ADDRESS, **_QUEUE}
    copies = (
        (dict[str, str](), "a copy of the task's URL and params", "secret"),
        (own, f"a copy with the headers {', '.join(own)}", "custom-header"),
        (everything, "a copy with all headers", "together"),
    )
    for copied, request, mistake in copies:
        _expect_no_gift(trial, _replay(trial, task, copied), request, mistake, expected)
    trial.get("ex6_2/order", reader="Ebbe")
    copy = _replay(trial, trial.one_task(missing=None), own)
    _expect_no_gift(trial, copy, "a copy of a task that still waits", "secret", expected)


def _expect_no_gift(trial: Trial, answer: Response, request: str, mistake: str | None, rows: Rows) -> None:
    happened = f"{request} got {answer.status} and recorded a free month"
    trial.expect(trial.rows(*_GIFTS) == rows, mistake, happened, "403, and no free month")


def _encodings(text: str) -> tuple[str, ...]:
    raw = text.encode()
    hashes = (new(name, raw).hexdigest() for name in ("md5", "sha1", "sha256"))
    return b64encode(raw).decode().rstrip("=")[:-1], raw.hex(), text[::-1], *hashes


def _leaking(trial: Trial, _: Scenario) -> None:
    tasks = _renewals(trial, _CARDS)
    with trial.again() as other:
        others = _renewals(other, _OTHER_CARDS)
    for task, same in zip(tasks, others, strict=True):
        for (part, first), second in zip(_contents(task).items(), _contents(same).values(), strict=True):
            texts = f"{shorten(str(first), 60)} and {shorten(str(second), 60)}"
            happened = f"for the same id and two different cards, {part} of the task differs: {texts}"
            trial.expect(first == second, "disguised", happened, "two equal tasks")


def _contents(task: TaskInfo) -> dict[str, object]:
    """Return the parts of a task in which a secret may be passed on."""
    return {
        "the URL": task.url,
        "the body": task.text,
        "the headers": task.headers,
        "the name": task.name,
        "the method": task.method,
        "the tag": task.tag,
        "the queue": task.queue,
        "the delay": task.eta - task.created,
    }


def _renewals(trial: Trial, cards: list[tuple[str, str]]) -> list[TaskInfo]:
    """Require that three subscribers' cards are charged as they are at that moment; return the tasks."""
    trial.lab.write("controllers/subscribers.py", _SUBSCRIBERS.format(cards=cards))
    trial.lab.get("subscribers/index")
    charged: Rows = []
    tasks = []
    for number, row_id in ((2, 3), (0, 1), (3, 4)):
        email, token = cards[number]
        trial.get("ex6_3/renew", id=row_id)
        trial.expect_nothing_new(charged, *_CHARGED)
        task = trial.one_task(missing="not-queued")
        tasks.append(task)
        _expect_no_leak(trial, task, email, token)
        trial.lab.get("subscribers/change", id=row_id)
        trial.succeed(trial.step(), "wrong-address")
        trial.called = "renew, a change of the subscriber's e-mail and card, and lab.step()"
        stale = [*charged, (email, token[-4:])]
        charged.append((f"vera{number}@example.org", str(8150 + number)))
        rows = trial.rows(*_CHARGED)
        trial.expect_equal(rows, charged, "disguised" if rows == stale else "wrong-card", "the charged cards are")
    return tasks


def _expect_no_leak(trial: Trial, task: TaskInfo, email: str, token: str) -> None:
    carried = unquote_plus(" ".join((task.name, task.url, task.text, repr(task.headers), task.tag or "")))
    hidden = any(text in carried for secret in (email, token) for text in _encodings(secret))
    leak = "token" if token in carried else "email" if email in carried else "disguised" if hidden else None
    parts = [token[-4:], *map(letters, email.split("@"))]
    if leak is None and any(part in text for part in parts for text in (carried, letters(carried))):
        leak = "part"
    carries = f"the task carries {task.text or task.url}"
    trial.expect(leak is None, leak, carries, "neither the e-mail nor the token in it")


RUNS = {"6.1": (_task_only, (Scenario(),)), "6.2": (_forged, (Scenario(),)), "6.3": (_leaking, (Scenario(),))}
