"""A card: a title, labelled facts and numbered steps. Text and HTML are two renderings of the same card.

The HTML has only tables, lists and a few inline styles, which JupyterLab's sanitizer keeps. So it looks the same in a
notebook that isn't trusted, in the light and in the dark theme, and a screen reader can read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from harness.show.text import LONG, clean, excerpt, shorten, width

_WIDE = 110  # columns of one line of a fact
_TALL = 14  # lines of one fact
_LEFT = 'style="text-align:left;vertical-align:top;padding:0.2em 0.6em"'  # the notebook's own padding is wider
_LABEL = f'{_LEFT[:-1]};white-space:nowrap"'
_CODE = 'style="white-space:pre-wrap"'


class Fact(NamedTuple):
    """A labelled value: the lines that are shown, the full value if it is longer (else ""), and whether it is code.

    A notebook shows only `summary`, if there is one, until the user clicks on it.
    """

    label: str
    lines: tuple[str, ...]
    full: str = ""
    code: bool = False
    summary: str = ""


class Card(NamedTuple):
    """A title with facts and numbered steps, which are cards themselves; `line` is the card on one line."""

    line: str
    title: str
    facts: tuple[Fact, ...] = ()
    steps: tuple[Card, ...] = ()

    def text(self) -> str:
        """Return the card as text for a terminal."""
        rows = [self.title, *_text_facts(self.facts, "  ")]
        for number, step in enumerate(self.steps, 1):
            mark = f"{number}. "
            rows += ["", mark + step.title] if step.facts else [mark + step.title]
            rows += _text_facts(step.facts, " " * len(mark))
        return "\n".join(rows)

    def html(self) -> str:
        """Return the card as HTML for a notebook."""
        steps = "".join(f'<li style="margin-top:0.7em">{step.html()}</li>' for step in self.steps)
        title = f'<div style="padding:0 0.5em"><strong>{escape(self.title)}</strong></div>'
        return f"<div>{title}{_html_facts(self.facts)}" + (f"<ol>{steps}</ol></div>" if steps else "</div>")


def card(title: str, facts: Iterable[Fact | None] = (), steps: Iterable[Card] = (), *, line: str = "") -> Card:
    """Return a card with its title and line cleaned and shortened, and without the facts that are None."""
    title = shorten(clean(title), _WIDE)
    return Card(shorten(clean(line or title), _WIDE), title, tuple(filter(None, facts)), tuple(steps))


def fact(label: str, value: str | Iterable[str], *, code: bool = False, summary: str = "") -> Fact | None:
    """Return a fact whose value (a string or lines) is cleaned and shortened, or None if the value is empty."""
    text = value if isinstance(value, str) else "\n".join(value)
    if not text.strip():
        return None
    every = [line.rstrip() for line in text.strip("\n").expandtabs(4).split("\n")]
    lines = every
    if len(every) > _TALL:
        head, tail = _TALL * 2 // 3, _TALL // 3
        lines = [*every[:head], f"… {len(every) - head - tail:,} more lines …", *every[-tail:]]
    lines = [_shorten_line(line) for line in lines]
    full = "\n".join(map(clean, every)) if len(text) <= LONG else ""
    return Fact(label, tuple(lines), full if full != "\n".join(lines) else "", code, summary)


def _shorten_line(line: str) -> str:
    short, is_cut = excerpt(line, _WIDE)
    return f"{short} ({len(line):,} characters)" if is_cut else short


def _text_facts(facts: tuple[Fact, ...], indent: str) -> list[str]:
    column = max((width(fact.label) for fact in facts), default=0) + 2
    rows = []
    for fact in facts:
        for number, line in enumerate([fact.summary, *fact.lines] if fact.summary else fact.lines):
            label = "" if number else fact.label
            rows.append(f"{indent}{label}{' ' * (column - width(label))}{line}".rstrip())
    return rows


def _html_facts(facts: tuple[Fact, ...]) -> str:
    rows = ""
    for fact in facts:
        lines = map(escape, fact.lines)
        shown = "<br>".join(f"<code {_CODE}>{line}</code>" if fact.code else line for line in lines)
        value = unfold(shown, fact.full)
        if fact.summary:
            value = f"<details><summary>{escape(fact.summary)}</summary><div>{value}</div></details>"
        rows += f'<tr><th scope="row" {_LABEL}>{escape(fact.label)}</th><td {_LEFT}>{value}</td></tr>'
    return f'<table style="margin:0"><tbody>{rows}</tbody></table>' if rows else ""


def unfold(shown: str, full: str) -> str:
    """Return HTML that shows `full` (plain text) when the user clicks on `shown`; only `shown` if `full` is ""."""
    if not full:
        return shown
    return f"<details><summary>{shown}</summary><code {_CODE}>{escape(full)}</code></details>"
