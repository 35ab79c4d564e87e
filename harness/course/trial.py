"""One run of a check: the learner's files in a fresh lab, with real requests and tasks."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn, Self
from urllib.parse import unquote_plus, urlencode

from harness.appengine.dispatcher.task_request import TASK_ADDRESS
from harness.appengine.web2py.tickets import without_snapshots
from harness.course import verdict
from harness.course.catalogue import Exercise, Scenario, body, stub_cells
from harness.course.trial_lab import TrialLab, own_process, young_garbage_only
from harness.course.verdict import Verdict, error, wrong
from harness.errors import HarnessError, RunawayError, did_you_mean, quantity
from harness.lab import Lab
from harness.records import Attempt, Request, Response, TaskInfo, Ticket
from harness.show.text import shorten

SLIPS = ("NameError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError")  # not raised on purpose
CAP = 300  # attempts; if a check needs more, its tasks never end
_AT_ONCE = 30  # attempts before their exceptions are examined
Rows = list[tuple[Any, ...]]
_DATA = 60  # columns of the data of a POST in a message
_RAISED = 400  # columns of an exception's name, and of its message; Google's may quote a batch of tasks


class Decided(Exception):
    """The check has ended early with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


class Trial:
    """The functions that an exercise's `run` uses. Most of them end the check if they find a mistake.

    Args:
        exercise: the exercise.
        lab: a fresh lab.
        files: the texts of the learner's files, named as in `Exercise.files`.
        scenario: the row of the exercise's table.

    Attributes:
        called: the last call, for messages to the learner.
        situation: the situation, for the same messages.
        files: the texts of the learner's files, by name.
    """

    def __init__(
        self, exercise: Exercise, lab: Lab, files: Mapping[str, str], scenario: Scenario | None = None
    ) -> None:
        self.exercise = exercise
        self.lab = lab
        self.called = "Running your cell"
        self.files = files
        self._scenario = scenario or Scenario()
        self.situation = self._scenario.what

    def install(self) -> None:
        """Write the models of the scenario and the learner's files into the lab.

        Raises:
            HarnessError: the lab refuses a file.
        """
        for name, source in self._scenario.models.items():
            self.lab.write(f"models/{name}.py", source)
        for name, source in self.files.items():
            app, _, path = name.rpartition(":")
            self.lab.write(path, source, app or None)

    @contextmanager
    def again(self, **options: Any) -> Iterator[Self]:
        """Yield another trial of the same files, in a new lab with these options (`duplicates=1`, `seed=3`)."""
        with type(self.lab)(apps=self.exercise.apps, **options) as lab:
            other = type(self)(self.exercise, lab, self.files, self._scenario)
            other.install()
            yield other

    @contextmanager
    def counted_calls(self) -> Iterator[list[str]]:
        """Yield a list to which the name of each call to the task queue's service is added ("BulkAdd")."""
        calls = list[str]()
        listeners = self.lab._engine.service.listeners
        listeners.append(lambda call, request: calls.append(call))
        try:
            yield calls
        finally:
            listeners.pop()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Response:
        """Send a user's GET request and return the response.

        Raises:
            Decided: the learner's code raised an exception, or web2py found no action.
        """
        text = unquote_plus(urlencode(query, doseq=True))
        self.called = f"as a user: GET /{path.lstrip('/')}{'?' * bool(text)}{text}"
        return self._found(self._checked(self.lab.get(path, headers=headers, **query)))

    def post(self, path: str, data: Any = None, headers: Mapping[str, str] | None = None) -> Response:
        """Send a user's POST request and return the response; see `get`."""
        self.called = f"as a user: POST /{path.lstrip('/')} with {shorten(repr(data), _DATA)}"
        return self._found(self._checked(self.lab.post(path, data=data, headers=headers)))

    def cron(self, path: str) -> Response:
        """Send the request of a job in cron.yaml, with the header that App Engine adds; see `front_end_get`."""
        return self.front_end_get(path, {"X-Appengine-Cron": "true"}, "as a job in cron.yaml", TASK_ADDRESS)

    def front_end_get(
        self, path: str, headers: Mapping[str, str], sender: str = "as a user", address: str = "203.0.113.7"
    ) -> Response:
        """Send a GET request with headers that App Engine's front end adds, and return the response.

        Raises:
            Decided: the learner's code raised an exception, or web2py found no action.
        """
        self.called = f"{sender}: GET /{path}"
        engine, url = self.lab._engine, f"/{self.exercise.apps[0]}/{path}"
        request = Request("GET", url, tuple(headers.items()), remote_addr=address)
        response = engine.work(lambda: engine.server.send(request, engine.clock.timestamp), lambda: None)
        return self._found(self._checked(response))

    def run(self, *, may_fail: bool = False) -> list[Attempt]:
        """Run all waiting tasks and return the attempts.

        Raises:
            Decided: the tasks never end, or a worker raised an exception and `may_fail` is false.
        """
        self.called = "lab.run()"
        done = len(self.lab.attempts)
        for _ in range(CAP // _AT_ONCE):
            try:
                self.lab.run(cap=_AT_ONCE)
                ended = True
            except RunawayError:
                ended = False
            attempts = list(self.lab.attempts)[done:]
            if not may_fail:
                for attempt in attempts:
                    self._checked(attempt.response)
            if ended:
                return attempts
        happened = f"after {CAP} attempts, tasks still wait. In the last attempt, {_responded(attempts[-1])}"
        self.wrong(self._missed(attempts[-1], None), happened, "the queue becomes empty")

    def step(self, *, may_fail: bool = False) -> Attempt:
        """Run one attempt and return it.

        Raises:
            Decided: the worker raised an exception, and `may_fail` is false.
        """
        self.called = "lab.step()"
        attempt = self.lab.step()
        if not may_fail:
            self._checked(attempt.response)
        return attempt

    def succeed(self, attempt: Attempt, mistake: str | None = None) -> None:
        """Require that the worker succeeded.

        Args:
            attempt: the attempt.
            mistake: the mistake if web2py found no action at the task's address. If the address is the queue's own,
                or web2py can't serve the action, the mistake is "no-address", "dict-without-view" or "arguments".
                If the worker itself chose the status, the mistake is "failure".
        """
        self._require_known(mistake)
        expected = "a status of 200 to 299, because the queue tries again after any other status"
        self.expect(attempt.ok, self._missed(attempt, mistake), _responded(attempt), expected)

    def expect_ok(self, answer: Attempt | Response, mistake: str | None, happened: str, why: str = "") -> None:
        """Require a status of success; `happened` introduces the status, and `why` follows what was expected."""
        self.expect(answer.ok, mistake, f"{happened} {answer.status}", f"a status of 200 to 299{why}")

    def one_task(self, *, missing: str | None, queue: str | None = None) -> TaskInfo:
        """Require that exactly one task waits, and return it; `missing` is the mistake if none waits."""
        self._require_known(missing)
        tasks = self.lab.tasks(queue)
        self.expect_tasks(tasks, 1, self.if_known("several-tasks") if tasks else missing)
        return tasks[0]

    def expect_tasks(self, tasks: Sequence[TaskInfo], count: int, mistake: str | None, when: str = "") -> None:
        """Require that this number of tasks waits; `when` introduces the number that waits, in the message."""
        wanted = "exactly one task" if count == 1 else quantity(count, "task")
        happened = f"{when}{quantity(len(tasks), 'task')} {'is' if len(tasks) == 1 else 'are'} waiting"
        self.expect(len(tasks) == count, mistake, happened, f"{wanted} {'is' if count == 1 else 'are'} waiting")

    def expect_address(self, task: TaskInfo, worker: str) -> None:
        """Require that a task has an address of its own."""
        happened = f"the task's URL is {task.url}, and its body is {task.text[:60]!r}"
        expected = f"the URL of your action {worker}"
        self.expect(not task.url.startswith("/_ah/"), "no-address", happened, expected)

    def expect_no_echo(self, known: Collection[tuple[str, str, datetime]] = ()) -> None:
        """Require that the task that ran last left no other task; `known` are the identities of earlier tasks."""
        waiting = [task.url for task in self.lab.tasks() if task.identity not in known]
        done = self.lab.attempts[-1].request.url
        self.expect(
            not waiting,
            self.if_known("itself") if _action(done) in map(_action, waiting) else None,
            f"the task for {done} ran, but another task, for {', '.join(waiting)}, is still in the queue",
            "the queue is empty, because one task does the work and doesn't add another",
        )

    def queue_task(
        self, path: str, query: Mapping[str, Any], table: str = "mytable", *fields: str, app: str | None = None
    ) -> tuple[Rows, TaskInfo]:
        """Send a user's GET request, and require that it queues one task and leaves the work to the worker.

        Returns:
            The rows that the table had before, and the task.
        """
        before = self.rows(table, *fields, app=app)
        self.get(path, **query)
        self.expect_nothing_new(before, table, *fields, app=app)
        return before, self.one_task(missing="not-queued")

    def expect_nothing_new(self, before: Rows, table: str = "mytable", *fields: str, app: str | None = None) -> None:
        """Require that a table still has the rows from before the request, because only the worker may write."""
        new = self.rows(table, *fields, app=app)[len(before) :]
        self.expect_equal(new, [], "called-directly", f"before any task ran, the new rows of {table} were")

    def expect_equal(self, found: object, right: object, mistake: str | None, what: str = "the worker wrote") -> None:
        """Require that a value or a list of rows equals the right one; `what` introduces it in the message."""
        self.expect(found == right, mistake, f"{what} {_shown(found)}", _shown(right))

    def rows(self, table: str = "mytable", *fields: str, app: str | None = None) -> Rows:
        """Return the rows of a table as tuples of these fields (old and new by default), ordered by id."""
        return [tuple(row[field] for field in fields or ("old", "new")) for row in self.lab.table(table, app=app)]

    def expect(self, condition: object, mistake: str | None, happened: str, expected: str) -> None:
        """Require that a condition is true; otherwise, the answer is wrong. See `wrong`."""
        self._require_known(mistake)
        if not condition:
            self.wrong(mistake, happened, expected)

    def wrong(self, mistake: str | None, happened: str, expected: str) -> NoReturn:
        """End the check, because the answer is wrong.

        Args:
            mistake: the key of one of the exercise's misconceptions, or None if none of them explains what happened.
                For a key that only some exercises define, see `if_known`.
            happened: what happened.
            expected: what should have happened.

        Raises:
            Decided: always, with the verdict.
            LookupError: the exercise doesn't define the mistake.
        """
        self._require_known(mistake)
        facts = {"called": self.called, "happened": happened, "expected": expected, "situation": self.situation}
        raise Decided(wrong(self.exercise, mistake, **facts))

    def if_known(self, mistake: str) -> str | None:
        """Return the key of a misconception if this exercise defines it, else None.

        Code that several exercises share needs it. The key must be a literal, because a test collects all keys.
        """
        return mistake if mistake in self.exercise.mistakes else None

    def failed(self, ticket: Ticket) -> NoReturn:
        """End the check, because the learner's code raised an exception.

        Raises:
            Decided: always. The verdict is "wrong" if a mistake of the exercise explains the exception, else "error".
        """
        # The patterns of mistakes take the square of the length.
        exception, message = shorten(ticket.exception, _RAISED), shorten(ticket.message, _RAISED)
        ticket = replace(ticket, exception=exception, message=message)
        raised = f"{ticket.exception}: {ticket.message}"
        for key, mistake in self.exercise.mistakes.items():
            if mistake.explains(raised):
                where = f" at {ticket.where}" if ticket.frames else ""
                self.wrong(key, f"{raised}{where}", "no exception")
        raise Decided(error(self.exercise, ticket, self.called, self.situation))

    def _require_known(self, mistake: str | None) -> None:
        known = self.exercise.mistakes
        if mistake is not None and mistake not in known:
            meant = did_you_mean(mistake, known)
            raise LookupError(
                f"exercise {self.exercise.number} has no mistake {mistake!r}; define it in "
                f"{'small' if self.exercise.is_small else 'lesson'}{self.exercise.lesson}.toml"
                + (f", or {meant}" if meant else "")
            )

    def _missed(self, attempt: Attempt, mistake: str | None) -> str | None:
        """Return the mistake by which a task failed."""
        hint = attempt.response.hint
        if attempt.request.url.startswith("/_ah/queue/"):
            return self.if_known("no-address")
        if not hint:
            return self.if_known("failure")
        if "the view" in hint:
            return self.if_known("dict-without-view")
        if "takes arguments" in hint:
            return self.if_known("arguments")
        return None if "Write `def " in hint or "Write exactly `def " in hint or "is indented" in hint else mistake

    def _checked(self, response: Response) -> Response:
        if response.ticket is not None:
            self.failed(response.ticket)
        return response

    def _found(self, response: Response) -> Response:
        """Require that web2py found the page that the user requested."""
        found = response.status != 404 or not response.hint
        self.expect(
            found, None, f"the status is 404. {response.hint}", "web2py finds the action that the exercise names"
        )
        return response


def _shown(value: object) -> str:
    """Return a value for a message. It shows at most five rows of a list."""
    if not isinstance(value, list):
        return str(value)
    more = f" and {len(value) - 5} more" if len(value) > 5 else ""
    return f"{value[:5] or 'no row'}{more}"


def _action(url: str) -> list[str]:
    """Return the application, the controller and the function in an address."""
    return url.partition("?")[0].split("/")[1:4]


def _responded(attempt: Attempt) -> str:
    request, response = attempt.request, attempt.response
    text = f"{request.method} {request.url} responded with {response.status}. {response.hint}".strip()
    if request.url.startswith("/_ah/queue/"):
        text += " A task without url=URL(...) gets this default address."
    return text


# Check an answer: for each scenario, write the learner's files into a fresh lab, and let the exercise's `run` use it.


def check_answer(
    exercise: Exercise,
    files: Mapping[str, str],
    stubs: Mapping[str, str] | None = None,
    make_lab: type[TrialLab] = TrialLab,
    scenarios: Sequence[Scenario] | None = None,
) -> Verdict:
    """Return the verdict on an answer. The first scenario in which it is wrong decides.

    Args:
        exercise: the exercise.
        files: the text of each file that the learner wrote, named as in `Exercise.files`. There may be more of them
            than the exercise needs.
        stubs: the cells of the exercise notebook as the course delivers them; by default, they are looked up.
        make_lab: the class of the labs in which the answer runs.
        scenarios: by default, those of the exercise.
    """
    if missing := [name for name in exercise.files if name not in files]:
        return verdict.not_attempted(exercise, f"Run the cell {verdict.cell_name(missing[0])} first.")
    if is_stub(exercise, files, stub_cells(exercise) if stubs is None else stubs):
        return verdict.not_attempted(exercise)
    with young_garbage_only():
        scenarios = exercise.scenarios if scenarios is None else scenarios
        return _refusal(exercise, files, make_lab, scenarios) or verdict.correct(exercise)


def _refusal(
    exercise: Exercise, files: Mapping[str, str], make_lab: type[TrialLab], scenarios: Sequence[Scenario]
) -> Verdict | None:
    """Return the verdict of the first scenario in which an answer is wrong, or of one of its parts."""
    for scenario in scenarios:
        if scenario.starts_programs and not make_lab.may_start_programs:
            return verdict.by_hand(exercise)
        with make_lab(apps=exercise.apps, **scenario.lab) as lab, own_process(), without_snapshots():
            trial = Trial(exercise, lab, files, scenario)
            try:
                trial.install()
                exercise.run(trial, scenario)
                continue
            except Decided as decided:
                refusal = decided.verdict
            except HarnessError as error:
                refusal = verdict.error_from_harness(exercise, error, trial.called)
        return _refusal(exercise, files, make_lab, scenario.parts) or refusal
    return None


def is_stub(exercise: Exercise, files: Mapping[str, str], stubs: Mapping[str, str]) -> bool:
    """Return whether the files still equal those of the exercise notebook, apart from comments and white space."""
    same = all(_meaning(files[name]) == _meaning(body(stubs[name])) for name in exercise.files)
    return same and len(files) == len(exercise.files)


def _meaning(source: str) -> str:
    """Return the syntax tree of Python, or the lines of any other file."""
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for very deeply nested code
        return "\n".join(line for line in source.splitlines() if line.partition("#")[0].strip())
