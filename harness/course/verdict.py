"""The verdict of a check: its outcome, the facts behind it, and the text that a learner reads."""

import re
import textwrap
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from harness.course.catalogue import Exercise
from harness.errors import HarnessError, one_line
from harness.records import Ticket

WIDTH = 88  # characters; JupyterLab shows so much of a line beside its file browser, and breaks words in longer lines
# A command, or a call that becomes one in a terminal. It stays on one line, so that it can be copied.
COMMAND = re.compile(
    r"(?<![\w/.-])taskqueue-course ([a-z]+(?: (?:\w+\.ipynb|all\b|\d+(?:\.\w+)?|--[a-z-]+))*)"
    r'|(?:check|hint|solution)\("\d+\.\w+"(?:, give_up=True)?\)'
)
GLUE = "\0"  # stands for a space at which no line is broken
_LONGEST = 1000  # characters, and lines: of one value in a verdict
_MOST_LINES = 20
_LABELS = 17  # characters; the column in which the facts of a wrong answer begin


@cache
def known_advice() -> dict[str, tuple[re.Pattern[str], str]]:
    """Return, by name, each advice of advice.toml: a pattern that finds an exception, and what to try."""
    entries = tomllib.loads(Path(__file__).with_name("advice.toml").read_text(encoding="utf-8"))
    return {name: (re.compile(entry["raises"]), entry["says"]) for name, entry in entries.items()}


def advise(ticket: Ticket) -> tuple[str | None, str]:
    """Return the name and the text of the first advice that fits an exception, or None and "" if none fits."""
    source = cut(ticket.frames[-1].source.strip()) if ticket.frames else ""
    exception = f"{ticket.exception}: {ticket.message} | {source}"
    fitting = ((name, advice) for name, (raises, advice) in known_advice().items() if raises.search(exception))
    return next(fitting, (None, ""))


def cut(text: str) -> str:
    """Return the beginning of a text, at most 1,000 characters and 20 lines, and how much was cut if any was."""
    kept = "".join(text[:_LONGEST].splitlines(keepends=True)[:_MOST_LINES])
    left = len(text) - len(kept)
    return f"{kept.rstrip()} … ({left:,} more characters)" if left else text


def wrap(text: str, label: str = "", indent: int = 0) -> str:
    """Return a text in lines of at most `WIDTH` characters; a longer word isn't broken.

    Args:
        text: the text; its own line breaks are kept.
        label: the beginning of the first line.
        indent: the column in which the text begins, in characters.
    """
    lines = textwrap.TextWrapper(
        WIDTH, label.ljust(indent), " " * indent, break_long_words=False, break_on_hyphens=False
    )
    text = COMMAND.sub(lambda found: found[0].replace(" ", GLUE), text)
    paragraphs = []
    for paragraph in text.splitlines() or [""]:
        paragraphs.append(lines.fill(paragraph))
        lines.initial_indent = lines.subsequent_indent
    return "\n".join(paragraphs).replace(GLUE, " ")


class CheckOutcome(StrEnum):
    """The outcomes of a check.

    The last three mean that nothing was judged. EDITED and SOLVED_EARLIER occur only in an open notebook, and BY_HAND
    only when answers are graded.
    """

    NOT_ATTEMPTED = "not attempted"
    ERROR = "error in your code"
    WRONG = "wrong"
    CORRECT = "correct"
    EDITED = "edited after it last ran"
    SOLVED_EARLIER = "solved earlier, not run in this kernel"
    BY_HAND = "not graded automatically"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The facts that one check found.

    Args:
        exercise: the exercise's number ("1.1").
        outcome: the outcome.
        summary: what follows the outcome in `text`.
        reason: what follows the outcome in `headline`; "" if the answer is correct.
        facts: further paragraphs, each as a label (which may be empty) and a text.
        mistake: the key of the misconception that was recognised, or the name of the advice that is given, or None.
    """

    exercise: str
    outcome: CheckOutcome
    summary: str = ""
    reason: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    mistake: str | None = None

    @property
    def headline(self) -> str:
        """Return the outcome and the reason for it, in one line: "1.1 not attempted: fill `save` in the cell …"."""
        return ": ".join(filter(None, (self.title, self.reason)))

    @property
    def text(self) -> str:
        """Return all facts, in lines of at most `WIDTH` characters."""
        is_correct = self.outcome is CheckOutcome.CORRECT
        lines = [wrap(f"{self.title}{':' if is_correct else '.'} {self.summary}".rstrip())]
        lines += [wrap(text, f"  {label}", indent=_LABELS if label else 2) for label, text in self.facts]
        return "\n".join([*lines, f'Stuck? hint("{self.exercise}")'] if self.needs_work else lines)

    @property
    def needs_work(self) -> bool:
        """Return whether the check found that the learner's code isn't right yet."""
        return self.outcome in (CheckOutcome.NOT_ATTEMPTED, CheckOutcome.ERROR, CheckOutcome.WRONG)

    @property
    def title(self) -> str:
        """Return the exercise and the outcome: "1.1 not right yet"."""
        return f"{self.exercise} {'not right yet' if self.outcome is CheckOutcome.WRONG else self.outcome}"


def not_attempted(exercise: Exercise, because: str = "") -> Verdict:
    """Return the verdict on a stub, or on a cell that is missing or was not run; `because` names the latter."""
    summary = because or f"Fill {exercise.fill}, run the cell, and then check again."
    reason = because[:1].lower() + because[1:] or f"fill {exercise.fill}."
    return Verdict(exercise.number, CheckOutcome.NOT_ATTEMPTED, summary, reason)


def edited(exercise: Exercise, file: str) -> Verdict:
    """Return the verdict on a cell that was edited after it wrote the file."""
    return _not_judged(exercise, CheckOutcome.EDITED, f"Run the cell {cell_name(file)}, and then check again.")


def solved_earlier(exercise: Exercise) -> Verdict:
    """Return the verdict on an exercise that was solved earlier and whose cells didn't run in this kernel."""
    summary = f"To check it again, run the cell {cell_name(exercise.files[0])} first."
    return _not_judged(exercise, CheckOutcome.SOLVED_EARLIER, summary)


