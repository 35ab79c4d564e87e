"""The set-up: pins that agree with each other, a Makefile that says what it can, scripts that run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.bench import __main__ as bench
from tests.hub import __main__ as hub

ROOT = Path(__file__).parents[1]
TOP = {
    *("environment.yml", "pyproject.toml", "requirements.txt", "Makefile", "LICENSE", "postBuild"),
    *("notebooks", "exercises", "solutions", "harness", "tests", ".ci", ".gitignore", ".gitattributes"),
    *(".github", ".devcontainer"),
}
PROBE = 'probe:\n\t@echo "$$HOME|$$UV_DEFAULT_INDEX|$$UV_INDEX|$$UV_FIND_LINKS|$$SSL_CERT_FILE"\n'


def pins(file: str) -> list[str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    added = [line for name in extras for line in project["optional-dependencies"][name]]
    return [Requirement(line) for line in [*project["dependencies"], *added]]


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "MAKE", "SSL_"))}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the Makefile, in a folder with a space, with a target that shows the environment of its recipes."""
    copied = tmp_path / "a course"
    copied.mkdir()
    for name in ("Makefile", LEARNERS, "pyproject.toml"):
        shutil.copy(ROOT / name, copied)
    (copied / "probe.mk").write_text(PROBE, encoding="utf-8")
    return copied


def probe(folder: Path, **environment: str) -> list[str]:
    shown = make(folder, "-f", "Makefile", "-f", "probe.mk", "probe", **environment)
    return shown.stdout.strip().split("|")


LEARNERS, TESTERS = "requirements.txt", "tests/requirements.txt"


@pytest.mark.parametrize("file", [LEARNERS, TESTERS])
def test_every_requirement_is_pinned_exactly(file):
    assert len(pins(file)) > 100
    for line in pins(file):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)?", line), line


@pytest.mark.parametrize(("file", "extras"), [(LEARNERS, []), (TESTERS, ["test"])])
def test_every_declared_dependency_has_a_pin_that_satisfies_it(file, extras):
    pinned = {pin.name: pin for pin in map(Requirement, pins(file)) if pin.marker is None or pin.marker.evaluate()}
    for dependency in declared(*extras):
        pin = pinned[re.sub(r"[-_.]+", "-", dependency.name).lower()]
        assert dependency.specifier.contains(str(pin.specifier).removeprefix("==")), dependency


def test_the_testers_have_what_the_learners_have_and_more():
    def versions(file: str) -> dict[str, str]:
        return {pin.name: str(pin.specifier) for pin in map(Requirement, pins(file))}

    assert versions(LEARNERS).items() < versions(TESTERS).items()


def test_a_learner_downloads_no_tool_that_only_tests_use():
    learners = {Requirement(line).name for line in pins(LEARNERS)}
    assert not learners & {"hypothesis", "mypy", "playwright", "pytest-xdist", "ruff", "zizmor"}


def test_urllib3_is_one_that_googles_client_can_use():
    assert any(re.match(r"urllib3==1\.", line) for line in pins(LEARNERS))


def test_conda_installs_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": pins(LEARNERS)}


def test_make_alone_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets is not None
    listed = make(ROOT).stdout
    for target in targets[1].split():
        assert re.search(rf"^make {re.escape(target)} +\w", listed, re.MULTILINE), target


def test_recipes_run_in_a_folder_with_a_space(folder):
    assert "make lab" in make(folder, "help").stdout


def test_clean_removes_all_that_git_ignores_but_a_learners_backups(folder):
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for line in ignored:
        made = folder / line.strip("/").replace("*", "harness")
        made.mkdir(parents=True)
        (made / "a file").touch()
    assert make(folder, "clean").returncode == 0
    left = {f"/{path.parent.relative_to(folder).as_posix()}/" for path in folder.rglob("a file")}
    assert left == {"/exercises/backups/"}
    assert left <= set(ignored)


def test_clean_keeps_submissions_and_grades(folder):
    kept = [folder / "build" / "nbgrader" / name for name in ("gradebook.db", "submitted/ann/01/01_first_task.ipynb")]
    made = folder / "build" / "some slides" / "01.html"
    for path in [*kept, made]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert make(folder, "clean").returncode == 0
    assert [path.exists() for path in [*kept, made]] == [True, True, False]


@pytest.mark.parametrize("figures", [bench.FOLDER, hub.FIGURES], ids=["bench", "hub-test"])
def test_what_a_target_measures_is_written_where_clean_removes_it(figures):
    assert figures.is_relative_to(ROOT / "build")


@pytest.mark.parametrize("home", ["", "/nowhere/at/all"])
def test_a_home_that_is_not_there_is_replaced_by_one_in_venv(folder, home):
    assert probe(folder, HOME=home)[0] == str(folder / ".venv" / "home")


def test_a_home_that_is_there_stays(folder, tmp_path):
    assert probe(folder, HOME=str(tmp_path))[0] == str(tmp_path)


def test_what_pip_was_told_uv_is_told_too(folder):
    told = {"PIP_INDEX_URL": "a", "PIP_EXTRA_INDEX_URL": "b", "PIP_FIND_LINKS": "c", "PIP_CERT": "d"}
    assert probe(folder, **told)[1:] == ["a", "b", "c", "d"]
    assert probe(folder, **told, UV_DEFAULT_INDEX="own")[1] == "own"
    assert probe(folder)[1:] == ["", "", "", ""]


def test_without_python_3_11_make_says_what_is_missing(folder):
    outcome = make(folder, "PYTHON=", ".venv")
    assert outcome.returncode != 0
    assert "There is no Python 3.11 here" in outcome.stderr
    (told,) = re.findall(r"\(make (.+) PYTHON=/path/to/python3\.11\)", outcome.stderr)
    assert f'"{sys.executable}" -m venv .venv' in make(folder, "-n", told, f"PYTHON={sys.executable}").stdout


@pytest.mark.parametrize("name", [".ci/run", "postBuild"])
def test_a_script_is_executable_and_parses(name):
    subprocess.run(["bash", "-n", ROOT / name], check=True)
    assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / name).read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


NEEDS_CLASSROOM = ["tests/test_elsewhere.py", "tests/classroom/grading/test_nbgrader.py"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository as git holds it: without .venv, and so without its classroom environment."""
    copied = tmp_path_factory.mktemp("fresh")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copied / name)
    return copied


@pytest.mark.classroom
@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "errors")])
def test_without_the_classroom_environment_its_tests_are_skipped_at_home_and_fail_in_ci(fresh, ci, outcome):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsE", *NEEDS_CLASSROOM]
    done = subprocess.run(command, cwd=fresh, env={**os.environ, "CI": ci}, capture_output=True, text=True)
    assert re.search(rf"\d+ {outcome}", done.stdout.splitlines()[-1]), done.stdout
    assert done.returncode == (1 if ci else 0), done.stdout
    for program in ("jupyter-repo2docker", "python"):
        assert f"{program} is not in .venv/classroom: `make classroom` installs it" in done.stdout


def test_ci_runs_what_a_person_runs():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_the_top_of_the_repository_holds_what_the_readme_maps():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {name.strip('"').split("/")[0] for name in listed.splitlines()}
    assert {name for name in top if not name.endswith(".md")} <= TOP
