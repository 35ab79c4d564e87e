"""The normal form of a committed notebook, in which JupyterLab, nbclient and the operating system leave no traces.

If a notebook is saved in JupyterLab and normalised again, it has the same bytes. Display names, versions, timings,
collapsed cells, colours and the machine's folders are removed. Sources, outputs, ids, tags, and the metadata of
nbgrader and the slides are kept.
"""

import copy
import hashlib
import re
from itertools import groupby
from typing import Any

from harness.notebooks.files import Cell, Notebook

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OVERWRITTEN = re.compile(r"^.*\r(?!\n)", re.MULTILINE)
_COUNT = re.compile(r"Cell In\[(\d+)\]")
# IPython writes `File ~/somewhere/site-packages/x.py:1, in f()`, Python itself `File "/somewhere/x.py", line 1`.
_MACHINE_PATH = re.compile(r'(File "?)[^\n"]*[/\\](?:(?:site-packages|python3\.\d+)[/\\]|(?=harness[/\\]))')


def normalise(notebook: Notebook, *, blank: bool = False) -> Notebook:
    """Return a copy of a notebook in normal form; if `blank`, without outputs and counts, as in an exercise."""
    normal = copy.deepcopy(notebook)
    normal.nbformat, normal.nbformat_minor = 4, 5
    normal.metadata = copy.deepcopy(METADATA)
    normal.cells = [cell for cell in normal.cells if cell.get("source", "").strip()]
    give_ids(normal.cells)
    counts = {} if blank else _new_counts(normal.cells)
    for cell in normal.cells:
        _normalise_cell(cell, blank, counts)
    return normal


def give_ids(cells: list[Cell]) -> None:
    """Keep every valid and unique id, and derive the others from the source so that they are reproducible."""
    taken: set[str] = set()
    for cell in cells:
        name = str(cell.get("id", ""))
        number = 0
        while name in taken or not _CELL_ID.fullmatch(name):
            name = hashlib.sha256(f"{number}{cell.get('source')}".encode()).hexdigest()[:8]
            number += 1
        cell["id"] = name
        taken.add(name)


def _new_counts(cells: list[Cell]) -> dict[int, int]:
    """Map the counts of a notebook that was run from top to bottom to 1..n; return {} for any other notebook."""
    counts = [cell.get("execution_count") for cell in cells if cell.cell_type == "code"]
    if None in counts or counts != sorted(set(counts)):
        return {}
    return {old: new for new, old in enumerate(counts, 1)}


def _normalise_cell(cell: Cell, blank: bool, counts: dict[int, int]) -> None:
    cell.source = cell.source.rstrip()
    cell.metadata = {key: cell.metadata[key] for key in ("nbgrader", "slideshow", "tags") if cell.metadata.get(key)}
    if cell.cell_type != "code":
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    elif blank:
        cell.outputs, cell.execution_count = [], None
    else:
        count = cell.get("execution_count")
        cell.execution_count = counts.get(count, count)
        cell.outputs = [_normalise_output(output, cell, counts) for output in _coalesce(cell.get("outputs", []))]


def _coalesce(outputs: list[Any]) -> list[Any]:
    """Merge neighbouring stream outputs, stdout first, because a kernel interleaves the two streams at random."""
    merged: list[Any] = []
    for is_stream, group in groupby(outputs, key=lambda output: output.output_type == "stream"):
        for output in sorted(group, key=lambda output: output.name, reverse=True) if is_stream else group:
            if is_stream and merged and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
    return merged


def _normalise_output(output: Any, cell: Cell, counts: dict[int, int]) -> Any:
    if output.output_type == "stream":
        output.text = _OVERWRITTEN.sub("", output.text)
    elif output.output_type == "execute_result":
        output.execution_count = cell.execution_count
    elif output.output_type == "error":
        output.traceback = [_normalise_traceback(text, counts) for text in output.traceback]
    return output


def _normalise_traceback(text: str, counts: dict[int, int]) -> str:
    from click import unstyle  # imported late, because `import harness` must be fast

    plain = _MACHINE_PATH.sub(r"\1", unstyle(text))
    return _COUNT.sub(lambda match: f"Cell In[{counts.get(int(match[1]), int(match[1]))}]", plain)


# The slide type of each cell in a lesson: a rule computes the `slideshow` metadata, so nobody writes it by hand.

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
    if line.startswith("!["):
        return _FIGURE
    return -(-len(line) // _COLUMNS) if line.strip() else 0.4


def _output(output: Cell) -> float:
    if output.output_type == "error":
        return 1 + 0.85 * len("\n".join(output.traceback).splitlines())
    data = output.get("data", {})
    if "<img" in data.get("text/html", ""):
        return _FIGURE
    text = output.get("text", data.get("text/plain", ""))
    return 0.5 + (1.1 if "text/html" in data else 0.85) * len(text.splitlines())
