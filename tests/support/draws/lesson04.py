"""Generated scenarios of lesson 04: values, orders, pauses, and instances that are shut down."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios04 import REFUSES_NUMBERS, Asks, Letters, NumberedRatings, Orders, Wakes

_TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cn", "Co", "Zl", "Zp"])
)
# A validator makes an empty string of one that contains only spaces.
TEXTS = st.one_of(
    st.sampled_from(["", "0", "None", "never ", "Lost", "it's", 'a "b"', "50 %"]),
    _TEXT.map(lambda text: text[:80]).filter(lambda text: not text or text.strip()),
)
_NAMES = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=80)
_PAUSE = st.floats(1.0, 1e5)


def _deaths(most: int) -> st.SearchStrategy[dict[int, int]]:
    """Let some of the first attempts never reach the worker."""
    return st.sets(st.integers(1, most), max_size=2).map(lambda attempts: dict.fromkeys(attempts, 0))


def _ratings(is_refused: bool) -> st.SearchStrategy[NumberedRatings]:
    # A number that is sent again has the same stars here; the table has a row for other ones.
    numbers = st.lists(st.integers(0, 2), min_size=1, max_size=4)
    pool = st.lists(st.tuples(TEXTS.filter(str.strip), TEXTS), min_size=3, max_size=3, unique_by=lambda each: each[0])
    drawn = st.tuples(numbers, pool).map(lambda each: tuple(each[1][number] for number in each[0]))
    unique = drawn.map(lambda ratings: tuple(dict.fromkeys(ratings)))
    if is_refused:
        return unique.map(_refused)
    return st.one_of(
        st.builds(NumberedRatings, ratings=drawn, pause=_PAUSE, together=st.booleans(), deaths=_deaths(2)),
        st.builds(NumberedRatings, ratings=drawn, pause=_PAUSE, lab=st.just({"duplicates": 1.0})),
        st.builds(NumberedRatings, ratings=drawn, elsewhere=st.integers(1, 3)),
        st.builds(
            NumberedRatings,
            ratings=unique.map(lambda ratings: ratings[:2]),
            dies_after=st.lists(st.tuples(st.integers(0, 9)), min_size=2, max_size=2).map(tuple),
        ),
        st.builds(
            NumberedRatings,
            ratings=unique.map(lambda ratings: ratings[:2]),
            orders=st.lists(st.text("12", min_size=1, max_size=6), min_size=2, max_size=2).map(tuple),
        ),
    )


def _refused(ratings: tuple[tuple[str, str], ...]) -> NumberedRatings:
    numbers = frozenset(number for number, _ in ratings)
    models = {"z_refusing": REFUSES_NUMBERS.format(numbers=sorted(numbers))}
    return NumberedRatings(
        what="the first insert of each rating fails", ratings=ratings, models=models, refused=numbers
    )


def _delivered(letters: tuple[str, ...]) -> st.SearchStrategy[Scenario]:
    known = {letter: st.integers(1, 5) for letter in letters}
    return st.builds(
        Letters,
        letters=st.just(letters),
        delivered=st.fixed_dictionaries({}, optional=known),
        together=st.booleans(),
        pause=_PAUSE,
        elsewhere=st.none() | st.integers(1, 4),
        deaths=st.sets(st.integers(1, 5), min_size=1, max_size=4).map(lambda attempts: dict.fromkeys(attempts, 0)),
    )


DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "4.1": st.builds(
        Asks,
        days=st.lists(st.just("never") | TEXTS, min_size=1, max_size=3).map(tuple),
        together=st.booleans(),
        pause=_PAUSE,
        gap=st.sampled_from([0.0, 0.5, 4000.25]),
        elsewhere=st.none() | st.integers(1, 3),
        deaths=_deaths(3),
    ),
    "4.2": _ratings(is_refused=False) | _ratings(is_refused=True),
    "4.3": st.builds(
        Orders,
        pages=st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
        busy=st.none() | st.integers(0, 4),
        together=st.booleans(),
        pause=_PAUSE,
        elsewhere=st.none() | st.integers(1, 3),
        deaths=_deaths(3),
    ),
    "4.4": st.lists(st.just("lost") | TEXTS, min_size=1, max_size=2).map(tuple).flatmap(_delivered),
    "4.5": st.one_of(
        st.builds(
            Wakes,
            times=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
            together=st.booleans(),
            pause=_PAUSE,
            elsewhere=st.none() | st.integers(1, 3),
            deaths=_deaths(3),
        ),
        st.builds(Wakes, names=st.lists(_NAMES, min_size=1, max_size=5, unique=True).map(tuple)),
    ),
}
