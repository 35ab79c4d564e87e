"""Rules about what every lesson has: goals, minutes, predictions, a trace or a timeline, a wrap-up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from harness.cells import magic_first
from harness.linter import markdown
from harness.linter.page import Found, Page
from harness.notebooks.files import Cell
from harness.notebooks.syntax import parse_python, python_of

WELCOME = "00"  # it shows how a lab works; there is nothing to predict yet
PREDICTIONS = 2


def goals(page: Page) -> Found:
    opening = page.cells[0] if page.cells else None
    text = opening.source if opening is not None else ""
    if "In this lesson you will" not in text:
        yield opening, "the first cell does not say 'In this lesson you will'"
    elif not 3 <= sum(markdown.items(text)[:1]) <= 5:
        yield opening, "names 3 to 5 goals, as a list"
    if not re.search(r"\b\d+ minutes\b", text):
        yield opening, "the first cell does not say how many minutes the lesson takes"


def wrap_up(page: Page) -> Found:
    closing = [cell for cell in page.cells[-3:] if cell.cell_type == "markdown"]
    text = "\n\n".join(cell.source for cell in closing)
    if not re.search(r"In this lesson you(?! will)", text):
        yield None, "does not end with 'In this lesson you' and what was done"
    remember = text.partition("remember")[2]
    if markdown.items(remember)[:1] != [3]:
        yield None, "does not end with three things to remember, as a list"
    yield from _ways_on(page, markdown.links(text))


def _ways_on(page: Page, targets: list[str]) -> Found:
    if page.sibling("solutions").exists() and f"../exercises/{page.path.name}" not in targets:
        yield None, f"does not end with a link to its exercises, ../exercises/{page.path.name}"
    if page.following and page.following not in targets:
        yield None, f"does not end with a link to the next lesson, {page.following}"


def predictions(page: Page) -> Found:
    """A prediction is asked by `predict("1.a")` and cleared up, after the experiment, by a call that says more."""
    if page.number == WELCOME:
        return
    asked: list[str] = []
    cleared: set[str] = set()
    for cell, call in calls(page):
        if isinstance(call.func, ast.Name) and call.func.id == "predict" and call.args:
            name = ast.unparse(call.args[0])
            if len(call.args) + len(call.keywords) == 1:
                asked.append(name)
            elif name in asked:
                cleared.add(name)
            else:
                yield cell, f"clears up the prediction {name} before it is asked"
    for name in asked:
        if name not in cleared:
            yield None, f"asks the prediction {name} and never clears it up"
    if len(cleared) < PREDICTIONS:
        yield None, f"has {len(cleared)} predictions; a lesson has at least {PREDICTIONS}"


def trace_or_timeline(page: Page) -> Found:
    names = {call.func.attr for _, call in calls(page) if isinstance(call.func, ast.Attribute)}
    if page.number != WELCOME and not names & {"trace", "timeline"}:
        yield None, "shows neither a trace nor a timeline"


def calls(page: Page) -> Iterator[tuple[Cell, ast.Call]]:
    """Yield every call in the notebook's own Python, not in the files that its cells write."""
    for cell in page.code:
        if magic_first(cell.source).startswith("%%"):
            continue
        try:
            tree = parse_python(python_of(cell.source))
        except SyntaxError:
            continue  # another rule's business
        yield from ((cell, node) for node in ast.walk(tree) if isinstance(node, ast.Call))
