"""What a timeline shows, in seconds since the first event: visits, and the lives of tasks. Knows no matplotlib."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from harness.records import Attempt, Outcome, Response, TaskInfo, TaskState
from harness.show.text import clean, clock, duration, quantity

_LANES = 6  # queues that have a lane each
_OTHERS = " others"  # no queue's name has a space


class Mark(StrEnum):
    """What stands in the legend."""

    VISIT = "request"
    BAD_VISIT = "request failed"
    ADDED = "task added"
    ETA = "waits for its ETA"
    TURN = "waits for its turn"
    DONE = "attempt done"
    FAILED = "attempt failed, to be retried"
    STOPPED = "attempt stopped at its deadline"
    DROPPED = "attempt failed, task dropped"
    DELETED = "task deleted"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasts from one second to another (perhaps the same), with its mark and a word beside it."""

    start: float
    end: float
    mark: Mark
    label: str = ""


@dataclass(frozen=True, slots=True)
class TaskLife:
    """One task: when it was added and is or was due, its waits in the queue, its attempts, and how it stands now.

    `lane` is the lane that it is drawn in: its queue's, or one for all small queues.
    """

    name: str
    queue: str
    lane: str
    added: float
    due: float
    adder: str
    state: TaskState
    waits: tuple[Span, ...]
    tries: tuple[Span, ...]

    @property
    def end(self) -> float:
        """The second of the last thing that is known of the task."""
        return max([self.added, *(span.end for span in (*self.waits, *self.tries))])


@dataclass(frozen=True, slots=True)
class TimelineModel:
    """Everything that a timeline shows; `now` is None when nothing is left to wait for."""

    first: datetime
    visits: tuple[Span, ...]
    lives: tuple[TaskLife, ...]
    now: float | None

    @property
    def tries(self) -> list[Span]:
        return [span for life in self.lives for span in life.tries]

    @property
    def lanes(self) -> list[str]:
        """The queues' lanes: "default" first, then by name, the one for small queues last."""
        names = {life.lane for life in self.lives} or {"default"}
        return sorted(names, key=lambda name: (name != "default", name.endswith(_OTHERS), name))

    def instants(self) -> Iterator[float]:
        """Yield every second at which something happens."""
        spans = [*self.visits, *(span for life in self.lives for span in (*life.waits, *life.tries))]
        for span in spans:
            yield from (span.start, span.end)
        yield from (life.added for life in self.lives)
        if self.now is not None:
            yield self.now


