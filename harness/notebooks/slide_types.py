"""The slide type of each cell in a lesson: a rule computes the `slideshow` metadata, so nobody writes it by hand.

A heading of the second level begins a slide. The cells below it share the slide while they fit on the screen. A text
stays with the code that it introduces. A cell that doesn't fit goes on a subslide. A prediction is the last cell on its
slide, so the audience can vote before it sees more. The answer is a fragment, which appears at a key press. A tag
overrules the rule: "slide-here" begins a subslide, "slide-on" stays on the slide, and "slide-skip" omits a cell.
"""

import re

from harness.notebooks.files import Cell, Notebook

OVERRULED = {"slide-here": "subslide", "slide-on": "-", "slide-skip": "skip"}
SCREEN = 18.0  # lines of text on a slide of 1280 by 720 pixels, at the normal font size
_TIGHT = 20.0  # lines at the smaller font size that a text and its code may use to stay on one slide
_COLUMNS = 88  # characters in such a line
_FIGURE = 12.0  # the height of a figure, in lines
_HEADING = re.compile(r"^## ", re.MULTILINE)
ASKS = re.compile(r"(?:^|\n)predict\(['\"]([^'\"]+)['\"]\)$")
TELLS = re.compile(r"^predict\(['\"]([^'\"]+)['\"],[^\n]+\)$")


def with_slides(notebook: Notebook) -> Notebook:
    """Set the slide type of every cell in a lesson, from the rule or from the cell's tag.

    The lesson, which must have its outputs, is changed in place and returned.
    """
    for cell, kind in zip(notebook.cells, slide_types(notebook.cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def slide_types(cells: list[Cell]) -> list[str]:
    """Return the slide type of each cell: "slide", "subslide", "fragment", "-" (on the same slide) or "skip"."""
    kinds: list[str] = []
    used = 0.0
    for previous, cell, following in zip([None, *cells], cells, [*cells[1:], None], strict=False):
        kind = "slide" if previous is None else _overruled(cell) or _kind(previous, cell, following, used)
        used = room_taken(cell, kind, used)
        kinds.append(kind)
    return kinds


def room_taken(cell: Cell, kind: str, used: float) -> float:
    """Return how many lines of a slide are used after a cell is added, if the previous cells use `used` lines.

    `kind` is the cell's slide type.
    """
    if kind == "skip":
        return used
    if ASKS.search(cell.source):
        return SCREEN  # a prediction is the last cell on its slide
    size = height(parts(cell)[-1], cell)
    return size + (used if kind in ("-", "fragment") else 0.0)


def parts(cell: Cell) -> list[str]:
    """Return a cell's source in one or two parts.

    A section heading splits a Markdown cell, because the lines above it belong to the previous slide.
    """
    begins = _HEADING.search(cell.source) if cell.cell_type == "markdown" else None
    if begins is None or not cell.source[: begins.start()].strip():
        return [cell.source]
    return [cell.source[: begins.start()].rstrip(), cell.source[begins.start() :]]


def height(source: str, cell: Cell) -> float:
    """Return the estimated height of a cell on a slide in lines, outputs included.

    `source` is the cell's source, or the part of it that the slide shows.
    """
    if cell.cell_type != "code":
        return sum(map(_line, source.splitlines()))
    return 1 + 0.85 * len(source.splitlines()) + sum(map(_output, cell.get("outputs", [])))


def _overruled(cell: Cell) -> str | None:
    return next((OVERRULED[tag] for tag in cell.metadata.get("tags", []) if tag in OVERRULED), None)


def _kind(previous: Cell, cell: Cell, following: Cell | None, used: float) -> str:
    if cell.cell_type == "markdown" and _HEADING.search(cell.source):
        return "slide"
    size = height(cell.source, cell)
    if TELLS.match(cell.source):
        return "fragment" if used + size <= SCREEN else "subslide"
    if cell.cell_type == "markdown" and following is not None and following.cell_type == "code":
        together = size + height(following.source, following)
        if used + together > SCREEN and together <= _TIGHT:
            return "subslide"  # so that text and code are on one slide
    if used + size > (_TIGHT if previous.cell_type == "markdown" else SCREEN):
        return "subslide"
    return "fragment" if TELLS.match(previous.source) else "-"  # a cell appears with the fragment above it


def _line(line: str) -> float:
    """Estimate the height of a line of Markdown; a paragraph is one line in the source."""
    if line.startswith("#"):
        return 2.0
    if line.startswith("|"):
        return 1.4
    return -(-len(line) // _COLUMNS) if line.strip() else 0.4


def _output(output: Cell) -> float:
    if output.output_type == "error":
        return 1 + 0.85 * len("\n".join(output.traceback).splitlines())
    data = output.get("data", {})
    if "<img" in data.get("text/html", ""):
        return _FIGURE
    text = output.get("text", data.get("text/plain", ""))
    return 0.5 + (1.1 if "text/html" in data else 0.85) * len(text.splitlines())