def by_hand(exercise: Exercise) -> Verdict:
    """Return the verdict on an answer that isn't graded, because the check would start a program of the learner."""
    summary = "The check would start a program of the learner, so it wasn't run. Grade this exercise by hand."
    return _not_judged(exercise, CheckOutcome.BY_HAND, summary)


def _not_judged(exercise: Exercise, outcome: CheckOutcome, summary: str) -> Verdict:
    return Verdict(exercise.number, outcome, summary, summary[:1].lower() + summary[1:])


def refused(exercise: Exercise, file: str, message: str) -> Verdict:
    """Return the verdict on a cell that ended in an error before it wrote the file, so nothing was judged."""
    summary = f"The cell {cell_name(file)} raised an error, so its code wasn't checked:"
    return _error(exercise, summary, cut(message).splitlines(), f"{one_line(message)} Nothing was checked.")


def cell_name(file: str) -> str:
    """Return the first line of the cell that writes a file: `%%controller ex1_1`."""
    app, _, path = file.rpartition(":")
    folder, _, name = path.partition("/")
    at_top = {
        "routes.py": "%%routes",
        "queue.yaml": "%%queue_yaml",
        "app.yaml": "%%app_yaml",
        "main.py": "%%main_py",
    }
    in_folder = f"%%{folder.removesuffix('s')} {name.removesuffix('.py')}"
    return f"`{at_top.get(path) or in_folder}{f' --app {app}' if app else ''}`"


def error(exercise: Exercise, ticket: Ticket, called: str, situation: str = "") -> Verdict:
    """Return the verdict on code that raised an exception, if the exercise defines no mistake for it.

    Args:
        exercise: the exercise.
        ticket: the exception.
        called: what the check called.
        situation: the situation in which it did that, or "".
    """
    raised = cut(f"{ticket.exception}: {ticket.message}")
    name, advice = advise(ticket)
    source, where = [], ""
    if ticket.frames:
        last = ticket.frames[-1]
        source, where = [cut(f"{last.where}:  {last.source.strip()}")], f" ({last.where})"
    reason = f"{one_line(raised)}{where}" + (f". {advice}" if advice else "")
    paragraphs = [*filter(None, [situation and f"Situation: {situation}."]), *source, raised, *filter(None, [advice])]
    return _error(exercise, f"{called} ended in an exception:", paragraphs, reason, name)


def error_from_harness(exercise: Exercise, failure: HarnessError, called: str) -> Verdict:
    """Return the verdict on code that made the harness raise an error."""
    return _error(exercise, f"{called}:", cut(str(failure)).splitlines(), one_line(str(failure)))


def never_ended(exercise: Exercise, seconds: float) -> Verdict:
    """Return the verdict on code that still ran after the time limit, and that Python could not interrupt."""
    paragraph = f"It was still running after {seconds:g} seconds and was stopped. Look for a loop that never ends."
    return _error(exercise, "Your code never ended:", [paragraph], "it never ended")


def took_down(exercise: Exercise, status: int | None) -> Verdict:
    """Return the verdict on code that ended the process in which it was checked, with the process's exit status."""
    paragraph = f"It ended Python itself (status {status}), by os._exit, by a signal, or because memory ran out."
    return _error(exercise, "Your code ended the check:", [paragraph], "it ended Python itself")


def _error(exercise: Exercise, summary: str, paragraphs: list[str], reason: str, advice: str | None = None) -> Verdict:
    facts = tuple(("", paragraph) for paragraph in paragraphs)
    return Verdict(exercise.number, CheckOutcome.ERROR, cut(summary), cut(reason), facts, advice)


def wrong(
    exercise: Exercise, key: str | None, *, called: str, happened: str, expected: str, situation: str = ""
) -> Verdict:
    """Return the verdict on code that ran and did something other than what the exercise asks for.

    Args:
        exercise: the exercise.
        key: the key of its misconception that explains this, or None.
        called: what the check called.
        happened: what happened then.
        expected: what should have happened.
        situation: the situation in which the check called it, or "".

    Returns:
        The verdict. It contains the beginning of a long text; see `cut`.
    """
    called, happened, expected = cut(called), cut(happened), cut(expected)
    facts = [("Situation", situation)] if situation else []
    facts += [("We called", called), ("What happened", happened), ("Expected", expected)]
    reason = f"{happened.rstrip('.')}; expected: {expected}"
    if key is not None:
        mistake = exercise.mistakes[key]
        section = f"lesson {mistake.lesson or exercise.lesson}, “{mistake.reread}”"
        facts += [("Diagnosis", mistake.says), ("Reread", section)]
        reason = f"{mistake.says} Reread {section}."
    return Verdict(exercise.number, CheckOutcome.WRONG, "", " ".join(reason.split()), tuple(facts), key)


def correct(exercise: Exercise) -> Verdict:
    """Return the verdict on a correct answer."""
    following = f" Next: {exercise.then}" if exercise.then else ""
    return Verdict(exercise.number, CheckOutcome.CORRECT, f"{exercise.proves}{following}")
