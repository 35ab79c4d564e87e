"""Generated scenarios for the exercises of lesson 05."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios05 import Digests, Editions, Mailing, Pages, Press, Reminders

_TITLES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=60)
_PAUSES = st.floats(1, 5000).map(lambda seconds: round(seconds, 3))  # from one second, so that clocks differ
_DAYS = st.dates().map(str)
_OTHER_ROLES = st.sampled_from(["editor", "Reader", "reader ", "proofreader", "readers", ""])


@st.composite
def _presses(draw: st.DrawFn) -> tuple[Press, ...]:
    """Return requests for some days, some of them again later."""
    days = draw(st.lists(_DAYS, min_size=1, max_size=3, unique=True))
    repeated = [days[place % len(days)] for place in draw(st.lists(st.integers(0, 2), max_size=3))]
    presses = [
        st.builds(Press, day=st.just(day), pause=_PAUSES, other=st.booleans(), mailed=st.booleans())
        for day in [*days, *repeated]
    ]
    return draw(st.tuples(*presses))


@st.composite
def _people(draw: st.DrawFn) -> tuple[tuple[str, int], ...]:
    """Return some readers, and other people and gaps around them."""
    readers = draw(st.lists(st.sampled_from([1, 2, 20, 49, 50]), max_size=3))
    others = draw(st.lists(st.tuples(_OTHER_ROLES, st.integers(1, 120)), max_size=4))
    return tuple(draw(st.permutations([*(("reader", count) for count in readers), *others])))


@st.composite
def _mailings(draw: st.DrawFn) -> Mailing:
    kills = draw(st.dictionaries(st.integers(0, 3), st.integers(0, 60), max_size=2))
    return Mailing(people=draw(_people()), elsewhere=draw(st.booleans()), kills=kills)


DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "5.1": st.builds(
        Reminders,
        wishes=st.lists(st.tuples(_TITLES, st.integers(0, 10_080)), min_size=1, max_size=4).map(tuple),
        pause=_PAUSES,
        others=st.booleans(),
        elsewhere=st.booleans(),
    ),
    "5.2": st.builds(
        Digests,
        presses=_presses(),
        elsewhere=st.booleans(),
    ),
    "5.3": st.one_of(
        st.builds(Pages, worker=st.sampled_from(["quick", "slow"]), count=st.integers(2, 12)),
        st.builds(Pages, count=st.integers(2, 6), together=st.just(False)),
        st.builds(Pages, worker=st.just("fails"), count=st.just(1), failures=st.integers(1, 25)),
    ),
    "5.4": _mailings(),
    "5.5": st.builds(
        Editions,
        counts=st.lists(
            st.one_of(st.integers(0, 5), st.sampled_from([99, 100, 101, 199, 200, 201])), min_size=1, max_size=2
        ).map(tuple),
        pause=_PAUSES,
        others=st.booleans(),
        mailed=st.just(True),
        elsewhere=st.booleans(),
    ),
}
