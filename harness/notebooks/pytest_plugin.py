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

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let one worker of pytest-xdist run the whole notebook, and let the run end with how the exercises stand.

    The cells of a notebook share a kernel, and groups (--dist=loadgroup of xdist 3.8) do nothing under pytest 9.2.
    """
    option = config.option
    runs_notebooks = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if runs_notebooks and getattr(option, "dist", "no") in ("load", "loadgroup", "worksteal"):
        option.dist = "loadfile"
    if getattr(option, "nbval_lax", False):
        from harness.notebooks.pytest_notebook import ExerciseSummary

        config.pluginmanager.register(ExerciseSummary())


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Put our notebook collector in the place of nbval's, and say how to run a notebook that nobody collects."""
    found = yield
    if file_path.suffix != ".ipynb":
        return found
    if not found:
        return [NotRequested.from_parent(parent, path=file_path)] if parent.session.isinitpath(file_path) else found

    from nbval.plugin import IPyNbFile

    from harness.notebooks.pytest_notebook import NotebookFile

    return [NotebookFile.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in found]


class NotRequested(pytest.File):
    """A notebook on the command line that no plugin runs, for want of nbval's option: pytest calls it not found."""

    def collect(self) -> list[pytest.Item]:
        shown = os.path.relpath(self.path, self.config.invocation_params.dir)
        raise self.CollectError(
            f"{shown} was not run: pytest runs a notebook only when it is told to. "
            f"An exercise, red until it is solved:\n  pytest --nbval-lax {shown}\n"
            "With --nbval instead each output is compared, too, with the one in the notebook."
        )


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
