"""`make docs` writes a page for every public name, and the installed package has its types and data files."""

import html
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

import harness
from harness import errors, queue_console, records
from harness.testing import plugin

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "harness": harness.__all__,
    "harness.errors": [
        name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__
    ],
    "harness.records": records.__all__,
    "harness.queue_console": [queue_console.QueueConsole.__name__],
    "harness.testing.plugin": plugin.__all__,
}
NOT_PACKED = {"README.md", "rooms.svg", "appengine.svg"}  # for readers of the repository
PACKED = """
from setuptools import Distribution

distribution = Distribution()
distribution.parse_config_files(["pyproject.toml"])
command = distribution.get_command_obj("build_py")
command.ensure_finalized()
for _, source, _, names in command.get_data_files_without_manifest():
    print(*(f"{source}/{name}" for name in names), sep="\\n")
"""


def documented() -> Iterator[tuple[str, str, Any]]:
    """Yield every public class and function, and the methods and properties of the classes: module, name, object."""
    for module, names in PUBLIC.items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, FixtureFunctionDefinition):
                yield module, name, value
            if inspect.isclass(value):
                for inner, member in vars(value).items():
                    if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                        yield module, f"{name}.{inner}", member


def letters(text: str) -> str:
    return re.sub(r"\W+", "", text)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the command of `make docs` wrote, with no warning."""
    folder = tmp_path_factory.mktemp("docs")
    (line,) = re.findall(r"^\t\$\(VENV\) (-W error -m pdoc .*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    (modules,) = re.findall(r"^API = (.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    options = shlex.split(line.replace("$(API)", modules).replace("build/docs", str(folder)))
    done = subprocess.run([sys.executable, *options], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_the_reference_has_a_page_for_each_public_module_and_no_other(reference):
    pages = {path.relative_to(reference).with_suffix("").as_posix() for path in reference.rglob("*.html")}
    assert pages == {"index", *(name.replace(".", "/") for name in PUBLIC)}


@pytest.mark.parametrize(("module", "name", "value"), [pytest.param(*each, id=each[1]) for each in documented()])
def test_a_public_name_is_in_the_reference_with_its_docstring(reference, module, name, value):
    page = (reference / f"{module.replace('.', '/')}.html").read_text(encoding="utf-8")
    assert value.__doc__, f"{name} has no docstring"
    first = inspect.cleandoc(value.__doc__).split("\n\n")[0]
    entry = page.split(f'<section id="{name}">')[1] if "." not in name else page.split(f'<div id="{name}"')[1]
    shown = html.unescape(re.sub(r"<[^>]*>", "", entry.split('<div class="docstring">')[1]))
    assert letters(shown).startswith(letters(first))


def test_the_package_holds_every_file_that_is_not_python():
    listed = subprocess.run(["git", "ls-files", "harness"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {name for name in listed.splitlines() if not name.endswith(".py") and Path(name).name not in NOT_PACKED}
    packed = subprocess.run([sys.executable, "-c", PACKED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "harness/py.typed" in wanted
    assert wanted - set(packed.splitlines()) == set()
