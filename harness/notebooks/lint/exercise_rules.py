"""Rules for solutions, for the exercises that are made from them, and for the small exercises of lessons."""

import ast
import re
from collections.abc import Iterator

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.build import check_source
from harness.notebooks.cells import cell_magic
from harness.notebooks.files import Cell
from harness.notebooks.lint import markdown
from harness.notebooks.lint.lesson_rules import calls
from harness.notebooks.lint.page import Found, NotebookPage
from harness.notebooks.stubs import STUB, digest, has_region, is_stub, origin, to_exercise

PARTS = {"'It works when'": r"It works when", "its size ('About 3 lines')": r"\b[Aa]bout \d+ lines?\b"}
_TAGS = ["raises-exception", "slide-skip"]


def _sections(page: NotebookPage) -> Iterator[tuple[str, Cell, list[Cell]]]:
    """Yield the number of each exercise in a solution, its check, and the cells between the previous check and it."""
    checks = {cell.id: ast.unparse(call.args[0]).strip("'\"") for cell, call in calls(page, "check")}
    above: list[Cell] = []
    for cell in page.cells:
        if cell.id in checks:
            yield checks[cell.id], cell, above
            above = []
        else:
            above.append(cell)


def exercise_checks(page: NotebookPage) -> Found:
    """The checks have the lesson's number and are counted from 1; one follows each cell that the learner fills."""
    sections = list(_sections(page))
    numbers = [number for number, _, _ in sections]
    expected = [f"{int(page.number or 0)}.{index}" for index in range(1, len(numbers) + 1)]
    if not numbers:
        yield None, "has no exercise, because no cell calls check()"
    elif numbers != expected:
        yield None, f"checks {', '.join(numbers)}; expected {', '.join(expected)}"
    checked = [cell.id for _, _, above in sections for cell in above]
    for cell in page.code:
        if has_region(cell) and cell.id not in checked:
            yield cell, "has a region to fill, but no check follows"


def exercise_parts(page: NotebookPage) -> Found:
    """An exercise has a numbered heading, a text with certain parts, a cell to fill for each file, and a check."""
    for number, check, above in _sections(page):
        yield from _text(number, check, above)
        if len(check.source.splitlines()) != 1:
            yield check, "a check cell must contain only the check"
        regions = [cell for cell in above if has_region(cell)]
        if not regions or len({cell.source.partition("\n")[0] for cell in regions}) < len(regions):
            yield check, f"{number} has {len(regions)} cells to fill; an exercise has one for each of its files"
        for cell in regions:
            if not cell_magic(cell.source):
                yield cell, "the cell to fill does not write a file (%%controller, %%model …)"


def _text(number: str, check: Cell, above: list[Cell]) -> Found:
    text = "\n\n".join(cell.source for cell in above if cell.cell_type == "markdown")
    if not any(heading.startswith(f"{number} ") for _, heading in markdown.headings(text)):
        yield check, f"no heading above begins with {number!r}"
    for name, pattern in PARTS.items():
        if not re.search(pattern, text):
            yield check, f"the text of {number} lacks {name}"


def small_exercises(page: NotebookPage) -> Found:
    """A small exercise of a lesson is a text with a heading and certain parts, a cell to fill, and a check.

    The check fails in the lesson as it is delivered, so it has tags for nbval and for the slides.
    """
    sections = list(_sections(page))
    numbers, expected = [number for number, _, _ in sections], [f"{int(page.number or 0)}.{name}" for name in "xy"]
    if numbers and numbers != expected:
        yield None, f"checks {', '.join(numbers)}; expected {', '.join(expected)}"
    for number, check, above in sections:
        yield from _text(number, check, above[-2:-1])
        if not (above and cell_magic(above[-1].source) and STUB.partition("  ")[2] in above[-1].source):
            yield check, f"the cell above doesn't write a file with the mark {STUB.partition('  ')[2]!r}"
        if check.metadata.get("tags") != _TAGS:
            yield check, f"its tags must be {', '.join(_TAGS)}"


def grading(page: NotebookPage) -> Found:
    """Answers and checks have the metadata that nbgrader needs."""
    checks = [check.id for _, check, _ in _sections(page)]
    seen: set[str] = set()
    for cell in page.code:
        grader = cell.metadata.get("nbgrader", {})
        name = grader.get("grade_id")
        if has_region(cell) and not (grader.get("solution") and name):
            yield cell, "has a region, but no nbgrader metadata with solution: true and a grade_id"
        if cell.id in checks and not (grader.get("grade") and name and grader.get("points", 0) > 0):
            yield cell, "is a check, but has no nbgrader metadata with grade: true, points and a grade_id"
        if name in seen:
            yield cell, f"its grade_id {name!r} occurs twice in the notebook"
        seen.update(filter(None, [name]))


def parses(page: NotebookPage) -> Found:
    """Every code cell parses, and so does each cell of the exercise that a solution gives."""
    try:
        check_source(page.notebook, "")
    except NotebookError as error:
        yield None, str(error).removeprefix(", ")


def generated(page: NotebookPage) -> Found:
    """An exercise has the cells that its solution gives; a learner may change the answers and add cells."""
    name = f"solutions/{page.path.name}"
    if not page.sibling("solutions").exists():
        # A learner may copy a stub to another name.
        stubs = (to_exercise(files.read(path), path.name) for path in files.find(page.root, "solutions"))
        if is_stub(page.notebook) and origin(page.notebook) not in map(origin, stubs):
            yield None, f"has no solution, {name}; delete it, or run taskqueue-course build"
        return
    solution = files.read(page.sibling("solutions"))
    stub = to_exercise(solution, name)
    if is_stub(page.notebook) or digest(page.notebook) == digest(stub):
        if origin(page.notebook) != origin(stub):
            yield None, f"differs from the exercise that {name} gives; run taskqueue-course build"
    elif not any(cell.get("execution_count") or cell.get("outputs") for cell in page.code):
        answers = {cell.get("id") for cell in solution.cells if has_region(cell)}
        found = [(cell.cell_type, cell.source) for cell in page.cells]
        for position, cell in enumerate(stub.cells):
            if cell.id not in answers and (cell.cell_type, cell.source) not in found:
                label = files.cell_label(cell, position)
                yield None, f"lacks {label} of {name}; edit that file, then run taskqueue-course build"
