"""The check of exercise 7.3, the front page's three. Its scenarios are in votes07.py."""

from collections.abc import Sequence
from typing import Any

from harness.course.checks.expectations import expect_short_wait, instance, let_pass
from harness.course.scenarios.chaos07 import (
    expect_stored,
    gave_up,
    identities,
    store,
    turns_of,
    without_slip,
)
from harness.course.scenarios.votes07 import MEANWHILE_RANKED, Votes
from harness.course.trial import Rows, Trial
from harness.show.text import shorten

_MOST_ATTEMPTS = 60  # of a round of votes
_Ranking = tuple[int, list[str]]  # the number of votes, and the three best articles


def top_three(trial: Trial, row: Votes) -> None:
    trial.get("ex7_3/start")
    shown = _expect_shown(trial, row, [(0, [])], "the action `start` ended")
    store(trial, "vote3", row.archive)
    votes = [article for article, count in row.archive for _ in range(count)]
    trial.lab.write("controllers/meanwhile.py", MEANWHILE_RANKED)
    for batch in row.ballots:
        untasked = False
        for article in batch:
            let_pass(trial, row.gap)
            waiting = identities(trial)
            _vote(trial, row, article, shown)
            votes.append(article)
            untasked |= not identities(trial) - waiting
        shown = _rank(trial, row, votes, shown)
        right = _best(votes)
        key = "votes-missing" if shown[0][1] == right[1] else row.unranked
        if key == "gives-up" and not any(each.ok and each.task.retries == 0 for each in trial.lab.attempts):
            key = "not-written"
        if untasked:
            key = "no-task" if trial.lab.attempts else "never-added"
        key = "retry-limit" if gave_up(trial) else key
        trial.expect_equal(shown, [right], key, "all tasks have ended, and front3 contains")
    expect_stored(trial, "vote3", ("article",), [(article,) for article in votes])


def _vote(trial: Trial, row: Votes, article: str, before: Rows) -> None:
    with instance(trial, row.apart):
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
            ticket = last.response.ticket
            raised = f": {ticket.exception}: {shorten(ticket.message, 80)}, at {ticket.where}" if ticket else ""
            happened = f"after {number} attempts, tasks still wait. The last attempt ended with {last.status}{raised}"
            trial.wrong("adds-tasks" if last.ok else row.endless, happened, "each task succeeds at its second attempt")
        before, earlier = shown, sum(count for _, count in row.archive)
        counts = {shown[0][0], *range(max(earlier, shown[0][0]), len(votes) + 1)}
        task = trial.lab.tasks()[0]
        trial.called = "lab.step()"
        if row.meanwhile is not None and task.retries == 1:
            trial.lab.overlap(task, "meanwhile/index", order=turns_of(*row.meanwhile))
            votes.append("ferry")
            attempt, counts = trial.lab.attempts[-1], {len(votes)}  # the other instance ranks all votes
        else:
            with instance(trial, row.apart):
                attempt = trial.lab.step(kill_after=row.stops_after if task.retries == 1 else None)
        without_slip(trial, attempt)
        touched = attempt.response.killed or any("front3" in sql for sql in attempt.response.sql)
        if attempt.task.retries == 0 and touched:
            shown = trial.rows("front3", "votes", "articles")
            happened = f"the press wasn't ready at a task's first attempt, but front3 changed from {before} to {shown}"
            rankings = [_best(votes)]
            key = "not-ready" if len(shown) == 1 and shown[0][1] else _misplaced(row, shown, rankings, votes)
            trial.expect(shown == before, key, happened, "front3 doesn't change")
        elif attempt.task.retries > 0:
            ended = (
                "ended when its instance was shut down" if attempt.response.killed else f"ended with {attempt.status}"
            )
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
