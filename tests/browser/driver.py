"""JupyterLab in a real Chromium: a server of our own, and a page in which notebooks are opened, run and looked at."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, TimeoutError, sync_playwright

from harness.notebooks.reference_card import find_chromium
from harness.state import VARIABLE
from tests.support.desk import Desk
from tests.support.isolation import missing

ROOT = Path(__file__).parents[2]
SECONDS = 240  # for anything that the browser waits for; ten times what a quiet machine needs
TOKEN = "for-tests-on-this-machine-only"
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

RESTORED = "async () => { await window.jupyterapp.restored; }"
STARTED = """() => ['docmanager:open', 'notebook:run-all-cells', 'apputils:change-theme'].every(
    command => window.jupyterapp.commands.hasCommand(command))"""
# The idle indicator alone is not enough: before the kernel is connected, "run all" succeeds and runs nothing.
# JupyterLab puts its launcher where nothing is open, a moment later, and so in front of a notebook opened meanwhile.
READY = """path => {
    const shell = window.jupyterapp.shell;
    const panel = [...shell.widgets('main')].find(widget => widget.context?.path === path);
    if (panel && shell.currentWidget !== panel) {
        shell.activateById(panel.id);
    }
    const kernel = panel?.sessionContext?.session?.kernel;
    return Boolean(panel?.context.isReady && shell.currentWidget === panel
        && kernel?.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells"
IDLE = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const prompts = [...panel.node.querySelectorAll('.jp-InputPrompt')].map(prompt => prompt.textContent);
    return panel.sessionContext.session.kernel.status === 'idle' && !prompts.some(text => text.includes('*'));
}"""
# A kernel is idle for a moment between two cells: a run is over when no cell is left, or after one that had to stop it.
OVER = f"""() => {{
    const cells = window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells
        .filter(cell => cell.cell_type === 'code');
    const stops = cell => cell.execution_count !== null  // it comes after the output, with the kernel's answer
        && !cell.metadata.tags?.includes('raises-exception')
        && cell.outputs.some(output => output.output_type === 'error');
    return (cells.every(cell => cell.execution_count !== null) || cells.some(stops)) && ({IDLE})();
}}"""
# What somebody would look at who waits in vain.
STATE = """() => {
    const app = window.jupyterapp;
    const panel = app?.shell?.currentWidget;
    const kernel = panel?.sessionContext?.session?.kernel;
    const cells = panel?.content?.model?.sharedModel?.toJSON().cells ?? [];
    return {
        tabs: app ? [...app.shell.widgets('main')].map(widget => widget.title.label) : null,
        path: panel?.context?.path, ready: panel?.context?.isReady, disposed: panel?.isDisposed,
        kernel: kernel && [kernel.status, kernel.connectionStatus],
        counts: cells.filter(cell => cell.cell_type === 'code').map(cell => cell.execution_count),
        dialogs: [...document.querySelectorAll('.jp-Dialog')].map(dialog => dialog.innerText),
    };
}"""
# JupyterLab covers the window while it loads a theme.
THEMED = """theme => document.body.dataset.jpThemeName === theme
    && !document.getElementById('jupyterlab-splash')?.checkVisibility()"""
PATH = "() => window.jupyterapp.shell.currentWidget?.context?.path"
# A panel is gone a moment after it was told to close; opened again meanwhile, a notebook would get the one that goes.
CLOSE = """async () => {
    for (const panel of [...window.jupyterapp.shell.widgets('main')].filter(widget => widget.sessionContext)) {
        const gone = new Promise(resolve => panel.disposed.connect(resolve));
        await panel.sessionContext.shutdown();
        panel.context.model.dirty = false;  // JupyterLab would ask whether to save
        panel.close();
        await gone;
    }
}"""
# The height of all cells, once it has been the same for a moment: JupyterLab lays them out piece by piece.
HEIGHT = """async () => {
    const cells = () => [...window.jupyterapp.shell.currentWidget.node.querySelectorAll('.jp-Cell')];
    const height = () => cells().reduce((sum, cell) => sum + cell.getBoundingClientRect().height, 0);
    let before = -1;
    while (height() === 0 || height() !== before) {
        before = height();
        await new Promise(resolve => setTimeout(resolve, 300));
    }
    return before;
}"""
SCROLL_UP = "() => window.jupyterapp.shell.currentWidget.node.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)"
# The last lines in sight stay in sight.
SCROLL_ON = """() => {
    const panel = window.jupyterapp.shell.currentWidget.node.querySelector('.jp-WindowedPanel-outer');
    const bottom = element => element.getBoundingClientRect().bottom;
    const goesOn = bottom([...panel.querySelectorAll('.jp-Cell')].at(-1)) > bottom(panel);
    panel.scrollBy(0, panel.clientHeight - 60);
    return goesOn;
}"""


class Server:
    """A JupyterLab that `python -m harness lab` runs, in a home of its own.

    Args:
        root: a folder like the repository, with notebooks/ in it.
        home: an empty folder, for HOME and all that Jupyter writes.
    """

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.log = home / "server.log"
        self.state = home / "state"  # the learner's progress and predictions
        _write(home / "config" / "jupyter_lab_config.json", _CONFIG)
        _write(home / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings", _NOTEBOOKS)

    def start(self) -> None:
        command = [sys.executable, "-m", "harness", "lab", "--no-browser", f"--port={self.url.rpartition(':')[2]}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.root, env=self._environment(), stdout=log, stderr=log)
        end = time.monotonic() + SECONDS
        while self.url not in self.log.read_text():  # it is printed when the server listens
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server, which stops its kernels."""
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "PYTEST_"))}
        return {
            **inherited,
            "HOME": str(self.home),
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "JUPYTER_TOKEN": TOKEN,
            VARIABLE: str(self.state),
        }


