"""Runs the due tasks as App Engine's dispatcher does, as discrete events in virtual time.

There are two kinds of events. At a *start* the dispatcher calls the handler, for the virtual instant at which the
attempt begins. At the *end*, after the virtual time that the handler took, the queue receives the response. Between the
two the task is in flight, and other attempts may start. Events are handled in the order of time, ends before starts,
and the clock moves to each event.
"""

import math
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from operator import attrgetter

from harness.appengine.clock import Clock, to_datetime
from harness.appengine.dispatcher.push_queues import Chaos, PushQueue, PushQueues, instant
from harness.appengine.dispatcher.retry import RetryDecision, count_attempt, decide
from harness.appengine.dispatcher.task_request import build_request
from harness.appengine.taskqueue import Task, TaskQueueService
from harness.errors import BadValueError, NothingDueError, RunawayError, quantity, quoted
from harness.records import Attempt, Outcome, QueueSample, Request, Response, TaskInfo, TaskState

CAP = 10_000
Send = Callable[[Request, float, float], Response]
_ENDED = {Outcome.DONE: TaskState.DONE, Outcome.DROPPED: TaskState.DROPPED, Outcome.DELETED: TaskState.DELETED}
_SHOWN = 5  # URLs in a message
_by_number = attrgetter("number")


@dataclass(slots=True, eq=False)
class InFlight:
    """An attempt that has started and not yet ended; `answer` adds its response and its end.

    Times are seconds since 1970. `info` is the task's record at the start.
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
        """Record the handler's response; the status is 0 if the handler was stopped at its deadline (T25; Prod)."""
        silent = response.deadline is not None and response.status != 0
        self.response = replace(response, status=0) if silent else response
        self.end = instant(self.start + response.elapsed)

    def __lt__(self, other: "InFlight") -> bool:
        """Order by end, and by start for equal ends, which is the order in which attempts are completed."""
        return (self.end, self.number) < (other.end, other.number)

    def to_attempt(self, decision: RetryDecision) -> Attempt:
        """Return the record of the attempt."""
        return Attempt(
            number=self.number,
            task=self.info,
            request=self.request,
            response=self.response,
            started=to_datetime(self.start),
            outcome=decision.outcome,
            next_eta=None if decision.next_eta is None else to_datetime(decision.next_eta),
            note=decision.note,
            duplicate=self.duplicate,
        )


