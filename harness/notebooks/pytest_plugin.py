"""A pytest plugin that corrects eleven defects of nbval 0.11; it does nothing if nbval isn't used.

1. A mistyped magic, or any other UsageError, passes, because IPython doesn't send an error message for it.
2. A cell that was never run passes under --nbval, because it has no outputs to compare.
3. A cell tagged raises-exception passes if it raises nothing.
4. `Out[1]` and a trailing `;` don't work, because nbval disables the history.
5. The output of child processes is lost, because the kernel gets the variable PYTEST_CURRENT_TEST.
6. A dead kernel is detected only at the time-out.
7. The summary says "Notebook cell execution failed" without the cell and the reason.
8. An exercise that no cell checks isn't noticed.
9. The order of different outputs, a result instead of a display, and a missing picture aren't noticed.
10. A cleared output and a display that the same cell changes are compared as if they hadn't been cleared or changed.
11. An exercise notebook that is missing in its folder isn't noticed, although its solution exists.
"""

import os
import shlex
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Run each notebook in one worker of pytest-xdist, and list the exercises at the end of the run.

    The cells of a notebook share a kernel. Groups (--dist=loadgroup of xdist 3.8) have no effect under pytest 9.2.
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
    """Replace nbval's notebook collector by ours, and explain how to run a notebook that no plugin collects."""
    found = yield
    if file_path.suffix != ".ipynb":
        return found
    if not found:
        return [NotRequested.from_parent(parent, path=file_path)] if parent.session.isinitpath(file_path) else found

    from nbval.plugin import IPyNbFile

    from harness.notebooks.pytest_notebook import NotebookFile

    return [NotebookFile.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in found]


@pytest.hookimpl(wrapper=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    """If notebooks are run, replace the collector of an exercise folder with ours, which reports missing notebooks."""
    found = yield
    option = parent.config.option
    runs_notebooks = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if runs_notebooks and type(found) is pytest.Dir:
        from harness.notebooks.pytest_notebook import ANSWERS, ExercisesFolder

        return ExercisesFolder.from_parent(parent, path=path) if path.name in ANSWERS else found
    return found


class NotRequested(pytest.File):
    """A notebook on the command line that no plugin runs, because nbval's option is missing."""

    def collect(self) -> list[pytest.Item]:
        """Raise an error with the command that runs the notebook; pytest itself would only report "not found"."""
        shown = os.path.relpath(self.path, self.config.invocation_params.dir)
        raise self.CollectError(
            f"{shown} was not run, because pytest runs a notebook only with an option of nbval. "
            f"Run an exercise, which fails until it is solved, with\n  pytest --nbval-lax {shlex.quote(shown)}\n"
            "The option --nbval also compares each output with the one in the notebook."
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the cells of each notebook and sort them, because they share a kernel; other plugins shuffle tests."""
    first: dict[Path, int] = {}  # the position of a notebook's first cell
    order = {
        item: (first.setdefault(item.path, index), item.cell_num) if hasattr(item, "cell_num") else (index, 0)
        for index, item in enumerate(items)
    }
    items.sort(key=order.__getitem__)
