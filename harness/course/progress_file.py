"""The learner's progress, which is kept between sessions in a folder of the user (see `state_file`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from harness.course.state_file import StateFile


@dataclass(frozen=True, slots=True)
class Entry:
    """The progress of one learner in one exercise. It contains no code, no name and no path.

    Args:
        solved: whether a check found the exercise solved.
        date: when that happened first, in UTC ("2026-05-01T09:00:00Z"), or None.
        checks: how many checks found an attempt, right or wrong.
        hints: how many hints were shown.
        shown: whether the solution was shown before the exercise was solved. It is None if an earlier version of the
            course wrote the entry, because that version didn't record it.
    """

    solved: bool = False
    date: str | None = None
    checks: int = 0
    hints: int = 0
    shown: bool | None = False

    def __add__(self, other: Entry) -> Entry:
        """Return the sum of two sessions: the earlier date, and the sums of checks and hints."""
        dates = [date for date in (self.date, other.date) if date is not None]
        checks, hints = self.checks + other.checks, self.hints + other.hints
        shown = max(self.shown, other.shown, key=(False, None, True).index)
        return Entry(self.solved or other.solved, min(dates, default=None), checks, hints, shown)

    def as_json(self) -> dict[str, object]:
        """Return the fields as JSON."""
        return asdict(self)


Entries = dict[str, Entry]


class Progress(StateFile[Entry]):
    """The progress of all sessions (kernels and commands), by exercise."""

    name, section, version, oldest = "progress", "exercises", 3, 2

    def __init__(self) -> None:
        super().__init__()
        self.hint_steps: dict[str, int] = {}  # the next hint of each exercise

    @classmethod
    def entry(cls, fields: dict[str, object]) -> Entry:
        """Return the entry with these fields, or raise TypeError."""
        entry = Entry(**{"shown": None, **fields})  # type: ignore[arg-type]
        right = type(entry.solved) is bool and (entry.shown is None or type(entry.shown) is bool)
        right = right and (entry.date is None or isinstance(entry.date, str))
        if not right or not all(type(each) is int and each >= 0 for each in (entry.checks, entry.hints)):
            raise TypeError("an exercise has a field of the wrong type")
        return entry

    @staticmethod
    def kept(entry: Entry) -> Entry | None:
        """Return an entry without its counts, so that they aren't added twice, or None if it contains nothing else."""
        return replace(entry, checks=0, hints=0) if entry.solved or entry.shown else None


_session = Progress()


def now() -> str:
    """Return the real time in UTC, to the second: "2026-05-01T09:00:00Z"."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def solved() -> frozenset[str]:
    """Return the exercises that a check found correct, in this session or an earlier one."""
    return frozenset(number for number, entry in _session.entries().items() if entry.solved)


def saved_entries() -> Entries:
    """Return the entry of each exercise that was ever attempted.

    Raises:
        ProgressError: the progress file can't be read.
    """
    return _session.saved_entries()


def mark_solved(number: str) -> None:
    """Record a check that found an exercise solved."""
    _session.add(number, Entry(solved=True, date=now(), checks=1))


def count_check(number: str) -> None:
    """Record a check that found an exercise attempted and not solved."""
    _session.add(number, Entry(checks=1))


def mark_shown(number: str) -> None:
    """Record that the solution of an exercise was shown before the exercise was solved."""
    _session.add(number, Entry(shown=True))


def next_hint(number: str, count: int, *, go_on: bool = False, counted: bool = True) -> int:
    """Return which hint comes next, from 0 in each session; after the last hint, return the last one again.

    Args:
        number: the exercise ("1.1").
        count: how many hints it has.
        go_on: whether to continue after the hints of earlier sessions. The first hint follows the last one.
        counted: whether to add the hint to the learner's progress.
    """
    first = _session.entries().get(number, Entry()).hints % count if go_on else 0
    step = min(_session.hint_steps.get(number, first), count - 1)
    _session.hint_steps[number] = step + 1
    if counted:
        _session.add(number, Entry(hints=1))
    return step