_CONFIG = {"LabApp": {"expose_app_in_browser": True}, "ServerApp": {"port_retries": 0}}
_NOTEBOOKS = {"windowingMode": "none"}  # otherwise cells out of sight are not in the page


class Window:
    """A page of JupyterLab, in which notebooks are opened one after the other: to load JupyterLab takes longest."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.requests: list[str] = []  # every URL that the page has asked for
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{server.url}/lab/workspaces/w1?token={TOKEN}&reset")
        self.wait("() => window.jupyterapp")  # a function that returns a promise would end the wait immediately
        page.evaluate(RESTORED)
        self.wait(STARTED)

    def open(self, path: str) -> "Notebook":
        """Open a notebook and wait until its kernel is ready."""
        self.execute("docmanager:open", {"path": path})
        return self.notebook(path)

    def notebook(self, path: str) -> "Notebook":
        """Wait until a notebook is open and its kernel is ready."""
        self.wait(READY, path)
        return Notebook(self)

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until a condition of the page holds; a wait in vain says how the page stands then."""
        try:
            self.page.wait_for_function(condition, arg=argument)
        except TimeoutError as error:
            error.add_note(f"the page: {self.page.evaluate(STATE)}\nthe server:\n{self.server.log.read_text()[-2000:]}")
            raise

    def choose_theme(self, theme: str) -> None:
        """Change the theme, and wait until it is shown."""
        self.execute("apputils:change-theme", {"theme": theme})
        self.wait(THEMED, theme)

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Execute a command of JupyterLab and wait for its end."""
        return self.page.evaluate(_COMMAND, [command, arguments or {}, SECONDS * 1000])

    def close_notebooks(self) -> None:
        """Close all notebooks, unsaved, and end their kernels."""
        self.page.evaluate(CLOSE)


class Notebook:
    """The notebook that is in front in a window, its kernel ready."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.page = window.page

    @property
    def path(self) -> str:
        return str(self.page.evaluate(PATH))

    def run_all(self) -> None:
        """Run all cells, as the menu does. It stops where a cell raises; the execution counts show how far it came.

        Outputs and counts of before are cleared, so that none is taken for a new one. JupyterLab 4.6 calls the command
        done at the first exception, though cells run on after one that was expected.
        """
        self.window.execute("notebook:clear-all-cell-outputs")
        self.window.execute("notebook:run-all-cells")
        self.window.wait(OVER)

    def run(self, cell: str) -> str:
        """Run one cell, as Ctrl-Enter does, and return what a learner then reads below it."""
        shown = self._cell(cell)
        shown.locator(".jp-InputPrompt").click()
        self.window.execute("notebook:run-cell")
        self.window.wait(IDLE)
        return self.shown(cell)

    def shown(self, cell: str) -> str:
        """Return what a learner reads below a cell."""
        return "\n".join(self._cell(cell).locator(".jp-OutputArea-output").all_inner_texts())

    def source(self, cell: str) -> str:
        return next(str(each["source"]) for each in self.cells() if each["id"] == cell)

    def write(self, cell: str, source: str) -> None:
        """Put a text in the place of a cell's, with the keyboard."""
        self._cell(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        if self.source(cell) != source:
            raise RuntimeError(f"the editor made {self.source(cell)!r} of {source!r}")

    def tab_to(self, cell: str, selector: str) -> None:
        """Give a cell the focus, as Escape does, and press Tab until an element in the cell has it."""
        self._cell(cell).evaluate("cell => cell.focus()")
        for _ in range(20):
            self.page.keyboard.press("Tab")
            if self._cell(cell).locator(f"{selector}:focus").count():
                return
        raise RuntimeError(f"Tab doesn't lead to {selector}")

    def save(self) -> None:
        self.window.execute("docmanager:save")

    def _cell(self, cell: str) -> Locator:
        place = [each["id"] for each in self.cells()].index(cell)
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").nth(place)

    def cells(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate(CELLS))

    def code_cells(self) -> list[dict[str, Any]]:
        return [cell for cell in self.cells() if cell["cell_type"] == "code"]

    def show_all(self) -> None:
        """Make the window so high that the whole notebook is in sight."""
        self.page.set_viewport_size({"width": 1280, "height": int(self.page.evaluate(HEIGHT)) + 300})
        self.page.evaluate(SCROLL_UP)

    def screenshots(self, folder: Path, width: int) -> list[Path]:
        """Photograph the notebook from top to bottom, and return the pictures, each about 1600 pixels high.

        Args:
            folder: the folder to write to.
            width: the pixels of the window; the pictures show only the notebook in it.
        """
        self.page.set_viewport_size({"width": width, "height": 1700})
        self.page.evaluate(HEIGHT)
        self.page.evaluate(SCROLL_UP)
        name, pictures, goes_on = Path(self.path), list[Path](), True
        while goes_on:
            pictures.append(folder / f"{name.parent.name}-{name.stem}-{len(pictures) + 1}.png")
            self.page.locator(".jp-NotebookPanel:visible").screenshot(path=pictures[-1])
            goes_on = self.page.evaluate(SCROLL_ON)
        return pictures


_COMMAND = """([command, arguments_, timeout]) => Promise.race([
    window.jupyterapp.commands.execute(command, arguments_).then(() => null),
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${command} took over ${timeout} ms`)), timeout)),
])"""


def require_chromium() -> str:
    """Return the path of Chromium; without one skip, or fail where CI promises that there is one."""
    found = find_chromium()
    if found is None:
        missing("no Chromium: install it (on Debian: apt-get install chromium), or run .ci/run as root")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser. Its event loop runs in this thread until the end, and lets no `asyncio.run` in meanwhile."""
    path = require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def jupyterlab(root: Path, home: Path) -> Iterator[Server]:
    server = Server(root, home)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def copy_course(target: Path) -> Path:
    """Copy the notebooks, so that what a browser saves does not change them; the exercises are unsolved."""
    for folder in ("notebooks", "solutions"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns(".*"))
    Desk(target)
    return target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, settings: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings), encoding="utf-8")
