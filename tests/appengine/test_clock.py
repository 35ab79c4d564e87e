"""Virtual time moves only when it is moved, and Python sees it only inside a scope."""

import datetime as datetime_module
import math
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from harness.appengine import clock as clock_module
from harness.appengine.clock import START, Clock, DeadlineExceeded, to_datetime
from harness.errors import BadValueError, HarnessError
from tests.support.labs import python


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_clock_begins_on_a_monday_morning_in_2012(clock):
    assert clock.now == datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
    assert clock.timestamp == START.timestamp()


def test_time_does_not_pass_by_itself(clock):
    before = clock.timestamp
    time.sleep(0.01)
    assert clock.timestamp == before


def test_a_clock_begins_when_it_is_told():
    begin = datetime(2020, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert Clock(begin).now == datetime(2020, 1, 1, 10, 0, tzinfo=UTC)


def test_a_naive_start_is_refused():
    with pytest.raises(BadValueError, match=r"datetime\(2020, 1, 1, 0, 0\).*tzinfo"):
        Clock(datetime(2020, 1, 1))


def test_advance_moves_the_clock(clock):
    clock.advance(90)
    clock.advance(0)
    assert clock.now - START == timedelta(seconds=90)


def test_the_clock_never_goes_back(clock):
    clock.move_to(clock.timestamp + 5)
    clock.move_to(clock.timestamp - 3)
    assert clock.now - START == timedelta(seconds=5)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), -0.001, "5", None, True, [1], 1e12])
def test_seconds_that_no_clock_can_move_by_are_refused_and_change_nothing(clock, seconds):
    with pytest.raises(BadValueError, match="clock cannot be moved") as caught:
        clock.advance(seconds)
    assert repr(seconds) in str(caught.value)
    assert clock.now == START


def test_the_year_9999_is_out_of_reach(clock):
    with pytest.raises(BadValueError, match="9998"):
        clock.move_to(datetime(9999, 1, 2, tzinfo=UTC).timestamp())
    assert clock.now == START


def test_inside_a_scope_python_sees_virtual_time(clock):
    clock.advance(60)
    with clock.travel():
        assert time.time() == clock.timestamp
        assert datetime_module.datetime.now(UTC) == clock.now
        assert time.gmtime()[:5] == (2012, 9, 3, 9, 1)
    assert time.time() > START.timestamp() + 86400


def test_a_scope_may_begin_at_any_instant(clock):
    with clock.travel(at=START.timestamp() + 10):
        assert time.time() == START.timestamp() + 10
    assert clock.now == START


def test_a_sleep_takes_virtual_time_only(clock):
    begun = time.perf_counter()
    with clock.travel() as trip:
        time.sleep(3600)
        assert time.time() == START.timestamp() + 3600
        assert clock.timestamp == START.timestamp() + 3600
    assert trip.elapsed == 3600
    assert clock.now == START
    assert time.perf_counter() - begun < 3600


def test_sleeps_add_up(clock):
    with clock.travel() as trip:
        for _ in range(10):
            time.sleep(0.1)
    assert trip.elapsed == pytest.approx(1)


@pytest.mark.parametrize(("seconds", "error"), [(-1, ValueError), ("1", TypeError), (None, TypeError)])
def test_a_sleep_refuses_what_pythons_own_refuses(clock, seconds, error):
    with clock.travel() as trip, pytest.raises(error):
        time.sleep(seconds)
    assert trip.elapsed == 0


def test_a_sleep_past_the_deadline_is_cut_short_there(clock):
    with clock.travel(deadline=600) as trip:
        time.sleep(599)
        with pytest.raises(DeadlineExceeded, match="600 seconds"):
            time.sleep(2)
    assert (trip.elapsed, trip.deadline_exceeded) == (600, True)


def test_a_sleep_up_to_the_deadline_is_in_time(clock):
    with clock.travel(deadline=600) as trip:
        time.sleep(600)
    assert (trip.elapsed, trip.deadline_exceeded) == (600, False)


def test_the_deadline_is_no_exception_that_a_handler_would_catch():
    assert not issubclass(DeadlineExceeded, Exception)


def test_time_cannot_be_moved_under_a_request(clock):
    with clock.travel():
        for move in (lambda: clock.advance(1), lambda: clock.move_to(0)):
            with pytest.raises(HarnessError, match="while a request is running"):
                move()


def test_scopes_do_not_nest(clock):
    with clock.travel(), pytest.raises(HarnessError, match="already running"), Clock().travel():
        pass
    with clock.travel() as trip:
        time.sleep(1)
    assert trip.elapsed == 1


def test_after_an_exception_in_a_scope_time_is_real_again(clock):
    with pytest.raises(ZeroDivisionError), clock.travel():
        time.sleep(1)
        raise ZeroDivisionError
    assert time.sleep is clock_module._real_sleep
    assert time.time() > START.timestamp() + 86400
    assert clock.timestamp == START.timestamp()


def test_a_sleep_that_was_imported_inside_a_scope_sleeps_for_real_outside(clock, monkeypatch):
    slept = []
    monkeypatch.setattr(clock_module, "_real_sleep", slept.append)
    with clock.travel() as trip:
        from time import sleep

        sleep(2)
    sleep(3)
    assert (trip.elapsed, slept) == (2, [3])


def test_another_thread_sleeps_for_real_meanwhile(clock, monkeypatch):
    slept = []
    monkeypatch.setattr(clock_module, "_real_sleep", slept.append)
    with clock.travel() as trip:
        thread = threading.Thread(target=lambda: time.sleep(7))
        thread.start()
        thread.join()
    assert (trip.elapsed, slept) == (0, [7])


def test_an_instant_is_the_same_on_every_host():
    assert to_datetime(0.1) == datetime(1970, 1, 1, 0, 0, 0, 100000, tzinfo=UTC)
    assert to_datetime(START.timestamp()) == START


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_virtual_time_is_the_same_in_every_time_zone(zone, tmp_path):
    source = (
        "import time; from datetime import UTC, datetime; from harness.appengine.clock import Clock\n"
        "with Clock().travel(): print(time.time(), datetime.now(UTC), datetime.now().astimezone(UTC))"
    )
    done = python(source, tmp_path, TZ=zone)
    assert done.stdout == "1346662800.0 2012-09-03 09:00:00+00:00 2012-09-03 09:00:00+00:00\n", done.stderr


def test_time_travel_does_not_load_pytest(tmp_path):
    source = (
        "import sys; from harness.appengine.clock import Clock\nwith Clock().travel(): print('pytest' in sys.modules)"
    )
    assert python(source, tmp_path).stdout == "False\n"
    assert "pytest" in sys.modules  # here it is, and stays


def test_a_scope_that_cannot_begin_leaves_the_real_time(clock: Clock) -> None:
    before = time.time()
    with pytest.raises(ValueError, match="NaN"), clock.travel(math.nan):
        pytest.fail("the scope began")
    assert time.time() >= before
    with clock.travel(5.0):
        assert time.time() == 5.0
    assert time.time() >= before
