"""`make slides`: each lesson as reveal.js slides, in one folder that needs no network."""

from __future__ import annotations

import ast
import copy
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.course.catalogue import find_prediction
from harness.course.exercise import Prediction
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.slide_types import ASKS, SCREEN, TELLS, height, parts, room_taken
from harness.notebooks.stubs import to_exercise

# A lesson and its exercises as one notebook of slides.

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")  # the other notebooks are not beside the slides


def slide_notebook(lesson: Path) -> Notebook:
    """Return the slides of a lesson: its cells, then each of its exercises with the command that checks it.

    Args:
        lesson: the notebook in notebooks/. Its exercises, if it has any, come from solutions/, because a notebook in
            exercises/ may hold somebody's answers.

    Raises:
        NotebookError: a notebook that cannot be read.
    """
    notebook = copy.deepcopy(files.read(lesson))
    solution = lesson.parents[1] / "solutions" / lesson.name
    cells = list(_lesson(notebook.cells))
    if solution.exists():
        cells += _exercises(to_exercise(files.read(solution), str(solution)).cells)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(r"\1", cell.source)
    notebook.cells = cells
    return notebook


def _lesson(cells: list[Cell]) -> Iterator[Cell]:
    """Yield the cells; one with a section in its middle is two, and its beginning stays with the slide before."""
    used = 0.0
    for cell in cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        *before, source = parts(cell)
        for text in before:
            tail = _with(cell, text, "fragment" if used + height(text, cell) <= SCREEN else "subslide")
            tail["id"] = f"{cell.id}-before"[:64]
            yield tail
        yield _with(cell, source, kind) if cell.cell_type == "markdown" else _vote(cell, kind)
        used = room_taken(cell, kind, used)


def _vote(cell: Cell, kind: str) -> Cell:
    """Return the cell, or, for one that asks a prediction or clears it up, its words as large as those of a text."""
    from nbformat.v4 import new_markdown_cell

    asks = ASKS.fullmatch(cell.source)
    call = asks or TELLS.match(cell.source)
    if call is None:
        return _with(cell, cell.source, kind)
    asked = find_prediction(call[1])
    text = _question(asked) if asks else _answer(asked)
    return _with(new_markdown_cell(id=cell.id), text, kind)


def _question(asked: Prediction) -> str:
    options = "\n".join(f"- **{letter}** {text}" for letter, text in asked.options.items())
    return f"### {asked.question}\n\n{options}"


def _answer(asked: Prediction) -> str:
    return f"> **{asked.answer}: {asked.options[asked.answer]}** {asked.why}"


def _exercises(cells: list[Cell]) -> Iterator[Cell]:
    """Yield, for each exercise, what it asks for and the check, on one slide; the answer cell stays in the notebook."""
    for cell in cells:
        first = cell.id == cells[0].id
        if cell.cell_type == "markdown" and (first or re.match(r"## \d+\.\d+ ", cell.source)):
            source = cell.source.replace("# ", "## ", 1) if first else cell.source
            yield _with(cell, source, "slide" if first else "subslide", prefix="ex-")
        elif cell.cell_type == "code" and _is_check(cell.source):
            yield _with(cell, cell.source, "-", prefix="ex-")


def _is_check(source: str) -> bool:
    return bool(re.match(r"check\(", source)) and isinstance(ast.parse(source).body[0], ast.Expr)


def _with(cell: Cell, source: str, kind: str, prefix: str = "") -> Cell:
    changed = copy.deepcopy(cell)
    changed.source = source
    changed["id"] = f"{prefix}{cell.id}"[:64]
    changed.metadata["slideshow"] = {"slide_type": kind}
    return changed


_TEMPLATES = Path(__file__).with_name("slides_template")
REVEAL = "reveal.js"  # the folder beside the slides
_NEEDED = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")


def make_slides(
    root: Path, reveal: Path, target: Path, paths: Sequence[Path] = (), *, say: Callable[[str], None] = print
) -> list[Path]:
    """Write the slides of lessons.

    Args:
        root: the folder that holds notebooks/ and solutions/.
        reveal: a folder of reveal.js 5, with dist/ and plugin/ in it.
        target: the folder to write to; what is in it stays, but for files of the same names.
        paths: the lessons; all when empty.
        say: called with each line of the report.

    Returns:
        The HTML files, in the order of the lessons.

    Raises:
        NotebookError: there is no lesson, one cannot be read, or `reveal` is no reveal.js.
    """
    lessons = list(paths) or files.find(root, "notebooks")
    if not lessons:
        raise NotebookError(f"{root} holds no notebooks/; run this in the repository's top folder")
    _copy_reveal(reveal, target / REVEAL)
    exporter = _exporter()
    return [_write(exporter, lesson, target, say) for lesson in lessons]


def _copy_reveal(source: Path, target: Path) -> None:
    for name in _NEEDED:
        if not (source / name).is_file():
            raise NotebookError(f"{source} has no {name}, so it is no reveal.js; `make slides` installs one")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _exporter() -> Any:
    from nbconvert.exporters import SlidesExporter

    return SlidesExporter(
        extra_template_basedirs=[str(_TEMPLATES)],
        template_name="slides",
        reveal_url_prefix=REVEAL,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def _write(exporter: Any, lesson: Path, target: Path, say: Callable[[str], None]) -> Path:
    html, _ = exporter.from_notebook_node(slide_notebook(lesson), resources={"metadata": {"name": lesson.stem}})
    path = target / f"{lesson.stem}.html"
    files.write(path, html)
    say(f"wrote {path}")
    return path
