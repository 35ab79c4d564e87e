"""The figure of a timeline: a row for each task of a short run, curves and bars that count the tasks of a long run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from harness.records import Attempt, Response, TaskInfo, TaskState
from harness.show.axis import TimeAxis, lay_out
from harness.show.figure import (
    LANE_WIDTH,
    Lane,
    Layout,
    Picture,
    draw_steps,
    open_layout,
    printable,
    set_scale,
    style,
    width_of,
)
from harness.show.mark_styles import STYLES
from harness.show.svg import BAND, BLACK, FAINT, INK, PAPER, SKY
from harness.show.timeline_model import Mark, Span, TimelineModel, alt_text, make_model, title

_FEW_TASKS, _FEW_SPANS = 40, 160  # tasks, and requests and attempts, of a short run
_LABELLED = 12  # tasks, or requests, that have labels
_TEXT = 8.0  # points
_GAP = 0.09  # inches from the center of a marker to its label
_HALF = 0.07  # inches from the center of a marker to its edge
_FULL = 14  # rows, in all lanes together, that have the full height
_ROW, _LOW = 0.27, 0.13  # inches of a row, at most and at least
_LANE = 0.95  # inches of a lane of a long run
_BARS = 60  # of a lane
_LINK: dict[str, Any] = {"color": FAINT, "linewidth": 0.8}  # connects a task with its request and its attempts
_RETRY: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": ":"}  # connects the attempts of a task


def timeline(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> Picture:
    """Return a figure of the users, the queues and the workers, one lane each, over virtual time.

    Args:
        responses: the responses to the users' requests, with `request` and `started`.
        tasks: all tasks that were ever added, in their current state.
        attempts: all attempts so far, in their order.
        now: the lab's virtual time.
    """
    model = make_model(responses, tasks, attempts, now)
    few = len(model.lives) <= _FEW_TASKS and len(model.visits) + len(model.attempts) <= _FEW_SPANS
    with style():
        layout = _draw_rows(model) if few else _draw_counts(model)
        if model.now is not None:
            layout.mark_now(model.now)
    return layout.picture


def _fill(mark: Mark, hatched: bool = True) -> dict[str, Any]:
    """Return matplotlib's arguments for an area."""
    colour, _, hatch = STYLES[mark]
    if mark is Mark.ETA:
        return {"facecolor": PAPER, "edgecolor": colour, "hatch": hatch, "linewidth": 0.8}
    return {"facecolor": colour, "edgecolor": PAPER, "hatch": hatch if hatched else "", "linewidth": 0}


def _marker(mark: Mark, size: float) -> dict[str, Any]:
    """Return matplotlib's arguments for a marker; the size is in points."""
    colour, marker, _ = STYLES[mark]
    rim = {"markeredgecolor": PAPER, "markeredgewidth": 0.6}
    return {"color": colour, "marker": marker, "markersize": size, "linestyle": "none", **rim}


def _legend(spans: Iterable[Span], areas: bool = False) -> list[Any]:
    """Return the entries of a legend, as markers where there are markers, or all as areas."""
    used = {span.mark for span in spans}
    return [
        Patch(label=mark, **_fill(mark))
        if areas or not STYLES[mark][1]
        else Line2D([], [], label=mark, **_marker(mark, 8))
        for mark in Mark
        if mark in used
    ]


@dataclass
class TimelineRow:
    """The spans that share one row of a lane: a request, or the waits or the attempts of a task.

    `name` is the name of the request or the task, `begin` and `end` are positions on the axis, `label` is written at
    the right, and `line` is the style of the line that connects the spans.
    """

    name: str
    spans: Sequence[Span]
    begin: float
    end: float
    label: str = ""
    line: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def right(self) -> float:
        """The place at which the label ends."""
        room = width_of(self.label, _TEXT) + _GAP if self.label else 0.0
        return self.end + (_HALF + room) / LANE_WIDTH


Rows = list[TimelineRow]


def _queue_name(lane: str) -> str:
    return f"queue\n{printable(lane, 15)}"


