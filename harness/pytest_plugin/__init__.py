"""A pytest plugin that lets no notebook pass by accident; it sits on top of nbval (0.11) and acts only when nbval does.

What stock nbval lets through, and this plugin does not:

1. a mistyped magic, or any other UsageError, which is no error on nbval's channel;
2. a cell that was never run, with whose outputs strict nbval compares nothing;
3. a cell tagged raises-exception that raises nothing;
4. `Out[1]` and a trailing `;`, which need the history that nbval turns off;
5. what child processes print, lost where the kernel sees PYTEST_CURRENT_TEST;
6. a dead kernel, noticed only at the time-out;
7. a summary that says "Notebook cell execution failed" and neither where nor why.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let one worker of pytest-xdist run the whole notebook.

    Its cells share a kernel, and groups (--dist=loadgroup of xdist 3.8) do nothing under pytest 9.2.
    """
    option = config.option
    runs_notebooks = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if runs_notebooks and getattr(option, "dist", "no") in ("load", "loadgroup", "worksteal"):
        option.dist = "loadfile"


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Put our notebook collector in the place of nbval's."""
    found = yield
    if file_path.suffix != ".ipynb" or not found:
        return found

    from nbval.plugin import IPyNbFile

    from harness.pytest_plugin.notebook import NotebookFile

    return [
        NotebookFile.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in found
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the cells of a notebook back together and in order: they share a kernel, whatever shuffled the tests."""
    cells: dict[str, list[Any]] = {}
    for item in items:
        if _is_cell(item):
            cells.setdefault(str(item.path), []).append(item)
    ordered: list[pytest.Item] = []
    for item in items:
        if _is_cell(item):
            ordered += sorted(cells.pop(str(item.path), []), key=_position)
        else:
            ordered.append(item)
    items[:] = ordered


def _is_cell(item: Any) -> bool:
    return hasattr(item, "cell_num")


def _position(item: Any) -> int:
    return int(item.cell_num)
