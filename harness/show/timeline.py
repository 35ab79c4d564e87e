"""A timeline of a few tasks: every request, wait and attempt is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from harness.records import Attempt, Response, TaskInfo, TaskState
from harness.show.axis import TimeAxis, lay_out
from harness.show.figure import (
    FAINT,
    INK,
    LANE_WIDTH,
    PAPER,
    Lane,
    Layout,
    Picture,
    link,
    open_layout,
    printable,
    queue_name,
    set_scale,
    style,
    width_of,
)
from harness.show.timeline_model import Mark, Span, TaskLife, TimelineModel, alt_text, make_model, title

# How each mark looks: a colour that the colour-blind tell apart (Okabe and Ito's), and a shape or a hatch besides.


class MarkStyle(NamedTuple):
    """A colour, a marker for what takes no time, and a hatch for what is drawn as an area."""

    colour: str
    marker: str = ""
    hatch: str = ""


LOOKS = {
    Mark.VISIT: MarkStyle("#009e73", ">"),
    Mark.BAD_VISIT: MarkStyle("#d55e00", "P", "xxxx"),
    Mark.ADDED: MarkStyle("#56b4e9", "d"),
    Mark.ETA: MarkStyle("#56b4e9", hatch="/////"),
    Mark.TURN: MarkStyle("#56b4e9"),
    Mark.DONE: MarkStyle("#0072b2", "o"),
    Mark.FAILED: MarkStyle("#d55e00", "X", "xxxx"),
    Mark.STOPPED: MarkStyle("#cc79a7", "D", "...."),
    Mark.DROPPED: MarkStyle("#222222", "s"),
    Mark.DELETED: MarkStyle("#8c8c86", "v", "----"),
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


_LABELLED = 12  # tasks, or requests, that have their names beside them
_TEXT = 8.0
_GAP = 0.09  # inches from the middle of a marker to its label
_HALF = 0.07  # inches from the middle of a marker to its edge
_FULL = 14  # rows, in all lanes together, that have their full height
_ROW, _LOW = 0.27, 0.13  # inches of a row


@dataclass
class Item:
    """What takes one row of a lane, from one place of the axis to another, with a label beside it."""

    begin: float
    end: float
    label: str = ""
    row: int = 0

    @property
    def room(self) -> float:
        """What the label takes at the right, in inches."""
        return width_of(self.label, _TEXT) + _GAP if self.label else 0.0


def pack(items: Sequence[Item]) -> int:
    """Give each item the first row in which neither it nor its label touches another; return the number of rows."""
    ends: list[float] = []
    for item in sorted(items, key=lambda item: item.begin):
        begin = item.begin - 1.5 * _HALF / LANE_WIDTH
        item.row = next((row for row, taken in enumerate(ends) if taken <= begin), len(ends))
        ends[item.row : item.row + 1] = [item.end + (_HALF + item.room) / LANE_WIDTH]
    return len(ends)


@dataclass(frozen=True)
class Plan:
    """Where everything goes: the items of the visits, and of each life in the queue's and in the worker's lane."""

    axis: TimeAxis
    visits: list[Item]
    waits: list[Item]
    tries: list[Item]
    rows: list[int]

    @property
    def margin(self) -> float:
        """What the labels need beyond the end of the axis, as a part of the axis."""
        beyond = (item.end * LANE_WIDTH + item.room + _HALF for item in (*self.visits, *self.waits, *self.tries))
        missing = max(beyond, default=0.0) - LANE_WIDTH
        return missing / (LANE_WIDTH - missing) if missing > 0 else 0.0


def draw_lanes(model: TimelineModel) -> Picture:
    """Draw a model with a row for each task; for up to some 40 tasks."""
    plan = _plan(model)
    total = sum(plan.rows)
    height = _ROW if total <= _FULL else max(_LOW, _ROW * _FULL / total)
    names = ["user", *(queue_name(lane) for lane in model.lanes), "worker"]
    lanes = [Lane(name, max(0.4, height * rows + 0.16)) for name, rows in zip(names, plan.rows, strict=True)]
    layout = open_layout(
        alt_text(model), title(model), lanes, plan.axis, model.first, handles(_marks(model)), plan.margin
    )
    for axes, rows in zip(layout.axes, plan.rows, strict=True):
        margin = 0.08 / height + max(0, (0.4 / height - 0.16 / height - rows) / 2)
        axes.set_ylim(rows - 0.5 + margin, -0.5 - margin)
    _Pen(model, plan, layout, max(5.5, min(9.0, height * 72 * 0.5))).draw()
    return layout.picture


def _plan(model: TimelineModel) -> Plan:
    axis = lay_out(model.instants())
    named = len(model.lives) <= _LABELLED
    told = len(model.visits) <= _LABELLED
    visits = [Item(axis.x(one.start), axis.x(one.end), printable(one.label) if told else "") for one in model.visits]
    waits = [Item(axis.x(one.added), axis.x(one.end), printable(one.name) if named else "") for one in model.lives]
    tries = [
        Item(axis.x(one.tries[0].start), axis.x(one.tries[-1].end), printable(one.name) if named else "")
        for one in model.lives
        if one.tries
    ]
    rows = [pack(visits)]
    for lane in model.lanes:
        rows.append(pack([item for item, one in zip(waits, model.lives, strict=True) if one.lane == lane]))
    return Plan(axis, visits, waits, tries, [max(1, each) for each in [*rows, pack(tries)]])


def _marks(model: TimelineModel) -> set[Mark]:
    marks = {span.mark for life in model.lives for span in (*life.waits, *life.tries)}
    marks |= {visit.mark for visit in model.visits}
    if model.lives:
        marks.add(Mark.ADDED)
    if any(life.state is TaskState.DELETED for life in model.lives):
        marks.add(Mark.DELETED)
    return marks


class _Pen:
    """Draws what a plan has placed."""

    def __init__(self, model: TimelineModel, plan: Plan, layout: Layout, size: float) -> None:
        self.model = model
        self.plan = plan
        self.layout = layout
        self.size = size

    def draw(self) -> None:
        """Draw the lanes from top to bottom, then what links them."""
        user, worker = self.layout.axes[0], self.layout.axes[-1]
        for visit, item in zip(self.model.visits, self.plan.visits, strict=True):
            self._bar(user, visit, item.row)
            self._label(user, item)
        for life, item in zip(self.model.lives, self.plan.waits, strict=True):
            self._wait(self.layout.axes[self._lane(life)], life, item)
        tried = [life for life in self.model.lives if life.tries]
        for life, item in zip(tried, self.plan.tries, strict=True):
            self._try(worker, life, item)
        if len(self.model.tries) <= 2 * _LABELLED:
            self._links()
        if self.model.now is not None:
            self.layout.now(self.model.now)

    def _lane(self, life: TaskLife) -> int:
        return 1 + self.model.lanes.index(life.lane)

    def _bar(self, axes: Any, span: Span, row: int) -> None:
        begin, end = self.plan.axis.x(span.start), self.plan.axis.x(span.end)
        if end > begin:
            axes.add_patch(Rectangle((begin, row - 0.28), end - begin, 0.56, zorder=3, **bar(span.mark)))
        axes.plot([end], [row], zorder=4, clip_on=False, **spot(span.mark, self.size))

    def _label(self, axes: Any, item: Item) -> None:
        place = {"textcoords": "offset points", "va": "center_baseline", "annotation_clip": False}
        axes.annotate(item.label, (item.end, item.row), (_GAP * 72, 0), size=_TEXT, zorder=6, **place)

    def _wait(self, axes: Any, life: TaskLife, item: Item) -> None:
        axes.plot([item.begin, item.end], [item.row] * 2, color=FAINT, linewidth=0.8, zorder=2)
        for span in life.waits:
            begin, end = self.plan.axis.x(span.start), self.plan.axis.x(span.end)
            axes.add_patch(Rectangle((begin, item.row - 0.28), end - begin, 0.56, zorder=3, **bar(span.mark)))
        gone = life.state is TaskState.DELETED
        axes.plot([item.begin], [item.row], zorder=4, clip_on=False, **spot(Mark.ADDED, self.size))
        if gone:
            axes.plot([item.end], [item.row], zorder=5, clip_on=False, **spot(Mark.DELETED, self.size))
        self._label(axes, item)

    def _try(self, axes: Any, life: TaskLife, item: Item) -> None:
        for span, later in pairwise(life.tries):
            begin, end = self.plan.axis.x(span.end), self.plan.axis.x(later.start)
            axes.plot([begin, end], [item.row] * 2, color=INK, linewidth=0.9, linestyle=":", zorder=2)
        for span in life.tries:
            self._bar(axes, span, item.row)
        if item.label:
            self._statuses(axes, life, item)
        self._label(axes, item)

    def _statuses(self, axes: Any, life: TaskLife, item: Item) -> None:
        """Write each status into its bar, or behind its marker, where it fits."""
        ends = [self.plan.axis.x(span.start) for span in life.tries[1:]] + [0.0]
        for span, later in zip(life.tries, ends, strict=True):
            begin, end = self.plan.axis.x(span.start), self.plan.axis.x(span.end)
            room = width_of(span.label, _TEXT) + 2.2 * _GAP
            if (end - begin) * LANE_WIDTH > room:
                place = {"ha": "center", "va": "center_baseline", "color": "white", "zorder": 6}
                axes.text((begin + end) / 2, item.row, span.label, size=_TEXT, weight="bold", **place)
            elif (later - end) * LANE_WIDTH > room:
                self._label(axes, Item(end, end, span.label, item.row))

    def _links(self) -> None:
        worker = len(self.layout.axes) - 1
        rows = {id(life): item.row for life, item in zip(self._tried(), self.plan.tries, strict=True)}
        for life, item in zip(self.model.lives, self.plan.waits, strict=True):
            for visit, shown in zip(self.model.visits, self.plan.visits, strict=True):
                if visit.start <= life.added <= visit.end and visit.label == life.adder:
                    link(self.layout, (0, item.begin, shown.row), (self._lane(life), item.begin, item.row))
                    break
            for span in life.tries:
                x = self.plan.axis.x(span.start)
                link(self.layout, (self._lane(life), x, item.row), (worker, x, rows[id(life)]))

    def _tried(self) -> Iterator[TaskLife]:
        return (life for life in self.model.lives if life.tries)


# A timeline of many tasks: how many wait, as curves; requests and attempts, as bars that count them.

_BARS = 60  # of a lane
_COLUMNS = 300  # of a curve; of the changes within one, that with the most tasks is drawn
_LEAST = 0.04  # the least height of a bar's part, as a part of the highest bar: one dropped task must be seen
_TALL, _LOW_MARK = 0.95, 0.7  # inches of a lane
_WAITS = (Mark.ETA, Mark.TURN)  # from the top down


def draw_dense(model: TimelineModel) -> Picture:
    """Draw a model by counting; for any number of tasks."""
    axis = lay_out(model.instants())
    lanes = [
        Lane("user\nrequests", _LOW_MARK),
        *(Lane(f"{queue_name(lane)}\ntasks waiting", _TALL) for lane in model.lanes),
        Lane("worker\nattempts", _TALL),
    ]
    layout = open_layout(
        alt_text(model), title(model), lanes, axis, model.first, handles(_dense_marks(model), areas=True)
    )
    user, *queues, worker = layout.axes
    _draw_bars(user, model.visits, axis)
    for axes, lane in zip(queues, model.lanes, strict=True):
        _draw_waits(axes, [wait for life in model.lives if life.lane == lane for wait in life.waits], axis)
    _draw_bars(worker, model.tries, axis)
    if model.now is not None:
        layout.now(model.now)
    return layout.picture


def _dense_marks(model: TimelineModel) -> set[Mark]:
    waits = {wait.mark for life in model.lives for wait in life.waits}
    return waits | {span.mark for span in (*model.visits, *model.tries)}


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


# From records to a timeline: few tasks are drawn one by one, many as curves and bars.

_FEW_TASKS = 40
_FEW_SPANS = 160  # requests and attempts


def draw(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> Picture:
    """Draw a timeline; see `harness.show.plots.timeline`."""
    model = make_model(responses, tasks, attempts, now)
    few = len(model.lives) <= _FEW_TASKS and len(model.visits) + len(model.tries) <= _FEW_SPANS
    with style():
        return draw_lanes(model) if few else draw_dense(model)
