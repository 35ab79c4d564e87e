"""A timeline of a few tasks: every request, wait and attempt is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.patches import Rectangle

from harness.records import TaskState
from harness.timeline.axis import TimeAxis, lay_out
from harness.timeline.marks import bar, handles, spot
from harness.timeline.picture import FAINT, INK, Picture, printable, width_of
from harness.timeline.scene import Life, Mark, Scene, Span
from harness.timeline.sheet import LANE_WIDTH, Lane, Sheet, link, open_sheet, queue_name
from harness.timeline.words import alt_text, title

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


def draw_lanes(scene: Scene) -> Picture:
    """Draw a scene with a row for each task; for up to some 40 tasks."""
    plan = _plan(scene)
    total = sum(plan.rows)
    height = _ROW if total <= _FULL else max(_LOW, _ROW * _FULL / total)
    names = ["user", *(queue_name(lane) for lane in scene.lanes), "worker"]
    lanes = [Lane(name, max(0.4, height * rows + 0.16)) for name, rows in zip(names, plan.rows, strict=True)]
    sheet = open_sheet(
        alt_text(scene), title(scene), lanes, plan.axis, scene.first, handles(_marks(scene)), plan.margin
    )
    for axes, rows in zip(sheet.axes, plan.rows, strict=True):
        margin = 0.08 / height + max(0, (0.4 / height - 0.16 / height - rows) / 2)
        axes.set_ylim(rows - 0.5 + margin, -0.5 - margin)
    _Pen(scene, plan, sheet, max(5.5, min(9.0, height * 72 * 0.5))).draw()
    return sheet.picture


def _plan(scene: Scene) -> Plan:
    axis = lay_out(scene.instants())
    named = len(scene.lives) <= _LABELLED
    told = len(scene.visits) <= _LABELLED
    visits = [Item(axis.x(one.start), axis.x(one.end), printable(one.label) if told else "") for one in scene.visits]
    waits = [Item(axis.x(one.added), axis.x(one.end), printable(one.name) if named else "") for one in scene.lives]
    tries = [
        Item(axis.x(one.tries[0].start), axis.x(one.tries[-1].end), printable(one.name) if named else "")
        for one in scene.lives
        if one.tries
    ]
    rows = [pack(visits)]
    for lane in scene.lanes:
        rows.append(pack([item for item, one in zip(waits, scene.lives, strict=True) if one.lane == lane]))
    return Plan(axis, visits, waits, tries, [max(1, each) for each in [*rows, pack(tries)]])


def _marks(scene: Scene) -> set[Mark]:
    marks = {span.mark for life in scene.lives for span in (*life.waits, *life.tries)}
    marks |= {visit.mark for visit in scene.visits}
    if scene.lives:
        marks.add(Mark.ADDED)
    if any(life.state is TaskState.DELETED for life in scene.lives):
        marks.add(Mark.DELETED)
    return marks


class _Pen:
    """Draws what a plan has placed."""

    def __init__(self, scene: Scene, plan: Plan, sheet: Sheet, size: float) -> None:
        self.scene = scene
        self.plan = plan
        self.sheet = sheet
        self.size = size

    def draw(self) -> None:
        """Draw the lanes from top to bottom, then what links them."""
        user, worker = self.sheet.axes[0], self.sheet.axes[-1]
        for visit, item in zip(self.scene.visits, self.plan.visits, strict=True):
            self._bar(user, visit, item.row)
            self._label(user, item)
        for life, item in zip(self.scene.lives, self.plan.waits, strict=True):
            self._wait(self.sheet.axes[self._lane(life)], life, item)
        tried = [life for life in self.scene.lives if life.tries]
        for life, item in zip(tried, self.plan.tries, strict=True):
            self._try(worker, life, item)
        if len(self.scene.tries) <= 2 * _LABELLED:
            self._links()
        if self.scene.now is not None:
            self.sheet.now(self.scene.now)

    def _lane(self, life: Life) -> int:
        return 1 + self.scene.lanes.index(life.lane)

    def _bar(self, axes: Any, span: Span, row: int) -> None:
        begin, end = self.plan.axis.x(span.start), self.plan.axis.x(span.end)
        if end > begin:
            axes.add_patch(Rectangle((begin, row - 0.28), end - begin, 0.56, zorder=3, **bar(span.mark)))
        axes.plot([end], [row], zorder=4, clip_on=False, **spot(span.mark, self.size))

    def _label(self, axes: Any, item: Item) -> None:
        place = {"textcoords": "offset points", "va": "center_baseline", "annotation_clip": False}
        axes.annotate(item.label, (item.end, item.row), (_GAP * 72, 0), size=_TEXT, zorder=6, **place)

    def _wait(self, axes: Any, life: Life, item: Item) -> None:
        axes.plot([item.begin, item.end], [item.row] * 2, color=FAINT, linewidth=0.8, zorder=2)
        for span in life.waits:
            begin, end = self.plan.axis.x(span.start), self.plan.axis.x(span.end)
            axes.add_patch(Rectangle((begin, item.row - 0.28), end - begin, 0.56, zorder=3, **bar(span.mark)))
        gone = life.state is TaskState.DELETED
        axes.plot([item.begin], [item.row], zorder=4, clip_on=False, **spot(Mark.ADDED, self.size))
        if gone:
            axes.plot([item.end], [item.row], zorder=5, clip_on=False, **spot(Mark.DELETED, self.size))
        self._label(axes, item)

    def _try(self, axes: Any, life: Life, item: Item) -> None:
        for span, later in pairwise(life.tries):
            begin, end = self.plan.axis.x(span.end), self.plan.axis.x(later.start)
            axes.plot([begin, end], [item.row] * 2, color=INK, linewidth=0.9, linestyle=":", zorder=2)
        for span in life.tries:
            self._bar(axes, span, item.row)
        if item.label:
            self._statuses(axes, life, item)
        self._label(axes, item)

    def _statuses(self, axes: Any, life: Life, item: Item) -> None:
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
        worker = len(self.sheet.axes) - 1
        rows = {id(life): item.row for life, item in zip(self._tried(), self.plan.tries, strict=True)}
        for life, item in zip(self.scene.lives, self.plan.waits, strict=True):
            for visit, shown in zip(self.scene.visits, self.plan.visits, strict=True):
                if visit.start <= life.added <= visit.end and visit.label == life.adder:
                    link(self.sheet, (0, item.begin, shown.row), (self._lane(life), item.begin, item.row))
                    break
            for span in life.tries:
                x = self.plan.axis.x(span.start)
                link(self.sheet, (self._lane(life), x, item.row), (worker, x, rows[id(life)]))

    def _tried(self) -> Iterator[Life]:
        return (life for life in self.scene.lives if life.tries)
