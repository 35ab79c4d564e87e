"""Make reveal.js slides of each lesson and its exercises, in one folder that works without a network."""

import copy
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nbconvert.exporters import SlidesExporter
from nbformat.v4 import new_markdown_cell

from harness.course.catalogue import find_prediction
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.normal_form import ASKS, SCREEN, TELLS, height, parts, room_taken
from harness.notebooks.stubs import to_exercise

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")  # to another notebook, which isn't beside the slides
_TEMPLATES = Path(__file__).with_name("slides_template")
_NEEDED = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
REVEAL = "reveal.js"  # the folder beside the slides


def slide_notebook(lesson: Path) -> Notebook:
    """Return a notebook of slides: the cells of a lesson, then each of its exercises with its check.

    Args:
        lesson: the notebook in notebooks/. Its exercises come from solutions/, because a learner may have changed the
            notebook in exercises/.

    Raises:
        NotebookError: a notebook can't be read.
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
    """Yield the cells. A cell with a section in its middle is split, and its beginning stays on the previous slide."""
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
    """Return the cell, but one that asks or answers a prediction as Markdown, because slides show it larger."""
    asks = ASKS.fullmatch(cell.source)
    call = asks or TELLS.match(cell.source)
    if call is None:
        return _with(cell, cell.source, kind)
    prediction = find_prediction(call[1])
    if asks:
        options = "\n".join(f"- **{letter}** {text}" for letter, text in prediction.options.items())
        text = f"### {prediction.question}\n\n{options}"
    else:
        text = f"> **{prediction.answer}: {prediction.options[prediction.answer]}** {prediction.why}"
    return _with(new_markdown_cell(id=cell.id), text, kind)


def _exercises(cells: list[Cell]) -> Iterator[Cell]:
    """Yield the text and the check of each exercise, on one slide, without the answer cell."""
    for cell in cells:
        first = cell.id == cells[0].id
        if cell.cell_type == "markdown" and (first or re.match(r"## \d+\.\d+ ", cell.source)):
            source = cell.source.replace("# ", "## ", 1) if first else cell.source
            yield _with(cell, source, "slide" if first else "subslide", prefix="ex-")
        elif cell.cell_type == "code" and re.match(r"check\(", cell.source):
            yield _with(cell, cell.source, "-", prefix="ex-")


def _with(cell: Cell, source: str, kind: str, prefix: str = "") -> Cell:
    changed = copy.deepcopy(cell)
    changed.source = source
    changed["id"] = f"{prefix}{cell.id}"[:64]
    changed.metadata["slideshow"] = {"slide_type": kind}
    return changed


def make_slides(
    root: Path, reveal: Path, target: Path, paths: Sequence[Path] = (), *, say: Callable[[str], None] = print
) -> list[Path]:
    """Write the slides of lessons.

    Args:
        root: the folder that holds notebooks/ and solutions/.
        reveal: a folder of reveal.js 5, which holds dist/ and plugin/.
        target: the folder to write to; files with other names stay in it.
        paths: the lessons; all lessons if it is empty.
        say: receives each line of the report.

    Returns:
        The HTML files, in the order of the lessons.

    Raises:
        NotebookError: there are no lessons, a lesson can't be read, or `reveal` isn't a folder of reveal.js.
    """
    lessons = list(paths) or files.find(root, "notebooks")
    if not lessons:
        raise NotebookError(f"{root} holds no notebooks/; run this in the repository's top folder")
    _copy_reveal(reveal, target / REVEAL)
    exporter = SlidesExporter(
        extra_template_basedirs=[str(_TEMPLATES)],
        template_name="slides",
        reveal_url_prefix=REVEAL,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    made = []
    for lesson in lessons:
        resources = {"metadata": {"name": lesson.stem, "path": str(lesson.parent)}}  # the images' paths are relative
        html, _ = exporter.from_notebook_node(slide_notebook(lesson), resources=resources)
        made.append(target / f"{lesson.stem}.html")
        files.write(made[-1], html)
        say(f"wrote {made[-1]}")
    return made


def _copy_reveal(source: Path, target: Path) -> None:
    for name in _NEEDED:
        if not (source / name).is_file():
            raise NotebookError(f"{source} has no {name}, so it isn't reveal.js; `make slides` installs one")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
