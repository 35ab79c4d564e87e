"""The checks of lesson 05, When and how fast. Their texts are in lesson05.toml, and their rows in scenarios05.py."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from harness.course.checks.chains05 import chain, send_edition
from harness.course.checks.expectations import (
    expect_no_work,
    expect_rows,
    instance,
    let_pass,
    path_of,
    tasks_of_request,
    work,
)
from harness.course.scenarios.scenarios05 import (
    DIGESTS,
    EDITIONS,
    MAILINGS,
    PAGES,
    REMINDERS,
    Digests,
    Pages,
    Press,
    Reminders,
)
from harness.course.trial import Trial
from harness.errors import quantity
from harness.records import Attempt, Request, Response, TaskInfo
from harness.show.text import shorten

_REFUSAL = "choose another name"  # part of the message of both exceptions, which is meant for developers
_PARTNER = """
import time
from google.appengine.api import taskqueue

def add():
    for number in range(int(request.vars.count)):
        taskqueue.add(url=URL(request.vars.worker, vars=request.get_vars), queue_name=request.vars.queue, method='GET')
    return 'added'

def quick():
    return 'sent'

def slow():
    time.sleep(25)
    return 'sent'

def fails():
    if int(request.env.http_x_appengine_taskretrycount) < int(request.vars.failures):
        raise HTTP(500)
    return 'sent'
"""
_WORKERS = {"quick": "is quick", "slow": "takes 25 s", "fails": "fails at first"}


# 5.1


def _remind(trial: Trial, row: Reminders) -> None:
    tried: list[str] = []
    for article, minutes in row.wishes:
        trial.lab.advance(row.pause)
        with instance(trial, row.elsewhere):
            answer, tasks, names = tasks_of_request(trial, "ex5_1/later", row.others, article=article, minutes=minutes)
        happened = f"the reader waited {answer.elapsed:g} s for the response"
        trial.expect(answer.elapsed == 0, "waits-itself", happened, "the reader doesn't wait")
        if not row.what and not trial.lab.attempts:
            expect_no_work(trial, "reminder")
        _expect_one(trial, tasks, names, tried, minutes)
        tried += names
        _expect_due(trial, row, tasks[0], minutes)
        if len(row.wishes) == 1:
            with instance(trial, row.elsewhere):
                _run_reminder(trial, tasks[0])
            trial.expect_no_echo()
    trial.run()
    right = [(article,) for article, _ in row.wishes]
    expect_rows(trial, "ex5_1/later", trial.rows("reminder", "article"), right, row.mistake, "reminder contains")


def _run_reminder(trial: Trial, task: TaskInfo) -> None:
    """Run the task. If its action raises an exception, the reason may be that it isn't the worker."""
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None:
        is_later = path_of(task.url).endswith("/ex5_1/later")
        happened = f"the task ran the action later again, which raised {ticket.exception}: {ticket.message}"
        trial.expect(not is_later, "itself", happened, "the task runs the worker, remind")
        trial.failed(ticket)
    trial.succeed(attempt, "wrong-address")


def _expect_one(trial: Trial, tasks: list[TaskInfo], names: list[str], tried: list[str], minutes: int) -> None:
    """Require that a request queued one task; `tried` are the names that earlier requests tried to add."""
    if names and set(names) <= set(tried) - {""}:
        mistake, also = "taken-name", f", because an earlier task has the name {names[0]!r}"
    else:
        mistake, also = "remembered" if tried else "not-queued", ""
    mistake = "zero-skipped" if minutes == 0 and not names else mistake
    mistake = "several-tasks" if tasks else mistake
    happened = f"the request queued {quantity(len(tasks), 'task')}{also}"
    trial.expect(len(tasks) == 1, mistake, happened, "exactly one task for each request")


def _expect_due(trial: Trial, row: Reminders, task: TaskInfo, minutes: int) -> None:
    seconds = (task.eta - trial.lab.now).total_seconds()
    early = minutes * 60 - seconds
    is_whole = (task.eta.second, task.eta.microsecond) == (0, 0) and 0 < abs(early) < 60
    mistake = "other-factor"
    if not trial.situation and early and early % 900 == 0 and abs(early) <= 14 * 3600:
        mistake = "zone"
    elif seconds < -3600:
        mistake = "past"
    elif seconds <= 0 < minutes and early == minutes * 60:
        mistake = "at-once"
    elif round(seconds) == minutes:
        mistake = "not-seconds"
    elif round(seconds) in (minutes * 3600, minutes * 60_000):
        mistake = "large-factor"
    elif round(seconds) == 600 and minutes < 10:
        mistake = "fixed-time"
    elif minutes >= 1440 and abs(seconds - minutes * 60 % 86_400) < 1:
        mistake = "days-lost"
    elif trial.situation:
        mistake = row.time if early > 0 else "other-time"
    happened, expected = f"the task is due in {seconds:,.10g} s", f"in {minutes} minutes, which is {minutes * 60} s"
    trial.expect(abs(early) < 1, "cut-seconds" if is_whole else mistake, happened, expected)


