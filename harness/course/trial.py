"""One run of a check: the learner's files in a fresh lab, driven by real requests and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import unquote_plus, urlencode

from harness.course.exercise import Exercise
from harness.course.verdict import Verdict, error, wrong
from harness.errors import RunawayError, did_you_mean
from harness.lab import Lab
from harness.records import Attempt, Response, TaskInfo, Ticket
from harness.show.text import quantity, shorten

SLIPS = ("NameError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError")  # nobody means to raise
CAP = 300  # attempts; a check that needs more has met tasks without end
_AT_ONCE = 30  # attempts between two looks at what they raised
_SAID = 60  # columns of the data that a POST brought
_RAISED = 400  # columns of what an exception says; Google's may quote a whole batch of tasks


class TrialLab(Lab):
    """A lab of a check: what is written into it is not the learner's answer to an exercise."""

    _is_learners = False


class Decided(Exception):
    """Carries a verdict out of a check as soon as it is certain."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


class Trial:
    """What an exercise's `run` works with.

    Args:
        exercise: the exercise on trial.
        lab: a fresh lab, into which the learner's files are written.
        files: these files, named as in `Exercise.files`.

    `called` is the last thing that was done, in words for the learner.
    """

    def __init__(self, exercise: Exercise, lab: Lab, files: Mapping[str, str]) -> None:
        self.exercise = exercise
        self.lab = lab
        self.called = "Running your cell"
        self._files = files

    def install(self) -> None:
        """Write the learner's files into the lab; a HarnessError where the lab refuses one."""
        for name, source in self._files.items():
            app, _, path = name.rpartition(":")
            self.lab.write(path, source, app or None)

    @contextmanager
    def again(self, **options: Any) -> Iterator[Trial]:
        """Yield another trial of the same files, in a lab with options of its own (`duplicates=1`, `seed=3`)."""
        with type(self.lab)(apps=self.exercise.apps, **options) as lab:
            other = Trial(self.exercise, lab, self._files)
            other.install()
            yield other

    @contextmanager
    def counted_calls(self) -> Iterator[list[str]]:
        """Yield a list that fills with the names of the calls to the task queue's service ("BulkAdd")."""
        calls = list[str]()
        listeners = self.lab._engine.service.listeners
        listeners.append(lambda call, request: calls.append(call))
        try:
            yield calls
        finally:
            listeners.pop()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Response:
        """Send a user's GET; an exception in the learner's code is a verdict, and so is an action that is gone."""
        said = unquote_plus(urlencode(query, doseq=True))
        self.called = f"as a user: GET /{path.lstrip('/')}{'?' * bool(said)}{said}"
        return self._found(self._checked(self.lab.get(path, headers=headers, **query)))

    def post(self, path: str, data: Any = None, headers: Mapping[str, str] | None = None) -> Response:
        """Send a user's POST; see `get`."""
        self.called = f"as a user: POST /{path.lstrip('/')} with {shorten(repr(data), _SAID)}"
        return self._found(self._checked(self.lab.post(path, data=data, headers=headers)))

    def run(self, *, may_fail: bool = False) -> list[Attempt]:
        """Run all waiting tasks; unless `may_fail`, an exception in the worker is a verdict, and soon."""
        self.called = "lab.run()"
        done = len(self.lab.attempts)
        for _ in range(CAP // _AT_ONCE):
            ended = self._run_some()
            attempts = list(self.lab.attempts)[done:]
            if not may_fail:
                for attempt in attempts:
                    self._checked(attempt.response)
            if ended:
                return attempts
        happened = f"{CAP} attempts, and tasks still wait. The last: {_answered(attempts[-1])}"
        self.wrong(self._missed(attempts[-1], None), happened=happened, expected="the tasks come to an end")

    def _run_some(self) -> bool:
        try:
            self.lab.run(cap=_AT_ONCE)
        except RunawayError:
            return False
        return True

    def step(self, *, may_fail: bool = False) -> Attempt:
        """Run one attempt; unless `may_fail`, an exception in the worker is a verdict."""
        self.called = "lab.step()"
        attempt = self.lab.step()
        if not may_fail:
            self._checked(attempt.response)
        return attempt

    def succeed(self, attempt: Attempt, mistake: str | None = None) -> None:
        """Require that the worker answered with success.

        `mistake` is the one to name when web2py found no action at the task's address. Where the address is the queue's
        own, or the action exists and cannot be served, the mistake is "no-address", "dict-without-view" or "arguments";
        an answer that the worker itself chose is a "failure".
        """
        self._require_known(mistake)
        self.expect(
            attempt.ok,
            self._missed(attempt, mistake),
            happened=_answered(attempt),
            expected="a status of 200 to 299; after any other the queue tries again",
        )

    def one_task(self, *, missing: str | None, queue: str | None = None) -> TaskInfo:
        """Return the only task that waits; `missing` is the mistake when none waits."""
        self._require_known(missing)
        tasks = self.lab.tasks(queue)
        if len(tasks) != 1:
            key = missing if not tasks else self.if_known("several-tasks")
            self.wrong(key, happened=f"{quantity(len(tasks), 'task')} waiting", expected="exactly one task waiting")
        return tasks[0]

    def rows(self, table: str, *fields: str, app: str | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a table as tuples of these fields, in the order in which they were inserted."""
        return [tuple(row[field] for field in fields) for row in self.lab.table(table, app=app)]

    def expect(self, condition: object, mistake: str | None = None, *, happened: str, expected: str) -> None:
        """Require that the condition holds; otherwise the answer is wrong. See `wrong`."""
        self._require_known(mistake)
        if not condition:
            self.wrong(mistake, happened=happened, expected=expected)

    def wrong(self, mistake: str | None = None, *, happened: str, expected: str) -> NoReturn:
        """End the check, because the answer is wrong.

        `mistake` is the key of a misconception of this exercise, or None when nothing explains what happened. A key
        that the exercise does not define is a LookupError; for one that only some exercises define, see `if_known`.
        """
        self._require_known(mistake)
        raise Decided(wrong(self.exercise, mistake, called=self.called, happened=happened, expected=expected))

    def if_known(self, mistake: str) -> str | None:
        """Return the key of a misconception when this exercise defines it, else None.

        It is for code that several exercises share. The key must be written out, because a test collects all keys.
        """
        return mistake if mistake in self.exercise.mistakes else None

    def failed(self, ticket: Ticket) -> NoReturn:
        """End the check: the learner's code raised; a known mistake is diagnosed by what it raised."""
        ticket = replace(ticket, message=shorten(ticket.message, _RAISED))
        said = f"{ticket.exception}: {ticket.message}"
        for key, mistake in self.exercise.mistakes.items():
            if mistake.explains(said):
                where = f" at {ticket.where}" if ticket.frames else ""
                self.wrong(key, happened=f"{said}{where}", expected="no exception")
        raise Decided(error(self.exercise, ticket, self.called))

    def _require_known(self, mistake: str | None) -> None:
        known = self.exercise.mistakes
        if mistake is not None and mistake not in known:
            meant = did_you_mean(mistake, known)
            raise LookupError(
                f"exercise {self.exercise.number} has no mistake {mistake!r}; define it in "
                f"lesson{self.exercise.lesson}.toml" + (f", or {meant}" if meant else "")
            )

    def _missed(self, attempt: Attempt, mistake: str | None) -> str | None:
        """Return the mistake by which a task found no worker."""
        hint = attempt.response.hint
        if attempt.request.url.startswith("/_ah/queue/"):
            return self.if_known("no-address")
        if not hint:
            return self.if_known("failure")
        if "the view" in hint:
            return self.if_known("dict-without-view")
        return self.if_known("arguments") if "takes arguments" in hint else mistake

    def _checked(self, response: Response) -> Response:
        if response.ticket is not None:
            self.failed(response.ticket)
        return response

    def _found(self, response: Response) -> Response:
        """Go on if the user's own page is there; web2py's reason says why it is not."""
        self.expect(
            response.status != 404 or not response.hint,
            happened=f"the page was answered 404. {response.hint}",
            expected="the action that the exercise names",
        )
        return response


def _answered(attempt: Attempt) -> str:
    request, response = attempt.request, attempt.response
    said = f"{request.method} {request.url} was answered {response.status}. {response.hint}".strip()
    if request.url.startswith("/_ah/queue/"):
        said += " It is the address of a task that has none of its own: url=URL(...) gives it one."
    return said
