"""How a request and a response are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl

from harness.records import Frame, Headers, Request, Response, Route, Ticket, find_header
from harness.show.card import Card, Fact, card, fact
from harness.show.text import LONG, clock, duration, literal, of_bytes


def frame_card(frame: Frame) -> Card:
    """Show where a line stands, and the line."""
    return card(place(frame), [fact("code", frame.source.strip(), code=True)], line=f"Frame {place(frame)}")


def place(frame: Frame) -> str:
    """Return "tutorial/controllers/default.py, line 4, in task_do"."""
    return frame.where if frame.function in ("", "<module>") else f"{frame.where}, in {frame.function}"


def ticket_card(ticket: Ticket) -> Card:
    """Show the exception, and the learner's lines that led to it; no ticket id, it differs from run to run."""
    title = complaint(ticket)
    return card(title, [fact("where", frame_lines(ticket), code=True)], line=f"Ticket {title}, {ticket.where}")


def complaint(ticket: Ticket) -> str:
    """Return "ZeroDivisionError: division by zero"."""
    return f"{ticket.exception}: {ticket.message}" if ticket.message else ticket.exception


def frame_lines(ticket: Ticket) -> Iterator[str]:
    """Yield the frames of a ticket, outermost first, each with its source line below."""
    for frame in ticket.frames:
        yield place(frame)
        if frame.source.strip():
            yield f"    {frame.source.strip()}"


def route_card(route: Route) -> Card:
    """Show which action web2py chose, and what it put into `request`."""
    facts = [
        fact("application", route.application),
        fact("controller", route.controller),
        fact("function", route.function),
        fact("extension", route.extension),
        *route_facts(route),
    ]
    return card(f"action {route.action}", facts, line=f"Route {route.action}")


def route_facts(route: Route) -> list[Fact | None]:
    """Show `request.args` and the variables; one mapping that equals another is not written twice."""
    mappings = {"request.get_vars": route.get_vars, "request.post_vars": route.post_vars}
    same = [name for name, some in mappings.items() if some and dict(some) == dict(route.vars)]
    everything: Iterator[str] | str = f"the same as {same[0]}" if same else pairs(route.vars)
    return [
        fact("request.args", literal(list(route.args)) if route.args else "", code=True),
        *(fact(name, pairs(some), code=True) for name, some in mappings.items()),
        fact("request.vars", everything, code=not same),
    ]


def pairs(mapping: Mapping[str, Any]) -> Iterator[str]:
    """Yield "name = 'value'" for each variable."""
    return (f"{name} = {literal(value)}" for name, value in mapping.items())


FORM = "application/x-www-form-urlencoded"
_HIDDEN = {"title", "script", "style"}
_SHOWN = ("location", "content-type", "retry-after")
_STOPPED = {
    "virtual": "stopped at its deadline (virtual time)",
    "real": "stopped: it kept the processor busy for too long",
}


def request_card(request: Request) -> Card:
    """Show a request as it goes over the wire."""
    title = f"{request.method} {request.url}"
    return card(title, request_facts(request), line=f"Request {title}")


def request_facts(request: Request) -> list[Fact | None]:
    """Show the host, the sender, the headers and the body."""
    return [
        fact("host", request.host),
        fact("from", request.remote_addr),
        fact("headers", header_lines(request.headers)),
        fact("body", of_bytes(request.body), code=True),
    ]


def header_lines(headers: Headers) -> Iterator[str]:
    """Yield "Name: value" for each header that says something; of a cookie only its name, its value is random."""
    for name, value in headers:
        if name.lower() in ("cookie", "set-cookie"):
            yield f"{name}: {value.partition('=')[0]}=…"
        elif value and name.lower() != "content-length":
            yield f"{name}: {value}"


def params(url: str, headers: Headers, body: bytes) -> list[tuple[str, str]]:
    """Decode the parameters of a request: those in a form-encoded body, else, without a body, those in the URL."""
    if body and (find_header(headers, "content-type") or "").startswith(FORM):
        return _decoded(body.decode("utf-8", "replace"))
    return [] if body else _decoded(url.partition("?")[2])


def _decoded(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True)
    except ValueError:  # more fields than it allows
        return []


def param_lines(url: str, headers: Headers, body: bytes) -> Iterator[str]:
    """Yield "name = 'value'" for each parameter."""
    return (f"{name} = {literal(value)}" for name, value in params(url, headers, body))


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
        fact("why", response.hint),
        fact("stopped", _STOPPED.get(response.deadline or "", response.deadline or "")),
        fact("ticket", [complaint(ticket), *frame_lines(ticket)] if ticket else "", code=True),
        fact("returned", pairs(response.vars), code=True),
        None if ticket else _body(response),
    ]


def _body(response: Response) -> Fact | None:
    """Show what came back: of a page the words that a browser shows, JSON without escapes, other text as it is."""
    text = of_bytes(response.body)
    with suppress(ValueError, RecursionError):
        if (response.header("content-type") or "").startswith("application/json"):
            return fact("json", json.dumps(json.loads(text), ensure_ascii=False), code=True)
    with suppress(AssertionError):  # Python 3.11's parser, of a declaration that is none
        if "<html" in text[:1000].lower():
            return fact("page", _words(text[:LONG]))
    return fact("text", text, code=True)


def _words(page: str) -> str:
    parser = _Page()
    parser.feed(page)
    return " ".join(parser.words)


class _Page(HTMLParser):
    """Reads the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden = tag in _HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data.split()
