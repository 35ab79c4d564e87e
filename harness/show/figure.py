"""Figures that are displayed as SVG images with an alt text, and the page of lanes that the figures share.

A figure has the same bytes on every run. It doesn't use pyplot, and it neither changes nor uses matplotlib's global
settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import StringIO
from itertools import groupby
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.ticker import FixedLocator

from harness.show.axis import TimeAxis, ticks
from harness.show.svg import BAND, FAINT, GRID, INK, PAPER, add_titles, embed, normalize
from harness.show.text import clean, clock, shorten

_SETTINGS = {
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "figure.dpi": 96,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],  # part of matplotlib
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "harness",
    "text.color": INK,
    "text.parse_math": False,  # a name may contain dollar signs
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}

# The page, in inches.
WIDTH = 9.0
LEFT, RIGHT = 1.2, 0.3
LANE_WIDTH = WIDTH - LEFT - RIGHT
_EDGE = 0.12  # between the edge of the page and the text at the left
_TITLE, _LINE = 0.3, 0.2
_AXIS, _ENTRY = 0.5, 0.21
_BETWEEN = 0.07
_LETTER = 0.075  # the width of a letter below a tick
_ENDS = 0.012  # the part of the axis that is free at each end
_ENTRIES = 4  # of the legend, on one line
_TITLE_SIZE, _BOLD = 11, 1.13  # points; how much wider bold letters are
_COLUMNS = 300  # of a curve


@contextmanager
def style() -> Iterator[None]:
    """Use this module's settings of matplotlib instead of the user's, and restore the user's settings at the end."""
    with matplotlib.style.context(["default", _SETTINGS]):
        yield


class Picture(Figure):
    """A matplotlib figure with an alt text, which is also its text in a terminal.

    Args:
        alt: the alt text.
        title: the text at the top.
        height: in inches.
    """

    def __init__(self, alt: str, title: str, height: float) -> None:
        super().__init__(figsize=(WIDTH, height))
        self.alt = alt
        self._titles: dict[str, str] = {}
        at: dict[str, Any] = {"va": "top", "size": _TITLE_SIZE, "weight": "bold", "linespacing": 1.3}
        self.text(_EDGE / WIDTH, 1 - 0.14 / height, title, **at)

    def __repr__(self) -> str:
        return self.alt

    __str__ = __repr__

    def svg(self) -> str:
        """Return the figure as SVG."""
        file = StringIO()
        with style():
            self.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return add_titles(normalize(file.getvalue()), self._titles)

    def name(self, mark: Any, title: str) -> None:
        """Give a matplotlib artist a title, which appears when the mouse is over it."""
        mark.set_gid(f"mark{len(self._titles)}")
        self._titles[mark.get_gid()] = title

    def _repr_html_(self) -> str:
        return embed(self.svg(), self.alt)


