"""The title and the alt text of a timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.display.times import clock, duration, quantity
from harness.records import TaskState
from harness.timeline.scene import Life, Mark, Scene

_FEW = 4  # tasks or requests that the alt text tells one by one
_FAILURES = (Mark.FAILED, Mark.STOPPED, Mark.DROPPED)
_STATES = (TaskState.DONE, TaskState.RUNNING, TaskState.WAITING, TaskState.DROPPED, TaskState.DELETED)  # as told


def title(scene: Scene) -> str:
    """Return "2 requests, 1 task, 3 attempts (2 failed): 1 done"."""
    tries, queues = scene.tries, {life.queue for life in scene.lives}
    if not scene.visits and not scene.lives:
        return "Nothing has happened yet: no request, no task"
    parts = [quantity(len(scene.visits), "request"), quantity(len(scene.lives), "task")]
    if len(queues) > 1:
        parts[-1] += f" in {quantity(len(queues), 'queue')}"
    if not scene.lives:
        return ", ".join(parts)
    failed = sum(span.mark in _FAILURES for span in tries)
    parts.append(quantity(len(tries), "attempt") + (f" ({failed:,} failed)" if failed else ""))
    states = Counter(life.state for life in scene.lives)
    return f"{', '.join(parts)}: " + ", ".join(f"{states[state]:,} {state}" for state in _STATES if states[state])


def alt_text(scene: Scene) -> str:
    """Say what there is to see: the title, the time that is covered, then lane by lane what happened."""
    head = f"Timeline: {title(scene)}."
    if not scene.visits and not scene.lives:
        return head
    last = max(scene.instants())
    lanes = [*_visits(scene), *_tasks(scene)]
    return " ".join([head, f"It covers {duration(last)} of virtual time from {clock(scene.first)}.", *lanes])


def _visits(scene: Scene) -> Iterator[str]:
    for visit in scene.visits if len(scene.visits) <= _FEW else ():
        fails = " and fails" if visit.mark is Mark.BAD_VISIT else ""
        took = duration(visit.end - visit.start)
        yield f"User: {visit.label or 'a request'} at {duration(visit.start)} takes {took}{fails}."
    if len(scene.visits) > _FEW:
        longest = max(visit.end - visit.start for visit in scene.visits)
        yield f"User: {quantity(len(scene.visits), 'request')}, the longest takes {duration(longest)}."


def _tasks(scene: Scene) -> Iterator[str]:
    if len(scene.lives) <= _FEW:
        for life in scene.lives:
            yield from _life(life)
        return
    for lane in scene.lanes:
        lives = [life for life in scene.lives if life.lane == lane]
        waited = [sum(wait.end - wait.start for wait in life.waits) for life in lives]
        yield f"Queue {lane}: {quantity(len(lives), 'task')}, the longest waits {duration(max(waited))} in all."
    kinds = Counter(span.mark for span in scene.tries)
    if kinds:
        yield f"Worker: {', '.join(f'{kinds[mark]:,} × {mark}' for mark in Mark if kinds[mark])}."


def _life(life: Life) -> Iterator[str]:
    yield f"Queue {life.queue}: {life.name} is added at {duration(life.added)}."
    tries = life.tries
    for span in tries if len(tries) <= _FEW else (tries[0], tries[-1]):
        yield f"Worker: {life.name} at {duration(span.start)}, {span.mark}."
    if len(tries) > _FEW:
        yield f"Between these two there are {len(tries) - 2:,} more attempts."
    if life.state is TaskState.WAITING:
        yield f"{life.name} waits; its ETA is at {duration(life.due)}."
