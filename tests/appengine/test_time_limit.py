"""A handler that spins in real time is stopped; Ctrl-C reaches learner code, and waits while the harness runs."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from harness.appengine import time_limit
from harness.appengine.time_limit import HandlerTimeout, Interrupts, Stopped, is_harness, queued


@pytest.fixture(autouse=True)
def all_is_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM), sys.gettrace()
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM), sys.gettrace()) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def is_ours(file: str) -> bool:
    """Treat the lines of this file as learner code."""
    return file == __file__


def short_limit(is_learners: Callable[[str], bool] = is_ours) -> HandlerTimeout:
    return HandlerTimeout(is_learners, seconds=0.05, again=0.02)


def run(action: Callable[[], Any], scope: HandlerTimeout | None = None) -> HandlerTimeout:
    with scope or short_limit() as timeout:
        try:
            timeout.run(action)
        except Stopped:
            assert timeout.stopped
    return timeout


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def spin() -> None:
    while True:
        pass


def spin_and_swallow_exceptions() -> None:
    while True:
        try:
            time.perf_counter()
        except Exception:
            continue


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@pytest.mark.parametrize(
    "action",
    [spin, spin_and_swallow_exceptions, wait_for_a_lock],
)
def test_a_handler_that_does_not_end_is_stopped(action):
    assert run(action).stopped


def test_a_handler_can_swallow_that_once_and_no_more():
    swallowed = []

    def spin_and_swallow() -> None:
        while True:
            try:
                for _ in range(10**7):
                    pass
            except:  # noqa: E722
                swallowed.append("once")

    assert run(spin_and_swallow).stopped
    assert len(swallowed) == 1


def test_functions_that_a_handler_calls_can_swallow_it_no_more_often():
    swallowed = []

    def swallow() -> None:
        try:
            for _ in range(10**5):
                pass
        except:  # noqa: E722
            swallowed.append("once")

    def spin_in_calls() -> None:
        while True:
            swallow()

    assert run(spin_in_calls).stopped
    assert len(swallowed) <= 1


def test_a_handler_that_ends_in_time_is_left_alone():
    watch = run(lambda: None)
    assert not watch.stopped
    assert not watch.interrupted


def test_what_is_not_the_learners_is_not_stopped():
    begun = time.perf_counter()
    with short_limit(lambda file: False) as watch:
        watch.run(lambda: _busy(0.12))
    assert not watch.stopped
    assert time.perf_counter() - begun >= 0.12


def _busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_what_called_the_handler_is_not_stopped_though_its_file_is_the_learners():
    with short_limit() as watch:
        watch.run(lambda: None)
        _busy(0.12)
    assert not watch.stopped


def test_a_handler_inside_the_harness_is_stopped_only_when_it_is_back():
    state = []

    def handler() -> None:
        compile_in_harness("busy(0.12); state.append('done')", busy=_busy_in_c, state=state)
        spin()

    assert run(handler).stopped
    assert state == ["done"]


def _busy_in_c(seconds: float) -> None:
    compile_in_harness("while clock() < end: pass", clock=time.perf_counter, end=time.perf_counter() + seconds)


def compile_in_harness(source: str, **names: Any) -> None:
    """Run code as if it stood in a module of the harness."""
    exec(compile(source, time_limit.__file__, "exec"), names)


def test_the_harness_is_told_by_its_folder():
    assert is_harness(time_limit.__file__)
    assert not is_harness(__file__)
    assert not is_harness(time_limit.__file__.replace("/appengine/", "_of_another/appengine/"))


def test_a_handler_that_hardly_gets_the_processor_is_given_more_time():
    """As on a busy machine; here it waits for a lock, which uses as little of the processor."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(0.75, lock.release).start()
    assert not run(lock.acquire, HandlerTimeout(is_ours, seconds=0.5)).stopped


class Clocks:
    """The three clocks of a limit, set by hand: real time, time on a processor, and time spent waiting for one."""

    def __init__(self) -> None:
        self.seconds = [100.0, 100.0, 100.0]
        self.wall, self.processor, self.queued = (partial(self.seconds.__getitem__, index) for index in range(3))

    def pass_by(self, seconds: float, *, processor: float = 0.0, line: float = 0.0) -> None:
        """Let time pass, of which some was spent on a processor and some waiting for one."""
        for index, amount in enumerate((seconds, processor, line)):
            self.seconds[index] += amount