# 5.2


def _once_a_day(trial: Trial, row: Digests) -> None:
    first: dict[str, tuple[object, ...]] = {}
    tried: dict[str, list[str]] = {}
    if row.orders:
        _press_together(trial, row)
        return
    for press in row.presses:
        day = press.day
        if press.mailed:
            _mail_all(trial, row)
        let_pass(trial, press.pause)
        with instance(trial, row.elsewhere):
            answer, tasks, names = tasks_of_request(
                trial, "ex5_2/digest", press.other, "unkind" if day in first else None, day=day
            )
        if not row.what and not trial.lab.attempts:
            expect_no_work(trial, "digest")
        seen = (answer.status, answer.text, dict(answer.headers).get("Location"))
        if day in first:
            _expect_nothing_queued(trial, press, tasks, tried[day], names)
            mistake = "unkind" if _REFUSAL in answer.text else "other-response"
            happened = f"the response to a later request was {answer.status}: {shorten(answer.text, 90)}"
            expected = f"the same response as before: {first[day][0]}: {shorten(str(first[day][1]), 90)}"
            trial.expect(seen == first[day], mistake, happened, expected)
        else:
            _expect_queued(trial, tasks, names, tried)
        first.setdefault(day, seen)
        tried.setdefault(day, []).extend(names)
    _mail_all(trial, row)
    found = trial.rows("digest", "day")
    expect_rows(trial, "ex5_2/digest", found, [(day,) for day in first], row.mistake, "the days that were mailed are")


def _press_together(trial: Trial, row: Digests) -> None:
    """Let two editors request each digest at the same time, on two instances that take turns."""
    days = [press.day for press in row.presses]
    for day, order in zip(days, row.orders, strict=True):
        known = {task.identity for task in trial.lab.tasks()}
        requests = [Request("GET", f"/tutorial/ex5_2/digest?day={day}") for _ in range(2)]
        both = trial.lab.overlap(*requests, order=order)
        trial.called = f"lab.overlap of two requests for GET /ex5_2/digest?day={day}"
        answers = [each for each in (both.first, both.second) if isinstance(each, Response)]
        for ticket in (answer.ticket for answer in answers):
            if ticket is not None and ticket.exception != "OperationalError":  # the database may be locked
                happened = f"one of the requests ended with an {ticket.exception}"
                trial.expect(ticket.exception != "IntegrityError", "unique-row", happened, "two equal responses")
                trial.failed(ticket)
        tasks = [task for task in trial.lab.tasks() if task.identity not in known]
        happened = f"the two requests queued {quantity(len(tasks), 'task')}"
        trial.expect(len(tasks) == 1, "looks-first" if tasks else None, happened, "one task")
        seen = {(answer.status, answer.text) for answer in answers if answer.ticket is None}
        happened = f"the responses were {', '.join(f'{status}: {shorten(text, 60)}' for status, text in sorted(seen))}"
        trial.expect(len(seen) <= 1, "other-response", happened, "two equal responses")
    _mail_all(trial, row)
    expect_rows(trial, "ex5_2/digest", trial.rows("digest", "day"), [(day,) for day in days], row.mistake)


def _mail_all(trial: Trial, row: Digests) -> None:
    for _ in trial.lab.tasks():
        with instance(trial, row.elsewhere):
            work(trial)


def _expect_queued(trial: Trial, tasks: list[TaskInfo], names: list[str], tried: dict[str, list[str]]) -> None:
    """Require that the first request for a day queued one task."""
    taken = set(names) & {name for each in tried.values() for name in each if name}
    mistake = "fixed-name" if taken else "other-day" if tried else "not-queued"
    also = f", because an earlier digest has the name {taken.pop()!r}" if taken else ""
    happened = f"the first request for this day queued {quantity(len(tasks), 'task')}{also}"
    trial.expect(len(tasks) == 1, "several-tasks" if tasks else mistake, happened, "one task")


def _expect_nothing_queued(trial: Trial, row: Press, tasks: list[TaskInfo], tried: list[str], names: list[str]) -> None:
    """Require that a later request for a day queued nothing; `tried` are the names of the earlier tasks for it."""
    if not tasks:
        return
    also, mistake = "", row.again
    if all([*tried, *names]) and not set(tried) & set(names):
        mistake = "new-name"
        also = f"; the names of the tasks are {', '.join(map(repr, dict.fromkeys([*tried, *names])))}"
    elif row.again == "every-time" and _is_late(trial, row):
        mistake = "late-row"
    happened = f"a later request for this day queued {quantity(len(tasks), 'more task')}{also}"
    trial.expect(not tasks, mistake, happened, "no other task for the same day")


