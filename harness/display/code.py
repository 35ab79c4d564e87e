"""How a line of the learner's code, a ticket and a route are shown. `python -m harness.display.code` shows one each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.display.card import Card, Fact, card, fact
from harness.display.values import literal
from harness.records import Frame, Route, Ticket


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


if __name__ == "__main__":
    from harness.display.example import ATTEMPTS

    failed = ATTEMPTS[0].response
    print(failed.ticket, failed.route, sep="\n\n")
