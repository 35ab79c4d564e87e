"""What `%load_ext harness` adds to a notebook: cell magics such as `%%controller`, and short tracebacks."""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any

from harness.appengine.time_limit import is_harness
from harness.errors import MagicError
from harness.lab import current_lab
from harness.notebooks.cells import Target, cell_body, cell_magic, magic_first, parse_magic

# Tracebacks in a notebook end where the learner's code does: at the call of `taskqueue.add`, not inside of it.

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


# What web2py takes for an action (REGEX_EXPOSED, gluon/compileapp.py, 2.26.1 and 3.3.3).
_ACTION = re.compile(r"def\s+(_?[a-zA-Z0-9]\w*)\( *\)\s*:")


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and shorten tracebacks; IPython calls this at `%load_ext harness`. Twice does no harm."""
    for magic in (controller, model, view, routes, queue_yaml):
        shell.register_magic_function(magic, "cell")
        # Below code, IPython reads the line "%%controller default" as a line magic of the name "%controller".
        shell.register_magic_function(_refuse_below_code(magic.__name__), "line", f"%{magic.__name__}")
    if begin_with_magic not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.insert(0, begin_with_magic)  # IPython's own drop blank lines
    shorten_tracebacks(shell)


def controller(line: str, cell: str) -> None:
    """Write a controller: the rest of the cell becomes controllers/NAME.py of the newest lab.

        %%controller NAME [--app APPLICATION]

    Each function `def name():` at the left margin is an action, with the URL /APPLICATION/NAME/name. A cell that does
    not compile changes nothing. Without --app it is the lab's first application.
    """
    _write("controller", line, cell)


def model(line: str, cell: str) -> None:
    """Write a model: the rest of the cell becomes models/NAME.py of the newest lab.

        %%model NAME [--app APPLICATION]

    web2py runs all models of an application, in the order of their names, before each of its actions.
    """
    _write("model", line, cell)


def view(line: str, cell: str) -> None:
    """Write a view: the rest of the cell becomes views/PATH of the newest lab.

        %%view CONTROLLER/FUNCTION.html [--app APPLICATION]

    It shows the dict that the action of that controller and function returns.
    """
    _write("view", line, cell)


def routes(line: str, cell: str) -> None:
    """Write routes.py of the newest lab, which maps incoming and outgoing URLs for all its applications.

    %%routes
    """
    _write("routes", line, cell)


def queue_yaml(line: str, cell: str) -> None:
    """Write queue.yaml of the newest lab: which queues there are, at which rate they run and how they retry.

        %%queue_yaml

    A queue that stays keeps its tasks; one that is left out keeps them too, and is paused until it comes back.
    """
    _write("queue_yaml", line, cell)


def begin_with_magic(lines: list[str]) -> list[str]:
    """Pass a cell to our magic also when comments are above the magic, or nothing is below it.

    IPython (9) refuses such cells with UsageErrors of its own. They give wrong advice ("Line magic function
    `%%controller` not found"), and nbval takes them for a success.
    """
    cell = "".join(lines)
    if cell_magic(cell):
        lines = magic_first(cell).splitlines(keepends=True)
        return [*lines, "\n"] if len(lines) == 1 else lines
    return lines


def _refuse_below_code(magic: str) -> Callable[[str], None]:
    def refuse(line: str) -> None:
        """Refuse a cell magic below code."""
        raise MagicError(f"%%{magic} has code above it. Move that code into a cell of its own, above this one.")

    return refuse


def _write(magic: str, line: str, cell: str) -> None:
    target = parse_magic(magic, line)
    source = cell_body(f"%%{magic}\n{cell}") if target.is_python else cell
    current_lab().write(target.path, source, target.app)
    print(_receipt(magic, target, source))


def _receipt(magic: str, target: Target, source: str) -> str:
    place = target.path if target.app is None else f"{target.app}/{target.path}"
    if magic != "controller":
        return f"{place} written."
    return f"{place} written. Actions: {', '.join(_actions(source)) or 'none'}."


def _actions(source: str) -> Iterator[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and _ACTION.match(ast.get_source_segment(source, node) or ""):
            yield node.name
