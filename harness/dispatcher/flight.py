"""An attempt that has started and not yet ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.clock import to_datetime
from harness.dispatcher.bucket import instant
from harness.dispatcher.lane import Lane
from harness.dispatcher.verdict import Verdict
from harness.records import Attempt, Request, Response, TaskInfo
from harness.taskqueue import Task


@dataclass(slots=True, eq=False)
class Flight:
    """One delivery under way: its handler has answered, but in virtual time the answer comes at `end`.

    Times are seconds since 1970. `info` is the task as it was at the start.
    """

    number: int
    lane: Lane
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

    def __lt__(self, other: Flight) -> bool:
        """Order by end, then by start: the order in which attempts are completed."""
        return (self.end, self.number) < (other.end, other.number)

    def to_attempt(self, verdict: Verdict) -> Attempt:
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
