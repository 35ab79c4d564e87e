"""What is said in a notebook, said in a terminal: its calls as commands, its lines as wide as the window."""

from __future__ import annotations

import re
import textwrap

from harness.checks.layout import WIDTH

PROGRAM = "taskqueue-course"  # as messages name it; `in_terminal` puts what the learner called in its place
_CALLS = (
    (r'solution\("([\d.]+)", give_up=True\)', r"taskqueue-course solution \1 --give-up"),
    (r'(check|hint|solution)\("([\d.]+)"\)', r"taskqueue-course \1 \2"),
)
_FACT = re.compile(r"  \S.*?  +(?=\S)")  # "  Diagnosis      " and the like


def in_terminal(text: str, program: str = PROGRAM) -> str:
    """Turn the calls that a message for a notebook names into commands.

    Args:
        text: the message: 'Stuck? hint("1.1")'.
        program: how the learner calls the commands ("python -m harness").
    """
    for pattern, command in _CALLS:
        text = re.sub(pattern, command, text)
    return text.replace(f"{PROGRAM} ", f"{program} ")


def without_advice(text: str) -> str:
    """Leave the last line out, 'Stuck? …', where a key does the same."""
    return text.rpartition("\nStuck? ")[0] or text


def refit(text: str, width: int) -> str:
    """Break a verdict anew for a window that is narrower than a notebook.

    Args:
        text: broken into lines for a notebook.
        width: columns.
    """
    if width >= WIDTH:
        return text
    return "\n".join(_filled(paragraph, indent, width) for paragraph, indent in _paragraphs(text))


def _paragraphs(text: str) -> list[tuple[str, int]]:
    """Put lines that were one back together; with each comes the indentation of its second line."""
    found: list[tuple[str, int]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        continues = found and indent == found[-1][1] != 2 and not line.startswith("Stuck? ")
        if continues:
            found[-1] = (f"{found[-1][0]} {line.strip()}", indent)
        else:
            fact = _FACT.match(line)
            found.append((line, fact.end() if fact else indent))
    return found


def _filled(line: str, indent: int, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(
        line,
        max(width, indent + 20),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
