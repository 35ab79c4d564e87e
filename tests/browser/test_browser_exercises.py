"""Every exercise notebook in JupyterLab, as a learner finds it."""

import pytest

from harness.notebooks import files
from tests.browser.driver import ROOT

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", [path.name for path in files.find(ROOT, "exercises")])
def test_an_exercise_stops_at_its_first_check_as_not_attempted(visit, name):
    notebook = visit(f"exercises/{name}")
    notebook.run_all()
    cells = notebook.code_cells()
    stopped = next(place for place, cell in enumerate(cells) if "check(" in cell["source"])
    (error,) = cells[stopped]["outputs"]
    assert error["ename"] == "CheckError"
    assert "not attempted" in error["evalue"]
    counts = [cell["execution_count"] for cell in cells]
    assert counts == [*range(1, stopped + 2), *[None] * (len(cells) - stopped - 1)]
    outputs = [output for cell in cells[:stopped] for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
