"""How a request and a response are shown. `python -m harness.display.exchange` shows one each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import parse_qsl

from harness.display.card import Card, Fact, card, fact
from harness.display.code import complaint, frame_lines, pairs, route_facts
from harness.display.times import clock, duration
from harness.display.values import literal, of_bytes
from harness.records import Headers, Request, Response, find_header

FORM = "application/x-www-form-urlencoded"
_COUNTED = {"content-length"}  # says nothing that the body does not say
_SHOWN = ("location", "content-type", "retry-after")
_STOPPED = {
    "virtual": "stopped at its deadline (virtual time)",
    "real": "stopped: it kept the processor busy for too long",
}


def request_card(request: Request) -> Card:
    """Show a request as it goes over the wire."""
    title = f"{request.method} {request.url}"
    return card(title, [fact("host", request.host), *request_facts(request)], line=f"Request {title}")


def request_facts(request: Request) -> list[Fact | None]:
    """Show the sender, the headers and the body."""
    return [
        fact("from", request.remote_addr),
        fact("headers", header_lines(request.headers)),
        fact("body", of_bytes(request.body), code=True),
    ]


def header_lines(headers: Headers) -> Iterator[str]:
    """Yield "Name: value" for each header but the length; of a cookie only its name, its value is random."""
    for name, value in headers:
        if name.lower() in ("cookie", "set-cookie"):
            yield f"{name}: {value.partition('=')[0]}=…"
        elif name.lower() not in _COUNTED:
            yield f"{name}: {value}"


def params(method: str, url: str, headers: Headers, body: bytes) -> list[tuple[str, str]]:
    """Decode the parameters of a request: those in a form-encoded body, else, without a body, those in the URL."""
    if body and (find_header(headers, "content-type") or "").startswith(FORM):
        return _decoded(body.decode("utf-8", "replace"))
    return [] if body else _decoded(url.partition("?")[2])


def _decoded(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True)
    except ValueError:  # more fields than it allows
        return []


def param_lines(method: str, url: str, headers: Headers, body: bytes) -> Iterator[str]:
    """Yield "name = 'value'" for each parameter."""
    return (f"{name} = {literal(value)}" for name, value in params(method, url, headers, body))


def response_card(response: Response) -> Card:
    """Show an answer, and what the harness saw while it was made."""
    title = status(response)
    if response.request is not None:
        title += f" for {response.request.method} {response.request.url}"
    headers = tuple(pair for pair in response.headers if pair[0].lower() in _SHOWN)
    facts = [
        fact("at", clock(response.started) if response.started else ""),
        fact("took", duration(response.elapsed)),
        fact("action", response.route.action if response.route else ""),
        *response_facts(response),
        fact("headers", header_lines(headers)),
    ]
    return card(title, facts, line=f"Response {title}")


def status(response: Response) -> str:
    """Return "200 OK"; in words where the handler was stopped before it could answer."""
    if not response.status:
        return "no answer"
    return f"{response.status} {response.reason}".rstrip()


def response_facts(response: Response) -> list[Fact | None]:
    """Show what ran (variables, SQL, prints) and what came of it (a ticket, or the returned values and the text)."""
    ticket = response.ticket
    return [
        *(route_facts(response.route) if response.route else ()),
        fact("SQL", response.sql, code=True),
        fact("printed", response.output, code=True),
        fact("stopped", _STOPPED.get(response.deadline or "", response.deadline or "")),
        fact("ticket", [complaint(ticket), *frame_lines(ticket)] if ticket else "", code=True),
        fact("returned", pairs(response.vars), code=True),
        fact("text", "" if ticket else _page(response), code=True),
    ]


def _page(response: Response) -> str:
    """Return the body, without the empty lines that templates leave; JSON without escapes."""
    text = of_bytes(response.body)
    if (response.header("content-type") or "").startswith("application/json"):
        try:
            return json.dumps(json.loads(text), ensure_ascii=False)
        except ValueError:
            return text
    return "\n".join(line for line in text.split("\n") if line.strip())


if __name__ == "__main__":
    from harness.display.example import RESPONSES

    print(RESPONSES[0].request, RESPONSES[0], sep="\n\n")
