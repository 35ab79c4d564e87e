"""The mistakes of lesson 01 that the values in a row show. Their texts are in lesson01.toml."""

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_plus

from harness.course.checks.expectations import by_text, carried, is_plain, letters
from harness.course.scenarios.scenarios01 import Requests, Values
from harness.course.trial import Rows, Trial
from harness.records import TaskInfo

MAIL = "mail sent to"  # the column old of a row that send_mail writes


def mistaken_values(
    trial: Trial, row: Requests, found: Rows, expected: Sequence[Values], every: Sequence[Values]
) -> str | None:
    """Return the mistake by which rows have other values; `every` contains the right rows of all requests."""
    lost, wrong = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if row.elsewhere:
        return "memory"
    empty = sum(values.count("") for values in lost.elements())
    if empty > sum(values.count("") for values in wrong.elements()):
        return trial.if_known("empty")
    if any(None in values for values in wrong):
        return _mistake_of_none(trial, wrong, lost, expected)
    if any("None" in values for values in wrong) and not any("None" in values for values in lost):
        return trial.if_known("none-text") or "fixed-values"
    if len(row.requests) == 1 and _is_same_twice(found, expected):
        return trial.if_known("same-twice")
    if any(old == new for old, new in wrong):
        return trial.if_known("same-value") or "fixed-values"
    if len(row.requests) > 1 and set(wrong) <= set(every):
        return "shared"
    if any(values[::-1] in lost for values in wrong):
        return trial.if_known("swapped")
    if any(map(_is_unencoded, by_text(list(wrong)), by_text(list(lost)))):
        return trial.if_known("unencoded") or "altered"
    is_altered = any(_is_altered(*pair) for pair in zip(by_text(list(wrong)), by_text(list(lost)), strict=False))
    return "altered" if row.what or is_altered else "fixed-values"


def _is_same_twice(found: Rows, expected: Sequence[Values]) -> bool:
    return len(found) == 2 and len(set(found)) == 1 and len(set(expected)) == 2 and found[0] in expected


def _mistake_of_none(trial: Trial, wrong: Iterable[Values], lost: Iterable[Values], expected: Sequence[Values]) -> str:
    """Return the mistake by which rows have None in place of a value."""
    tasks = [attempt.task for attempt in list(trial.lab.attempts)[-len(expected) :]]
    if any(map(is_plain, tasks)):
        return trial.if_known("plain-payload") or "no-values"
    if not all(_carries_one_of(expected, task) for task in tasks):
        return trial.if_known("not-carried") or "no-values"
    is_left_out = any(map(_is_left_out, by_text(list(wrong)), by_text(list(lost))))
    return (trial.if_known("left-out") if is_left_out else None) or "no-values"


def _carries_one_of(rows: Sequence[Values], task: TaskInfo) -> bool:
    """Return whether a task carries all values of one of these rows, under any names."""
    values = {value for values in carried(task).values() for value in values}
    return any(values.issuperset(set(row) - {MAIL}) for row in rows)


def _is_left_out(found: Values, right: Values) -> bool:
    """Return whether a row has no value in one column, and the right value in the other one."""
    pairs = list(zip(found, right, strict=True))
    return any(one == other for one, other in pairs) and all(one in (None, other) for one, other in pairs)


def _is_unencoded(found: Values, right: Values) -> bool:
    """Return whether web2py found these values because the right ones were written into a query string as they are."""
    return found != right and found == tuple(unquote_plus(value.partition("&")[0]) for value in right)


def _is_altered(found: Values, right: Values) -> bool:
    """Return whether each found value is the beginning of the right one, apart from case, spaces and signs."""
    return all(
        bool(one) and letters(other).casefold().startswith(letters(one).casefold())
        for one, other in zip(found, right, strict=True)
    )
