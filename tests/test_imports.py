"""The arrows between the modules of `harness/` point downwards only: this table is held against the imports."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness

ROOT = Path(harness.__file__).parent
DISTRIBUTIONS = metadata.packages_distributions()

# Each module, or package, and what it may import. A row may name only rows above it.
TABLE = {
    "errors": "",
    "state": "errors",
    "records": "errors",
    "cells": "errors",
    "clock": "errors",
    "guard": "errors",
    "wsgi": "errors records",
    "browser": "errors records",
    "web2py": "errors state records wsgi",
    "taskqueue": "errors records clock",
    "dispatcher": "errors records clock taskqueue",
    "display": "records",
    "timeline": "records display",
    "server": "errors records clock guard wsgi web2py taskqueue",
    "console": "errors records clock taskqueue display timeline",
    "meter": "",
    "appengine": "errors records clock guard browser web2py taskqueue dispatcher server console meter",
    "lab": "errors records wsgi display timeline console appengine",
    "tracebacks": "guard",
    "magics": "errors cells lab tracebacks",
    "notebooks": "errors state cells",
    "linter": "errors cells notebooks",
    "checks": "errors state records cells display lab notebooks",
    "workshop": "errors notebooks linter checks",
    "grading": "errors records clock guard wsgi server appengine cells lab notebooks checks",
    "jupyterlab": "errors state",
    "checkup": "errors state web2py display lab notebooks checks jupyterlab",
    "pytest_plugin": "errors state notebooks",
    "__init__": "lab magics checks",
    "terminal": "errors checks",
    "cli": "errors state records display lab notebooks linter checks workshop grading checkup jupyterlab terminal",
    "__main__": "cli",
}
HEAVY = {"gluon", "pydal", "google.protobuf", "google.appengine.api.taskqueue", "matplotlib", "numpy", "time_machine"}
HEAVY |= {"IPython", "nbformat", "nbclient", "jupyterlab", "nbconvert", "pytest", "click", "rich"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Return the dotted name below `harness` ("checks.engine"); a package goes by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py")) if "app" not in path.relative_to(ROOT).parts}


def imported(tree: ast.AST, *, typing: bool) -> Iterator[str]:
    """Yield each module of ours that is imported anywhere, inside functions too.

    Args:
        tree: the code.
        typing: count what stands under `if TYPE_CHECKING`, which never runs.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import: {ast.unparse(node)}"
            yield from (module_of(str(node.module), alias.name) for alias in node.names)
        else:
            yield from imported(node, typing=typing)


def module_of(source: str, name: str) -> str:
    """Return what `from source import name` loads: a submodule where there is one."""
    return f"{source}.{name}" if f"{source}.{name}".removeprefix("harness.") in FILES else source


def ours(path: Path, *, typing: bool) -> set[str]:
    names = {name for name in imported(parse(path), typing=typing) if name.split(".")[0] == "harness"}
    return {name.removeprefix("harness.") if name != "harness" else "__init__" for name in names}


def test_a_row_names_only_rows_above_it():
    above: set[str] = set()
    for module, allowed in TABLE.items():
        assert set(allowed.split()) <= above, f"{module} may import what stands below it"
        above.add(module)


def test_every_module_has_a_row_and_every_row_a_module():
    assert {name.split(".")[0] for name in FILES} == set(TABLE)


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_what_its_row_allows(name):
    module = name.split(".")[0]
    found = {target.split(".")[0] for target in ours(FILES[name], typing=True)} - {module}
    assert found <= set(TABLE[module].split())


def test_there_is_no_cycle_not_even_inside_a_package():
    graph = {name: ours(path, typing=False) - {name} for name, path in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def providers(module: str) -> set[str]:
    """Return the packages that bring a module; of a namespace such as `google`, those that have this part of it."""
    top = module.partition(".")[0]
    found = DISTRIBUTIONS.get(top, [top])  # one that is not installed here counts by the module's name
    if len(found) > 1:
        part = module.replace(".", "/")
        found = [name for name in found if any(part in str(file) for file in metadata.files(name) or ())]
    return {canonicalize_name(name) for name in found}


def declared(*extras: str) -> set[str]:
    """Return the packages that pyproject.toml asks for at run time, and with these extras."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.parametrize("name", FILES)
def test_every_package_that_a_module_imports_is_a_declared_dependency(name):
    modules = set(imported(parse(FILES[name]), typing=False))
    known = declared("classroom") if "grading" in name else declared()  # nbgrader calls the part that imports it
    foreign = {module for module in modules if module.partition(".")[0] not in {*sys.stdlib_module_names, "harness"}}
    assert [module for module in sorted(foreign) if not providers(module) & known] == []


def test_importing_harness_loads_nothing_heavy():
    source = "import harness, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    assert "harness" in loaded
    assert HEAVY & set(loaded) == set()
