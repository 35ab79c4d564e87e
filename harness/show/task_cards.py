"""How a task and an attempt are shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from harness.records import Attempt, Frame, Outcome, QueueSample, QueueStatistics, TaskInfo, TaskState, Trace
from harness.show.card import Card, Fact, card, fact
from harness.show.record_cards import param_lines, params, place, request_facts, response_facts, status
from harness.show.text import clock, duration, literal, of_bytes, quantity, relative

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


# How a queue's figures are shown.


def statistics_card(figures: QueueStatistics) -> Card:
    """Show what App Engine reports about a queue."""
    tasks, rate = quantity(figures.tasks, "task"), f"{figures.enforced_rate:g}/s"
    facts = [
        fact("tasks", tasks),
        fact("oldest ETA", clock(figures.oldest_eta) if figures.oldest_eta else "none"),
        fact("executed in the last minute", f"{figures.executed_last_minute:,}"),
        fact("in flight", f"{figures.in_flight:,}"),
        fact("enforced rate", rate),
    ]
    line = f"QueueStatistics {figures.queue}: {tasks}, {rate}"
    return card(f"statistics of the queue {figures.queue}", facts, line=line)


def sample_card(sample: QueueSample) -> Card:
    """Show the figures of a queue at one instant."""
    waiting, running = quantity(sample.waiting, "task"), quantity(sample.running, "task")
    facts = [fact("tokens", f"{sample.tokens:g}"), fact("waiting", waiting), fact("running", running)]
    line = (
        f"QueueSample {clock(sample.at)}: {sample.tokens:g} tokens, {sample.waiting} waiting, {sample.running} running"
    )
    return card(f"queue at {clock(sample.at)}", facts, line=line)


# The life of one task as a numbered story.

_MANY = 6  # attempts that are told in full; of more, the first and the last two
_ENDS = 2
_LINES = 30  # attempts that are told on a line each; of more, the first ones


def trace_card(trace: Trace) -> Card:
    """Tell the story of a task: the call of `add`, the stored task, every attempt, what it waits for."""
    task = trace.task
    title = f"task {task.name}: {_ending(trace)}"
    return card(title, steps=_steps(trace), line=f"Trace {task.name}: {_ending(trace)}")


def _ending(trace: Trace) -> str:
    tries = quantity(len(trace.attempts), "attempt")
    if trace.task.state is TaskState.WAITING:
        return f"waits in the queue {trace.task.queue}, {tries} so far"
    return f"{trace.task.state}, {tries}"


def _steps(trace: Trace) -> Iterator[Card]:
    if trace.task.origin is not None:
        yield _added(trace, trace.task.origin)
    yield _stored(trace)
    tries = trace.attempts
    short = range(_ENDS, len(tries) - _ENDS) if len(tries) > _MANY else range(0)
    for position, attempt in enumerate(tries):
        if position not in short:
            yield _attempted(position + 1, attempt)
        elif position < _ENDS + _LINES:
            yield card(f"{_attempt_at(position + 1, attempt)}: {what_next(attempt)}")
        elif position == _ENDS + _LINES:
            yield card(f"… {quantity(len(short) - _LINES, 'attempt')} more like these …")
    yield from _waits(trace)


def _added(trace: Trace, origin: Frame) -> Card:
    who = "your code" if origin.function in ("", "<module>") else f"the action {origin.function}"
    facts = [
        fact("at", clock(trace.task.created, trace.task.created)),
        fact("line", place(origin)),
        fact("code", origin.source.strip(), code=True),
    ]
    return card(f"{who[0].upper()}{who[1:]} adds a task", facts)


def _stored(trace: Trace) -> Card:
    task = trace.attempts[0].task if trace.attempts else trace.task  # with its first ETA, not that of a retry
    return card(
        f"The queue {task.queue} stores the task; the user does not wait for it", task_facts(task, task.created)
    )


def _attempted(number: int, attempt: Attempt) -> Card:
    return card(_headline(number, attempt), attempt_facts(attempt))


def _headline(number: int, attempt: Attempt) -> str:
    answer = "the worker does not answer" if not attempt.status else f"the worker answers {status(attempt.response)}"
    return f"{_attempt_at(number, attempt)}: {answer}, {verdict(attempt)}"


def _attempt_at(number: int, attempt: Attempt) -> str:
    return f"Attempt {number} at {clock(attempt.started, attempt.task.created)}"


def _waits(trace: Trace) -> Iterator[Card]:
    task, last = trace.task, trace.attempts[-1] if trace.attempts else None
    at = clock(task.eta, task.created)
    if task.state is TaskState.WAITING:
        yield card(f"The task waits in the queue; App Engine may call the worker from {at} on")
    elif task.state is TaskState.RUNNING:
        yield card("The worker runs now")
    elif task.state is TaskState.DELETED and (last is None or last.outcome is not Outcome.DELETED):
        yield card("The task was deleted from the queue")
