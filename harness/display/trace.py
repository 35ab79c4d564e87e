"""The life of one task as a numbered story. `python -m harness.display.trace` tells one."""

from __future__ import annotations

from collections.abc import Iterator

from harness.display.card import Card, card, fact
from harness.display.code import place
from harness.display.exchange import status
from harness.display.task import attempt_facts, task_facts, verdict, what_next
from harness.display.times import clock, quantity
from harness.records import Attempt, Frame, Outcome, TaskState, Trace

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


if __name__ == "__main__":
    from harness.display.example import ATTEMPTS, TASK

    print(Trace(TASK, ATTEMPTS))
