"""What was found out about one thing that the course needs."""

from __future__ import annotations

import json
import platform
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from harness.errors import quantity
from harness.state import pip_install, quoted

ROOT = Path(__file__).resolve().parents[2]  # the repository, where the package is used from it


class SetupState(StrEnum):
    """How it is: right; good to know; or in the way."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class SetupFinding:
    """One line of the report; `fix` says what to do, where there is something to do."""

    state: SetupState
    says: str
    fix: str = ""


def ok(says: str) -> SetupFinding:
    return SetupFinding(SetupState.OK, says)


def note(says: str, fix: str = "") -> SetupFinding:
    return SetupFinding(SetupState.NOTE, says, fix)


def problem(says: str, fix: str) -> SetupFinding:
    return SetupFinding(SetupState.PROBLEM, says, fix)


# Python itself, and the packages around it.

_NAMED = 4  # packages in a message


def python(course: Path) -> SetupFinding:
    """Tell whether this is the one Python that web2py 2.26.1 and the pins are made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return ok(version)
    fix = f"rm -rf {quoted(ROOT / '.venv')} && make -C {quoted(ROOT)} .venv PYTHON=/path/to/python3.11"
    return problem(f"{version}; web2py imports modules that only Python 3.11 still has", fix)


def packages(course: Path) -> SetupFinding:
    """Compare what is installed with requirements.txt, or with the package's own needs where there is no such file."""
    missing = [name for name in needed() if installed(name) is None]
    if missing:
        return problem(f"{len(missing)} missing: {some(missing)}", install_pins(missing))
    pins = dict(pinned_versions())
    others = [
        f"{name} {found}, not {pins[name]}" for name in pins if (found := installed(name)) not in (None, pins[name])
    ]
    if others:
        return note(
            f"{len(others)} of another version than tested: {some(others)}",
            f"if something fails: {install_pins()}",
        )
    for_tests = [name for name in pins if installed(name) is None]
    if for_tests:
        return note(f"all that a learner needs; not there for the tests: {some(for_tests)}")
    return ok(f"{len(pins)} of the pinned versions" if pins else "all that are needed")


def course(folder: Path) -> SetupFinding:
    """Tell the course's own version, and whether it is installed: pytest finds its plugin only then."""
    version = installed("harness")
    if version is None:
        says = "not installed, so that pytest does not know its notebooks"
        return note(says, pip_install(f"--no-deps --editable {quoted(ROOT)}"))
    return ok(version)


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def needed() -> list[str]:
    """Return the packages that the course needs to run, those that they need, and so on; without those for tests."""
    known: dict[str, None] = {}
    waiting = list(_requirements("harness"))
    while waiting:
        name = waiting.pop()
        if name not in known:
            known[name] = None
            waiting += _requirements(name)
    return sorted(known)


def _requirements(name: str) -> Iterator[str]:
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def pinned_versions() -> Iterator[tuple[str, str]]:
    """Yield each package of requirements.txt that this system and this Python should have, and its version."""
    from packaging.requirements import Requirement

    path = ROOT / "requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate():
                yield pin.name, str(pin.specifier).removeprefix("==")


def install_pins(missing: Iterable[str] = ()) -> str:
    """Return the command that installs what is pinned, or only what is missing where there are no pins."""
    pins = ROOT / "requirements.txt"
    return pip_install(f"--requirement {quoted(pins)}" if pins.is_file() else " ".join(missing))


def some(names: list[str]) -> str:
    """Name a few, and say how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


# The findings as lines for a terminal, and as JSON to send to somebody.

_LOOK = {
    SetupState.OK: ("✓", "+", "green"),
    SetupState.NOTE: ("•", "*", "yellow"),
    SetupState.PROBLEM: ("✗", "X", "red"),
}
_WORD = max(len(state) for state in SetupState)
_NAME = 15  # the longest name of a probe
_INDENT = 2 + 1 + 1 + _WORD + 2 + _NAME + 2


def lines(name: str, found: SetupFinding, width: int, encoding: str) -> str:
    """Return one finding: sign, word, name and what it says; below it what to do.

    Args:
        width: of the terminal, in characters.
        encoding: of the terminal; without the signs in it others stand for them.
    """
    fancy, plain, colour = _LOOK[found.state]
    sign = fancy if _can_show(fancy, encoding) else plain
    head = f"  {sign} {found.state:{_WORD}}  "
    said = _fill(found.says, width, f"{head}{name:{_NAME}}  ", _INDENT)
    styled = click.style(head, fg=colour, bold=found.state is SetupState.PROBLEM) + said.removeprefix(head)
    # A terminal may wrap the fix, but we don't break it into lines, so that a command can be copied.
    return f"{styled}\n    -> {found.fix}" if found.fix else styled


def summary(findings: Mapping[str, SetupFinding]) -> str:
    """Return the last line: what is in the way, if anything."""
    problems = [name for name, found in findings.items() if found.state is SetupState.PROBLEM]
    if problems:
        return f"{quantity(len(problems), 'problem')} to fix: {', '.join(problems)}."
    notes = sum(found.state is SetupState.NOTE for found in findings.values())
    return f"The course can run; {quantity(notes, 'note')} above." if notes else "All is well."


def to_json(findings: Mapping[str, SetupFinding]) -> dict[str, Any]:
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