def make_model(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> TimelineModel:
    """Turn records into a model; see `harness.show.plots.timeline`."""
    starts = [response.started for response in responses if response.started is not None]
    first = min([*starts, *(task.created for task in tasks), *(attempt.started for attempt in attempts)], default=now)
    tries: dict[tuple[str, str, datetime], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        tries[attempt.task.identity].append(attempt)
    at = (now - first).total_seconds()
    lanes = _choose_lanes(tasks)
    lives = sorted(
        (_live(task, lanes[task.queue], tries[task.identity], first, at) for task in tasks),
        key=lambda life: life.added,
    )
    pending = any(life.state in (TaskState.WAITING, TaskState.RUNNING) for life in lives)
    return TimelineModel(first, tuple(_visits(responses, first)), tuple(lives), at if pending else None)


def _choose_lanes(tasks: Iterable[TaskInfo]) -> dict[str, str]:
    """Give each queue a lane; where there are many, those with the most tasks have one of their own."""
    sizes = Counter(task.queue for task in tasks)
    large = sorted(sizes, key=lambda queue: (-sizes[queue], queue))
    if len(large) > _LANES:
        del large[_LANES - 1 :]
    others = f"{len(sizes) - len(large)}{_OTHERS}"
    return {queue: queue if queue in large else others for queue in sizes}


def _visits(responses: Iterable[Response], first: datetime) -> Iterator[Span]:
    for response in responses:
        if response.started is not None:
            start = (response.started - first).total_seconds()
            mark = Mark.VISIT if response.status < 400 and not response.deadline else Mark.BAD_VISIT
            path = response.request.url.partition("?")[0] if response.request else ""
            function = response.route.function if response.route else path.rpartition("/")[2]
            yield Span(start, start + response.elapsed, mark, clean(function[:100]))


def _live(task: TaskInfo, lane: str, attempts: Sequence[Attempt], first: datetime, now: float) -> TaskLife:
    tries = [_try(attempt, first) for attempt in attempts]
    etas = [(attempt.task.eta - first).total_seconds() for attempt in attempts]
    added, due = (task.created - first).total_seconds(), (task.eta - first).total_seconds()
    waits: list[Span] = []
    for free, eta, until in zip(
        [added, *(span.end for span in tries)], etas, (span.start for span in tries), strict=False
    ):
        waits += _wait(free, eta, until)
    if task.state is TaskState.WAITING:
        waits += _wait(tries[-1].end if tries else added, due, max(now, due))
    adder = task.origin.function if task.origin else ""
    return TaskLife(task.name, task.queue, lane, added, due, adder, task.state, tuple(waits), tuple(tries))


def _wait(free: float, eta: float, until: float) -> Iterator[Span]:
    """Yield the wait for the ETA, then the wait for a turn: for tokens, or for a free worker."""
    eta = min(max(eta, free), until)
    if eta > free:
        yield Span(free, eta, Mark.ETA)
    if until > eta:
        yield Span(eta, until, Mark.TURN)


def _try(attempt: Attempt, first: datetime) -> Span:
    start = (attempt.started - first).total_seconds()
    return Span(start, start + attempt.elapsed, mark_of(attempt), str(attempt.status) if attempt.status else "stopped")


def mark_of(attempt: Attempt) -> Mark:
    """Return how an attempt ended, as the legend has it."""
    if attempt.outcome is Outcome.DONE:
        return Mark.DONE
    if attempt.outcome is Outcome.DELETED:
        return Mark.DELETED
    if attempt.outcome is Outcome.DROPPED:
        return Mark.DROPPED
    return Mark.STOPPED if attempt.response.deadline else Mark.FAILED


# The title and the alt text of a timeline.

_FEW = 4  # tasks or requests that the alt text tells one by one
_FAILURES = (Mark.FAILED, Mark.STOPPED, Mark.DROPPED)
_STATES = (TaskState.DONE, TaskState.RUNNING, TaskState.WAITING, TaskState.DROPPED, TaskState.DELETED)  # as told


def title(model: TimelineModel) -> str:
    """Return "2 requests, 1 task, 3 attempts (2 failed): 1 done"."""
    tries, queues = model.tries, {life.queue for life in model.lives}
    if not model.visits and not model.lives:
        return "Nothing has happened yet: no request, no task"
    parts = [quantity(len(model.visits), "request"), quantity(len(model.lives), "task")]
    if len(queues) > 1:
        parts[-1] += f" in {quantity(len(queues), 'queue')}"
    if not model.lives:
        return ", ".join(parts)
    failed = sum(span.mark in _FAILURES for span in tries)
    parts.append(quantity(len(tries), "attempt") + (f" ({failed:,} failed)" if failed else ""))
    states = Counter(life.state for life in model.lives)
    return f"{', '.join(parts)}: " + ", ".join(f"{states[state]:,} {state}" for state in _STATES if states[state])


def alt_text(model: TimelineModel) -> str:
    """Say what there is to see: the title, the time that is covered, then lane by lane what happened."""
    head = f"Timeline: {title(model)}."
    if not model.visits and not model.lives:
        return head
    last = max(model.instants())
    lanes = [*_visits_text(model), *_tasks(model)]
    return " ".join([head, f"It covers {duration(last)} of virtual time from {clock(model.first)}.", *lanes])


def _visits_text(model: TimelineModel) -> Iterator[str]:
    for visit in model.visits if len(model.visits) <= _FEW else ():
        fails = " and fails" if visit.mark is Mark.BAD_VISIT else ""
        took = duration(visit.end - visit.start)
        yield f"User: {visit.label or 'a request'} at {duration(visit.start)} takes {took}{fails}."
    if len(model.visits) > _FEW:
        longest = max(visit.end - visit.start for visit in model.visits)
        yield f"User: {quantity(len(model.visits), 'request')}, the longest takes {duration(longest)}."


def _tasks(model: TimelineModel) -> Iterator[str]:
    if len(model.lives) <= _FEW:
        for life in model.lives:
            yield from _life(life)
        return
    for lane in model.lanes:
        lives = [life for life in model.lives if life.lane == lane]
        waited = [sum(wait.end - wait.start for wait in life.waits) for life in lives]
        yield f"Queue {lane}: {quantity(len(lives), 'task')}, the longest waits {duration(max(waited))} in all."
    kinds = Counter(span.mark for span in model.tries)
    if kinds:
        yield f"Worker: {', '.join(f'{kinds[mark]:,} × {mark}' for mark in Mark if kinds[mark])}."


def _life(life: TaskLife) -> Iterator[str]:
    yield f"Queue {life.queue}: {life.name} is added at {duration(life.added)}."
    tries = life.tries
    for span in tries if len(tries) <= _FEW else (tries[0], tries[-1]):
        yield f"Worker: {life.name} at {duration(span.start)}, {span.mark}."
    if len(tries) > _FEW:
        yield f"Between these two there are {len(tries) - 2:,} more attempts."
    if life.state is TaskState.WAITING:
        yield f"{life.name} waits; its ETA is at {duration(life.due)}."
