"""If a learner runs a cell of a lesson or a recap again, only intended exceptions are raised."""

from pathlib import Path

import pytest

from harness.appengine.taskqueue import preload
from harness.notebooks import files
from harness.notebooks.copies import copy_name
from tests.support.shells import ipython

ROOT = Path(__file__).parents[2]
LESSONS = [
    *files.find(ROOT, "notebooks"),
    *(path for path in files.find(ROOT, files.PAGES) if copy_name(path.as_posix())),
]
# Cells that raise when they run again, with the reason why they may.
INTENDED = {
    "name-client-code": "the name is still taken, which the lesson shows in the next code cell",
    "names-first": "the name is still taken, which the lesson shows in the next code cell",
    "queues-create": "the queue exists, as the text below the cell explains",
    "race-overlap": "the task has run, so it can't be delivered; the message reports that it no longer waits",
}


@pytest.mark.notebook
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_cell_of_a_lesson_runs_twice(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preload()  # pytest makes an error of each warning of Google's client, which a notebook hides
    raised = {}
    with ipython(tmp_path) as shell:
        for cell in [cell for cell in files.read(path).cells if cell.cell_type == "code"]:
            for run in (1, 2):
                shell.run(cell.source)
                if shell.error is not None and "raises-exception" not in cell.metadata.get("tags", []):
                    raised[cell.id] = run, shell.text
        shell.shell.reset()
    unintended = {name: found for name, found in raised.items() if found[0] == 1 or name not in INTENDED}
    assert unintended == {}


def test_the_list_of_intended_exceptions_names_cells_of_the_lessons():
    assert set(INTENDED) <= {cell.id for path in LESSONS for cell in files.read(path).cells}
