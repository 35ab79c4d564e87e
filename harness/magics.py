"""What `%load_ext harness` adds to a notebook: cell magics such as `%%controller`, and short tracebacks."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from harness.cells import Target, cell_body, cell_magic, magic_first, parse_magic
from harness.errors import MagicError
from harness.lab import current_lab
from harness.tracebacks import shorten_tracebacks

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
