"""Plays App Engine's dispatcher: runs the tasks that are due, as discrete events in virtual time.

There are two kinds of events. At a *start* the handler really runs, at once, for the virtual instant at which the
attempt begins; at the *end*, as much later as the handler took in virtual time, the queue learns the answer. Between
the two the task is in in_flight, and other attempts may start. Events are handled in the order of time, ends before
starts, and the clock moves along with them.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from operator import attrgetter, itemgetter

from harness.appengine.clock import Clock, to_datetime
from harness.appengine.dispatcher.chaos import Chaos
from harness.appengine.dispatcher.push_queues import PushQueue, PushQueues, instant
from harness.appengine.dispatcher.retry import RetryDecision, count, deadline_of, judge
from harness.appengine.dispatcher.task_request import build_request
from harness.appengine.taskqueue import Task, TaskQueueService
from harness.errors import BadValueError, NothingDueError, RunawayError
from harness.records import Attempt, Outcome, QueueSample, Request, Response, TaskInfo, TaskState

# An attempt that has started and not yet ended.


@dataclass(slots=True, eq=False)
class InFlight:
    """One delivery under way: its handler has answered, but in virtual time the answer comes at `end`.

    Times are seconds since 1970. `info` is the task as it was at the start.
    """

    number: int
    push_queue: PushQueue
    task: Task
    info: TaskInfo
    request: Request
    start: float
    duplicate: bool
    response: Response = Response(0)
    end: float = 0.0

    def answer(self, response: Response) -> None:
        """Note the handler's answer; one that was stopped at its deadline gave none, which is status 0 (T25; Prod)."""
        silent = response.deadline is not None and response.status != 0
        self.response = replace(response, status=0) if silent else response
        self.end = instant(self.start + response.elapsed)

    def __lt__(self, other: InFlight) -> bool:
        """Order by end, then by start: the order in which attempts are completed."""
        return (self.end, self.number) < (other.end, other.number)

    def to_attempt(self, verdict: RetryDecision) -> Attempt:
        """Return the record of the attempt."""
        return Attempt(
            number=self.number,
            task=self.info,
            request=self.request,
            response=self.response,
            started=to_datetime(self.start),
            outcome=verdict.outcome,
            next_eta=None if verdict.next_eta is None else to_datetime(verdict.next_eta),
            note=verdict.note,
            duplicate=self.duplicate,
        )


# What the dispatcher tells a learner when it cannot go on.

_SHOWN = 5


def nothing_due(push_queues: Iterable[PushQueue]) -> NothingDueError:
    """Return the error of a `step()` that found nothing to run, with the queues that hold tasks back."""
    held = [
        f"queue {each.queue.config.name!r} {each.hindrance()} and holds {_count(len(each.queue), 'task')}"
        for each in push_queues
        if len(each.queue)
    ]
    if not held:
        return NothingDueError("no task waits on any push queue; add one first")
    return NothingDueError(f"no task can run: {'; '.join(held)}. Resume the queue, or give it a rate above 0")


def runaway(tasks: list[TaskInfo]) -> RunawayError:
    """Return the error of a run that reached its cap: which URLs the attempts went to, the busiest first.

    Args:
        tasks: the task of each attempt of the run, as it was when the attempt began, in the order of the attempts.
    """
    by_url: dict[str, list[TaskInfo]] = defaultdict(list)
    for task in tasks:
        by_url[task.url].append(task)
    busiest = sorted(by_url.items(), key=lambda entry: -len(entry[1]))
    lines = [f"  {url}: {_summary(attempted)}" for url, attempted in busiest[:_SHOWN]]
    if len(busiest) > _SHOWN:
        lines.append(f"  and {len(busiest) - _SHOWN} more URLs")
    return RunawayError(
        f"stopped after {_count(len(tasks), 'attempt')}, and tasks still wait:\n"
        + "\n".join(lines)
        + "\nA handler that adds a task for itself needs an end to it; a task that always fails needs"
        + "\na task_retry_limit. If so many tasks are meant, run again: the queue goes on where it\nstopped."
    )


def _summary(attempted: list[TaskInfo]) -> str:
    last = attempted[-1]
    names = {(task.queue, task.name) for task in attempted}
    which = f"of task {last.name!r}" if len(names) == 1 else f"of {len(names)} tasks, the last of them {last.name!r}"
    return f"{_count(len(attempted), 'attempt')} {which} on queue {last.queue!r}, retries {last.retries}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


CAP = 10_000
Send = Callable[[Request, float, float], Response]
_ENDED = {Outcome.DONE: TaskState.DONE, Outcome.DROPPED: TaskState.DROPPED, Outcome.DELETED: TaskState.DELETED}
_by_number = attrgetter("number")


