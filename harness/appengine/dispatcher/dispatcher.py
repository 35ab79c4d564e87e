"""Runs the due tasks as App Engine's dispatcher does, as discrete events in virtual time.

There are two kinds of events. At a *start* the dispatcher calls the handler, for the virtual instant at which the
attempt begins. At the *end*, after the virtual time that the handler took, the queue receives the response. Between the
two the task is in flight, and other attempts may start. Events are handled in the order of time, ends before starts,
and the clock moves to each event.
"""

import math
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from operator import attrgetter

from harness.appengine.clock import Clock
from harness.appengine.dispatcher.chaos import Chaos
from harness.appengine.dispatcher.in_flight import InFlight, arrive
from harness.appengine.dispatcher.push_queues import PushQueue, PushQueues
from harness.appengine.dispatcher.retry import RetryDecision, count_attempt, decide, decide_late
from harness.appengine.dispatcher.task_request import build_request
from harness.appengine.taskqueue import LastAttempt, Task, TaskQueueService
from harness.appengine.turns import Arrival, Schedule
from harness.errors import BadValueError, NothingDueError, RunawayError, quantity, quoted
from harness.records import Attempt, Outcome, QueueSample, Request, Response, TaskInfo, TaskState

CAP = 10_000
Send = Callable[[Request, float, float], Response]
SendTogether = Callable[[Sequence[Arrival], float, Schedule], list[Response]]
_ENDED = {Outcome.DONE: TaskState.DONE, Outcome.DROPPED: TaskState.DROPPED, Outcome.DELETED: TaskState.DELETED}
_SHOWN = 5  # URLs in a message
_by_number = attrgetter("number")


