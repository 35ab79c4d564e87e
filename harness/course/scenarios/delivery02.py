"""How the requests and tasks of a scenario of lesson 02 run, and what all its exercises require of them."""

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from harness.course.checks.expectations import by_text, instance, is_plain, let_pass
from harness.course.scenarios.scenarios02 import Delivery, Stories
from harness.course.trial import Rows, Trial
from harness.records import Attempt, TaskInfo

_MOST = 60  # attempts of one scenario
_SHOWN = 2  # requests in a message


@dataclass(frozen=True, slots=True)
class Job:
    """The action, the worker and the table of an exercise, and values of an earlier row of that table.

    `is_one` means that each request must add exactly one task, which does all the work.
    """

    path: str
    worker: str
    table: str
    fields: tuple[str, ...]
    earlier: Mapping[str, Any]
    is_one: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """A request: its query string, or its form if `is_form`, and the rows that its tasks must write."""

    query: Mapping[str, Any]
    rows: Rows
    is_form: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """The visits whose tasks have run, these tasks, the attempts, and the new rows of the table.

    `is_later` means that another request was handled correctly before, in this scenario or in the plainest one, and
    `has_gap` that the table lacks an id, because a row was deleted.
    """

    visits: Sequence[Visit]
    tasks: Sequence[TaskInfo]
    attempts: Sequence[Attempt]
    rows: Rows
    is_later: bool
    has_gap: bool

    @property
    def expected(self) -> Rows:
        return [row for visit in self.visits for row in visit.rows]

    @property
    def is_right(self) -> bool:
        return Counter(self.rows) == Counter(self.expected)

    @property
    def missing(self) -> Rows:
        return list((Counter(self.expected) - Counter(self.rows)).elements())

    @property
    def extra(self) -> Rows:
        return list((Counter(self.rows) - Counter(self.expected)).elements())


@dataclass(frozen=True, slots=True)
class Sent:
    """Requests that were sent, their tasks, the rows of the table before, and the calls, for messages."""

    visits: Sequence[Visit]
    tasks: Sequence[TaskInfo]
    before: Rows
    calls: Sequence[str]


def send(trial: Trial, row: Delivery, job: Job, visits: Sequence[Visit]) -> Iterator[Sent]:
    """Send the requests, and yield them before their tasks run: all of them together, or one after another."""
    if row.earlier:
        values = ", ".join(f"{name}={value!r}" for name, value in job.earlier.items())
        trial.lab.write("controllers/earlier.py", f"def index(): db.{job.table}.insert({values})\n")
        trial.lab.get("earlier/index")
    before: Rows = [tuple(job.earlier[name] for name in job.fields)] * row.earlier
    for batch in [visits] if row.together else [[visit] for visit in visits]:
        tasks, calls = list[TaskInfo](), list[str]()
        for visit in batch:
            tasks += _visit(trial, row, job, visit, before, is_later=bool(tasks or before))
            calls.append(trial.called)
        rows = trial.rows(job.table, *job.fields)
        happened = f"before any task ran, the new rows of {job.table} were"
        trial.expect_equal(rows[len(before) :], [], "called-directly", happened)
        for task in tasks:
            trial.expect_address(task, job.worker)
        happened = f"before any task ran, the earlier rows of {job.table} are"
        trial.expect_equal(by_text(rows), by_text(before), "earlier-changed", happened)
        yield Sent(batch, tasks, rows, calls)
        before = [*before, *(right for visit in batch for right in visit.rows)]


def work(trial: Trial, row: Delivery, job: Job, sent: Sent) -> Delivered:
    """Run the tasks, and return what they wrote."""
    attempts, tasks = list[Attempt](), sent.tasks
    if row.dies is not None and tasks:
        attempts.append(trial.lab.step(kill_after=row.dies if len(tasks) == 1 else 1))
    for _ in range(len(tasks) if job.is_one else _MOST):
        if not trial.lab.tasks():
            break
        attempts.append(attempt(trial, row))
    trial.called = _called(sent.calls)
    if tasks:
        trial.expect_no_echo()
    table = trial.lab.table(job.table)
    rows = [tuple(each[field] for field in job.fields) for each in table]
    kept = rows[: len(sent.before)]
    trial.expect_equal(kept, sent.before, "earlier-changed", f"after the task ran, the earlier rows of {job.table} are")
    has_gap = bool(rows) and table[-1]["id"] > len(rows)
    is_later = bool(row.what or sent.before)
    return Delivered(sent.visits, tasks, attempts, rows[len(sent.before) :], is_later, has_gap)


def _called(calls: Sequence[str]) -> str:
    more = f"; and {len(calls) - _SHOWN} more" * (len(calls) > _SHOWN)
    return f"{'; '.join(calls[:_SHOWN])}{more}; and then the tasks"


def _visit(trial: Trial, row: Delivery, job: Job, visit: Visit, before: Rows, *, is_later: bool) -> list[TaskInfo]:
    """Send a request, and return the tasks that it added. `is_later` means that an earlier request did its work."""
    known = {task.name for task in trial.lab.tasks()}
    with instance(trial, row.elsewhere):
        if visit.is_form:
            trial.post(job.path, dict(visit.query))
        else:
            trial.get(job.path, **visit.query)
    tasks = [task for task in trial.lab.tasks() if task.name not in known]
    missing = "request-lost" if is_later else "not-queued"
    if not tasks and (visit.rows or job.is_one):
        trial.expect_nothing_new(before, job.table, *job.fields)
        happened = "the request added no task"
        trial.expect(tasks, missing, happened + ", but other requests added one" * is_later, "a task for each request")
    if job.is_one:
        trial.expect_tasks(tasks, 1, trial.if_known("several-tasks"), "apart from earlier tasks, ")
    pass_a_second(trial)
    return tasks