class Dispatcher:
    """Sends the tasks of all push queues to their handlers.

    Args:
        service: the queues.
        clock: the virtual clock, which moves to each event.
        send: called as `send(request, start, deadline)`; runs the handler now, for the virtual instant `start`
            (seconds since 1970), stops it after `deadline` virtual seconds, and returns its Response: `elapsed` is
            how long it took, `deadline` is set when it was stopped.
        seed: decides what is left to chaos.
        shuffle: True draws the order of the tasks that are due (T21; Docs).
        duplicates: probability, 0 to 1, that a task that succeeded is delivered once more (T37; Docs).

    `attempts` holds every attempt that has ended, in the order in which they began.
    """

    def __init__(
        self,
        service: TaskQueueService,
        clock: Clock,
        send: Send,
        *,
        seed: int = 0,
        shuffle: bool = False,
        duplicates: float = 0.0,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._send = send
        self._chaos = Chaos(seed, shuffle, duplicates)
        self._lanes = PushQueues(service)
        self._lanes.refresh(clock.timestamp)
        self._flights: list[InFlight] = []  # a heap, the next to end first
        self._started = 0

    @property
    def samples(self) -> dict[str, list[QueueSample]]:
        """By push queue, its bucket and its tasks at each start and each end of an attempt."""
        return self._lanes.samples()

    def step(self) -> Attempt:
        """Run one attempt from its start to its end, and leave the clock there.

        Other tasks that fall due meanwhile start later. An attempt that an earlier `run(until)` left in in_flight and
        that ends before the next one could start is the one that is completed and returned.

        Returns:
            The attempt.

        Raises:
            NothingDueError: nothing waits, or all that waits is held back.
        """
        self._lanes.refresh(self._clock.timestamp)
        push_queue, at = self._next_event()
        if at == math.inf:
            raise nothing_due(self._lanes)
        if push_queue is None:
            return self._finish()
        in_flight = self._start(push_queue, at)
        while True:
            attempt = self._finish()
            if attempt.number == in_flight.number:
                return attempt

    def run(self, until: float | None = None, cap: int = CAP) -> list[Attempt]:
        """Run attempts, jumping the clock from event to event, until nothing can start any more.

        Tasks that are held back for good (rate 0, a paused queue) stay where they are.

        Args:
            until: the last instant at which attempts start, in seconds since 1970; the clock ends there. Attempts that
                end later stay in in_flight, and the next `run` or `step` completes them. None for no such instant.
            cap: how many attempts to start at most.

        Returns:
            The attempts that ended, in the order in which they began.

        Raises:
            BadValueError: a cap that is no whole number, or below 0.
            RunawayError: the cap is reached and still a task could start; another run goes on from there (T36).
        """
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 0:
            raise BadValueError(f"cap is how many attempts to start at most, a whole number, not {cap!r}")
        ended: list[Attempt] = []
        last, first = math.inf if until is None else until, self._started
        self._lanes.refresh(self._clock.timestamp)
        while True:
            push_queue, at = self._next_event()
            if at > last or at == math.inf:
                break
            if push_queue is None:
                ended.append(self._finish())
            elif self._started - first >= cap:
                raise self._runaway(first)
            else:
                self._start(push_queue, at)
        if until is not None:
            self._clock.move_to(until)
        return sorted(ended, key=_by_number)

    def _next_event(self) -> tuple[PushQueue | None, float]:
        """Return what happens next and when: (queue, its next start), (None, an end), or (None, infinity)."""
        now = self._clock.timestamp
        end = self._flights[0].end if self._flights else math.inf
        if end <= now:  # no start can be earlier, so none is looked for
            return None, end
        push_queue, start = self._lanes.next_start(now)
        return (None, end) if end <= start else (push_queue, start)

    def _start(self, push_queue: PushQueue, start: float) -> InFlight:
        """Run a handler at an instant, and put the attempt in in_flight until its virtual end."""
        self._clock.move_to(start)
        in_flight = self._board(push_queue, start)
        try:
            in_flight.answer(self._send(in_flight.request, start, deadline_of(in_flight.task)))
        except BaseException:
            self._undo(in_flight)
            raise
        self._started = push_queue.served = in_flight.number
        heappush(self._flights, in_flight)
        push_queue.measure(start)
        return in_flight

    def _board(self, push_queue: PushQueue, start: float) -> InFlight:
        """Take the next task of a queue, and a token, for an attempt."""
        task = self._chaos.take(push_queue.queue, start)
        push_queue.bucket.take(start)
        request = build_request(task, push_queue.queue.config)
        in_flight = InFlight(
            self._started + 1, push_queue, task, task.info(), request, start, self._chaos.is_duplicate(task)
        )
        if task.first_try is None:
            task.first_try = start
        return in_flight

    def _undo(self, in_flight: InFlight) -> None:
        """Let the task wait again as if its attempt, which an exception cut short, had never begun."""
        in_flight.task.first_try = None if in_flight.info.first_try is None else in_flight.task.first_try
        in_flight.push_queue.bucket.give_back()
        in_flight.push_queue.queue.put_back(in_flight.task, in_flight.task.eta)

    def _finish(self) -> Attempt:
        """Complete the attempt that ends first."""
        in_flight = self._flights[0]
        self._clock.move_to(in_flight.end)
        heappop(self._flights)
        attempt = in_flight.to_attempt(self._settle(in_flight))
        in_flight.push_queue.measure(in_flight.end)
        insort(self.attempts, attempt, key=_by_number)
        return attempt

    def _settle(self, in_flight: InFlight) -> RetryDecision:
        """Decide what becomes of the task, and tell its queue."""
        queue, task, now = in_flight.push_queue.queue, in_flight.task, in_flight.end
        verdict = judge(task, queue.config, in_flight.response, now)
        if verdict.outcome is Outcome.DONE and self._chaos.delivers_again(task):
            queue.put_back(task, task.eta)
            return verdict._replace(note=f"{verdict.note}; will be delivered once more")
        count(task, in_flight.response, verdict.outcome)
        if verdict.next_eta is not None:
            queue.put_back(task, verdict.next_eta)
        else:
            task.state = _ENDED[verdict.outcome]
            queue.done(task, now)
        return verdict

    def _runaway(self, first: int) -> RunawayError:
        """Return the error of a run that began with attempt number `first` + 1 and reached its cap."""
        ended = self.attempts[bisect_right(self.attempts, first, key=_by_number) :]
        begun = [(attempt.number, attempt.task) for attempt in ended]
        begun += [(in_flight.number, in_flight.info) for in_flight in self._flights if in_flight.number > first]
        return runaway([task for _, task in sorted(begun, key=itemgetter(0))])
