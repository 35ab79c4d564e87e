"""What the tests with generated input share: how many examples they try, and the limits of what they may cause."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from harness.errors import HarnessError

_SOAK = os.environ.get("HARNESS_SOAK")
_SECONDS = 1.0 if _SOAK else 20.0  # of processor time for one call; a busy machine must not fail `make test`
LONGEST = 2000  # characters of a message


def _huge(kind: str) -> Any:
    return {"text": "x" * 100_000, "bytes": b"x" * 100_000, "integer": -(10**5000)}[kind]


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),  # with surrogates
    st.binary(max_size=20),
    st.sampled_from(["\0", "", 0, -1, 10**400, float("nan"), float("inf")]),
    st.sampled_from(["text", "bytes", "integer"]).map(_huge),  # mapped, because hypothesis takes the `repr` of samples
    st.decimals(),
    st.datetimes(),
    st.timedeltas(),
)
ODD_TREES = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def examples(number: int, share: int = 1) -> settings:
    """Return settings that try so many examples, and HARNESS_SOAK examples, or a share of them, in `make soak`."""
    unimportant = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [phase for phase in Phase if phase is not Phase.explain]  # which takes minutes
    return settings(
        max_examples=int(_SOAK) // share if _SOAK else number,
        deadline=None,
        suppress_health_check=unimportant,
        phases=phases,
    )


@contextmanager
def promptly() -> Iterator[None]:
    """Require that this scope takes little time, and that a HarnessError from it has a short message."""
    begun = time.process_time()
    try:
        yield
    except HarnessError as error:
        assert 0 < len(str(error)) <= LONGEST, f"{len(str(error))} characters: {str(error)[:300]}"
        raise
    finally:
        took = time.process_time() - begun
    assert took < _SECONDS, f"{took:.1f} s"
