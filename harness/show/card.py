"""A card: a title, labelled facts, numbered steps. Every record is made into a card once; text and HTML are two
renderings of it, so that they cannot tell different stories.

The HTML holds tables and lists only, with the few inline styles that JupyterLab's sanitizer leaves in place: it looks
the same in a notebook that is not trusted, in the light and in the dark theme, and reads well aloud.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from harness.show.text import LONG, clean, shorten, width

_WIDE = 110  # columns of one line of a fact
_TALL = 14  # lines of one fact
_LEFT = 'style="text-align:left;vertical-align:top"'
_CODE = 'style="white-space:pre-wrap"'


class Fact(NamedTuple):
    """A labelled value: what is shown of it, line by line, and all of it where that is more ("" where it is not)."""

    label: str
    lines: tuple[str, ...]
    full: str = ""
    code: bool = False


class Card(NamedTuple):
    """A title with its facts, and steps that are cards themselves; `line` is the card on one line."""

    line: str
    title: str
    facts: tuple[Fact, ...] = ()
    steps: tuple[Card, ...] = ()

    def text(self) -> str:
        """Render for a terminal."""
        return "\n".join([self.title, *_text_facts(self.facts, "  "), *_text_steps(self.steps)])

    def html(self) -> str:
        """Render for a notebook."""
        steps = "".join(f'<li style="margin-top:0.7em">{step.html()}</li>' for step in self.steps)
        return f"<div><strong>{escape(self.title)}</strong>{_html_facts(self.facts)}" + (
            f"<ol>{steps}</ol></div>" if steps else "</div>"
        )


def fact(label: str, value: str | Iterable[str], *, code: bool = False) -> Fact | None:
    """Make a fact of any text or lines of text, cleaned and cut to size; None of an empty one."""
    text = value if isinstance(value, str) else "\n".join(value)
    if not text.strip():
        return None
    every = [line.rstrip() for line in text.strip("\n").expandtabs(4).split("\n")]
    lines = [_cut(line) for line in _cut_lines(every)]
    whole = "\n".join(map(clean, every)) if len(text) <= LONG else ""
    return Fact(label, tuple(lines), whole if whole != "\n".join(lines) else "", code)


def _cut(line: str) -> str:
    sample = clean(line if len(line) < 2000 else line[:1000] + line[-1000:])
    short = shorten(sample, _WIDE)
    return short if short == sample else f"{short} ({len(line):,} characters)"


def _cut_lines(lines: list[str]) -> list[str]:
    if len(lines) <= _TALL:
        return lines
    head, tail = _TALL * 2 // 3, _TALL // 3
    return [*lines[:head], f"… {len(lines) - head - tail:,} more lines …", *lines[-tail:]]


def card(title: str, facts: Iterable[Fact | None] = (), steps: Iterable[Card] = (), *, line: str = "") -> Card:
    """Make a card, without its empty facts; titles are cleaned and cut to size like the facts."""
    title = shorten(clean(title), _WIDE)
    return Card(shorten(clean(line or title), _WIDE), title, tuple(filter(None, facts)), tuple(steps))


def _text_facts(facts: tuple[Fact, ...], indent: str) -> list[str]:
    column = max((width(fact.label) for fact in facts), default=0) + 2
    rows = []
    for one in facts:
        for place, line in enumerate(one.lines):
            label = "" if place else one.label
            rows.append(f"{indent}{label}{' ' * (column - width(label))}{line}".rstrip())
    return rows


def _text_steps(steps: tuple[Card, ...]) -> list[str]:
    rows = []
    for number, step in enumerate(steps, 1):
        mark = f"{number}. "
        rows += ["", mark + step.title] if step.facts else [mark + step.title]
        rows += _text_facts(step.facts, " " * len(mark))
    return rows


def _html_facts(facts: tuple[Fact, ...]) -> str:
    rows = "".join(
        f'<tr><th scope="row" {_LEFT}>{escape(one.label)}</th><td {_LEFT}>{_html_value(one)}</td></tr>' for one in facts
    )
    return f'<table style="margin:0"><tbody>{rows}</tbody></table>' if rows else ""


def _html_value(one: Fact) -> str:
    lines = map(escape, one.lines)
    shown = "<br>".join(f"<code {_CODE}>{line}</code>" if one.code else line for line in lines)
    return unfold(shown, one.full)


def unfold(shown: str, full: str) -> str:
    """Wrap a shortened HTML value so that a click (or Enter) shows all of it; `full` is "" when that is all."""
    if not full:
        return shown
    return f"<details><summary>{shown}</summary><code {_CODE}>{escape(full)}</code></details>"
