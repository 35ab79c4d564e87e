"""Generated scenarios of lesson 02. Requests and rows are few, so that each one is cheap."""

from hypothesis import strategies as st

from harness.course.scenarios.scenarios02 import (
    Article,
    Edits,
    News,
    Report,
    Reports,
    SectionVote,
    SectionVotes,
    Stories,
)

_LETTERS = st.characters(exclude_categories=("Cs", "Cc"))  # a browser sends no others in one line
_TEXT = st.text(_LETTERS, max_size=20) | st.sampled_from(["None", "0", "-", "&x=1", '"}', "a" * 100])
_FULL = _TEXT.filter(lambda text: bool(text))
_DIES = st.none() | st.just(1)
_FLAGS = {"together": st.booleans(), "earlier": st.booleans(), "elsewhere": st.booleans(), "dies": _DIES}
_WORD = st.sampled_from(["Ebb", "and", "ferry's", "100 %", "夜", " ", "\t", "\n", "  "])
_STORY = st.lists(_WORD, max_size=8).map("".join)


@st.composite
def _stories(draw: st.DrawFn) -> Stories:
    bodies = draw(st.lists(_STORY, min_size=1, max_size=3))
    places = st.integers(0, len(bodies) - 1)
    deleted = draw(st.frozensets(places, max_size=1))
    corrected = (
        draw(st.dictionaries(places.filter(lambda place: place not in deleted), _STORY, max_size=1))
        if len(bodies) > len(deleted)
        else {}
    )
    return Stories(
        what="a generated scenario",
        lab={"shuffle": draw(st.booleans()), "seed": draw(st.integers(0, 9))},
        bodies=tuple(bodies),
        corrected=corrected,
        deleted=deleted,
        others=draw(st.sampled_from([0, 1, 11])),
        elsewhere=draw(st.booleans()),
        dies=draw(st.lists(st.integers(0, 4), max_size=2).map(tuple)),
    )


DRAWS = {
    "2.1": st.builds(
        Edits,
        what=st.just("a generated scenario"),
        edits=st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=3).map(tuple),
        logged_in=st.booleans(),
        **_FLAGS,
    ),
    "2.2": st.builds(
        SectionVotes,
        what=st.just("a generated scenario"),
        votes=st.lists(
            st.builds(
                SectionVote,
                stars=st.integers(1, 5),
                comment=st.none() | _TEXT,
                sections=st.lists(_FULL, max_size=4, unique=True).map(tuple),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        **_FLAGS,
    ),
    "2.3": st.builds(
        Reports,
        what=st.just("a generated scenario"),
        reports=st.lists(
            st.builds(
                Report,
                port=_TEXT,
                metres=st.lists(st.integers(-80, 80).map(lambda number: number / 4), min_size=1, max_size=5).map(tuple),
                storm=st.booleans(),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        **_FLAGS,
    ),
    "2.4": _stories(),
    "2.5": st.builds(
        News,
        what=st.just("a generated scenario"),
        articles=st.lists(
            st.builds(Article, title=_TEXT, urgent=st.sampled_from(["on", "on", "", None, "off"])),
            min_size=1,
            max_size=3,
        ).map(tuple),
        **_FLAGS,
    ),
}
