"""Rules about links and figures: nothing dead, nothing that only the sighted can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from harness.errors import NotebookError
from harness.linter import markdown
from harness.linter.page import Found, Page
from harness.notebooks import files
from harness.notebooks.files import Cell

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def internal_links(page: Page) -> Found:
    for cell in page.cells:
        for target in [*markdown.links(cell.source), *_shown_links(cell)] if cell.cell_type != "raw" else []:
            problem = _problem(page, target)
            if problem:
                yield cell, f"links to {target!r}, {problem}"


def _problem(page: Page, target: str) -> str | None:
    """Say why a link leads nowhere; None for one that leads somewhere, or out of the course."""
    if _ELSEWHERE.match(target):
        return None
    name, _, fragment = target.partition("#")
    path = (page.path.parent / name).resolve() if name else page.path
    if not path.exists():
        return "which does not exist"
    if not path.is_relative_to(page.root.resolve()):
        return "which is not in the repository"
    if fragment and path.suffix == ".ipynb" and fragment not in _anchors(path):
        return "a heading that is not there (JupyterLab's anchor is the heading with hyphens for spaces)"
    return None


def _anchors(path: Path) -> set[str]:
    try:
        cells = files.read(path).cells
    except NotebookError:
        return set()
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return {markdown.anchor(heading) for text in texts for _, heading in markdown.headings(text)}


def figures(page: Page) -> Found:
    """An alt text must be where JupyterLab shows it: in the HTML. Images and SVG of their own have no place for it."""
    for cell in page.markdown:
        for alt, source in markdown.images(cell.source):
            if not alt:
                yield cell, f"the image {source!r} has no alt text"
    for cell in page.code:
        for output in cell.outputs:
            yield from ((cell, problem) for problem in _without_alt(output.get("data", {})))


def _without_alt(data: dict[str, Any]) -> Iterator[str]:
    page = _Html(data.get("text/html", ""))
    if any(kind.startswith("image/") for kind in data) and not page.pictures:
        yield "a figure has no alt text; show it as HTML with <img alt=…>"
    elif not all(page.pictures):
        yield "a figure has an empty alt text"


def _shown_links(cell: Cell) -> list[str]:
    outputs = cell.get("outputs", [])
    return [link for output in outputs for link in _Html(output.get("data", {}).get("text/html", "")).links]


class _Html(HTMLParser):
    """The links, and the alt texts of the pictures, in a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self.links.append(unquote(values["href"]))
        elif tag == "img":
            self.pictures.append(values.get("alt", "").strip())
        elif tag == "svg":
            self.pictures.append(values.get("aria-label", "").strip())
