"""README.md and the pages that it leads to agree with the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import google.appengine.api
import pytest
import yaml

from harness.classroom.cli import COMMANDS
from harness.classroom.instructor_notes import facts
from harness.notebooks.files import read
from harness.state import VARIABLE
from tests.support.desk import Desk
from tests.support.labs import shell

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
NAMES += [f"notebooks/{name}.md" for name in ("CLOUD_TASKS", "GRADING", "RUNNING", "SERVE")]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
TARGET = re.compile(r"(?:^|`)make ([.a-z-]+)\b", re.MULTILINE)
TARGETS = [(name, target) for name, text in PAGES.items() for target in dict.fromkeys(TARGET.findall(text))]
TO_WRITE = re.compile(r"0[89]|2[._]6")  # files that a contributor is told to write


def test_the_first_screen_has_one_sentence_the_picture_and_the_two_commands():
    title, sentence, picture, commands = README.split("\n\n")[:4]
    assert title.startswith("# ")
    assert sentence.count(".") == 1
    assert re.fullmatch(r'<img src="notebooks/images/lesson_01\.png" width="\d+"\s+alt="[^"]{20,}">', picture)
    assert [line.split("#")[0].strip() for line in commands.splitlines()[1:-1]] == ["make lab", "make test"]


def test_the_readme_serves_learners_then_instructors_then_maintainers():
    sections = re.findall(r"^## (.*)", README, re.MULTILINE)
    assert sections == ["A first example", "For learners", "For instructors", "For maintainers", "Licence"]


def test_the_readme_links_each_page_for_users_and_the_tests_run_it():
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks" / "pages").glob("*.ipynb")}
    assert pages
    assert pages <= {*re.findall(r"\]\(([^)#]+)", README)}
    tested = re.search(r"^TESTS = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "notebooks" in tested[1].split()


def test_the_first_example_prints_what_is_shown_below_it(tmp_path: Path) -> None:
    program, output = re.findall(r"```(?:python|text)\n(.*?)```", README, re.DOTALL)[:2]
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.stdout == output, run.stderr


def test_the_readme_and_lesson_00_name_what_a_controller_needs_around_it_on_app_engine():
    welcome = "\n".join(cell.source for cell in read(ROOT / "notebooks" / "00_welcome.ipynb").cells)
    for page in (README, welcome):
        assert "unchanged" not in page
        text = " ".join(page.split())
        assert "The code of a controller" in text
        assert "stays the same on App Engine" in text
        for needed in ("`app_engine_apis: true`", "`wrap_wsgi_app`", "entrypoint"):
            assert needed in page
    assert callable(google.appengine.api.wrap_wsgi_app)


def test_the_readme_links_every_lesson_and_every_exercise():
    linked = set(re.findall(r"\]\(((?:notebooks|exercises)/\w+\.ipynb)\)", README))
    sources = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")]
    folders = {"notebooks": "notebooks", "solutions": "exercises"}
    assert linked == {f"{folders[path.parent.name]}/{path.name}" for path in sources}


def test_the_minutes_in_the_readme_are_those_that_the_lessons_state():
    stated = re.findall(r"^\| \[.*\]\(notebooks/(\w+\.ipynb)\) \| (\d+) \|", README, re.MULTILINE)
    assert dict(stated) == {lesson.file: str(lesson.minutes) for lesson in facts(ROOT).values()}


@pytest.mark.parametrize("name", NAMES)
def test_all_links_lead_somewhere(name):
    targets = re.findall(r"\]\((?!https://)([^)#]+)\)", PAGES[name])
    assert [target for target in targets if not ((ROOT / name).parent / target).exists()] == []


def test_the_folders_and_files_of_the_layout_exist():
    for name in ("notebooks", "exercises", "solutions", "harness", "environment.yml", "README.md"):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_the_makefile_has_every_target_that_a_page_names(name, target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), name


def test_the_pages_name_the_targets_that_a_reader_looks_for():
    named = {target for _, target in TARGETS}
    assert named >= {"lab", "watch", "test", "quick", "check", "build", "bench", "soak", "newest", "docs", "slides"}
    assert named >= {"nbgrader", "exercise", "pins", "help"}


@pytest.mark.notebook
def test_each_command_for_a_terminal_runs_as_it_is_printed(tmp_path: Path) -> None:
    (block,) = re.findall(r"## In a terminal\n.*?```console\n(.*?)```", PAGES["notebooks/RUNNING.md"], re.DOTALL)
    commands = [line.partition("#")[0] for line in block.splitlines()]
    names = [command.split()[1] for command in commands]
    desk = Desk(tmp_path)
    desk.solve("2.1")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    own = {"PATH": os.defpath, "HOME": str(tmp_path), VARIABLE: str(tmp_path / "state")}
    done = dict(zip(names, [shell(command, tmp_path, **own) for command in commands], strict=True))
    assert names == ["check", "progress", "hint", "solution", "reset", "doctor", "export", "certificate"]
    assert [name for name, run in done.items() if name != "doctor" and run.returncode] == []
    assert " a task " in done["doctor"].stdout


def test_every_command_of_the_course_that_a_page_names_exists():
    named = re.findall(r"(?:taskqueue-course|python -m harness) ([a-z-]+)", "".join(PAGES.values()))
    assert named
    assert set(named) <= set(COMMANDS)


def test_conda_activates_the_environment_that_it_created():
    (activated,) = re.findall(r"conda activate (\w+)", PAGES["notebooks/RUNNING.md"])
    assert activated == yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["name"]


def test_contributing_names_files_that_exist():
    named = re.findall(r"`([\w./]+\.(?:py|toml|md|txt|ipynb)|[\w./]+/)`", PAGES["CONTRIBUTING.md"])
    found = [path for path in named if not TO_WRITE.search(path) and "/" in path]
    assert len(found) > 5
    assert [path for path in found if not (ROOT / path).exists() and not path.startswith("build/")] == []


def test_the_changelog_begins_with_what_is_unreleased_and_then_has_the_version_of_the_package():
    headings = re.findall(r"^## (\S+)", PAGES["CHANGELOG.md"], re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert headings[:2] == ["Unreleased", project["version"]]
