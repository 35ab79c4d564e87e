"""The IPython extension `%load_ext harness`: cell magics such as `%%controller`, and short tracebacks."""

import ast
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from types import TracebackType
from typing import Any

from harness.appengine.time_limit import is_harness
from harness.appengine.web2py.process_state import ignore_library_warnings
from harness.errors import MagicError
from harness.lab import current_lab
from harness.notebooks.cells import MAGICS, Target, cell_body, cell_magic, magic_first, parse_magic
from harness.notebooks.completion import complete_controllers
from harness.notebooks.session import cell_run

_HELP = {  # IPython shows it for `%%controller?`
    "controller": """Write the rest of the cell as a controller, controllers/NAME.py, of the newest lab.

        %%controller NAME [--app APPLICATION]

    Each function `def name():` at the left margin is an action, with the URL /APPLICATION/NAME/name. A cell that
    doesn't compile changes nothing. Without --app, the file belongs to the lab's first application.
    """,
    "model": """Write the rest of the cell as a model, models/NAME.py, of the newest lab.

        %%model NAME [--app APPLICATION]

    web2py runs all models of an application, sorted by name, before each action.
    """,
    "view": """Write the rest of the cell as a view, views/CONTROLLER/FUNCTION.html, of the newest lab.

        %%view CONTROLLER/FUNCTION.html [--app APPLICATION]

    The view shows the dict that the action with this controller and function returns.
    """,
    "routes": """Write the rest of the cell as routes.py of the newest lab.

        %%routes

    The file maps incoming and outgoing URLs for all applications.
    """,
    "queue_yaml": """Write the rest of the cell as queue.yaml of the newest lab.

        %%queue_yaml

    The file configures queues, rates and retries. Every queue keeps its tasks. A queue that is missing from the file
    is paused until the file contains it again.
    """,
    "app_yaml": """Write the rest of the cell as app.yaml of the newest lab.

        %%app_yaml

    The file tells App Engine how to start an application. A lab only stores the file. The check of an
    exercise starts the application.
    """,
    "main_py": """Write the rest of the cell as main.py of the newest lab.

        %%main_py

    The entrypoint in app.yaml usually serves the object `app` of this file. A lab only stores the file. The
    check of an exercise runs it.
    """,
}
_LOADED = "%load_ext harness"
_SDK = "/google/appengine/"
# The definitions that web2py treats as actions (REGEX_EXPOSED, gluon/compileapp.py, 2.26.1 and 3.3.3).
_ACTION = re.compile(r"def\s+(_?[a-zA-Z0-9]\w*)\( *\)\s*:")


def shorten_tracebacks(shell: Any) -> None:
    """Hide the frames of the harness and of Google's SDK in tracebacks of an IPython shell and of threads.

    A traceback then ends at the learner's last line, for example the call of `taskqueue.add`. A second call has no
    effect.
    """
    formatter = shell.InteractiveTB
    if not hasattr(formatter.structured_traceback, "__wrapped__"):
        formatter.structured_traceback = _shortened(formatter.structured_traceback, lambda kind, error, *_: error)
    if not hasattr(threading.excepthook, "__wrapped__"):
        threading.excepthook = _shortened(threading.excepthook, lambda args: args.exc_value)


def _shortened(show: Callable[..., Any], error_in: Callable[..., BaseException | None]) -> Callable[..., Any]:
    """Wrap a function that shows an exception; `error_in` returns the exception from the function's arguments."""

    @wraps(show)
    def shown(*args: Any, **options: Any) -> Any:
        with _cut(error_in(*args)):
            return show(*args, **options)

    return shown


@contextmanager
def _cut(error: BaseException | None) -> Iterator[None]:
    """Cut an exception's traceback, within the scope, in front of the first frame of the harness or the SDK.

    The outermost frame is kept. The exception's context is hidden, because it was raised in a hidden frame.
    """
    last = error.__traceback__ if error else None
    while last and last.tb_next and not _is_foreign(last.tb_next):
        last = last.tb_next
    if error is None or last is None or last.tb_next is None:
        yield
        return
    original = last.tb_next, error.__suppress_context__
    last.tb_next, error.__suppress_context__ = None, True
    try:
        yield
    finally:
        last.tb_next, error.__suppress_context__ = original


def _is_foreign(step: TracebackType) -> bool:
    file = step.tb_frame.f_code.co_filename
    return is_harness(file) or _SDK in file.replace("\\", "/")


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and completion, shorten tracebacks and hide warnings about libraries.

    IPython calls this function when it runs `%load_ext harness`. A second call has no effect.
    """
    for magic in MAGICS:
        shell.register_magic_function(_writer(magic), "cell", magic)
        # Below code, IPython parses the line "%%controller default" as a line magic with the name "%controller".
        shell.register_magic_function(_refuse_below_code(magic), "line", f"%{magic}")
    if begin_with_magic not in shell.input_transformers_cleanup:
        # IPython's own transformers remove blank lines.
        shell.input_transformers_cleanup[:0] = [begin_with_magic, load_once]
    complete_controllers(shell)
    shorten_tracebacks(shell)
    ignore_library_warnings()  # a cell that imports Google's client prints them


def begin_with_magic(lines: list[str]) -> list[str]:
    """Return a cell's lines in a form that IPython passes to our magic, even with comments above it or without a body.

    IPython 9 rejects such cells with a UsageError. Its advice is wrong ("Line magic function `%%controller` not
    found"), and nbval counts the cell as passed.
    """
    cell = "".join(lines)
    if cell_magic(cell):
        lines = magic_first(cell).splitlines(keepends=True)
        return [*lines, "\n"] if len(lines) == 1 else lines
    return lines


def load_once(lines: list[str]) -> list[str]:
    """Return a cell's lines with a blank line instead of `%load_ext harness`.

    This transformer exists only after the extension was loaded, so the line would only make IPython 9 print that the
    extension is already loaded.
    """
    return ["\n" if line.rstrip() == _LOADED else line for line in lines]


def _refuse_below_code(magic: str) -> Callable[[str], None]:
    def refuse(line: str) -> None:
        """Refuse a cell magic below code."""
        with _refused(magic, line):
            raise MagicError(f"%%{magic} has code above it. Move that code into a cell of its own, above this one.")

    return refuse


def _writer(magic: str) -> Callable[[str, str], None]:
    def write(line: str, cell: str) -> None:
        with _refused(magic, line):
            target = parse_magic(magic, line)
        source = cell_body(f"%%{magic}\n{cell}") if target.is_python else cell
        with cell_run(target, source):
            current_lab().write(target.path, source, target.app)
        file = target.path if target.app is None else f"{target.app}/{target.path}"
        actions = f" Actions: {', '.join(_actions(source)) or 'none'}." if magic == "controller" else ""
        print(f"{file} written.{actions}")

    write.__doc__ = _HELP[magic]
    return write


@contextmanager
def _refused(magic: str, line: str) -> Iterator[None]:
    """Record a MagicError within this scope for the files that the learner may have meant."""
    with ExitStack() as runs:
        try:
            yield
        except MagicError:
            for target in _meant(magic, line):
                runs.enter_context(cell_run(target, ""))
            raise


def _meant(magic: str, line: str) -> set[Target]:
    """Return each file that a magic would write if it had only one of its arguments, without ".py"."""
    targets = set[Target]()
    for word in ["", *line.split()]:
        with suppress(MagicError):
            targets.add(parse_magic(magic, word.removesuffix(".py")))
    return targets


def _actions(source: str) -> Iterator[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and _ACTION.match(ast.get_source_segment(source, node) or ""):
            yield node.name
