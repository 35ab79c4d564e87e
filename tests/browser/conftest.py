"""A browser and a JupyterLab for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize

from tests.browser.driver import LIGHT, Notebook, Server, Window, chromium, copy_course, jupyterlab

SCREEN = ViewportSize(width=1280, height=900)


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


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Window:
    return Window(browser.new_page(viewport=SCREEN), server)


@pytest.fixture
def window(page: Window) -> Iterator[Window]:
    """A window of JupyterLab without notebooks. After a test, its notebooks are closed, its size and theme restored."""
    yield page
    page.close_notebooks()
    page.page.set_viewport_size(SCREEN)
    page.choose_theme(LIGHT)


@pytest.fixture
def visit(window: Window) -> Callable[[str], Notebook]:
    """Open a notebook by its path in the course."""
    return window.open
