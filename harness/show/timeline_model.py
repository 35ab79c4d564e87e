"""The content of a timeline: requests and the lives of tasks, in seconds since the first event, and its alt text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from harness.errors import quantity
from harness.records import Attempt, Outcome, Response, TaskInfo, TaskState
from harness.show.text import clean, clock, duration

_LANES = 6  # lanes of queues
_OTHERS = " others"  # the name of no queue contains a space
_FEW = 4  # tasks, requests or attempts that the alt text describes one by one
_STATES = (TaskState.DONE, TaskState.RUNNING, TaskState.WAITING, TaskState.DROPPED, TaskState.DELETED)  # in the title


class Mark(StrEnum):
    """A kind of span, with its text in the legend."""

    VISIT = "request"
    BAD_VISIT = "request failed"
    ADDED = "task added"
    ETA = "waits for its ETA"
    TURN = "waits for its turn"
    DONE = "attempt done"
    FAILED = "attempt failed, to be retried"
    STOPPED = "attempt stopped at its deadline"
    KILLED = "attempt ended by a shutdown"
    DROPPED = "attempt failed, task dropped"
    DELETED = "task deleted"


_FAILURES = (Mark.FAILED, Mark.STOPPED, Mark.KILLED, Mark.DROPPED)
_MARKS = {Outcome.DONE: Mark.DONE, Outcome.DELETED: Mark.DELETED, Outcome.DROPPED: Mark.DROPPED}


@dataclass(frozen=True, slots=True)
class Span:
    """A request, a wait or an attempt, from one second to another (or the same), with a label.

    `beside` is True for the second of two deliveries that overlap.
    """

    start: float
    end: float
    mark: Mark
    label: str = ""
    beside: bool = False

    def describe(self, name: str) -> str:
        """Return what happened when; `name` is the name of the request or the task."""
        times = f"at {duration(self.start)}"
        if self.end > self.start:
            times = f"from {duration(self.start)} to {duration(self.end)}"
        result = f" ({self.label})" if self.label not in ("", name) else ""
        return f"{name}: {self.mark} {times}{result}"


@dataclass(frozen=True, slots=True)
class TaskLife:
    """The history of a task: when it was added, its ETA (`due`), its waits in the queue, and its attempts.

    `lane` is the lane in which it is drawn: that of its queue, or one for all small queues. `adder` is the function
    that added it.
    """

    name: str
    queue: str
    lane: str
    added: float
    due: float
    adder: str
    state: TaskState
    waits: tuple[Span, ...]
    attempts: tuple[Span, ...]

    @property
    def end(self) -> float:
        """The second of the last event of the task."""
        return max([self.added, *(span.end for span in (*self.waits, *self.attempts))])


@dataclass(frozen=True, slots=True)
class TimelineModel:
    """The content of a timeline; `now` is None if no task waits or runs."""

    first: datetime
    visits: tuple[Span, ...]
    lives: tuple[TaskLife, ...]
    now: float | None

    @property
    def attempts(self) -> list[Span]:
        """The attempts of all tasks."""
        return [span for life in self.lives for span in life.attempts]

    @property
    def lanes(self) -> list[str]:
        """The names of the queues' lanes: "default", then the others by name, then the lane for small queues."""
        names = {life.lane for life in self.lives} or {"default"}
        return sorted(names, key=lambda name: (name != "default", name.endswith(_OTHERS), name))

    def instants(self) -> Iterator[float]:
        """Yield the second of each event."""
        for span in (*self.visits, *(span for life in self.lives for span in (*life.waits, *life.attempts))):
            yield from (span.start, span.end)
        yield from (life.added for life in self.lives)
        if self.now is not None:
            yield self.now


