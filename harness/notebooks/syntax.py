"""Does a code cell parse? Line magics are resolved, and the body of a cell magic is read as what it is."""

from __future__ import annotations

import ast
import warnings

from harness.cells import MAGICS, cell_body, cell_target, magic_first
from harness.errors import MagicError
from harness.notebooks.files import Cell


def parse_python(source: str) -> ast.Module:
    """Parse Python, without the warnings that belong to the run and not to the reading."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def python_of(source: str) -> str:
    """Return the Python that IPython makes of a cell without a cell magic (line magics, `?` and `!` resolved)."""
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


def syntax_error(cell: Cell) -> str | None:
    """Say what does not parse in a code cell, or None.

    A cell tagged raises-exception may be wrong on purpose.
    """
    source = magic_first(cell.source).lstrip()
    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    if not source.startswith("%%"):
        return _python_error(python_of(source))
    try:
        target = cell_target(source)
    except MagicError as error:
        return str(error)
    if target is None:
        return f"unknown cell magic {source.split()[0]}; known are {', '.join(f'%%{magic}' for magic in MAGICS)}"
    if target.is_python:
        return _python_error(cell_body(source))
    return _yaml_error(cell_body(source)) if target.path.endswith(".yaml") else None


def _python_error(body: str) -> str | None:
    try:
        parse_python(body)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno} of the cell)"
    return None


def _yaml_error(body: str) -> str | None:
    import yaml

    try:
        yaml.safe_load(body)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"{error.problem} (line {line} of the cell)"
    return None
