"""The checks of lesson 07, the capstone. Their scenarios are in scenarios07.py and votes07.py."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from urllib.parse import urlencode

from harness.appengine.taskqueue import Task
from harness.appengine.turns import Schedule
from harness.course.lessons.expectations import NO_COOKIE, expect_short_wait, own_instance
from harness.course.scenarios.scenarios07 import EARLIER, MEANWHILE, MINUTES, RATINGS, Minutes, Rating, Ratings
from harness.course.scenarios.votes07 import MEANWHILE_RANKED, VOTES, Votes
from harness.course.trial import SLIPS, Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Outcome, Response, TaskInfo

_MOST_TASKS = 10  # of an article in a minute
_MOST_ATTEMPTS = 60  # of a round of votes
_Ranking = tuple[int, list[str]]  # the number of votes, and the three best articles


def _elsewhere(trial: Trial, apart: bool) -> AbstractContextManager[None]:
    return own_instance(trial) if apart else nullcontext()


def _let_pass(trial: Trial, seconds: float) -> None:
    """Let time pass in which no task runs."""
    trial.lab._engine.clock.advance(seconds)


def _store(trial: Trial, table: str, stored: Sequence[tuple[str, int]]) -> None:
    """Store ratings with three stars each, or votes."""
    for place, (article, count) in enumerate(stored):
        columns, values = (", stars", ", 3") if table == "vote1" else ("", "")
        parts = {"columns": columns, "values": values, "first": place * 100_000}
        trial.lab.write("controllers/earlier.py", EARLIER.format(table=table, count=count, article=article, **parts))
        trial.lab.get("earlier/index")


def _expect_no_totals(trial: Trial, response: Response, totals: str) -> None:
    """Require that an action doesn't make its user wait, and writes no totals. It may prepare a row without votes."""
    expect_short_wait(trial, response, "waits")
    updates = _statements(response, rf"UPDATE {totals} SET .*(votes|stars)=")
    trial.expect(not updates, "foreground", f"the action ran {updates[:1]}", "only the worker writes totals")
    if not trial.lab.attempts and _statements(response, rf".*\b{totals}\b"):
        counted = [row for row in trial.rows(totals, "article", "votes", "stars") if row[1]]
        happened = f"before the task ran, {totals} contained {counted}"
        trial.expect(not counted, "foreground", happened, "only the worker writes totals")


def _expect_no_counting(trial: Trial, response: Response, votes: str) -> None:
    """Require that an action doesn't read all votes of an article."""
    reads = _statements(response, rf"SELECT (?!.* LIMIT ).*\b{votes}\b")
    happened = f"the action counted or read these rows: {''.join(reads[:1])[:90]}"
    trial.expect(not reads, "foreground", happened, "only the worker counts")


def _statements(response: Response, pattern: str) -> list[str]:
    """Return the statements of a request that begin with a pattern, without quotes."""
    statements = (" ".join(sql.replace('"', "").split()) for sql in response.sql)
    return [sql for sql in statements if re.match(pattern, sql, re.IGNORECASE)]


def _expect_stored(trial: Trial, table: str, fields: Sequence[str], right: Rows) -> None:
    """Require that each rating is still stored, once."""
    found = Counter(trial.rows(table, *fields))
    missing, more = Counter(right) - found, found - Counter(right)
    happened = f"{quantity(missing.total(), 'row')} of {table} disappeared or changed: {list(missing)[:3]}"
    trial.expect(not missing, "not-stored", happened, f"each rating stays in {table}, as its user gave it")
    happened = f"{table} contains rows that no user's request stored: {list(more)[:3]}"
    trial.expect(not more, "not-stored", happened, f"each rating is stored once in {table}")


def _turns(first: int, second: int = 12) -> str:
    """Return an order of turns: so many of the worker, so many of the other request, and then the others."""
    return "1" * first + "2" * second + "1" * 12 + "2" * 12


