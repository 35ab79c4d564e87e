"""Rules for lessons, and for all notebooks: their parts, their form as a file, their links, and their wording.

Each rule yields its violations. Its docstring states the rule.
"""

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.cells import magic_first
from harness.notebooks.files import Cell
from harness.notebooks.lint import markdown
from harness.notebooks.lint.page import Found, NotebookPage
from harness.notebooks.normal_form import OVERRULED, normalise, slide_types
from harness.notebooks.stubs import blank_regions, parse_python, python_of

WELCOME = "00"  # shows how a lab works, and needs no predictions and no trace
PREDICTIONS = 2
TAGS = {"raises-exception", *OVERRULED}  # nbval's other tags exclude a cell from the comparison
LINES = 13  # in a code cell
LINES_OF_A_FILE = 20  # in a cell with a magic such as %%controller
GLOSSARY = "GLOSSARY.md"  # in the folder of the lessons; each term is a heading of the second level
# A term is linked at its first use. The other entries of the glossary have an everyday meaning too.
NEW_TERMS = {
    *("action", "attempt", "backoff", "controller", "countdown", "cron service", "datastore", "dead letter"),
    *("deployment", "dispatcher", "environ", "ETA", "fan-out", "front end", "HTTP target", "ID token", "idempotent"),
    *("instance", "lab", "loading request", "outbox", "payload", "pull queue", "push queue", "queue", "rollback"),
    *("signed URL", "task", "ticket", "tombstone", "transaction", "unique index", "virtual time", "worker", "WSGI"),
}
_BUILD = "run taskqueue-course build"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

FORBIDDEN = {
    "a machine's path": re.compile(r"(?<![\w.<])/(?:home|root|tmp|Users|work)/\w+|\b[A-Z]:\\\\?Users\\"),
    "a registry's host": re.compile(r"(?:pypi|pythonhosted|npmjs|anaconda|debian)\.(?:org|com)"),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|[?&]token=\w{16}"),
}
# The right spelling, and a pattern of wrong ones. Code spans, code blocks and quotations are not checked.
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


def goals(page: NotebookPage) -> Found:
    """A lesson begins with its goals and its duration."""
    opening = page.cells[0] if page.cells else None
    text = opening.source if opening is not None else ""
    if "In this lesson you will" not in text:
        yield opening, "the first cell does not contain 'In this lesson you will'"
    elif not 3 <= sum(markdown.items(text)[:1]) <= 5:
        yield opening, "the first cell does not list 3 to 5 goals"
    if not re.search(r"\b\d+ minutes\b", text):
        yield opening, "the first cell does not state how many minutes the lesson takes"


def wrap_up(page: NotebookPage) -> Found:
    """A lesson ends with a summary and three things to remember."""
    closing = [cell for cell in page.cells[-3:] if cell.cell_type == "markdown"]
    text = "\n\n".join(cell.source for cell in closing)
    parts = {
        "'In this lesson you' and a summary": re.search(r"In this lesson you(?! will)", text),
        "a list of three things to remember": markdown.items(text.partition("remember")[2])[:1] == [3],
    }
    yield from ((None, f"does not end with {part}") for part, found in parts.items() if not found)


def neighbours(page: NotebookPage) -> Found:
    """A notebook links to the previous and the next one in a line below its title, and in the same line at its end."""
    if page.path.parent.name == "solutions" and not page.sibling("notebooks").exists():
        yield None, f"has no lesson of the same name, notebooks/{page.path.name}"
    line = page.neighbours
    paragraphs = [cell.source.split("\n\n") for cell in (page.cells[0], page.cells[-1])] if line and page.cells else []
    if paragraphs and paragraphs[0][1:2] != [line]:
        yield page.cells[0], f"the paragraph below the title isn't {line!r}"
    if paragraphs and paragraphs[1][-1] != line:
        yield page.cells[-1], f"the last paragraph of the notebook isn't {line!r}"


