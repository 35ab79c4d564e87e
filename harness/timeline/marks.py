"""How each mark looks: a colour that the colour-blind tell apart (Okabe and Ito's), and a shape or a hatch besides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.timeline.picture import PAPER
from harness.timeline.scene import Mark


class Look(NamedTuple):
    """A colour, a marker for what takes no time, and a hatch for what is drawn as an area."""

    colour: str
    marker: str = ""
    hatch: str = ""


LOOKS = {
    Mark.VISIT: Look("#009e73", ">"),
    Mark.BAD_VISIT: Look("#d55e00", "P", "xxxx"),
    Mark.ADDED: Look("#56b4e9", "d"),
    Mark.ETA: Look("#56b4e9", hatch="/////"),
    Mark.TURN: Look("#56b4e9"),
    Mark.DONE: Look("#0072b2", "o"),
    Mark.FAILED: Look("#d55e00", "X", "xxxx"),
    Mark.STOPPED: Look("#cc79a7", "D", "...."),
    Mark.DROPPED: Look("#222222", "s"),
    Mark.DELETED: Look("#8c8c86", "v", "----"),
}


def area(mark: Mark) -> dict[str, Any]:
    """Return the arguments with which matplotlib fills an area, to be told from others by its hatch."""
    look = LOOKS[mark]
    if mark is Mark.ETA:
        return {"facecolor": PAPER, "edgecolor": look.colour, "hatch": look.hatch, "linewidth": 0.8}
    return {"facecolor": look.colour, "edgecolor": "white", "hatch": look.hatch, "linewidth": 0}


def bar(mark: Mark) -> dict[str, Any]:
    """Return the arguments with which matplotlib fills a bar that has a marker at its end."""
    return area(mark) if not LOOKS[mark].marker else {"facecolor": LOOKS[mark].colour, "linewidth": 0}


def spot(mark: Mark, size: float) -> dict[str, Any]:
    """Return the arguments with which matplotlib sets a marker."""
    look = LOOKS[mark]
    rim = {"markeredgecolor": "white", "markeredgewidth": 0.6}
    return {"color": look.colour, "marker": look.marker, "markersize": size, "linestyle": "none", **rim}


def handles(marks: Iterable[Mark], *, areas: bool = False) -> list[Any]:
    """Return the entries of a legend, in the order of `Mark`; with `areas` all as areas."""
    wanted = set(marks)
    return [_handle(mark, areas) for mark in Mark if mark in wanted]


def _handle(mark: Mark, as_area: bool) -> Any:
    if as_area or not LOOKS[mark].marker:
        return Patch(label=mark, **area(mark))
    return Line2D([], [], label=mark, **spot(mark, 8))
