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
    _give_ids(normal.cells)
    counts = {} if blank else _new_counts(normal.cells)
    for cell in normal.cells:
        _normalise_cell(cell, blank, counts)
    return normal


def _give_ids(cells: list[Cell]) -> None:
    """Keep every valid and unique id, and derive the others from the source so that they are reproducible."""
    taken: set[str] = set()
    for cell in cells:
        name = str(cell.get("id", ""))
        number = 0
        while name in taken or not _CELL_ID.fullmatch(name):
            name = hashlib.sha256(f"{number}{cell.source}".encode()).hexdigest()[:8]
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