def predictions(page: NotebookPage) -> Found:
    """A lesson asks predictions with `predict("1.a")`, and answers them later with a second argument."""
    if page.number == WELCOME:
        return
    asked: list[str] = []
    answered: set[str] = set()
    for cell, call in calls(page, "predict"):
        name = ast.unparse(call.args[0])
        if len(call.args) + len(call.keywords) == 1:
            asked.append(name)
        elif name in asked:
            answered.add(name)
        else:
            yield cell, f"answers the prediction {name} before it is asked"
    for name in asked:
        if name not in answered:
            yield None, f"asks the prediction {name} but never answers it"
    if len(answered) < PREDICTIONS:
        yield None, f"answers {len(answered)} predictions; a lesson needs at least {PREDICTIONS}"


def trace_or_timeline(page: NotebookPage) -> Found:
    """A lesson shows a trace or a timeline."""
    names = {call.func.attr for _, call in calls(page) if isinstance(call.func, ast.Attribute)}
    if page.number != WELCOME and not names & {"trace", "timeline"}:
        yield None, "shows neither a trace nor a timeline"


def calls(page: NotebookPage, function: str = "") -> Iterator[tuple[Cell, ast.Call]]:
    """Yield the calls in a notebook's Python code with their cells, but not the calls in files that its cells write.

    If `function` isn't "", only the calls of this function that have a positional argument are yielded.
    """
    for cell in page.code:
        if magic_first(cell.source).startswith("%%"):
            continue
        try:
            tree = parse_python(python_of(cell.source))
        except SyntaxError:
            continue  # `exercise_rules.parses` reports it
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (not function or node.args and ast.unparse(node.func) == function):
                yield cell, node


def normal_form(page: NotebookPage) -> Found:
    """The file is in normal form, in which every cell has a unique id."""
    if files.dump(normalise(page.notebook)) != page.text:
        yield None, f"not in normal form; {_BUILD}"


def counts(page: NotebookPage) -> Found:
    """The execution counts are those of one run from top to bottom."""
    found = [cell.execution_count for cell in page.code]
    if found != list(range(1, len(found) + 1)):
        yield None, f"execution counts are not 1 to {len(found)} but {found}; {_BUILD}"


def tags(page: NotebookPage) -> Found:
    """No tag and no comment excludes a cell from nbval's comparison."""
    for cell in page.cells:
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS:
                yield cell, f"has the tag {tag!r}; the course uses only {', '.join(TAGS)}"
    for cell in page.code:
        if "NBVAL_" in cell.source or "PYTEST_VALIDATE_IGNORE_OUTPUT" in cell.source:
            yield cell, "excludes itself from nbval's comparison"


def slides(page: NotebookPage) -> Found:
    """Every cell has the slide type that the rule gives."""
    for cell, kind in zip(page.cells, slide_types(page.cells), strict=True):
        found = cell.metadata.get("slideshow", {}).get("slide_type")
        if found != kind:
            advice = f"{_BUILD}, or add a tag: {', '.join(OVERRULED)}"
            yield cell, f"has slide type {found!r}, but the rule gives {kind!r}; {advice}"


def lengths(page: NotebookPage) -> Found:
    """Every code cell is short; in a solution, the stub is counted instead of the answer."""
    for cell in page.code:
        most = LINES_OF_A_FILE if magic_first(cell.source).startswith("%%") else LINES
        count = len(blank_regions(cell.source, "cell").splitlines())
        if count > most:
            yield cell, f"has {count} lines; the maximum is {most}"


def internal_links(page: NotebookPage) -> Found:
    """The target of every link to the repository exists, in texts and in outputs."""
    for cell in [*page.markdown, *page.code]:
        shown = [_attributes(output.get("data", {}), a="href") for output in cell.get("outputs", [])]
        for target in [*markdown.links(cell.source), *map(unquote, chain(*shown))]:
            if problem := _problem(page, target):
                yield cell, f"links to {target!r}, {problem}"


def _problem(page: NotebookPage, target: str) -> str | None:
    """Return why a link is broken; None for a valid or external link."""
    if _SCHEME.match(target):
        return None
    name, _, fragment = target.partition("#")
    path = (page.path.parent / name).resolve() if name else page.path
    if not path.exists():
        return "which does not exist"
    if not path.is_relative_to(page.root.resolve()):
        return "which is not in the repository"
    if fragment and path.suffix in (".ipynb", ".md") and fragment not in _anchors(path):
        return "a heading that does not exist (JupyterLab's anchor is the heading with hyphens for spaces)"
    return None


