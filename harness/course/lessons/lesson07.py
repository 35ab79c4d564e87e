"""The checks of lesson 07, the capstone, under seeded chaos. Their texts are in lesson07.toml."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from harness.course.lessons.expectations import expect_short_wait, own_instance, step_without_slip
from harness.course.trial import Trial
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
        raise HTTP(503, 'chaos')
"""
# This model stops the first two attempts of a task in the middle, as if the instance was shut down.
_STOPPED = """
def _stop(row):
    if int(request.env.http_x_appengine_taskretrycount or 9) < 2 and row.get('place') == {place}:
        raise RuntimeError('chaos: stopped in the middle')

db.top3._before_insert.append(_stop)
db.top3._before_update.append(lambda rows, row: _stop(row))
"""
_Places = list[tuple[int, str]]  # place and article, as on the front page


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
    if len(found) > len(right):
        key = "two-rows"
    elif votes < due:
        key = "too-little"
    trial.expect_equal(found, right, key, f"{table} contains")


def _right_whatever_comes(trial: Trial) -> None:
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


def _few_tasks(trial: Trial) -> None:
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
    fresh = [task for task in tasks if task.retries == 0 and task.first_try is None]
    trial.expect(len(fresh) <= 1, mistake, f"{len(fresh)} tasks are waiting for {article!r}", "at most one")
    late = [task for task in fresh if (task.eta - trial.lab.now).total_seconds() > 60]
    trial.expect(not late, "too-late", "a task is due more than a minute from now", "within a minute of the rating")


def _top_three(trial: Trial) -> None:
    votes = ["ferry", "chess", "choir", "ferry", "tides", "ferry", "chess", "tides", "tides", "tides", "choir", "choir"]
    rankings: list[_Places] = [[]]
    for number, article in enumerate(votes, 1):
        rankings.append(_best(votes[:number]))
        _vote(trial, article, rankings[-2:], quantity(number, "vote"))
    for place in (1, 2, 3):
        trial.lab.write("models/z_stopped.py", _STOPPED.format(place=place))
        votes.append(article := ("chess", "ferry", "choir")[place - 1])
        rankings.append(_best(votes))
        _vote(trial, article, rankings[-2:], f"a vote whose worker is stopped just before it writes place {place}")


def _best(votes: list[str]) -> _Places:
    return list(enumerate(sorted(set(votes), key=lambda name: (-votes.count(name), name))[:3], 1))


def _vote(trial: Trial, article: str, rankings: list[_Places], what: str) -> None:
    """Vote, and require that the front page shows one of two rankings after each attempt, and finally the second."""
    trial.get("ex7_3/vote", article=article)
    while trial.lab.tasks():
        attempt = step_without_slip(trial)
        trial.called = f"{what}, and an attempt that ended with {attempt.status}"
        shown = sorted(trial.rows("top3", "place", "article"))
        names = [sorted(name for _, name in ranking) for ranking in rankings]
        complete = sorted(str(name) for _, name in shown) in names
        mistake = "places" if complete else "mixed" if shown else "empty"
        expected = f"{rankings[0] or 'no row'} or {rankings[1]}"
        trial.expect(shown in rankings, mistake, f"top3 contains {shown or 'no row'}", expected)
        trial.expect(attempt.number <= 60, "never", "the tasks never end", "success at the second attempt")
    shown = sorted(trial.rows("top3", "place", "article"))
    trial.expect_equal(shown, rankings[1], "gives-up", "all tasks are done, and top3 contains")


RUNS = {"7.1": _right_whatever_comes, "7.2": _few_tasks, "7.3": _top_three}
