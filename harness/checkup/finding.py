"""What was found out about one thing that the course needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the repository, where the package is used from it


class State(StrEnum):
    """How it is: right; good to know; or in the way."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `mend` says what to do, where there is something to do."""

    state: State
    says: str
    mend: str = ""


def ok(says: str) -> Finding:
    return Finding(State.OK, says)


def note(says: str, mend: str = "") -> Finding:
    return Finding(State.NOTE, says, mend)


def problem(says: str, mend: str) -> Finding:
    return Finding(State.PROBLEM, says, mend)
