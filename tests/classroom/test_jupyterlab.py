"""How JupyterLab is started: by `python -m harness lab`, and in each way that the documents show."""

import asyncio
import json
import os
import posixpath
import re
import shlex
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

from harness.classroom.cli import main
from harness.classroom.jupyterlab import CONFIG, arguments, has_display
from tests.hub.kernel import Kernel, leave
from tests.support.scratch import markdown, save
from tests.support.server_probe import ask, jupyterlab

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).parents[2]
SCRIPTS = sysconfig.get_path("scripts")
LINK = re.compile(r"\]\(([^)#:]+\.ipynb)")
SECONDS = 120  # for anything that a kernel or a terminal does


@pytest.fixture
def course(tmp_path: Path) -> Path:
    root = tmp_path / "a course"
    for name in ("02_two", "00_welcome", "notes"):
        save(root / "notebooks" / f"{name}.ipynb", markdown("# A"))
    return root


def test_the_servers_root_is_the_course_so_that_links_to_exercises_work(course):
    options = arguments(course, 8888, browser=True)
    assert f"--ServerApp.root_dir={course}" in options
    assert f"--FileContentsManager.preferred_dir={course / 'notebooks'}" in options


def test_the_first_lesson_is_open(course):
    assert "--LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb" in arguments(course, 8888, browser=True)
    (course / "notebooks" / "00_welcome.ipynb").unlink()
    assert "--LabApp.default_url=/lab/tree/notebooks/02_two.ipynb" in arguments(course, 8888, browser=True)


def test_it_listens_on_this_machine_only(course):
    options = arguments(course, 9999, browser=False)
    assert {"--ip=127.0.0.1", "--port=9999", "--no-browser"} <= set(options)
    assert "--no-browser" not in arguments(course, 9999, browser=True)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_a_linux_without_a_display_gets_the_url_only(monkeypatch, platform, environment, expected):
    monkeypatch.setattr("sys.platform", platform)
    assert has_display(environment) is expected


def test_a_folder_without_lessons_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 1
    assert "holds no lessons in notebooks/; run this in the repository's top folder" in capsys.readouterr().err