def make_model(
    responses: Sequence[Response], tasks: Sequence[TaskInfo], attempts: Sequence[Attempt], now: datetime
) -> TimelineModel:
    """Return the model of some records; see `harness.show.plots.timeline` for the arguments."""
    starts = [response.started for response in responses if response.started is not None]
    first = min([*starts, *(task.created for task in tasks), *(attempt.started for attempt in attempts)], default=now)
    attempts_of: dict[tuple[str, str, datetime], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        attempts_of[attempt.task.identity].append(attempt)
    at = (now - first).total_seconds()
    lanes = _choose_lanes(tasks)
    lives = [_make_life(task, lanes[task.queue], attempts_of[task.identity], first, at) for task in tasks]
    lives.sort(key=lambda life: life.added)
    pending = any(life.state in (TaskState.WAITING, TaskState.RUNNING) for life in lives)
    return TimelineModel(first, tuple(_make_visits(responses, first)), tuple(lives), at if pending else None)


def _choose_lanes(tasks: Iterable[TaskInfo]) -> dict[str, str]:
    """Return the lane of each queue. If there are too many queues, those with the fewest tasks share a lane."""
    sizes = Counter(task.queue for task in tasks)
    large = dict(sizes.most_common(_LANES if len(sizes) <= _LANES else _LANES - 1))
    others = f"{len(sizes) - len(large)}{_OTHERS}"
    return {queue: queue if queue in large else others for queue in sizes}


def _make_visits(responses: Iterable[Response], first: datetime) -> Iterator[Span]:
    for response in responses:
        if response.started is not None:
            start = (response.started - first).total_seconds()
            failed = response.status >= 400 or response.deadline or response.killed
            mark = Mark.BAD_VISIT if failed else Mark.VISIT
            path = response.request.url.partition("?")[0] if response.request else ""
            function = response.route.function if response.route else path.rpartition("/")[2]
            yield Span(start, start + response.elapsed, mark, clean(function[:100]))


def _make_life(task: TaskInfo, lane: str, attempts: Sequence[Attempt], first: datetime, now: float) -> TaskLife:
    added, due = (task.created - first).total_seconds(), (task.eta - first).total_seconds()
    waits: list[Span] = []
    spans: list[Span] = []
    free = added
    for attempt in attempts:
        start = (attempt.started - first).total_seconds()
        waits += _wait(free, (attempt.task.eta - first).total_seconds(), start)
        free = start + attempt.elapsed
        label = "killed" if attempt.response.killed else str(attempt.status or "stopped")
        spans.append(Span(start, free, _mark(attempt), label, attempt.duplicate and bool(attempt.response.turns)))
    if task.state is TaskState.WAITING:
        waits += _wait(free, due, max(now, due))
    adder = task.call_site.function if task.call_site else ""
    return TaskLife(task.name, task.queue, lane, added, due, adder, task.state, tuple(waits), tuple(spans))


def _wait(free: float, eta: float, until: float) -> Iterator[Span]:
    """Yield the wait for the ETA, and the wait for a turn, which is a token or a free worker."""
    eta = min(max(eta, free), until)
    if eta > free:
        yield Span(free, eta, Mark.ETA)
    if until > eta:
        yield Span(eta, until, Mark.TURN)


def _mark(attempt: Attempt) -> Mark:
    if attempt.response.killed and attempt.outcome is Outcome.RETRY:
        return Mark.KILLED
    return _MARKS.get(attempt.outcome, Mark.STOPPED if attempt.response.deadline else Mark.FAILED)


def title(model: TimelineModel) -> str:
    """Return the title of a timeline: "2 requests, 1 task, 3 attempts (2 failed): 1 done"."""
    if not model.visits and not model.lives:
        return "Nothing has happened yet"
    parts = [quantity(len(model.visits), "request"), quantity(len(model.lives), "task")]
    queues = {life.queue for life in model.lives}
    if len(queues) > 1:
        parts[-1] += f" in {quantity(len(queues), 'queue')}"
    if not model.lives:
        return ", ".join(parts)
    failed = sum(span.mark in _FAILURES for span in model.attempts)
    parts.append(quantity(len(model.attempts), "attempt") + (f" ({failed:,} failed)" if failed else ""))
    states = Counter(life.state for life in model.lives)
    return f"{', '.join(parts)}: " + ", ".join(f"{states[state]:,} {state}" for state in _STATES if states[state])


def alt_text(model: TimelineModel) -> str:
    """Return the alt text of a timeline: the title, the time that it covers, and the events of each lane."""
    head = f"Timeline: {title(model)}."
    if not model.visits and not model.lives:
        return head
    last = duration(max(model.instants()))
    events = [*_describe_visits(model.visits), *_describe_tasks(model)]
    return " ".join([head, f"It covers {last} of virtual time from {clock(model.first)}.", *events])


def _describe_visits(visits: Sequence[Span]) -> Iterator[str]:
    if len(visits) > _FEW:
        longest = max(visit.end - visit.start for visit in visits)
        yield f"User: {quantity(len(visits), 'request')}, taking up to {duration(longest)}."
        return
    for visit in visits:
        fails = " and fails" if visit.mark is Mark.BAD_VISIT else ""
        took = duration(visit.end - visit.start)
        yield f"User: {visit.label or 'a request'} starts at {duration(visit.start)}, takes {took}{fails}."


def _describe_tasks(model: TimelineModel) -> Iterator[str]:
    if len(model.lives) <= _FEW:
        for life in model.lives:
            yield from _describe_life(life)
        return
    for lane in model.lanes:
        lives = [life for life in model.lives if life.lane == lane]
        waited = max(sum(wait.end - wait.start for wait in life.waits) for life in lives)
        yield f"Queue {lane}: {quantity(len(lives), 'task')}, waiting up to {duration(waited)} in total."
    kinds = Counter(span.mark for span in model.attempts)
    if kinds:
        yield f"Worker: {', '.join(f'{kinds[mark]:,} × {mark}' for mark in Mark if kinds[mark])}."


def _describe_life(life: TaskLife) -> Iterator[str]:
    yield f"Queue {life.queue}: {life.name} is added at {duration(life.added)}."
    attempts = life.attempts
    for span in attempts if len(attempts) <= _FEW else (attempts[0], attempts[-1]):
        beside = ", at the same time as its first delivery" if span.beside else ""
        yield f"Worker: {life.name} runs at {duration(span.start)}{beside} ({span.mark})."
    if len(attempts) > _FEW:
        yield f"There are {len(attempts) - 2:,} attempts between these two."
    if life.state is TaskState.WAITING:
        yield f"{life.name} waits, and its ETA is {duration(life.due)}."
