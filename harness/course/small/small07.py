"""The checks of lesson 07's small exercises. Their texts are in small07.toml."""

from dataclasses import dataclass
from urllib.parse import urlencode

from harness.course.catalogue import Pattern, Scenario
from harness.course.trial import Trial
from harness.records import Attempt, Response

_AUCTION = "db.define_table('auction', Field('item'), Field('highest', 'integer'))\n"
_HALL = """
from google.appengine.api import taskqueue

def open():
    for item in {items!r}:
        db.auction.insert(item=item, highest=0)
    return 'opened'

def offer():
    taskqueue.add(url=URL('ex7_y', 'bid'), params=dict(item=request.vars.item, price=request.vars.price))
    return 'offered'
"""
_REST = 12  # turns, enough for the rest of an attempt
_Bid = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letters(Scenario):
    """Readers' letters; with `at_once`, each task starts as soon as it is added, while the action is still running."""

    texts: tuple[str, ...]
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bids(Scenario):
    """Bids, one task each. With `paired`, a second task interrupts each first one, and its bid is the higher one."""

    bids: tuple[_Bid, ...]
    paired: bool = False


def _send_letters(trial: Trial, row: _Letters) -> None:
    for count, text in enumerate(row.texts, 1):
        if row.at_once:
            _send_at_once(trial, f"ex7_x/send?{urlencode({'text': text})}")
        else:
            trial.get("ex7_x/send", text=text)
            tasks = trial.lab.tasks()
            trial.expect_tasks(tasks, count, None if len(tasks) > count else "not-queued")
    for _ in trial.lab.tasks():
        trial.succeed(trial.step())
    mistake = "too-early" if row.at_once else "other-letter" if row.what else "not-found"
    if [text for text, _ in trial.rows()] != list(row.texts):
        mistake = "not-stored"
    trial.expect_equal(trial.rows(), [(text, "confirmed") for text in row.texts], mistake, "mytable contains")


def _send_at_once(trial: Trial, path: str) -> None:
    """Send a letter; its task starts as soon as it is added, and ends before the action continues."""
    trial.called = f"as a user: GET /{path}"
    response = trial.lab.overlap(path, order="2").first
    if isinstance(response, Response) and response.ticket is not None:
        trial.failed(response.ticket)


def _auction(trial: Trial, row: _Bids) -> None:
    items = list(dict.fromkeys(item for item, _ in row.bids))
    trial.lab.write("controllers/hall.py", _HALL.format(items=items))
    trial.lab.get("hall/open")
    for item, price in row.bids:
        trial.lab.get("hall/offer", item=item, price=price)
    while trial.lab.tasks():
        if row.paired:
            _interrupt(trial, turns=len(trial.lab.attempts) // 2 + 1)
        else:
            trial.succeed(trial.step())
        _expect_highest(trial, row, row.bids[: len(trial.lab.attempts)], items)


def _interrupt(trial: Trial, turns: int) -> None:
    """Run the next two tasks; the second one runs after `turns` turns of the first one."""
    tasks = trial.lab.tasks()[:2]
    trial.called = f"lab.overlap of two tasks, with {' and '.join(task.text for task in tasks)}"
    both = trial.lab.overlap(*tasks, order="1" * turns + "2" * _REST)
    for attempt in (both.first, both.second):
        if isinstance(attempt, Attempt) and attempt.response.ticket is not None:
            trial.failed(attempt.response.ticket)


def _expect_highest(trial: Trial, row: _Bids, bids: tuple[_Bid, ...], items: list[str]) -> None:
    """Require that the row of each item contains the highest of these bids for it."""
    right = {item: max([0, *(price for each, price in bids if each == item)]) for item in items}
    rows = trial.rows("auction", "item", "highest")
    item, price = bids[-1]
    is_other = any(each != item and highest != right[each] for each, highest in rows)
    mistake = "between" if row.paired else "not-stored" if price == right[item] else "lower"
    trial.expect_equal(rows, list(right.items()), "other-item" if is_other else mistake, "auction contains")


RUNS = {
    "7.x": (
        _send_letters,
        (
            _Letters(texts=("More ferries, please.",)),
            _Letters(
                what="the task starts as soon as it is added, while the action is still running",
                patterns=frozenset({Pattern.EACH_WRITE}),
                texts=("The fog horn is too loud.",),
                at_once=True,
            ),
            _Letters(
                what="two readers send a letter before the first task runs",
                patterns=frozenset({Pattern.TWO_USERS}),
                texts=("Where is the crossword?", "Mehr Nebel & Möwen!"),
            ),
        ),
    ),
    "7.y": (
        _auction,
        (
            _Bids(
                bids=(("old map", 30), ("ship's clock", 10), ("old map", 20), ("old map", 45), ("old map", 45)),
                models={"hall": _AUCTION},
            ),
            _Bids(
                what="two tasks run at the same time, and the one with the higher bid interrupts the other one",
                patterns=frozenset({Pattern.EACH_WRITE}),
                bids=tuple(("old map", price) for price in (30, 50, 60, 80, 90, 120)),
                paired=True,
                models={"hall": _AUCTION},
            ),
        ),
    ),
}
