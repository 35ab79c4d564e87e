"""Rules about solutions, from which the exercises are made, and about the exercises made from them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.build import check_source
from harness.notebooks.cells import cell_magic
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.lint import markdown
from harness.notebooks.lint.lesson_rules import calls
from harness.notebooks.lint.page import Found, NotebookPage
from harness.notebooks.stubs import digest, has_region, is_stub, origin, to_exercise

PARTS = {"It works when": r"It works when", "its size ('About 3 lines')": r"\b[Aa]bout \d+ lines?\b"}


@dataclass
class Section:
    """An exercise in a solution notebook: all that stands between the check before and its own."""

    number: str
    check: Cell
    cells: list[Cell] = field(default_factory=list)


def sections(page: NotebookPage) -> list[Section]:
    """Cut a solution notebook at its checks."""
    checks = {cell.id: ast.unparse(call.args[0]).strip("'\"") for cell, call in calls(page) if _is_check(call)}
    found: list[Section] = []
    pending: list[Cell] = []
    for cell in page.cells:
        if cell.id in checks:
            found.append(Section(checks[cell.id], cell, pending))
            pending = []
        else:
            pending.append(cell)
    return found


def _is_check(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "check" and bool(call.args)


def exercise_numbers(page: NotebookPage) -> Found:
    numbers = [section.number for section in sections(page)]
    expected = [f"{int(page.number or 0)}.{place}" for place in range(1, len(numbers) + 1)]
    if not numbers:
        yield None, "has no exercise: no cell calls check()"
    elif numbers != expected:
        yield None, f"checks {', '.join(numbers)}; expected {', '.join(expected)}"


def exercise_parts(page: NotebookPage) -> Found:
    for section in sections(page):
        text = "\n\n".join(cell.source for cell in section.cells if cell.cell_type == "markdown")
        if not any(heading.startswith(f"{section.number} ") for _, heading in markdown.headings(text)):
            yield section.check, f"no heading above begins with {section.number!r}"
        for name, pattern in PARTS.items():
            if not re.search(pattern, text):
                yield section.check, f"the text of {section.number} does not say {name}"
        if len(section.check.source.splitlines()) != 1:
            yield section.check, "a check cell holds the check and nothing else"
        yield from _answer(section)


def _answer(section: Section) -> Found:
    regions = [cell for cell in section.cells if has_region(cell)]
    if len(regions) != 1:
        yield section.check, f"{section.number} has {len(regions)} cells to fill; an exercise has one"
    for cell in regions:
        if not cell_magic(cell.source):
            yield cell, "the cell to fill does not write a file (%%controller, %%model …)"


def regions_have_checks(page: NotebookPage) -> Found:
    belonging = [cell.id for section in sections(page) for cell in section.cells]
    for cell in page.code:
        if has_region(cell) and cell.id not in belonging:
            yield cell, "has a region to fill, and no check follows"


def grading(page: NotebookPage) -> Found:
    """nbgrader finds the cells that it grades by their metadata."""
    checks = [section.check.id for section in sections(page)]
    seen: set[str] = set()
    for cell in page.code:
        grader = cell.metadata.get("nbgrader", {})
        name = grader.get("grade_id")
        if has_region(cell) and not (grader.get("solution") and name):
            yield cell, "has a region, and no nbgrader metadata with solution: true and a grade_id"
        if cell.id in checks and not (grader.get("grade") and name and grader.get("points", 0) > 0):
            yield cell, "is a check, and has no nbgrader metadata with grade: true, points and a grade_id"
        if name in seen:
            yield cell, f"its grade_id {name!r} stands in the notebook twice"
        seen.update(filter(None, [name]))


def parses(page: NotebookPage) -> Found:
    """Every code cell parses, in a solution also as the learner finds it."""
    try:
        check_source(page.notebook, "")
    except NotebookError as error:
        yield None, str(error).removeprefix(", ")


def way_back(page: NotebookPage) -> Found:
    if page.sibling("notebooks").exists():
        targets = {target for cell in page.markdown for target in markdown.links(cell.source)}
        if not any(target.partition("#")[0] == f"../notebooks/{page.path.name}" for target in targets):
            yield None, f"has no link to its lesson, ../notebooks/{page.path.name}"
    else:
        yield None, f"has no lesson of the same name, notebooks/{page.path.name}"


def way_on(page: NotebookPage) -> Found:
    """Who has solved the last exercise goes on from there, without a way back through the lesson."""
    last = page.cells[-1].source if page.cells[-1:] == page.markdown[-1:] else ""
    if page.following and f"../notebooks/{page.following}" not in markdown.links(last):
        yield None, f"does not end with a link to the next lesson, ../notebooks/{page.following}"


def generated(page: NotebookPage) -> Found:
    """An exercise has the cells that its solution gives; a learner writes answers and adds cells."""
    name = f"solutions/{page.path.name}"
    if not page.sibling("solutions").exists():
        if is_stub(page.notebook) and origin(page.notebook) not in map(origin, _stubs(page.root)):
            yield None, f"has no solution, {name}; delete it, or run taskqueue-course build"
        return
    solution = files.read(page.sibling("solutions"))
    stub = to_exercise(solution, name)
    if is_stub(page.notebook) or digest(page.notebook) == digest(stub):
        if origin(page.notebook) != origin(stub):
            yield None, f"is not what {name} gives; taskqueue-course build"
    elif not any(cell.get("execution_count") or cell.get("outputs") for cell in page.code):
        yield from _edited(page, solution, stub)


def _stubs(root: Path) -> Iterator[Notebook]:
    """Yield the exercises that the solutions give: a learner may keep a copy of one under another name."""
    return (to_exercise(files.read(path), path.name) for path in files.find(root, "solutions"))


def _edited(page: NotebookPage, solution: Notebook, stub: Notebook) -> Found:
    """Find the cells that a learner leaves alone, in a notebook that was never run, and so is not a learner's."""
    answers = {cell.get("id") for cell in solution.cells if has_region(cell)}
    found = [(cell.cell_type, cell.source) for cell in page.cells]
    for position, cell in enumerate(stub.cells):
        if cell.id not in answers and (cell.cell_type, cell.source) not in found:
            label = files.cell_label(cell, position)
            yield None, f"lacks {label} of solutions/{page.path.name}; edit that file, then taskqueue-course build"
