"""What to try after an exception that no exercise knows as a mistake of its own; advice.toml has the words."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from harness.records import Ticket


@cache
def known_advice() -> dict[str, tuple[re.Pattern[str], str]]:
    """Return, by name, the pattern of an exception and what to try."""
    words = tomllib.loads(Path(__file__).with_name("advice.toml").read_text(encoding="utf-8"))
    return {name: (re.compile(entry["raises"]), entry["says"]) for name, entry in words.items()}


def advise(ticket: Ticket) -> tuple[str | None, str]:
    """Return the name of the first advice that fits an exception, and its words; None and no words without one."""
    source = ticket.frames[-1].source.strip() if ticket.frames else ""
    said = f"{ticket.exception}: {ticket.message} | {source}"
    fitting = ((name, says) for name, (raises, says) in known_advice().items() if raises.search(said))
    return next(fitting, (None, ""))
