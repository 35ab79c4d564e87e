"""`python -m harness lab`: how JupyterLab is started; the browser tests start it for real."""

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.jupyterlab import CONFIG, arguments, has_display
from tests.scratch import markdown, save


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
