"""Tracebacks in a notebook end where the learner's code does: at the call of `taskqueue.add`, not inside of it.

IPython has no setting for that, so the formatter of one shell is wrapped (IPython 9; `__tracebackhide__`, which it
knows, would have to stand in Google's code). A thread that the learner starts shows its end by itself, through Python's
`threading.excepthook`, which is one for the process and is wrapped alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any

from harness.guard import is_harness

_SDK = "/google/appengine/"


def shorten_tracebacks(shell: Any) -> None:
    """Let an IPython shell, and threads, show no frame of the harness or of Google's SDK; again does nothing."""
    formatter = shell.InteractiveTB
    if not hasattr(formatter.structured_traceback, "__wrapped__"):
        formatter.structured_traceback = _shortened(formatter.structured_traceback)
    if not hasattr(threading.excepthook, "__wrapped__"):
        threading.excepthook = _shortened_in_threads(threading.excepthook)


def _shortened(show: Callable[..., list[str]]) -> Callable[..., list[str]]:
    @wraps(show)
    def structured_traceback(kind: Any, error: Any, trace: Any = None, *args: Any, **options: Any) -> list[str]:
        steps = list(_learners_steps(trace))
        if not isinstance(trace, TracebackType) or steps[-1].tb_next is None:
            return show(kind, error, trace, *args, **options)
        before = error.__suppress_context__
        error.__suppress_context__ = True  # what led to it happened further inside
        try:
            return show(kind, error, _joined(steps), *args, **options)
        finally:
            error.__suppress_context__ = before

    return structured_traceback


def _shortened_in_threads(show: Callable[[Any], object]) -> Callable[[Any], object]:
    @wraps(show)
    def excepthook(args: Any) -> object:
        steps, error = list(_learners_steps(args.exc_traceback)), args.exc_value
        if not steps or steps[-1].tb_next is None or error is None:
            return show(args)
        before = error.__traceback__, error.__suppress_context__
        error.__traceback__, error.__suppress_context__ = _joined(steps), True
        try:  # the hook looks at the traceback of the exception, not at the one beside it
            return show(threading.ExceptHookArgs((args.exc_type, error, error.__traceback__, args.thread)))
        finally:
            error.__traceback__, error.__suppress_context__ = before

    return excepthook


def _learners_steps(trace: Any) -> Iterator[TracebackType]:
    """Yield the steps of a traceback down to the first into the harness or the SDK; at least the outermost."""
    first = trace
    while isinstance(trace, TracebackType) and (trace is first or not _is_foreign(trace)):
        yield trace
        trace = trace.tb_next


def _is_foreign(step: TracebackType) -> bool:
    file = step.tb_frame.f_code.co_filename
    return is_harness(file) or _SDK in file.replace("\\", "/")


def _joined(steps: list[TracebackType]) -> TracebackType | None:
    trace = None
    for step in reversed(steps):
        trace = TracebackType(trace, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return trace
