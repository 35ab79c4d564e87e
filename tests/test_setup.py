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
from tests.bench import folder as bench_of_folder
from tests.hub import __main__ as hub
from tests.support.pythons import RANGE, VERSIONS

ROOT = Path(__file__).parents[1]
TOP = {
    *("environment.yml", "pyproject.toml", "requirements.txt", "Makefile", "LICENSE", "postBuild"),
    *("notebooks", "exercises", "solutions", "harness", "tests", ".ci", ".gitignore", ".gitattributes"),
    *(".github", ".devcontainer"),
}
PROBE = 'probe:\n\t@echo "$$HOME|$$UV_DEFAULT_INDEX|$$UV_INDEX|$$UV_FIND_LINKS|$$SSL_CERT_FILE"\n'


def pins(file: str) -> list[str]:
    """Return the lines of a requirements file, without the hashes."""
    return [pin for pin, _ in hashed_pins(file)]


def hashed_pins(file: str) -> list[tuple[str, list[str]]]:
    """Return each line of a requirements file with the hashes of the package's files."""
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = [line for line in text.replace(" \\\n    ", " ").splitlines() if not line.startswith("#")]
    return [(pin, hashes) for pin, *hashes in (line.split(" --hash=sha256:") for line in lines)]


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    added = [line for name in extras for line in project["optional-dependencies"][name]]
    requirements = map(Requirement, [*project["dependencies"], *added])
    return [requirement for requirement in requirements if not requirement.marker or requirement.marker.evaluate()]


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


@pytest.mark.parametrize("file", [LEARNERS, TESTERS, "harness/classroom/requirements.txt"])
def test_every_pin_has_the_hashes_of_its_files(file):
    for pin, hashes in hashed_pins(file):
        assert hashes and all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes), pin


def test_uv_is_pinned_wherever_it_is_installed():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^UV = uv==[\d.]+$", text, re.MULTILINE)
    assert re.findall(r"pip install --quiet (\S*uv\b\S*)", text.replace("$(UV)", "UV")) == []
    assert text.count("pip install --quiet $(UV)") == 2


def test_urllib3_is_one_that_googles_client_can_use():
    assert any(re.match(r"urllib3==1\.", line) for line in pins(LEARNERS))


def test_conda_installs_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert conda == [f"python={CONTAINER}", "pip"]
    assert pip == {"pip": pins(LEARNERS)}


def test_make_alone_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets is not None
    listed = make(ROOT).stdout
    for target in targets[1].split():
        assert re.search(rf"^make {re.escape(target)} +\w", listed, re.MULTILINE), target


def test_recipes_run_in_a_folder_with_a_space(folder):
    assert "make lab" in make(folder, "help").stdout


def test_clean_removes_all_that_git_ignores_but_a_learners_copies_and_backups(folder):
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for line in ignored:
        made = folder / line.strip("/").replace("*", "harness")
        made.mkdir(parents=True)
        (made / "a file").touch()
    assert make(folder, "clean").returncode == 0
    left = {f"/{path.parent.relative_to(folder).as_posix()}/" for path in folder.rglob("a file")}
    assert left == {"/exercises/backups/", "/my-course/"}
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


@pytest.mark.parametrize(("seconds", "verdict"), [(0.19, "ok"), (0.21, "MISSED")])
def test_the_benchmark_of_a_lab_from_a_folder_allows_two_tenths_of_a_second(seconds, verdict, monkeypatch):
    monkeypatch.setattr(bench_of_folder, "_visit", lambda make: None)
    monkeypatch.setattr(
        bench_of_folder, "in_turns", lambda contestants: dict.fromkeys(contestants, 1) | {"folder": 1 + seconds}
    )
    (row,) = bench_of_folder.rows()
    assert (row.goal, row.unit, row.verdict) == (0.2, "s", verdict)
    assert "folder" in bench.GROUPS


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


def commands(folder: Path, **scripts: str) -> str:
    """Make a folder with these scripts and the usual commands, but no Python, and return a PATH of it alone."""
    for name in ("echo", "mkdir", "sed", "seq", "sh", "test", "touch"):
        (folder / name).symlink_to(shutil.which(name))
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)


def pretend(minor: int) -> str:
    """Return a script that reports the version 3.MINOR, so that make finds it instead of a real Python."""
    return f"""exec "{sys.executable}" -c "import sys; sys.version_info = (3, {minor}); exec(sys.argv.pop(1))" "$2" """


