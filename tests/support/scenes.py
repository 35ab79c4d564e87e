"""Histories of tasks as records, for the figures: requests, waits, retries, and long runs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from harness.records import Attempt, Frame, Outcome, Request, Response, Route, TaskInfo, TaskState

NINE = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
_ENDS = {Outcome.DONE: TaskState.DONE, Outcome.DROPPED: TaskState.DROPPED, Outcome.DELETED: TaskState.DELETED}


def at(second: float) -> datetime:
    return NINE + timedelta(seconds=second)


class Try(NamedTuple):
    """An attempt: its start and its duration in seconds, its status, and the deadline that stopped it."""

    start: float
    takes: float = 0.0
    status: int = 200
    deadline: str | None = None


@dataclass
class Story:
    """Records that are added one by one; `records` returns what `harness.show.plots.timeline` takes."""

    responses: list[Response] = field(default_factory=list)
    tasks: list[TaskInfo] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def visit(self, function: str, start: float, takes: float = 0.0, status: int = 200) -> None:
        request, route = Request("GET", f"/tutorial/default/{function}?a=1"), Route("tutorial", "default", function)
        self.responses.append(Response(status, "", request=request, started=at(start), elapsed=takes, route=route))

    def task(
        self,
        name: str,
        added: float,
        tries: Sequence[Try] = (),
        *,
        queue: str = "default",
        eta: float | None = None,
        end: Outcome = Outcome.DONE,
        state: TaskState | None = None,
        due: float | None = None,
    ) -> None:
        """Add a task; `end` is the outcome of its last try, `due` the ETA after it when it is to be retried."""
        etas = [added if eta is None else eta, *(each.start for each in tries[1:])]
        origin = Frame("tutorial/controllers/default.py", 4, "gen_task", "taskqueue.add(url=URL('task_do'))")

        def info(eta: float, state: TaskState) -> TaskInfo:
            return TaskInfo(
                name, queue, "POST", "/tutorial/default/task_do", at(eta), at(added), state=state, call_site=origin
            )

        for place, each in enumerate(tries):
            last = place == len(tries) - 1
            retried = None if last and due is None else at(due or 0.0) if last else at(etas[place + 1])
            response = Response(each.status, "", elapsed=each.takes, deadline=each.deadline)
            outcome = Outcome.RETRY if retried else end
            task, request = info(etas[place], TaskState.RUNNING), Request("POST", "/tutorial/default/task_do")
            self.attempts.append(Attempt(place, task, request, response, at(each.start), outcome, retried))
        waiting = due is not None or not tries
        final = state or (TaskState.WAITING if waiting else _ENDS[end])
        self.tasks.append(info(etas[-1] if due is None else due, final))

    def records(self, now: float = 0.0) -> tuple[list[Response], list[TaskInfo], list[Attempt], datetime]:
        return self.responses, self.tasks, sorted(self.attempts, key=lambda attempt: attempt.started), at(now)


def backoff(number: int, takes: float = 0.0, start: float = 0.0) -> list[Try]:
    """Attempts with App Engine's default backoff; all but the last fail."""
    tries = []
    for place in range(number):
        tries.append(Try(start, takes, 200 if place == number - 1 else 500))
        start += takes + min(0.1 * 2**place, 3600)
    return tries


def seed_example() -> Story:
    story = Story()
    story.visit("slow", 0, 3)
    story.visit("gen_task", 3)
    story.visit("index", 3)
    story.task("task1", 3, [Try(3, 3)])
    return story


def one_instant() -> Story:
    story = Story()
    story.visit("gen_task", 0)
    story.task("task1", 0, [Try(0)])
    return story


def retries(number: int) -> Story:
    story = Story()
    story.visit("gen_task", 0)
    story.task("task1", 0, backoff(number))
    return story


def everything() -> Story:
    """Each mark of the legend once, seconds, minutes and an hour apart."""
    story = Story()
    story.visit("gen_task", 0, 0.3)
    story.visit("index", 2, 0.1)
    story.visit("broken", 4, 0.1, 500)
    story.visit("gen_task", 5, 0.3)
    story.task("task1", 0.3, backoff(3, 0.4, 0.3))
    story.task("reminder-for-the-whole-shop", 0.3, [Try(3600.3, 1)], eta=3600.3)
    story.task("task2", 5.3, [Try(5.3, 600, 0, "virtual"), Try(605.4, 2)])
    story.task("task3", 5.3, [Try(6, 0.1, 500)], end=Outcome.DROPPED)
    story.task("task4", 5.3, state=TaskState.DELETED, eta=50)
    story.task("mail1", 5.3, [Try(7, 0.5)], queue="mail", eta=6)
    return story


def burst(number: int) -> Story:
    """One visit adds many tasks; the bucket lets five go at once, then five a second."""
    story = Story()
    story.visit("gen_task", 0)
    for place in range(number):
        story.task(f"task{place + 1}", 0, [Try(max(0.0, (place - 4) * 0.2))])
    return story


def crowd(number: int, queues: Iterable[str] = ("default", "mail", "stats"), seed: int = 1) -> Story:
    """Thirty visits add many tasks; some fail, some are dropped, some still wait."""
    story, rest, names = Story(), random.Random(seed), list(queues)
    for place in range(30):
        story.visit("gen_task", place * 0.4, 0.05)
    for place in range(number):
        added, takes = min(place, 29) * 0.4 + 0.05, round(rest.uniform(0.2, 2.5), 2)
        start = max(added, place // 5)
        again = start + takes + 0.1
        name, queue = f"task{place + 1}", names[place % len(names)]
        failed, chance = Try(start, takes, 500), rest.random()
        if chance < 0.75:
            story.task(name, added, [Try(start, takes)], queue=queue)
        elif chance < 0.9:
            story.task(name, added, [failed, Try(again, takes)], queue=queue)
        elif chance < 0.95:
            story.task(name, added, [failed], queue=queue, end=Outcome.DROPPED)
        else:
            story.task(name, added, [failed], queue=queue, due=again)
    return story


def long_title() -> Story:
    """Tasks in each of their states, and so many that the title takes two lines."""
    story = crowd(1000)
    for _ in range(1200):
        story.visit("index", 100)
    story.task("running", 100, state=TaskState.RUNNING)
    story.task("deleted", 100, state=TaskState.DELETED)
    return story
