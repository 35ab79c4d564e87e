"""Generated scenarios of lesson 08."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios08 import Deployed
from tests.support.draws.lesson06 import guarded

# Starting a server takes most of a second, so there is only one scenario, with several orders.
_ORDERS = ("Möwen & Wind", "a=b&c=d", "  ", "100 %", "", "Tea")

DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "8.1": st.just(Deployed(what="a drawn scenario", items=_ORDERS)),
    "8.2": guarded(st.just(())),
}
