"""Rules about what every lesson has: goals, minutes, predictions, a trace or a timeline, a wrap-up."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.cells import magic_first
from harness.notebooks.files import Cell
from harness.notebooks.lint import markdown
from harness.notebooks.lint.page import Found, NotebookPage
from harness.notebooks.normal_form import normalise
from harness.notebooks.slide_types import OVERRULED, slide_types
from harness.notebooks.stubs import blank_regions, parse_python, python_of

WELCOME = "00"  # it shows how a lab works; there is nothing to predict yet
PREDICTIONS = 2


def goals(page: NotebookPage) -> Found:
    opening = page.cells[0] if page.cells else None
    text = opening.source if opening is not None else ""
    if "In this lesson you will" not in text:
        yield opening, "the first cell does not say 'In this lesson you will'"
    elif not 3 <= sum(markdown.items(text)[:1]) <= 5:
        yield opening, "names 3 to 5 goals, as a list"
    if not re.search(r"\b\d+ minutes\b", text):
        yield opening, "the first cell does not say how many minutes the lesson takes"


def wrap_up(page: NotebookPage) -> Found:
    closing = [cell for cell in page.cells[-3:] if cell.cell_type == "markdown"]
    text = "\n\n".join(cell.source for cell in closing)
    if not re.search(r"In this lesson you(?! will)", text):
        yield None, "does not end with 'In this lesson you' and what was done"
    remember = text.partition("remember")[2]
    if markdown.items(remember)[:1] != [3]:
        yield None, "does not end with three things to remember, as a list"
    yield from _ways_on(page, markdown.links(text))


def _ways_on(page: NotebookPage, targets: list[str]) -> Found:
    if page.sibling("solutions").exists() and f"../exercises/{page.path.name}" not in targets:
        yield None, f"does not end with a link to its exercises, ../exercises/{page.path.name}"
    if page.following and page.following not in targets:
        yield None, f"does not end with a link to the next lesson, {page.following}"


def predictions(page: NotebookPage) -> Found:
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


def trace_or_timeline(page: NotebookPage) -> Found:
    names = {call.func.attr for _, call in calls(page) if isinstance(call.func, ast.Attribute)}
    if page.number != WELCOME and not names & {"trace", "timeline"}:
        yield None, "shows neither a trace nor a timeline"


def calls(page: NotebookPage) -> Iterator[tuple[Cell, ast.Call]]:
    """Yield every call in the notebook's own Python, not in the files that its cells write."""
    for cell in page.code:
        if magic_first(cell.source).startswith("%%"):
            continue
        try:
            tree = parse_python(python_of(cell.source))
        except SyntaxError:
            continue  # another rule's business
        yield from ((cell, node) for node in ast.walk(tree) if isinstance(node, ast.Call))


# Rules about the notebook as a file: normal form, counts, ids, tags, and how long it and its cells are.

TAGS = {"raises-exception", *OVERRULED}  # any other tag of nbval takes a cell out of the comparison
CELLS = {"00": (10, 25)}
CELLS_OF_A_LESSON = (25, 40)
WORDS = 150
MEDIAN_WORDS = (30, 50)
LINES = 13
LINES_OF_A_FILE = 20  # a cell that begins with %%controller and the like


def normal_form(page: NotebookPage) -> Found:
    if files.dump(normalise(page.notebook)) != page.text:
        yield None, "not in normal form; taskqueue-course build"


def counts(page: NotebookPage) -> Found:
    found = [cell.execution_count for cell in page.code]
    if found != list(range(1, len(found) + 1)):
        yield None, f"execution counts are not 1 to {len(found)} but {found}; taskqueue-course build"


def ids(page: NotebookPage) -> Found:
    names = [cell.get("id") for cell in page.cells]
    for cell in page.cells:
        if not cell.get("id"):
            yield cell, "has no id; taskqueue-course build"
        elif names.count(cell.id) > 1:
            yield cell, "its id stands in the notebook twice; taskqueue-course build"


def tags(page: NotebookPage) -> Found:
    for cell in page.cells:
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS:
                yield cell, f"has the tag {tag!r}; the course uses only {', '.join(TAGS)}"
    for cell in page.code:
        if "NBVAL_" in cell.source or "PYTEST_VALIDATE_IGNORE_OUTPUT" in cell.source:
            yield cell, "takes itself out of nbval's comparison"


def slides(page: NotebookPage) -> Found:
    for cell, kind in zip(page.cells, slide_types(page.cells), strict=True):
        found = cell.metadata.get("slideshow", {}).get("slide_type")
        if found != kind:
            ways = f"taskqueue-course build, or a tag: {', '.join(OVERRULED)}"
            yield cell, f"has slide type {found!r}, and the rule says {kind!r}; {ways}"


