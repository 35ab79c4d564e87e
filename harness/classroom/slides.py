"""Make reveal.js slides of each lesson and its exercises, in one folder that works without a network."""

import copy
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert.exporters import SlidesExporter
from nbformat.v4 import new_markdown_cell

from harness.classroom.instructor_notes import MINUTES, common_mistakes, entry, guide_texts, plain
from harness.course.catalogue import find_exercise, find_prediction
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.normal_form import ASKS, SCREEN, TELLS, height, parts, room_taken
from harness.notebooks.stubs import to_exercise

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")  # to another notebook, which isn't beside the slides
_TEMPLATES = Path(__file__).with_name("slides_template")
_NEEDED = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
_STUB = "YOUR CODE HERE"
_CHECKS = re.compile(r"check\(['\"]([^'\"]+)['\"]\)")
_TALLEST = 22.0  # lines of an exercise and its stub, which slides.js makes fit
_MISTAKES = 3  # in the notes of an exercise
REVEAL = "reveal.js"  # the folder beside the slides
INDEX = "index.html"


def slide_notebook(lesson: Path, answers: Path | None = None) -> Notebook:
    """Return a notebook of slides: the cells of a lesson, then each of its exercises with its stub and its check.

    Args:
        lesson: the notebook in notebooks/. Its exercises come from solutions/, because a learner may have changed the
            notebook in exercises/.
        answers: the folder with the bank of answers, from which the speaker's notes take common mistakes; without it,
            the slides have no notes.

    Raises:
        NotebookError: a notebook can't be read, or the lesson isn't in the state in which `build` writes it.
        CourseError: guide.toml doesn't contain the lesson or one of its predictions, or the bank has no exercise.
    """
    notebook = copy.deepcopy(files.read(lesson))
    _require_built(notebook, lesson)
    solution = lesson.parents[1] / "solutions" / lesson.name
    cells = list(_lesson(notebook.cells))
    if solution.exists():
        cells += _exercises(to_exercise(files.read(solution), str(solution)).cells)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(r"\1", cell.source)
    sources = {cell.id: cell.source for cell in notebook.cells}
    notebook.cells = cells if answers is None else list(_with_notes(cells, sources, lesson.name[:2], answers))
    return notebook


def _require_built(notebook: Notebook, lesson: Path) -> None:
    """Require a lesson of notebooks/ whose cells were run once, from top to bottom."""
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    if lesson.absolute().parent.name != "notebooks":
        raise NotebookError(f"{lesson}: slides are made from the lessons in notebooks/, not from a learner's copy")
    if counts != list(range(1, len(counts) + 1)):
        raise NotebookError(
            f"{lesson}: its cells must be run exactly once, from top to bottom. Run `make build`, or restore the "
            "file with git"
        )


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
    """Yield the text, the stub and the check of each exercise, on two slides if they don't fit on one."""
    used = 0.0
    for cell in cells:
        first = cell.id == cells[0].id
        if cell.cell_type == "markdown" and (first or re.match(r"## \d+\.\d+ ", cell.source)):
            source = cell.source.replace("# ", "## ", 1) if first else cell.source
            used = height(source, cell)
            yield _with(cell, source, "slide" if first else "subslide", prefix="ex-")
        elif cell.cell_type == "code" and _STUB in cell.source:
            used += height(cell.source, cell)
            yield _with(cell, cell.source, "-" if used <= _TALLEST else "subslide", prefix="ex-")
        elif cell.cell_type == "code" and _CHECKS.match(cell.source):
            yield _with(cell, cell.source, "-", prefix="ex-")


def _with_notes(cells: list[Cell], sources: dict[str, str], lesson: str, answers: Path) -> Iterator[Cell]:
    """Yield the cells, and after some of them notes for the speaker.

    Args:
        cells: the cells of the slides.
        sources: the sources of the lesson's own cells, by id.
        lesson: the lesson's number.
        answers: the folder with the bank of answers.
    """
    texts = guide_texts()
    for cell in cells:
        yield cell
        notes = list(_notes(cell, sources.get(cell.id, ""), entry(texts, "lessons", lesson), texts, answers))
        if cell is cells[0]:
            words = entry(texts, "lessons", lesson)
            notes = [f"**Purpose:** {words['for']}", f"**Short of time:** {words['short']}", *notes]
        if notes:
            yield _with(new_markdown_cell(id=f"{cell.id}-notes"[-64:]), "\n\n".join(notes), "notes")


def _notes(cell: Cell, source: str, words: dict[str, Any], texts: dict[str, Any], answers: Path) -> Iterator[str]:
    """Yield the paragraphs of a cell's notes; `source` is what the lesson's notebook contains."""
    if cell.id == words["slow_at"]:
        yield f"**Slow down:** {words['slow']}"
    if asks := ASKS.search(source):
        prediction = find_prediction(asks[1])
        yield f"**Typical votes:** {entry(texts, 'room_says', asks[1])}"
        yield f"**Answer:** {prediction.answer}. {plain(prediction.why)}"
    if checks := _CHECKS.match(cell.source):
        exercise = find_exercise(checks[1])
        yield f"**Common mistakes** in {exercise.number}:"
        yield "\n".join(f"- {plain(each.says)}" for each in common_mistakes(answers, exercise)[:_MISTAKES])
        yield "**Ask:**"
        yield "\n".join(f"{step}. {plain(hint)}" for step, hint in enumerate(exercise.hints, 1))


def _with(cell: Cell, source: str, kind: str, prefix: str = "") -> Cell:
    changed = copy.deepcopy(cell)
    changed.source = source
    changed["id"] = f"{prefix}{cell.id}"[:64]
    changed.metadata["slideshow"] = {"slide_type": kind}
    return changed


def make_slides(
    root: Path,
    reveal: Path,
    target: Path,
    paths: Sequence[Path] = (),
    *,
    answers: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the slides of lessons, and a page that lists all slides in the folder.

    Args:
        root: the folder that holds notebooks/ and solutions/.
        reveal: a folder of reveal.js 5, which holds dist/ and plugin/.
        target: the folder to write to; files with other names stay in it.
        paths: the lessons; all lessons if it is empty.
        answers: the folder with the bank of answers, for the speaker's notes; see `slide_notebook`.
        say: receives each line of the report.

    Returns:
        The HTML files, in the order of the lessons, and then the page that lists them.

    Raises:
        NotebookError: there are no lessons, a lesson can't be read or isn't as `build` writes it, or `reveal` isn't a
            folder of reveal.js.
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
        html, _ = exporter.from_notebook_node(slide_notebook(lesson, answers), resources=resources)
        made.append(target / f"{lesson.stem}.html")
        files.write(made[-1], html)
        say(f"wrote {made[-1]}")
    made.append(target / INDEX)
    files.write(made[-1], _index(root, target))
    say(f"wrote {made[-1]}")
    return made


def _index(root: Path, target: Path) -> str:
    """Return the page that lists the slides in a folder, with the title and the minutes of each lesson."""
    decks = []
    for lesson in files.find(root, "notebooks"):
        if (target / f"{lesson.stem}.html").exists():
            text = files.read(lesson).cells[0].source
            title, minutes = text.splitlines()[0].removeprefix("# ").replace("`", ""), MINUTES.search(text)
            decks.append((f"{lesson.stem}.html", title, minutes and minutes[0]))
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, autoescape=True)
    return environment.get_template("index.html.j2").render(decks=decks)


def _copy_reveal(source: Path, target: Path) -> None:
    for name in _NEEDED:
        if not (source / name).is_file():
            raise NotebookError(f"{source} has no {name}, so it isn't reveal.js; `make slides` installs one")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
