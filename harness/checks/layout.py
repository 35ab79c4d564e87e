"""Lines that fit: a notebook breaks a long line of output in the middle of a word."""

from __future__ import annotations

import textwrap

WIDTH = 88  # characters; what JupyterLab shows of a line beside its file browser


def wrap(text: str, label: str = "", indent: int = 0) -> str:
    """Break a text into lines that fit.

    Args:
        text: what to say; line breaks of its own are kept.
        label: stands before the first line.
        indent: by how many characters all but the first line of a paragraph are indented.
    """
    first = label.ljust(indent)
    paragraphs = []
    for paragraph in text.splitlines() or [""]:
        paragraphs.append(
            textwrap.fill(
                paragraph,
                WIDTH,
                initial_indent=first,
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
        first = " " * indent
    return "\n".join(paragraphs)
