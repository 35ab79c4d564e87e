"""The checks of lesson 07, the capstone. Their scenarios are in scenarios07.py; the check of 7.3 is in front07.py."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from harness.appengine.taskqueue import Task
from harness.appengine.turns import Schedule
from harness.course.checks.expectations import NO_COOKIE, instance, let_pass
from harness.course.checks.front07 import top_three
from harness.course.scenarios.chaos07 import (
    expect_no_counting,
    expect_no_totals,
    expect_stored,
    gave_up,
    identities,
    run_all,
    store,
    turns_of,
    without_slip,
)
from harness.course.scenarios.scenarios07 import MEANWHILE, MINUTES, RATINGS, Minutes, Rating, Ratings
from harness.course.scenarios.votes07 import VOTES
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Response, TaskInfo

_MOST_TASKS = 10  # of an article in a minute


# 7.1


def _count_ratings(trial: Trial, row: Ratings) -> None:
    store(trial, "vote1", row.stored)
    ratings: list[Rating] = [(article, 3) for article, count in row.stored for _ in range(count)]
    untasked = set[str]()  # articles of which a rating added no task
    trial.lab.write("controllers/meanwhile.py", MEANWHILE)
    for number, batch in enumerate(row.rounds, 1):
        for article, stars in batch:
            let_pass(trial, row.pause)
            waiting = identities(trial)
            if row.early:
                _rate_early(trial, article, stars)
            else:
                _rate(trial, row, article, stars)
                untasked |= set() if identities(trial) - waiting else {article}
            ratings.append((article, stars))
        if row.meanwhile is not None and trial.lab.tasks():
            trial.lab.overlap(trial.lab.tasks()[0], "meanwhile/index", order=turns_of(*row.meanwhile))
            ratings.append(("ferry", 5))
        run_all(trial, row.dies_after, row.may_fail, row.apart)
        trial.called = "; ".join(f"{quantity(len(each), 'rating')}, then all tasks" for each in row.rounds[:number])
        found = sorted(trial.rows("popular1", "article", "votes", "stars"), key=str)
        right = _totals(ratings)
        trial.expect_equal(found, right, _miscounted(trial, row, found, right, untasked), "popular1 contains")
    expect_stored(trial, "vote1", ("article", "stars"), ratings)


def _rate(trial: Trial, row: Ratings, article: str, stars: int) -> None:
    with instance(trial, row.apart):
        response = trial.get("ex7_1/rate", article=article, stars=stars)
    expect_no_totals(trial, response, "popular1")
    expect_no_counting(trial, response, "vote1")


def _rate_early(trial: Trial, article: str, stars: int) -> None:
    """Rate; the task starts as soon as it is added, and ends before the action continues."""
    path = f"ex7_1/rate?{urlencode({'article': article, 'stars': stars})}"
    trial.called = f"as a user: GET /{path}"
    response = trial.lab.overlap(path, order="2").first
    assert isinstance(response, Response)
    if response.ticket is not None:
        trial.failed(response.ticket)


def _totals(ratings: Sequence[Rating]) -> Rows:
    articles = {article for article, _ in ratings}
    stars = {article: [stars for each, stars in ratings if each == article] for article in articles}
    return sorted(((article, len(each), sum(each)) for article, each in stars.items()), key=str)


def _miscounted(trial: Trial, row: Ratings, found: Rows, right: Rows, untasked: set[str]) -> str:
    """Return the mistake by which the totals differ from the right ones."""
    votes = {article: count or 0 for article, count, _ in found}
    due = {article: count for article, count, _ in right}
    fewer = {article for article, count in due.items() if votes.get(article, 0) < count}
    more = {article for article, count in due.items() if votes.get(article, 0) > count}
    if None in votes:
        return "no-article"
    if set(votes) - set(due):
        return "renamed"
    if len(found) > len(votes):
        return "two-rows"
    if found != right and sorted(((name, stars, count) for name, count, stars in found), key=str) == right:
        return "exchanged"
    if fewer and gave_up(trial):
        return "retry-limit"
    if fewer & untasked:
        return "no-task" if trial.lab.attempts else "never-added"
    if not row.what and len(due) > 1 and any(votes[article] == sum(due.values()) for article in more):
        return "all-articles"
    if fewer and not row.what and not fewer & set(votes):
        return "no-row"
    if fewer and not row.what and [each[::2] for each in found] == [each[::2] for each in right]:
        return "wrong-votes"
    if fewer:
        return row.lost
    return row.extra if more else row.sums


# 7.2


def _share_tasks(trial: Trial, row: Minutes) -> None:
    ratings = list[Rating]()
    owners = dict[tuple[str, str, Any], str]()  # the article whose rating added a task
    added = list[tuple[float, str]]()
    removed = False  # whether a request removed a task that waited
    overdue = dict[str, bool]()  # whether the last task of an article was due before its rating
    for place, (later, article, stars) in enumerate(row.ratings):
        trial.called = "lab.advance()"
        trial.lab.advance(later)
        attempts = list(trial.lab.attempts)
        for attempt in attempts:
            without_slip(trial, attempt)
        ratings.append((article, stars))
        is_last = place + 1 == len(row.ratings)
        if is_last and (row.crosses or row.meanwhile is not None):
            _rate_meanwhile(trial, row, f"ex7_2/rate?{urlencode({'article': article, 'stars': stars})}")
            continue
        waiting, before = identities(trial), trial.lab.now
        _rate_shared(trial, row, article, stars, overdue)
        new, removed = identities(trial) - waiting, removed or bool(waiting - identities(trial))
        owners |= dict.fromkeys(new, article)
        if new:
            overdue[article] = any(task.eta < before for task in trial.lab.tasks() if task.identity in new)
        now = trial.lab.now.timestamp()
        added += [(now, article)] * len(new)
        _expect_gathered(trial, row, article, [task for task in trial.lab.tasks() if owners[task.identity] == article])
        in_a_minute = sum(article == each and now - at < 60 for at, each in added)
        happened = f"within a minute, the ratings of {article!r} added {in_a_minute} tasks"
        trial.expect(in_a_minute <= _MOST_TASKS, "too-many", happened, f"at most {_MOST_TASKS} tasks")
    if not row.what:
        _expect_address(trial)
    run_all(trial, row.dies_after, may_fail=row.dies_after is not None)
    trial.called = f"{quantity(len(ratings), 'rating')}, each after lab.advance(); then all tasks"
    expect_stored(trial, "vote2", ("article", "stars"), ratings)
    found = sorted(trial.rows("popular2", "article", "votes", "stars"), key=str)
    right = _totals(ratings)
    trial.expect_equal(found, right, _overlooked(trial, row, found, right, removed), "popular2 contains")


def _rate_meanwhile(trial: Trial, row: Minutes, path: str) -> None:
    """Rate while the article's worker runs."""
    trial.called = f"as a user, while the worker runs: GET /{path}"
    engine = trial.lab._engine
    response: Attempt | Response | None
    if not trial.lab.tasks():
        response = trial.lab.get(path)
    elif row.meanwhile is not None:
        response = trial.lab.overlap(trial.lab.tasks()[0], path, order=turns_of(row.meanwhile)).second
    else:
        task, request = engine.waiting(None)[0], engine.user_client.request("GET", path)
        started = list[Task]()

        def due() -> Task | None:
            started.extend([task] if task.eta <= engine.clock.timestamp else [])
            return started[0] if started else None

        deliver = partial(engine.dispatcher.deliver, [request], due, Schedule(order="2"))
        response = engine.work(deliver, lambda: None)[0]
    assert isinstance(response, Response)
    if response.ticket is not None:
        trial.failed(response.ticket)


