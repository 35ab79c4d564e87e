"""The four outcomes of a check, and their words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.checks.exercise import Exercise, Misconception
from harness.errors import HarnessError
from harness.records import Ticket


class Outcome(StrEnum):
    """How an exercise stands."""

    NOT_ATTEMPTED = "not attempted"
    ERROR = "error in your code"
    WRONG = "wrong"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check; `mistake` is the key of the misconception that it recognised, if any."""

    exercise: str
    outcome: Outcome
    text: str
    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw that is not right: what it called, what happened, what it expected."""

    called: str
    happened: str
    expected: str


def not_attempted(exercise: Exercise, because: str = "") -> Verdict:
    """The stub is still there, or the cell was not run."""
    lines = [f"{exercise.number} not attempted. {because or f'Fill {exercise.fill}, run it, then check again.'}"]
    lines.append(f'Stuck? hint("{exercise.number}")')
    return Verdict(exercise.number, Outcome.NOT_ATTEMPTED, "\n".join(lines))


def error(exercise: Exercise, ticket: Ticket, called: str) -> Verdict:
    """The learner's code raised something that is no known mistake."""
    lines = [f"{exercise.number} error in your code. {called} ended in an exception:"]
    if ticket.frames:
        last = ticket.frames[-1]
        lines += [f"  {last.where}:  {last.source.strip()}"]
    lines += [f"  {ticket.exception}: {ticket.message}", f'Stuck? hint("{exercise.number}")']
    return Verdict(exercise.number, Outcome.ERROR, "\n".join(lines))


def error_from_harness(exercise: Exercise, failure: HarnessError, called: str) -> Verdict:
    """The harness refused what the learner's code asked for; the message says what and why."""
    lines = [f"{exercise.number} error in your code. {called}:", f"  {failure}", f'Stuck? hint("{exercise.number}")']
    return Verdict(exercise.number, Outcome.ERROR, "\n".join(lines))


def wrong(exercise: Exercise, finding: Finding, key: str | None, mistake: Misconception | None) -> Verdict:
    """The code ran and did something else than it should."""
    lines = [
        f"{exercise.number} not right yet.",
        f"  We called      {finding.called}",
        f"  What happened  {finding.happened}",
        f"  Expected       {finding.expected}",
    ]
    if mistake is not None:
        lines += [f"  Diagnosis      {mistake.says}", f"  Reread         lesson {exercise.lesson}, “{mistake.reread}”"]
    lines.append(f'Stuck? hint("{exercise.number}")')
    return Verdict(exercise.number, Outcome.WRONG, "\n".join(lines), key)


def correct(exercise: Exercise) -> Verdict:
    """All is right."""
    return Verdict(
        exercise.number, Outcome.CORRECT, f"{exercise.number} correct: {exercise.proves} Next: {exercise.then}"
    )
