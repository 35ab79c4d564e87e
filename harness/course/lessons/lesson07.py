"""The checks of lesson 07, the capstone, under seeded chaos. Their texts are in lesson07.toml."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import REFUSES_ONCE, expect_short_wait, own_instance, step_without_slip
from harness.course.trial import CAP, Rows, Trial
from harness.errors import quantity

_SEEDS = (1, 2, 3)
_WEEK = 7 * 24 * 3600  # seconds; the queue keeps a name for nine days
_ARTICLES = ("ferry", "chess", "harbour")
# A model runs before each action. This one lets a third of the tasks fail once, before they begin.
_CHAOS = """
_retries = request.env.http_x_appengine_taskretrycount
if _retries is not None:
    _name = request.env.http_x_appengine_taskname
    if int(_retries) < sum(map(ord, _name)) % 3 - 1:
        raise HTTP(500, 'chaos')
"""
# A controller of another instance, which stores a rating and counts it, as the solution of 7.1 does.
_MEANWHILE = """
def index():
    article, table = request.vars.article, db[request.vars.table]
    db[request.vars.ratings].insert(article=article, stars=request.vars.stars)
    db.commit()
    stars = [row.stars for row in db(db[request.vars.ratings].article == article).select()]
    try:
        table.insert(article=article, votes=len(stars), stars=sum(stars))
    except Exception:
        db.rollback()
        db((table.article == article) & (table.votes < len(stars))).update(votes=len(stars), stars=sum(stars))
"""
_MEANWHILE_RANKED = """
def index():
    db.vote3.insert(article=request.vars.article)
    db.commit()
    rows = db(db.vote3).select()
    db(db.front3.votes < len(rows)).update(votes=len(rows), articles=best(rows))
"""
# This model makes each write to front3 permanent at once, as a database without transactions does.
_PERMANENT = """
for _after in (db.front3._after_insert, db.front3._after_update, db.front3._after_delete):
    _after.append(lambda *_: db.commit())
"""
# This model stops the first two attempts of a task after a write to front3, as if the instance was shut down.
_STOPPED = """
_writes = []

def _stop(*_):
    _writes.append(1)
    if int(request.env.http_x_appengine_taskretrycount or 9) < 2 and len(_writes) == {writes}:
        raise RuntimeError('chaos: stopped in the middle')

for _after in (db.front3._after_insert, db.front3._after_update, db.front3._after_delete):
    _after.append(_stop)
