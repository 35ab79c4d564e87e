"""How JupyterLab is started: by `python -m harness lab`, and in each way that the documents show."""

import asyncio
import json
import os
import posixpath
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect
from traitlets.config.loader import PyFileConfigLoader
from traitlets.utils.importstring import import_item

from harness.classroom import jupyterlab as jupyterlab_module
from harness.classroom.cli import main
from harness.classroom.jupyterlab import CONFIG, COURSE_FILES, arguments, has_display
from harness.course.delivery import deliver
from harness.notebooks import files
from harness.notebooks.copies import PAGES, copy_name
from tests.hub.kernel import Kernel, leave
from tests.support.desk import EXERCISES, remember_nothing
from tests.support.scratch import markdown, save
from tests.support.server_probe import ask, jupyterlab

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).parents[2]
SCRIPTS = sysconfig.get_path("scripts")
NEXT = re.compile(r"Next: \[[^\]]+\]\(([^)]+)\)$", re.MULTILINE)
COPIED = {"JUPYTER_CONFIG_PATH": str(CONFIG)}  # a hub sets it to a copy of these settings, and postBuild copies them
SECONDS = 120  # for anything that a kernel or a terminal does


@pytest.fixture
def course(tmp_path: Path) -> Path:
    root = tmp_path / "a course"
    (root / "exercises").mkdir(parents=True)
    for name in ("02_two", "00_welcome", "notes"):
        save(root / "notebooks" / f"{name}.ipynb", markdown("# A"))
    return root


def test_the_servers_root_is_the_course_and_the_file_browser_shows_the_pages_folder(course):
    page = course / "my-course" / "01a_lesson_one.ipynb"
    options = arguments(course, page, 8888, browser=True)
    assert f"--ServerApp.root_dir={course}" in options
    assert f"--FileContentsManager.preferred_dir={course / 'my-course'}" in options
    assert "--LabApp.default_url=/lab/tree/my-course/01a_lesson_one.ipynb" in options


