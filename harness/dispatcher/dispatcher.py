"""Plays App Engine's dispatcher: runs the tasks that are due, as discrete events in virtual time.

There are two kinds of events. At a *start* the handler really runs, at once, for the virtual instant at which the
attempt begins; at the *end*, as much later as the handler took in virtual time, the queue learns the answer. Between
the two the task is in flight, and other attempts may start. Events are handled in the order of time, ends before
starts, and the clock moves along with them.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Callable
from heapq import heappop, heappush
from operator import attrgetter, itemgetter

from harness.clock import Clock
from harness.dispatcher.chance import Chance
from harness.dispatcher.flight import Flight
from harness.dispatcher.headers import build_request
from harness.dispatcher.lane import Lane
from harness.dispatcher.lanes import Lanes
from harness.dispatcher.reports import nothing_due, runaway
from harness.dispatcher.verdict import Verdict, count, deadline_of, judge
from harness.errors import BadValueError, RunawayError
from harness.records import Attempt, Outcome, QueueSample, Request, Response, TaskState
from harness.taskqueue import TaskQueueService

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
        seed: decides what is left to chance.
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
        self._chance = Chance(seed, shuffle, duplicates)
        self._lanes = Lanes(service)
        self._lanes.refresh(clock.timestamp)
        self._flights: list[Flight] = []  # a heap, the next to end first
        self._started = 0

    @property
    def samples(self) -> dict[str, list[QueueSample]]:
        """By push queue, its bucket and its tasks at each start and each end of an attempt."""
        return self._lanes.samples()

    def step(self) -> Attempt:
        """Run one attempt from its start to its end, and leave the clock there.

        Other tasks that fall due meanwhile start later. An attempt that an earlier `run(until)` left in flight and
        that ends before the next one could start is the one that is completed and returned.

        Returns:
            The attempt.

        Raises:
            NothingDueError: nothing waits, or all that waits is held back.
        """
        self._lanes.refresh(self._clock.timestamp)
        lane, at = self._next_event()
        if at == math.inf:
            raise nothing_due(self._lanes)
        if lane is None:
            return self._finish()
        flight = self._start(lane, at)
        while True:
            attempt = self._finish()
            if attempt.number == flight.number:
                return attempt

    def run(self, until: float | None = None, cap: int = CAP) -> list[Attempt]:
        """Run attempts, jumping the clock from event to event, until nothing can start any more.

        Tasks that are held back for good (rate 0, a paused queue) stay where they are.

        Args:
            until: the last instant at which attempts start, in seconds since 1970; the clock ends there. Attempts that
                end later stay in flight, and the next `run` or `step` completes them. None for no such instant.
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
            lane, at = self._next_event()
            if at > last or at == math.inf:
                break
            if lane is None:
                ended.append(self._finish())
            elif self._started - first >= cap:
                raise self._runaway(first)
            else:
                self._start(lane, at)
        if until is not None:
            self._clock.move_to(until)
        return sorted(ended, key=_by_number)

    def _next_event(self) -> tuple[Lane | None, float]:
        """Return what happens next and when: (queue, its next start), (None, an end), or (None, infinity)."""
        now = self._clock.timestamp
        end = self._flights[0].end if self._flights else math.inf
        if end <= now:  # no start can be earlier, so none is looked for
            return None, end
        lane, start = self._lanes.next_start(now)
        return (None, end) if end <= start else (lane, start)

    def _start(self, lane: Lane, start: float) -> Flight:
        """Run a handler at an instant, and put the attempt in flight until its virtual end."""
        self._clock.move_to(start)
        flight = self._board(lane, start)
        try:
            flight.answer(self._send(flight.request, start, deadline_of(flight.task)))
        except BaseException:
            self._undo(flight)
            raise
        self._started = lane.served = flight.number
        heappush(self._flights, flight)
        lane.measure(start)
        return flight

    def _board(self, lane: Lane, start: float) -> Flight:
        """Take the next task of a queue, and a token, for an attempt."""
        task = self._chance.take(lane.queue, start)
        lane.bucket.take(start)
        request = build_request(task, lane.queue.config)
        flight = Flight(self._started + 1, lane, task, task.info(), request, start, self._chance.is_duplicate(task))
        if task.first_try is None:
            task.first_try = start
        return flight

    def _undo(self, flight: Flight) -> None:
        """Let the task wait again as if its attempt, which an exception cut short, had never begun."""
        flight.task.first_try = None if flight.info.first_try is None else flight.task.first_try
        flight.lane.bucket.give_back()
        flight.lane.queue.put_back(flight.task, flight.task.eta)

    def _finish(self) -> Attempt:
        """Complete the attempt that ends first."""
        flight = self._flights[0]
        self._clock.move_to(flight.end)
        heappop(self._flights)
        attempt = flight.to_attempt(self._settle(flight))
        flight.lane.measure(flight.end)
        insort(self.attempts, attempt, key=_by_number)
        return attempt

    def _settle(self, flight: Flight) -> Verdict:
        """Decide what becomes of the task, and tell its queue."""
        queue, task, now = flight.lane.queue, flight.task, flight.end
        verdict = judge(task, queue.config, flight.response, now)
        if verdict.outcome is Outcome.DONE and self._chance.delivers_again(task):
            queue.put_back(task, task.eta)
            return verdict._replace(note=f"{verdict.note}; will be delivered once more")
        count(task, flight.response, verdict.outcome)
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
        begun += [(flight.number, flight.info) for flight in self._flights if flight.number > first]
        return runaway([task for _, task in sorted(begun, key=itemgetter(0))])
