"""The HTML cards that `check`, `hint`, `solution` and `certificate` show in an open notebook.

JupyterLab's sanitizer keeps only simple inline styles in a notebook that isn't trusted. So a card has few styles. Its
text has the colour of the theme, its mark has a background of its own, and a card without its styles can still be read.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path

from harness.course.catalogue import Exercise, body, exercises, solution_cells
from harness.course.open_notebook import exercise_link, section_link
from harness.course.verdict import CheckOutcome, Verdict

_GREEN, _RED, _AMBER, _BLUE = "#1a7f37", "#c62828", "#8a5a00", "#1565c0"  # white text on each has a contrast of 4.5
_MARKS = {
    CheckOutcome.CORRECT: ("✓", _GREEN),
    CheckOutcome.SOLVED_EARLIER: ("✓", _GREEN),
    CheckOutcome.WRONG: ("✗", _RED),
    CheckOutcome.ERROR: ("!", _RED),
    CheckOutcome.NOT_ATTEMPTED: ("–", _AMBER),
    CheckOutcome.EDITED: ("–", _AMBER),
}
_HELP = ("?", _BLUE)
_WRAPPED = "overflow-wrap:anywhere"  # breaks only a word that is wider than the page
_LEFT = "text-align:left;vertical-align:top"
_CODE = re.compile(r"`([^`\n]+)`|((?:check|hint|solution)\(&quot;[\w.]+&quot;(?:, give_up=True)?\))")
_KINDS = ("Keyword", "String", "Comment", "Number", "Operator")  # pygments' tokens, and JupyterLab's variables


def verdict_card(verdict: Verdict, exercise: Exercise, notebook: Path, solved: frozenset[str]) -> str:
    """Return a verdict as HTML.

    Args:
        verdict: the verdict.
        exercise: the exercise.
        notebook: the open notebook, which will contain the links.
        solved: the numbers of the solved exercises.
    """
    parts = [_facts(verdict, exercise, notebook)]
    if verdict.needs_work:
        parts.append(_paragraph(_prose(f'Stuck? hint("{verdict.exercise}")')))
    elif verdict.outcome is not CheckOutcome.EDITED and exercise in exercises():  # a small exercise is part of a lesson
        parts.append(next_step(notebook, solved, exercise))
    stop = ":" if verdict.outcome is CheckOutcome.CORRECT else "."
    return _card(*_MARKS[verdict.outcome], f"{verdict.title}{stop}", verdict.summary, *parts)


def hint_card(title: str, text: str) -> str:
    """Return a hint as HTML."""
    return _card(*_HELP, f"{title}:", text)


def unsolved_card(text: str) -> str:
    """Return the message that an exercise isn't solved yet as HTML."""
    return _card(*_MARKS[CheckOutcome.NOT_ATTEMPTED], "", text)


def solution_card(exercise: Exercise) -> str:
    """Return the solution of an exercise as HTML, with colours for its code.

    Raises:
        CourseError: the solutions are not installed.
    """
    cells = [
        f'<pre style="margin:0.5em 0;white-space:pre-wrap;{_WRAPPED}">{_highlighted(name, source)}</pre>'
        for name, source in solution_cells(exercise).items()
    ]
    why = _paragraph(f"<strong>Why:</strong> {_prose(exercise.explains)}") if exercise.explains else ""
    return _card(*_HELP, f"{exercise.number} {exercise.title}: a solution", "", *cells, why)


def certificate_card(svg: str, alt: str, lines: Iterable[str]) -> str:
    """Return a certificate as HTML.

    Args:
        svg: the page.
        alt: the content of the page as text.
        lines: the sentences that report what happened to the files.
    """
    data = b64encode(svg.encode()).decode()
    style = "max-width:100%;width:40em;border:1px solid #888888"
    image = f'<img alt="{escape(alt)}" style="{style}" src="data:image/svg+xml;base64,{data}">'
    return image + "".join(map(_paragraph, map(escape, lines)))