class Dispatcher:
    """Sends the tasks of all push queues to their handlers.

    Args:
        service: the queues.
        clock: the virtual clock, which moves to each event.
        send: called as `send(request, start, deadline)`. It runs the handler for the virtual instant `start` (seconds
            since 1970), stops it after `deadline` virtual seconds, and returns the Response, whose `elapsed` is the
            time that it took; `deadline` is set if it was stopped.
        chaos: makes the random decisions; without it, nothing is random.
        send_together: runs requests in turn; see `Server.send_together`. Without it no attempts overlap.

    `attempts` contains every attempt that has ended, in the order in which the attempts began.
    """

    def __init__(
        self,
        service: TaskQueueService,
        clock: Clock,
        send: Send,
        chaos: Chaos | None = None,
        send_together: SendTogether | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._send = send
        self._send_together = send_together or _refuse_together
        self._chaos = chaos or Chaos()
        self._push_queues = PushQueues(service)
        self._push_queues.refresh(clock.timestamp)
        self._in_flight: list[InFlight] = []  # a heap; the first one ends first
        self._started = 0

    @property
    def samples(self) -> dict[str, list[QueueSample]]:
        """The bucket and the tasks of each push queue, at each start and each end of an attempt."""
        return self._push_queues.samples()

    def step(self, kill_after: int | None = None) -> Attempt:
        """Run one attempt from its start to its end, leave the clock there, and return the attempt.

        Args:
            kill_after: the events (`harness.appengine.turns`) after which the instance is shut down; None for never.

        Other tasks that become due during the attempt start later. If an earlier `run(until)` left an attempt in flight
        that ends before the next attempt can start, that one is completed and returned.

        Raises:
            NothingDueError: no task waits, or all waiting tasks are held back.
            BadValueError: `kill_after` is not an integer of 0 or more.
        """
        if kill_after is not None and (type(kill_after) is not int or kill_after < 0):
            raise BadValueError(f"kill_after is a number of turns, an integer of 0 or more, not {quoted(kill_after)}")
        push_queue, at = self._next_event()
        if at == math.inf:
            raise _nothing_due(self._push_queues.values())
        if push_queue is None:
            return self._finish()
        return self._finish_all(self._start(push_queue, at, kill_after))[0]

    def deliver(
        self, parties: Sequence[Task | Request], added: Callable[[], Task | None], schedule: Schedule
    ) -> list[Attempt | Response]:
        """Let attempts and users' requests overlap, and leave the clock at their end.

        Each task is delivered at its ETA or later. The rate and the other limits of its queue don't apply.

        Args:
            parties: one or two tasks that wait, and requests. A task that is given twice is delivered twice.
            added: returns the task that the only party has added, or None. It is delivered as soon as it is added.
            schedule: whose turn it is.

        Returns:
            The attempt of each task, and the response to each request.
        """
        self._push_queues.refresh(self._clock.timestamp)
        self._clock.move_to(max((each.eta for each in parties if isinstance(each, Task)), default=-math.inf))
        start = self._clock.timestamp
        group: list[InFlight] = []
        parts: list[InFlight | Request] = []
        with self._undoing(group):
            for each in parties:
                parts.append(each if isinstance(each, Request) else self._board(group, each, start))
            arrivals: list[Arrival] = [partial(arrive, each) for each in parts]
            if len(parts) == 1:
                arrivals.append(lambda: self._arrive(added()))
            responses = self._send_together(arrivals, start, schedule)
            if len(responses) > len(parts) and (task := added()) is not None:
                parts.append(self._board(group, task, _timestamp(responses[-1])))
        for part, response in zip(parts, responses, strict=True):
            if isinstance(part, InFlight):
                part.answer(response)
        self._launch(group, start)
        attempts = iter(self._finish_all(group))
        self._clock.move_to(max(start + response.elapsed for response in responses))
        results = zip(parts, responses, strict=True)
        return [next(attempts) if isinstance(part, InFlight) else response for part, response in results]

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
        """Return the next event and its time: (queue, its next start) or (None, an end); infinity if none follows."""
        now = self._clock.timestamp
        self._push_queues.refresh(now)  # a handler may have created a queue
        end = self._in_flight[0].end if self._in_flight else math.inf
        if end <= now:  # no start can be earlier
            return None, end
        push_queue, start = self._push_queues.next_start(now)
        return (None, end) if end <= start else (push_queue, start)

    def _start(self, push_queue: PushQueue, start: float, kill_after: int | None = None) -> list[InFlight]:
        """Run a handler at an instant, or several in turn, and keep the attempts in flight until their virtual ends.

        Args:
            push_queue: its first task that is due starts.
            start: the instant.
            kill_after: the events after which the instance is shut down; None leaves that to chaos.
        """
        self._clock.move_to(start)
        group: list[InFlight] = []
        with self._undoing(group):
            first = self._take(group, push_queue, start)
            if kill_after is None:
                schedule = self._accompany(group, first, start)
            else:
                schedule = Schedule(kill_after={1: kill_after})
            if schedule is None:
                first.answer(self._send(first.request, start, first.task.deadline))
            else:
                arrivals = [partial(arrive, each) for each in group]
                responses = self._send_together(arrivals, start, schedule)
                for each, response in zip(group, responses, strict=True):
                    each.answer(response)
                self._chaos.ran([len(response.turns) for response in responses])
        self._launch(group, start)
        return group

    def _accompany(self, group: list[InFlight], first: InFlight, start: float) -> Schedule | None:
        """Add the attempt that overlaps with the first one, if chaos chooses one, and return its schedule."""
        is_first_try = first.info.first_try is None
        other = self._chaos.company(first.task, is_first_try, lambda: self._push_queues.ready(start), start)
        if other is first.task:
            self._board(group, other, start)
        elif other is not None:
            self._claim(group, other, start)
        return self._chaos.schedule([each.task for each in group], is_first_try)

    def _take(self, group: list[InFlight], push_queue: PushQueue, start: float) -> InFlight:
        """Take the next task of a queue, and a token, for an attempt; a forced task needs no token."""
        if push_queue.queue.forced:
            return self._board(group, next(iter(push_queue.queue.forced.values())), start)
        return self._claim(group, self._chaos.take(push_queue.queue, start), start)

    def _claim(self, group: list[InFlight], task: Task, start: float) -> InFlight:
        """Take a token for the attempt of a task that was taken from its queue."""
        push_queue = self._push_queues[task.queue]
        push_queue.bucket.take(start)
        return self._add(group, push_queue, task, start, has_token=True)

    def _board(self, group: list[InFlight], task: Task, start: float) -> InFlight:
        """Take a task that waits, or that is in the group already, for an attempt without a token."""
        push_queue = self._push_queues[task.queue]
        if all(task is not each.task for each in group):
            push_queue.queue.pick(task, start)
        return self._add(group, push_queue, task, start, has_token=False)

    def _add(self, group: list[InFlight], push_queue: PushQueue, task: Task, start: float, has_token: bool) -> InFlight:
        is_copy = any(task is each.task for each in group)
        request, duplicate = self._request(task, start), is_copy or self._chaos.is_duplicate(task)
        info = group[0].info if is_copy else task.info()
        self._started += 1
        group.append(InFlight(self._started, push_queue, task, info, request, start, duplicate, has_token, is_copy))
        group[-1].previous, task.last_attempt = task.last_attempt, LastAttempt(task.eta, start)
        task.dispatches += 1
        if task.first_try is None:
            push_queue.queue.begin(task, start)
        return group[-1]

    def _arrive(self, task: Task | None) -> tuple[Request, float] | None:
        """Return the request and the deadline of a task that arrives now; without a task, return None."""
        return None if task is None else (self._request(task, self._clock.timestamp), task.deadline)

    def _request(self, task: Task, start: float) -> Request:
        return build_request(task, self._push_queues[task.queue].queue.config, start)

    @contextmanager
    def _undoing(self, group: list[InFlight]) -> Iterator[None]:
        """Return tasks to their queues as if their attempts had not begun, if an exception interrupts this scope."""
        try:
            yield
        except BaseException:
            self._started -= len(group)
            for each in group:
                if each.has_token:
                    each.push_queue.bucket.give_back()
                each.task.dispatches -= 1
                if not each.is_copy:
                    each.task.first_try = None if each.info.first_try is None else each.task.first_try
                    each.task.last_attempt = each.previous
                    each.push_queue.queue.put_back(each.task, each.task.eta)
            raise

    def _launch(self, group: list[InFlight], start: float) -> None:
        """Keep attempts in flight until their ends."""
        for each in group:
            each.push_queue.served = each.number
            heappush(self._in_flight, each)
            each.push_queue.measure(start)

    def _finish_all(self, group: list[InFlight]) -> list[Attempt]:
        """Complete attempts that are in flight, and all that end before; return them in the order of their numbers."""
        wanted = {each.number for each in group}
        found: list[Attempt] = []
        while len(found) < len(wanted):
            attempt = self._finish()
            found += [attempt] if attempt.number in wanted else []
        return sorted(found, key=_by_number)

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
        if task.last_attempt is not None:
            task.last_attempt.ended, task.last_attempt.response = now, in_flight.response
        settled = decide_late(task, in_flight.response)
        if settled is not None:
            return settled
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


def _timestamp(response: Response) -> float:
    """Return when the handler of a response began, in seconds since 1970."""
    assert response.started is not None, "a server sets it"
    return response.started.timestamp()


def _refuse_together(*_: object) -> list[Response]:
    raise NotImplementedError("this dispatcher has no server that lets requests take turns")


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
    return NothingDueError(
        f"no task can run, because {', and '.join(held)}. Resume the queue, or give it a rate above 0"
    )


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
        + "\nA worker that adds a task for itself must stop doing so at some point, and a task that"
        + "\nalways fails needs a task_retry_limit. If you expect so many tasks, run again: the queue"
        + "\ncontinues where it stopped."
    )


def _summary(attempted: list[TaskInfo]) -> str:
    last = attempted[-1]
    names = {(task.queue, task.name) for task in attempted}
    which = f"of task {last.name!r}" if len(names) == 1 else f"of {len(names):,} tasks, the last of them {last.name!r}"
    return f"{quantity(len(attempted), 'attempt')} {which} on queue {last.queue!r}, retries {last.retries}"
