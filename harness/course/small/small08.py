"""The checks of lesson 08's small exercises. Their texts are in small08.toml."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import NO_COOKIE, let_pass, own_instance
from harness.course.trial import Rows, Trial
from harness.errors import quantity

_DAY = 24 * 3600
_OTHER = """
def index():
    for _ in range(2):
        db.mytable.insert(old='order of a visitor', new='7')
    db.mytable.insert(new='order')
    return 'ordered'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nights(Scenario):
    """The requests of a cron job, one each night."""

    nights: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits(Scenario):
    """Visits of different users; `instances` contains the number of visits that each instance handles.

    The last two visits of each instance are those of one user, and a day passes between them.
    """

    instances: tuple[int, ...]


def _fetch(trial: Trial, row: _Nights) -> None:
    for night in range(row.nights):
        done: Rows = [("fetched", "weather")] * night
        trial.get("ex8_y/nightly", NO_COOKIE)
        trial.expect_equal(trial.rows(), done, "foreground", "after the request of cron, the rows were")
        tasks = trial.lab.tasks()
        happened = f"the request on night {night + 1} added {quantity(len(tasks), 'task')}"
        missing = "only-once" if night else "not-queued"
        trial.expect(len(tasks) == 1, "several" if tasks else missing, happened, "one task")
        trial.succeed(trial.step(), "no-work")
        trial.expect_equal(trial.rows(), [*done, ("fetched", "weather")], "no-work", "the rows were")
        trial.lab.advance(_DAY)


def _count(trial: Trial, row: _Visits) -> None:
    trial.lab.write("controllers/shop.py", _OTHER)
    number = 0
    orders: Rows = []
    for place, visits in enumerate(row.instances):
        with own_instance(trial):
            for visit in range(visits):
                number += 1
                before = trial.rows()
                trial.lab.get("shop/index")
                orders += trial.rows()[len(before) :]
                if visit == visits - 1:
                    let_pass(trial, _DAY)
                text = trial.get("ex8_x/visit", None if visit >= visits - 2 else NO_COOKIE).text
                mistake = "forgotten" if place and not visit else "same-number" if number > 1 else None
                if text in [
                    f"You are visitor {number + count}."
                    for count in (len(orders), len([old for old, _ in orders if old]))
                ]:
                    mistake = "all-rows"
                trial.expect_equal(text, f"You are visitor {number}.", mistake, "the response was")
                left = [row for row in trial.rows() if row in orders]
                happened = f"{len(left)} of the {len(orders)} rows of other actions are as before"
                trial.expect(left == orders, "other-rows", happened, "a visit that changes no row of another action")


RUNS = {
    "8.x": (
        _count,
        (
            _Visits(instances=(12,)),
            _Visits(
                what="a new instance replaces the previous one, twice",
                patterns=frozenset({Pattern.INSTANCES}),
                instances=(2, 2, 1),
            ),
        ),
    ),
    "8.y": (
        _fetch,
        (
            _Nights(),
            _Nights(
                what="the cron service requests the URL on eight nights",
                patterns=frozenset({Pattern.EQUAL_INPUT}),
                nights=8,
            ),
        ),
    ),
}
