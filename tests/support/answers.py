"""The bank of answers: tests/answers/1.1.txt holds wrong and right answers to exercise 1.1.

An answer begins with a line `=== KEY: what this learner did`. The key is the mistake that the check must name, `error`
with the name of an advice, or `right`. The text below it is what a learner writes in place of the stub, or, if it
begins with `%%`, whole cells.

A wrong answer that shows a `Pattern` names it after the key: `=== fixed-name @equal-input: …`. If a pattern can't apply
to the exercise, `=== without clock: …` says why, and no text follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.course.catalogue import Exercise, Pattern, body, file_key, solution_cells, stub_cells
from harness.notebooks.cells import cell_target
from harness.notebooks.stubs import BEGIN, END

BANK = Path(__file__).parents[1] / "answers"
RIGHT = "right"
_WITHOUT = "without "


@dataclass(frozen=True)
class Answer:
    """One answer to one exercise: the first line of its entry, and the text."""

    exercise: str
    title: str
    text: str

    @property
    def key(self) -> str:
        return self.title.partition(":")[0].partition(" @")[0]

    @property
    def patterns(self) -> set[Pattern]:
        return {Pattern(name) for name in self.title.partition(":")[0].split(" @")[1:]}

    def __str__(self) -> str:
        return f"{self.exercise} {self.title}"


def wrong_answers(exercise: str) -> list[Answer]:
    """Return the wrong answers to an exercise."""
    return [answer for answer in _answers(exercise) if answer.key != RIGHT and not answer.key.startswith(_WITHOUT)]


def right_answers(exercise: str) -> list[Answer]:
    """Return the right answers to an exercise."""
    return [answer for answer in _answers(exercise) if answer.key == RIGHT]


def patterns_without(exercise: str) -> dict[Pattern, str]:
    """Return the patterns that can't apply to an exercise, each with the reason."""
    entries = [answer for answer in _answers(exercise) if answer.key.startswith(_WITHOUT)]
    return {Pattern(entry.key.removeprefix(_WITHOUT)): entry.title.partition(": ")[2] for entry in entries}


def _answers(exercise: str) -> list[Answer]:
    entries = (BANK / f"{exercise}.txt").read_text(encoding="utf-8").split("=== ")[1:]
    return [Answer(exercise, *entry.split("\n", 1)) for entry in entries]


def to_files(exercise: Exercise, answer: Answer) -> dict[str, str]:
    """Return the files that a learner with this answer would have."""
    stubs = stub_cells(exercise)
    files = {name: body(source) for name, source in stubs.items()}
    if answer.text.lstrip().startswith("%%"):
        return files | dict(_cells(answer.text))
    name, source = next((name, source) for name, source in solution_cells(exercise).items() if BEGIN in source)
    return files | {name: body(fill(source, answer.text))}


def fill(solution: str, text: str) -> str:
    """Replace a solution's first region with an answer, at that region's indentation."""
    before, _, rest = solution.partition(BEGIN)
    after = rest.partition(END)[2]
    indent = before.rpartition("\n")[2]
    lines = [f"{indent}{line}" if line.strip() else line for line in text.strip("\n").splitlines()]
    return before + "\n".join(lines).removeprefix(indent) + after


def _cells(text: str) -> list[tuple[str, str]]:
    cells = ["%%" + part for part in ("\n" + text.strip()).split("\n%%")[1:]]
    return [(file_key(target), body(cell)) for cell in cells if (target := cell_target(cell))]
