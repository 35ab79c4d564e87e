"""Generated scenarios of lesson 06."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios06 import Card, Guarded, Renewal, Sender

# Characters that a browser can send and that a database can store.
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=80)
_WHAT = st.just("a drawn scenario")
_SHUTDOWNS = st.lists(st.integers(0, 4), max_size=4).map(tuple)
_SENDERS = st.lists(
    st.builds(
        Sender,
        queue=st.sampled_from(("default", "letters", "default-2")),
        method=st.sampled_from(("POST", "GET")),
    ),
    max_size=3,
).map(tuple)


def guarded(senders: st.SearchStrategy[tuple[Sender, ...]]) -> st.SearchStrategy[Guarded]:
    """Return rows for a guard, with tasks of other actions."""
    return st.builds(
        Guarded,
        what=_WHAT,
        values=st.lists(_TEXT, max_size=3).map(tuple),
        pause=st.floats(1, 5_000),
        wait=st.floats(0, 900_000),
        elsewhere=st.booleans(),
        attacked=st.booleans(),
        senders=senders,
    ) | st.builds(Guarded, what=_WHAT, values=st.tuples(_TEXT), shutdowns=_SHUTDOWNS, wait=st.floats(0, 900_000))


def _cards(count: int) -> st.SearchStrategy[tuple[Card, ...]]:
    return st.lists(
        st.tuples(_TEXT, st.text("0123456789abzAZ-", min_size=1, max_size=20)), min_size=count, max_size=count
    ).map(tuple)


@st.composite
def _renewals(draw: st.DrawFn) -> Renewal:
    ids = draw(st.lists(st.integers(1, 2_000), min_size=1, max_size=4, unique=True))
    together = draw(st.booleans())
    one = draw(st.sampled_from(("shutdowns", "elsewhere", "strings", "many")))
    size = 1 if one == "shutdowns" else 3
    return Renewal(
        what="a drawn scenario",
        ids=tuple(ids),
        cards=draw(_cards(len(ids)))
        if one == "strings"
        else tuple((f"{number}@q.test", f"t-{number}zq") for number in ids),
        renewals=tuple(draw(st.lists(st.sampled_from(ids), min_size=one == "shutdowns", max_size=size))),
        pauses=tuple(draw(st.lists(st.floats(1, 100_000), min_size=1, max_size=3))),
        changes=0 if one == "strings" else draw(st.integers(0, 3)),
        each=not together,
        elsewhere=one == "elsewhere",
        shutdowns=tuple(draw(_SHUTDOWNS)) if one == "shutdowns" and together else (),
        uncharged="wrong-card",
        lost="lost-renewal",
    )


DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "6.1": guarded(_SENDERS),
    "6.2": guarded(st.just(())),
    "6.3": _renewals(),
}
