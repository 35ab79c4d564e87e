"""The page of a timeline: a title, lanes above each other that share one time axis, and a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator

from harness.display.times import clock
from harness.timeline.axis import TimeAxis, ticks
from harness.timeline.picture import BAND, FAINT, GRID, INK, Picture, printable, width_of

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
class Sheet:
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


def open_sheet(
    alt: str,
    title: str,
    lanes: Sequence[Lane],
    axis: TimeAxis,
    first: datetime,
    legend: Sequence[Any] = (),
    margin: float = 0.0,
) -> Sheet:
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
    sheet = Sheet(picture, axis, tuple(_add_lanes(picture, lanes, top, margin)))
    _draw_axis(sheet, first)
    if legend:
        place = {"loc": "lower left", "bbox_to_anchor": (LEFT / WIDTH - 0.012, 0.04 / height), "borderaxespad": 0}
        picture.legend(handles=list(legend), ncols=_COLUMNS, frameon=False, handlelength=1.8, **place)
    return sheet


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


def _draw_axis(sheet: Sheet, first: datetime) -> None:
    marks = ticks(sheet.axis, _LETTER / LANE_WIDTH)
    for axes in sheet.axes:
        axes.xaxis.set_major_locator(FixedLocator([mark.x for mark in marks]))
        for mark in marks:
            _draw_line(sheet, _corner(sheet, axes, mark.x, 0), _corner(sheet, axes, mark.x, 1), GRID, -1.5)
    last = sheet.axes[-1]
    last.tick_params(bottom=True, labelbottom=True, color=FAINT)
    last.set_xticklabels([mark.label for mark in marks])
    unit = "time" if sheet.axis.pressed else sheet.axis.unit[1]
    note = "; the gaps marked // are not to scale" if sheet.axis.pressed else ""
    last.set_xlabel(f"virtual {unit} since {clock(first, first)}{note}")
    for begin, end in sheet.axis.pressed:
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "center", "color": FAINT, "size": 7}
        last.annotate("//", ((begin + end) / 2, 0), annotation_clip=False, **place)


Point = tuple[float, float]


def _corner(sheet: Sheet, axes: Any, x: float, height: float) -> Point:
    """Return a place on the lower (0) or upper (1) edge of a lane, as parts of the picture."""
    return _within(sheet, axes.get_xaxis_transform().transform((x, height)))


def _within(sheet: Sheet, shown: Any) -> Point:
    x, y = sheet.picture.transFigure.inverted().transform(shown)
    return float(x), float(y)


def link(sheet: Sheet, start: tuple[int, float, float], end: tuple[int, float, float]) -> None:
    """Draw a thin line from a place in one lane (its number, x, y) to a place in another, behind all else."""
    begin, finish = (_within(sheet, sheet.axes[lane].transData.transform((x, y))) for lane, x, y in (start, end))
    _draw_line(sheet, begin, finish, FAINT, -1)


def _draw_line(sheet: Sheet, start: Point, end: Point, colour: str, level: float) -> None:
    (x0, y0), (x1, y1) = start, end
    place = sheet.picture.transFigure
    sheet.picture.add_artist(Line2D([x0, x1], [y0, y1], color=colour, linewidth=0.8, zorder=level, transform=place))
