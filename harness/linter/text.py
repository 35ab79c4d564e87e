"""Rules about the words: headings in order, raw HTML, the spelling of the field's terms."""

from __future__ import annotations

import re

from harness.linter import markdown
from harness.linter.page import Found, Page

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


def headings(page: Page) -> Found:
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


def no_html(page: Page) -> Found:
    for cell in page.markdown:
        for text in markdown.html(cell.source):
            yield cell, f"has raw HTML, {text.splitlines()[0]!r}; Markdown does"


def spelling(page: Page) -> Found:
    for cell in page.markdown:
        text = markdown.prose(cell.source)
        for right, wrong in TERMS.items():
            for match in re.finditer(wrong, text):
                yield cell, f"says {match[0]!r}; we write {right}"
