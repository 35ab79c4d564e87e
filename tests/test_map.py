"""harness/README.md, the map of the code: its pictures, its two paths and its table agree with the code."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import rooms
from tests.test_imports import ROOT

PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
STOP = re.compile(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`:", re.MULTILINE)
NAMED = re.compile(r"`([\w.]+)` in \[`[\w/.]+`\]\(([\w/]+\.py)\)")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def path_of(file: str) -> Path:
    """Return where a file is: ours in the repository, others in the installed package."""
    package, _, rest = file.partition("/")
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations, file
    return next(path for folder in spec.submodule_search_locations if (path := Path(folder, rest)).is_file())


def names_of(path: Path) -> set[str]:
    """Return the names that a file defines, those of a class with its name in front."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    found = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    found |= {ast.unparse(node.targets[0]) for node in body if isinstance(node, ast.Assign)}
    classes = (node for node in body if isinstance(node, ast.ClassDef))
    return found | {f"{each.name}.{inner.name}" for each in classes for inner in each.body if hasattr(inner, "name")}


@pytest.mark.parametrize("name", ["rooms.svg", "appengine.svg"])
def test_the_pictures_are_those_that_the_imports_give(name):
    drawn = rooms.pictures()[name]
    assert (ROOT / name).read_text(encoding="utf-8") == drawn, "run `make docs`, which draws the pictures again"


def test_a_new_import_changes_a_picture():
    table = {"a": (0, "one"), "b": (1, "the other")}
    assert rooms.draw({"a": set(), "b": set()}, table, "") != rooms.draw({"a": {"b"}, "b": set()}, table, "")


def test_the_picture_shows_every_room_and_at_most_16():
    assert set(rooms.room_imports()) == set(rooms.ROOMS)
    assert set(rooms.appengine_imports()) == set(rooms.APPENGINE)
    assert len(rooms.ROOMS) <= 16


@pytest.mark.parametrize(
    ("imports", "table"), [(rooms.room_imports, rooms.ROOMS), (rooms.appengine_imports, rooms.APPENGINE)]
)
def test_no_box_hides_another_and_no_arrow_crosses_one(imports, table):
    graph = imports()
    places = {node: (table[node][0], row) for node, row in rooms.rows(graph).items()}
    assert len(set(places.values())) == len(places), "give one of two nodes in a row another column"
    for node, targets in rooms.reduce_graph(graph).items():
        for column, row in (places[target] for target in targets):
            passed = {(places[node][0], between) for between in range(places[node][1] + 1, row)}
            assert not passed & set(places.values()), (
                f"an arrow from {node} crosses a box; move {node} to another column"
            )
            assert row == places[node][1] + 1 or column != places[node][0], node


def test_an_arrow_that_a_longer_way_implies_is_left_out():
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert rooms.reduce_graph(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}


@pytest.mark.parametrize("title", ["The path of a task", "The path of a check"])
def test_every_stop_of_a_path_names_a_file_and_a_function_that_exist(title):
    stops = STOP.findall(section(title))
    assert len(stops) == len(re.findall(r"^\d+\. ", section(title), re.MULTILINE)) <= 12
    assert [(file, name) for file, name in stops if name not in names_of(path_of(file))] == []


def test_every_function_that_the_page_names_beside_a_file_exists_there():
    named = NAMED.findall(PAGE)
    assert len(named) >= 6
    assert [(name, file) for name, file in named if name not in names_of(ROOT / file)] == []


def test_all_links_of_the_map_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