def _identities(trial: Trial) -> set[tuple[str, str, Any]]:
    return {task.identity for task in trial.lab.tasks()}


def _run_all(trial: Trial, dies_after: int | None = None, may_fail: bool = False, apart: bool = False) -> list[Attempt]:
    """Run all tasks; shut the instance of each task's first attempt down if `dies_after` is given."""
    done = len(trial.lab.attempts)
    while apart and trial.lab.tasks() and len(trial.lab.attempts) < done + 20:
        with own_instance(trial):
            _without_slip(trial, trial.step(may_fail=True))
    for _ in trial.lab.tasks() if dies_after is not None else ():
        trial.lab.step(kill_after=dies_after)
    trial.run(may_fail=may_fail or apart)
    attempts = list(trial.lab.attempts)[done:]
    for attempt in attempts:
        _without_slip(trial, attempt)
    return attempts


def _without_slip(trial: Trial, attempt: Attempt) -> Attempt:
    """Require that an attempt that may fail didn't end in an exception such as a NameError."""
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception in SLIPS:
        trial.failed(ticket)
    return attempt


def _gave_up(trial: Trial) -> bool:
    """Return whether a task was removed after an attempt that failed."""
    return any(attempt.outcome is Outcome.DROPPED for attempt in trial.lab.attempts)


# 7.1


def _count_ratings(trial: Trial, row: Ratings) -> None:
    _store(trial, "vote1", row.stored)
    ratings: list[Rating] = [(article, 3) for article, count in row.stored for _ in range(count)]
    untasked = set[str]()  # articles of which a rating added no task
    trial.lab.write("controllers/meanwhile.py", MEANWHILE)
    for number, batch in enumerate(row.rounds, 1):
        for article, stars in batch:
            _let_pass(trial, row.pause)
            waiting = _identities(trial)
            if row.early:
                _rate_early(trial, article, stars)
            else:
                _rate(trial, row, article, stars)
                untasked |= set() if _identities(trial) - waiting else {article}
            ratings.append((article, stars))
        if row.meanwhile is not None and trial.lab.tasks():
            trial.lab.overlap(trial.lab.tasks()[0], "meanwhile/index", order=_turns(*row.meanwhile))
            ratings.append(("ferry", 5))
        _run_all(trial, row.dies_after, row.may_fail, row.apart)
        trial.called = "; ".join(f"{quantity(len(each), 'rating')}, then all tasks" for each in row.rounds[:number])
        found = sorted(trial.rows("popular1", "article", "votes", "stars"), key=str)
        right = _totals(ratings)
        trial.expect_equal(found, right, _miscounted(trial, row, found, right, untasked), "popular1 contains")
    _expect_stored(trial, "vote1", ("article", "stars"), ratings)


