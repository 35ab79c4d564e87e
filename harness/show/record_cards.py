"""The cards of requests and responses, and of what they contain: routes, tickets and frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

from harness.records import Frame, Headers, Request, Response, Route, Ticket, Turn, find_header
from harness.show.card import Card, Fact, card, fact
from harness.show.text import LONG, clock, duration, literal, of_bytes

_FORM = "application/x-www-form-urlencoded"
_INVISIBLE = re.compile(r"(?si)<(title|script|style)\b.*?</\1\s*>|<!--.*?-->|<[^<>]*>")  # in a browser
_SHOWN = ("location", "content-type", "retry-after")  # headers of a response
_STOPPED = {"virtual": "at its deadline (virtual time)", "real": "because it used the processor for too long"}
_SHUT_DOWN = "because its instance was shut down"


def frame_card(frame: Frame) -> Card:
    """Return the card of a frame: the location and the line of code."""
    return card(place(frame), [fact("code", frame.source.strip(), code=True)], line=f"Frame {place(frame)}")


def place(frame: Frame) -> str:
    """Return the location of a line: "tutorial/controllers/default.py, line 4, in task_do"."""
    return frame.where if frame.function in ("", "<module>") else f"{frame.where}, in {frame.function}"


def ticket_card(ticket: Ticket) -> Card:
    """Return the card of a ticket: the exception and the learner's lines. The id is omitted because it is random."""
    title, *lines = _ticket_lines(ticket)
    return card(title, [fact("where", lines, code=True)], line=f"Ticket {title}, {ticket.where}")


def _ticket_lines(ticket: Ticket) -> Iterator[str]:
    """Yield the exception, then the location and the code of each frame."""
    yield f"{ticket.exception}: {ticket.message}" if ticket.message else ticket.exception
    for frame in ticket.frames:
        yield place(frame)
        if frame.source.strip():
            yield f"    {frame.source.strip()}"


def route_card(route: Route) -> Card:
    """Return the card of a route: the action that web2py chose, and its `request.args` and variables."""
    names = ("application", "controller", "function", "extension")
    facts = [*(fact(name, getattr(route, name)) for name in names), *_route_facts(route)]
    return card(f"action {route.action}", facts, line=f"Route {route.action}")


def _route_facts(route: Route) -> list[Fact | None]:
    """Return the facts of `request.args` and the variables; `request.vars` is written only if it differs."""
    mappings = {"request.get_vars": route.get_vars, "request.post_vars": route.post_vars}
    same = [name for name, mapping in mappings.items() if mapping and dict(mapping) == dict(route.vars)]
    return [
        fact("request.args", literal(list(route.args)) if route.args else "", code=True),
        *(fact(name, pairs(mapping.items()), code=True) for name, mapping in mappings.items()),
        fact("request.vars", f"the same as {same[0]}" if same else pairs(route.vars.items()), code=not same),
    ]


def pairs(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Yield "name = 'value'" for each pair of a name and a value."""
    return (f"{name} = {literal(value)}" for name, value in items)


def request_card(request: Request) -> Card:
    """Return the card of a request as it is sent: the host, the sender, the headers and the body."""
    title = f"{request.method} {request.url}"
    facts = [
        fact("host", request.host),
        fact("from", request.remote_addr),
        fact("headers", header_lines(request.headers)),
        fact("body", of_bytes(request.body), code=True),
    ]
    return card(title, facts, line=f"Request {title}")


def header_lines(headers: Headers) -> Iterator[str]:
    """Yield "Name: value" for each header; the values of cookies, which are random, and of tokens are hidden."""
    for name, value in headers:
        if name.lower() in ("cookie", "set-cookie"):
            yield f"{name}: {value.partition('=')[0]}=…"
        elif name.lower() == "authorization":
            yield f"{name}: {value.partition(' ')[0]} …"
        elif value and name.lower() != "content-length":
            yield f"{name}: {value}"


def params(url: str, headers: Headers, body: bytes) -> list[tuple[str, str]]:
    """Return the decoded parameters of a request, from a form in its body or, if the body is empty, from its URL."""
    is_form = (find_header(headers, "content-type") or "").startswith(_FORM)
    if body and not is_form:
        return []
    try:
        return parse_qsl(body.decode("utf-8", "replace") if body else url.partition("?")[2], keep_blank_values=True)
    except ValueError:  # parse_qsl limits the number of fields
        return []


def response_card(response: Response) -> Card:
    """Return the card of a response, with what the harness recorded while the handler ran."""
    title = status(response)
    if response.request is not None:
        title += f" for {response.request.method} {response.request.url}"
    facts = [
        *reasons(response),
        fact("at", clock(response.started) if response.started else ""),
        fact("took", duration(response.elapsed)),
        fact("action", response.route.action if response.route else ""),
        *response_facts(response),
        fact("headers", header_lines(tuple(pair for pair in response.headers if pair[0].lower() in _SHOWN))),
    ]
    return card(title, facts, line=f"Response {title}")


def status(response: Response) -> str:
    """Return the status line: "200 OK", or "no response" if the handler was stopped or killed."""
    return f"{response.status} {response.reason}".rstrip() if response.status else "no response"


def symbol(response: Response) -> str:
    """Return ✓ for a success and ✗ for a failure. The text beside it has the same meaning."""
    return "✓" if response.ok else "✗"


def reasons(response: Response) -> list[Fact | None]:
    """Return the facts that explain a failure."""
    return [
        fact("why", response.hint),
        fact("stopped", _SHUT_DOWN if response.killed else _STOPPED.get(response.deadline or "", "")),
        fact("ticket", _ticket_lines(response.ticket) if response.ticket else "", code=True),
    ]


def _turn(turn: Turn) -> str:
    return f"{turn.number:>3}  {turn.statement}" + (f" ({turn.result})" if turn.result else "")


def response_facts(response: Response) -> list[Fact | None]:
    """Return the facts about a handler's run (variables, SQL, output) and its result (returned values and a body)."""
    return [
        *(_route_facts(response.route) if response.route else ()),
        fact("SQL", () if response.turns else response.sql, code=True),
        fact("turns", map(_turn, response.turns), code=True),
        fact("printed", response.output, code=True),
        fact("returned", pairs(response.vars.items()), code=True),
        None if response.ticket and not response.ok else _body(response),  # web2py's error page
    ]


def _body(response: Response) -> Fact | None:
    """Return the fact of a body: JSON without escapes, the visible text of an HTML page, or the text as it is."""
    text = of_bytes(response.body)
    with suppress(ValueError, RecursionError):
        if (response.header("content-type") or "").startswith("application/json"):
            return fact("json", json.dumps(json.loads(text), ensure_ascii=False), code=True)
    if "<html" in text[:1000].lower():
        return fact("page", " ".join(unescape(_INVISIBLE.sub(" ", text[:LONG])).split()))
    return fact("text", text, code=True)
