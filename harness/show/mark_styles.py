"""How the marks of a timeline look: their colours, markers and hatches, in a figure and on a web page."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from harness.show.svg import AMBER, BAND, BLACK, BLUE, DARK, FAINT, GREEN, GRID, INK, PAPER, PURPLE, RED, SKY
from harness.show.timeline_model import Mark


class MarkStyle(NamedTuple):
    """A colour, and matplotlib's names of a marker and of a hatch for areas. Either name may be empty."""

    colour: str
    marker: str
    hatch: str


# The colours are similar to Okabe and Ito's, which colour-blind people can distinguish.
STYLES = {
    Mark.VISIT: MarkStyle(GREEN, ">", ""),
    Mark.BAD_VISIT: MarkStyle(RED, "P", "xxxx"),
    Mark.ADDED: MarkStyle(SKY, "d", ""),
    Mark.ETA: MarkStyle(SKY, "", "/////"),
    Mark.TURN: MarkStyle(SKY, "", ""),
    Mark.DONE: MarkStyle(BLUE, "o", ""),
    Mark.FAILED: MarkStyle(RED, "X", "xxxx"),
    Mark.STOPPED: MarkStyle(PURPLE, "D", "...."),
    Mark.KILLED: MarkStyle(AMBER, "*", "oo"),
    Mark.DROPPED: MarkStyle(INK, "s", ""),
    Mark.DELETED: MarkStyle(FAINT, "v", "----"),
}
ATTEMPTS = (Mark.DONE, Mark.FAILED, Mark.STOPPED, Mark.KILLED, Mark.DROPPED, Mark.DELETED)

_COLOURS = {
    **{"paper": PAPER, "band": BAND, "grid": GRID, "ink": INK, "faint": FAINT, "black": BLACK},
    **{"green": GREEN, "sky": SKY, "blue": BLUE, "red": RED, "purple": PURPLE, "amber": AMBER},
}
_NAMES = {colour: name for name, colour in _COLOURS.items()}
# The markers as SVG paths around (0, 0), and the hatches as SVG paths in a square of 6 by 6.
_MARKERS = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "X": "M-4.4-2.2l2.2-2.2l2.2 2.2l2.2-2.2l2.2 2.2l-2.2 2.2l2.2 2.2l-2.2 2.2l-2.2-2.2l-2.2 2.2l-2.2-2.2l2.2-2.2z",
    "D": "M0-4.8l4.8 4.8l-4.8 4.8l-4.8-4.8z",
    "*": "M0-5.4l1.3 3.7h3.9l-3.1 2.4l1.1 3.8l-3.2-2.3l-3.2 2.3l1.1-3.8l-3.1-2.4h3.9z",
    "s": "M-3.8-3.8h7.6v7.6h-7.6z",
    "v": "M-4.4-3.6h8.8l-4.4 7.6z",
}
_HATCHES = {
    "": "",
    "x": "M-1-1l8 8M-1 7l8-8",
    ".": "M1 1h1v1h-1zM4 4h1v1h-1z",
    "o": "M1.5 3a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0z",
    "-": "M0 1.5h6M0 4.5h6",
}


def stylesheet() -> str:
    """Return CSS with the colours of the figures, for a light and a dark theme.

    It defines a variable for each colour (--paper), and a class for the marks of attempts (.mark-DONE).
    """
    light = "".join(f"--{name}:{colour};" for name, colour in _COLOURS.items())
    dark = "".join(f"--{_NAMES[colour]}:{other};" for colour, other in DARK.items())
    marks = "".join(f".mark-{mark.name}{{fill:{_variable(mark)}}}\n" for mark in ATTEMPTS)
    return f":root{{color-scheme:light dark;{light}}}\n@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n{marks}"


def definitions() -> str:
    """Return SVG elements for `<defs>`: for each mark of an attempt a marker (#marker-DONE) and a fill (#fill-DONE)."""
    parts = []
    for mark in ATTEMPTS:
        _, marker, hatches = STYLES[mark]
        colour, hatch = _variable(mark), _HATCHES[hatches[:1]]
        rim = 'stroke="var(--paper)" stroke-width="0.8" paint-order="stroke"'
        parts.append(f'<path id="marker-{mark.name}" d="{_MARKERS[marker]}" fill="{colour}" {rim}/>')
        lines = f'<path d="{hatch}" fill="none" stroke="var(--paper)" stroke-width="0.7"/>' if hatch else ""
        area = f'<rect width="6" height="6" fill="{colour}"/>{lines}</pattern>'
        parts.append(f'<pattern id="fill-{mark.name}" width="6" height="6" patternUnits="userSpaceOnUse">{area}')
    return "\n".join(parts)


def legend() -> str:
    """Return HTML list items, one for each mark of an attempt: its marker and its name."""
    shape = '<svg class="key" viewBox="-6 -6 12 12" aria-hidden="true"><use href="#marker-{}"/></svg>'
    return "\n".join(f'<li data-mark="{mark.name}">{shape.format(mark.name)} {escape(mark)}</li>' for mark in ATTEMPTS)


def _variable(mark: Mark) -> str:
    return f"var(--{_NAMES[STYLES[mark].colour]})"
