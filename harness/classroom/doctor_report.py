"""What `doctor` reports: findings, and how they are printed in a terminal and as JSON."""

import json
import platform
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from typing import Any

import click

from harness.errors import quantity


class SetupState(StrEnum):
    """How serious a finding is: nothing to do, worth knowing, or the course can't run."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class SetupFinding:
    """One line of the report; `fix` is a command or an instruction, or "" if there is nothing to do."""

    state: SetupState
    says: str
    fix: str = ""


_SIGNS = {  # the sign, its replacement in ASCII, and the colour
    SetupState.OK: ("✓", "+", "green"),
    SetupState.NOTE: ("•", "*", "yellow"),
    SetupState.PROBLEM: ("✗", "X", "red"),
}
_STATE_WIDTH = max(len(state) for state in SetupState)
_NAME_WIDTH = 15  # the longest name of a probe
_INDENT = 2 + 1 + 1 + _STATE_WIDTH + 2 + _NAME_WIDTH + 2


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def lines(name: str, found: SetupFinding, width: int, encoding: str) -> str:
    """Return one finding for a terminal: sign, state, name and text, and the fix on a separate line.

    Args:
        name: the name of the probe.
        found: its finding.
        width: the width of the terminal, in characters.
        encoding: the encoding of the terminal; ASCII replaces a sign that it can't encode.
    """
    fancy, plain, colour = _SIGNS[found.state]
    sign = fancy if _can_encode(fancy, encoding) else plain
    head = f"  {sign} {found.state:{_STATE_WIDTH}}  "
    text = textwrap.fill(
        found.says,
        width,
        initial_indent=f"{head}{name:{_NAME_WIDTH}}  ",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    styled = click.style(head, fg=colour, bold=found.state is SetupState.PROBLEM) + text.removeprefix(head)
    # A terminal may wrap the fix, but we don't break it into lines, so that a command can be copied.
    return f"{styled}\n    -> {found.fix}" if found.fix else styled


def summary(findings: Mapping[str, SetupFinding]) -> str:
    """Return the last line of the report, which names the problems, if any."""
    problems = [name for name, found in findings.items() if found.state is SetupState.PROBLEM]
    if problems:
        return f"{quantity(len(problems), 'problem')} to fix: {', '.join(problems)}."
    notes = sum(found.state is SetupState.NOTE for found in findings.values())
    return f"The course can run. Notes above: {notes}." if notes else "All is well."


def to_json(findings: Mapping[str, SetupFinding]) -> str:
    """Return the report as indented JSON in ASCII, without the name of the user or of the host."""
    report: dict[str, Any] = {
        "schema": "taskqueue-course/doctor",
        "schema_version": 1,
        "course": installed("harness"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "findings": [{"name": name, **asdict(found)} for name, found in findings.items()],
    }
    return json.dumps(report, indent=2)


def _can_encode(sign: str, encoding: str) -> bool:
    try:
        sign.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