def _is_late(trial: Trial, row: Press) -> bool:
    """Return whether a request queues nothing once the mail is sent."""
    called = trial.called
    trial.run(may_fail=True)
    tasks = tasks_of_request(trial, "ex5_2/digest", True, day=row.day)[1]
    trial.called = called
    return not tasks


# 5.3


def _fragile_partner(trial: Trial, row: Pages) -> None:
    trial.lab.write("controllers/partner.py", _PARTNER)
    trial.lab.advance(seconds=3600)
    query: dict[str, Any] = {"worker": row.worker, "queue": row.queue, "failures": row.failures}
    if row.together:
        trial.get("partner/add", count=row.count, **query)
    else:
        for _ in range(row.count):
            trial.get("partner/add", count=1, **query)
            trial.lab.advance(seconds=10)
    trial.run(may_fail=True)
    trial.called = f"{quantity(row.count, 'task')} for a worker that {_WORKERS[row.worker]}, in the queue {row.queue}"
    attempts = trial.lab.attempts
    gaps = _gaps(attempts)
    if row.queue == "default":
        _expect_default(trial, row, gaps)
    elif row.worker == "fails":
        _expect_patience(trial, attempts, gaps)
    elif row.worker == "slow":
        happened = f"each task takes 25 s, and the next one started after {min(gaps):g} s"
        trial.expect(min(gaps) >= 25, "side-by-side", happened, "one task at a time")
        _expect_speed(trial, max(gaps), 25)
    else:
        _expect_speed(trial, max(gaps), 10)
        _expect_steady(trial, gaps)


def _gaps(attempts: Sequence[Attempt]) -> list[float]:
    """Return the seconds from each start to the next."""
    return [round((after.started - before.started).total_seconds(), 3) for before, after in pairwise(attempts)]


def _expect_speed(trial: Trial, longest: float, seconds: float) -> None:
    happened = f"tasks were waiting, and the next one started after {longest:g} s"
    trial.expect(longest <= seconds, "too-slow", happened, f"the next one starts after {seconds:g} s")


def _expect_steady(trial: Trial, gaps: list[float]) -> None:
    """Require that tasks start every ten seconds, from the first one on."""
    queues = trial.lab._engine.service.queues
    rate = queues["archive"].config.rate
    mistake = "default-too" if queues["default"].config.rate < 5 else "too-fast"
    happened = f"in the long run, a task starts every {1 / rate:g} s"
    trial.expect(min(gaps) >= 10 or rate <= 0.1001, mistake, happened, "every 10 s")
    happened = f"the tasks started after {', '.join(f'{gap:g}' for gap in [0.0, *gaps])} s"
    trial.expect(min(gaps) >= 10, "burst", happened, "one at a time, 10 s apart, from the beginning")


def _expect_patience(trial: Trial, attempts: Sequence[Attempt], waits: list[float]) -> None:
    """Require that a task is tried until it succeeds, and that the waits between the attempts are long enough."""
    shown = f"{', '.join(f'{wait:g}' for wait in waits[:3])}{' …' * (len(waits) > 3)} s"
    happened = f"a task failed and was tried again after {shown}"
    expected = "1 to 10 minutes before the first retry, and at least 60 s before the others"
    trial.expect(not waits or min(waits) >= 60, "impatient", happened, expected)
    trial.expect(not waits or waits[0] <= 600, "too-patient", happened, expected)
    happened = f"the task was dropped after {quantity(len(attempts), 'attempt')} ({attempts[-1].note})"
    trial.expect(attempts[-1].ok, "gives-up", happened, "the queue tries the task until it succeeds")


def _expect_default(trial: Trial, row: Pages, gaps: list[float]) -> None:
    """Require that the queue `default` is as fast as usual."""
    usual = [0.1, 0.2, 0.4] if row.worker == "fails" else [0.0, 0.0, 0.0, 0.0, 0.2]
    happened = f"the next attempts in the queue default started after {', '.join(f'{gap:g}' for gap in gaps)} s"
    trial.expect(gaps == usual, "default-too", happened, f"{', '.join(f'{gap:g}' for gap in usual)} s, as usual")


RUNS = {
    "5.1": (_remind, REMINDERS),
    "5.2": (_once_a_day, DIGESTS),
    "5.3": (_fragile_partner, PAGES),
    "5.4": (chain, MAILINGS),
    "5.5": (send_edition, EDITIONS),
}
