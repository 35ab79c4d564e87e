"""The cards of tasks, attempts and traces, and of a queue's statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from harness.errors import quantity
from harness.records import Attempt, Frame, Outcome, QueueSample, QueueStatistics, Request, TaskInfo, TaskState, Trace
from harness.show.card import Card, Fact, card, fact
from harness.show.record_cards import header_lines, pairs, params, place, reasons, response_facts, status, symbol
from harness.show.text import clock, duration, literal, of_bytes, relative

# Headers that Google's client adds to every task.
_USUAL = ("content-length", "host", "user-agent", "x-appengine-current-namespace", "x-appengine-default-namespace")
_FULL = 6  # a trace with more attempts shows only the first and the last two in full
_ENDS = 2
_SHORT = 30  # attempts that a trace shows on one line each; the others are only counted


def task_card(task: TaskInfo) -> Card:
    """Return the card of a task as the queue stores it."""
    call_site = task.call_site
    state = f"{task.state} in the queue {task.queue}" if task.state is TaskState.WAITING else task.state
    facts = [
        fact("name", task.name),
        fact("queue", task.queue),
        *_task_facts(task),
        fact("added", clock(task.created)),
        fact("retries", str(task.retries or "")),
        fact("added by", [place(call_site), call_site.source.strip()] if call_site else "", code=True),
    ]
    line = f"TaskInfo {task.name}: {task.method} {task.url}, {state}, ETA {clock(task.eta)}"
    return card(f"task {task.name}, {state}", facts, line=line)


def _task_facts(task: TaskInfo) -> list[Fact | None]:
    """Return the request that the queue stores, and the ETA, which is relative to when the task was added."""
    decoded = params(task.url, task.headers, task.body)
    return [
        fact("request", f"{task.method} {task.url}"),
        fact("params", pairs(decoded), code=True),
        fact("body", "" if decoded else of_bytes(task.body), code=True),
        _headers([f"{name}: {value}" for name, value in task.headers if name.lower() not in _USUAL]),
        fact("ETA", f"{clock(task.eta, task.created)} ({relative(task.eta, task.created)})"),
        fact("tag", task.tag or ""),
    ]


def _headers(lines: Sequence[str], verb: str = "") -> Fact | None:
    """Return the fact that lists headers. It is folded if there are several, because its summary is shorter."""
    return fact("headers", lines, summary=f"{quantity(len(lines), 'header')}{verb}" if len(lines) > 1 else "")


def task_data(task: TaskInfo) -> str:
    """Return the parameters of a task, or else its body, on one line: "old='original text', new='new text'"."""
    decoded = params(task.url, task.headers, task.body)
    return ", ".join(f"{name}={literal(value)}" for name, value in decoded) or of_bytes(task.body)


def attempt_card(attempt: Attempt) -> Card:
    """Return the card of an attempt: the request, the handler's run, and what the queue does next."""
    name = attempt.task.name
    title = f"{symbol(attempt.response)} attempt {attempt.number}: {name} {_verdict(attempt)}"
    line = f"Attempt {attempt.number}: {name} at {clock(attempt.started)}, {_next(attempt)}"
    return card(title, [*_attempt_facts(attempt), fact("at", clock(attempt.started, attempt.task.created))], line=line)


def _verdict(attempt: Attempt) -> str:
    if attempt.response.killed:
        return "stopped, because its instance was shut down"
    if attempt.response.deadline:
        return "stopped at its deadline"
    return "done" if attempt.response.ok else "failed"


def _attempt_facts(attempt: Attempt) -> list[Fact]:
    """Return the facts of an attempt: its outcome and the reason, what App Engine sends, and what the worker does."""
    request, response, route = attempt.request, attempt.response, attempt.response.route
    when = "a second time, while the first delivery ran" if response.turns else "again"
    again = f"{when}, because App Engine delivers a task at least once, not exactly once"
    facts = [
        fact("status", status(response)),
        *reasons(response),
        fact("next", _next(attempt)),
        fact("delivered", again if attempt.duplicate else ""),
        fact(*_sent(request)),
        _headers([f"Host: {request.host}", *header_lines(request.headers)]),
        fact("body", of_bytes(request.body), code=True),
        fact("from", request.remote_addr),
        fact("worker", f"action {route.action}" if route else "not a web2py action"),
        *response_facts(response),
        fact("took", duration(attempt.elapsed)),
    ]
    return [each for each in facts if each]


def _sent(request: Request) -> tuple[str, str]:
    """Return a label with the sender of a request, and the first line; Cloud Tasks sends the requests to full URLs."""
    if request.scheme:
        return "Cloud Tasks sends", f"{request.method} {request.scheme}://{request.host}{request.url}"
    return "App Engine sends", f"{request.method} {request.url}"


def _changes(facts: Sequence[Fact], before: Sequence[Fact], name: str) -> Iterator[Fact | None]:
    """Yield the facts of an attempt that differ from those of an earlier attempt, and the labels of the others."""
    earlier = {each.label: each for each in before}
    same = [each.label for each in facts if each == earlier.pop(each.label, None)]
    known = {line for each in before for line in each.lines}
    for each in facts:
        if each.label == "headers":
            lines = [line for line in each.lines if line not in known]
            yield _headers(lines, " changed")
        elif each.label not in same:
            yield each
    yield fact(f"as in {name}", ", ".join(same))
    yield fact("not this time", ", ".join(earlier))