def next_step(notebook: Path, solved: frozenset[str], after: Exercise | None = None) -> str:
    """Return a paragraph with a link to the next unsolved exercise.

    Args:
        notebook: the open notebook, which will contain the link.
        solved: the numbers of the solved exercises.
        after: an exercise. The exercises below it are searched first. By default, the first unsolved one is the next.
    """
    found = next_exercise(solved, after)
    if found is None:
        return _paragraph("All exercises of the course are solved.")
    return _paragraph(f"Next exercise: {linked(exercise_link(notebook, found), f'{found.number} {found.title}')}")


def next_exercise(solved: frozenset[str], after: Exercise | None = None) -> Exercise | None:
    """Return the next unsolved exercise below `after`, or else of the whole course, or None if all are solved."""
    every = list(exercises())
    start = every.index(after) + 1 if after else 0
    return next((each for each in [*every[start:], *every[:start]] if each.number not in solved), None)


def _card(mark: str, colour: str, title: str, text: str, *parts: str) -> str:
    badge = f"display:inline-block;min-width:1.5em;text-align:center;color:#ffffff;background-color:{colour}"
    head = f'<span style="{badge}">{mark}</span> <strong>{escape(title)}</strong> {_prose(text)}'
    style = f"border-left:4px solid {colour};padding:0.2em 0 0.2em 0.8em;max-width:62em;{_WRAPPED}"
    return f'<div style="{style}">{_paragraph(head)}{"".join(parts)}</div>'


def _facts(verdict: Verdict, exercise: Exercise, notebook: Path) -> str:
    """Return the facts as HTML: a row of a table for each one with a label, and paragraphs for the others."""
    html = ""
    for is_row, group in groupby(verdict.facts, key=lambda fact: bool(fact[0])):
        if is_row:
            rows = "".join(_row(label, _value(label, text, verdict, exercise, notebook)) for label, text in group)
            html += f'<table style="margin:0.3em 0"><tbody>{rows}</tbody></table>'
        else:
            html += "".join(_lines([text for _, text in group]))
    return html


def _row(label: str, value: str) -> str:
    """Return a row of a table; the label isn't broken, and the value wraps."""
    head = f'<th scope="row" style="{_LEFT};white-space:nowrap">{escape(label)}</th>'
    return f'<tr>{head}<td style="{_LEFT};white-space:pre-wrap;{_WRAPPED}">{value}</td></tr>'


def _value(label: str, text: str, verdict: Verdict, exercise: Exercise, notebook: Path) -> str:
    if label != "Reread" or verdict.mistake is None:
        return _prose(text) if label == "Diagnosis" else escape(text)
    mistake = exercise.mistakes[verdict.mistake]
    return linked(section_link(notebook, mistake.lesson or exercise.lesson, mistake.reread), text)


def _lines(texts: list[str]) -> list[str]:
    """Return the lines of a message as HTML; indented lines are code."""
    html = []
    for is_code, group in groupby(texts, key=lambda text: text.startswith("  ")):
        if is_code:
            html.append(f'<pre style="margin:0;white-space:pre-wrap;{_WRAPPED}">{escape(chr(10).join(group))}</pre>')
        else:
            html += [_paragraph(_prose(text)) for text in group]
    return html


def _paragraph(html: str) -> str:
    return f'<p style="margin:0.3em 0;white-space:pre-wrap">{html}</p>'


def _prose(text: str) -> str:
    """Return a text as HTML, in which `code` and calls such as hint("1.1") have the font of code."""
    return _CODE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", escape(text))


def linked(link: str, text: str) -> str:
    """Return a text as a link in HTML, or without a link if `link` is ""."""
    return f'<a href="{escape(link)}">{escape(text)}</a>' if link else escape(text)


def _highlighted(file: str, source: str) -> str:
    """Return a cell that writes a file as HTML, with JupyterLab's colours for code.

    The variables with these colours exist only in JupyterLab, and its sanitizer removes them. Then the code has the
    colour of the text.
    """
    from pygments.lexers import get_lexer_for_filename

    magic = source.partition("\n")[0]
    tokens = get_lexer_for_filename(file.rpartition("/")[2], stripnl=False).get_tokens(body(source))
    html = escape(magic)
    for name, group in groupby(tokens, key=lambda token: next((each for each in _KINDS if each in set(token[0])), "")):
        text = escape("".join(text for _, text in group))
        html += f'<span style="color:var(--jp-mirror-editor-{name.lower()}-color)">{text}</span>' if name else text
    return html.rstrip()
