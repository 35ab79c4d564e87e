"""A matplotlib figure that shows itself as an SVG image with a text in its place, the same bytes on every run.

pyplot is not used, and matplotlib's global settings are neither changed nor obeyed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import escape
from io import StringIO
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags

from harness.display.values import clean, shorten

PAPER = "#fdfcf8"  # opaque, so that dark text stays readable in a dark theme
INK = "#222222"
FAINT = "#8c8c86"
BAND, GRID = "#f4f1e7", "#dedacb"
_SETTINGS = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "figure.dpi": 96,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "harness",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}
_NUMBER = re.compile(r"scale\([^)]*\)|-?\d+\.\d{3,}")
_COORDINATES = re.compile(r' (?:d|x|y|points|transform)="[^"]*"')
_IDENTIFIER = re.compile(r'(?<=id=")[a-zA-Z][0-9a-f]{10}(?=")')


@contextmanager
def style() -> Iterator[None]:
    """Let matplotlib have our settings, whatever the user's are, and put those back."""
    with matplotlib.style.context(["default", _SETTINGS]):
        yield


class Picture(Figure):
    """A figure with a text that says what it shows.

    Args:
        alt: the text, for those who do not see the figure, and for a terminal.
        width: in inches.
        height: in inches.
    """

    def __init__(self, alt: str, width: float, height: float) -> None:
        super().__init__(figsize=(width, height))
        self.alt = alt

    def __repr__(self) -> str:
        return self.alt

    __str__ = __repr__

    def svg(self) -> str:
        """Return the figure as SVG."""
        file = StringIO()
        with style():
            self.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _same_everywhere(file.getvalue())

    def _repr_html_(self) -> str:
        data = b64encode(self.svg().encode("utf-8")).decode("ascii")
        image = f'<img alt="{escape(self.alt)}" style="max-width:100%" src="data:image/svg+xml;base64,{data}">'
        return f'<figure style="margin:0">{image}</figure>'

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.alt)


def notice(text: str) -> Picture:
    """Return a picture that has nothing to show, and says so."""
    picture = Picture(f"{text}.", 9.0, 0.5)
    picture.text(0.12 / 9.0, 0.5, text, va="center", size=11, weight="bold")
    return picture


def _same_everywhere(svg: str) -> str:
    """Write coordinates to two decimals, and number the identifiers, which are hashes of coordinates.

    The last bits of a float differ from processor to processor; a hundredth of a point is not seen.
    """
    svg = _COORDINATES.sub(lambda found: _round(found.group()), svg)
    for number, name in enumerate(dict.fromkeys(_IDENTIFIER.findall(svg))):
        svg = svg.replace(name, f"i{number}")
    return svg


def _round(attribute: str) -> str:
    return _NUMBER.sub(lambda found: _rounded(found.group()), attribute)


def _rounded(number: str) -> str:
    if number.startswith("scale"):  # of a glyph: small, and the same everywhere
        return number
    return f"{float(number):.2f}".rstrip("0").rstrip(".")


def printable(text: str, limit: int = 18) -> str:
    """Return a name cut to size, with a box for each character that the font lacks (matplotlib would warn)."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(each if font.get_char_index(ord(each)) else "□" for each in shorten(clean(text), limit))


def width_of(text: str, size: float) -> float:
    """Return the width of a text of that size (in points), in inches."""
    return sum(map(_advance, text)) * size / 72


@cache
def _advance(letter: str) -> float:
    """Return the width of a letter as a part of the size of the font."""
    font = get_font(findfont("DejaVu Sans"))
    return float(font.load_char(ord(letter), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM)