def _rate(trial: Trial, row: Ratings, article: str, stars: int) -> None:
    with _elsewhere(trial, row.apart):
        response = trial.get("ex7_1/rate", article=article, stars=stars)
    _expect_no_totals(trial, response, "popular1")
    _expect_no_counting(trial, response, "vote1")


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
    if fewer and _gave_up(trial):
        return "retry-limit"
    if fewer & untasked:
        return "no-task"
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
            _without_slip(trial, attempt)
        ratings.append((article, stars))
        is_last = place + 1 == len(row.ratings)
        if is_last and (row.crosses or row.meanwhile is not None):
            _rate_meanwhile(trial, row, f"ex7_2/rate?{urlencode({'article': article, 'stars': stars})}")
            continue
        waiting, before = _identities(trial), trial.lab.now
        _rate_shared(trial, row, article, stars, overdue)
        new, removed = _identities(trial) - waiting, removed or bool(waiting - _identities(trial))
        owners |= dict.fromkeys(new, article)
        overdue |= {article: any(task.eta < before for task in trial.lab.tasks() if task.identity in new)} if new else {}
        now = trial.lab.now.timestamp()
        added += [(now, article)] * len(new)
        _expect_gathered(trial, row, article, [task for task in trial.lab.tasks() if owners[task.identity] == article])
        in_a_minute = sum(article == each and now - at < 60 for at, each in added)
        happened = f"within a minute, the ratings of {article!r} added {in_a_minute} tasks"
        trial.expect(in_a_minute <= _MOST_TASKS, "too-many", happened, f"at most {_MOST_TASKS}")
    _run_all(trial, row.dies_after, may_fail=row.dies_after is not None)
    trial.called = f"{quantity(len(ratings), 'rating')}, each after lab.advance(); then all tasks"
    _expect_stored(trial, "vote2", ("article", "stars"), ratings)
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
        response = trial.lab.overlap(trial.lab.tasks()[0], path, order=_turns(row.meanwhile)).second
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
    with _elsewhere(trial, row.apart):
        headers = NO_COOKIE if row.strangers else None
        response = trial.get("ex7_2/rate", headers=headers, article=article, stars=stars)
    _expect_no_totals(trial, response, "popular2")
    happened = "after this rating no task waits, so no task will count it"
    key = ("past-eta" if overdue[article] else "name-used") if article in overdue else "no-task"
    trial.expect(trial.lab.tasks(), key, happened, "a task that waits")
    _expect_no_counting(trial, response, "vote2")


def _expect_gathered(trial: Trial, row: Minutes, article: str, tasks: list[TaskInfo]) -> None:
    fresh = [task for task in tasks if task.first_try is None and task.eta >= trial.lab.now]  # the others are overdue
    late = [task for task in fresh if (task.eta - trial.lab.now).total_seconds() > 60.001]
    trial.expect(not late, "too-late", "a task is due more than a minute from now", "within a minute of the rating")
    trial.expect(len(fresh) <= 1, row.many, f"{len(fresh)} tasks are waiting for {article!r}", "at most one")


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
    if _gave_up(trial):
        return "retry-limit"
    if removed:
        return "removed"
    return row.missing


# 7.3


def _top_three(trial: Trial, row: Votes) -> None:
    trial.get("ex7_3/start")
    shown = _expect_shown(trial, row, [(0, [])], "the action `start` ended")
    _store(trial, "vote3", row.archive)
    votes = [article for article, count in row.archive for _ in range(count)]
    trial.lab.write("controllers/meanwhile.py", MEANWHILE_RANKED)
    for batch in row.ballots:
        untasked = False
        for article in batch:
            _let_pass(trial, row.gap)
            waiting = _identities(trial)
            _vote(trial, row, article, shown)
            votes.append(article)
            untasked |= not _identities(trial) - waiting
        shown = _rank(trial, row, votes, shown)
        right = _best(votes)
        key = "no-task" if untasked else "votes-missing" if shown[0][1] == right[1] else row.unranked
        key = "retry-limit" if _gave_up(trial) else key
        trial.expect_equal(shown, [right], key, "all tasks are done, and front3 contains")
    _expect_stored(trial, "vote3", ("article",), [(article,) for article in votes])


def _vote(trial: Trial, row: Votes, article: str, before: Rows) -> None:
    with _elsewhere(trial, row.apart):
        response = trial.get("ex7_3/vote", article=article)
    expect_short_wait(trial, response, "waits")
    if any("front3" in sql for sql in response.sql):
        shown = trial.rows("front3", "votes", "articles")
        happened = f"before the task ran, front3 changed from {before} to {shown}"
        trial.expect(shown == before, "foreground", happened, "only the worker changes front3")


