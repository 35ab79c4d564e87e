"""The search for the faults that break a test. In place of a test, a function decides which faults break it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from harness.testing import SEED
from harness.testing.explanation import explain
from harness.testing.faults import AT_END, Fault, FaultKind
from harness.testing.reruns import RunResult, RunState
from harness.testing.runs import LabFault
from harness.testing.search import MOST_RUNS, Cause, find_cause

Faults = set[Fault]
AGAIN = Fault(FaultKind.AGAIN, "task1")
ORDER = Fault(FaultKind.ORDER, "task2", "task1")
MEMORY = Fault(FaultKind.MEMORY, "task3")
TWICE = Fault(FaultKind.OVERLAP, "task1", "task1", 5)
OVERLAP = Fault(FaultKind.OVERLAP, "task1", "task2", 5)
SWAPPED = Fault(FaultKind.OVERLAP, "task2", "task1", 5)
KILL = Fault(FaultKind.KILL, "task1", number=AT_END)


@dataclass
class FakeRuns:
    """The runs of a test that fails if `breaks` returns True for the run's faults. If it returns None, set-up fails."""

    breaks: Callable[[Faults], bool | None]
    happens: Callable[[Faults], bool] = lambda _: True
    made: list[Faults] = field(default_factory=list)

    def again(self, faults: Sequence[LabFault]) -> RunResult:
        self.made.append({fault for _, fault in faults})
        broken = self.breaks(self.made[-1])
        states = {True: RunState.FAILED, False: RunState.PASSED, None: RunState.OTHER}
        return RunResult(states[broken], "call", None)

    def fails(self, faults: Sequence[LabFault]) -> bool:
        return self.again(faults).state is RunState.FAILED and self.happens(self.made[-1])


def search(runs: FakeRuns, *happened: Fault) -> tuple[Cause, list[Fault]]:
    finding = find_cause(runs, [(0, fault) for fault in happened])  # type: ignore[arg-type]
    return finding.cause, [fault for _, fault in finding.faults]


@pytest.mark.parametrize(
    ("breaks", "happened", "found"),
    [
        (lambda faults: MEMORY in faults, [ORDER, MEMORY, AGAIN], [MEMORY]),
        (lambda faults: bool(faults & {AGAIN, TWICE}), [MEMORY, TWICE], [AGAIN]),  # the simpler one
        (lambda faults: TWICE in faults, [MEMORY, TWICE], [TWICE]),
        (lambda faults: SWAPPED in faults or {ORDER, OVERLAP} <= faults, [ORDER, OVERLAP], [SWAPPED]),
        (lambda faults: any(fault.number >= 3 for fault in faults), [KILL], [Fault(FaultKind.KILL, "task1", number=3)]),
        (lambda faults: KILL in faults, [KILL], [KILL]),
        (lambda faults: {ORDER, MEMORY} <= faults, [ORDER, AGAIN, MEMORY, KILL], [ORDER, MEMORY]),
    ],
)
def test_as_few_faults_as_possible_are_found(breaks, happened, found):
    assert search(FakeRuns(breaks), *happened) == (Cause.FAULTS, found)


def test_a_test_that_fails_without_faults_is_run_once():
    runs = FakeRuns(lambda faults: True)
    assert search(runs, ORDER) == (Cause.TEST, [])
    assert runs.made == [set()]


def test_without_faults_a_test_that_passes_when_it_is_repeated_is_not_blamed_on_anything():
    runs = FakeRuns(lambda faults: False)
    assert search(runs) == (Cause.UNKNOWN, [])
    assert runs.made == [set()]


def test_a_set_up_that_fails_proves_nothing():
    assert search(FakeRuns(lambda faults: None), ORDER) == (Cause.UNKNOWN, [])


def test_a_failure_without_the_planned_fault_proves_nothing():
    runs = FakeRuns(lambda faults: bool(faults), happens=lambda faults: ORDER not in faults)
    assert search(runs, ORDER) == (Cause.UNKNOWN, [])


@pytest.mark.parametrize("first", [1, 3])
def test_a_fault_is_blamed_only_if_two_runs_with_it_fail_and_two_runs_without_it_pass(first):
    runs = count()
    wrong = {1: [1], 3: [1, 2, 3]}[first]  # the second run with the fault passes, or the second without it fails
    assert search(FakeRuns(lambda faults: next(runs) in wrong), ORDER) == (Cause.CHANCE, [])


def test_a_search_ends_even_if_a_test_needs_many_faults():
    happened = [Fault(FaultKind.MEMORY, f"task{number}") for number in range(200)]
    runs = FakeRuns(lambda faults: len(faults) > 150)
    cause, found = search(runs, *happened)
    assert (cause, 150 < len(found) <= 200) == (Cause.FAULTS, True)
    assert len(runs.made) <= 2 * MOST_RUNS + 4


@pytest.fixture
def text() -> Callable[..., str]:
    """Return a function that returns what the report of a seed says; the seeds belong to the same test."""
    config = SimpleNamespace(getoption=lambda _: False, pluginmanager=SimpleNamespace(get_plugin=lambda _: None))
    session = SimpleNamespace(stash=pytest.Stash())

    def explained(seed: int, breaks: Callable[[Faults], bool | None], *happened: Fault) -> str:
        callspec = SimpleNamespace(id=f"seed{seed}", params={SEED: seed})
        item: Any = SimpleNamespace(config=config, session=session, nodeid=f"a::t[seed{seed}]", callspec=callspec)
        run: Any = SimpleNamespace(happened=[(0, fault) for fault in happened], name_lab=lambda _: "")
        runs: Any = FakeRuns(breaks)
        return explain(item, runs, seed, run)[0]

    return explained


def test_a_later_seed_names_its_own_fault_unless_the_known_one_explains_the_failure(text):
    def breaks(faults: Faults) -> bool:
        return bool(faults & {ORDER, MEMORY})

    see = "This seed breaks the test, too. The report of seed 0 names a fault that breaks it."
    assert str(ORDER) in text(0, breaks, ORDER, AGAIN)
    assert text(1, breaks, AGAIN, ORDER) == see
    assert str(MEMORY) in text(2, breaks, ORDER, MEMORY)
    assert text(3, breaks, ORDER, MEMORY) == see


def test_after_a_search_that_found_nothing_a_later_seed_does_not_claim_that_a_fault_is_named(text):
    assert text(4, lambda _: False).startswith("With seed 4, no faults happened and the test failed. When it was ")
    assert text(5, lambda _: False, ORDER) == (
        "The test also fails with this seed. The report of seed 4 explains why no fault is named."
    )


@pytest.mark.parametrize(("happened", "words"), [([ORDER], "1 fault happened"), ([ORDER, AGAIN], "2 faults happened")])
def test_the_faults_are_counted_and_listed_if_they_did_not_break_the_test_again(text, happened, words):
    first, second = text(0, lambda _: False, *happened).split("\n\n")
    assert first.startswith(f"With seed 0, {words} and the test failed. When the same faults were repeated, it didn't")
    assert second == "\n".join(f"    {fault}" for fault in happened)