def found_by_make(folder: Path, path: str) -> str:
    (folder / "probe.mk").write_text("probe:\n\t@echo $(PYTHON)\n", encoding="utf-8")
    made = shutil.which("make")
    done = subprocess.run(
        [made, "-s", "-f", "Makefile", "-f", "probe.mk", "probe"],
        cwd=folder, env={"PATH": path, "HOME": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip
    return Path(done.stdout.strip()).name


def test_make_takes_the_newest_supported_python_on_path(folder, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    scripts = {f"python3.{minor}": pretend(minor) for minor in (9, 10, 12, 13, 99)}
    path = commands(bin, **scripts, python3=pretend(10), python=pretend(99))
    assert found_by_make(folder, path) == "python3.13"
    (bin / "python3.13").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # as pyenv's, while it is not active
    assert found_by_make(folder, path) == "python3.12"
    (bin / "python3.12").unlink()
    assert found_by_make(folder, path) == ""
    (bin / "python").write_text(f"#!/bin/sh\n{pretend(int(VERSIONS[0][2:]))}\n", encoding="utf-8")
    assert found_by_make(folder, path) == "python"


@pytest.mark.parametrize("why", ["nothing can be downloaded", "no Python at all"])
def test_without_a_supported_python_make_says_in_one_line_what_to_install(folder, tmp_path, why):
    bin = tmp_path / "bin"
    bin.mkdir()
    uv = {"uv": "exit 2"} if why == "nothing can be downloaded" else {}
    done = subprocess.run(
        [shutil.which("make"), ".venv"],
        cwd=folder, env={"PATH": commands(bin, **uv), "HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stdout == f"There is no {RANGE} here. Trying to download one with uv.\n"
    said, *rest = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert said.startswith(f"No Python could be downloaded. Install {RANGE} (on Debian: apt-get install python3 ")
    assert rest == []
    (told,) = re.findall(r"name one: make (.+) PYTHON=/path/to/python3\.\d+$", said)
    assert f'"{sys.executable}" -m venv .venv' in make(folder, "-n", told, f"PYTHON={sys.executable}").stdout


def test_a_python_that_uv_downloads_stays_in_venv(folder, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    path = commands(bin, uv='echo "$UV_PYTHON_INSTALL_DIR $*" > asked; exit 2')
    subprocess.run([shutil.which("make"), ".venv"], cwd=folder, env={"PATH": path, "HOME": str(tmp_path)}, check=False)
    asked = (folder / "asked").read_text(encoding="utf-8")
    assert asked.startswith(f"{folder}/.venv/python venv ")
    assert f"--managed-python --python {VERSIONS[-1]} .venv" in asked


def test_a_python_that_is_named_and_too_old_is_refused_with_the_range(folder, tmp_path):
    (tmp_path / "python3.10").write_text(f"#!/bin/sh\n{pretend(10)}\n", encoding="utf-8")
    (tmp_path / "python3.10").chmod(0o755)
    outcome = make(folder, ".venv", f"PYTHON={tmp_path}/python3.10")
    assert outcome.returncode != 0
    assert f"{tmp_path}/python3.10 is not {RANGE}, or has no venv, sqlite3 or ssl module." in outcome.stderr
    assert not (folder / ".venv").exists()


PAGES = [
    *("README.md", "CONTRIBUTING.md", "notebooks/CI.md", "notebooks/HUB.md", "notebooks/INSTRUCTORS.md"),
    *("harness/FIDELITY.md", "Makefile"),
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_states_the_range_of_pyproject(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert RANGE in text
    assert set(re.findall(r"Python 3\.\d+ to 3\.\d+", text)) == {RANGE}


def test_ruff_and_mypy_check_for_the_oldest_python():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tools["ruff"]["target-version"] == f"py{VERSIONS[0].replace('.', '')}"
    assert tools["mypy"]["python_version"] == VERSIONS[0]


CONTAINER = "3.13"  # of the dev container, Binder and conda


def test_conda_binder_and_the_dev_container_have_one_supported_python():
    assert CONTAINER in VERSIONS
    settings = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    assert re.findall(r"devcontainers/python:([\d.]+)", settings) == [CONTAINER]
    assert f"a container with Python {CONTAINER}." in (ROOT / "notebooks" / "CI.md").read_text(encoding="utf-8")


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
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-2:] == ["make test", "make pythons"]


def test_the_top_of_the_repository_holds_what_the_readme_maps():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {name.strip('"').split("/")[0] for name in listed.splitlines()}
    assert {name for name in top if not name.endswith(".md")} <= TOP
