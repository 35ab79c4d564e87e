"""The figures of a queue: the waits before its retries, and its tokens and tasks over virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.ticker import NullLocator

from harness.errors import quantity
from harness.records import QueueSample
from harness.show.axis import lay_out
from harness.show.figure import (
    LANE_WIDTH,
    LEFT,
    WIDTH,
    Lane,
    Picture,
    draw_steps,
    open_layout,
    printable,
    style,
    width_of,
)
from harness.show.svg import BAND, BLUE, FAINT, GREEN, GRID, PAPER, SKY
from harness.show.text import clock, duration

_LOGARITHMIC = 100  # the ratio of the longest wait to the shortest from which the axis is logarithmic
_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(2 * 3600, 6 * 3600, 43200, 86400, 2 * 86400, 5 * 86400, 10 * 86400, 20 * 86400, 50 * 86400, 100 * 86400),
)
_HEIGHT, _BOTTOM = 3.7, 0.75  # inches
_LISTED = 20  # waits that the alt text lists
_TEXT = 8.5  # points
_MARGIN = 0.2  # inches between the last attempt and the edge
_LANE = 0.95  # inches of a lane
_LANES = {"tokens\nin the bucket": GREEN, "tasks\nwaiting": SKY, "tasks\nrunning": BLUE}


def backoff(delays: Sequence[float], name: str) -> Picture:
    """Return a figure of the waits before a queue's retries.

    Args:
        delays: the waits in seconds, in the order of the retries.
        name: the name of the queue.
    """
    title = f"Queue {printable(name, 30)}: {_summary(delays)}"
    with style():
        if not delays:
            return Picture(f"{title}.", title, 0.5)
        texts = [duration(delay) for delay in delays]
        waits = texts[:_LISTED] + ([f"{len(texts) - _LISTED:,} more"] if texts[_LISTED:] else [])
        end = f"The last attempt starts {duration(sum(delays))} after the first."
        picture = Picture(f"Backoff. {title}. Waits: {', '.join(waits)}. {end}", title, _HEIGHT)
        axes = picture.add_axes((LEFT / WIDTH, _BOTTOM / _HEIGHT, LANE_WIDTH / WIDTH, 1 - (_BOTTOM + 0.45) / _HEIGHT))
        axes.set(facecolor=BAND, axisbelow=True)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        inch = (LANE_WIDTH - _MARGIN) / (len(delays) + 1)  # from one attempt to the next
        at: dict[str, Any] = {"color": BLUE, "markeredgecolor": PAPER, "markeredgewidth": 0.6}
        size = 8 if len(delays) <= 30 else 4.5
        axes.plot(range(2, len(delays) + 2), delays, color=FAINT, linewidth=1)
        for number, (delay, text) in enumerate(zip(delays, texts, strict=True), 2):
            (point,) = axes.plot([number], [delay], "o", markersize=size, **at)
            picture.name(point, f"attempt {number}, after a wait of {text}")
        _draw_scales(axes, delays, inch)
        at = {"textcoords": "offset points", "ha": "right", "size": _TEXT, "annotation_clip": False}
        for index in _spaced(texts, inch):
            if width_of(texts[index], _TEXT) < (index + 1.5) * inch:  # a wider text would cover the scale
                axes.annotate(texts[index], (index + 2, delays[index]), (2, 8), **at)
    return picture


def _summary(delays: Sequence[float]) -> str:
    if not delays:
        return "no retries, one attempt only"
    shortest, longest = duration(min(delays)), duration(max(delays))
    waits = f"a wait of {shortest}" if shortest == longest else f"waits of {shortest} to {longest}"
    return f"{quantity(len(delays), 'retry')} after {waits}"


def _spaced(texts: Sequence[str], inch: float) -> range:
    """Return the indexes of texts that don't cover each other; `inch` is the distance between two texts in inches."""
    widest = max(width_of(text, _TEXT) for text in texts)
    return range(len(texts) - 1, -1, -math.ceil((widest + 0.15) / inch))


def _draw_scales(axes: Any, delays: Sequence[float], inch: float) -> None:
    low, high = min(delays), max(delays)
    if low > 0 and high / low >= _LOGARITHMIC:
        axes.set_yscale("log")
        axes.set_ylim(low / 2, high * 4)
        ticks = [step for step in _STEPS[::3] if low / 2 <= step <= high * 4]
    else:
        axes.set_ylim(-0.06 * (high or 1), (high or 1) * 1.25)
        step = next((step for step in _STEPS if high <= 5 * step), high / 5)
        ticks = [step * number for number in range(int(high * 1.25 / step) + 1)] if high else [0.0]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, labels=[duration(tick) for tick in ticks])
    axes.yaxis.grid(color=GRID, linewidth=0.8)
    axes.set_ylabel("wait before the attempt")
    axes.yaxis.set_label_coords((0.3 - LEFT) / LANE_WIDTH, 0.5)
    axes.set_xlim(0.5, len(delays) + 1.5 + _MARGIN / inch)
    since = [duration(second) for second in accumulate(delays)]
    indexes = _spaced(since, inch)
    axes.set_xticks([index + 2 for index in indexes], labels=[f"{index + 2}\n{since[index]}" for index in indexes])
    axes.set_xlabel("attempt, and the time since the first attempt if attempts take no time")


def rate(samples: Sequence[QueueSample], name: str) -> Picture:
    """Return a figure of a queue's tokens, waiting tasks and running tasks over virtual time.

    Args:
        samples: the samples in the order of time.
        name: the name of the queue.
    """
    name = printable(name, 30)
    if not samples:
        title = f"Queue {name}: nothing has happened yet"
        with style():
            return Picture(f"{title}.", title, 0.5)
    tokens, waiting, running = zip(*((each.tokens, each.waiting, each.running) for each in samples), strict=True)
    fewest, most = f"{min(tokens):.3g}", f"{max(tokens):.3g}"
    range_of_tokens = most if fewest == most else f"{fewest} to {most}"
    title = f"Queue {name}: up to {max(waiting):,} waiting and {max(running):,} running, {range_of_tokens} tokens"
    first = samples[0].at
    seconds = [(sample.at - first).total_seconds() for sample in samples]
    alt = (
        f"Rate. {title}. It covers {duration(seconds[-1])} of virtual time from {clock(first)}. "
        f"At the end, {waiting[-1]:,} wait, {running[-1]:,} run, and {tokens[-1]:.3g} tokens are left."
    )
    axis = lay_out(seconds)
    with style():
        layout = open_layout(alt, title, [Lane(lane, _LANE) for lane in _LANES], axis, first)
        for axes, (lane, colour), values in zip(layout.axes, _LANES.items(), (tokens, waiting, running), strict=True):
            draw_steps(axes, [axis.x(second) for second in seconds], values, colour, lane.replace("\n", " "))
    return layout.picture