def pass_a_second(trial: Trial) -> None:
    """Let a second pass, so that a name which contains the time in seconds is new."""
    let_pass(trial, 1)


def attempt(trial: Trial, row: Delivery) -> Attempt:
    """Run one attempt, and require that the worker succeeds."""
    done = trial.step(may_fail=True)
    expect_success(trial, row, done)
    return done


def expect_success(trial: Trial, row: Delivery | Stories, done: Attempt) -> None:
    """Require that the worker of an attempt succeeded.

    If a worker looks for `request.vars` in a plain body, web2py 2.26 raises a TypeError, and web2py 3.3 finds no vars.
    Both are the same mistake to the learner.
    """
    ticket = done.response.ticket
    if ticket is None:
        trial.succeed(done, "wrong-address")
    elif ticket.exception == "TypeError" and is_plain(done.task):
        happened = f"the worker ended with a TypeError, {ticket.message!r}"
        trial.wrong(trial.if_known("plain-payload"), happened, "the worker finds its values")
    elif row.elsewhere and not had_begun(trial.lab.attempts):
        happened = f"the worker ended with {ticket.exception}: {ticket.message[:200]}"
        trial.wrong("other-instance", happened, "the worker finds its values on any instance")
    else:
        trial.failed(ticket)


def was_shut_down(attempts: Sequence[Attempt]) -> bool:
    """Return whether the first attempt was cut off."""
    return bool(attempts) and attempts[0].response.killed


def had_begun(attempts: Sequence[Attempt]) -> bool:
    """Return whether the first attempt was cut off after it had written, so it found its values on its instance."""
    writes = ("INSERT", "UPDATE")
    return was_shut_down(attempts) and any(each.startswith(writes) for each in attempts[0].response.sql)


def again_mistake(found: Delivered) -> str | None:
    """Return the mistake if the attempt that was cut off left rows that the next attempt wrote again, or None."""
    is_again = was_shut_down(found.attempts) and not found.missing and set(found.extra) <= set(found.expected)
    return "done-again" if is_again else None


def row_mistake(row: Delivery, found: Delivered) -> str | None:
    """Return the mistake that the number and the origin of the rows show, in any exercise, or None."""
    missing, extra = found.missing, found.extra
    if not extra and (had_begun if row.elsewhere else was_shut_down)(found.attempts):
        return "retry-limit" if len(found.attempts) == len(found.tasks) else "retry-lost"
    if row.elsewhere:
        return "other-instance"
    if not missing and set(extra) <= set(found.expected):
        return "written-twice"
    if len(found.visits) > 1 and missing and extra and all(_is_mixed(found, each) for each in extra):
        return "mixed-up"
    if missing and found.has_gap:
        return "earlier-changed"
    are_lost = not extra and any(visit.rows and set(visit.rows) <= set(missing) for visit in found.visits)
    return "row-lost" if are_lost and found.is_later else None


def _is_mixed(found: Delivered, row: tuple[Any, ...]) -> bool:
    """Return whether each value of a row belongs to some row that was expected."""
    columns = zip(*found.expected, strict=True)
    return all(value in column for value, column in zip(row, columns, strict=True))


def text_mistake(sent: str, arrived: object) -> str:
    """Return the mistake by which a string arrived changed."""
    text = str(arrived or "")
    quoted = text[1:-1] if text[:1] in ("'", '"') else None
    if sent and sent in (unquote_plus(text), html.unescape(text), quoted):
        return "encoded"
    end = sent[len(text) : len(text) + 1]
    is_cut = text not in ("", sent.strip()) and (sent.startswith(text) or unquote_plus(sent).startswith(text))
    return "by-hand" if is_cut and end and end in "&=+%,;'\"" else "text-changed"


def what_happened(found: Delivered) -> str:
    """Return what introduces the wrong rows in a message: the attempts, or how a text differs."""
    if was_shut_down(found.attempts):
        return f"after {len(found.attempts)} attempts, of which the first was cut off, the table has"
    if found.missing and found.has_gap:
        return "rows are missing; besides the earlier ones, the table has"
    many = len(found.tasks) > len(found.visits)
    who, changes = f"{len(found.tasks)} tasks" if many else "the worker", ""
    if len(found.missing) == len(found.extra) == 1:
        pairs = zip(found.missing[0], found.extra[0], strict=True)
        texts = ((sent, arrived) for sent, arrived in pairs if isinstance(sent, str) and sent != arrived)
        changes = next((difference(*pair) for pair in texts), "")
    return f"{who} wrote {changes}:" if changes else f"{who} wrote"


def difference(sent: str, arrived: object) -> str:
    """Return in a few words how a string that arrived differs from the one that was sent, or ""."""
    text = str(arrived or "")
    if arrived is None:
        return "None instead of the string"
    if text in (sent.strip(), sent.lstrip(), sent.rstrip()):
        return "the string without the spaces at its ends"
    if text.casefold() == sent.casefold():
        return "the string in another case"
    if text and sent.startswith(text):
        return f"only the first {len(text)} characters of the string"
    return ""
