"""Lines that fit: a notebook breaks a long line of output in the middle of a word."""

from __future__ import annotations

import re
import textwrap

# A command, or a call that becomes one in a terminal. It stays on one line, so that it can be copied.
COMMAND = re.compile(
    r"(?<![\w/.-])taskqueue-course ([a-z]+(?: (?:all\b|\d+(?:\.\d+)?|--[a-z-]+))*)"
    r'|(?:check|hint|solution)\("[\d.]+"(?:, give_up=True)?\)'
)
GLUE = "\0"  # stands for a space at which no line is broken
WIDTH = 88  # characters; what JupyterLab shows of a line beside its file browser


def wrap(text: str, label: str = "", indent: int = 0) -> str:
    """Break a text into lines that fit.

    Args:
        text: what to say; line breaks of its own are kept.
        label: stands before the first line.
        indent: by how many characters all but the first line of a paragraph are indented.
    """
    first = label.ljust(indent)
    text = COMMAND.sub(lambda found: found[0].replace(" ", GLUE), text)
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
    return "\n".join(paragraphs).replace(GLUE, " ")
