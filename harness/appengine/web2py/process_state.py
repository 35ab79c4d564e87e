"""Restore the state of this process after web2py and a handler have run, and capture what they print."""

import builtins
import datetime
import gc
import http
import http.cookies
import io
import locale
import logging
import os
import re
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import compress
from operator import attrgetter, is_not
from types import SimpleNamespace
from typing import Any

_locale: Any = import_module("_locale")
_signal: Any = import_module("_signal")  # the module signal turns all numbers into enums, which takes 5 µs a call
LIMIT = 10_000  # bytes that are kept of what a handler prints
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")  # those that a kernel needs; Windows has only the first two
_CLOCKS = ("time", "time_ns", "monotonic", "perf_counter", "sleep", "localtime", "gmtime", "strftime", "tzset")
_HOOKS = ("excepthook", "displayhook", "breakpointhook", "unraisablehook", "argv", "stdin")
_ATTRIBUTES = (
    "builtins.__import__",
    "sys.dont_write_bytecode",
    "sys.path",
    "http.cookies._unquote",
    "os.environ",
    "tempfile.tempdir",
    "datetime.datetime",
    "datetime.date",
    *(f"sys.{name}" for name in _HOOKS),
    *(f"time.{name}" for name in _CLOCKS if hasattr(time, name)),  # Windows has no tzset
)
_MODULES = {module.__name__: module for module in (builtins, datetime, http, http.cookies, os, sys, tempfile, time)}
# One call for all attributes takes a fraction of the time of a `getattr` for each.
_read_attributes = partial(attrgetter(*_ATTRIBUTES), SimpleNamespace(**_MODULES))
# Matches a module's name, and its path without ".py", which is what the compiler reports.
_LIBRARIES = r"(.*[\\/])?(gluon|pydal|yatl|google[\\/.]appengine)([\\/.]|$)"
_IGNORED = [  # in the form of `warnings.filters`
    ("ignore", None, category, re.compile(_LIBRARIES), 0)
    for category in (DeprecationWarning, PendingDeprecationWarning, SyntaxWarning)
]
_TZ = os.environ.encodekey("TZ")


class ProcessState:
    """A context manager that restores the state of the process when its scope ends.

    It restores the working folder, `sys.path`, the importer, the locale, the environment, the time zone, the functions
    that tell the time, logging, the garbage collector, signal handlers and the signal mask. It also restores the hooks
    and the limits of `sys`, `threading`, `tempfile` and `socket`. It compares each before it changes it, so that a
    request that changes nothing takes little time.
    """

    def __enter__(self) -> None:
        self._attributes = _read_attributes()
        self._environment = os.environ._data.copy()  # type: ignore[attr-defined]  # a copy of environ decodes it
        self._path, self._folder = sys.path[:], _working_folder()
        self._states = _read_states()

    def __exit__(self, *error: object) -> None:
        self._restore_attributes()
        if os.environ._data != self._environment:  # type: ignore[attr-defined]
            _set_environment(self._environment)
        if sys.path != self._path:
            sys.path[:] = self._path
        if self._folder is not None and _working_folder() != self._folder:
            with suppress(FileNotFoundError):  # the handler may have removed the folder
                os.chdir(self._folder)
        states = _read_states()
        if states != self._states:
            for write, value, present in zip(_WRITERS, self._states, states, strict=True):
                if present != value:
                    write(value)

    def _restore_attributes(self) -> None:
        try:
            present = _read_attributes()
        except AttributeError:  # the handler deleted one
            present = (self,) * len(_ATTRIBUTES)
        changed = map(is_not, present, self._attributes)
        for name, value in compress(zip(_ATTRIBUTES, self._attributes, strict=True), changed):
            module, _, attribute = name.rpartition(".")
            setattr(_MODULES[module], attribute, value)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the folder was removed
        return None


def _set_zone(zone: tuple[Any, tuple[str, str]]) -> None:
    os.environ.pop("TZ", None)
    if zone[0] is not None:
        os.environ["TZ"] = os.environ.decodevalue(zone[0])
    if hasattr(time, "tzset"):  # Windows has no tzset
        time.tzset()


def _set_environment(saved: dict[Any, Any]) -> None:
    present = os.environ._data  # type: ignore[attr-defined]
    decode = os.environ.decodevalue
    for name in [name for name in present if name not in saved]:
        del os.environ[decode(name)]
    for name, value in saved.items():
        if present.get(name) != value:
            os.environ[decode(name)] = decode(value)


