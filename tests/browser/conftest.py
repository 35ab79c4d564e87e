"""A browser and a JupyterLab for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.driver import Notebook, Server, chromium, copy_course, jupyterlab


@pytest.fixture(scope="module")  # no longer: its event loop would be in the way of other modules
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course, for the browser to write to."""
    return copy_course(tmp_path_factory.mktemp("a course"))


@pytest.fixture(scope="session")
def server(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with jupyterlab(course, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A browser window without cookies and storage of before."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def visit(window: BrowserContext, server: Server) -> Iterator[Callable[[str], Notebook]]:
    """Open notebooks by their path in the course; their kernels end with the test."""
    opened: list[Notebook] = []

    def open_notebook(path: str) -> Notebook:
        opened.append(Notebook(window.new_page(), server, path))
        return opened[-1]

    yield open_notebook
    for notebook in opened:
        notebook.close()
