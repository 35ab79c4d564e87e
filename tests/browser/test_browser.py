"""The machinery of the browser tests, on notebooks of its own."""

import socket
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.driver import DARK, LIGHT, ROOT, Notebook, jupyterlab, require_chromium
from tests.scratch import code, markdown, save

pytestmark = pytest.mark.browser


@pytest.fixture
def scratch(course: Path) -> Path:
    cells = [markdown("# Scratch"), code("1 / 0", tags=("raises-exception",)), code("6 * 7"), code("1 / 0"), code("8")]
    return save(course / "scratch" / "a.ipynb", *cells)


def brightness(picture: Path) -> float:
    """The mean of all pixels: 0 is black, 255 white."""
    grey = Image.open(picture).convert("L")
    return sum(level * count for level, count in enumerate(grey.histogram())) / (grey.width * grey.height)


def test_a_run_goes_on_after_an_expected_exception_and_stops_at_another(visit, scratch):
    notebook = visit("scratch/a.ipynb")
    notebook.run_all()
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, None]
    assert cells[1]["outputs"][0]["data"]["text/plain"] == "42"
    assert cells[2]["outputs"][0]["ename"] == "ZeroDivisionError"


def test_a_screenshot_shows_the_whole_notebook_in_the_theme(window, server, scratch, tmp_path):
    shots = {}
    for theme in (LIGHT, DARK):
        server.choose_theme(theme)
        notebook = Notebook(window.new_page(), server, "scratch/a.ipynb")
        notebook.run_all()
        shots[theme] = tmp_path / f"{theme}.png"
        notebook.screenshot(shots[theme])
        notebook.close()
    server.choose_theme(LIGHT)
    assert brightness(shots[LIGHT]) > 200
    assert brightness(shots[DARK]) < 80
    with Image.open(shots[LIGHT]) as picture:
        assert picture.height > 600


def test_the_server_opens_the_first_lesson_and_goes_when_it_is_stopped(course, tmp_path):
    with jupyterlab(course, tmp_path) as server:
        first = min(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
        assert f"{server.url}/lab/tree/notebooks/{first}" in server.log.read_text()
    assert server.process.returncode is not None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(server.url.rpartition(":")[2]))) != 0


def test_without_chromium_tests_skip_at_home_and_fail_in_ci(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        require_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        require_chromium()
