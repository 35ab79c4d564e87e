"""Records: immutable values that describe what happened in a lab. Displays, figures and checks use only records.

This module doesn't depend on web2py, HTML or the App Engine SDK; `harness.show` registers how a record is displayed.
Times are aware UTC datetimes on the lab's virtual clock, and durations are virtual seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

__all__ = [
    "Attempt",
    "Frame",
    "Headers",
    "Outcome",
    "Overlap",
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


R = TypeVar("R", bound="Record")


class Record:
    """Base class of the records: it displays itself in a notebook (HTML), in a terminal (text) and in a list (a line).

    `cards` maps each kind of record to a function that returns its card, an object with `line`, `text()` and `html()`.
    """

    __slots__ = ()
    cards: ClassVar[dict[type, Callable[[Any], Any]]] = {}

    def _card(self) -> Any:
        make = next((self.cards[kind] for kind in type(self).__mro__ if kind in self.cards), None)
        return make(self) if make else None

    def __repr__(self) -> str:
        card = self._card()
        return f"<{card.line}>" if card else object.__repr__(self)

    def __str__(self) -> str:
        card = self._card()
        return str(card.text()) if card else repr(self)

    def _repr_html_(self) -> str | None:
        card = self._card()
        return str(card.html()) if card else None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def fill(record: R, **values: Any) -> R:
    """Set fields of a record that no other code has yet, and return it; `dataclasses.replace` takes much longer."""
    for name, value in values.items():
        object.__setattr__(record, name, value)
    return record


Headers = tuple[tuple[str, str], ...]
_EMPTY: Mapping[str, Any] = MappingProxyType({})


def find_header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, or None; upper and lower case don't matter."""
    wanted = name.lower() if isinstance(name, str) else name  # a header whose name isn't a string doesn't exist
    for key, value in headers:
        if key.lower() == wanted:
            return value
    return None


@dataclass(frozen=True, slots=True, repr=False)
class Request(Record):
    """An HTTP request, as it is sent.

    `url` is the percent-encoded path with its query string ("/tutorial/default/index?a=1"), and `body` is raw bytes.
    `scheme` is "http" or "https" if Cloud Tasks sends the request to a full URL, and otherwise "".
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""
    host: str = "tutorial.appspot.com"
    remote_addr: str = "127.0.0.1"
    scheme: str = ""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None; upper and lower case don't matter."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True, repr=False)
class Ticket(Record):
    """The record of an uncaught exception. `frames` are the learner's own stack frames, outermost first.

    web2py makes it for status 500. For a commit that fails, only the harness makes one, and the status stays the same.
    """

    id: str
    exception: str
    message: str
    frames: tuple[Frame, ...] = ()
    traceback: str = ""

    @property
    def where(self) -> str:
        """The learner's line that raised: "tutorial/controllers/default.py, line 4"."""
        return self.frames[-1].where if self.frames else "unknown line"


@dataclass(frozen=True, slots=True, repr=False)
class Frame(Record):
    """A line of the learner's code. `file` is relative to the applications ("tutorial/controllers/default.py")."""

    file: str
    line: int
    function: str
    source: str = ""

    @property
    def where(self) -> str:
        """The file and the line: "tutorial/controllers/default.py, line 4"."""
        return f"{self.file}, line {self.line}"


class _LateVariables:
    """Base class of Route: variables that are missing are read when they are first needed.

    Parsing a form takes longer than most other parts of a request, and few routes are ever looked at.
    """

    __slots__ = ("_read",)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in _VARIABLES:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            for each, value in zip(_VARIABLES, self._read(), strict=True):
                object.__setattr__(self, each, value)
            return getattr(self, name)


_VARIABLES = ("get_vars", "post_vars", "vars")


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """What one of two requests that take turns ran in a turn.

    `number` counts the turns of both requests from 1, `request` is 1 or 2, and `statement` is what ran. `result` says
    that the statement waited for a lock, and which exception it raised; it is empty if the statement did neither.
    """

    number: int
    request: int
    statement: str
    result: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Route(_LateVariables, Record):
    """The action that web2py ran for a URL, with the action's `request.get_vars`, `.post_vars` and `.vars`."""

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
        """The action: "tutorial/default/task_do"."""
        return f"{self.application}/{self.controller}/{self.function}"


