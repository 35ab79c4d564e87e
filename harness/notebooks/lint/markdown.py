"""The headings, links, text and HTML in a Markdown cell, as JupyterLab shows them."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


@lru_cache(maxsize=1024)  # about ten rules read each cell, and each link to a page reads its headings
def _root(source: str) -> SyntaxTreeNode:
    from markdown_it.tree import SyntaxTreeNode

    return SyntaxTreeNode(_parser().parse(source))


def _nodes(source: str, *kinds: str) -> list[SyntaxTreeNode]:
    return [node for node in _root(source).walk() if node.type in kinds]


def to_html(source: str) -> str:
    """Return a text as HTML."""
    return str(_parser().render(source))


def headings(source: str) -> list[tuple[int, str]]:
    """Return the level and the text of each heading in a cell."""
    return [(int(node.tag[1]), _text(node.children[0])) for node in _nodes(source, "heading")]


def anchor(heading: str) -> str:
    """Return the URL fragment of a heading in JupyterLab 4.6: its text with hyphens for spaces, and the same case."""
    return heading.replace(" ", "-")


def links(source: str) -> list[str]:
    """Return the percent-decoded targets of all links and images in a cell."""
    return [unquote(str(node.attrs.get("href", node.attrs.get("src")))) for node in _nodes(source, "link", "image")]


def images(source: str) -> list[tuple[str, str]]:
    """Return the alt text and the source of each image in a cell."""
    return [(node.content.strip(), str(node.attrs["src"])) for node in _nodes(source, "image")]


def items(source: str) -> list[int]:
    """Return the number of items of each list in a cell; nested lists and their items don't count."""
    return [len(node.children) for node in _root(source).children if node.type in ("bullet_list", "ordered_list")]


def prose(source: str) -> str:
    """Return the text of a cell without code spans, code blocks and quotations, in which any spelling is allowed."""
    blocks = [block for block in _root(source).children if block.type != "blockquote"]
    tokens = [token for block in blocks for node in block.walk() if node.type == "inline" for token in _tokens(node)]
    return "".join(token.content if token.type == "text" else " " for token in tokens)


def passages(source: str) -> list[tuple[str, str]]:
    """Return the text of a cell in pieces, each with the target of the link that it is in, or "".

    Headings, tables, quotations and code are left out.
    """
    found: list[tuple[str, str]] = []
    for node in _root(source).walk():
        if node.type == "inline" and not _enclosing(node) & {"heading", "table", "blockquote"}:
            target = ""
            for token in _tokens(node):
                if token.type in ("link_open", "link_close"):
                    target = unquote(str(token.attrs.get("href", "")))
                elif token.type == "text":
                    found.append((token.content, target))
    return found


def _enclosing(node: SyntaxTreeNode) -> set[str]:
    return set() if node.parent is None else {node.parent.type} | _enclosing(node.parent)


def html(source: str) -> list[str]:
    """Return the pieces of raw HTML in a cell, without comments."""
    pieces = [node.content.strip() for node in _nodes(source, "html_block", "html_inline")]
    return [piece for piece in pieces if not piece.startswith("<!--")]


def _text(inline: SyntaxTreeNode) -> str:
    """Return the text that a browser shows for a line of Markdown."""
    shown = {"softbreak": " ", "hardbreak": " "}
    return "".join(shown.get(token.type, token.content) for token in _tokens(inline))


def _tokens(inline: SyntaxTreeNode) -> list[Token]:
    return inline.to_tokens()[0].children or []
