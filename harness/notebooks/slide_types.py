"""Which cell of a lesson begins a slide: a rule gives each cell its `slideshow` metadata, so that nobody has to.

A heading of the second level begins a slide. Below it, cells share a slide as long as they fit on the screen, and
text stays with the code that it introduces; what does not fit goes on a subslide. A prediction is the last thing on its
slide, so that a room can vote before it sees any more, and its answer is a fragment that comes at a key press. A tag
overrules the rule: "slide-here" begins a subslide, "slide-on" stays on the slide, "slide-skip" leaves a cell out.
"""

from __future__ import annotations

import re

from harness.notebooks.files import Cell, Notebook

OVERRULED = {"slide-here": "subslide", "slide-on": "-", "slide-skip": "skip"}
SCREEN = 18.0  # lines of text that a slide of 1280 by 720 shows, at the size that the slides are written in
_TIGHT = 20.0  # the same in the smaller letters that a text and its code may take to stay together
_COLUMNS = 88  # letters in such a line
_FIGURE = 12.0  # lines that a figure covers
_HEADING = re.compile(r"^## ", re.MULTILINE)
ASKS = re.compile(r"(?:^|\n)predict\(['\"]([^'\"]+)['\"]\)$")
TELLS = re.compile(r"^predict\(['\"]([^'\"]+)['\"],[^\n]+\)$")


def with_slides(notebook: Notebook) -> Notebook:
    """Give every cell of a lesson the slide type that the rule, or the cell's tag, says.

    Args:
        notebook: a lesson with its outputs; it is changed.

    Returns:
        The same notebook.
    """
    for cell, kind in zip(notebook.cells, slide_types(notebook.cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def slide_types(cells: list[Cell]) -> list[str]:
    """Return the slide type of each cell: "slide", "subslide", "fragment", "-" (on the same slide) or "skip"."""
    kinds: list[str] = []
    used = 0.0
    for before, cell, following in zip([None, *cells], cells, [*cells[1:], None], strict=False):
        kind = "slide" if before is None else _overruled(cell) or _kind(before, cell, following, used)
        used = room_taken(cell, kind, used)
        kinds.append(kind)
    return kinds


def room_taken(cell: Cell, kind: str, used: float) -> float:
    """Return the lines of the slide that are taken once a cell stands on it, `used` of them by cells before it."""
    if kind == "skip":
        return used
    if ASKS.search(cell.source):
        return SCREEN  # nothing else goes there
    size = height(parts(cell)[-1], cell)
    return size + (used if kind in ("-", "fragment") else 0.0)


def parts(cell: Cell) -> list[str]:
    """Cut a Markdown cell where a section begins in its middle: its first lines still belong to the slide before."""
    begins = _HEADING.search(cell.source) if cell.cell_type == "markdown" else None
    if begins is None or not cell.source[: begins.start()].strip():
        return [cell.source]
    return [cell.source[: begins.start()].rstrip(), cell.source[begins.start() :]]


def height(source: str, cell: Cell) -> float:
    """Estimate how many lines of a slide a cell with this source covers, its outputs included."""
    if cell.cell_type != "code":
        return sum(map(_line, source.splitlines()))
    return 1 + 0.85 * len(source.splitlines()) + sum(map(_output, cell.get("outputs", [])))


def _overruled(cell: Cell) -> str | None:
    return next((OVERRULED[tag] for tag in cell.metadata.get("tags", []) if tag in OVERRULED), None)


def _kind(before: Cell, cell: Cell, following: Cell | None, used: float) -> str:
    if cell.cell_type == "markdown" and _HEADING.search(cell.source):
        return "slide"
    size = height(cell.source, cell)
    if TELLS.match(cell.source):
        return "fragment" if used + size <= SCREEN else "subslide"
    if cell.cell_type == "markdown" and following is not None and following.cell_type == "code":
        together = size + height(following.source, following)
        if used + together > SCREEN and together <= _TIGHT:
            return "subslide"  # text and code both, rather than the text here and the code there
    if used + size > (_TIGHT if before.cell_type == "markdown" else SCREEN):
        return "subslide"
    return "fragment" if TELLS.match(before.source) else "-"  # what is on with a fragment comes with it


def _line(line: str) -> float:
    """Estimate what a line of Markdown covers; a paragraph is one line in the source."""
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
