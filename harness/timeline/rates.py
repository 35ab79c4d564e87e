"""The tokens of a queue, and how many of its tasks wait and run, over virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from harness.display.times import clock, duration
from harness.records import QueueSample
from harness.timeline.axis import lay_out
from harness.timeline.picture import Picture, notice, printable, style
from harness.timeline.sheet import Lane, open_sheet, set_scale

_HEIGHT = 0.95  # inches of a lane
_COLUMNS = 300  # of a curve; of the samples within one, the lowest, the highest and the last are drawn
_LANES = {"tokens\nin the bucket": "#009e73", "tasks\nwaiting": "#56b4e9", "tasks\nrunning": "#0072b2"}


def draw_rate(samples: Sequence[QueueSample], name: str) -> Picture:
    """Draw the samples; see `harness.timeline.rate`."""
    if not samples:
        with style():
            return notice(f"Queue {printable(name, 30)}: nothing has happened yet")
    first = samples[0].at
    axis = lay_out((sample.at - first).total_seconds() for sample in samples)
    places = [axis.x((sample.at - first).total_seconds()) for sample in samples]
    columns = zip(*((sample.tokens, sample.waiting, sample.running) for sample in samples), strict=True)
    with style():
        lanes = [Lane(lane, _HEIGHT) for lane in _LANES]
        sheet = open_sheet(_alt_text(samples, name), _title(samples, name), lanes, axis, first)
        for axes, colour, values in zip(sheet.axes, _LANES.values(), columns, strict=False):
            _draw_steps(axes, places, values, colour)
    return sheet.picture


def _title(samples: Sequence[QueueSample], name: str) -> str:
    name = printable(name, 30)
    waiting, running = max(sample.waiting for sample in samples), max(sample.running for sample in samples)
    fewest, most = min(sample.tokens for sample in samples), max(sample.tokens for sample in samples)
    tokens = f"{most:.3g}" if fewest == most else f"{fewest:.3g} to {most:.3g}"
    return f"Queue {name}: up to {waiting:,} waiting and {running:,} running, {tokens} tokens"


def _alt_text(samples: Sequence[QueueSample], name: str) -> str:
    first, last = samples[0], samples[-1]
    end = f"at the end {last.waiting:,} wait, {last.running:,} run, {last.tokens:.3g} tokens are left"
    long = duration((last.at - first.at).total_seconds())
    return f"Rate. {_title(samples, name)}. It covers {long} of virtual time from {clock(first.at)}; {end}."


def _draw_steps(axes: Any, places: Sequence[float], values: Sequence[float], colour: str) -> None:
    kept = _thin(places, values)
    xs, ys = [places[index] for index in kept], [values[index] for index in kept]
    if len(kept) > 1:
        axes.stairs(ys[:-1], xs, fill=True, color=colour, alpha=0.35, linewidth=0, zorder=2)
    axes.plot(xs, ys, color=colour, linewidth=1.3, drawstyle="steps-post", zorder=3, marker="." if len(xs) == 1 else "")
    set_scale(axes, max(values))


def _thin(places: Sequence[float], values: Sequence[float]) -> list[int]:
    kept: list[int] = []
    for _, group in groupby(range(len(places)), key=lambda index: int(places[index] * _COLUMNS)):
        column = list(group)
        kept += sorted({min(column, key=values.__getitem__), max(column, key=values.__getitem__), column[-1]})
    return kept
