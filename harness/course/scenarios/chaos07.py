"""How the requests and tasks of lesson 07's scenarios run, and what its three exercises require of them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.course.checks.expectations import expect_short_wait, own_instance
from harness.course.scenarios.scenarios07 import EARLIER
from harness.course.trial import SLIPS, Rows, Trial
from harness.errors import quantity
from harness.records import Attempt, Outcome, Response


def store(trial: Trial, table: str, stored: Sequence[tuple[str, int]]) -> None:
    """Store ratings with three stars each, or votes."""
    for place, (article, count) in enumerate(stored):
        columns, values = (", stars", ", 3") if table == "vote1" else ("", "")
        parts = {"columns": columns, "values": values, "first": place * 100_000}
        trial.lab.write("controllers/earlier.py", EARLIER.format(table=table, count=count, article=article, **parts))
        trial.lab.get("earlier/index")


def expect_no_totals(trial: Trial, response: Response, totals: str) -> None:
    """Require that an action doesn't make its user wait, and writes no totals. It may prepare a row without votes."""
    expect_short_wait(trial, response, "waits")
    updates = statements_like(response, rf"UPDATE {totals} SET .*(votes|stars)=")
    trial.expect(not updates, "foreground", f"the action ran {updates[:1]}", "only the worker writes totals")
    if not trial.lab.attempts and statements_like(response, rf".*\b{totals}\b"):
        counted = [row for row in trial.rows(totals, "article", "votes", "stars") if row[1]]
        happened = f"before the task ran, {totals} contained {counted}"
        trial.expect(not counted, "foreground", happened, "only the worker writes totals")


def expect_no_counting(trial: Trial, response: Response, votes: str) -> None:
    """Require that an action doesn't read all votes of an article."""
    reads = statements_like(response, rf"SELECT (?!.* LIMIT ).*\b{votes}\b")
    happened = f"the action counted or read ratings or votes with this statement: {''.join(reads[:1])[:90]}"
    trial.expect(not reads, "foreground", happened, "only the worker counts")


def statements_like(response: Response, pattern: str) -> list[str]:
    """Return the statements of a request that begin with a pattern, without quotes."""
    statements = (" ".join(sql.replace('"', "").split()) for sql in response.sql)
    return [sql for sql in statements if re.match(pattern, sql, re.IGNORECASE)]


def expect_stored(trial: Trial, table: str, fields: Sequence[str], right: Rows) -> None:
    """Require that each rating is still stored, once."""
    found = Counter(trial.rows(table, *fields))
    missing, more = Counter(right) - found, found - Counter(right)
    happened = f"{quantity(missing.total(), 'row')} of {table} disappeared or changed: {list(missing)[:3]}"
    trial.expect(not missing, "not-stored", happened, f"each row of {table} stays as the user's request stored it")
    happened = f"{table} contains rows that no user's request stored: {list(more)[:3]}"
    trial.expect(not more, "not-stored", happened, f"each user's request stores one row in {table}")


def turns_of(first: int, second: int = 12) -> str:
    """Return an order of turns: so many of the worker, so many of the other request, and then the others."""
    return "1" * first + "2" * second + "1" * 12 + "2" * 12


def identities(trial: Trial) -> set[tuple[str, str, Any]]:
    return {task.identity for task in trial.lab.tasks()}


def run_all(trial: Trial, dies_after: int | None = None, may_fail: bool = False, apart: bool = False) -> list[Attempt]:
    """Run all tasks; shut the instance of each task's first attempt down if `dies_after` is given."""
    done = len(trial.lab.attempts)
    while apart and trial.lab.tasks() and len(trial.lab.attempts) < done + 20:
        with own_instance(trial):
            without_slip(trial, trial.step(may_fail=True))
    for _ in trial.lab.tasks() if dies_after is not None else ():
        trial.lab.step(kill_after=dies_after)
    trial.run(may_fail=may_fail or apart)
    attempts = list(trial.lab.attempts)[done:]
    for attempt in attempts:
        without_slip(trial, attempt)
    return attempts


def without_slip(trial: Trial, attempt: Attempt) -> Attempt:
    """Require that an attempt that may fail didn't end in an exception such as a NameError."""
    ticket = attempt.response.ticket
    if ticket is not None and ticket.exception in SLIPS:
        trial.failed(ticket)
    return attempt


def gave_up(trial: Trial) -> bool:
    """Return whether a task was removed after an attempt that failed."""
    return any(attempt.outcome is Outcome.DROPPED for attempt in trial.lab.attempts)
