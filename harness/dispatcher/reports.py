"""What the dispatcher tells a learner when it cannot go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from harness.dispatcher.lane import Lane
from harness.errors import NothingDueError, RunawayError
from harness.records import TaskInfo

_SHOWN = 5


def nothing_due(lanes: Iterable[Lane]) -> NothingDueError:
    """Return the error of a `step()` that found nothing to run, with the queues that hold tasks back."""
    held = [
        f"queue {lane.queue.config.name!r} {lane.hindrance()} and holds {_count(len(lane.queue), 'task')}"
        for lane in lanes
        if len(lane.queue)
    ]
    if not held:
        return NothingDueError("no task waits on any push queue; add one first")
    return NothingDueError(f"no task can run: {'; '.join(held)}. Resume the queue, or give it a rate above 0")


def runaway(tasks: list[TaskInfo]) -> RunawayError:
    """Return the error of a run that reached its cap: which URLs the attempts went to, the busiest first.

    Args:
        tasks: the task of each attempt of the run, as it was when the attempt began, in the order of the attempts.
    """
    by_url: dict[str, list[TaskInfo]] = defaultdict(list)
    for task in tasks:
        by_url[task.url].append(task)
    busiest = sorted(by_url.items(), key=lambda entry: -len(entry[1]))
    lines = [f"  {url}: {_summary(attempted)}" for url, attempted in busiest[:_SHOWN]]
    if len(busiest) > _SHOWN:
        lines.append(f"  and {len(busiest) - _SHOWN} more URLs")
    return RunawayError(
        f"stopped after {_count(len(tasks), 'attempt')}, and tasks still wait:\n"
        + "\n".join(lines)
        + "\nA handler that adds a task for itself needs an end to it; a task that always fails needs"
        + "\na task_retry_limit. If so many tasks are meant, run again: the queue goes on where it\nstopped."
    )


def _summary(attempted: list[TaskInfo]) -> str:
    last = attempted[-1]
    names = {(task.queue, task.name) for task in attempted}
    which = f"of task {last.name!r}" if len(names) == 1 else f"of {len(names)} tasks, the last of them {last.name!r}"
    return f"{_count(len(attempted), 'attempt')} {which} on queue {last.queue!r}, retries {last.retries}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