def _next(attempt: Attempt) -> str:
    """Return what the queue does after an attempt, and why."""
    reason = f" ({attempt.note})" if attempt.note else ""
    if attempt.outcome is Outcome.DONE:
        return "done: the task leaves the queue"
    if attempt.outcome is Outcome.DROPPED:
        return f"dropped{reason}: the task leaves the queue and isn't retried"
    if attempt.outcome is Outcome.DELETED:
        return "deleted: the task was deleted from the queue while it ran"
    return f"failed{reason}; {retry_time(attempt)}"


def retry_time(attempt: Attempt) -> str:
    """Return when a failed task is retried: "retry at 09:00:10, in 0.1 s"."""
    if attempt.next_eta is None:
        return "retry later"
    end = attempt.started + timedelta(seconds=attempt.elapsed)
    return f"retry at {clock(attempt.next_eta, attempt.task.created)}, {relative(attempt.next_eta, end)}"


def statistics_card(statistics: QueueStatistics) -> Card:
    """Return the card of the statistics that App Engine reports about a queue."""
    tasks, rate = quantity(statistics.tasks, "task"), f"{statistics.enforced_rate:g}/s"
    facts = [
        fact("tasks", tasks),
        fact("oldest ETA", clock(statistics.oldest_eta) if statistics.oldest_eta else "none"),
        fact("executed in the last minute", f"{statistics.executed_last_minute:,}"),
        fact("in flight", f"{statistics.in_flight:,}"),
        fact("enforced rate", rate),
    ]
    line = f"QueueStatistics {statistics.queue}: {tasks}, {rate}"
    return card(f"statistics of the queue {statistics.queue}", facts, line=line)


def sample_card(sample: QueueSample) -> Card:
    """Return the card of a queue's tokens and tasks at one instant."""
    at, tokens, waiting, running = clock(sample.at), f"{sample.tokens:g}", sample.waiting, sample.running
    facts = [
        fact("tokens", tokens),
        fact("waiting", quantity(waiting, "task")),
        fact("running", quantity(running, "task")),
    ]
    line = f"QueueSample {at}: {tokens} tokens, {waiting} waiting, {running} running"
    return card(f"queue at {at}", facts, line=line)


def trace_card(trace: Trace) -> Card:
    """Return the card of a trace: numbered steps from the call of `add` to the last attempt."""
    task, attempts = trace.task, quantity(len(trace.attempts), "attempt")
    is_waiting = task.state is TaskState.WAITING
    ending = f"waits in the queue {task.queue}, {attempts} so far" if is_waiting else f"{task.state}, {attempts}"
    return card(f"task {task.name}: {ending}", steps=_steps(trace), line=f"Trace {task.name}: {ending}")


def _steps(trace: Trace) -> Iterator[Card]:
    task, attempts = trace.task, trace.attempts
    if task.call_site is not None:
        yield _added(task, task.call_site)
    stored = attempts[0].task if attempts else task  # a retry has changed the ETA of trace.task
    yield card(f"The queue {task.queue} stores the task, and the user doesn't wait for it", _task_facts(stored))
    short = range(_ENDS, len(attempts) - _ENDS) if len(attempts) > _FULL else range(0)
    before: list[Fact] = []
    name = ""
    for position, attempt in enumerate(attempts):
        title = f"{symbol(attempt.response)} Attempt {position + 1} at {clock(attempt.started, attempt.task.created)}"
        if position not in short:
            facts = _attempt_facts(attempt)
            result = f"the worker returns {status(attempt.response)}, {_verdict(attempt)}"
            yield card(f"{title}: {result}", _changes(facts, before, name) if before else facts)
            before, name = facts, f"attempt {position + 1}"
        elif position < _ENDS + _SHORT:
            yield card(f"{title}: {_next(attempt)}")
        elif position == _ENDS + _SHORT:
            yield card(f"… {quantity(len(short) - _SHORT, 'more attempt')} like these …")
    yield from _state(trace)


def _added(task: TaskInfo, call_site: Frame) -> Card:
    subject = "Your code" if call_site.function in ("", "<module>") else f"The action {call_site.function}"
    title = f"{subject} adds a task at {clock(task.created, task.created)}"
    return card(title, [fact("line", place(call_site)), fact("code", call_site.source.strip(), code=True)])


def _state(trace: Trace) -> Iterator[Card]:
    """Yield a step that shows that the task waits, runs or was deleted, because no attempt shows this."""
    task = trace.task
    if task.state is TaskState.WAITING:
        at = clock(task.eta, task.created)
        yield card(f"The task waits in the queue, and App Engine calls the worker at {at} or later")
    elif task.state is TaskState.RUNNING:
        yield card("The worker is running")
    elif task.state is TaskState.DELETED and not any(each.outcome is Outcome.DELETED for each in trace.attempts[-1:]):
        yield card("The task was deleted from the queue")
