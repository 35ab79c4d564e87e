"""The findings as lines for a terminal, and as JSON to send to somebody."""

from __future__ import annotations

import json
import platform
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from harness.checkup.finding import Finding, State
from harness.checkup.packages import installed
from harness.display.times import quantity

_LOOK = {State.OK: ("✓", "+", "green"), State.NOTE: ("•", "*", "yellow"), State.PROBLEM: ("✗", "X", "red")}
_WORD = max(len(state) for state in State)
_NAME = 15  # the longest name of a probe
_INDENT = 2 + 1 + 1 + _WORD + 2 + _NAME + 2
_MEND = 4  # so far left that a command fits, and can be copied whole


def lines(name: str, found: Finding, width: int, encoding: str) -> str:
    """Return one finding: sign, word, name and what it says; below it what to do.

    Args:
        width: of the terminal, in characters.
        encoding: of the terminal; without the signs in it others stand for them.
    """
    fancy, plain, colour = _LOOK[found.state]
    sign = fancy if _can_show(fancy, encoding) else plain
    head = f"  {sign} {found.state:{_WORD}}  "
    said = _fill(found.says, width, f"{head}{name:{_NAME}}  ", _INDENT)
    styled = click.style(head, fg=colour, bold=found.state is State.PROBLEM) + said.removeprefix(head)
    mend = _fill(found.mend, width, " " * _MEND + "-> ", _MEND + 3)
    return f"{styled}\n{mend}" if found.mend else styled


def summary(findings: Mapping[str, Finding]) -> str:
    """Return the last line: what is in the way, if anything."""
    problems = [name for name, found in findings.items() if found.state is State.PROBLEM]
    if problems:
        return f"{quantity(len(problems), 'problem')} to mend: {', '.join(problems)}."
    notes = sum(found.state is State.NOTE for found in findings.values())
    return f"The course can run; {quantity(notes, 'note')} above." if notes else "All is well."


def to_json(findings: Mapping[str, Finding]) -> dict[str, Any]:
    """Return the findings for an issue that somebody files; no user's name, no host's name."""
    return {
        "schema": "taskqueue-course/doctor",
        "schema_version": 1,
        "course": installed("harness"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "findings": [{"name": name, **asdict(found)} for name, found in findings.items()],
    }


def dump(report: Mapping[str, Any]) -> str:
    """Return a report as JSON for people: indented, in ASCII, so that it passes any terminal."""
    return json.dumps(report, indent=2)


def _fill(text: str, width: int, head: str, indent: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _can_show(sign: str, encoding: str) -> bool:
    try:
        sign.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
