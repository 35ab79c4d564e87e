"""Cell magics: `%%controller default` writes a controller into the newest lab, `%%model`, `%%view` and so on too.

    %load_ext harness
"""

from __future__ import annotations

import ast
from functools import partial
from typing import Any

from harness.cells import MAGICS, Target, cell_body, parse_magic
from harness.lab import current_lab


def load_ipython_extension(shell: Any) -> None:
    """Register the magics; IPython calls this at `%load_ext harness`."""
    for magic in MAGICS:
        shell.register_magic_function(partial(write_cell, magic), "cell", magic)


def write_cell(magic: str, line: str, cell: str) -> None:
    """Write the body of a cell into the newest lab, and say what web2py now finds there.

    Raises:
        MagicError: wrong arguments on the magic's line.
        SourceError, NameRefusedError, QueueConfigError: see `Lab.write`; the file of before stays.
    """
    target = parse_magic(magic, line)
    source = cell_body(f"%%{magic}\n{cell}") if target.is_python else cell
    current_lab().write(target.path, source, target.app)
    print(_receipt(magic, target, source))


def _receipt(magic: str, target: Target, source: str) -> str:
    place = target.path if target.app is None else f"{target.app}/{target.path}"
    if magic != "controller":
        return f"{place} written."
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return f"{place} written. Actions: {', '.join(each.name for each in functions if _is_action(each)) or 'none'}."


def _is_action(function: ast.FunctionDef) -> bool:
    """Tell whether web2py serves this function: no arguments, and no name that begins with two underscores."""
    needs = function.args
    takes_any = needs.args or needs.posonlyargs or needs.vararg or needs.kwonlyargs or needs.kwarg
    return not takes_any and not function.name.startswith("__")
