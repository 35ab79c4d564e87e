"""Restore the state of this process after web2py and a handler have run, and capture what they print."""

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
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

# The signals that a kernel needs. Reading one handler takes 2 µs. Windows has only the first two signals.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name))
LIMIT = 10_000  # bytes that are kept of what a handler prints


class ProcessState:
    """A context manager that restores the state of the process when its scope ends.

    It restores the working folder, `sys.path`, the importer, the trace function, the locale, the time zone, logging and
    signal handlers. It compares each before it changes it, so that a request that changes nothing takes little time.
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

    def __exit__(self, *error: object) -> None:
        builtins.__import__ = self._importer
        if sys.gettrace() != self._trace:  # once gluon.debug is imported, it traces every request
            sys.settrace(self._trace)
        sys.dont_write_bytecode = self._no_bytecode
        sys.path = self._path
        sys.path[:] = self._entries
        if self._folder is not None and _working_folder() != self._folder:
            with suppress(FileNotFoundError):  # the handler may have removed the folder
                os.chdir(self._folder)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        if _zone() != self._zone:
            _set_zone(self._zone[0])
        self._logging.restore()
        for number, handler in self._signals.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


class _Logging:
    """The state of the root logger, and which loggers are disabled.

    `logging.config` disables every logger that a configuration does not name.
    """

    def __init__(self) -> None:
        self._handlers, self._level = logging.root.handlers[:], logging.root.level
        self._threshold, self._disabled = logging.root.manager.disable, set(_disabled_loggers())

    def restore(self) -> None:
        if logging.root.handlers != self._handlers:
            logging.root.handlers[:] = self._handlers
        if logging.root.level != self._level:
            logging.root.setLevel(self._level)
        if logging.root.manager.disable != self._threshold:
            logging.disable(self._threshold)
        for logger in _disabled_loggers():
            logger.disabled = logger in self._disabled


def _disabled_loggers() -> list[logging.Logger]:
    loggers = list(logging.root.manager.loggerDict.values())
    return [logger for logger in loggers if isinstance(logger, logging.Logger) and logger.disabled]


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the folder was removed
        return None


def _zone() -> tuple[str | None, tuple[str, str]]:
    return os.environ.get("TZ"), time.tzname


def _set_zone(name: str | None) -> None:
    if name is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = name
    if hasattr(time, "tzset"):  # Windows has no tzset
        time.tzset()


def _signal_handlers() -> dict[signal.Signals, Any]:
    """Return the handler of each signal, or {} outside the main thread, because no other thread can set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in _SIGNALS}


class _FirstBytes(io.BufferedIOBase):
    """Keeps the first LIMIT bytes that are written, and counts the others."""

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
    """Replaces `sys.stdout` and `sys.stderr`. It accepts every string, and bytes through `.buffer`."""

    def __init__(self) -> None:
        self._bytes = _FirstBytes()
        super().__init__(self._bytes, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """The first LIMIT bytes that were printed, as text. If there were more, a last line shows their number."""
        text = self._bytes.kept.decode("utf-8", "ignore" if self._bytes.dropped else "backslashreplace")
        if not self._bytes.dropped:
            return text
        return f"{text}\n… ({self._bytes.dropped} more bytes were printed)\n"


@contextmanager
def captured() -> Iterator[Output]:
    """Redirect standard output and standard error in this scope.

    Yields:
        The Output that receives both.
    """
    output = Output()
    with redirect_stdout(output), redirect_stderr(output):
        yield output
