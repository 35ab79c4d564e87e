"""The course on Binder and in a dev container, as far as can be told without Docker: what they would build."""

import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
import yaml

from harness.classroom.jupyterlab import PORT
from tests.support.isolation import classroom

pytestmark = pytest.mark.classroom

ROOT = Path(__file__).parents[1]
PARSE = """
import sys
from rattler import MatchSpec

for spec in sys.argv[1:]:
    print(MatchSpec(spec, strict=True).name.normalized)
"""
WELCOME = "notebooks/00_welcome.ipynb"  # its copy is opened


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The commands by which repo2docker would build the image, one a line, from what a clone's top holds for it."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("environment.yml", "postBuild", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    binders = ["--user-id=1000", "--user-name=jovyan"]  # else it takes the user who runs the test
    command = [classroom("jupyter-repo2docker"), "--no-build", "--debug", *binders, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    joined = re.sub(r"\\\n\s*", "", done.stdout + done.stderr)
    return [line.strip() for line in joined.splitlines() if not line.startswith("#")]


def place(lines: list[str], pattern: str) -> int:
    """Return the number of the only line that matches."""
    (number,) = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    return number


def test_binder_takes_the_python_of_environment_yml(build):
    (version,) = re.findall(
        r"^  - python=3\.(\d+) ", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    place(build, rf"^COPY .*environment-2epy-2d3-2e{version}-2dlinux\S* \S+/environment\.lock$")


def test_binder_makes_the_environment_then_copies_the_course_and_then_runs_postbuild(build):
    environment = place(build, r'env update -p \$\{NB_PYTHON_PREFIX\} --file "environment\.yml"')
    course = place(build, r"^COPY --chown=1000:1000 src/ \$\{REPO_DIR\}/?$")  # the learner's, so notebooks can be saved
    after = place(build, r"^RUN \./postBuild$")
    assert environment < course < after


def test_binder_leaves_requirements_txt_alone_since_environment_yml_has_the_same_pins(build):
    assert not [line for line in build if "requirements.txt" in line]


def test_binder_starts_in_the_top_folder_so_that_links_between_lessons_and_exercises_work(build):
    entered = [line for line in build if line.startswith("WORKDIR ")]
    started = place(build, r'^CMD \["jupyter", "notebook", "--ip", "0\.0\.0\.0"\]$')
    assert entered[-1] == "WORKDIR ${REPO_DIR}"
    assert started > place(build, r"^WORKDIR \$\{REPO_DIR\}$")


def test_conda_can_read_what_it_is_asked_for():
    asked = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    specs = [spec for spec in asked if isinstance(spec, str)]
    command = [classroom("python"), "-W", "error", "-c", PARSE, *specs]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["python", "pip"]


def test_postbuild_installs_the_harness_makes_the_copies_and_turns_jupyterlabs_news_off(tmp_path: Path):
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    for name in ("pip", "taskqueue-course"):
        script = environment / "bin" / name
        script.write_text(f'#!/bin/sh\necho "{name} $*"\n', encoding="utf-8")
        script.chmod(0o755)
    inherited = {**os.environ, "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([ROOT / "postBuild"], cwd=ROOT, env=inherited, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("pip install --no-deps -e .\ntaskqueue-course copies\n", "")
    settings = json.loads((environment / "etc/jupyter/labconfig/page_config.json").read_text(encoding="utf-8"))
    off = ["@jupyterlab/apputils-extension:announcements", "@jupyterlab/notebook-extension:cell-executor"]
    assert settings["disabledExtensions"] == dict.fromkeys(off, True)
    assert (environment / "etc/jupyter/labextensions/taskqueue-course/static/extension.js").is_file()


@pytest.mark.parametrize("name", ["notebooks/RUNNING.md", "notebooks/CI.md"])
def test_the_path_for_binder_opens_a_copy(name):
    assert re.findall(r"\?urlpath=([^`\s]+)", (ROOT / name).read_text(encoding="utf-8")) == ["taskqueue-course"]


@pytest.fixture(scope="module")
def container() -> dict[str, object]:
    found = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_dev_container_installs_as_learners_do_and_makes_the_copies(container):
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.\d+-\w+", container["image"])
    assert container["postCreateCommand"].endswith(" && make copies")


def test_the_dev_container_keeps_a_venv_of_its_own_beside_that_of_the_machine(container):
    (mount,) = container["mounts"]
    assert "type=volume" in mount
    assert mount.endswith("target=${containerWorkspaceFolder}/.venv")


def test_the_dev_container_offers_one_python_and_names_the_port_of_make_lab(container):
    code = container["customizations"]["vscode"]
    assert code["extensions"] == ["ms-python.python", "ms-toolsai.jupyter"]
    assert code["settings"]["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    assert "/usr/local/bin/python" in code["settings"]["jupyter.kernels.excludePythonEnvironments"]
    assert container["forwardPorts"] == [PORT]
    assert "make lab" in container["portsAttributes"][str(PORT)]["label"]


def test_the_dev_container_carries_nothing_from_the_machine_into_the_container(container):
    assert not {"containerEnv", "remoteEnv", "secrets", "runArgs", "initializeCommand"} & set(container)
    assert "localEnv" not in json.dumps(container)