def printable(text: str, limit: int = 18) -> str:
    """Return a shortened name, with a box for each character that the font lacks, for which matplotlib would warn."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(each if font.get_char_index(ord(each)) else "□" for each in shorten(clean(text), limit))


def width_of(text: str, size: float) -> float:
    """Return the width of a text in inches; the size is in points."""
    return sum(map(_advance, text)) * size / 72


@cache
def _advance(letter: str) -> float:
    """Return the width of a letter, relative to the size of the font."""
    font = get_font(findfont("DejaVu Sans"))
    return float(font.load_char(ord(letter), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM)


@dataclass(frozen=True)
class Lane:
    """A lane: its name at the left, on one or more lines, and its height in inches."""

    name: str
    height: float


@dataclass(frozen=True)
class Layout:
    """A page of lanes: one matplotlib Axes a lane, on which x is 0 to 1 from left to right."""

    picture: Picture
    axis: TimeAxis
    axes: tuple[Any, ...]

    def mark_now(self, second: float) -> None:
        """Draw a line through all lanes at the lab's virtual time."""
        x = self.axis.x(second)
        for axes in self.axes:
            axes.axvline(x, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        self.axes[0].annotate("now", (x, 1), (0, 2), **at)

    def link(self, start: Any, end: Any, x: float, rows: tuple[float, float]) -> None:
        """Draw a vertical line at x from a row of one Axes to a row of another, behind everything else."""
        points = ((x, rows[0]), (x, rows[1]))
        line = ConnectionPatch(*points, start.transData, end.transData, color=FAINT, linewidth=0.8, zorder=-1)
        self.picture.add_artist(line)


def open_layout(
    alt: str,
    title: str,
    lanes: Sequence[Lane],
    axis: TimeAxis,
    first: datetime,
    legend: Sequence[Any] = (),
    margin: float = 0.0,
) -> Layout:
    """Return a page with a title, lanes that share one time axis, and a legend.

    Args:
        alt: the alt text.
        title: the title, which is broken at its colon if it is too long for one line.
        lanes: the lanes from top to bottom.
        axis: the time axis.
        first: the virtual time at which the axis begins.
        legend: matplotlib's handles, with their labels.
        margin: the space for labels beyond the end of the axis, as a part of the axis.
    """
    if width_of(title, _TITLE_SIZE) * _BOLD >= WIDTH - 0.3:
        title = title.replace(": ", ":\n")
    entries = -(-len(legend) // _ENTRIES)
    top = _TITLE + _LINE * (title.count("\n") + 1)
    bottom = _AXIS + _ENTRY * entries + 0.12 * bool(entries)
    height = top + sum(lane.height for lane in lanes) + _BETWEEN * (len(lanes) - 1) + bottom
    picture = Picture(alt, title, height)
    layout = Layout(picture, axis, tuple(_add_lanes(picture, lanes, top, margin)))
    _draw_axis(layout, first)
    if legend:
        at = {"loc": "lower left", "bbox_to_anchor": (LEFT / WIDTH - 0.012, 0.04 / height), "borderaxespad": 0}
        picture.legend(handles=list(legend), ncols=_ENTRIES, frameon=False, handlelength=1.8, **at)
    return layout


def _add_lanes(picture: Picture, lanes: Sequence[Lane], top: float, margin: float) -> Iterator[Any]:
    height = picture.get_figheight()
    for lane in lanes:
        bottom = height - top - lane.height
        box = (LEFT / WIDTH, bottom / height, LANE_WIDTH / WIDTH, lane.height / height)
        picture.add_artist(Rectangle(box[:2], *box[2:], facecolor=BAND, transform=picture.transFigure, zorder=-2))
        axes = picture.add_axes(box)
        axes.set(xlim=(-_ENDS, 1 + _ENDS + margin), axisbelow=True)
        axes.spines[:].set_visible(False)
        axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
        middle = (bottom + lane.height / 2) / height
        picture.text(_EDGE / WIDTH, middle, lane.name, va="center", weight="bold", linespacing=1.4)
        top += lane.height + _BETWEEN
        yield axes


def _draw_axis(layout: Layout, first: datetime) -> None:
    marks = ticks(layout.axis, _LETTER / LANE_WIDTH)
    for axes in layout.axes:
        axes.xaxis.set_major_locator(FixedLocator([mark.x for mark in marks]))
        for mark in marks:  # not axes.grid, which would hide the links
            at = {"transform": axes.get_xaxis_transform(), "zorder": -1.5}
            layout.picture.add_artist(Line2D([mark.x] * 2, [0, 1], color=GRID, linewidth=0.8, **at))
    last = layout.axes[-1]
    last.tick_params(bottom=True, labelbottom=True, color=FAINT)
    last.set_xticklabels([mark.label for mark in marks])
    unit = "time" if layout.axis.pressed else layout.axis.unit[1]
    note = "; the gaps marked // are not to scale" if layout.axis.pressed else ""
    last.set_xlabel(f"virtual {unit} since {clock(first, first)}{note}")
    for begin, end in layout.axis.pressed:
        at = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "center", "color": INK, "size": 7}
        last.annotate("//", ((begin + end) / 2, 0), annotation_clip=False, **at)


def set_scale(axes: Any, highest: float) -> None:
    """Give a lane a vertical scale from 0, with a tick at its highest value."""
    axes.set_ylim(0, (highest or 1) * 1.12)
    if highest:
        axes.set_yticks([0, highest], labels=["0", f"{highest:,.4g}" if highest < 1000 else f"{highest:,.0f}"])
        axes.tick_params(axis="y", labelleft=True, length=0)


def draw_steps(axes: Any, places: Sequence[float], values: Sequence[float], colour: str, name: str) -> None:
    """Draw a step curve and its scale; `places` are the x of the steps, and `values` are the values from there on.

    Of each column of the page, only the lowest, the highest and the last value are drawn, because others can't be seen.
    """
    kept: list[int] = []
    for _, group in groupby(range(len(places)), key=lambda index: int(places[index] * _COLUMNS)):
        column = list(group)
        kept += sorted({min(column, key=values.__getitem__), max(column, key=values.__getitem__), column[-1]})
    curve = [places[index] for index in kept], [values[index] for index in kept]
    area = axes.fill_between(*curve, step="post", color=colour, alpha=0.35, linewidth=0, zorder=2)
    marker = "." if len(kept) == 1 else ""
    lines = axes.plot(*curve, color=colour, linewidth=1.3, zorder=3, drawstyle="steps-post", marker=marker)
    for mark in (area, *lines):
        axes.figure.name(mark, f"{name}: {min(values):.3g} to {max(values):.3g}")
    set_scale(axes, max(values))
