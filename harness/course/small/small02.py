"""The checks of lesson 02's small exercises. Their texts are in small02.toml."""

from dataclasses import dataclass
from typing import Any

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import by_text, work
from harness.course.trial import Rows, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ratings(Scenario):
    """Ratings of readers, each with its article and its stars, all of them before the first task runs."""

    ratings: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tides(Scenario):
    """Tides that an editor saves, each with its port and its heights in metres."""

    tides: tuple[tuple[str, list[float]], ...]


def _two_values(trial: Trial, row: _Ratings) -> None:
    for count, (article, stars) in enumerate(row.ratings, 1):
        query: dict[str, Any] = {"article": article, "stars": stars}
        trial.get("ex2_x/rate", **query)
        trial.expect_nothing_new([])
        tasks = trial.lab.tasks()
        trial.expect_tasks(tasks, count, "not-queued" if len(tasks) < count else "several-tasks")
    for _ in row.ratings:
        work(trial)
    found = by_text(trial.rows())
    mistake = "not-carried" if any(None in values for values in found) else "wrong-values"
    trial.expect_equal(found, by_text(row.ratings), mistake, "the workers wrote")


def _read_json(trial: Trial, row: _Tides) -> None:
    for count, (port, metres) in enumerate(row.tides, 1):
        trial.get("ex2_y/save", port=port, metres=metres)
        trial.succeed(trial.step())
        rows = trial.rows()
        trial.expect(len(rows) >= count, "no-row", "the worker wrote no row", "the worker writes one row")
        mistake = "wrong-port" if rows[-1][0] != port else "wrong-height"
        trial.expect_equal(rows[count - 1 :], [(port, str(max(metres)))], mistake)


RUNS = {
    "2.x": (
        _two_values,
        (
            _Ratings(ratings=[("7", "4")]),
            _Ratings(
                what="two readers rate other articles before the first task runs",
                patterns=frozenset({Pattern.TWO_USERS}),
                ratings=[("17", "1"), ("8", "5")],
            ),
        ),
    ),
    "2.y": (
        _read_json,
        (
            _Tides(tides=(("Rødvig", [9.2, 10.5, 8.75]),)),
            _Tides(
                what="the next tide belongs to another port, and it has only one height",
                patterns=frozenset({Pattern.SIZES, Pattern.TWO_USERS}),
                tides=(("Rødvig", [9.2, 10.5]), ("Ebbe & Flod", [0.5])),
            ),
        ),
    ),
}
