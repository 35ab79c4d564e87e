"""What happened, as plain immutable values: the only thing that displays, figures and checks are made from.

Nothing here knows web2py, HTTP servers, HTML or the App Engine SDK; `harness.show` registers how a record is
shown. Times are aware UTC datetimes on the lab's virtual clock, durations are virtual seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

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


# What all records have in common.


class Painter(NamedTuple):
    """How one kind of record is shown: on one line, as text of several lines, and as HTML."""

    line: Callable[[Any], str]
    text: Callable[[Any], str]
    html: Callable[[Any], str]


class Record:
    """Base of the records: shows itself in a notebook (HTML), in a terminal (text) and in a list (one line)."""

    __slots__ = ()
    painters: ClassVar[dict[type, Painter]] = {}

    def _painter(self) -> Painter | None:
        return next((self.painters[kind] for kind in type(self).__mro__ if kind in self.painters), None)

    def __repr__(self) -> str:
        painter = self._painter()
        return painter.line(self) if painter else object.__repr__(self)

    def __str__(self) -> str:
        painter = self._painter()
        return painter.text(self) if painter else repr(self)

    def _repr_html_(self) -> str | None:
        painter = self._painter()
        return painter.html(self) if painter else None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


# One HTTP request and its answer.

Headers = tuple[tuple[str, str], ...]
_EMPTY: Mapping[str, Any] = MappingProxyType({})


def find_header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, whatever its spelling, or None."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True, repr=False)
class Request(Record):
    """One HTTP request, as it goes over the wire.

    `url` is the percent-encoded path with its query string ("/tutorial/default/index?a=1"), `body` the raw bytes.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""
    host: str = "tutorial.appspot.com"
    remote_addr: str = "127.0.0.1"

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever its spelling, or None."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True, repr=False)
class Ticket(Record):
    """web2py's record of an uncaught exception.

    `frames` are the learner's own frames, outermost first; `where` names the last of them
    ("tutorial/controllers/default.py, line 4").
    """

    id: str
    exception: str
    message: str
    frames: tuple[Frame, ...] = ()
    traceback: str = ""

    @property
    def where(self) -> str:
        return self.frames[-1].where if self.frames else "unknown place"


@dataclass(frozen=True, slots=True, repr=False)
class Frame(Record):
    """One line of the learner's code: `file` relative to the applications ("tutorial/controllers/default.py")."""

    file: str
    line: int
    function: str
    source: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, slots=True, repr=False)
class Route(Record):
    """What web2py made of a URL: the action that ran, and the variables that it saw.

    The three mappings are the action's `request.get_vars`, `request.post_vars` and `request.vars`.
    """

    application: str
    controller: str
    function: str
    extension: str = "html"
    args: tuple[str, ...] = ()
    get_vars: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    post_vars: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    vars: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)

    @property
    def action(self) -> str:
        return f"{self.application}/{self.controller}/{self.function}"


@dataclass(frozen=True, slots=True, repr=False)
class Response(Record):
    """The answer to one request, and what the harness saw while it was made.

    `elapsed` is in virtual seconds; `vars` is the dict that the action returned (empty when it returned anything
    else); `route`, `sql` and `ticket` are filled in where web2py answered. `deadline` tells that the handler was
    stopped: "virtual" after its allowed virtual seconds, "real" because it kept the processor for too long. `output`
    is what the handler printed, `hint` says in words why web2py found nothing to run.
    """

    status: int
    reason: str = ""
    headers: Headers = ()
    body: bytes = b""
    request: Request | None = None
    started: datetime | None = None
    elapsed: float = 0.0
    route: Route | None = None
    vars: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    sql: tuple[str, ...] = ()
    ticket: Ticket | None = None
    deadline: str | None = None
    output: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """The body as text (UTF-8; what is no UTF-8 is shown as \\ufffd)."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body parsed as JSON; ValueError, with the start of the body, when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ValueError(f"the response is not JSON ({error}): {self.text[:80]!r}") from None

    @property
    def ok(self) -> bool:
        """True for 200 to 299: what App Engine counts as success (T22)."""
        return 200 <= self.status <= 299

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever its spelling, or None."""
        return find_header(self.headers, name)


# Tasks, their attempts, and the figures of their queues.


class TaskState(StrEnum):
    """Where a task is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class TaskInfo(Record):
    """A task as the queue holds it, at one instant.

    `origin` is the learner's line that added it. `retries` counts retries (X-AppEngine-TaskRetryCount), `executions`
    the attempts that got an answer (X-AppEngine-TaskExecutionCount); `first_try` is None before the first attempt.
    """

    name: str
    queue: str
    method: str
    url: str
    eta: datetime
    created: datetime
    headers: Headers = ()
    body: bytes = b""
    tag: str | None = None
    state: TaskState = TaskState.WAITING
    retries: int = 0
    executions: int = 0
    first_try: datetime | None = None
    origin: Frame | None = None

    @property
    def identity(self) -> tuple[str, str, datetime]:
        """What tells it from every other task of the lab: a name may be used again when its tombstone has lapsed."""
        return self.queue, self.name, self.created

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class Outcome(StrEnum):
    """What the queue did after an attempt."""

    DONE = "done"
    RETRY = "retry"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class Attempt(Record):
    """One delivery of a task to its handler.

    `task` is the task as it was when the attempt began. `number` counts the attempts of the lab from 1. `next_eta`
    is set when the outcome is RETRY. `note` says in words why ("status 503", "deadline of 600 s exceeded",
    "task_retry_limit 3 reached").
    """

    number: int
    task: TaskInfo
    request: Request
    response: Response
    started: datetime
    outcome: Outcome
    next_eta: datetime | None = None
    note: str = ""
    duplicate: bool = False

    @property
    def elapsed(self) -> float:
        """How long the handler took, in virtual seconds."""
        return self.response.elapsed

    @property
    def status(self) -> int:
        """The HTTP status; 0 when the handler was stopped at its deadline and gave none (T25)."""
        return self.response.status

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.DONE


@dataclass(frozen=True, slots=True, repr=False)
class Trace(Record):
    """The life of one task, hop by hop: the `add`, the stored task, then every attempt."""

    task: TaskInfo
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class QueueStatistics(Record):
    """What App Engine reports about a queue: the figures of Google's own `QueueStatistics` (T41).

    `tasks` counts those that wait and those that run, `enforced_rate` is in tasks per second, 0 while it is paused.
    """

    queue: str
    tasks: int
    oldest_eta: datetime | None
    executed_last_minute: int
    in_flight: int
    enforced_rate: float


@dataclass(frozen=True, slots=True, repr=False)
class QueueSample(Record):
    """A push queue at one instant: tokens in its bucket, tasks that wait (due or not), tasks that run."""

    at: datetime
    tokens: float
    waiting: int
    running: int
