"""The wrong answers in tests/wrong_answers, counted: which mistake the bank shows how often, and in which forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.checks.exercise import Exercise, Misconception
from harness.errors import CourseError


@dataclass(frozen=True)
class Stumble:
    """A mistake that people make in an exercise.

    Args:
        says: what the check answers.
        forms: what learners did who made it ("drops the vars"), one for each answer in the bank.
        reread: the heading that clears it up, with the lesson where that is another one.
    """

    says: str
    forms: tuple[str, ...]
    reread: str


def stumbles(root: Path, exercise: Exercise) -> list[Stumble]:
    """Return the mistakes of an exercise, the most frequent first; among equals in the order of the course.

    Args:
        root: the folder that holds tests/wrong_answers/.
        exercise: the exercise.

    Raises:
        CourseError: the bank has no file for the exercise.
    """
    forms = _forms(root / "tests" / "wrong_answers" / f"{exercise.number}.txt")
    found = [
        Stumble(mistake.says, tuple(forms.get(key, ())), _heading(mistake))
        for key, mistake in exercise.mistakes.items()
    ]
    return sorted(found, key=lambda stumble: -len(stumble.forms))


def _heading(mistake: Misconception) -> str:
    return f"{mistake.reread} (lesson {mistake.lesson})" if mistake.lesson else mistake.reread


def _forms(path: Path) -> dict[str, list[str]]:
    """Map each mistake's key to the titles of the answers that show it (`=== KEY: what this learner did`)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise CourseError(f"{path} cannot be read; the wrong answers come with the repository, in tests/") from None
    forms: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("=== "):
            key, _, title = line.removeprefix("=== ").partition(": ")
            forms.setdefault(key, []).append(title)
    return forms
