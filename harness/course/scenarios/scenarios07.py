"""The scenarios of exercises 7.1 and 7.2: their rows, and the models that they use."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario

_DAY = 24 * 3600.0  # seconds
Rating = tuple[str, int]  # an article, and its stars

# A model runs before each action. This one lets the first attempts of each task fail before the worker begins.
_FAILS = """
if int(request.env.http_x_appengine_taskretrycount or 9) < {attempts}:
    raise HTTP(500, 'chaos')
"""
# This one lets a write of a task's first attempt fail, as if the database was locked.
REFUSES = """
def _refuse(*_):
    if int(request.env.http_x_appengine_taskretrycount or 9) < 1:
        raise RuntimeError('the database is locked')

db.{table}._before_{write}.append(_refuse)
"""
# This one lets an action wait for the database, from the end of a minute until after the beginning of the next.
_SLOW = """
import time
if request.env.http_x_appengine_taskname is None and time.time() % 60 > 57:
    db.vote2._before_insert.append(lambda *_: time.sleep(5))
"""
# A controller that stores the ratings or votes of earlier users, with gaps between their ids.
EARLIER = """
def index():
    numbers = 'WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})'
    db.executesql(numbers + 'INSERT INTO {table}(id, article{columns}) SELECT {first} + n * 60, ?{values} FROM numbers',
                  ({article!r},))
"""
# A controller of another instance, which stores a rating and counts it, as the solution of 7.1 does.
MEANWHILE = """
def index():
    db.vote1.insert(article='ferry', stars=5)
    db.commit()
    stars = [row.stars for row in db(db.vote1.article == 'ferry').select()]
    try:
        db.popular1.insert(article='ferry', votes=len(stars), stars=sum(stars))
    except Exception:
        db.rollback()
        older = (db.popular1.votes == None) | (db.popular1.votes < len(stars))
        db((db.popular1.article == 'ferry') & older).update(votes=len(stars), stars=sum(stars))
