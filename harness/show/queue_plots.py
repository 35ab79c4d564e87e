"""The waits between a queue's retries, drawn attempt by attempt."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate, groupby
from typing import Any, NamedTuple

from matplotlib.ticker import NullLocator

from harness.records import QueueSample
from harness.show.axis import lay_out
from harness.show.figure import (
    BAND,
    FAINT,
    GRID,
    LANE_WIDTH,
    LEFT,
    WIDTH,
    Lane,
    Picture,
    notice,
    open_layout,
    printable,
    set_scale,
    style,
    width_of,
)
from harness.show.text import clock, duration, quantity

_LOGARITHMIC = 100  # the ratio of the longest wait to the shortest from which the axis is logarithmic
_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(2 * 3600, 6 * 3600, 43200, 86400, 2 * 86400, 5 * 86400, 10 * 86400, 20 * 86400, 50 * 86400, 100 * 86400),
)
_HEIGHT, _BOTTOM = 3.9, 0.95  # inches
_TEXT, _LINE = 8.5, 0.16  # points; inches
_MARGIN = 0.2  # inches between the last attempt and the edge, at least


class Part(StrEnum):
    """How a wait came from the one before."""

    DOUBLING = "doubling"
    LINEAR = "growing evenly"
    LEVEL = "constant"


_LOOKS = {Part.DOUBLING: ("#0072b2", "o"), Part.LINEAR: ("#d55e00", "^"), Part.LEVEL: ("#222222", "s")}


class Stretch(NamedTuple):
    """Waits next to each other that grow in the same way: the places of the first and of the last."""

    part: Part
    first: int
    last: int


def stretches(delays: Sequence[float]) -> list[Stretch]:
    """Split waits into the doubling, the linear and the level part (T29); the first wait belongs to the second's.

    Args:
        delays: seconds.
    """
    parts = [_part(delays, place) for place in range(1, len(delays))]
    parts.insert(0, parts[0] if parts else Part.LEVEL)
    found = []
    for part, group in groupby(range(len(delays)), key=parts.__getitem__):
        places = list(group)
        found.append(Stretch(part, places[0], places[-1]))
    return found


def _part(delays: Sequence[float], place: int) -> Part:
    """Compare a wait with its neighbours: 80 after 40 is twice as much, or one step of 40 more; the next decides."""
    before, here = delays[place - 1], delays[place]
    step = here - before
    steps = [delays[later] - delays[later - 1] for later in (place - 1, place + 1) if 1 <= later < len(delays)]
    if step <= 0:
        return Part.LEVEL
    if _same(here, 2 * before):
        return Part.LINEAR if place + 1 < len(delays) and _same(steps[-1], step) else Part.DOUBLING
    return Part.LINEAR if not steps or any(_same(other, step) for other in steps) else Part.LEVEL


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(one, other)


def draw_backoff(delays: Sequence[float], name: str) -> Picture:
    """Draw the waits; see `harness.show.plots.backoff`."""
    title = f"Queue {printable(name, 30)}: {_summary(delays)}"
    with style():
        if not delays:
            return notice(title)
        picture = Picture(f"Backoff. {title}. {_story(delays)}", WIDTH, _HEIGHT)
        picture.text(0.12 / WIDTH, 1 - 0.14 / _HEIGHT, title, va="top", size=11, weight="bold")
        axes = picture.add_axes((LEFT / WIDTH, _BOTTOM / _HEIGHT, LANE_WIDTH / WIDTH, 1 - (_BOTTOM + 0.45) / _HEIGHT))
        axes.set(facecolor=BAND, axisbelow=True)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _draw_waits(axes, delays)
        _draw_scales(axes, delays)
        _label_waits(axes, delays)
        picture.legend(loc="lower left", bbox_to_anchor=(LEFT / WIDTH - 0.012, 0.02), ncols=3, frameon=False)
    return picture


def _summary(delays: Sequence[float]) -> str:
    if not delays:
        return "no retries, one attempt only"
    shortest, longest = duration(min(delays)), duration(max(delays))
    waits = f"a wait of {shortest}" if shortest == longest else f"waits of {shortest} to {longest}"
    return f"{quantity(len(delays), 'retry')}, each after {waits}" if len(delays) > 1 else f"1 retry, after {waits}"


def _story(delays: Sequence[float]) -> str:
    parts = [
        f"{_attempts(each).capitalize()}: {each.part}, up to {duration(delays[each.last])}."
        for each in stretches(delays)
    ]
    return f"{' '.join(parts)} The last attempt comes {duration(sum(delays))} after the first."


def _attempts(stretch: Stretch) -> str:
    first, last = stretch.first + 2, stretch.last + 2  # the first wait comes before the second attempt
    return f"attempt {first}" if first == last else f"attempts {first} to {last}"


def _draw_waits(axes: Any, delays: Sequence[float]) -> None:
    numbers = range(2, len(delays) + 2)
    axes.plot(numbers, delays, color=FAINT, linewidth=1, zorder=2)
    size = 8 if len(delays) <= 30 else 4.5
    for stretch in stretches(delays):
        colour, marker = _LOOKS[stretch.part]
        places = range(stretch.first, stretch.last + 1)
        label = f"{stretch.part}: {_attempts(stretch)}"
        rim = {"markeredgecolor": "white", "markeredgewidth": 0.6, "linestyle": "none", "zorder": 3}
        waits = [delays[place] for place in places]
        axes.plot([place + 2 for place in places], waits, marker, color=colour, markersize=size, label=label, **rim)


def _label_waits(axes: Any, delays: Sequence[float]) -> None:
    """Write the waits beside their marks, at the left, where the curve is not."""
    texts = [duration(delay) for delay in delays]
    heights = [float(axes.transData.transform((0, delay))[1]) / axes.figure.dpi for delay in delays]
    inch = _inches_per_attempt(delays)
    for place in _side_by_side(texts, heights, inch):
        if width_of(texts[place], _TEXT) < (place + 1.5) * inch:  # else it would reach beyond the axis
            over = {"textcoords": "offset points", "ha": "right", "size": _TEXT, "annotation_clip": False}
            axes.annotate(texts[place], (place + 2, delays[place]), (2, 8), **over)


def _inches_per_attempt(delays: Sequence[float]) -> float:
    return (LANE_WIDTH - _MARGIN) / (len(delays) + 1)


def _side_by_side(texts: Sequence[str], heights: Sequence[float], inch: float) -> list[int]:
    """Choose texts that do not cover each other, from the last backwards.

    Args:
        texts: one for each retry.
        heights: at which they stand, in inches.
        inch: inches from one to the next.
    """
    widths = [width_of(text, _TEXT) for text in texts]
    kept = [len(texts) - 1]
    for place in range(len(texts) - 2, -1, -1):
        apart = (kept[-1] - place) * inch > max(widths[place], widths[kept[-1]]) + 0.15
        if apart or heights[kept[-1]] - heights[place] > _LINE:
            kept.append(place)
    return kept


def _draw_scales(axes: Any, delays: Sequence[float]) -> None:
    low, high = min(delays), max(delays)
    if low > 0 and high / low >= _LOGARITHMIC:
        axes.set_yscale("log")
        axes.set_ylim(low / 2, high * 4)
        marks = [step for step in _STEPS[::3] if low / 2 <= step <= high * 4]
    else:
        axes.set_ylim(-0.06 * (high or 1), (high or 1) * 1.25)
        step = next((step for step in _STEPS if high <= 5 * step), high / 5)
        marks = [step * number for number in range(int(high * 1.25 / step) + 1)] if high else [0.0]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(marks, labels=[duration(mark) for mark in marks])
    axes.yaxis.grid(color=GRID, linewidth=0.8)
    axes.set_ylabel("wait before the attempt")
    axes.yaxis.set_label_coords((0.3 - LEFT) / LANE_WIDTH, 0.5)
    inch = _inches_per_attempt(delays)
    axes.set_xlim(0.5, len(delays) + 1.5 + _MARGIN / inch)
    since = [duration(second) for second in accumulate(delays)]
    places = _side_by_side(since, [0.0] * len(since), inch)
    axes.set_xticks([place + 2 for place in places], labels=[f"{place + 2}\n{since[place]}" for place in places])
    axes.set_xlabel("attempt, and its time since the first one (attempts that take no time)")


# The tokens of a queue, and how many of its tasks wait and run, over virtual time.

_RATE_HEIGHT = 0.95  # inches of a lane
_COLUMNS = 300  # of a curve; of the samples within one, the lowest, the highest and the last are drawn
_LANES = {"tokens\nin the bucket": "#009e73", "tasks\nwaiting": "#56b4e9", "tasks\nrunning": "#0072b2"}


def draw_rate(samples: Sequence[QueueSample], name: str) -> Picture:
    """Draw the samples; see `harness.show.plots.rate`."""
    if not samples:
        with style():
            return notice(f"Queue {printable(name, 30)}: nothing has happened yet")
    first = samples[0].at
    axis = lay_out((sample.at - first).total_seconds() for sample in samples)
    places = [axis.x((sample.at - first).total_seconds()) for sample in samples]
    columns = zip(*((sample.tokens, sample.waiting, sample.running) for sample in samples), strict=True)
    with style():
        lanes = [Lane(lane, _RATE_HEIGHT) for lane in _LANES]
        layout = open_layout(_alt_text(samples, name), _title(samples, name), lanes, axis, first)
        for axes, colour, values in zip(layout.axes, _LANES.values(), columns, strict=False):
            _draw_steps(axes, places, values, colour)
    return layout.picture


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
