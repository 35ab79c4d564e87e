"""Scaffold a new exercise in the four places where an exercise is written.

The scaffold is a small exercise that works: its stub is not attempted, its solution passes, and each of its wrong
answers gets its diagnosis. Every text that the author has to replace contains the word TODO, and
`tests/course/test_exercises.py` fails until it is gone. The parts of the scaffold are in the folder exercise_template.
"""

from __future__ import annotations

import ast
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
_DRAWS = Path("tests", "support", "draws")


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
    draws = root / _DRAWS / f"lesson{lesson.number}.py"
    name = number.replace(".", "_")
    names = {"number": number, "name": name, "heading": _heading(root, lesson), "lesson": lesson.number}
    texts = {
        notebook: files.dump(_with_cells(files.read(notebook), names)),
        code: _with_check(code.read_text(encoding="utf-8"), names),
        draws: _with_draws(draws.read_text(encoding="utf-8"), names),
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
    """Insert the scenarios and the check function before `RUNS`, and their entry as the last one of `RUNS`."""
    name = names["name"]
    entry = f'"{names["number"]}": (_check_{name}, SCENARIOS{name}),'
    source = _with_entry(source, "RUNS", entry, _filled("check.txt", names))
    return _with_imports(source, "dataclasses import dataclass", "harness.course.catalogue import Pattern, Scenario")


def _with_draws(source: str, names: dict[str, str]) -> str:
    """Insert the strategy of the exercise as the last entry of `DRAWS`."""
    source = _with_entry(source, "DRAWS", _filled("draw.txt", names).rstrip())
    rows = f"harness.course.lessons.lesson{names['lesson']} import Saved{names['name']}"
    return _with_imports(source, "hypothesis import strategies as st", rows)


def _with_entry(source: str, table: str, entry: str, above: str = "") -> str:
    """Insert an entry at the end of a module's dict, and a text above the dict."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    found = next((node for node in nodes if ast.unparse(node).startswith((f"{table} = {{", f"{table}: "))), None)
    if found is None or not isinstance(found.value, ast.Dict):
        raise CourseError(f"the lesson's module has no dict {table}; add the exercise by hand")
    pairs = zip(found.value.keys, found.value.values, strict=True)
    kept = [[ast.get_source_segment(source, node) for node in pair if node] for pair in pairs]
    entries = [*(f"    {': '.join(filter(None, pair))}," for pair in kept), f"    {entry}"]
    lines = source.splitlines()
    begins = lines[found.lineno - 1].partition("{")[0]
    before, after = lines[: found.lineno - 1], lines[found.end_lineno :]
    return "\n".join([*before, *above.splitlines(), f"{begins}{{", *entries, "}", *after]) + "\n"


def _with_imports(source: str, *imports: str) -> str:
    """Insert imports ("dataclasses import dataclass") above the first one that isn't from __future__.

    A name that the module imports already is left out.
    """
    found = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    known = {alias.asname or alias.name for node in found for alias in node.names}
    first = next(node for node in found if "__future__" not in ast.unparse(node))
    wanted = []
    for each in imports:
        module, _, names = each.partition(" import ")
        missing = [name for name in names.split(", ") if name.rpartition(" ")[2] not in known]
        wanted += [f"from {module} import {', '.join(missing)}"] if missing else []
    lines = source.splitlines()
    return "\n".join([*lines[: first.lineno - 1], *wanted, *lines[first.lineno - 1 :]]) + "\n"
