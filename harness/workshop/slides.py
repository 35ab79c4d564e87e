"""`make slides`: each lesson as reveal.js slides, in one folder that needs no network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import NotebookError
from harness.notebooks import files
from harness.workshop.deck import deck

_TEMPLATES = Path(__file__).parent / "template"
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
    html, _ = exporter.from_notebook_node(deck(lesson), resources={"metadata": {"name": lesson.stem}})
    path = target / f"{lesson.stem}.html"
    files.write(path, html)
    say(f"wrote {path}")
    return path