def test_a_handler_that_spins_on_a_busy_machine_is_stopped_when_it_has_had_as_much_as_on_a_quiet_one():
    clocks = Clocks()
    quiet = HandlerTimeout(is_ours, clocks=clocks)
    clocks.pass_by(5.0, processor=5.0)
    assert quiet._is_due()
    busy = HandlerTimeout(is_ours, clocks=clocks)
    for _ in range(3):  # twenty learners on two cores: a tenth of the time
        clocks.pass_by(10.0, processor=1.0, line=9.0)
        assert not busy._is_due()
    clocks.pass_by(10.0, processor=1.0, line=9.0)
    assert busy._is_due()


def test_a_handler_that_waits_is_given_six_times_as_long():
    clocks = Clocks()
    watch = HandlerTimeout(is_ours, clocks=clocks)
    clocks.pass_by(29.0)
    assert not watch._is_due()
    clocks.pass_by(1.0)
    assert watch._is_due()


def test_time_in_line_for_the_processor_is_no_waiting():
    clocks = Clocks()
    watch = HandlerTimeout(is_ours, clocks=clocks)
    clocks.pass_by(5.0, processor=0.1, line=4.9)
    assert not watch._is_due()  # the first alarm: from here on the line is known
    clocks.pass_by(100.0, processor=1.0, line=99.0)
    assert not watch._is_due()
    clocks.pass_by(24.0)
    assert watch._is_due()


def test_the_line_for_the_processor_is_told_where_there_is_a_proc_file_and_else_nought(tmp_path):
    file = tmp_path / "7" / "schedstat"
    file.parent.mkdir()
    assert queued(7, str(tmp_path)) == 0.0
    file.write_text("7000000000 2500000000 9\n", encoding="ascii")
    assert queued(7, str(tmp_path)) == 2.5
    file.write_text("another format\n", encoding="ascii")
    assert queued(7, str(tmp_path)) == 0.0


def test_a_second_limit_begins_anew():
    assert run(spin).stopped
    assert not run(lambda: None).stopped
    assert run(spin).stopped


def test_outside_the_main_thread_there_is_no_limit():
    watches: list[HandlerTimeout] = []
    thread = threading.Thread(target=lambda: watches.append(run(lambda: _busy(0.12))))
    thread.start()
    thread.join()
    assert not watches[0].stopped


def test_ctrl_c_stops_a_handler_at_once():
    reached = []

    def handler() -> None:
        press_ctrl_c()
        reached.append("after")

    with pytest.raises(KeyboardInterrupt), HandlerTimeout(is_ours) as watch:
        watch.run(handler)
    assert watch.interrupted
    assert reached == []


def test_ctrl_c_is_noted_even_where_the_handler_swallows_it():
    def handler() -> str:
        try:
            press_ctrl_c()
        except:  # noqa: E722
            return "swallowed"
        return "never pressed"

    with HandlerTimeout(is_ours) as watch:
        assert watch.run(handler) == "swallowed"
    assert watch.interrupted


def test_ctrl_c_waits_while_the_books_are_kept():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        press_ctrl_c()
        done.append("books")
    assert done == ["books"]
    interrupts.check()  # it is used up


def test_ctrl_c_that_waits_takes_effect_at_the_next_check():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        press_ctrl_c()
        interrupts.check()
        done.append("another task")
    assert done == []


def test_ctrl_c_around_a_handler_waits_until_the_guard_is_off():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        with HandlerTimeout(is_ours) as watch:
            watch.run(lambda: None)
            press_ctrl_c()
            done.append("handler")
        done.append("books")
    assert done == ["handler", "books"]
    assert not watch.interrupted


def test_ctrl_c_in_the_midst_of_the_guards_own_end_leaves_neither_timer_nor_handler():
    interrupts, caught = Interrupts(), 0
    for line in range(1, 60):  # press it at each line that the guard runs, one after the other
        pressed = _press_at_line(line)
        sys.settrace(pressed)
        try:
            with interrupts.held(), HandlerTimeout(is_ours) as watch:
                watch.run(lambda: None)
        except KeyboardInterrupt:
            caught += 1
        finally:
            sys.settrace(None)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert caught > 20


def _press_at_line(number: int) -> Callable[..., Any]:
    """Make a trace function that presses Ctrl-C at the n-th line that runs in the guard, once held() has begun."""
    seen = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != time_limit.__file__:
            return None
        if event == "line":
            seen.append(frame.f_lineno)
            if len(seen) == number and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
                press_ctrl_c()
        return trace

    return trace


def test_an_error_and_a_ctrl_c_at_once_leave_nothing_behind():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        press_ctrl_c()
        raise ValueError("of the books")
    interrupts.check()


def test_where_ctrl_c_is_ignored_it_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().held(), HandlerTimeout(is_ours) as watch:
            watch.run(press_ctrl_c)
        assert not watch.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
