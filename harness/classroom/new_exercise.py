"""Scaffold a new exercise in the three places where an exercise is written.

The scaffold is a small exercise that works: its stub is not attempted, its solution passes, and each of its wrong
answers gets its diagnosis. Every text that the author has to replace contains the word TODO, and
`tests/course/test_exercises.py` fails until it is gone. The parts of the scaffold are in the folder exercise_template.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from harness.course.catalogue import Lesson, lessons
from harness.errors import CourseError, quoted
from harness.notebooks import files
from harness.notebooks.files import Cell, Node

_TEMPLATES = Path(__file__).with_name("exercise_template")
_ANSWERS = Path("tests", "answers")
_LESSONS = Path("harness", "course", "lessons")


def scaffold(root: Path, number: str) -> list[Path]:
    """Write a new exercise to edit.

    Args:
        root: the repository.
        number: "2.6", the number after the last exercise of its lesson.

    Returns:
        The files that were written, relative to `root`.

    Raises:
        CourseError: the number isn't the next one of a lesson, or a file to write exists or can't be changed.
        NotebookError: the solution notebook can't be read.
    """
    lesson = _lesson_of(number)
    notebook = next(iter(sorted((root / "solutions").glob(f"{lesson.number}_*.ipynb"))), None)
    if notebook is None:
        raise CourseError(f"{root} has no solutions of lesson {lesson.number}; run this in the repository's top folder")
    code, words = (root / _LESSONS / f"lesson{lesson.number}.{kind}" for kind in ("py", "toml"))
    bank = root / _ANSWERS / f"{number}.txt"
    if bank.exists():
        raise CourseError(f"{bank.relative_to(root)} exists; remove it or choose another number")
    names = {"number": number, "name": number.replace(".", "_"), "heading": _heading(root, lesson)}
    texts = {
        notebook: files.dump(_with_cells(files.read(notebook), names)),
        code: _with_check(code.read_text(encoding="utf-8"), names),
        words: words.read_text(encoding="utf-8").rstrip("\n") + "\n\n" + _filled("texts.toml", names),
        bank: _filled("answers.txt", names),
    }
    for path, text in texts.items():
        files.write(path, text)
    return [path.relative_to(root) for path in texts]


def _lesson_of(number: str) -> Lesson:
    known = {f"{int(each.number)}.{len(each.exercises) + 1}": each for each in lessons() if each.exercises}
    if number not in known:
        raise CourseError(f"{quoted(number)} isn't the next exercise of a lesson; the next ones are {', '.join(known)}")
    return known[number]


def _heading(root: Path, lesson: Lesson) -> str:
    """Return the first section of the lesson, for `reread` to begin with."""
    path = next((root / "notebooks").glob(f"{lesson.number}_*.ipynb"))
    sources = (cell.source for cell in files.read(path).cells if cell.cell_type == "markdown")
    return str(next(line[3:] for source in sources for line in source.splitlines() if line.startswith("## ")))


def _with_cells(notebook: files.Notebook, names: dict[str, str]) -> files.Notebook:
    """Insert the cells of the exercise before the last cell, which links to the next lesson."""
    name, number = names["name"], names["number"]
    cells = [
        _cell("markdown", f"ex{name}", _filled("text.md", names).rstrip()),
        _cell("code", f"ex{name}_answer", _filled("solution.txt", names).rstrip(), solution=True),
        _cell("code", f"ex{name}_check", f"check('{number}')", grade=True),
    ]
    notebook.cells[-1:-1] = cells
    return notebook


def _filled(file: str, names: dict[str, str]) -> str:
    return Template((_TEMPLATES / file).read_text(encoding="utf-8")).substitute(names)


def _cell(kind: str, name: str, source: str, *, solution: bool = False, grade: bool = False) -> Cell:
    cell: dict[str, Any] = {"cell_type": kind, "id": name.replace("_", "-"), "metadata": {}, "source": source}
    if kind == "code":
        grading: dict[str, Any] = {"grade": grade, "grade_id": name, "locked": grade, "schema_version": 3}
        grading |= {"solution": solution, "task": False} | ({"points": 1} if grade else {})
        cell |= {"execution_count": None, "metadata": {"nbgrader": grading}, "outputs": []}
    return Node(cell)


def _with_check(source: str, names: dict[str, str]) -> str:
    """Insert the check function before `RUNS`, and its entry as the last one of `RUNS`."""
    runs = next((node for node in ast.parse(source).body if ast.unparse(node).startswith("RUNS = {")), None)
    if not isinstance(runs, ast.Assign) or not isinstance(runs.value, ast.Dict):
        raise CourseError("the lesson's module has no dict RUNS; add the check by hand")
    entries = [f'    "{ast.literal_eval(key)}": {ast.unparse(run)},' for key, run in _items(runs.value)]
    entries.append(f'    "{names["number"]}": (_check_{names["name"]}, (Scenario(),)),')
    lines = source.splitlines()
    before, after = lines[: runs.lineno - 1], lines[runs.end_lineno :]
    return "\n".join([*before, _filled("check.txt", names), "", "RUNS = {", *entries, "}", *after]) + "\n"


def _items(mapping: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    return ((key, value) for key, value in zip(mapping.keys, mapping.values, strict=True) if key is not None)
