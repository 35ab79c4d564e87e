"""One HTTP request and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from harness.records.record import Record

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