def _rate_shared(trial: Trial, row: Minutes, article: str, stars: int, overdue: Mapping[str, bool]) -> None:
    with instance(trial, row.apart):
        headers = NO_COOKIE if row.strangers else None
        response = trial.get("ex7_2/rate", headers=headers, article=article, stars=stars)
    expect_no_totals(trial, response, "popular2")
    happened = "after this rating, no task waits, so no task will count the rating"
    key = ("past-eta" if overdue[article] else "name-used") if article in overdue else "never-added"
    trial.expect(trial.lab.tasks(), key, happened, "at least one task waits")
    expect_no_counting(trial, response, "vote2")


def _expect_address(trial: Trial) -> None:
    """Run the next task, and require that web2py finds an action at its address."""
    attempt = trial.step(may_fail=True) if trial.lab.tasks() else None
    if attempt is not None and (attempt.response.hint or attempt.request.url.startswith("/_ah/")):
        trial.succeed(attempt, "wrong-address")


def _expect_gathered(trial: Trial, row: Minutes, article: str, tasks: list[TaskInfo]) -> None:
    fresh = [task for task in tasks if task.first_try is None and task.eta >= trial.lab.now]  # the others are overdue
    late = [task for task in fresh if (task.eta - trial.lab.now).total_seconds() > 60.001]
    trial.expect(not late, "too-late", "a task is due more than a minute from now", "it is due within a minute")
    trial.expect(len(fresh) <= 1, row.many, f"{len(fresh)} tasks are waiting for {article!r}", "at most one task waits")


def _overlooked(trial: Trial, row: Minutes, found: Rows, right: Rows, removed: bool) -> str:
    """Return the mistake by which the totals of 7.2 differ from the right ones."""
    votes = {article: count or 0 for article, count, _ in found}
    if None in votes:
        return "no-article"
    if set(votes) - {article for article, _, _ in right}:
        return "renamed"
    if any(votes.get(article, 0) > count for article, count, _ in right):
        return "too-much"
    if sorted(each[:2] for each in found) == sorted(each[:2] for each in right):
        return "wrong-sum"
    if gave_up(trial):
        return "retry-limit"
    if removed:
        return "removed"
    return row.missing


RUNS = {"7.1": (_count_ratings, RATINGS), "7.2": (_share_tasks, MINUTES), "7.3": (top_three, VOTES)}
