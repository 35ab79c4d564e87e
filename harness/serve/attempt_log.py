"""The attempts that are running and the last ones that have ended.

The console shows them with the log lines of their requests. The terminal shows a line for each failed attempt, and a
summary if many attempts fail.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.appengine.dispatcher import InFlight, describe_attempt
from harness.errors import quantity
from harness.records import Attempt, Headers, Outcome

_SHOWN = 4096  # bytes of a body
_LONGEST = 1000  # characters of a log line or of a header's value
_MOST_HEADERS = 50
_MOST_LOGGED = 10_000  # characters of the log lines of an attempt
_CUT = "… more lines were left out"
_Record = dict[str, Any]
PERIOD = 5.0  # seconds
SHOWN = 10  # lines of the terminal in a period
_GROUPS = 3  # groups in a summary


class AttemptLog:
    """The attempts that are running, and the last ones that have ended.

    Args:
        kept: the maximum number of attempts that are kept after they have ended. Older ones are removed.
        on_change: called after each change.

    Any thread may call it. An attempt is a dict that `json.dumps` accepts; times are in seconds since 1970.
    """

    def __init__(self, kept: int, on_change: Callable[[], None] = lambda: None) -> None:
        self._kept = kept
        self._on_change = on_change
        self._running: dict[int, _Record] = {}
        self._ended: dict[int, _Record] = {}  # in the order in which they ended
        self._guard = threading.Lock()  # no other lock is acquired while this one is held

    def begin(self, in_flight: InFlight) -> None:
        """Add an attempt that starts."""
        task = in_flight.info
        record = {
            "number": in_flight.number,
            "queue": task.queue,
            "task": task.name,
            "method": task.method,
            "url": task.url,
            "attempt": task.retries + 1,
            "started": in_flight.start,
            "headers": _headers(in_flight.request.headers),
            "payload": _text(in_flight.request.body),
            "ticket": None,
            "log": [],
        }
        with self._guard:
            self._running[in_flight.number] = record
        self._on_change()

    def end(self, attempt: Attempt) -> None:
        """Add the result of an attempt."""
        response = attempt.response
        result = {
            "status": response.status,
            "elapsed": response.elapsed,
            "outcome": str(attempt.outcome),
            "note": _note(attempt),
            "next_eta": None if attempt.next_eta is None else attempt.next_eta.timestamp(),
            "response_headers": _headers(response.headers),
            "body": _text(response.body),
        }
        with self._guard:
            self._ended[attempt.number] = self._running.pop(attempt.number) | result
            if len(self._ended) > self._kept:
                del self._ended[next(iter(self._ended))]
        self._on_change()

    def add_line(self, number: int, text: str) -> None:
        """Add a log line to an attempt, unless the attempt has been removed or has too many lines."""
        with self._guard:
            record = self._find(number)
            if record is None or record["log"][-1:] == [_CUT]:
                return
            line = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            size = sum(map(len, record["log"])) + len(record["log"])
            record["log"].append(line if size + len(line) <= _MOST_LOGGED else _CUT)
        self._on_change()

    def set_ticket(self, number: int, text: str) -> None:
        """Set the ticket of an attempt, unless the attempt has been removed."""
        with self._guard:
            record = self._find(number)
            if record is None:
                return
            record["ticket"] = text
        self._on_change()

    def running(self) -> list[_Record]:
        """Return the attempts that are running. They have no results yet."""
        with self._guard:
            return [_copy(record) for record in self._running.values()]

    def ended(self) -> list[_Record]:
        """Return the attempts that have ended, in the order in which they ended."""
        with self._guard:
            return [_copy(record) for record in self._ended.values()]

    def _find(self, number: int) -> _Record | None:
        return self._running.get(number) or self._ended.get(number)


def _copy(record: _Record) -> _Record:
    return record | {"log": list(record["log"])}


def _text(body: bytes) -> str:
    return body[:_SHOWN].decode("utf-8", "replace")


def _headers(headers: Headers) -> list[list[str]]:
    return [[name[:_LONGEST], value[:_LONGEST]] for name, value in headers[:_MOST_HEADERS]]


def _note(attempt: Attempt) -> str:
    """Return the reason for the outcome. If no response arrived, the reason begins with the sender's hint."""
    hint = attempt.response.hint
    if attempt.status or not hint:
        return attempt.note
    _, separator, limit = attempt.note.partition("; ")
    return f"{hint}{separator}{limit}"


class AttemptLines:
    """Prints failed attempts, at most 10 in 5 seconds, and then one line that counts the others.

    Args:
        say: called with each line.
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._began = clock()
        self._shown = 0
        self._others: Counter[str] = Counter()
        self._guard = threading.Lock()  # no other lock is acquired while this one is held

    def add(self, attempt: Attempt) -> None:
        """Print an attempt if it has failed, or count it. Any thread may call it."""
        self.flush()
        if attempt.outcome in (Outcome.DONE, Outcome.DELETED):
            return
        with self._guard:
            is_shown = self._shown < SHOWN
            if is_shown:
                self._shown += 1
            else:
                status = f"status {attempt.status}" if attempt.status else "no response"
                self._others[f"{attempt.task.queue}: {status}"] += 1
        if is_shown:
            self._say(describe_attempt(attempt))

    def flush(self) -> None:
        """Print the summary if its period has ended. Any thread may call it."""
        with self._guard:
            now = self._clock()
            seconds, others = now - self._began, self._others
            if seconds < PERIOD:
                return
            self._began, self._shown, self._others = now, 0, Counter()
        if others:
            groups = [f"{count:,} in {name}" for name, count in others.most_common(_GROUPS)]
            more = ["…"] if len(others) > _GROUPS else []
            number = quantity(others.total(), "more attempt")
            self._say(f"{number} failed in {seconds:.0f} s ({', '.join([*groups, *more])})")
