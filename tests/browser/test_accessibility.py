"""What the course shows in JupyterLab breaks no rule of axe-core that is serious or critical, in either theme."""

import os

import pytest

from harness.notebooks import files
from tests.browser.axe import violations
from tests.browser.driver import DARK, LIGHT, ROOT

pytestmark = pytest.mark.browser

SAMPLE = ("notebooks/05", "exercises/01")
NOTEBOOKS = [f"{folder}/{path.name}" for folder in ("notebooks", "exercises") for path in files.find(ROOT, folder)]
if not os.environ.get("HARNESS_SOAK"):
    NOTEBOOKS = [path for path in NOTEBOOKS if path.startswith(SAMPLE)]
# IPython and JupyterLab choose the colours of a traceback.
KINDS = (
    "jp-RenderedHTMLCommon",
    "jp-RenderedText:not([data-mime-type$='stderr'], [data-mime-type$='error'])",
    "jp-RenderedSVG",
    "jupyter-widgets",
)
OURS = ", ".join(f".jp-NotebookPanel .jp-OutputArea-output.{kind}" for kind in KINDS)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_no_output_of_ours_breaks_a_rule_of_accessibility(window, path):
    notebook = window.open(path)
    notebook.run_all()
    notebook.show_all()
    found = {}
    for theme in (DARK, LIGHT):
        window.choose_theme(theme)
        found[theme] = violations(window.page, OURS, at_least=20)
    assert found == {DARK: [], LIGHT: []}