class Dispatcher:
    """Sends the tasks of all push queues to their handlers.

    Args:
        service: the queues.
        clock: the virtual clock, which moves to each event.
        send: called as `send(request, start, deadline)`. It runs the handler for the virtual instant `start` (seconds
            since 1970), stops it after `deadline` virtual seconds, and returns the Response, whose `elapsed` is the
            time that it took; `deadline` is set if it was stopped.
        chaos: the random decisions; without it there are none.

    `attempts` contains every attempt that has ended, in the order in which the attempts began.
    """

    def __init__(self, service: TaskQueueService, clock: Clock, send: Send, chaos: Chaos | None = None) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._send = send
        self._chaos = chaos or Chaos()
        self._push_queues = PushQueues(service)
        self._push_queues.refresh(clock.timestamp)
        self._in_flight: list[InFlight] = []  # a heap; the first one ends first
        self._started = 0

    @property
    def samples(self) -> dict[str, list[QueueSample]]:
        """The bucket and the tasks of each push queue, at each start and each end of an attempt."""
        return {name: push_queue.samples() for name, push_queue in self._push_queues.items()}

    def step(self) -> Attempt:
        """Run one attempt from its start to its end, leave the clock there, and return the attempt.

        Other tasks that become due during the attempt start later. If an earlier `run(until)` left an attempt in flight
        that ends before the next attempt can start, that one is completed and returned.

        Raises:
            NothingDueError: no task waits, or all waiting tasks are held back.
        """
        self._push_queues.refresh(self._clock.timestamp)
        push_queue, at = self._next_event()
        if at == math.inf:
            raise _nothing_due(self._push_queues.values())
        if push_queue is None:
            return self._finish()
        number = self._start(push_queue, at)
        while (attempt := self._finish()).number != number:
            pass
        return attempt

    def run(self, until: float | None = None, cap: int = CAP) -> list[Attempt]:
        """Run attempts, and move the clock from event to event, until no attempt can start.

        Tasks that are held back (a paused queue, a rate of 0) keep waiting.

        Args:
            until: the last instant at which attempts start, in seconds since 1970, to which the clock moves in the end.
                Attempts that end later stay in flight until the next `run` or `step`. None means no such limit.
            cap: the most attempts to start.

        Returns:
            The attempts that ended, in the order in which they began.

        Raises:
            BadValueError: `cap` is not an integer of 0 or more.
            RunawayError: `cap` attempts have started and another one could start; a new run continues there (T36).
        """
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 0:
            raise BadValueError(f"cap is the most attempts to start, an integer of 0 or more, not {quoted(cap)}")
        ended: list[Attempt] = []
        last, first = math.inf if until is None else until, self._started
        self._push_queues.refresh(self._clock.timestamp)
        while True:
            push_queue, at = self._next_event()
            if at > last or at == math.inf:
                break
            if push_queue is None:
                ended.append(self._finish())
            elif self._started - first >= cap:
                raise _runaway(self._attempted_since(first))
            else:
                self._start(push_queue, at)
        if until is not None:
            self._clock.move_to(until)
        return sorted(ended, key=_by_number)

    def _next_event(self) -> tuple[PushQueue | None, float]:
        """Return the next event and its time: (queue, its next start) or (None, an end); infinity if there is none."""
        now = self._clock.timestamp
        end = self._in_flight[0].end if self._in_flight else math.inf
        if end <= now:  # no start can be earlier
            return None, end
        push_queue, start = self._push_queues.next_start(now)
        return (None, end) if end <= start else (push_queue, start)

    def _start(self, push_queue: PushQueue, start: float) -> int:
        """Run a handler at an instant, keep the attempt in flight until its virtual end, and return its number."""
        self._clock.move_to(start)
        in_flight = self._take(push_queue, start)
        try:
            in_flight.answer(self._send(in_flight.request, start, in_flight.task.deadline))
        except BaseException:
            self._undo(in_flight)
            raise
        self._started = push_queue.served = in_flight.number
        heappush(self._in_flight, in_flight)
        push_queue.measure(start)
        return in_flight.number

    def _take(self, push_queue: PushQueue, start: float) -> InFlight:
        """Take the next task of a queue, and a token, for an attempt."""
        task = self._chaos.take(push_queue.queue, start)
        push_queue.bucket.take(start)
        request, duplicate = build_request(task, push_queue.queue.config), self._chaos.is_duplicate(task)
        in_flight = InFlight(self._started + 1, push_queue, task, task.info(), request, start, duplicate)
        if task.first_try is None:
            task.first_try = start
        return in_flight

    def _undo(self, in_flight: InFlight) -> None:
        """Return a task to its queue as if its attempt, which an exception interrupted, had not begun."""
        task = in_flight.task
        task.first_try = None if in_flight.info.first_try is None else task.first_try
        in_flight.push_queue.bucket.give_back()
        in_flight.push_queue.queue.put_back(task, task.eta)

    def _finish(self) -> Attempt:
        """Complete the attempt that ends first."""
        in_flight = self._in_flight[0]
        self._clock.move_to(in_flight.end)
        heappop(self._in_flight)
        attempt = in_flight.to_attempt(self._settle(in_flight))
        in_flight.push_queue.measure(in_flight.end)
        if self.attempts and attempt.number < self.attempts[-1].number:
            insort(self.attempts, attempt, key=_by_number)
        else:
            self.attempts.append(attempt)
        return attempt

    def _settle(self, in_flight: InFlight) -> RetryDecision:
        """Decide what happens to the task, and change the task and its queue accordingly."""
        queue, task, now = in_flight.push_queue.queue, in_flight.task, in_flight.end
        decision = decide(task, queue.config, in_flight.response, now)
        if decision.outcome is Outcome.DONE and self._chaos.delivers_again(task):
            queue.put_back(task, task.eta)
            return decision._replace(note=f"{decision.note}; will be delivered once more")
        count_attempt(task, in_flight.response, decision.outcome)
        if decision.next_eta is not None:
            queue.put_back(task, decision.next_eta)
        else:
            task.state = _ENDED[decision.outcome]
            queue.done(task, now)
        return decision

    def _attempted_since(self, first: int) -> list[TaskInfo]:
        """Return the task of each attempt after number `first`, in the order of the attempts."""
        tasks = {attempt.number: attempt.task for attempt in self.attempts}
        tasks |= {in_flight.number: in_flight.info for in_flight in self._in_flight}
        return [tasks[number] for number in sorted(tasks) if number > first]


def _nothing_due(push_queues: Iterable[PushQueue]) -> NothingDueError:
    """Return the error of a `step()` that found no task to run; it names the queues that hold tasks back."""
    held = [
        f"queue {each.queue.config.name!r} {'is paused' if each.queue.paused else 'has the rate 0'} and holds "
        f"{quantity(len(each.queue), 'task')}"
        for each in push_queues
        if len(each.queue)
    ]
    if not held:
        return NothingDueError("no task waits on any push queue; add one first")
    return NothingDueError(f"no task can run: {'; '.join(held)}. Resume the queue, or give it a rate above 0")


def _runaway(tasks: list[TaskInfo]) -> RunawayError:
    """Return the error of a run that reached its cap; it lists the URLs with the most of these attempted tasks."""
    by_url: dict[str, list[TaskInfo]] = defaultdict(list)
    for task in tasks:
        by_url[task.url].append(task)
    busiest = sorted(by_url.items(), key=lambda entry: -len(entry[1]))
    lines = [f"  {url}: {_summary(attempted)}" for url, attempted in busiest[:_SHOWN]]
    if len(busiest) > _SHOWN:
        lines.append(f"  and {len(busiest) - _SHOWN} more URLs")
    return RunawayError(
        f"stopped after {quantity(len(tasks), 'attempt')}, and tasks still wait:\n"
        + "\n".join(lines)
        + "\nA handler that adds a task for itself must stop doing so at some point, and a task that"
        + "\nalways fails needs a task_retry_limit. If you expect so many tasks, run again: the queue"
        + "\ncontinues where it stopped."
    )


def _summary(attempted: list[TaskInfo]) -> str:
    last = attempted[-1]
    names = {(task.queue, task.name) for task in attempted}
    which = f"of task {last.name!r}" if len(names) == 1 else f"of {len(names):,} tasks, the last of them {last.name!r}"
    return f"{quantity(len(attempted), 'attempt')} {which} on queue {last.queue!r}, retries {last.retries}"
