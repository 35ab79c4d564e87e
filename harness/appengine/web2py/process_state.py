"""What web2py and a handler may change in this process, and how it is put back afterwards."""

from __future__ import annotations

import builtins
import io
import locale
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

# The signals that a kernel lives by; to ask for one costs 2 µs. Windows has two of them.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name))


class ProcessState:
    """Keeps working folder, `sys.path`, importer, trace function, locale, time zone, logging and signals as they are.

    A context manager. It compares first and changes only what differs, so that a well-behaved request costs little.
    """

    def __enter__(self) -> None:
        self._folder = _working_folder()
        self._path, self._entries = sys.path, sys.path[:]
        self._importer, self._no_bytecode = builtins.__import__, sys.dont_write_bytecode
        self._trace = sys.gettrace()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._zone = _zone()
        self._logging = _Logging()
        self._signals = _signal_handlers()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        builtins.__import__ = self._importer
        if sys.gettrace() != self._trace:  # gluon.debug traces every request that follows its import
            sys.settrace(self._trace)
        sys.dont_write_bytecode = self._no_bytecode
        sys.path = self._path
        sys.path[:] = self._entries
        if self._folder is not None and _working_folder() != self._folder:
            with suppress(FileNotFoundError):  # the handler may have removed it
                os.chdir(self._folder)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        if _zone() != self._zone:
            _set_zone(self._zone[0])
        self._logging.restore()
        if _signal_handlers() != self._signals:
            _restore_signals(self._signals)


class _Logging:
    """The root logger, and which loggers are switched off: `logging.config` switches off all that it does not name."""

    def __init__(self) -> None:
        self._handlers, self._level = logging.root.handlers[:], logging.root.level
        self._threshold, self._off = logging.root.manager.disable, set(_disabled_loggers())

    def restore(self) -> None:
        if logging.root.handlers != self._handlers:
            logging.root.handlers[:] = self._handlers
        if logging.root.level != self._level:
            logging.root.setLevel(self._level)
        if logging.root.manager.disable != self._threshold:
            logging.disable(self._threshold)
        for logger in _disabled_loggers():
            logger.disabled = logger in self._off


def _disabled_loggers() -> list[logging.Logger]:
    loggers = list(logging.root.manager.loggerDict.values())
    return [logger for logger in loggers if isinstance(logger, logging.Logger) and logger.disabled]


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody removed it; there is nothing to come back to
        return None


def _zone() -> tuple[str | None, tuple[str, str]]:
    return os.environ.get("TZ"), time.tzname


def _set_zone(name: str | None) -> None:
    if name is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = name
    if hasattr(time, "tzset"):  # not on Windows
        time.tzset()


def _signal_handlers() -> list[object]:
    """Return their handlers; nothing outside the main thread, which alone can set them."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [signal.getsignal(number) for number in _SIGNALS]


def _restore_signals(handlers: list[object]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)  # type: ignore[arg-type]


# What a handler prints: kept up to a limit, so that printing a megabyte does no harm.

LIMIT = 10_000  # bytes


class _FirstBytes(io.BufferedIOBase):
    """Keeps the first bytes written to it, and counts the rest."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.dropped = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        data = bytes(data)
        room = LIMIT - len(self.kept)
        self.kept += data[:room]
        self.dropped += len(data[room:])
        return len(data)


class Output(io.TextIOWrapper):
    """A stand-in for `sys.stdout` and `sys.stderr` that takes any text, and bytes through `.buffer`."""

    def __init__(self) -> None:
        self._bytes = _FirstBytes()
        super().__init__(self._bytes, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """What was printed; a last line says how much was left out."""
        text = self._bytes.kept.decode("utf-8", "ignore" if self._bytes.dropped else "backslashreplace")
        if not self._bytes.dropped:
            return text
        return f"{text}\n… ({self._bytes.dropped} more bytes were printed)\n"


@contextmanager
def captured() -> Iterator[Output]:
    """Send what is printed in this scope, to either stream, to one Output."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = output = Output()
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before
