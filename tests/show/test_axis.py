"""The time axis: to scale if the gaps are similar, else with the long gaps pressed together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.show.axis import lay_out, ticks

LETTER = 0.01
MOMENTS = st.lists(st.floats(0, 30 * 86400), min_size=1, max_size=200)


def labels(*seconds: float) -> list[str]:
    return [tick.label for tick in ticks(lay_out(seconds), LETTER)]


def test_equal_gaps_stay_to_scale() -> None:
    axis = lay_out([0, 3, 6])
    assert axis.pressed == ()
    assert [axis.x(second) for second in (0, 1.5, 3, 6)] == [0, 0.25, 0.5, 1]


def test_gaps_that_differ_a_little_stay_to_scale() -> None:
    assert lay_out([0, 1, 8]).pressed == ()


def test_one_instant_is_in_the_middle() -> None:
    assert lay_out([0.0]).x(0.0) == lay_out([]).x(0.0) == 0.5
    assert labels(0) == ["0"]


def test_doubling_gaps_can_all_be_distinguished() -> None:
    instants = [0.1 * (2**number - 1) for number in range(17)]
    axis = lay_out(instants)
    widths = [axis.x(later) - axis.x(earlier) for earlier, later in pairwise(instants)]
    assert min(widths) > 0.02
    assert widths == sorted(widths)
    assert len(axis.pressed) == 16


def test_one_long_gap_is_pressed_and_the_rest_stays_to_scale() -> None:
    axis = lay_out([0, 1, 2, 3, 4, 5, 3605])
    assert axis.pressed == ((axis.x(5), 1.0),)
    assert axis.x(2) - axis.x(1) == pytest.approx(axis.x(5) - axis.x(4))
    assert axis.x(5) > 0.9


def test_two_instants_far_apart_are_linear() -> None:
    assert lay_out([0, 86400]).pressed == ()


def test_a_short_attempt_after_a_long_wait_is_visible() -> None:
    axis = lay_out([0, 86400, 86401])
    assert axis.x(86401) - axis.x(86400) > 0.1


def test_many_instants_stay_to_scale_however_close() -> None:
    axis = lay_out([number * 0.2 + (number % 7) * 0.001 for number in range(1000)])
    assert axis.pressed == ()


def test_many_instants_before_a_long_gap_keep_most_of_the_axis() -> None:
    axis = lay_out([*(number * 0.2 for number in range(1000)), 5000])
    assert len(axis.pressed) == 1
    assert 0.6 < axis.x(199.8) < 0.95


def test_instants_beyond_the_ends_are_put_at_the_ends() -> None:
    axis = lay_out([0, 10])
    assert (axis.x(-1), axis.x(11)) == (0, 1)


@pytest.mark.parametrize(
    ("span", "unit", "shown"),
    [
        (5, "seconds", ["0", "1", "2", "3", "4", "5"]),
        (0.5, "seconds", ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (300, "minutes", ["0", "1", "2", "3", "4", "5"]),
        (5 * 3600, "hours", ["0", "1", "2", "3", "4", "5"]),
        (5 * 86400, "days", ["0", "1", "2", "3", "4", "5"]),
    ],
)
def test_ticks_are_round_numbers_of_a_fitting_unit(span: float, unit: str, shown: list[str]) -> None:
    axis = lay_out([0, span])
    assert axis.unit[1] == unit
    assert [tick.label for tick in ticks(axis, LETTER)] == shown


def test_ticks_of_a_pressed_axis_carry_their_unit() -> None:
    assert labels(0, 1, 2, 3, 4, 5, 3605) == ["0", "1 s", "2 s", "3 s", "4 s", "5 s", "1 h 5 s"]


@given(MOMENTS)
def test_time_only_goes_right_and_stays_on_the_axis(seconds: list[float]) -> None:
    axis = lay_out(seconds)
    places = [axis.x(second) for second in sorted(seconds)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)


@given(MOMENTS)
def test_ticks_have_room_beside_each_other(seconds: list[float]) -> None:
    marks = ticks(lay_out(seconds), LETTER)
    assert marks == sorted(marks)
    assert all(later.x - earlier.x > 2 * LETTER for earlier, later in pairwise(marks))
    assert len({mark.label for mark in marks}) == len(marks)
