"""Every lesson and every solution, run in JupyterLab."""

import pytest

from harness.notebooks import files
from harness.notebooks.normal_form import normalise
from tests.browser.driver import ROOT

pytestmark = pytest.mark.browser

EXERCISES = [path.name for path in files.find(ROOT, "exercises")]
LESSONS = [path.name for path in files.find(ROOT, "notebooks")]
OPEN = "path => window.jupyterapp.shell.currentWidget?.context?.path === path"


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_and_saves_what_is_committed(visit, server, name):
    """Every cell is run; what JupyterLab then saves has the normal form that the build gave the lesson."""
    notebook = visit(f"notebooks/{name}")
    notebook.run_all()
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    raised = [cell["id"] for cell in cells if any(output["output_type"] == "error" for output in cell["outputs"])]
    assert raised == [cell["id"] for cell in cells if "raises-exception" in cell["metadata"].get("tags", [])]
    notebook.save()
    saved = files.dump(normalise(files.read(server.root / "notebooks" / name)))
    committed = (ROOT / "notebooks" / name).read_text(encoding="utf-8")
    assert saved.splitlines() == committed.splitlines()


def test_a_link_leads_from_a_lesson_to_its_exercises(visit):
    name = EXERCISES[0]
    notebook = visit(f"notebooks/{name}")
    exercise = f"exercises/{name}"
    notebook.page.locator(f'.jp-Notebook a[href*="{exercise}"]').last.click()
    notebook.page.wait_for_function(OPEN, arg=exercise)
    notebook.wait_until_ready()
    assert notebook.path == exercise
