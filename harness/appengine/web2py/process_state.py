"""Restore the state of this process after web2py and a handler have run, and capture what they print."""

import builtins
import datetime
import gc
import http.cookies
import io
import locale
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

_signal: Any = import_module("_signal")  # the module signal turns all numbers into enums, which takes 5 µs a call
LIMIT = 10_000  # bytes that are kept of what a handler prints
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")  # those that a kernel needs; Windows has only the first two
_CLOCKS = ("time", "time_ns", "monotonic", "perf_counter", "sleep", "localtime", "gmtime", "strftime", "tzset")
_HOOKS = ("excepthook", "displayhook", "breakpointhook", "unraisablehook", "argv", "stdin")
_ATTRIBUTES: tuple[tuple[ModuleType, str], ...] = (
    (builtins, "__import__"),
    (sys, "dont_write_bytecode"),
    (sys, "path"),
    (http.cookies, "_unquote"),
    (os, "environ"),
    (tempfile, "tempdir"),
    (datetime, "datetime"),
    (datetime, "date"),
    *((sys, name) for name in _HOOKS),
    *((time, name) for name in _CLOCKS if hasattr(time, name)),  # Windows has no tzset
)
# Matches a module's name, and its path without ".py", which is what the compiler reports.
_LIBRARIES = r"(.*[\\/])?(gluon|pydal|yatl|google[\\/.]appengine)([\\/.]|$)"
_TZ = os.environ.encodekey("TZ")
_State = tuple[Callable[[], Any], Callable[[Any], object]]  # a function that reads it and one that changes it


class ProcessState:
    """A context manager that restores the state of the process when its scope ends.

    It restores the working folder, `sys.path`, the importer, the locale, the environment, the time zone, the functions
    that tell the time, logging, the garbage collector, signal handlers and the signal mask. It also restores the hooks
    and the limits of `sys`, `threading`, `tempfile` and `socket`. It compares each before it changes it, so that a
    request that changes nothing takes little time.
    """

    def __enter__(self) -> None:
        main = threading.get_ident() == threading.main_thread().ident  # no other thread can set signal handlers
        self._attributes = [getattr(owner, name) for owner, name in _ATTRIBUTES]
        self._states = [(read, write, read()) for read, write in (_STATES_OF_MAIN if main else _STATES)]

    def __exit__(self, *error: object) -> None:
        for (owner, name), value in zip(_ATTRIBUTES, self._attributes, strict=True):
            if getattr(owner, name, None) is not value:
                setattr(owner, name, value)
        for read, write, value in self._states:
            if value is not None and read() != value:
                write(value)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the folder was removed
        return None


def _change_folder(folder: str) -> None:
    with suppress(FileNotFoundError):  # the handler may have removed the folder
        os.chdir(folder)


def _zone() -> tuple[Any, tuple[str, str]]:
    return os.environ._data.get(_TZ), time.tzname  # type: ignore[attr-defined]


def _set_zone(zone: tuple[Any, tuple[str, str]]) -> None:
    os.environ.pop("TZ", None)
    if zone[0] is not None:
        os.environ["TZ"] = os.environ.decodevalue(zone[0])
    if hasattr(time, "tzset"):  # Windows has no tzset
        time.tzset()


def _environment() -> dict[Any, Any]:
    return dict(os.environ._data)  # type: ignore[attr-defined]  # 20 times as fast as a copy, which decodes each value


def _set_environment(saved: dict[Any, Any]) -> None:
    present = os.environ._data  # type: ignore[attr-defined]
    decode = os.environ.decodevalue
    for name in [name for name in present if name not in saved]:
        del os.environ[decode(name)]
    for name, value in saved.items():
        if present.get(name) != value:
            os.environ[decode(name)] = decode(value)


def _disabled_loggers() -> list[Any]:
    loggers: list[Any] = list(logging.root.manager.loggerDict.values())
    return [logger for logger in loggers if type(logger) is not logging.PlaceHolder and logger.disabled]


def _enable_others(disabled: list[Any]) -> None:
    """Enable loggers again, because `logging.config` disables every logger that a configuration does not name."""
    for logger in _disabled_loggers():
        if logger not in disabled:
            logger.disabled = False


_STATES: tuple[_State, ...] = (
    (lambda: (sys.gettrace(),), lambda saved: sys.settrace(*saved)),  # gluon.debug, once imported, traces every request
    (lambda: (sys.getprofile(),), lambda saved: sys.setprofile(*saved)),
    (lambda: (threading.gettrace(),), lambda saved: threading.settrace(*saved)),
    (lambda: (threading.getprofile(),), lambda saved: threading.setprofile(*saved)),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getswitchinterval, sys.setswitchinterval),
    (gc.isenabled, lambda saved: gc.enable() if saved else gc.disable()),
    (gc.get_threshold, lambda saved: gc.set_threshold(*saved)),
    (gc.get_debug, gc.set_debug),
    (lambda: gc.callbacks[:], lambda saved: gc.callbacks.__setitem__(slice(None), saved)),
    (lambda: (socket.getdefaulttimeout(),), lambda saved: socket.setdefaulttimeout(*saved)),
    (_environment, _set_environment),
    (lambda: sys.path[:], lambda saved: sys.path.__setitem__(slice(None), saved)),
    (_working_folder, _change_folder),
    (partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
    (_zone, _set_zone),
    (lambda: logging.root.handlers[:], lambda saved: logging.root.handlers.__setitem__(slice(None), saved)),
    (lambda: logging.root.level, logging.root.setLevel),
    (lambda: logging.root.manager.disable, logging.disable),
    (_disabled_loggers, _enable_others),
)
if hasattr(_signal, "pthread_sigmask"):  # Windows has no signal mask
    _STATES += (
        (
            partial(_signal.pthread_sigmask, _signal.SIG_BLOCK, ()),
            partial(_signal.pthread_sigmask, _signal.SIG_SETMASK),
        ),
    )
_NUMBERS = [getattr(_signal, name) for name in _SIGNALS if hasattr(_signal, name)]
_STATES_OF_MAIN: tuple[_State, ...] = (
    *_STATES,
    *((partial(_signal.getsignal, each), partial(_signal.signal, each)) for each in _NUMBERS),
)


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


def ignore_library_warnings() -> None:
    """Hide the warnings about the code of web2py and Google, which nobody who uses the lab can change.

    web2py-gluon 2.26.1 calls `datetime.utcnow()` in each request, and Python 3.12 and later report that call as
    deprecated. If a user's pytest turns warnings into errors, the request would fail. Python 3.12 and later also print
    a SyntaxWarning when they compile google/appengine/api/datastore.py.
    """
    for category in (DeprecationWarning, PendingDeprecationWarning, SyntaxWarning):
        warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
