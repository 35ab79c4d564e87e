"""The search for the faults that break a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import pytest

from harness.appengine.dispatcher.chaos import EVENTS
from harness.testing.faults import Fault, FaultKind
from harness.testing.reruns import Reruns, RunState
from harness.testing.runs import LabFault

MOST_RUNS = 60  # of one test with a single fault each, and as many with several faults each


class Cause(Enum):
    """Why a test failed."""

    FAULTS = "faults break it"
    TEST = "it fails without faults, too"
    UNKNOWN = "it didn't fail in the same way when the same faults were repeated"
    CHANCE = "with the same faults, it fails in some runs and passes in others"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the search has found.

    Args:
        cause: why the test failed.
        faults: the faults that break the test, if faults do.
        report: the report of a run with only these faults; None if no such run failed, or only its subtests failed.
    """

    cause: Cause
    faults: Sequence[LabFault] = ()
    report: pytest.TestReport | None = None


def find_cause(runs: Reruns, happened: Sequence[LabFault]) -> Finding:
    """Find the single fault with which the test fails, or else a few that are needed together."""
    alone = runs.again([])
    if alone.state is RunState.FAILED:
        return Finding(Cause.TEST, report=alone.report)
    kinds = list(FaultKind)
    every = sorted(dict.fromkeys(happened), key=lambda entry: kinds.index(entry[1].kind))
    found = _one(runs, every) or _several(runs, every)
    if not found:
        return Finding(Cause.UNKNOWN)
    # The test may also fail by chance. So the faults must break it twice, and it must pass twice without faults.
    again = runs.again(found)
    if again.state is not RunState.FAILED or runs.again([]).state is RunState.FAILED:
        return Finding(Cause.CHANCE)
    return Finding(Cause.FAULTS, found, again.report)


def covers(blamed: LabFault, happened: LabFault) -> bool:
    """Return whether a fault that happened is like one that breaks the test."""
    (lab, fault), (other_lab, other) = blamed, happened
    if (lab, fault.task) != (other_lab, other.task):
        return False
    return fault.kind is other.kind or _is_twice(fault) and _is_twice(other)


def _is_twice(fault: Fault) -> bool:
    return fault.kind is FaultKind.AGAIN or fault.other == fault.task


def _one(runs: Reruns, every: Sequence[LabFault]) -> list[LabFault]:
    """Return the first fault that breaks the test alone, in a list. If no fault does, the list is empty."""
    # If two deliveries at the same time break a test, two deliveries one after the other often break it, too. This
    # fault is easier to understand, so it is tried first.
    again = [(lab, Fault(FaultKind.AGAIN, fault.task)) for lab, fault in every if fault.other == fault.task]
    # Without the other faults, tasks may start in another order, so the second of two overlapping tasks may be first.
    swapped = [
        (lab, replace(fault, task=fault.other, other=fault.task))
        for lab, fault in every
        if fault.kind is FaultKind.OVERLAP
    ]
    for lab, fault in list(dict.fromkeys([*again, *every, *swapped]))[:MOST_RUNS]:
        if runs.fails([(lab, fault)]):
            earlier = range(min(fault.number, EVENTS) if fault.kind is FaultKind.KILL else 0)
            simpler = ([(lab, replace(fault, number=number))] for number in earlier)
            return next((each for each in simpler if runs.fails(each)), [(lab, fault)])
    return []


def _several(runs: Reruns, every: Sequence[LabFault]) -> Sequence[LabFault]:
    """Return a few faults that break the test together. This leaves out half of them at a time, and later fewer."""
    if len(every) < 2 or not runs.fails(every):
        return []
    needed, size, left = every, len(every) // 2, MOST_RUNS
    while size:
        start = 0
        while start < len(needed) and left:
            fewer, left = [*needed[:start], *needed[start + size :]], left - 1
            if runs.fails(fewer):
                needed = fewer
            else:
                start += size
        size //= 2
    return needed
