"""How a task and an attempt are shown. `python -m harness.display.task` shows one each."""

from __future__ import annotations

from datetime import datetime, timedelta

from harness.display.card import Card, Fact, card, fact
from harness.display.code import place
from harness.display.exchange import param_lines, params, request_facts, response_facts, status
from harness.display.times import clock, duration, relative
from harness.display.values import literal, of_bytes
from harness.records import Attempt, Outcome, TaskInfo, TaskState

_USUAL = {  # headers that Google's client gives every task
    "content-length",
    "host",
    "user-agent",
    "x-appengine-current-namespace",
    "x-appengine-default-namespace",
}


def task_card(task: TaskInfo) -> Card:
    """Show a task as the queue holds it."""
    origin = task.origin
    facts = [
        *task_facts(task, task.created),
        fact("added", clock(task.created)),
        fact("retries", str(task.retries) if task.retries else ""),
        fact("added by", [place(origin), origin.source.strip()] if origin else "", code=True),
    ]
    line = f"TaskInfo {task.name}: {task.method} {task.url}, {life(task)}, ETA {clock(task.eta)}"
    return card(f"task {task.name}, {life(task)}", facts, line=line)


def life(task: TaskInfo) -> str:
    """Say where a task is: "waiting in the queue default", "done"."""
    where = f" in the queue {task.queue}" if task.state is TaskState.WAITING else ""
    return f"{task.state}{where}"


def task_facts(task: TaskInfo, now: datetime) -> list[Fact | None]:
    """Show what the queue stores of a task; its ETA as seen from an instant."""
    own = [f"{name}: {value}" for name, value in task.headers if name.lower() not in _USUAL]
    decoded = params(task.url, task.headers, task.body)
    return [
        fact("name", task.name),
        fact("queue", task.queue),
        fact("request", f"{task.method} {task.url}"),
        fact("params", param_lines(task.url, task.headers, task.body), code=True),
        fact("body", "" if decoded else of_bytes(task.body), code=True),
        fact("headers", own),
        fact("ETA", f"{clock(task.eta, now)} ({relative(task.eta, now)})"),
        fact("tag", task.tag or ""),
    ]


def task_data(task: TaskInfo) -> str:
    """Return what a task carries, on one line: "old='original text', new='new text'"."""
    decoded = params(task.url, task.headers, task.body)
    return ", ".join(f"{name}={literal(value)}" for name, value in decoded) or of_bytes(task.body)


def attempt_card(attempt: Attempt) -> Card:
    """Show one delivery of a task: the request, the worker, what came of it."""
    name = attempt.task.name
    title = f"attempt {attempt.number}: {name} {verdict(attempt)}"
    line = f"Attempt {attempt.number}: {name} at {clock(attempt.started)}, {what_next(attempt)}"
    return card(title, [fact("at", clock(attempt.started, attempt.task.created)), *attempt_facts(attempt)], line=line)


def verdict(attempt: Attempt) -> str:
    """Say in a word or two how an attempt went."""
    if attempt.response.deadline:
        return "stopped at its deadline"
    return "done" if attempt.response.ok else "failed"


def attempt_facts(attempt: Attempt) -> list[Fact | None]:
    """Show an attempt from App Engine's request to what the queue does next."""
    route = attempt.response.route
    return [
        fact("took", duration(attempt.elapsed)),
        fact("delivered", "twice: App Engine promises at least once, not exactly once" if attempt.duplicate else ""),
        fact("App Engine asks", f"{attempt.request.method} {attempt.request.url}"),
        *request_facts(attempt.request),
        fact("worker", f"action {route.action}" if route else "not a web2py action"),
        *response_facts(attempt.response),
        fact("status", status(attempt.response)),
        fact("next", what_next(attempt)),
    ]


def what_next(attempt: Attempt) -> str:
    """Say what the queue does after an attempt, and why."""
    reason = f" because of {attempt.note}" if attempt.note else ""
    if attempt.outcome is Outcome.DONE:
        return "done: the task leaves the queue"
    if attempt.outcome is Outcome.DROPPED:
        return f"dropped{reason}: the task is given up and leaves the queue"
    if attempt.outcome is Outcome.DELETED:
        return "deleted: the task was taken out of the queue while it ran"
    return f"failed{f' ({attempt.note})' if attempt.note else ''}; {retry_words(attempt)}"


def retry_words(attempt: Attempt) -> str:
    """Say when the task is tried again: "retry at 09:00:10, in 0.1 s"."""
    if attempt.next_eta is None:
        return "retry later"
    end = attempt.started + timedelta(seconds=attempt.elapsed)
    return f"retry at {clock(attempt.next_eta, attempt.task.created)}, {relative(attempt.next_eta, end)}"


if __name__ == "__main__":
    from harness.display.example import ATTEMPTS, TASK

    print(TASK, ATTEMPTS[0], sep="\n\n")
