"""The four outcomes of a check, and their words."""

from __future__ import annotations

import re
import textwrap
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from harness.course.exercise import Exercise, Misconception
from harness.errors import HarnessError, one_line
from harness.records import Ticket

# What to try after an exception that no exercise knows as a mistake of its own; advice.toml has the words.


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


# Lines that fit: a notebook breaks a long line of output in the middle of a word.

# A command, or a call that becomes one in a terminal. It stays on one line, so that it can be copied.
COMMAND = re.compile(
    r"(?<![\w/.-])taskqueue-course ([a-z]+(?: (?:all\b|\d+(?:\.\d+)?|--[a-z-]+))*)"
    r'|(?:check|hint|solution)\("[\d.]+"(?:, give_up=True)?\)'
)
GLUE = "\0"  # stands for a space at which no line is broken
WIDTH = 88  # characters; what JupyterLab shows of a line beside its file browser


def wrap(text: str, label: str = "", indent: int = 0) -> str:
    """Break a text into lines that fit.

    Args:
        text: what to say; line breaks of its own are kept.
        label: stands before the first line.
        indent: by how many characters all but the first line of a paragraph are indented.
    """
    first = label.ljust(indent)
    text = COMMAND.sub(lambda found: found[0].replace(" ", GLUE), text)
    paragraphs = []
    for paragraph in text.splitlines() or [""]:
        paragraphs.append(
            textwrap.fill(
                paragraph,
                WIDTH,
                initial_indent=first,
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
        first = " " * indent
    return "\n".join(paragraphs).replace(GLUE, " ")


class CheckOutcome(StrEnum):
    """How an exercise stands."""

    NOT_ATTEMPTED = "not attempted"
    ERROR = "error in your code"
    WRONG = "wrong"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check.

    `mistake` is the key of the misconception that it recognised, or the name of the advice that it gives, if any;
    `headline` says all that matters in one line.
    """

    exercise: str
    outcome: CheckOutcome
    text: str
    mistake: str | None = None
    headline: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check saw that is not right: what it called, what happened, what it expected."""

    called: str
    happened: str
    expected: str


def not_attempted(exercise: Exercise, because: str = "") -> Verdict:
    """The stub is still there, or the cell was not run."""
    said = because or f"Fill {exercise.fill}, run it, then check again."
    lines = [wrap(f"{exercise.number} not attempted. {said}"), _stuck(exercise)]
    headline = f"{exercise.number} not attempted: {because[:1].lower() + because[1:] or f'fill {exercise.fill}.'}"
    return Verdict(exercise.number, CheckOutcome.NOT_ATTEMPTED, "\n".join(lines), headline=headline)


def error(exercise: Exercise, ticket: Ticket, called: str) -> Verdict:
    """The learner's code raised something that is no mistake of this exercise."""
    said = [f"{ticket.exception}: {ticket.message}"]
    short = one_line(said[0])
    if ticket.frames:
        last = ticket.frames[-1]
        said.insert(0, f"{last.where}:  {last.source.strip()}")
        short += f" ({last.where})"
    name, advice = advise(ticket)
    if name:
        said.append(advice)
        short += f". {advice}"
    return _error(exercise, f"{called} ended in an exception:", said, short, name)


def error_from_harness(exercise: Exercise, failure: HarnessError, called: str) -> Verdict:
    """The harness refused what the learner's code asked for; the message says what and why."""
    return _error(exercise, f"{called}:", str(failure).splitlines(), one_line(str(failure)))


def never_ended(exercise: Exercise, seconds: float) -> Verdict:
    """The learner's code had to be ended from outside: nothing in it could be stopped."""
    said = f"It was still running after {seconds:g} seconds, and was ended. Look for a loop that nothing ends."
    return _error(exercise, "Your code never came to an end:", [said], "it never came to an end")


def took_down(exercise: Exercise, status: int | None) -> Verdict:
    """The learner's code ended the process in which it was checked."""
    said = f"It ended Python itself (status {status}): os._exit, a signal, or more memory than there is."
    return _error(exercise, "Your code broke off the check:", [said], "it ended Python itself")


def _error(exercise: Exercise, what: str, said: list[str], short: str, advice: str | None = None) -> Verdict:
    lines = [wrap(f"{exercise.number} error in your code. {what}")]
    lines += [wrap(line, "  ", indent=2) for line in said]
    text = "\n".join([*lines, _stuck(exercise)])
    headline = f"{exercise.number} error in your code: {short}"
    return Verdict(exercise.number, CheckOutcome.ERROR, text, advice, headline)


def wrong(exercise: Exercise, finding: Observation, key: str | None, mistake: Misconception | None) -> Verdict:
    """The code ran and did something else than it should."""
    facts = {"We called": finding.called, "What happened": finding.happened, "Expected": finding.expected}
    short = f"{finding.happened.rstrip('.')}; expected: {finding.expected}"
    if mistake is not None:
        facts |= {
            "Diagnosis": mistake.says,
            "Reread": f"lesson {mistake.lesson or exercise.lesson}, “{mistake.reread}”",
        }
        short = f"{mistake.says} Reread {facts['Reread']}."
    lines = [f"{exercise.number} not right yet."]
    lines += [wrap(said, f"  {label}", indent=17) for label, said in facts.items()]
    headline = f"{exercise.number} not right yet: {' '.join(short.split())}"
    return Verdict(exercise.number, CheckOutcome.WRONG, "\n".join([*lines, _stuck(exercise)]), key, headline)


def correct(exercise: Exercise) -> Verdict:
    """All is right."""
    said = wrap(f"{exercise.number} correct: {exercise.proves} Next: {exercise.then}")
    return Verdict(exercise.number, CheckOutcome.CORRECT, said, headline=f"{exercise.number} correct")


def _stuck(exercise: Exercise) -> str:
    return f'Stuck? hint("{exercise.number}")'
