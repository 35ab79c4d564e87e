"""The scenarios of exercise 7.3: its rows, and the models that they use."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario
from harness.course.scenarios.scenarios07 import LONG, REFUSES

# This model makes each write to front3 permanent immediately, as a database without transactions does.
_PERMANENT = """
for _after in (db.front3._after_insert, db.front3._after_update, db.front3._after_delete):
    _after.append(lambda *_: db.commit())
"""
# A controller of another instance, which stores a vote and ranks.
MEANWHILE_RANKED = """
def index():
    db.vote3.insert(article='ferry')
    db.commit()
    rows = db(db.vote3).select()
    db(db.front3.votes < len(rows)).update(votes=len(rows), articles=best(rows))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes(Scenario):
    """A row of 7.3. The mistakes are the diagnoses if nothing more specific explains what happened.

    Args:
        ballots: the votes. The tasks run after each round.
        archive: articles and how many votes of each exist already, with gaps between their ids.
        gap: the seconds before each vote, in which no task runs.
        apart: whether each request and each attempt runs on an instance of its own.
        stops_after: the turns after which the instance of each task's second attempt is shut down.
        meanwhile: the turns that a worker takes before another instance stores a vote and ranks; and the turns that
            the other instance takes before the worker continues.
        blank: the mistake if the ranking disappears.
        unranked: the mistake if votes are missing in the end.
        misranked: the mistake if the articles aren't the three best ones.
        endless: the mistake if the tasks never end.
    """

    ballots: tuple[tuple[str, ...], ...]
    archive: tuple[tuple[str, int], ...] = ()
    gap: float = 1.2
    apart: bool = False
    stops_after: int | None = None
    meanwhile: tuple[int, int] | None = None
    blank: str = "empty"
    unranked: str = "gives-up"
    misranked: str = "wrong-ranking"
    endless: str = "never"


def _stops(turns: int, permanent: bool) -> Votes:
    when = f"after {turns} turn{'s' * (turns > 1)}"
    where = ", and each write is permanent immediately" if permanent else ""
    return Votes(
        what=f"the instance of each task's second attempt is shut down {when}{where}",
        patterns=frozenset({Pattern.DEATH, Pattern.EACH_WRITE} if permanent else {Pattern.DEATH}),
        ballots=(("ferry",), ("chess",)),
        models={"y_permanent": _PERMANENT} if permanent else {},
        stops_after=turns,
        blank="rolled-back" if permanent else "empty",
        unranked="lost-at-death",
    )


def _meanwhile(turns: int, others: int) -> Votes:
    after = f"after {turns} turn{'s' * (turns > 1)} of your worker, another instance stores a vote"
    return Votes(
        what=f"{after} and ranks the articles"
        if others > 2
        else f"{after}, and ranks them after your worker has ended",
        patterns=frozenset({Pattern.KEYS}),
        ballots=(("tides",),),
        meanwhile=(turns, others),
    )


VOTES = (
    Votes(ballots=(("tides",), ("ferry",), ("chess",))),
    Votes(
        what="several articles get a second vote",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        ballots=tuple((article,) for article in ("alps", "alps", "boat", "boat", "choir", "dune", "dune")),
        unranked="equal-lost",
        misranked="equal-lost",
    ),
    Votes(
        what="several users vote before the first task runs",
        patterns=frozenset({Pattern.TWO_USERS}),
        ballots=(("ferry", "chess", "ferry"), ("tides", "chess", "chess")),
        unranked="shared",
        misranked="shared",
    ),
    Votes(
        what="several users vote, and the tasks run in a random order",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.KEYS}),
        lab={"seed": 2, "shuffle": True},
        ballots=(("ferry", "chess", "ferry", "tides", "tides", "tides"),),
        unranked="out-of-order",
        misranked="out-of-order",
    ),
    Votes(
        what="five articles get votes, and two of them have the same number of votes",
        patterns=frozenset({Pattern.SIZES}),
        ballots=(("ferry", "chess", "choir", "tides", "tides"), ("harbour", "ferry")),
    ),
    Votes(
        what="1,100 votes exist already, with gaps between their ids",
        patterns=frozenset({Pattern.SIZES}),
        archive=(("ferry", 700), ("choir", 399), ("tides", 1)),
        ballots=(("chess",), ("chess",)),
        unranked="limited",
        misranked="limited",
    ),
    Votes(
        what="some article names contain other article names, or differ from them only in capital letters",
        patterns=frozenset({Pattern.KEYS}),
        ballots=(("ferry late", "ferry late", "Ferry", "ferry"), ("chess", "chess", "ferry late")),
        misranked="other-article",
    ),
    Votes(
        what="some article names contain quotes or commas, have spaces at both ends, or exceed 50 characters",
        patterns=frozenset({Pattern.STRINGS}),
        ballots=(('Ebbe\'s "ferry"', " chess "), (f"{LONG}by day, by night", "None", "None", " chess ")),
    ),
    Votes(
        what="an article gets a vote and is ranked, and another vote is stored in the same second",
        patterns=frozenset({Pattern.CLOCK}),
        ballots=(("ferry",), ("chess",), ("chess",)),
        gap=0.1,
    ),
    Votes(
        what="each request and each attempt runs on a different instance",
        patterns=frozenset({Pattern.INSTANCES}),
        ballots=(("ferry",), ("chess", "chess"), ("tides",)),
        apart=True,
        unranked="own-memory",
        misranked="own-memory",
        endless="own-memory",
    ),
    Votes(
        what="each task is delivered twice",
        patterns=frozenset({Pattern.DEATH}),
        lab={"duplicates": 1.0},
        ballots=(("ferry", "chess"), ("chess",)),
    ),
    Votes(
        what="the database makes each write permanent immediately",
        patterns=frozenset({Pattern.DEATH, Pattern.EACH_WRITE}),
        models={"y_permanent": _PERMANENT},
        ballots=(("ferry",), ("chess", "chess")),
        blank="rolled-back",
    ),
    *(_stops(turns, permanent) for permanent, most in ((False, 2), (True, 4)) for turns in range(1, most + 1)),
    Votes(
        what="a write to front3 fails in each task's second attempt, because the database is locked",
        patterns=frozenset({Pattern.DEATH}),
        models={
            f"z_{write}": REFUSES.format(table="front3", write=write).replace("< 1", "< 2")
            for write in ("insert", "update", "delete")
        },
        ballots=(("ferry",), ("chess", "chess")),
        unranked="swallowed",
    ),
    *(_meanwhile(turns, 12) for turns in (1, 2, 3)),
    *(_meanwhile(turns, 2) for turns in (1, 2)),  # it has stored the vote, and hasn't ranked yet
)
