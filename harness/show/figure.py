"""A matplotlib figure that shows itself as an SVG image with a text in its place, the same bytes on every run.

pyplot is not used, and matplotlib's global settings are neither changed nor obeyed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html import escape
from io import StringIO
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator

from harness.show.axis import TimeAxis, ticks
from harness.show.text import clean, clock, shorten

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


# The page of a timeline: a title, lanes above each other that share one time axis, and a legend below.

# All in inches.
WIDTH = 9.0
LEFT, RIGHT = 1.2, 0.3
LANE_WIDTH = WIDTH - LEFT - RIGHT
_TITLE, _LINE = 0.3, 0.2
_AXIS, _ENTRY = 0.5, 0.21
_BETWEEN = 0.07
_ENDS = 0.012  # what the axis has beyond its first and last instant, as a part of it
_COLUMNS = 4  # of the legend
_TITLE_SIZE, _BOLD = 11, 1.13  # points; how much wider bold letters are
_LETTER = 0.075  # the width of a letter below a tick


@dataclass(frozen=True)
class Lane:
    """One lane: its name at the left (perhaps on two lines), and its height in inches."""

    name: str
    height: float


@dataclass(frozen=True)
class Layout:
    """An open page: one matplotlib Axes a lane, all with places 0 to 1 from left to right."""

    picture: Picture
    axis: TimeAxis
    axes: tuple[Any, ...]

    def now(self, second: float) -> None:
        """Draw a line through all lanes where the lab's clock stands."""
        x = self.axis.x(second)
        for axes in self.axes:
            axes.axvline(x, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        self.axes[0].annotate(
            "now", (x, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center"
        )


def queue_name(lane: str) -> str:
    """Return the name of a queue's lane."""
    return f"queue\n{printable(lane, 15)}"


def open_layout(
    alt: str,
    title: str,
    lanes: Sequence[Lane],
    axis: TimeAxis,
    first: datetime,
    legend: Sequence[Any] = (),
    margin: float = 0.0,
) -> Layout:
    """Lay out a page.

    Args:
        alt: the picture's text.
        title: what the picture shows, in a sentence.
        lanes: from top to bottom.
        axis: shared by all lanes.
        first: the virtual instant at which the axis begins.
        legend: matplotlib's handles, with their labels.
        margin: what the labels at the right need beyond the end of the axis, as a part of the axis.
    """
    fits = width_of(title, _TITLE_SIZE) * _BOLD < WIDTH - 0.3
    lines = [title] if fits else title.replace(": ", ":\n").split("\n")
    entries = -(-len(legend) // _COLUMNS)
    top = _TITLE + _LINE * len(lines)
    bottom = _AXIS + _ENTRY * entries + 0.12 * bool(entries)
    height = top + sum(lane.height for lane in lanes) + _BETWEEN * (len(lanes) - 1) + bottom
    picture = Picture(alt, WIDTH, height)
    picture.text(
        0.12 / WIDTH, 1 - 0.14 / height, "\n".join(lines), va="top", size=_TITLE_SIZE, weight="bold", linespacing=1.3
    )
    layout = Layout(picture, axis, tuple(_add_lanes(picture, lanes, top, margin)))
    _draw_axis(layout, first)
    if legend:
        place = {"loc": "lower left", "bbox_to_anchor": (LEFT / WIDTH - 0.012, 0.04 / height), "borderaxespad": 0}
        picture.legend(handles=list(legend), ncols=_COLUMNS, frameon=False, handlelength=1.8, **place)
    return layout


def set_scale(axes: Any, highest: float, top: float | None = None) -> None:
    """Give a lane a scale from 0, with a mark at its highest value.

    Args:
        axes: the lane's.
        highest: the value at the mark.
        top: where that value is drawn, when not at itself.
    """
    top = highest if top is None else top
    axes.set_ylim(0, (top or 1) * 1.12)
    if highest:
        axes.set_yticks([0, top], labels=["0", f"{highest:,.4g}" if highest < 1000 else f"{highest:,.0f}"])
        axes.tick_params(axis="y", labelleft=True, length=0)


def _add_lanes(picture: Picture, lanes: Sequence[Lane], top: float, margin: float) -> list[Any]:
    added, height = [], picture.get_figheight()
    for lane in lanes:
        bottom = height - top - lane.height
        place = (LEFT / WIDTH, bottom / height, LANE_WIDTH / WIDTH, lane.height / height)
        picture.add_artist(Rectangle(place[:2], *place[2:], facecolor=BAND, transform=picture.transFigure, zorder=-2))
        axes = picture.add_axes(place)
        axes.set(xlim=(-_ENDS, 1 + _ENDS + margin), axisbelow=True)
        axes.spines[:].set_visible(False)
        axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
        middle = (bottom + lane.height / 2) / height
        picture.text(0.12 / WIDTH, middle, lane.name, va="center", weight="bold", linespacing=1.4)
        top += lane.height + _BETWEEN
        added.append(axes)
    return added


def _draw_axis(layout: Layout, first: datetime) -> None:
    marks = ticks(layout.axis, _LETTER / LANE_WIDTH)
    for axes in layout.axes:
        axes.xaxis.set_major_locator(FixedLocator([mark.x for mark in marks]))
        for mark in marks:
            _draw_line(layout, _corner(layout, axes, mark.x, 0), _corner(layout, axes, mark.x, 1), GRID, -1.5)
    last = layout.axes[-1]
    last.tick_params(bottom=True, labelbottom=True, color=FAINT)
    last.set_xticklabels([mark.label for mark in marks])
    unit = "time" if layout.axis.pressed else layout.axis.unit[1]
    note = "; the gaps marked // are not to scale" if layout.axis.pressed else ""
    last.set_xlabel(f"virtual {unit} since {clock(first, first)}{note}")
    for begin, end in layout.axis.pressed:
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "center", "color": FAINT, "size": 7}
        last.annotate("//", ((begin + end) / 2, 0), annotation_clip=False, **place)


Point = tuple[float, float]


def _corner(layout: Layout, axes: Any, x: float, height: float) -> Point:
    """Return a place on the lower (0) or upper (1) edge of a lane, as parts of the picture."""
    return _within(layout, axes.get_xaxis_transform().transform((x, height)))


def _within(layout: Layout, shown: Any) -> Point:
    x, y = layout.picture.transFigure.inverted().transform(shown)
    return float(x), float(y)


def link(layout: Layout, start: tuple[int, float, float], end: tuple[int, float, float]) -> None:
    """Draw a thin line from a place in one lane (its number, x, y) to a place in another, behind all else."""
    begin, finish = (_within(layout, layout.axes[lane].transData.transform((x, y))) for lane, x, y in (start, end))
    _draw_line(layout, begin, finish, FAINT, -1)


def _draw_line(layout: Layout, start: Point, end: Point, colour: str, level: float) -> None:
    (x0, y0), (x1, y1) = start, end
    place = layout.picture.transFigure
    layout.picture.add_artist(Line2D([x0, x1], [y0, y1], color=colour, linewidth=0.8, zorder=level, transform=place))
