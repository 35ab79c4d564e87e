"""What the progress file holds, and how files of older versions are read.

    {"version": 2, "exercises": {"1.1": {"solved": true, "date": "2026-11-24T15:06:11Z", "checks": 3, "hints": 1}}}

Version 1 had neither a version nor anything but numbers: `{"solved": ["1.1"]}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

VERSION = 2


class BrokenFile(ValueError):
    """The text is no progress file of any version."""


class NewerFile(ValueError):
    """The file is of a version that is not known yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one exercise: solved or not, since when (UTC; None where nobody noted it), how many checks and
    hints it took. No code, no names, no paths.
    """

    solved: bool = False
    date: str | None = None
    checks: int = 0
    hints: int = 0

    def __add__(self, other: Entry) -> Entry:
        """Put together what two sessions did: the first date counts, checks and hints add up."""
        dates = [date for date in (self.date, other.date) if date is not None]
        return Entry(
            self.solved or other.solved,
            min(dates, default=None),
            self.checks + other.checks,
            self.hints + other.hints,
        )

    def without_counts(self) -> Entry:
        """Return what may be added once more without counting twice."""
        return replace(self, checks=0, hints=0)


Entries = dict[str, Entry]


def merge(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Entries:
    """Add two sets of entries, exercise by exercise."""
    return {number: one.get(number, Entry()) + other.get(number, Entry()) for number in {**one, **other}}


def dump(entries: Mapping[str, Entry]) -> str:
    """Return the text of a progress file."""
    exercises = {number: asdict(entry) for number, entry in sorted(entries.items())}
    return json.dumps({"version": VERSION, "exercises": exercises}, indent=1) + "\n"


def parse(text: str) -> Entries:
    """Return the entries in the text of a progress file of this or an older version.

    Raises:
        NewerFile: the version is a later one.
        BrokenFile: anything else that this course did not write.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"broken JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BrokenFile("no JSON object")
    version = raw.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        raise NewerFile(f"version {version}")
    if version == 1:
        return _first_version(raw)
    exercises = raw.get("exercises")
    if version != VERSION or not isinstance(exercises, dict):
        raise BrokenFile("neither a version nor exercises that this course knows")
    return {number: _entry(number, said) for number, said in exercises.items()}


def _first_version(raw: dict[str, Any]) -> Entries:
    solved = raw.get("solved")
    if not isinstance(solved, list) or not all(isinstance(number, str) for number in solved):
        raise BrokenFile("no list of solved exercises")
    return {number: Entry(solved=True) for number in solved}


def _entry(number: str, said: object) -> Entry:
    try:
        entry = Entry(**said)  # type: ignore[arg-type]  # what it is, is what we find out
    except TypeError:
        raise BrokenFile(f"exercise {number} has other fields") from None
    counts = (entry.checks, entry.hints)
    right = type(entry.solved) is bool and (entry.date is None or isinstance(entry.date, str))
    if not right or not all(type(each) is int and each >= 0 for each in counts):
        raise BrokenFile(f"exercise {number} has a field of the wrong kind")
    return entry