def _anchors(path: Path) -> set[str]:
    if path.suffix == ".md":
        texts = [path.read_text(encoding="utf-8")]
    else:
        try:
            cells = files.read(path).cells
        except NotebookError:
            return set()
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return {markdown.anchor(heading) for text in texts for _, heading in markdown.headings(text)}


def glossary(page: NotebookPage) -> Found:
    """The first use of a term that is new to learners links to its entry in the glossary.

    Headings, tables, quotations, code and the texts of other links are no uses.
    """
    terms = {term.lower(): term for term in sorted(NEW_TERMS, key=len, reverse=True)}  # "push queue" before "queue"
    pattern = re.compile(rf"\b({'|'.join(terms)})s?\b", re.IGNORECASE)
    seen: set[str] = set()
    for cell in page.markdown:
        for text, target in markdown.passages(cell.source):
            if target and target.partition("#")[0] != GLOSSARY:
                continue
            for match in pattern.finditer(text):
                term = terms[match[1].lower()]
                entry = f"{GLOSSARY}#{markdown.anchor(term)}"
                if term not in seen and target != entry:
                    yield cell, f"the first use of {match[0]!r} does not link to {entry}"
                seen.add(term)


def figures(page: NotebookPage) -> Found:
    """Every figure has an alt text in HTML, because outputs of the types image and SVG can't have one in JupyterLab."""
    for cell in page.markdown:
        for alt, source in markdown.images(cell.source):
            if not alt:
                yield cell, f"the image {source!r} has no alt text"
    for cell in page.code:
        for output in cell.outputs:
            data = output.get("data", {})
            texts = _attributes(data, img="alt", svg="aria-label")
            if any(kind.startswith("image/") for kind in data) and not texts:
                yield cell, "a figure has no alt text; show it as HTML with <img alt=…>"
            elif not all(texts):
                yield cell, "a figure has an empty alt text"


def _attributes(data: dict[str, Any], **wanted: str) -> list[str]:
    """Return the values of an attribute of the wanted tags in an output's HTML; "" for each tag without it."""
    values: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in wanted:
                values.append((dict(attrs).get(wanted[tag]) or "").strip())

    parser = Parser()
    parser.feed(data.get("text/html", ""))
    parser.close()
    return values


def nothing_private(page: NotebookPage) -> Found:
    """No cell contains a machine's path, a package registry's host, or a secret."""
    for cell in page.cells:
        for message in forbidden(json.dumps(cell, ensure_ascii=False)):
            yield cell, message


def forbidden(text: str) -> list[str]:
    """Return a message for each kind of text that must not be published, such as "contains a secret, …"."""
    return [f"contains {kind}, {match[0]!r}" for kind, pattern in FORBIDDEN.items() if (match := pattern.search(text))]


def headings(page: NotebookPage) -> Found:
    """A notebook begins with its only title, and no heading skips a level."""
    level = 0
    titles = 0
    for cell in page.markdown:
        for depth, text in markdown.headings(cell.source):
            titles += depth == 1
            if depth > level + 1:
                yield cell, f"the heading {text!r} skips a level, from {level} to {depth}"
            level = depth
    if titles != 1:
        yield None, f"has {titles} headings of the first level instead of one"
    if not page.cells or page.cells[0].cell_type != "markdown" or not page.cells[0].source.startswith("# "):
        yield None, "does not begin with its title"


def no_html(page: NotebookPage) -> Found:
    """Markdown cells contain no raw HTML."""
    for cell in page.markdown:
        for text in markdown.html(cell.source):
            yield cell, f"has raw HTML, {text.splitlines()[0]!r}; use Markdown instead"


def spelling(page: NotebookPage) -> Found:
    """The terms of the field have one spelling."""
    for cell in page.markdown:
        text = markdown.prose(cell.source)
        for right, wrong in TERMS.items():
            for match in re.finditer(wrong, text):
                yield cell, f"contains {match[0]!r}; write {right}"
