"""Generated scenarios of lesson 09."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios09 import Draws, Offer, Offers, Pressed, Prints

# Characters that a browser can send and that a database can store.
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=80)
_WHAT = st.just("a drawn scenario")
_WEEKS = ("2012-3", "2012-03", "2012-36", "2013-36", "2012-37")
_MODES = st.sampled_from(({}, {"cloud_tasks": True}))
_ORDERS = st.lists(st.text("12", min_size=1, max_size=30), min_size=2, max_size=2).map(tuple)
_DRAWS = st.builds(
    Draws,
    what=_WHAT,
    lab=_MODES,
    presses=st.lists(
        st.builds(
            Pressed,
            week=st.sampled_from(_WEEKS),
            pause=st.floats(1, 30_000),
            other=st.booleans(),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
    elsewhere=st.booleans(),
) | st.builds(
    Draws,
    what=_WHAT,
    lab=_MODES,
    presses=st.just((Pressed(), Pressed(week="2013-36"))),
    orders=_ORDERS,
)
_PRINTS = st.builds(
    Prints,
    what=_WHAT,
    issues=st.lists(_TEXT, min_size=1, max_size=3).map(tuple),
    refused=st.just("value"),
    wait=st.floats(0, 900_000),
    forged=st.booleans(),
    similar=st.booleans(),
    broken=st.booleans(),
) | st.builds(
    Prints,
    what=_WHAT,
    issues=st.tuples(_TEXT),
    refused=st.just("one-attempt"),
    shutdowns=st.lists(st.integers(0, 4), max_size=4).map(tuple),
)


@st.composite
def _offers(draw: st.DrawFn) -> Offers:
    titles = draw(st.dictionaries(st.integers(1, 200), _TEXT, min_size=1, max_size=4))
    articles = draw(st.lists(st.sampled_from(sorted(titles)), min_size=1, max_size=5))
    pauses = st.floats(1, 10_000)
    return Offers(
        what="a drawn scenario",
        offers=tuple(
            Offer(
                article=each,
                title=titles[each],
                pause=draw(pauses),
                other=draw(st.booleans()),
                sent=draw(st.booleans()),
            )
            for each in articles
        ),
        elsewhere=draw(st.booleans()),
        failures=draw(st.integers(0, 3)),
    )


_DOUBLE_CLICKS = st.builds(Offers, what=_WHAT, offers=st.just((Offer(), Offer(article=1))), orders=_ORDERS)
DRAWS: dict[str, st.SearchStrategy[Scenario]] = {"9.1": _DRAWS, "9.2": _PRINTS, "9.3": _offers() | _DOUBLE_CLICKS}
