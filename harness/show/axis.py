"""Where an instant stands on the time axis of a figure, from 0 (left) to 1 (right). Knows no matplotlib.

Retries are 0.1 s, 0.2 s … 3600 s apart, and a reminder may wait a month. On a linear axis all but the last would fall
on one spot, so where the gaps differ too much the long ones are pressed together: each keeps a width that grows with
the logarithm of its length. What is close together stays to scale.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from harness.show.text import duration

_SCALES = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_VISIBLE = 1 / 100  # the part of what is to scale that a short gap must have ...
_MANY = 40  # ... unless there are so many that they need not be told apart
_FEW = 4  # gaps that may be pressed while the rest stays to scale
_STANDS_OUT = 4  # how many times longer these are than all of the rest ...
_LONG = 1 / 10  # ... and how much of the whole rest
_PRESSED = 0.08  # the width of the shortest pressed gap beside what is to scale
_SPREAD = 3.0  # how many times wider than that the longest is, less one


class Tick(NamedTuple):
    """A mark on the axis: its place, and its text."""

    x: float
    label: str


class TimeAxis(NamedTuple):
    """A map from seconds to places, linear between its knots; `pressed` are the gaps (in x) that are not to scale."""

    seconds: tuple[float, ...]
    places: tuple[float, ...]
    pressed: tuple[tuple[float, float], ...] = ()

    def x(self, second: float) -> float:
        """Return the place of an instant; one beyond the ends is put at the end."""
        if second <= self.seconds[0]:
            return self.places[0]
        if second >= self.seconds[-1]:
            return self.places[-1]
        right = bisect_right(self.seconds, second)
        (s0, s1), (x0, x1) = self.seconds[right - 1 : right + 1], self.places[right - 1 : right + 1]
        return x0 + (x1 - x0) * (second - s0) / (s1 - s0)

    @property
    def span(self) -> float:
        """How many seconds the axis covers."""
        return self.seconds[-1] - self.seconds[0]

    @property
    def unit(self) -> tuple[int, str]:
        """The unit of a linear axis: its length in seconds, and its name."""
        return next((scale for scale in _SCALES if self.span >= 2 * scale[0]), _SCALES[-1])


def lay_out(seconds: Iterable[float]) -> TimeAxis:
    """Choose an axis for the instants at which something happens (seconds since the first, in any order)."""
    instants = sorted({round(second, 3) for second in seconds} | {0.0})
    if len(instants) == 1:
        return TimeAxis((0.0, 1.0), (0.5, 1.5))
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    long = _long_gaps(gaps)
    if not long:
        return TimeAxis((0.0, instants[-1]), (0.0, 1.0))
    return _press(instants, gaps, long)


def _long_gaps(gaps: Sequence[float]) -> set[int]:
    """Choose the gaps to press: none, a few that stand out, or, where the rest still cannot be read, all."""
    if _is_readable(gaps):
        return set()
    order = sorted(range(len(gaps)), key=lambda place: -gaps[place])
    number = _outstanding([gaps[place] for place in order])
    rest = [gaps[place] for place in order[number:]]
    return set(order[:number]) if len(rest) > _MANY or _is_readable(rest) else set(order)


def _is_readable(gaps: Sequence[float]) -> bool:
    """Tell whether all but the shortest gaps can be seen on a linear axis."""
    return sorted(gaps)[len(gaps) // 10] >= _VISIBLE * math.fsum(gaps)


def _outstanding(gaps: Sequence[float]) -> int:
    """Return how many gaps, of gaps from long to short, stand out from the rest."""
    for number in range(min(_FEW, len(gaps) - 1), 0, -1):
        if gaps[number - 1] >= _STANDS_OUT * gaps[number] and gaps[number - 1] > _LONG * math.fsum(gaps[number:]):
            return number
    return 0


def _press(instants: Sequence[float], gaps: Sequence[float], long: set[int]) -> TimeAxis:
    widths = _widths(gaps, long)
    total = math.fsum(widths)
    places = [0.0, *accumulate(wide / total for wide in widths)]
    places[-1] = 1.0
    pressed = tuple((places[place], places[place + 1]) for place in sorted(long))
    return TimeAxis(tuple(instants), tuple(places), pressed)


def _widths(gaps: Sequence[float], long: set[int]) -> list[float]:
    """Return how wide each gap is drawn: to scale, the whole rest as 1, but the long ones by their logarithm."""
    rest = math.fsum(gap for place, gap in enumerate(gaps) if place not in long) or 1.0
    widths = [gap / rest for gap in gaps]
    shortest, longest = min(gaps[place] for place in long), max(gaps[place] for place in long)
    spread = math.log(longest / shortest) or 1.0
    for place in long:
        widths[place] = _PRESSED * (1 + _SPREAD * math.log(gaps[place] / shortest) / spread)
    return widths


def ticks(axis: TimeAxis, letter: float) -> list[Tick]:
    """Choose marks whose texts do not run into each other.

    Args:
        axis: the axis.
        letter: the width of a letter, as a part of the axis.
    """
    if axis.pressed:
        return _pressed_ticks(axis, letter)
    if axis.places[0] > 0:  # one instant only
        return [Tick(axis.places[0], "0")]
    size, _ = axis.unit
    step = _round_step(axis.span / size * letter * 11)
    number = int(axis.span / size / step + 1e-9)
    return [Tick(axis.x(place * step * size), f"{place * step:.10g}") for place in range(number + 1)]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _pressed_ticks(axis: TimeAxis, letter: float) -> list[Tick]:
    """Mark the edges of the pressed gaps where there is room, then round seconds in what is to scale."""
    edges = {0.0, axis.places[-1]} | {edge for gap in axis.pressed for edge in gap}
    kept: list[Tick] = []
    wanted = [pair for pair in zip(axis.seconds, axis.places, strict=True) if pair[1] in edges]
    for second, x in [wanted[0], wanted[-1], *wanted[1:-1], *_round_seconds(axis, letter * 11)]:
        mark = Tick(x, duration(second) if second else "0")
        if all(_apart(mark, other, letter) for other in kept):
            kept.append(mark)
    return sorted(kept)


def _apart(one: Tick, other: Tick, letter: float) -> bool:
    needed = letter * ((len(one.label) + len(other.label)) / 2 + 2)
    return one.label != other.label and abs(one.x - other.x) >= needed


def _round_seconds(axis: TimeAxis, room: float) -> Iterator[tuple[float, float]]:
    left = 0.0
    for right in [begin for begin, _ in axis.pressed] + [axis.places[-1]]:
        first, last = (axis.seconds[axis.places.index(x)] for x in (left, right))
        if right - left >= room:
            step = _round_step((last - first) / (right - left) * room)
            for number in range(math.ceil(first / step), math.floor(last / step) + 1):
                yield number * step, axis.x(number * step)
        left = next((end for begin, end in axis.pressed if begin == right), right)
