"""The imports between the rooms of `harness/` point upwards only: these tables are compared with the code."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness

ROOT = Path(harness.__file__).parent
DISTRIBUTIONS = metadata.packages_distributions()

# Each room (a package or a module of harness/) and the rooms that it may import. A row names only rows above it.
ROOMS = {
    "errors": "",
    "records": "",
    "state": "errors",
    "appengine": "errors records state",
    "show": "errors records",
    "queue_console": "errors records appengine show",
    "visitor": "errors records appengine show",
    "cloudtasks": "errors records appengine",
    "lab": "errors records appengine show queue_console visitor cloudtasks",
    "testing": "errors records appengine lab",
    "notebooks": "errors state lab appengine",
    "serve": "errors records state appengine show cloudtasks",
    "course": "errors records state appengine lab show notebooks serve",
    "classroom": "errors records state appengine cloudtasks lab notebooks course serve",
    "__init__": "lab notebooks course",
    "__main__": "classroom",
}
# The same for the parts of the largest room.
APPENGINE = {
    "clock": "",
    "time_limit": "",
    "wsgi": "",
    "forms": "",
    "written_files": "",
    "id_tokens": "",
    "google_certificates": "id_tokens",
    "user_client": "wsgi",
    "turns": "clock",
    "taskqueue": "clock turns",
    "dispatcher": "clock turns taskqueue",
    "web2py": "wsgi turns",
    "server": "clock time_limit wsgi turns google_certificates taskqueue web2py",
    "app_engine": "clock time_limit user_client turns taskqueue dispatcher web2py server",
    "__init__": "",
}
HEAVY = {"gluon", "pydal", "google.protobuf", "google.appengine.api.taskqueue", "matplotlib", "numpy", "time_machine"}
HEAVY |= {"anywidget", "IPython", "nbformat", "nbclient", "jupyterlab", "nbconvert", "pytest", "click", "rich"}
HEAVY |= {"google.cloud", "grpc"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Return the dotted name below `harness` ("course.api"); a package goes by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py")) if "skeleton" not in path.parts}


def imported(tree: ast.AST, *, typing: bool) -> Iterator[str]:
    """Yield each module of ours that is imported anywhere, inside functions too.

    Args:
        tree: the code.
        typing: count the imports under `if TYPE_CHECKING`, which never run.
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


@cache
def ours(path: Path, *, typing: bool) -> set[str]:
    names = {name for name in imported(parse(path), typing=typing) if name.split(".")[0] == "harness"}
    return {name.removeprefix("harness.") if name != "harness" else "__init__" for name in names}


def part_of(name: str) -> str:
    """Return which part of `appengine` a module is in ("appengine.taskqueue.queue" is in "taskqueue")."""
    return (name.split(".") + ["__init__"])[1]


@pytest.mark.parametrize("table", [ROOMS, APPENGINE])
def test_a_row_names_only_rows_above_it(table):
    above: set[str] = set()
    for room, allowed in table.items():
        assert set(allowed.split()) <= above, f"{room} may import a room below it"
        above.add(room)


def test_every_module_has_a_row_and_every_row_a_module():
    assert {name.split(".")[0] for name in FILES} == set(ROOMS)
    assert {part_of(name) for name in FILES if name.split(".")[0] == "appengine"} == set(APPENGINE)


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_what_its_row_allows(name):
    found = ours(FILES[name], typing=True)
    room = name.split(".")[0]
    assert {target.split(".")[0] for target in found} - {room} <= set(ROOMS[room].split())
    if room == "appengine":
        inside = {part_of(target) for target in found if target.split(".")[0] == "appengine"}
        assert inside - {part_of(name)} <= set(APPENGINE[part_of(name)].split())


def test_no_row_allows_what_no_module_needs():
    for room, allowed in ROOMS.items():
        files = [path for name, path in FILES.items() if name.split(".")[0] == room]
        needed = {target.split(".")[0] for path in files for target in ours(path, typing=True)}
        assert set(allowed.split()) <= needed, room


def test_no_modules_import_each_other_in_a_circle():
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


def test_no_file_name_and_no_public_class_name_occurs_twice():
    files = Counter(path.name for path in FILES.values() if not path.name.startswith("__"))
    classes = Counter(
        node.name
        for path in FILES.values()
        for node in parse(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in (files + classes).items() if count > 1] == []


def test_a_folder_has_at_most_15_files():
    folders = Counter(path.parent for path in FILES.values())
    assert [str(folder) for folder, count in folders.items() if count > 15] == []


def test_importing_harness_loads_nothing_heavy():
    source = "import harness, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    assert "harness" in loaded
    assert HEAVY & set(loaded) == set()
