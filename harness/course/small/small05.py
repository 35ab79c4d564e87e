"""The checks of lesson 05's small exercises. Their texts are in small05.toml."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.course.catalogue import Pattern, Scenario
from harness.course.trial import Trial
from harness.errors import quantity

_BEHIND = timedelta(hours=4)  # New York, behind UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes(Scenario):
    """Requests for reminders, all of them before the first task runs; `sent` contains each article and its time."""

    sent: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PageOrders(Scenario):
    """Orders of pages, some of them repeated; `orders` contains the issue and the page of each."""

    orders: tuple[tuple[str, str], ...]


def _remind(trial: Trial, row: _Wishes) -> None:
    for article, when in row.sent:
        known = {task.identity for task in trial.lab.tasks()}
        trial.get("ex5_x/later", article=article, when=when)
        tasks = [task for task in trial.lab.tasks() if task.identity not in known]
        trial.expect_tasks(tasks, 1, None if tasks else "not-queued")
        right = datetime.fromisoformat(when).replace(tzinfo=UTC) + _BEHIND
        early = right - tasks[0].eta
        mistake = "no-zone" if early == _BEHIND else "wrong-way" if early == 2 * _BEHIND else "other-time"
        happened = f"the task is due at {tasks[0].eta:%d %b %H:%M:%S} UTC"
        trial.expect(abs(early) < timedelta(seconds=1), mistake, happened, f"at {right:%d %b %H:%M:%S} UTC")
    for _ in trial.lab.tasks():
        trial.succeed(trial.step())
    trial.expect_equal(trial.rows(), [("reminder", article) for article, _ in row.sent], "no-article")


def _print_pages(trial: Trial, row: _PageOrders) -> None:
    for place, (issue, page) in enumerate(row.orders):
        _order(trial, row, issue, page, row.orders[:place])
    for _ in trial.lab.tasks():
        trial.succeed(trial.step())
    _order(trial, row, *row.orders[0], row.orders)
    trial.expect_equal(trial.rows(), list(dict.fromkeys(row.orders)), None)


def _order(trial: Trial, row: _PageOrders, issue: str, page: str, earlier: tuple[tuple[str, str], ...]) -> None:
    """Order a page, and require a new task if it isn't among the earlier ones."""
    waiting = len(trial.lab.tasks())
    trial.get("ex5_y/order", issue=issue, page=page)
    added = len(trial.lab.tasks()) - waiting
    happened = f"page {page} of issue {issue} was ordered, and the request added {quantity(added, 'task')}"
    if (issue, page) in earlier:
        trial.expect(added == 0, "every-time", happened, "no other task for the same page")
    else:
        missing = "not-queued" if not earlier else "run-together" if row.what else "same-name"
        trial.expect(added == 1, None if added else missing, happened, "exactly one task")


RUNS = {
    "5.x": (
        _remind,
        (
            _Wishes(sent=(("Ferry late", "2012-09-03T09:30"),)),
            _Wishes(
                what="two editors set a reminder before the first task runs, and one of them chooses 23:45",
                patterns=frozenset({Pattern.TWO_USERS, Pattern.CLOCK}),
                sent=(("Night sky", "2012-09-03T23:45"), ("Fischmarkt öffnet", "2012-09-05T06:10:30")),
            ),
        ),
    ),
    "5.y": (
        _print_pages,
        (
            _PageOrders(orders=(("7", "1"), ("7", "1"), ("7", "2"), ("8", "1"))),
            _PageOrders(
                what="page 23 of issue 1 and page 3 of issue 12 are ordered",
                patterns=frozenset({Pattern.KEYS}),
                orders=(("1", "23"), ("12", "3")),
            ),
        ),
    ),
}
