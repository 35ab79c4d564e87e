"""The headings, links, words and HTML in a Markdown cell, as JupyterLab shows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def headings(source: str) -> list[tuple[int, str]]:
    """Return the level and the text of each heading in a cell."""
    tokens = _parser().parse(source)
    pairs = zip(tokens, tokens[1:], strict=False)
    return [(int(head.tag[1]), _text(inline)) for head, inline in pairs if head.type == "heading_open"]


def anchor(heading: str) -> str:
    """Return the URL fragment of a heading in JupyterLab 4.6: its text with hyphens for spaces, and the same case."""
    return heading.replace(" ", "-")


def links(source: str) -> list[str]:
    """Return the percent-decoded targets of all links and images in a cell."""
    names = {"link_open": "href", "image": "src"}
    return [unquote(str(token.attrGet(names[token.type]))) for token in _inline(source) if token.type in names]


def images(source: str) -> list[tuple[str, str]]:
    """Return the alt text and the source of each image in a cell."""
    return [(token.content.strip(), str(token.attrGet("src"))) for token in _inline(source) if token.type == "image"]


def items(source: str) -> list[int]:
    """Return the number of items of each list in a cell; nested lists and their items don't count."""
    lengths: list[int] = []
    for token in _parser().parse(source):
        if token.level == 0 and token.type in ("bullet_list_open", "ordered_list_open"):
            lengths.append(0)
        elif token.level == 1 and token.type == "list_item_open":
            lengths[-1] += 1
    return lengths


def words(source: str) -> int:
    """Return the number of words in a cell, with code spans, but without code blocks and link targets."""
    return sum(len(_text(token).split()) for token in _parser().parse(source) if token.type == "inline")


def prose(source: str) -> str:
    """Return the text of a cell without code spans, code blocks and quotations, in which any spelling is allowed."""
    quoted = 0
    parts: list[str] = []
    for token in _parser().parse(source):
        quoted += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if token.type == "inline" and not quoted:
            parts += [child.content if child.type == "text" else " " for child in token.children or []]
    return "".join(parts)


def html(source: str) -> list[str]:
    """Return the pieces of raw HTML in a cell, without comments."""
    blocks = [token.content for token in _parser().parse(source) if token.type == "html_block"]
    inline = [token.content for token in _inline(source) if token.type == "html_inline"]
    return [text.strip() for text in blocks + inline if not text.lstrip().startswith("<!--")]


def _inline(source: str) -> Iterator[Token]:
    for token in _parser().parse(source):
        yield from token.children or []


def _text(inline: Token) -> str:
    """Return the text that a browser shows for a line of Markdown."""
    shown = {"softbreak": " ", "hardbreak": " "}
    return "".join(shown.get(child.type, child.content) for child in inline.children or [])