def read_later(route: Route, read: Callable[[], tuple[dict[str, Any], ...]]) -> Route:
    """Let `read` return get_vars, post_vars and vars of a new route when one is first needed, and return the route."""
    for name in _VARIABLES:
        object.__delattr__(route, name)
    object.__setattr__(route, "_read", read)
    return route


@dataclass(frozen=True, slots=True, repr=False)
class Response(Record):
    """The response to a request, and what the harness recorded while the handler ran.

    `elapsed` is in virtual seconds. `vars` is the dict that the action returned; it is empty if the action returned
    another type. `route`, `sql` and `ticket` are set if web2py handled the request. `deadline` is set if the handler
    was stopped: "virtual" after its virtual seconds, "real" because it used the processor for too long. `output` is the
    text that the handler printed, and `hint` explains why web2py found no action to run, or why the lab sent no request
    to a full URL. In the second case, the status is 0. If the request took turns with others, `turns` contains its
    turns. `killed` is True if its instance was shut down, so it sent no response.
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
    turns: tuple[Turn, ...] = ()
    killed: bool = False

    @property
    def text(self) -> str:
        """The body as a string; bytes that aren't UTF-8 become \\ufffd."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body parsed as JSON. It raises ValueError if the body isn't JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ValueError(f"the response is not JSON ({error}): {self.text[:80]!r}") from None

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299, which App Engine counts as success (T22)."""
        return 200 <= self.status <= 299

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None; upper and lower case don't matter."""
        return find_header(self.headers, name)


class TaskState(StrEnum):
    """The state of a task."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class TaskInfo(Record):
    """A task as the queue stores it, at one instant.

    `call_site` is the learner's line that added the task. `retries` is X-AppEngine-TaskRetryCount. `executions`, the
    number of attempts with a response, is X-AppEngine-TaskExecutionCount. `first_try` is None before the first attempt.
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
    call_site: Frame | None = None

    @property
    def identity(self) -> tuple[str, str, datetime]:
        """A unique key of the task in its lab. The name isn't unique, because it is free again after its tombstone."""
        return self.queue, self.name, self.created

    @property
    def text(self) -> str:
        """The body as a string; bytes that aren't UTF-8 become \\ufffd."""
        return self.body.decode("utf-8", "replace")


class Outcome(StrEnum):
    """The action that the queue took after an attempt."""

    DONE = "done"
    RETRY = "retry"
    DROPPED = "dropped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, repr=False)
class Attempt(Record):
    """An attempt: the delivery of a task to its handler.

    `task` is the task at the beginning of the attempt. `number` counts the attempts of the lab from 1. `next_eta` is
    set if the outcome is RETRY. `note` is the reason for the outcome ("status 503", "task_retry_limit 3 reached").
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
        """The time that the handler took, in virtual seconds."""
        return self.response.elapsed

    @property
    def status(self) -> int:
        """The HTTP status, or 0 if the handler was stopped at its deadline (T25)."""
        return self.response.status

    @property
    def ok(self) -> bool:
        """Whether the task is done."""
        return self.outcome is Outcome.DONE


@dataclass(frozen=True, slots=True, repr=False)
class Trace(Record):
    """The history of a task: the call of `add`, the stored task, and every attempt."""

    task: TaskInfo
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Overlap(Record):
    """Two requests that ran in turn: an attempt of a task, or the response to a user's request.

    `second` is None if the first request ran alone.
    """

    first: Attempt | Response
    second: Attempt | Response | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of both requests, in the order in which they ran."""
        both = [each.response if isinstance(each, Attempt) else each for each in (self.first, self.second) if each]
        return tuple(sorted(turn for response in both for turn in response.turns))


@dataclass(frozen=True, slots=True, repr=False)
class QueueStatistics(Record):
    """The statistics that App Engine reports about a queue, as in Google's `QueueStatistics` (T41).

    `tasks` counts waiting and running tasks. `enforced_rate` is in tasks per second, and 0 while the queue is paused.
    """

    queue: str
    tasks: int
    oldest_eta: datetime | None
    executed_last_minute: int
    in_flight: int
    enforced_rate: float


@dataclass(frozen=True, slots=True, repr=False)
class QueueSample(Record):
    """A push queue at one instant: the tokens in its bucket, the waiting tasks (due or not), and the running tasks."""

    at: datetime
    tokens: float
    waiting: int
    running: int
