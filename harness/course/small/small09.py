"""The checks of lesson 09's small exercises. Their texts are in small09.toml."""

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.course.catalogue import Pattern, Scenario
from harness.course.trial import Trial

_PLACE = "projects/tutorial/locations/us-central1"
_CLOUD = {"cloud_tasks": True}
_PRINTER = "https://print.example.com"
_TYPE = "text/plain;charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deployments(Scenario):
    """Deployments, each of which requests `prepare` once. A task waits in the queue since the first of them."""

    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts(Scenario):
    """Orders of pages with these texts, all of them before the first task runs."""

    texts: tuple[str, ...]


def _prepare(trial: Trial, row: _Deployments) -> None:
    client = trial.lab.cloud_tasks_client()
    for number in range(row.count):
        trial.get("ex9_x/prepare")
        found = {queue.name.rpartition("/")[2]: queue.rate_limits for queue in client.list_queues(parent=_PLACE)}
        trial.expect("letters" in found, "not-created", f"the queues are {', '.join(found)}", "a queue letters")
        limits = found["letters"]
        rate, together = limits.max_dispatches_per_second, limits.max_concurrent_dispatches
        trial.expect(rate == 3, "rate", f"the queue letters starts {rate:g} tasks per second", "3 tasks per second")
        trial.expect(together == 2, "concurrency", f"{together} tasks of the queue may run at the same time", "2 tasks")
        if not number:
            task = {"app_engine_http_request": {"relative_uri": "/letter"}}
            client.create_task(parent=f"{_PLACE}/queues/letters", task=task)
        waiting = len(trial.lab.tasks("letters"))
        trial.expect(waiting == 1, "lost", f"{waiting} tasks wait in the queue letters", "the task that was waiting")


def _print(trial: Trial, row: _Texts) -> None:
    got = list[tuple[str, str, bytes]]()

    def printer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        got.append((f"{method} {path}", environ.get("CONTENT_TYPE", ""), environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return []

    trial.lab.mount(_PRINTER, printer)
    for text in row.texts:
        trial.get("ex9_y/order", text=text)
    for _ in trial.lab.tasks():
        trial.step()
    requests = [request for request, _, _ in got]
    happened = f"the requests to the printer were {', '.join(requests) or 'none'}"
    sent = bool(requests) and all(request.endswith(" /pages") for request in requests)
    mistake = "method" if sent and len(requests) == len(row.texts) else "not-sent"
    trial.expect(requests == ["POST /pages"] * len(row.texts), mistake, happened, "POST /pages for each order")
    for text, (_, kind, body) in zip(row.texts, got, strict=True):
        mistake = "base64" if body != text.encode() and body == _as_base64(text) else "other-body"
        trial.expect_equal(body, text.encode(), mistake, "the body was")
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
            ),
        ),
    ),
    "9.y": (
        _print,
        (
            _Texts(texts=("Ferry late",), lab=_CLOUD),
            _Texts(
                what="two pages are ordered, and their texts contain other letters and quotes",
                patterns=frozenset({Pattern.STRINGS, Pattern.TWO_USERS}),
                lab=_CLOUD,
                texts=("Fähre spät: “wieder”", "page"),
            ),
        ),
    ),
}
