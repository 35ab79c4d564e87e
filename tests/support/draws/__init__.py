"""Generated scenarios: for each exercise a strategy of hypothesis, in a module for each lesson.

A drawn scenario is a row like those of the exercise's table, with values, sizes, orders and faults that the exercise's
text allows.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from hypothesis import strategies as st

from harness.course.catalogue import Scenario

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("lesson*.py"))
DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    number: strategy
    for name in NAMES
    for number, strategy in import_module(f"tests.support.draws.{name}").DRAWS.items()
}
