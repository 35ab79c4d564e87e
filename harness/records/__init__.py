"""What happened, as plain immutable values: the only thing that displays, figures and checks are made from.

Nothing here knows web2py, HTTP servers, HTML or the App Engine SDK; `harness.display` registers how a record is
shown. Times are aware UTC datetimes on the lab's virtual clock, durations are virtual seconds.
"""

from harness.records.exchange import Frame, Headers, Request, Response, Route, Ticket, find_header
from harness.records.queue import Attempt, Outcome, QueueSample, QueueStatistics, TaskInfo, TaskState, Trace
from harness.records.record import Painter, Record

__all__ = [
    "Attempt",
    "Frame",
    "Headers",
    "Outcome",
    "Painter",
    "QueueSample",
    "QueueStatistics",
    "Record",
    "Request",
    "Response",
    "Route",
    "TaskInfo",
    "TaskState",
    "Ticket",
    "Trace",
    "find_header",
]
