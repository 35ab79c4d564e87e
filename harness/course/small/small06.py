"""The checks of lesson 06's small exercises. Their texts are in small06.toml."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import NO_COOKIE, by_text, values_of
from harness.course.trial import Rows, Trial
from harness.records import Response

_AGENT = {"User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)"}
_ADDRESS = {"X-Forwarded-For": "0.1.0.2"}
_FORGERIES: tuple[tuple[Mapping[str, str], str], ...] = (({}, "open"), (_AGENT, "user-agent"), (_ADDRESS, "address"))
_QUEUES = "queue:\n- name: default\n  rate: 5/s\n- name: letters\n  rate: 5/s\n"
_SENDER = """
from google.appengine.api import taskqueue

def index():
    taskqueue.add(url=URL('ex6_x', 'deliver'), params=dict(issue=7), queue_name=request.vars.queue)
    return 'added'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calls(Scenario):
    """A task of a queue, and requests of strangers. If `forged_together` has headers, one stranger sends them all."""

    queue: str = "default"
    forged_together: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Readers(Scenario):
    """Readers who choose a town, and order after all of them have chosen; `towns` contains the town of each."""

    towns: tuple[str, ...]


def _refuse(trial: Trial, row: _Calls) -> None:
    trial.lab.write("controllers/sender.py", _SENDER)
    trial.lab.get("sender/index", queue=row.queue)
    attempt = trial.step()
    delivered: Rows = [("delivered", "7")]
    found = trial.rows()
    if not attempt.ok or found != delivered:
        is_open = trial.lab.get("ex6_x/deliver", issue=8).ok and trial.rows() != found
        mistake = "one-queue" if row.what else "inverted" if is_open else "shut-out"
        task = f"the task in the queue {row.queue}"
        happened = f"{task} ended with {attempt.status}, and its rows are {found or 'missing'}"
        trial.wrong(mistake, happened, "a status of 200 to 299, and one row")
    if row.forged_together:
        _expect_refused(trial, row.forged_together, "together", delivered)
        return
    for headers, mistake in _FORGERIES:
        _expect_refused(trial, headers, mistake, delivered)


def _expect_refused(trial: Trial, headers: Mapping[str, str], mistake: str, before: Rows) -> None:
    """Require that a stranger with these headers gets the status 403, and that no row is new."""
    sender = f"a stranger who sends {' and '.join(headers)}" if headers else "a stranger"
    for method in ("GET", "POST"):
        path, values = "ex6_x/deliver", {"issue": 8}
        response = trial.get(path, headers, **values) if method == "GET" else trial.post(path, values, headers)
        trial.expect_equal(trial.rows(), before, mistake, f"after a {method} request from {sender}, the rows were")
        happened = f"the status of the response was {response.status}"
        trial.expect(response.status == 403, "other-status", happened, "the status 403")


def _mail(trial: Trial, row: _Readers) -> None:
    readers = [_cookies(trial.get("ex6_y/choose", NO_COOKIE, town=town)) for town in row.towns]
    for count, cookies in enumerate(readers, 1):
        trial.get("ex6_y/order", cookies)
        tasks = trial.lab.tasks()
        trial.expect_tasks(tasks, count, None if len(tasks) > count else "not-queued")
    for _ in trial.lab.tasks():
        trial.succeed(trial.step())
    right: Rows = [("tide table", town) for town in row.towns]
    mistake = "shared" if row.what else "other-town"
    if any(town in ("", "None", None) for _, town in trial.rows()):
        mistake = "not-read" if row.towns[0] in values_of(trial.lab.attempts[0]) else "not-carried"
    trial.expect_equal(by_text(trial.rows()), by_text(right), mistake)


def _cookies(response: Response) -> dict[str, str]:
    """Return the header with which a browser sends a response's cookies back."""
    values = [value.partition(";")[0] for name, value in response.headers if name.lower() == "set-cookie"]
    return {"Cookie": "; ".join(values)}


RUNS = {
    "6.x": (
        _refuse,
        (
            _Calls(),
            _Calls(
                what="a task is in another queue, and a stranger sends all values of its request",
                patterns=frozenset({Pattern.ATTACKER, Pattern.KEYS}),
                lab={"queue_yaml": _QUEUES},
                queue="letters",
                forged_together={**_AGENT, **_ADDRESS, "X-AppEngine-QueueName": "letters"},
            ),
        ),
    ),
    "6.y": (
        _mail,
        (
            _Readers(towns=("Ebbehaven",)),
            _Readers(
                what="two readers with different towns order before the first task runs",
                patterns=frozenset({Pattern.TWO_USERS}),
                towns=("Ebbehaven", "Mølleby"),
            ),
        ),
    ),
}