def _rank(trial: Trial, row: Votes, votes: list[str], shown: Rows) -> Rows:
    """Run all tasks, and require a complete ranking after each attempt, which isn't older than the previous one."""
    for number in range(_MOST_ATTEMPTS + 1):
        if not trial.lab.tasks():
            break
        if number == _MOST_ATTEMPTS:
            last = trial.lab.attempts[-1]
            happened = f"after {number} attempts, tasks still wait. The last attempt ended with {last.status}"
            trial.wrong("adds-tasks" if last.ok else row.endless, happened, "success at each task's second attempt")
        before, earlier = shown, sum(count for _, count in row.archive)
        counts = {shown[0][0], *range(max(earlier, shown[0][0]), len(votes) + 1)}
        task = trial.lab.tasks()[0]
        trial.called = "lab.step()"
        if row.meanwhile is not None and task.retries == 1:
            trial.lab.overlap(task, "meanwhile/index", order=_turns(*row.meanwhile))
            votes.append("ferry")
            attempt, counts = trial.lab.attempts[-1], {len(votes)}  # the other instance ranks all votes
        else:
            with _elsewhere(trial, row.apart):
                attempt = trial.lab.step(kill_after=row.stops_after if task.retries == 1 else None)
        _without_slip(trial, attempt)
        touched = attempt.response.killed or any("front3" in sql for sql in attempt.response.sql)
        if attempt.task.retries == 0 and touched:
            shown = trial.rows("front3", "votes", "articles")
            happened = f"at a task's first attempt, the press isn't ready, and front3 changed from {before} to {shown}"
            rankings = [_best(votes)]
            key = "not-ready" if len(shown) == 1 and shown[0][1] else _misplaced(row, shown, rankings, votes)
            trial.expect(shown == before, key, happened, "front3 doesn't change")
        elif attempt.task.retries > 0:
            ended = "was shut down" if attempt.response.killed else f"ended with {attempt.status}"
            rankings = [_best(votes[:count]) for count in sorted(counts)]
            shown = _expect_shown(trial, row, rankings, f"an attempt {ended}", votes)
    return shown


def _expect_shown(trial: Trial, row: Votes, rankings: list[_Ranking], ended: str, votes: Sequence[str] = ()) -> Rows:
    """Require that front3 has one row, with one of these rankings, and return its rows."""
    shown = trial.rows("front3", "votes", "articles")
    expected = f"one row, {rankings[-1]}" + (f", or still {rankings[0]}" if len(rankings) > 1 else "")
    is_right = len(shown) == 1 and shown[0] in rankings
    key = None if is_right else _misplaced(row, shown, rankings, votes) if votes else "not-started"
    trial.expect(is_right, key, f"{ended}, and front3 contains {shown or 'no row'}", expected)
    return shown


def _misplaced(row: Votes, shown: Rows, rankings: Sequence[Any], votes: Sequence[str]) -> str:
    """Return the mistake by which the rows of the front page are none of these rankings."""
    if len(shown) > 1:
        return "two-rows"
    count, articles = (shown[0][0], shown[0][1] or []) if shown else (0, [])
    if not articles and not count:
        return row.blank
    if set(articles) - set(votes):
        return "renamed"
    if len(articles) > 3:
        return "too-long"
    known = [_best(list(votes)[:number]) for number in range(max(0, len(votes) - 20), len(votes) + 1)]
    if shown[0] in known:
        return "older"
    if any(count == each[0] and sorted(articles) == sorted(each[1]) for each in rankings):
        return row.misranked if row.misranked == "other-article" else "places"
    if len(articles) > 3:
        return "too-long"
    if count == rankings[-1][0] and row.misranked != "wrong-ranking":
        return row.misranked
    if not articles or any(articles == each[1] for each in (*known, *rankings)):
        return "votes"
    if count == rankings[-1][0] and set(articles) < set(rankings[-1][1]):
        return "mixed"
    return row.misranked


def _best(votes: list[str]) -> _Ranking:
    return len(votes), sorted(set(votes), key=lambda name: (-votes.count(name), name))[:3]


RUNS = {"7.1": (_count_ratings, RATINGS), "7.2": (_share_tasks, MINUTES), "7.3": (_top_three, VOTES)}
