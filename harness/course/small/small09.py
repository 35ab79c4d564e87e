"""The checks of lesson 09's small exercises. Their texts are in small09.toml."""

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import NO_COOKIE, own_instance
from harness.course.trial import Trial
from harness.show.text import shorten

_PLACE = "projects/tutorial/locations/us-central1"
_CLOUD = {"cloud_tasks": True}
_PRINTER = "https://print.example.com"
_UNUSUAL = " Fähre spa\u0308t:\r\n“wieder” & <i>%40</i>\n" + "Ebbe, " * 99
_TYPE = "text/plain;charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deployments(Scenario):
    """Deployments, each of which requests `prepare` once. After the first one, a task waits in the queue.

    `others` are queues that exist before the first deployment.
    """

    count: int = 1
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts(Scenario):
    """Orders of pages with these texts, all of them before the first task runs."""

    texts: tuple[str, ...]


def _prepare(trial: Trial, row: _Deployments) -> None:
    client = trial.lab.cloud_tasks_client()
    for name in row.others:
        client.create_queue(parent=_PLACE, queue={"name": f"{_PLACE}/queues/{name}"})
    right = {"default", "letters", *row.others}
    for number in range(row.count):
        with own_instance(trial):
            response = trial.get("ex9_x/prepare", NO_COOKIE)
        happened = f"the request of deployment {number + 1} got {response.status}"
        trial.expect(response.ok, "again", happened, "a status of 200 to 299")
        found = {queue.name.rpartition("/")[2]: queue for queue in client.list_queues(parent=_PLACE)}
        mistake = "other-queue" if "letters" in found else "not-created"
        happened, expected = f"the queues are {', '.join(found)}", f"the queues {', '.join(sorted(right))}"
        trial.expect(set(found) == right, mistake, happened, expected)
        limits, state = found["letters"].rate_limits, found["letters"].state.name
        rate, together = limits.max_dispatches_per_second, limits.max_concurrent_dispatches
        trial.expect(rate == 3, "rate", f"the queue letters starts {rate:g} tasks per second", "3 tasks per second")
        trial.expect(together == 2, "concurrency", f"{together} tasks of the queue may run at the same time", "2 tasks")
        if not number:
            task = {"app_engine_http_request": {"relative_uri": "/letter"}}
            client.create_task(parent=f"{_PLACE}/queues/letters", task=task)
        trial.expect(state == "RUNNING", "paused", f"the state of the queue letters is {state}", "RUNNING")
        waiting = len(trial.lab.tasks("letters"))
        trial.expect(waiting == 1, "lost", f"{waiting} tasks wait in the queue letters", "the task that was waiting")


def _print(trial: Trial, row: _Texts) -> None:
    got = list[tuple[str, str, bytes]]()

    def printer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, scheme, path = environ["REQUEST_METHOD"], environ["wsgi.url_scheme"], environ["PATH_INFO"]
        got.append(
            (
                f"{method} {scheme}://print.example.com{path}",
                environ.get("CONTENT_TYPE", ""),
                environ["wsgi.input"].read(),
            )
        )
        start_response("200 OK", [])
        return []

    trial.lab.mount(_PRINTER, printer)
    for text in row.texts:
        trial.get("ex9_y/order", text=text)
    for _ in trial.lab.tasks():
        trial.step()
    requests = [request for request, _, _ in got]
    happened = f"the requests to the printer were {', '.join(requests) or 'none'}"
    sent = bool(requests) and all(request.endswith(f" {_PRINTER}/pages") for request in requests)
    mistake = "not-sent" if not sent else "method" if len(requests) == len(row.texts) else "not-each"
    wanted = [f"POST {_PRINTER}/pages"] * len(row.texts)
    trial.expect(requests == wanted, mistake, happened, f"POST {_PRINTER}/pages for each order")
    for text, (_, kind, body) in zip(row.texts, got, strict=True):
        mistake = "base64" if body != text.encode() and body == _as_base64(text) else "other-body"
        happened, expected = (shorten(repr(each), 110) for each in (body, text.encode()))
        trial.expect(body == text.encode(), mistake, f"the body was {happened}", expected)
        right = "".join(kind.lower().split()) == _TYPE
        trial.expect(right, "content-type", f"the Content-Type was {kind!r}", "text/plain; charset=utf-8")


def _as_base64(text: str) -> bytes | None:
    """Return the bytes that the client makes of a string, or None if it refuses the string."""
    try:
        return b64decode(text.encode())
    except ValueError:
        return None


RUNS = {
    "9.x": (
        _prepare,
        (
            _Deployments(lab=_CLOUD),
            _Deployments(
                what="the application is deployed again while a task waits in the queue",
                patterns=frozenset({Pattern.EQUAL_INPUT}),
                lab=_CLOUD,
                count=2,
                others=("mail", "archive"),
            ),
        ),
    ),
    "9.y": (
        _print,
        (
            _Texts(texts=("Ferry late",), lab=_CLOUD),
            _Texts(
                what="three pages are ordered, two of them with the same long text of unusual characters",
                patterns=frozenset({Pattern.STRINGS, Pattern.TWO_USERS}),
                lab=_CLOUD,
                texts=(_UNUSUAL, "page", _UNUSUAL),
            ),
        ),
    ),
}
