"""An attempt that has started and has not yet ended."""

from dataclasses import dataclass, replace

from harness.appengine.clock import DEADLINE, to_datetime
from harness.appengine.dispatcher.push_queues import PushQueue, instant
from harness.appengine.dispatcher.retry import RetryDecision
from harness.appengine.taskqueue import LastAttempt, Task
from harness.records import Attempt, Request, Response, TaskInfo


@dataclass(slots=True, eq=False)
class InFlight:
    """An attempt that has started and not yet ended; `answer` adds its response and its end.

    Times are seconds since 1970. `info` is the task's record at the start. `has_token` is False if the attempt took no
    token. `is_copy` is True for the second of two deliveries that overlap. `previous` is the task's attempt before
    this one, if any.
    """

    number: int
    push_queue: PushQueue
    task: Task
    info: TaskInfo
    request: Request
    start: float
    duplicate: bool
    has_token: bool = True
    is_copy: bool = False
    response: Response = Response(0)
    end: float = 0.0
    previous: LastAttempt | None = None

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


def arrive(part: InFlight | Request) -> tuple[Request, float]:
    """Return a request that takes turns, and its deadline."""
    return (part.request, part.task.deadline) if isinstance(part, InFlight) else (part, DEADLINE)
