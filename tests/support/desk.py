"""A learner's copy of the exercises. Answers are written into it and saved in the way of JupyterLab."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.course import progress_file
from harness.course.catalogue import (
    Exercise,
    exercise_file,
    exercise_notebook,
    exercises,
    find_exercise,
    solution_cells,
)
from harness.course.progress_file import Entry
from harness.course.trial import check_answer
from harness.course.verdict import Verdict, not_attempted
from harness.course.workspace import Answer
from harness.notebooks.files import dump
from harness.notebooks.stubs import BEGIN, END
from tests.support.answers import fill, wrong_answers

EXERCISES = len(list(exercises()))  # of the whole course


class Desk:
    """A folder with exercises/, for the given lessons or for all of them.

    Args:
        folder: an empty folder.
        lessons: "01", "02" …
    """

    def __init__(self, folder: Path, *lessons: str) -> None:
        self.folder = folder
        self.exercises = folder / "exercises"
        self.exercises.mkdir()
        for lesson in lessons or dict.fromkeys(each.lesson for each in exercises()):
            self.reset(lesson)

    def path(self, lesson: str) -> Path:
        return self.exercises / exercise_file(lesson)

    def reset(self, lesson: str) -> None:
        """Write the original notebook of a lesson."""
        self.path(lesson).write_text(dump(exercise_notebook(lesson)), encoding="utf-8")

    def read(self, lesson: str) -> dict[str, Any]:
        notebook: dict[str, Any] = json.loads(self.path(lesson).read_text(encoding="utf-8"))
        return notebook

    def save(self, lesson: str, notebook: dict[str, Any]) -> None:
        """Write a draft beside the notebook and rename it, as JupyterLab does."""
        draft = self.exercises / f".~{exercise_file(lesson)}"
        draft.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
        os.replace(draft, self.path(lesson))

    def cell(self, notebook: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the cell with an id: "ex1-1-answer"."""
        found: dict[str, Any] = next(cell for cell in notebook["cells"] if cell["id"] == name)
        return found

    def answer(self, number: str, text: str) -> None:
        """Replace an exercise's first stub with a text, and save."""
        source = next(source for source in solution_cells(find_exercise(number)).values() if BEGIN in source)
        self.write(number, fill(source, text))

    def solve(self, number: str) -> None:
        for source in solution_cells(find_exercise(number)).values():
            if BEGIN in source:
                lines = [line for line in source.splitlines() if not line.strip().startswith((BEGIN, END, "### START"))]
                self.write(number, "\n".join(lines))

    def spoil(self, number: str) -> None:
        """Give the first wrong answer of the bank that has a diagnosis."""
        known = [each for each in wrong_answers(number) if not each.key.startswith("error")]
        self.answer(number, next(each.text for each in known if not each.text.lstrip().startswith("%%")))

    def write(self, number: str, source: str) -> None:
        """Replace the answer cell with the same magic, or else the first one, mark it as run, and save."""
        notebook, name = self.read(find_exercise(number).lesson), f"ex{number.replace('.', '-')}"
        magic = source.partition("\n")[0]
        own = [cell for cell in notebook["cells"] if cell["id"].startswith(f"{name}-")]
        same = [cell for cell in own if "".join(cell["source"]).partition("\n")[0] == magic]
        cell = same[0] if magic and same else self.cell(notebook, f"{name}-answer")
        cell["source"], cell["execution_count"] = source, 1
        self.save(find_exercise(number).lesson, notebook)


def remember_nothing(monkeypatch: Any) -> set[str]:
    """Replace the progress file with an empty one in memory for one test, and return its set of solved exercises."""
    solved, shown, hints, checked = set[str](), set[str](), dict[str, int](), list[str]()

    def next_hint(number: str, count: int, *, go_on: bool = False, counted: bool = True) -> int:
        step = min(hints.get(number, 0), count - 1)
        hints[number] = step + 1
        return step

    def saved_entries() -> dict[str, Entry]:
        return {number: Entry(number in solved, shown=number in shown) for number in solved | shown}

    monkeypatch.setattr(progress_file, "solved", lambda: frozenset(solved))
    monkeypatch.setattr(progress_file, "saved_entries", saved_entries)
    monkeypatch.setattr(progress_file, "mark_solved", solved.add)
    monkeypatch.setattr(progress_file, "mark_shown", shown.add)
    monkeypatch.setattr(progress_file, "count_check", checked.append)
    monkeypatch.setattr(progress_file, "next_hint", next_hint)
    return solved


class SameProcess:
    """A substitute for `CheckProcess` that checks in this process, which has already loaded web2py."""

    def check(self, exercise: Exercise, answer: Answer) -> Verdict:
        return not_attempted(exercise, answer.missing) if answer.missing else check_answer(exercise, answer.files)

    def __enter__(self) -> SameProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass
