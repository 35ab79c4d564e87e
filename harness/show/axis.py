"""The time axis of a figure, from 0 (left) to 1 (right). It doesn't depend on matplotlib.

Retries are 0.1 s to 3600 s apart, and a task may wait a month. On a linear axis all events but the last would be at
one point. So if the gaps differ too much, the long ones are pressed together: the width of a pressed gap grows with the
logarithm of its length. The short gaps stay to scale.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from harness.show.text import duration

_SCALES = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_VISIBLE = 1 / 100  # the width that a short gap must have, as a part of all gaps that are to scale
_MANY = 40  # with more gaps than this, a short gap needn't be visible
_FEW = 4  # the number of gaps that may be pressed while the others stay to scale
_OUTSTANDING = 4  # such gaps are so many times longer than the others ...
_LONG = 1 / 10  # ... and longer than this part of all others together
_PRESSED = 0.08  # the width of the shortest pressed gap, relative to all gaps that are to scale
_SPREAD = 3.0  # how many times wider than that the longest pressed gap is, less one


class Tick(NamedTuple):
    """A tick of the axis: its place and its label."""

    x: float
    label: str


class TimeAxis(NamedTuple):
    """A map from seconds (from 0) to places, linear between its knots; `pressed` are the gaps that are not to scale."""

    seconds: tuple[float, ...]
    places: tuple[float, ...]
    pressed: tuple[tuple[float, float], ...] = ()

    def x(self, second: float) -> float:
        """Return the place of a second; seconds beyond an end of the axis are at that end."""
        second = min(max(second, self.seconds[0]), self.seconds[-1])
        right = min(bisect_right(self.seconds, second), len(self.seconds) - 1)
        (s0, s1), (x0, x1) = self.seconds[right - 1 : right + 1], self.places[right - 1 : right + 1]
        return x0 + (x1 - x0) * (second - s0) / (s1 - s0)

    @property
    def unit(self) -> tuple[int, str]:
        """The unit of a linear axis: its seconds, and its name."""
        return next((scale for scale in _SCALES if self.seconds[-1] >= 2 * scale[0]), _SCALES[-1])


def lay_out(seconds: Iterable[float]) -> TimeAxis:
    """Return an axis for events, which are given in seconds since the first event, in any order."""
    instants = sorted({round(second, 3) for second in seconds} | {0.0})
    if len(instants) == 1:
        return TimeAxis((0.0, 1.0), (0.5, 1.5))
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    long = _long_gaps(gaps)
    if not long:
        return TimeAxis((0.0, instants[-1]), (0.0, 1.0))
    widths = _widths(gaps, long)
    total = math.fsum(widths)
    places = [0.0, *accumulate(wide / total for wide in widths)]
    places[-1] = 1.0
    pressed = tuple((places[index], places[index + 1]) for index in sorted(long))
    return TimeAxis(tuple(instants), tuple(places), pressed)


def _long_gaps(gaps: Sequence[float]) -> set[int]:
    """Return the indexes of the gaps to press: none, a few outstanding ones, or all if the others are unreadable."""
    if _is_readable(gaps):
        return set()
    order = sorted(range(len(gaps)), key=lambda index: -gaps[index])
    number = _count_outstanding([gaps[index] for index in order])
    rest = [gaps[index] for index in order[number:]]
    return set(order[:number]) if len(rest) > _MANY or _is_readable(rest) else set(order)


def _is_readable(gaps: Sequence[float]) -> bool:
    """Return whether all but the shortest gaps are visible on a linear axis."""
    return sorted(gaps)[len(gaps) // 10] >= _VISIBLE * math.fsum(gaps)


def _count_outstanding(gaps: Sequence[float]) -> int:
    """Return how many gaps are much longer than the others; the gaps are in order from long to short."""
    for number in range(min(_FEW, len(gaps) - 1), 0, -1):
        if gaps[number - 1] >= _OUTSTANDING * gaps[number] and gaps[number - 1] > _LONG * math.fsum(gaps[number:]):
            return number
    return 0


def _widths(gaps: Sequence[float], long: set[int]) -> list[float]:
    """Return the width of each gap, relative to all gaps that are to scale."""
    rest = math.fsum(gap for index, gap in enumerate(gaps) if index not in long) or 1.0
    widths = [gap / rest for gap in gaps]
    shortest, longest = min(gaps[index] for index in long), max(gaps[index] for index in long)
    spread = math.log(longest / shortest) or 1.0
    for index in long:
        widths[index] = _PRESSED * (1 + _SPREAD * math.log(gaps[index] / shortest) / spread)
    return widths


def ticks(axis: TimeAxis, letter: float) -> list[Tick]:
    """Return ticks whose labels don't touch each other; `letter` is the width of a letter, as a part of the axis."""
    if axis.pressed:
        return _pressed_ticks(axis, letter)
    if axis.places[0] > 0:  # a single event
        return [Tick(axis.places[0], "0")]
    size, _ = axis.unit
    step = _round_step(axis.seconds[-1] / size * letter * 11)
    count = int(axis.seconds[-1] / size / step + 1e-9) + 1
    return [Tick(axis.x(number * step * size), f"{number * step:.10g}") for number in range(count)]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _pressed_ticks(axis: TimeAxis, letter: float) -> list[Tick]:
    """Return ticks at the ends of the pressed gaps, and at round seconds of what is to scale, where there is room."""
    ends = {0.0, axis.places[-1]} | {end for gap in axis.pressed for end in gap}
    first, *between, last = [pair for pair in zip(axis.seconds, axis.places, strict=True) if pair[1] in ends]
    kept: list[Tick] = []
    for second, x in [first, last, *between, *_round_seconds(axis, letter * 11)]:
        tick = Tick(x, duration(second) if second else "0")
        if all(_is_apart(tick, other, letter) for other in kept):
            kept.append(tick)
    return sorted(kept)


def _is_apart(one: Tick, other: Tick, letter: float) -> bool:
    needed = letter * ((len(one.label) + len(other.label)) / 2 + 2)
    return one.label != other.label and abs(one.x - other.x) >= needed


def _round_seconds(axis: TimeAxis, room: float) -> Iterator[tuple[float, float]]:
    """Yield round seconds and their places, between the pressed gaps; each needs some room on the axis."""
    begins = [0.0, *(end for _, end in axis.pressed)]
    ends = [*(begin for begin, _ in axis.pressed), axis.places[-1]]
    for left, right in zip(begins, ends, strict=True):
        if right - left >= room:
            first, last = (axis.seconds[axis.places.index(x)] for x in (left, right))
            step = _round_step((last - first) / (right - left) * room)
            for number in range(math.ceil(first / step), math.floor(last / step) + 1):
                yield number * step, axis.x(number * step)