"""
LONG = "the-most-beautiful-lighthouse-of-the-northern-coast-"  # more than 50 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings(Scenario):
    """A row of 7.1. The mistakes are the diagnoses if nothing more specific explains a wrong table.

    Args:
        rounds: the ratings. The tasks run after each round.
        stored: articles and how many ratings of each exist already, with gaps between their ids.
        pause: the seconds before each rating, in which no task runs.
        apart: whether each request and each attempt runs on an instance of its own.
        early: whether a task that is due starts while its action still runs.
        dies_after: the turns after which the instance of each task's first attempt is shut down.
        meanwhile: the turns that a worker takes before another instance stores a rating and counts, once a round; and
            the turns that the other instance takes before the worker continues.
        may_fail: whether an exception in a worker is allowed, because the scenario causes one.
        lost: the mistake if ratings are missing.
        extra: the mistake if the table counts too many ratings.
        sums: the mistake if only the sum of the stars is wrong.
    """

    rounds: tuple[tuple[Rating, ...], ...]
    stored: tuple[tuple[str, int], ...] = ()
    pause: float = 1.2
    apart: bool = False
    early: bool = False
    dies_after: int | None = None
    meanwhile: tuple[int, int] | None = None
    may_fail: bool = False
    lost: str = "too-little"
    extra: str = "too-much"
    sums: str = "wrong-sum"


def _dies(turns: int) -> Ratings:
    when = f"after {turns} turn{'s' * (turns > 1)}"
    return Ratings(
        what=f"the instance of each task's first attempt is shut down {when}",
        patterns=frozenset({Pattern.DEATH}),
        rounds=((("ferry", 4), ("ferry", 2)), (("ferry", 5),)),
        dies_after=turns,
        may_fail=True,
        lost="lost-at-death",
        extra="adds",
        sums="lost-at-death",
    )


def _meanwhile(turns: int, others: int) -> Ratings:
    after = f"after {turns} turn{'s' * (turns > 1)} of your worker, another instance stores a rating"
    return Ratings(
        what=f"{after} and saves its totals"
        if others > 2
        else f"{after}, and saves its totals after your worker has ended",
        patterns=frozenset({Pattern.KEYS}),
        rounds=((("ferry", 4),), (("ferry", 2),)),  # first the article has no row, and then it has one
        meanwhile=(turns, others),
        may_fail=True,
        lost="older",
        extra="counted-already",
        sums="older" if others > 2 else "two-moments",
    )


RATINGS = (
    Ratings(rounds=((("ferry", 4),), (("ferry", 2),), (("chess", 5),))),
    Ratings(
        what="an article gets the same stars twice",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        rounds=((("ferry", 4),), (("ferry", 4),)),
        lost="equal-lost",
        sums="equal-lost",
    ),
    Ratings(
        what="several users rate articles before the first task runs",
        patterns=frozenset({Pattern.TWO_USERS}),
        rounds=((("ferry", 4), ("chess", 2), ("ferry", 5)), (("chess", 1), ("harbour", 3))),
        lost="shared",
        extra="other-row",
        sums="shared",
    ),
    Ratings(
        what="some article names contain other article names, or differ from them only in capital letters",
        patterns=frozenset({Pattern.KEYS, Pattern.STRINGS}),
        rounds=((("ferry", 4), ("ferry late", 2), ("Ferry", 5)), (("late ferry", 1), ("ferry 17", 3), ("ferry 1", 3))),
        extra="other-article",
    ),
    Ratings(
        what="some article names contain quotes, have spaces at both ends, or exceed 50 characters",
        patterns=frozenset({Pattern.STRINGS}),
        rounds=(
            (('Ebbe\'s "ferry"', 4), (" chess ", 2)),
            ((f"{LONG}by day", 3), (f"{LONG}by night", 5), ("Nebel & Wind: 50 %", 3), ("None", 2)),
        ),
    ),
    Ratings(
        what="an article's rating is counted, and the article is rated again in the same second",
        patterns=frozenset({Pattern.CLOCK}),
        rounds=((("ferry", 4),), (("ferry", 2),), (("ferry", 5),)),
        pause=0.3,
    ),
    Ratings(
        what="each request and each attempt runs on a different instance",
        patterns=frozenset({Pattern.INSTANCES}),
        rounds=((("ferry", 4),), (("chess", 3), ("ferry", 2)), (("ferry", 1),)),
        apart=True,
        lost="own-memory",
        extra="own-memory",
        sums="own-memory",
    ),
    Ratings(
        what="the task starts as soon as it is added, while the action still runs",
        patterns=frozenset({Pattern.UNCHANGED}),
        rounds=((("ferry", 4),), (("ferry", 2),)),
        early=True,
        may_fail=True,
        lost="too-early",
    ),
    Ratings(
        what="the first two attempts of each task fail before your worker begins",
        patterns=frozenset({Pattern.DEATH}),
        rounds=((("ferry", 4), ("chess", 2)), (("ferry", 5),)),
        models={"a_fails": _FAILS.format(attempts=2)},
        lost="first-attempt-only",
    ),
    Ratings(
        what="each task is delivered twice",
        patterns=frozenset({Pattern.DEATH}),
        lab={"duplicates": 1.0},
        rounds=((("ferry", 4), ("chess", 2)), (("ferry", 5),)),
        extra="adds",
        sums="adds",
    ),
    *(
        Ratings(
            what=f"the tasks run in a random order (seed {seed})",
            patterns=frozenset({Pattern.KEYS}),
            lab={"seed": seed, "shuffle": True},
            rounds=((("ferry", 1), ("ferry", 2), ("ferry", 3), ("ferry", 4), ("ferry", 5)),),
            lost="out-of-order",
            sums="out-of-order",
        )
        for seed in (1, 2)
    ),
    *map(_dies, range(1, 7)),
    Ratings(
        what="the insert into popular1 fails in each task's first attempt, because the database is locked",
        patterns=frozenset({Pattern.DEATH}),
        rounds=((("ferry", 4),),),
        models={"z_refuses": REFUSES.format(table="popular1", write="insert")},
        may_fail=True,
        lost="swallowed",
    ),
    Ratings(
        what="a write to popular1 fails in each task's first attempt, because the database is locked",
        patterns=frozenset({Pattern.DEATH}),
        rounds=((("ferry", 4),), (("ferry", 2),)),
        models={f"z_{write}": REFUSES.format(table="popular1", write=write) for write in ("insert", "update")},
        may_fail=True,
        lost="swallowed",
    ),
    *(_meanwhile(turns, 12) for turns in (1, 2, 3, 4)),
    *(_meanwhile(turns, 2) for turns in (1, 2)),  # it has stored the rating, and hasn't counted yet
    Ratings(
        what="1,100 ratings of the article exist already, with gaps between their ids",
        patterns=frozenset({Pattern.SIZES}),
        rounds=((("ferry", 4),), (("ferry", 2),)),
        stored=(("ferry", 1100),),
        lost="limited",
        sums="limited",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes(Scenario):
    """A row of 7.2. The mistakes are the diagnoses if nothing more specific explains what happened.

    Args:
        ratings: the seconds since the previous rating, in which tasks run; the article, and its stars. The first
            rating is so many seconds after a whole minute.
        apart: whether each request runs on an instance of its own.
        strangers: whether each rating is from another browser.
        dies_after: the turns after which the instance of each task's first attempt is shut down.
        meanwhile: the turns that the worker takes before the last rating is stored.
        crosses: whether storing the last rating takes until the next minute, in which the waiting task runs.
        missing: the mistake if a rating isn't counted.
        many: the mistake if several tasks of an article wait.
    """

    ratings: tuple[tuple[float, str, int], ...]
    apart: bool = False
    strangers: bool = False
    dies_after: int | None = None
    meanwhile: int | None = None
    crosses: bool = False
    missing: str = "too-little"
    many: str = "many-tasks"


_THREE = ((10.3, "ferry", 4), (5.0, "ferry", 2), (5.0, "ferry", 5))
MINUTES = (
    Minutes(ratings=_THREE),
    Minutes(
        what="the article gets the same stars again a minute, a day, and a week later, in the same second of a minute",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        ratings=(
            (10.3, "ferry", 4),
            (60.0, "ferry", 4),
            (_DAY - 60.0, "ferry", 4),
            (6 * _DAY, "ferry", 4),
            (3600.0, "ferry", 4),
        ),
    ),
    Minutes(
        what="several users rate several articles within a minute",
        patterns=frozenset({Pattern.TWO_USERS}),
        ratings=((10.3, "ferry", 4), (1.2, "chess", 2), (1.2, "ferry", 5), (1.2, "chess", 1), (1.2, "harbour", 3)),
        strangers=True,
        missing="one-for-all",
        many="own-memory",
    ),
    Minutes(
        what="some article names contain other article names, or differ from them in one character",
        patterns=frozenset({Pattern.KEYS}),
        ratings=tuple(
            (3.1, article, 4)
            for article in ("ferry", "ferry-late", "ferry_late", "ferrylate", "Ferry", "ferry-1", "ferry1", "ferry-17")
        ),
        missing="same-name",
    ),
    Minutes(
        what="some article names begin with the same 50 characters, or consist of digits",
        patterns=frozenset({Pattern.STRINGS}),
        ratings=tuple(
            (3.1, article, 4) for article in (f"{LONG}by-day", f"{LONG}by-night", "2026", "02026", "-ferry-", "ferry")
        ),
        missing="same-name",
    ),
    Minutes(
        what="an article is rated forty times within a minute",
        patterns=frozenset({Pattern.SIZES, Pattern.EACH_WRITE}),
        ratings=((0.2, "ferry", 5), *((1.45, "ferry", number % 5 + 1) for number in range(40))),
        missing="limited",
    ),
    Minutes(
        what="ratings arrive just before and just after the end of a minute",
        patterns=frozenset({Pattern.CLOCK}),
        ratings=tuple((later, "ferry", 4) for later in (10.7, 48.9, 0.7, 0.5, 59.1, 0.1, 0.6)),
    ),
    Minutes(
        what="a different instance serves each rating",
        patterns=frozenset({Pattern.INSTANCES}),
        ratings=(*_THREE, (60.0, "ferry", 1), (2.0, "ferry", 3)),
        apart=True,
        missing="own-memory",
        many="own-memory",
    ),
    Minutes(
        what="the first two attempts of each task fail before your worker begins",
        patterns=frozenset({Pattern.DEATH}),
        ratings=(*_THREE, (70.0, "chess", 1)),
        models={"a_fails": _FAILS.format(attempts=2)},
        missing="first-attempt-only",
    ),
    *(
        Minutes(
            what=f"the instance of each task's first attempt is shut down after {turns} turns",
            patterns=frozenset({Pattern.DEATH}),
            ratings=(*_THREE, (70.0, "ferry", 1)),
            dies_after=turns,
            missing="lost-at-death",
        )
        for turns in (2, 3, 5)
    ),
    *(
        Minutes(
            what=f"a rating arrives after {turns} turn{'s' * (turns != 1)} of the article's worker",
            patterns=frozenset({Pattern.EACH_WRITE}),
            ratings=(*_THREE, (1.2, "ferry", 1)),
            meanwhile=turns,
            missing="overlooked",
        )
        for turns in (0, 1, 2, 3, 5)
    ),
    Minutes(
        what="storing a rating lasts until the next minute, and the article's task runs during that time",
        patterns=frozenset({Pattern.CLOCK}),
        ratings=(*_THREE, (37.9, "ferry", 1)),
        models={"z_slow": _SLOW},
        crosses=True,
        missing="minute-too-early",
    ),
)