def _draw_rows(model: TimelineModel) -> Layout:
    axis = lay_out(model.instants())
    visits, waits, attempts = _make_rows(model, axis)
    queues = [[row for row, life in zip(waits, model.lives, strict=True) if life.lane == lane] for lane in model.lanes]
    groups = [visits, *queues, attempts]
    rows = [row for group in groups for row in group]
    counts = [max(1, _pack(group)) for group in groups]
    height = min(_ROW, max(_LOW, _ROW * _FULL / sum(counts)))
    names = ["user", *map(_queue_name, model.lanes), "worker"]
    lanes = [Lane(name, max(0.4, height * count + 0.16)) for name, count in zip(names, counts, strict=True)]
    beyond = max((row.right for row in rows), default=0.0) - 1
    legend = _legend(span for row in rows for span in row.spans)
    if model.lives:
        legend.append(Line2D([], [], label="connects the events of a task", **_LINK))
    if any(len(row.spans) > 1 for row in attempts):
        legend.append(Line2D([], [], label="until the next attempt", **_RETRY))
    margin = beyond / (1 - beyond) if beyond > 0 else 0.0
    layout = open_layout(alt_text(model), title(model), lanes, axis, model.first, legend, margin)
    for axes, lane, count, group in zip(layout.axes, lanes, counts, groups, strict=True):
        space = (lane.height / height - count) / 2
        axes.set_ylim(count - 0.5 + space, -0.5 - space)
        for row in group:
            _draw_row(axes, row, axis, size=max(5.5, min(9.0, height * 36)))
    for row in attempts if len(model.lives) <= _LABELLED else ():
        _draw_statuses(layout.axes[-1], row, axis)
    if len(model.attempts) <= 2 * _LABELLED:
        _draw_links(layout, model, visits, waits, attempts)
    return layout


def _make_rows(model: TimelineModel, axis: TimeAxis) -> tuple[Rows, Rows, Rows]:
    """Return a row for each request, for the waits of each task, and for the attempts of each attempted task.

    The rows of second deliveries, each of which overlaps with the first, follow the other rows of attempts.
    """

    def row(spans: Sequence[Span], end: float, name: str, count: int, **line: Any) -> TimelineRow:
        label = printable(name) if count <= _LABELLED else ""
        return TimelineRow(name, spans, axis.x(spans[0].start), axis.x(end), label, line)

    visits = [row([visit], visit.end, visit.label, len(model.visits)) for visit in model.visits]
    waits: Rows = []
    attempts: Rows = []
    second: Rows = []
    for life in model.lives:
        named = (life.name, len(model.lives))
        spans = [Span(life.added, life.added, Mark.ADDED), *life.waits]
        if life.state is TaskState.DELETED:
            spans.append(Span(life.end, life.end, Mark.DELETED))
        waits.append(row(spans, life.end, *named, **_LINK))
        deliveries = [span for span in life.attempts if not span.beside]
        if deliveries:
            end = deliveries[-1].end
            attempts.append(row(deliveries, end, *named, **_RETRY))
        named = (f"{life.name} again", len(model.lives))
        second += [row([span], span.end, *named) for span in life.attempts if span.beside]
    return visits, waits, attempts + second


def _pack(rows: Iterable[TimelineRow]) -> int:
    """Number the rows so that those with the same number don't touch each other, and return the count of numbers."""
    ends: list[float] = []
    for row in sorted(rows, key=lambda row: row.begin):
        begin = row.begin - 1.5 * _HALF / LANE_WIDTH
        row.number = next((number for number, end in enumerate(ends) if end <= begin), len(ends))
        ends[row.number : row.number + 1] = [row.right]
    return len(ends)


def _draw_row(axes: Any, row: TimelineRow, axis: TimeAxis, size: float) -> None:
    if row.line:
        axes.plot([row.begin, row.end], [row.number] * 2, zorder=2, **row.line)
    for number, span in enumerate(row.spans, 1):
        begin, end = axis.x(span.start), axis.x(span.end)
        has_marker = STYLES[span.mark][1] != ""
        if end > begin:
            fill = _fill(span.mark, hatched=not has_marker)
            bar = axes.add_patch(Rectangle((begin, row.number - 0.28), end - begin, 0.56, zorder=3, **fill))
            axes.figure.name(bar, span.describe(row.name))
        if has_marker:
            # A retry may be so close that its marker would hide that of the failure.
            above = 5 if number < len(row.spans) else 4
            (marker,) = axes.plot([end], [row.number], zorder=above, clip_on=False, **_marker(span.mark, size))
            axes.figure.name(marker, span.describe(row.name))
    _draw_label(axes, row.label, row.end, row.number)


