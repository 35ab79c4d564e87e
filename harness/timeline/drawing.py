"""From records to a timeline: few tasks are drawn one by one, many as curves and bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from harness.records import Attempt, Response, TaskInfo
from harness.timeline.crowd import draw_crowd
from harness.timeline.lanes import draw_lanes
from harness.timeline.picture import Picture, style
from harness.timeline.scene import make_scene

_FEW_TASKS = 40
_FEW_SPANS = 160  # requests and attempts


def draw(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> Picture:
    """Draw a timeline; see `harness.timeline.timeline`."""
    scene = make_scene(responses, tasks, attempts, now)
    few = len(scene.lives) <= _FEW_TASKS and len(scene.visits) + len(scene.tries) <= _FEW_SPANS
    with style():
        return draw_lanes(scene) if few else draw_crowd(scene)
