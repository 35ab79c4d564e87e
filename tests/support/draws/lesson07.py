"""Generated scenarios of lesson 07: articles, rounds, deaths, orders, duplicates and overlaps."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios07 import Minutes, Ratings
from harness.course.scenarios.votes07 import Votes

# Characters that web2py, SQLite or a URL might treat in a special way.
_TEXTS = st.text(st.sampled_from("aAbB 17'\"%_&?#+/\\äß€"), min_size=1, max_size=60).filter(str.strip)
_ARTICLES = _TEXTS | st.sampled_from(["ferry", "ferry late", "Ferry", "None", "0"])
_NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,60}", fullmatch=True) | st.sampled_from(["ferry", "ferry-1", "ferry-17"])
_STARS = st.integers(1, 5)
_CHAOS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"seed": st.integers(0, 99), "shuffle": st.booleans(), "duplicates": st.sampled_from([0.0, 0.5, 1.0])}
)
_DEATHS = st.none() | st.integers(0, 8)


def _few(articles: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Draw one to three articles, from which the requests of a scenario choose."""
    return st.lists(articles, min_size=1, max_size=3, unique=True)


@st.composite
def _ratings(draw: st.DrawFn) -> Scenario:
    rating = st.tuples(st.sampled_from(draw(_few(_ARTICLES))), _STARS)
    rounds = draw(st.lists(st.lists(rating, min_size=1, max_size=3), min_size=1, max_size=2))
    overlap = draw(st.booleans())
    dies_after = None if overlap else draw(_DEATHS)
    return Ratings(
        what="a drawn scenario",
        lab={**draw(_CHAOS), "overlap": overlap},
        rounds=tuple(map(tuple, rounds)),
        pause=draw(st.floats(1, 90)),
        apart=not overlap and dies_after is None and draw(st.booleans()),
        early=draw(st.booleans()),
        dies_after=dies_after,
        may_fail=True,
    )


@st.composite
def _minutes(draw: st.DrawFn) -> Scenario:
    rating = st.tuples(st.floats(1, 70), st.sampled_from(draw(_few(_NAMES))), _STARS)
    return Minutes(
        what="a drawn scenario",
        lab=draw(_CHAOS),
        ratings=tuple(draw(st.lists(rating, min_size=1, max_size=6))),
        apart=draw(st.booleans()),
        strangers=draw(st.booleans()),
        dies_after=draw(_DEATHS),
    )


@st.composite
def _votes(draw: st.DrawFn) -> Scenario:
    article = st.sampled_from(draw(_few(_ARTICLES)))
    ballots = draw(st.lists(st.lists(article, min_size=1, max_size=3), min_size=1, max_size=2))
    stops_after = draw(_DEATHS)
    return Votes(
        what="a drawn scenario",
        lab=draw(_CHAOS),
        ballots=tuple(map(tuple, ballots)),
        gap=draw(st.floats(1, 90)),
        apart=stops_after is None and draw(st.booleans()),
        stops_after=stops_after,
    )


DRAWS = {"7.1": _ratings(), "7.2": _minutes(), "7.3": _votes()}
