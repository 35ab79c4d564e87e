"""The checks of lesson 01's small exercises. Their texts are in small01.toml."""

from dataclasses import dataclass
from typing import Any

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import by_text, work
from harness.course.trial import Rows, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saves(Scenario):
    """Requests of editors, all of them before the first task runs; `sent` contains the values of each request."""

    sent: tuple[dict[str, Any], ...]


def _second_task(trial: Trial, row: _Saves) -> None:
    for count, sent in enumerate(row.sent, 1):
        trial.get("ex1_x/save", **sent)
        trial.expect_nothing_new([])
        tasks = trial.lab.tasks()
        mistake = "several-tasks" if len(tasks) > 2 * count else "one-task"
        trial.expect_tasks(tasks, 2 * count, mistake)
    for _ in trial.lab.tasks():
        work(trial)
    right: Rows = [pair for sent in row.sent for pair in ((sent["old"], sent["new"]), ("mail to", sent["address"]))]
    found = by_text(trial.rows())
    mistake = "not-carried" if ("mail to", None) in found else "wrong-values"
    trial.expect_equal(found, by_text(right), mistake, "the workers wrote")


def _count_words(trial: Trial, row: _Saves) -> None:
    for sent in row.sent:
        trial.get("ex1_y/save", **sent)
    for count, sent in enumerate(row.sent, 1):
        trial.succeed(trial.step())
        rows = trial.rows()
        headline = sent["headline"]
        trial.expect(len(rows) >= count, "no-row", "the worker wrote no row", "the worker writes one row")
        right = (headline, str(len(headline.split())))
        mistake = "wrong-headline" if rows[-1][0] != headline else "wrong-number"
        trial.expect_equal(rows[count - 1 :], [right], mistake)


RUNS = {
    "1.x": (
        _second_task,
        (
            _Saves(sent=({"old": "Ferry late", "new": "Ferry on time", "address": "ada@example.com"},)),
            _Saves(
                what="two editors save before the first task runs",
                patterns=frozenset({Pattern.TWO_USERS}),
                sent=(
                    {"old": "Fog", "new": "Sun", "address": "grace@example.org"},
                    {"old": "Choir", "new": "Chess & cards", "address": "björn+news@example.com"},
                ),
            ),
        ),
    ),
    "1.y": (
        _count_words,
        (
            _Saves(sent=({"headline": "The ferry is late"},)),
            _Saves(
                what="two editors save before the first task runs, and one of the headlines is empty",
                patterns=frozenset({Pattern.TWO_USERS, Pattern.STRINGS}),
                sent=({"headline": "Die Fähre kommt"}, {"headline": ""}),
            ),
        ),
    ),
}
