"""What is said in a notebook, said in a terminal: its calls as commands, its lines as wide as the window."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from harness.checks.layout import COMMAND, GLUE, WIDTH

_OF_A_COURSE = ("check", "reset", "watch", "doctor")  # these commands take --course
_CALLS = (
    (r'solution\("([\d.]+)", give_up=True\)', r"taskqueue-course solution \1 --give-up"),
    (r'(check|hint|solution)\("([\d.]+)"\)', r"taskqueue-course \1 \2"),
)
_FACT = re.compile(r"  \S.*?  +(?=\S)")  # "  Diagnosis      " and the like


@dataclass(frozen=True, slots=True)
class Program:
    """How the learner can call our commands.

    Args:
        name: "taskqueue-course", ".venv/bin/taskqueue-course" or "python -m harness".
        course: "--course FOLDER" where the current folder is not in the course, else "".
    """

    name: str
    course: str = ""

    def line(self, arguments: str) -> str:
        """Return a command line that works in the current folder.

        Args:
            arguments: "reset 1.1".
        """
        option = self.course if arguments.split()[0] in _OF_A_COURSE else ""
        return " ".join(filter(None, (self.name, arguments, option)))


def in_terminal(text: str, program: Program, width: int = WIDTH) -> str:
    """Turn the calls and commands in a message into command lines that work, and break it for a narrow window.

    Args:
        text: the message: 'Stuck? hint("1.1")', "To get it back: taskqueue-course reset 1.1".
        program: how the learner can call the commands.
        width: columns.
    """
    for pattern, command in _CALLS:
        text = re.sub(pattern, command, text)
    return refit(_with_lines(text, program), width).replace(GLUE, " ")


def with_commands(text: str, program: Program) -> str:
    """Turn only the commands in a message into command lines that work; calls such as check("1.1") stay."""
    return _with_lines(text, program).replace(GLUE, " ")


def _with_lines(text: str, program: Program) -> str:
    return COMMAND.sub(lambda found: program.line(found[1]).replace(" ", GLUE) if found[1] else found[0], text)


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
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