def _draw_label(axes: Any, text: str, x: float, y: float) -> None:
    """Write a text to the right of a marker; lines stop at its edges."""
    at = {"textcoords": "offset points", "va": "center_baseline", "annotation_clip": False}
    box = {"facecolor": BAND, "edgecolor": "none", "pad": 1.2}
    axes.annotate(text, (x, y), (_GAP * 72, 0), size=_TEXT, zorder=6, bbox=box, **at)


def _draw_statuses(axes: Any, row: TimelineRow, axis: TimeAxis) -> None:
    """Write each status into its bar or to the right of its marker, if it fits."""
    for number, span in enumerate(row.spans, 1):
        begin, end = axis.x(span.start), axis.x(span.end)
        later = axis.x(row.spans[number].start) if number < len(row.spans) else 0.0
        room = width_of(span.label, _TEXT) + 2.2 * _GAP
        if (end - begin) * LANE_WIDTH > room:
            colour = PAPER if span.mark in (Mark.DONE, Mark.DROPPED) else BLACK
            at = {"ha": "center", "va": "center_baseline", "color": colour, "zorder": 6}
            axes.text((begin + end) / 2, row.number, span.label, size=_TEXT, weight="bold", **at)
        elif (later - end) * LANE_WIDTH > room:
            _draw_label(axes, span.label, end, row.number)


def _draw_links(layout: Layout, model: TimelineModel, visits: Rows, waits: Rows, attempts: Rows) -> None:
    """Draw lines from each request to the tasks that it adds, and from each task to its attempts."""
    user, *queues, worker = layout.axes
    attempted = iter(attempts)
    for life, wait in zip(model.lives, waits, strict=True):
        queue = queues[model.lanes.index(life.lane)]
        for visit, span in zip(visits, model.visits, strict=True):
            if span.start <= life.added <= span.end and span.label == life.adder:
                layout.link(user, queue, wait.begin, (visit.number, wait.number))
                break
        row = next(attempted) if life.attempts else wait
        for span in (span for span in life.attempts if not span.beside):
            layout.link(queue, worker, layout.axis.x(span.start), (wait.number, row.number))


def _draw_counts(model: TimelineModel) -> Layout:
    axis = lay_out(model.instants())
    lanes = [
        Lane("user\nrequests", _LANE),
        *(Lane(f"{_queue_name(lane)}\ntasks waiting", _LANE) for lane in model.lanes),
        Lane("worker\nattempts", _LANE),
    ]
    legend = _legend((*model.visits, *model.attempts), areas=True)
    layout = open_layout(alt_text(model), title(model), lanes, axis, model.first, legend)
    user, *queues, worker = layout.axes
    _draw_bars(user, model.visits, axis)
    _draw_bars(worker, model.attempts, axis)
    for axes, lane in zip(queues, model.lanes, strict=True):
        _draw_waiting(axes, [wait for life in model.lives if life.lane == lane for wait in life.waits], axis)
    return layout


def _draw_bars(axes: Any, spans: Sequence[Span], axis: TimeAxis) -> None:
    """Draw a bar for each 1/60 of the axis, which counts the spans that end there."""
    tops: Counter[int] = Counter()
    for mark in Mark:
        bars = Counter(min(int(axis.x(span.end) * _BARS), _BARS - 1) for span in spans if span.mark is mark)
        middles, bottoms = [(bar + 0.5) / _BARS for bar in bars], [tops[bar] for bar in bars]
        patches = axes.bar(middles, list(bars.values()), 0.9 / _BARS, bottoms, zorder=3, **_fill(mark))
        for patch, count in zip(patches, bars.values(), strict=True):
            axes.figure.name(patch, f"{count:,} × {mark}")
        tops += bars
    set_scale(axes, max(tops.values(), default=0))


def _draw_waiting(axes: Any, waits: Iterable[Span], axis: TimeAxis) -> None:
    """Draw how many tasks wait, for their ETA or for their turn."""
    changes: Counter[float] = Counter()
    for wait in waits:
        changes[axis.x(round(wait.start, 3))] += 1
        changes[axis.x(round(wait.end, 3))] -= 1
    steps = sorted(changes)
    counts = accumulate(changes[step] for step in steps)
    draw_steps(axes, [0.0, *steps, 1.0], [0, *counts, 0], SKY, "tasks waiting")
