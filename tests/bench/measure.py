"""Measure contestants in turns, and put what comes out into rows."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

ROUNDS = 7
Contestant = Callable[[], float]  # does its work, returns the seconds that count


@dataclass(frozen=True)
class Row:
    """One line of the report: `value` against `goal`, both in `unit`; None where there is no goal."""

    group: str
    what: str
    value: float
    unit: str
    goal: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        return "" if self.goal is None else "ok" if self.value <= self.goal else "MISSED"


def in_turns(contestants: dict[str, Contestant], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median seconds of each contestant; they take turns, so that a slow moment hits them all."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gc.collect()
            times[name].append(contestant())
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def timed(work: Callable[[], object], count: int = 1) -> float:
    """Return the real seconds per piece that `work` takes for `count` pieces."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count


def fresh(program: str) -> float:
    """Return the number that a program prints in an interpreter of its own."""
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep Python's own garbage collector out of a measurement; web2py's explicit call still counts."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