def test_the_news_which_would_ask_the_network_are_off():
    settings = json.loads((CONFIG / "labconfig" / "page_config.json").read_text(encoding="utf-8"))
    assert settings["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True


@dataclass(frozen=True)
class Way:
    """A way to start the course, as a document shows it.

    `command` starts the server; `page` is where the learner's browser begins; `path` is PATH in that place.
    """

    command: list[str]
    page: str = "/"
    path: str = os.defpath


def by_make() -> Way:
    """README's first command, after the installation."""
    assert "\nmake lab " in document("README.md")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", "-n", "lab"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return Way([sys.executable, *shlex.split(done.stdout.splitlines()[-1])[1:]])


def by_conda() -> Way:
    """The last part of the page's command for conda; the parts before it make an environment and activate it."""
    (line,) = re.findall(r"`(conda env create .+)`", document("notebooks/RUNNING.md"))
    return Way(shlex.split(line.rpartition(" && ")[2]), path=os.pathsep.join([SCRIPTS, os.defpath]))


def by_hub() -> Way:
    """The command and the page of notebooks/HUB.md, with JupyterLab in the place of JupyterHub's server."""
    (program,) = re.findall(r"```python\n(.*?)```", document("notebooks/HUB.md"), re.DOTALL)
    settings: dict[str, Any] = {"c": Settings()}
    here = shlex.quote(str(ROOT))  # the words of `cp` are not quoted in the page
    exec(program.replace("/srv/course/.venv", sys.prefix).replace(" /srv/course/", f" {here}/"), settings)
    spawner = settings["c"].Spawner
    *shell, script, name = spawner.cmd
    return Way([*shell, script.replace("jupyterhub-singleuser", "jupyter lab"), name], spawner.default_url)


def by_binder() -> Way:
    """The lesson in the note on Binder; repo2docker starts the server in the repository's top folder."""
    (page,) = re.findall(r"`\?urlpath=(\S+)`", document("notebooks/RUNNING.md"))
    return Way(["jupyter", "lab"], f"/{page}", os.pathsep.join([SCRIPTS, os.defpath]))


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


class Settings:
    """Takes every setting, as the object does that JupyterHub gives to its configuration."""

    def __getattr__(self, name: str) -> Any:
        self.__dict__[name] = made = Settings()
        return made


@dataclass(frozen=True)
class Running:
    """A server that was started in one of the ways."""

    base: str
    token: str
    way: Way

    def notebook(self, path: str) -> dict[str, Any]:
        """Return a notebook by its path below the server's root."""
        status, body = ask(f"{self.base}/api/contents/{path}", self.token)
        assert status == 200, f"{path}: {body}"
        return dict(json.loads(body)["content"])

    def first_page(self) -> str:
        """Return the path of the page that a browser shows in the end."""
        request = urllib.request.Request(self.base + self.way.page, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return str(answer.geturl()).removeprefix(self.base).partition("?")[0]

    def new(self, what: str) -> dict[str, Any]:
        """Start a kernel or a terminal."""
        return dict(json.loads(ask(f"{self.base}/api/{what}", self.token, data={})[1]))

    def socket(self, path: str) -> str:
        return f"{self.base.replace('http', 'ws')}/{path}?token={self.token}"


Start = Callable[[Callable[[], Way]], Running]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start the server of a way, once for all tests."""
    with ExitStack() as stack:

        @cache
        def started(make: Callable[[], Way]) -> Running:
            way, home = make(), tmp_path_factory.mktemp("home")
            # Containers run as root; where JupyterHub and Binder start the server they allow that, too.
            settings = json.dumps({"ServerApp": {"allow_root": True, "ip": "127.0.0.1"}})
            (home / "jupyter_server_config.json").write_text(settings, encoding="utf-8")
            left = ("PYTEST_", "JUPYTER", "IPYTHON")
            kept = {name: value for name, value in os.environ.items() if not name.startswith(left)}
            own = {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "PATH": way.path}
            base, token, _ = stack.enter_context(jupyterlab(way.command, ROOT, kept | own))
            return Running(base, token, way)

        yield started


def way_through(running: Running) -> Iterator[str]:
    """Yield each notebook on the way from the first page: a lesson, the exercises that it links to, the next lesson."""
    path = running.first_page().removeprefix("/lab/tree/")
    while path:
        cells = running.notebook(path)["cells"]
        yield path
        texts = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
        links = [posixpath.normpath(posixpath.join(posixpath.dirname(path), to)) for to in LINK.findall(texts)]
        name = posixpath.basename(path)
        wanted = [
            f"exercises/{name}",
            *(link for link in links if link.startswith(f"notebooks/{int(name[:2]) + 1:02}_")),
        ]
        path = next((stop for stop in wanted if stop in links and stop != path), "")


@pytest.mark.parametrize("way", [by_make, by_conda, by_hub, by_binder])
def test_each_way_to_start_leads_through_all_lessons_and_exercises(start, way):
    names = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    stops = [f"{folder}/{name}" for name in names for folder in ("notebooks", "exercises")]
    assert list(way_through(start(way))) == [stop for stop in stops if (ROOT / stop).exists()]


@pytest.mark.parametrize("way", [by_make, by_hub])
def test_the_courses_commands_run_in_a_cell(start, way):
    running = start(way)
    url = running.socket(f"api/kernels/{running.new('kernels')['id']}/channels")

    async def run() -> str:
        kernel = Kernel(url, {}, SECONDS)
        await kernel.connect()
        try:
            return (await kernel.execute("!taskqueue-course progress")).text
        finally:
            await kernel.close()

    assert "Next: 1.1" in asyncio.run(run())


@pytest.mark.parametrize("way", [by_make, by_conda])
def test_the_courses_commands_run_in_a_terminal(start, way):
    """The server has no terminal here, so that JupyterLab would start a login shell."""
    running = start(way)
    url = running.socket(f"terminals/websocket/{running.new('terminals')['name']}")

    async def run() -> str:
        socket, shown = await websocket_connect(url), ""
        await socket.write_message(json.dumps(["stdin", "taskqueue-course progress; echo fin''ished\r"]))
        while "finished" not in shown:
            kind, *said = json.loads(await asyncio.wait_for(socket.read_message(), SECONDS))
            shown += said[0] if kind == "stdout" else ""
        await leave(socket)
        return shown

    assert "Next: 1.1" in asyncio.run(run())
