"""A timeline of many tasks: how many wait, as curves; requests and attempts, as bars that count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from harness.timeline.axis import TimeAxis, lay_out
from harness.timeline.marks import area, handles
from harness.timeline.picture import Picture
from harness.timeline.scene import Mark, Scene, Span
from harness.timeline.sheet import Lane, open_sheet, queue_name, set_scale
from harness.timeline.words import alt_text, title

_BARS = 60  # of a lane
_COLUMNS = 300  # of a curve; of the changes within one, that with the most tasks is drawn
_LEAST = 0.04  # the least height of a bar's part, as a part of the highest bar: one dropped task must be seen
_TALL, _LOW = 0.95, 0.7  # inches of a lane
_WAITS = (Mark.ETA, Mark.TURN)  # from the top down


def draw_crowd(scene: Scene) -> Picture:
    """Draw a scene by counting; for any number of tasks."""
    axis = lay_out(scene.instants())
    lanes = [
        Lane("user\nrequests", _LOW),
        *(Lane(f"{queue_name(lane)}\ntasks waiting", _TALL) for lane in scene.lanes),
        Lane("worker\nattempts", _TALL),
    ]
    sheet = open_sheet(alt_text(scene), title(scene), lanes, axis, scene.first, handles(_marks(scene), areas=True))
    user, *queues, worker = sheet.axes
    _draw_bars(user, scene.visits, axis)
    for axes, lane in zip(queues, scene.lanes, strict=True):
        _draw_waits(axes, [wait for life in scene.lives if life.lane == lane for wait in life.waits], axis)
    _draw_bars(worker, scene.tries, axis)
    if scene.now is not None:
        sheet.now(scene.now)
    return sheet.picture


def _marks(scene: Scene) -> set[Mark]:
    waits = {wait.mark for life in scene.lives for wait in life.waits}
    return waits | {span.mark for span in (*scene.visits, *scene.tries)}


def _draw_bars(axes: Any, spans: Sequence[Span], axis: TimeAxis) -> None:
    """Count spans by where they end and by their mark, and stack the counts."""
    counts = Counter((min(int(axis.x(span.end) * _BARS), _BARS - 1), span.mark) for span in spans)
    totals = Counter(place for place, _ in counts.elements())
    highest = max(totals.values(), default=0)
    heights = [0.0] * _BARS
    for mark in Mark:
        places = [place for place in range(_BARS) if counts[place, mark]]
        parts = [max(counts[place, mark], _LEAST * highest) for place in places]
        lefts = [(place + 0.05) / _BARS for place in places]
        if places:
            bottoms = [heights[place] for place in places]
            axes.bar(lefts, parts, 0.9 / _BARS, bottoms, align="edge", zorder=3, **area(mark))
        for place, part in zip(places, parts, strict=True):
            heights[place] += part
    set_scale(axes, highest, max(heights))


def _draw_waits(axes: Any, waits: Iterable[Span], axis: TimeAxis) -> None:
    """Stack the numbers of tasks that wait for their turn and for their ETA, as steps."""
    places, levels = _levels(waits, axis)
    for lowest, mark in enumerate(_WAITS):  # each area hides the lower part of the one before
        heights = [sum(level[each] for each in _WAITS[lowest:]) for level in levels[:-1]]
        if any(level[mark] for level in levels):
            axes.stairs(heights, places, fill=True, zorder=3, **area(mark))
    set_scale(axes, max(level.total() for level in levels))


def _levels(waits: Iterable[Span], axis: TimeAxis) -> tuple[list[float], list[Counter[Mark]]]:
    """Return places, from left to right, and how many tasks wait there, of each mark."""
    changes = [(round(wait.start, 3), wait.mark, 1) for wait in waits]
    changes += [(round(wait.end, 3), wait.mark, -1) for wait in waits]
    changes.sort(key=itemgetter(0))
    places, levels, level = [0.0], [Counter[Mark]()], Counter[Mark]()
    for second, group in groupby(changes, key=itemgetter(0)):
        level = level.copy()
        for _, mark, change in group:
            level[mark] += change
        places.append(axis.x(second))
        levels.append(level)
    return _thin([*places, 1.0], [*levels, level])


def _thin(places: list[float], levels: list[Counter[Mark]]) -> tuple[list[float], list[Counter[Mark]]]:
    """Keep, of the changes that fall into one column of the picture, that with the most tasks and the last."""
    kept: list[int] = []
    for _, group in groupby(range(len(places)), key=lambda index: int(places[index] * _COLUMNS)):
        column = list(group)
        kept += sorted({max(column, key=lambda index: levels[index].total()), column[-1]})
    return [places[index] for index in kept], [levels[index] for index in kept]
