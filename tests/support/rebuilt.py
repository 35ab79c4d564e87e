"""A plugin for the strict run of nbval: each lesson, solution and page must also equal the file that a build writes.

nbval doesn't compare the traceback of an exception or the metadata of a cell. A build would run each notebook a second
time. Therefore, this plugin takes the outputs of nbval's run, and compares the text that a build would write.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
from nbformat import from_dict

from harness.notebooks import files
from harness.notebooks.build import check_source, new_texts
from harness.notebooks.pytest_notebook import NotebookFile

ROOT = Path(__file__).parents[2]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Replace the collector of a lesson, a solution or a page of this repository."""
    found = yield
    if file_path.parent not in (ROOT / "notebooks", ROOT / "solutions", ROOT / files.PAGES):
        return found
    return [BuiltNotebook.from_parent(parent, path=file_path) if type(node) is NotebookFile else node for node in found]


class BuiltNotebook(NotebookFile):
    """A notebook that a build writes."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its tests, and then the requirement that a build doesn't change it."""
        yield from super().collect()
        yield Unchanged.from_parent(self, name="a-rebuild-changes-nothing")


class Unchanged(pytest.Item):
    """The requirement that a build writes the same bytes; it needs the outputs of all cells."""

    parent: Any  # the BuiltNotebook

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell_num = len(self.parent.cells) + 1  # the position among the notebook's tests: the last one

    def runtest(self) -> None:
        """Compare the file with the text that a build would write after this run."""
        if len(self.parent.ended) < len(self.parent.cells):
            pytest.skip("this run left out cells of the notebook")
        notebook = files.read(self.path)
        check_source(notebook, str(self.path))
        executed = from_dict(notebook)
        code = [cell for cell in executed.cells if cell.cell_type == "code"]
        for cell, run in zip(code, self.parent.cells, strict=True):
            cell.outputs, cell.execution_count = run.test_outputs, run.cell_num + 1
        text = dict(new_texts(notebook, executed, self.path))[self.path]
        changes = list(unified_diff(self.path.read_text(encoding="utf-8").splitlines(), text.splitlines(), lineterm=""))
        if changes:
            pytest.fail("\n".join(["`make build` would change this file:", *changes[2:40]]), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, the line 0 and the node id."""
        return self.path, 0, self.nodeid