_named: list[Any] = []  # the loggers and placeholders of the last call of `_disabled_loggers`
_loggers: list[Any] = []  # those that are loggers
_is_disabled = attrgetter("disabled")


def _disabled_loggers() -> list[Any]:
    named: list[Any] = list(logging.root.manager.loggerDict.values())
    if named != _named:
        _loggers[:] = [logger for logger in named if not isinstance(logger, logging.PlaceHolder)]
        _named[:] = named
    return list(filter(_is_disabled, _loggers))


def _enable_others(disabled: list[Any]) -> None:
    """Enable loggers again, because `logging.config` disables every logger that a configuration does not name."""
    for logger in _disabled_loggers():
        if logger not in disabled:
            logger.disabled = False


def _set_handlers(saved: list[Any]) -> None:
    if threading.current_thread() is threading.main_thread():  # no other thread can set signal handlers
        for number, handler in zip(_NUMBERS, saved, strict=True):
            if handler is not None:  # it was not set by Python
                _signal.signal(number, handler)


def _set_opener(saved: Any) -> None:
    """Restore what opens URLs, because gluon.tools, once imported, makes it keep cookies for the whole process."""
    if module := sys.modules.get("urllib.request"):  # a handler may have removed it
        vars(module)["_opener"] = saved


_NUMBERS = [getattr(_signal, name) for name in _SIGNALS if hasattr(_signal, name)]
_mask = getattr(_signal, "pthread_sigmask", lambda how, signals: None)  # Windows has no signal mask
_BLOCK, _SET_MASK = getattr(_signal, "SIG_BLOCK", 0), getattr(_signal, "SIG_SETMASK", 0)


def _read_states() -> tuple[Any, ...]:
    """Return what the functions in `_WRITERS` change, in their order. One call for all is cheaper."""
    root = logging.root
    return (
        sys.gettrace(),
        sys.getprofile(),
        threading.gettrace(),
        threading.getprofile(),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        gc.isenabled(),
        gc.get_threshold(),
        gc.get_debug(),
        gc.callbacks[:],
        socket.getdefaulttimeout(),
        _locale.setlocale(locale.LC_ALL, None),
        (os.environ._data.get(_TZ), time.tzname),  # type: ignore[attr-defined]
        root.handlers[:],
        root.level,
        root.manager.disable,
        _disabled_loggers(),
        _mask(_BLOCK, ()),
        list(map(_signal.getsignal, _NUMBERS)),
        getattr(sys.modules.get("urllib.request"), "_opener", None),
    )


_WRITERS: tuple[Callable[[Any], object], ...] = (
    sys.settrace,  # gluon.debug, once imported, traces every request
    sys.setprofile,
    threading.settrace,
    threading.setprofile,
    sys.setrecursionlimit,
    sys.setswitchinterval,
    lambda saved: gc.enable() if saved else gc.disable(),
    lambda saved: gc.set_threshold(*saved),
    gc.set_debug,
    lambda saved: gc.callbacks.__setitem__(slice(None), saved),
    socket.setdefaulttimeout,
    partial(locale.setlocale, locale.LC_ALL),
    _set_zone,
    lambda saved: logging.root.handlers.__setitem__(slice(None), saved),
    lambda saved: logging.root.setLevel(saved),
    logging.disable,
    _enable_others,
    partial(_mask, _SET_MASK),
    _set_handlers,
    _set_opener,
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


class Captured:
    """A context manager that redirects standard output and standard error to an Output, the value of its scope."""

    def __enter__(self) -> Output:
        output, self._streams = Output(), (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = output
        return output

    def __exit__(self, *error: object) -> None:
        sys.stdout, sys.stderr = self._streams


def ignore_library_warnings() -> None:
    """Hide the warnings about the code of web2py and Google, which users of the lab can't change.

    web2py-gluon 2.26.1 calls `datetime.utcnow()` in each request, and Python 3.12 and later report that call as
    deprecated. If a user's pytest turns warnings into errors, the request would fail. Python 3.12 and later also print
    a SyntaxWarning when they compile google/appengine/api/datastore.py.
    """
    # `filterwarnings` takes ten times as long. It also lets Python show earlier warnings again, which is not needed.
    filters: Any = warnings.filters
    if filters[: len(_IGNORED)] != _IGNORED:
        filters[:0] = _IGNORED
