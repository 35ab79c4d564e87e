"""Generated scenarios of lesson 03: texts, numbers, orders, times and addresses."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios03 import Addresses, Pair, Saves

TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=60)
WORDS = st.sampled_from(["", " ", "Ferry", "Ferry late", " Ferry", "ferry", "None", "0", "%41", "Möwen & Wind", "a+b"])
NUMBERS = st.integers(1, 10**9).map(str) | st.sampled_from(["1", "17", "117", "7"])
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6) | st.sampled_from(
    ["log", "log_edit", "save", "catalog"]
)


def rounds(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[tuple[tuple[Pair, ...], ...]]:
    """Return a strategy for one or two rounds of one or two requests, which are often equal."""
    few = st.lists(pairs, min_size=1, max_size=2).flatmap(
        lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=2).map(tuple)
    )
    return st.lists(few, min_size=1, max_size=2).map(tuple)


def saves(pairs: st.SearchStrategy[Pair], *apps: str) -> st.SearchStrategy[Saves]:
    """Return a strategy for the requests of an exercise, each a second or more after the one before it."""
    waits = st.lists(st.sampled_from([1.0, 1.5, 60.0, 3_600.0, 86_400.0]), min_size=6, max_size=6)
    return st.builds(
        Saves,
        rounds=rounds(pairs),
        apps=st.sampled_from([("tutorial",), ("tutorial", *apps), (*apps, "tutorial")]),
        at=waits.map(lambda each: tuple(sum(each[:number]) for number in range(len(each)))),
        instances=st.booleans(),
        bystander=st.booleans(),
    )


TWO_TEXTS = st.tuples(WORDS | TEXTS, WORDS | TEXTS)
PAGES = st.lists(
    st.tuples(
        st.sampled_from(["tutorial", "stats", "corrections"]),
        st.sampled_from(["ex3_5", "ex3_5_news", "ex3_5b", "news"]),
        NAMES,
    ).filter(lambda page: page != ("tutorial", "ex3_5", "log") and page[1:] not in _TAKEN),
    max_size=4,
    unique=True,
).map(tuple)
_TAKEN = (("ex3_5_news", "index"), ("ex3_5_news", "addresses"))
STRANGERS = st.lists(
    st.lists(NAMES | st.just("corrections"), min_size=1, max_size=3)
    .map(lambda names: f"/{'/'.join(names)}")
    .filter(lambda path: path != "/corrections/log" and not path.startswith("/corrections/log/")),
    max_size=3,
).map(tuple)
DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "3.1": saves(TWO_TEXTS, "preview"),
    "3.2": saves(TWO_TEXTS),
    "3.3": saves(st.tuples(NUMBERS, WORDS | TEXTS)),
    "3.4": saves(TWO_TEXTS),
    "3.5": st.builds(Addresses, headlines=TWO_TEXTS, pages=PAGES, strangers=STRANGERS),
}