"""
_TURNS = "2" * 12  # more than the request of the other instance takes
_Ranking = tuple[int, list[str]]  # the number of votes, and the three best articles


@contextmanager
def _chaos(trial: Trial, seed: int) -> Iterator[Trial]:
    """Yield a trial in which tasks are delivered twice, fail at first, and run in any order."""
    with trial.again(seed=seed, shuffle=True, duplicates=0.3) as unlucky:
        unlucky.lab.write("models/a_chaos.py", _CHAOS)
        yield unlucky


def _rate(trial: Trial, path: str, article: str, stars: int, truth: dict[str, list[int]]) -> None:
    response = trial.get(path, article=article, stars=stars)
    truth.setdefault(article, []).append(stars)
    expect_short_wait(trial, response, "waits")


def _expect_popular(trial: Trial, table: str, truth: dict[str, list[int]], what: str) -> None:
    trial.called = what
    found = sorted(trial.rows(table, "article", "votes", "stars"))
    right = sorted((article, len(stars), sum(stars)) for article, stars in truth.items())
    votes, due = sum(row[1] or 0 for row in found), sum(row[1] for row in right)
    key = trial.if_known("too-much") if votes > due else trial.if_known("wrong-sum")
    if votes < due:
        key = "too-little"
    elif len(found) > len(right):
        key = "two-rows"
    trial.expect_equal(found, right, key, f"{table} contains")


def _right_whatever_comes(trial: Trial, row: Scenario) -> None:
    for seed in _SEEDS:
        with _chaos(trial, seed) as unlucky:
            random, truth = Random(seed), dict[str, list[int]]()
            for _ in range(20):
                _rate(unlucky, "ex7_1/rate", random.choice(_ARTICLES), random.randint(1, 5), truth)
            counted = unlucky.rows("popular1", "article", "votes", "stars")
            unlucky.expect_equal(counted, [], "waits", "before any worker could count, popular1 contains")
            unlucky.run()
            _expect_popular(unlucky, "popular1", truth, f"20 ratings, with their tasks under chaos (seed {seed})")
            for article in _ARTICLES:
                _rate(unlucky, "ex7_1/rate", article, random.randint(1, 5), truth)
            unlucky.run()
            _expect_popular(unlucky, "popular1", truth, "20 ratings and, after they were counted, three more")
    for turns in (1, 2, 3, 4):
        _count_together(trial, turns)
    with trial.again() as refusing:
        refusing.lab.write("models/z_refusing.py", REFUSES_ONCE.format(table="popular1"))
        refusing.get("ex7_1/rate", article="ferry", stars=4)
        refusing.run(may_fail=True)
        refusing.called = "a rating whose first count fails, because the database is locked"
        found = refusing.rows("popular1", "article", "votes", "stars")
        refusing.expect_equal(found, [("ferry", 1, 4)], "swallowed", "after all attempts, popular1 contains")


def _count_together(trial: Trial, turns: int) -> None:
    """Let another instance store a rating and count, after the worker has taken so many turns."""
    with trial.again() as other:
        other.lab.write("controllers/meanwhile.py", _MEANWHILE)
        truth = dict[str, list[int]]()
        for stars in (4, 2):  # first there is no row, and then there is one
            _rate(other, "ex7_1/rate", "ferry", stars, truth)
            _overlap(other, "meanwhile/index?ratings=vote1&table=popular1&article=ferry&stars=5", turns)
            truth["ferry"].append(5)
            found = other.rows("popular1", "article", "votes", "stars")
            right = [("ferry", len(truth["ferry"]), sum(truth["ferry"]))]
            other.expect_equal(found, right, "older", "popular1 contains")


def _overlap(trial: Trial, path: str, turns: int) -> None:
    """Let a worker and a request on another instance overlap, and run the other tasks; any of them may fail at first.

    The worker takes so many turns, then the request takes all of its turns, and then the worker goes on.
    """
    trial.lab.overlap(trial.lab.tasks()[0], path, order="1" * turns + _TURNS)
    for _ in range(CAP):
        if not trial.lab.tasks():
            break
        step_without_slip(trial)
    trial.called = f"your worker takes {quantity(turns, 'turn')}; then another instance stores a rating and counts"


def _few_tasks(trial: Trial, row: Scenario) -> None:
    for seed in _SEEDS[:2]:
        with _chaos(trial, seed) as unlucky:
            random, truth = Random(seed), dict[str, list[int]]()
            for number in range(30):
                article = random.choice(_ARTICLES[:2])
                _rate(unlucky, "ex7_2/rate", article, random.randint(1, 5), truth)
                _expect_gathered(unlucky, article)
                unlucky.lab.advance(seconds=1 if number < 20 else 25)
            unlucky.run()
            _expect_popular(unlucky, "popular2", truth, f"30 ratings in five minutes, under chaos (seed {seed})")
            ratings = [(4, "chess", _until_next_minute(unlucky) + 10), (5, "ferry", 1), (1, "ferry", 20)]
            for stars, article, later in ratings:
                unlucky.lab.advance(seconds=later)
                _rate(unlucky, "ex7_2/rate", article, stars, truth)
            rated = unlucky.lab.now
            unlucky.run()
            _expect_popular(unlucky, "popular2", truth, "three more ratings within half a minute, much later")
            unlucky.lab.advance(seconds=_WEEK - (unlucky.lab.now - rated).total_seconds())
            with own_instance(unlucky):
                _rate(unlucky, "ex7_2/rate", "ferry", 2, truth)
            _rate(unlucky, "ex7_2/rate", "ferry", 3, truth)
            _expect_gathered(unlucky, "ferry", "own-memory")
            unlucky.run()
            _expect_popular(unlucky, "popular2", truth, "two more ratings in the same minute of the week, a week later")


def _until_next_minute(trial: Trial) -> float:
    """Return the seconds until the beginning of a minute, more than five minutes from now."""
    return 360 - trial.lab.now.timestamp() % 60


def _expect_gathered(trial: Trial, article: str, mistake: str = "many-tasks") -> None:
    tasks: list[Any] = [task for task in trial.lab.tasks() if f"article={article}" in f"{task.url} {task.text}&"]
    waiting = [task for task in tasks if task.eta >= trial.lab.now]  # the others are overdue
    fresh = [task for task in waiting if task.retries == 0 and task.first_try is None]
    trial.expect(len(fresh) <= 1, mistake, f"{len(fresh)} tasks are waiting for {article!r}", "at most one")
    late = [task for task in fresh if (task.eta - trial.lab.now).total_seconds() > 60]
    trial.expect(not late, "too-late", "a task is due more than a minute from now", "within a minute of the rating")


def _top_three(trial: Trial, row: Scenario) -> None:
    _rank_votes(trial, empty="empty")
    with trial.again() as permanent:
        permanent.lab.write("models/y_permanent.py", _PERMANENT)
        _rank_votes(permanent, empty="rolled-back")
    for turns in (1, 2, 3):
        _rank_together(trial, turns)


def _rank_together(trial: Trial, turns: int) -> None:
    """Let another instance store a vote and rank, after the worker has taken so many turns."""
    with trial.again() as other:
        other.lab.write("controllers/meanwhile.py", _MEANWHILE_RANKED)
        other.get("ex7_3/start")
        other.get("ex7_3/vote", article="tides")
        step_without_slip(other)  # the press isn't ready
        if other.lab.tasks():
            _overlap(other, "meanwhile/index?article=ferry", turns)
            shown = other.rows("front3", "votes", "articles")
            other.expect_equal(shown, [_best(["tides", "ferry"])], "older", "front3 contains")


def _rank_votes(trial: Trial, empty: str) -> None:
    """Require a right front page after each attempt; `empty` is the mistake if a ranking disappears."""
    trial.get("ex7_3/start")
    votes = ["ferry", "chess", "choir", "ferry", "tides", "ferry", "chess", "tides", "tides", "tides", "choir", "choir"]
    rankings: list[_Ranking] = [(0, [])]
    for number, article in enumerate(votes, 1):
        rankings.append(_best(votes[:number]))
        _vote(trial, article, rankings[-2:], quantity(number, "vote"), empty)
    for writes, article in enumerate(("chess", "ferry", "choir"), 1):
        trial.lab.write("models/z_stopped.py", _STOPPED.format(writes=writes))
        votes.append(article)
        rankings.append(_best(votes))
        what = f"a vote whose worker is stopped just after its {('first', 'second', 'third')[writes - 1]} write"
        _vote(trial, article, rankings[-2:], what, empty)


def _best(votes: list[str]) -> _Ranking:
    return len(votes), sorted(set(votes), key=lambda name: (-votes.count(name), name))[:3]


def _vote(trial: Trial, article: str, rankings: list[_Ranking], what: str, empty: str) -> None:
    """Vote, and require that the front page shows one of two rankings after each attempt, and finally the second."""
    trial.get("ex7_3/vote", article=article)
    ready = False
    while trial.lab.tasks():
        attempt = step_without_slip(trial)
        trial.called = f"{what}, and an attempt that ended with {attempt.status}"
        shown = trial.rows("front3", "votes", "articles")
        expected = f"one row, {rankings[0]} or {rankings[1]}"
        found = f"front3 contains {shown or 'no row'}"
        trial.expect(len(shown) == 1 and shown[0] in rankings, _misplaced(shown, rankings, empty), found, expected)
        found = f"the press wasn't ready, and front3 contains {shown}"
        trial.expect(ready or shown == rankings[:1], "not-ready", found, f"{rankings[:1]}, as before the vote")
        ready = True
        trial.expect(attempt.number <= 60, "never", "the tasks never end", "success at the second attempt")
    shown = trial.rows("front3", "votes", "articles")
    trial.expect_equal(shown, rankings[1:], "gives-up", "all tasks are done, and front3 contains")


def _misplaced(shown: Rows, rankings: list[_Ranking], empty: str) -> str:
    """Return the mistake by which the rows of the front page are neither the old ranking nor the new one."""
    if len(shown) > 1:
        return "two-rows"
    votes, articles = shown[0] if shown else (0, [])
    if not articles:
        return empty
    (_, old), (count, new) = rankings
    if votes == count and sorted(articles) == sorted(new):
        return "places"
    return "votes" if articles in (old, new) else "mixed"


RUNS = {
    "7.1": (_right_whatever_comes, (Scenario(),)),
    "7.2": (_few_tasks, (Scenario(),)),
    "7.3": (_top_three, (Scenario(),)),
}
