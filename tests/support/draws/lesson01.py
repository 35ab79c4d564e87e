"""Generated scenarios of lesson 01: headlines and addresses, orders, pauses, instances and faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from harness.course.catalogue import Scenario
from harness.course.scenarios.scenarios01 import MOVE_THE_MAIL, WRITE_THE_WORKER, Requests

HEADLINES = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=80) | st.sampled_from(
    ["", " ", "None", "0", "null", "Ferry late", "Ferry late ", "1", "17", "a=1&b=2+3%20"]
)
ADDRESSES = st.builds(
    "{}@{}.example.com".format,
    st.text(st.characters(codec="utf-8", categories=("L", "N")) | st.sampled_from(".+-_'&%="), min_size=1, max_size=40),
    st.text("abcdefghij-", min_size=1, max_size=20),
)


def requests(values: st.SearchStrategy[tuple[str, ...]], **fields: Any) -> st.SearchStrategy[Scenario]:
    """Draw one to three requests with these values, and repeat the first one."""
    return st.builds(
        Requests,
        what=st.just("a generated scenario"),
        requests=st.lists(values, min_size=1, max_size=3).map(lambda drawn: (*drawn, drawn[0])),
        at_once=st.booleans(),
        pause=st.floats(1, 200_000),
        browsers=st.booleans(),
        elsewhere=st.booleans(),
        deleted=st.integers(0, 3),
        **fields,
    )


def with_fault(row: Requests, values: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[Scenario]:
    """Draw one request of a row whose first attempt fails."""
    turns = st.integers(0, 4) if row.kill_after is not None else st.none()
    return st.builds(
        lambda drawn, after, elsewhere: replace(row, requests=(drawn,), kill_after=after, elsewhere=elsewhere),
        values,
        turns,
        st.booleans(),
    )


EDITS = st.tuples(HEADLINES, HEADLINES)
EARLIER = st.lists(EDITS, max_size=3).map(tuple)
READERS = st.tuples(ADDRESSES)
EDIT_ROWS = requests(EDITS, earlier=EARLIER)
DRAWS: dict[str, st.SearchStrategy[Scenario]] = {
    "1.1": EDIT_ROWS,
    "1.2": st.one_of(
        EDIT_ROWS, *(with_fault(row, EDITS) for row in WRITE_THE_WORKER if row.fails or row.kill_after is not None)
    ),
    "1.3": st.one_of(requests(READERS), *(with_fault(row, READERS) for row in MOVE_THE_MAIL if row.fails)),
    "1.4": EDIT_ROWS,
}