def number_of_cells(page: NotebookPage) -> Found:
    least, most = CELLS.get(page.number, CELLS_OF_A_LESSON)
    if not least <= len(page.cells) <= most:
        yield None, f"has {len(page.cells)} cells; lesson {page.number} may have {least} to {most}"


def words(page: NotebookPage) -> Found:
    for cell in page.markdown:
        count = markdown.words(cell.source)
        if count > WORDS:
            yield cell, f"has {count} words; {WORDS} are the most"


def words_in_the_middle(page: NotebookPage) -> Found:
    middle = median([markdown.words(cell.source) for cell in page.markdown] or [0])
    least, most = MEDIAN_WORDS
    if not least <= middle <= most:
        yield None, f"its Markdown cells have {middle:g} words in the median; {least} to {most} read well"


def lines(page: NotebookPage) -> Found:
    """A solution is measured as the learner finds it: with the stub in place of the answer."""
    for cell in page.code:
        count = len(blank_regions(cell.source, "cell").splitlines())
        most = LINES_OF_A_FILE if magic_first(cell.source).startswith("%%") else LINES
        if count > most:
            yield cell, f"has {count} lines; {most} are the most"


# Rules about links and figures: nothing dead, nothing that only the sighted can read.

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def internal_links(page: NotebookPage) -> Found:
    for cell in page.cells:
        for target in [*markdown.links(cell.source), *_shown_links(cell)] if cell.cell_type != "raw" else []:
            problem = _problem(page, target)
            if problem:
                yield cell, f"links to {target!r}, {problem}"


def _problem(page: NotebookPage, target: str) -> str | None:
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


def figures(page: NotebookPage) -> Found:
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


# Rules about what is nobody else's business: folders of a machine, hosts of a package registry, secrets.

FORBIDDEN = {
    "a machine's path": re.compile(r"(?<![\w.<])/(?:home|root|tmp|Users|work)/\w+|\b[A-Z]:\\\\?Users\\"),
    "a registry's host": re.compile(r"(?:pypi|pythonhosted|npmjs|anaconda|debian)\.(?:org|com)"),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|[?&]token=\w{16}"),
}


def nothing_private(page: NotebookPage) -> Found:
    for cell in page.cells:
        for says in forbidden(json.dumps(cell, ensure_ascii=False)):
            yield cell, says


def forbidden(text: str) -> list[str]:
    """Say what a text holds that should not be published."""
    return [f"holds {what}, {match[0]!r}" for what, pattern in FORBIDDEN.items() if (match := pattern.search(text))]


# Rules about the words: headings in order, raw HTML, the spelling of the field's terms.

# What is right, and what is written instead. Code spans, blocks of code and block quotes are not looked at.
TERMS = {
    "App Engine": r"\b(?!App Engine\b)(?i:app[ -]?engine)\b",
    "backoff": r"\b(?i:back[ -]off)\b",
    "ETA": r"\b(?:eta|Eta|etas)\b",
    "HTTP": r"\b(?:http|Http)\b(?!://)",
    "JSON": r"\b(?:json|Json)\b",
    "JupyterLab": r"\b(?!JupyterLab\b)(?i:jupyter[ -]?lab)\b",
    "Python": r"\bpython\b",
    "queue.yaml": r"\b(?!queue\.yaml\b)(?i:queue\.ya?ml)\b",
    "SQL": r"\b(?:sql|Sql)\b",
    "SQLite": r"\b(?!SQLite\b)(?i:sqlite)\b",
    "task queue, or `taskqueue` for the module": r"\b(?!(?:[Tt]ask queue)\b)(?i:task[ -]?queue)\b",
    "time zone": r"\b[Tt]imezones?\b",
    "Unicode": r"\bunicode\b",
    "URL": r"\b(?:url|Url)s?\b",
    "UTF-8": r"\b(?!UTF-8\b)(?i:utf-?8)\b",
    "web2py": r"\b(?!web2py\b)(?i:web[ -]?2[ -]?py)\b",
}


def headings(page: NotebookPage) -> Found:
    level = 0
    titles = 0
    for cell in page.markdown:
        for depth, text in markdown.headings(cell.source):
            titles += depth == 1
            if depth > level + 1:
                yield cell, f"the heading {text!r} skips a level, from {level} to {depth}"
            level = depth
    if titles != 1:
        yield None, f"has {titles} headings of the first level; a page has one"
    if not page.cells or page.cells[0].cell_type != "markdown" or not page.cells[0].source.startswith("# "):
        yield None, "does not begin with its title"


def no_html(page: NotebookPage) -> Found:
    for cell in page.markdown:
        for text in markdown.html(cell.source):
            yield cell, f"has raw HTML, {text.splitlines()[0]!r}; Markdown does"


def spelling(page: NotebookPage) -> Found:
    for cell in page.markdown:
        text = markdown.prose(cell.source)
        for right, wrong in TERMS.items():
            for match in re.finditer(wrong, text):
                yield cell, f"says {match[0]!r}; we write {right}"