def served(course: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[Path, list[str]]:
    """Run `lab` with a substitute for the server; return the page that it opens, and the lines that it prints."""
    found: list[Any] = []

    def serve(root: Path, page: Path, port: int, *, lines: list[str], **others: bool) -> int:
        found.extend([page.relative_to(root), lines])
        return 0

    monkeypatch.setattr(jupyterlab_module, "serve", serve)
    monkeypatch.chdir(course)
    assert main(["lab", *options]) == 0
    return found[0], found[1]


def test_lab_opens_where_the_learner_left_off_and_prints_what_comes_next(course, monkeypatch):
    remember_nothing(monkeypatch).add("1.1")
    first, lines = served(course, monkeypatch)
    assert first == Path("my-course/00a_lesson_welcome.ipynb")
    assert lines[0].startswith(f"1 of {EXERCISES} solved, next: 1.2 ")
    assert lines[1] == "To stop: press Ctrl-C, then y"
    save(course / "my-course" / "02a_lesson_two.ipynb", markdown("# Mine"))
    assert served(course, monkeypatch)[0] == Path("my-course/02a_lesson_two.ipynb")


def test_an_author_opens_the_committed_lessons_and_gets_no_copies(course, monkeypatch):
    assert served(course, monkeypatch, "--source")[0] == Path("notebooks/00_welcome.ipynb")
    assert not (course / "my-course").exists()


def test_the_lists_of_folders_contain_all_that_a_learner_makes_and_no_file_of_the_course(tmp_path):
    own = ["README.md", "harness", "notes.md", "Untitled.ipynb"]
    for folder, names in {"": [*own, "mine"], "my-course": [*own, PAGES], "mine": [*own, PAGES]}.items():
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
    settings = json.loads((CONFIG / "jupyter_server_config.json").read_text(encoding="utf-8"))["ServerApp"]
    manager = import_item(settings["contents_manager_class"])(root_dir=str(tmp_path))
    manager.hidden_at_top = COURSE_FILES

    def listed(path: str) -> list[str]:
        return sorted(entry["name"] for entry in asyncio.run(manager.get(path))["content"])

    assert listed("") == sorted(["Untitled.ipynb", "mine", "my-course", "notes.md"])
    assert listed("my-course") == sorted(own)
    assert listed("mine") == sorted([*own, PAGES])
    manager.root_dir, manager.hidden_at_top = str(tmp_path / "my-course"), []
    assert listed("/") == sorted(own)


def test_the_course_has_no_other_files_at_the_top():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    at_top = {path.partition("/")[0] for path in listed.splitlines()}
    assert {name for name in at_top if not name.startswith(".")} <= set(COURSE_FILES)


def test_it_listens_on_this_machine_only(course):
    page = course / "notebooks" / "00_welcome.ipynb"
    options = arguments(course, page, 9999, browser=False)
    assert {"--ip=127.0.0.1", "--port=9999", "--no-browser"} <= set(options)
    assert "--no-browser" not in arguments(course, page, 9999, browser=True)


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


@pytest.mark.parametrize(("folder", "option"), [("", ()), ("exercises", ("--source",))])
def test_a_folder_without_lessons_is_refused(tmp_path, monkeypatch, capsys, folder, option):
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert main(["lab", *option]) == 1
    said = capsys.readouterr().err
    assert ("holds no lessons in notebooks/; run this in the" if folder else "contains no course, because it") in said


def test_the_news_which_would_ask_the_network_are_off():
    settings = json.loads((CONFIG / "labconfig" / "page_config.json").read_text(encoding="utf-8"))
    assert settings["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True


def test_the_courses_own_extension_is_found_wherever_the_folder_of_settings_is(tmp_path):
    """Binder has a copy of the folder. The extension replaces a part of JupyterLab that the settings turn off."""
    shutil.copytree(CONFIG, tmp_path / "etc")
    settings = PyFileConfigLoader("jupyter_lab_config.py", str(tmp_path / "etc")).load_config().LabApp
    assert settings.extra_labextensions_path.get_value([]) == [str(tmp_path / "etc" / "labextensions")]
    (package,) = (tmp_path / "etc" / "labextensions").glob("*/package.json")
    loaded = json.loads(package.read_text(encoding="utf-8"))["jupyterlab"]["_build"]["load"]
    assert f"window._JUPYTERLAB['{package.parent.name}']" in (package.parent / loaded).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Way:
    """A way to start the course, as a document shows it.

    `command` starts the server; `page` is where the learner's browser begins; `path` is PATH in that place.
    `environment` has other variables.
    """

    command: list[str]
    page: str = "/"
    path: str = os.defpath
    environment: dict[str, str] = field(default_factory=dict)


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
    exec(program.replace("/srv/course/.venv", sys.prefix), settings)
    spawner = settings["c"].Spawner
    *shell, script, name = spawner.cmd
    return Way(
        [*shell, script.replace("jupyterhub-singleuser", "jupyter lab"), name], spawner.default_url, environment=COPIED
    )


def by_binder() -> Way:
    """The page in the note on Binder; repo2docker starts the server in the top folder, after postBuild's copies."""
    (page,) = re.findall(r"`\?urlpath=(\S+)`", document("notebooks/RUNNING.md"))
    return Way(["jupyter", "lab"], f"/{page}", os.pathsep.join([SCRIPTS, os.defpath]), COPIED)


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
    home: Path

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
    """Start the server in the way that a test names, in a folder with the notebooks of the course and their copies.

    Without exercises/, because a fork has a learner's answers there, and the copies are made from solutions/.
    """
    top = tmp_path_factory.mktemp("a course")
    for folder in ("notebooks", "solutions"):
        (top / folder).symlink_to(ROOT / folder)
    deliver(top)
    with ExitStack() as stack:

        @cache
        def started(make: Callable[[], Way]) -> Running:
            way, home = make(), tmp_path_factory.mktemp("home")
            # Containers run as root; where JupyterHub and Binder start the server they allow that, too.
            settings = json.dumps({"ServerApp": {"allow_root": True, "ip": "127.0.0.1"}})
            (home / "jupyter_server_config.json").write_text(settings, encoding="utf-8")
            left = ("PYTEST_", "JUPYTER", "IPYTHON")
            kept = {name: value for name, value in os.environ.items() if not name.startswith(left)}
            own = {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "PATH": way.path} | way.environment
            base, token, _ = stack.enter_context(jupyterlab(way.command, top, kept | own))
            return Running(base, token, way, home)

        yield started


def way_through(running: Running) -> Iterator[str]:
    """Yield each notebook on the way from the first page along the links to the next notebook."""
    path = running.first_page().removeprefix("/lab/tree/")
    while path:
        yield path
        *_, last = running.notebook(path)["cells"]
        links = [posixpath.join(posixpath.dirname(path), to) for to in NEXT.findall(last["source"])]
        path = next(iter(links), "")


@pytest.mark.parametrize("way", [by_make, by_conda, by_hub, by_binder])
def test_each_way_to_start_leads_through_all_copies(start, way):
    folders = ("notebooks", "exercises", files.PAGES)
    originals = [path.as_posix() for folder in folders for path in (ROOT / folder).glob("*.ipynb")]
    copies = sorted(filter(None, map(copy_name, originals)))
    assert list(way_through(start(way))) == [f"my-course/{name}" for name in copies]


def test_the_first_page_of_a_hub_is_the_notebook_that_was_saved_last(start):
    running = start(by_hub)
    saved = running.home / "my-course" / "02a_lesson_passing_data.ipynb"
    before = saved.read_bytes()
    try:
        save(saved, markdown("# Mine"))
        assert running.first_page() == f"/lab/tree/my-course/{saved.name}"
    finally:
        saved.write_bytes(before)
    with urllib.request.urlopen(running.base + running.way.page, timeout=SECONDS) as answer:
        assert "/login" in answer.geturl()


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
