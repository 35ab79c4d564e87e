"""What a learner has done so far, kept between sessions in a folder of the user's (see `harness.state`)."""

from __future__ import annotations

from harness.checks.ledger.schema import Entries, Entry
from harness.checks.ledger.session import Session, now

_session = Session()


def solved() -> frozenset[str]:
    """Return the exercises that were checked as correct, now or in an earlier session."""
    return frozenset(number for number, entry in _session.entries().items() if entry.solved)


def mark_solved(number: str) -> None:
    """Remember a check that found an exercise solved; where the file cannot be written, until the session ends."""
    _session.add(number, Entry(solved=True, date=now(), checks=1))


def count_check(number: str) -> None:
    """Remember a check that found an exercise attempted and not solved."""
    _session.add(number, Entry(checks=1))


def next_hint(number: str, count: int, *, go_on: bool = False) -> int:
    """Return which of `count` hints comes now, from 0 in each session; the last one again and again.

    Args:
        number: the exercise's.
        count: how many hints it has.
        go_on: begin the session after the hints of earlier ones; after the last, with the first again.
    """
    return _session.next_hint(number, count, go_on)


def choose(prediction: str, option: str) -> None:
    """Remember what the learner predicted, until the session ends."""
    _session.choose(prediction, option)


def choice(prediction: str) -> str | None:
    """Return what the learner predicted in this session, or None."""
    return _session.choice(prediction)


def saved_entries() -> Entries:
    """Return what is known of each exercise that was ever touched.

    Raises:
        ProgressError: the file cannot be read, or is of a newer course.
    """
    return _session.saved_entries()
