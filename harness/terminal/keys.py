"""Keys as they are pressed, and a terminal that is left as it was, however that comes about."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]


def can_read_keys() -> bool:
    """Tell whether there is a terminal on both sides, and keys of it can be read one by one."""
    return termios is not None and sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def keys(press: Callable[[str], None]) -> Iterator[None]:
    """Call `press` with each key in this scope, from a thread; nothing shows what is typed.

    Args:
        press: takes a lower-case character; "q" when the terminal is gone. Arrows and the like do not come.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    awake, wake = os.pipe()
    reader = threading.Thread(target=_read, args=(descriptor, awake, press), daemon=True)
    try:
        tty.setcbreak(descriptor)
        _without_suspension(descriptor)
        reader.start()
        yield
    finally:
        os.close(wake)
        if reader.ident is not None:
            reader.join()
        os.close(awake)
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def _without_suspension(descriptor: int) -> None:
    """Let Ctrl-Z do nothing: it would leave the shell on our screen."""
    settings = termios.tcgetattr(descriptor)
    settings[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def _read(descriptor: int, awake: int, press: Callable[[str], None]) -> None:
    """Read keys until the other end of `awake` is closed."""
    while True:
        ready = select.select([descriptor, awake], [], [])[0]
        if awake in ready:
            return
        try:
            typed = os.read(descriptor, 64).decode("utf-8", "ignore")
        except OSError:
            typed = ""
        if not typed:
            press("q")
            return
        for key in "" if typed.startswith("\x1b") else typed.lower():
            press(key)


@contextmanager
def signals(resized: Callable[[], None]) -> Iterator[None]:
    """Call `resized` when the window changes, and leave by an exception, which tidies up, when we are to end."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGWINCH") if hasattr(signal, name)]

    def handle(number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGWINCH", None):
            resized()
        else:
            raise SystemExit(128 + number)

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
