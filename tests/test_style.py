"""The habits of the code that can be counted."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

import harness
from harness.notebooks.lint.lesson_rules import forbidden

PACKAGE = Path(harness.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "skeleton" not in path.relative_to(PACKAGE).parts)
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def functions() -> Iterator[tuple[str, int]]:
    """Yield every function of the package and its lines, signature included, docstring and decorators not."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.name}:{node.name}", _length(node)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def exports() -> Iterator[tuple[Path, list[str]]]:
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield path, list(ast.literal_eval(node.value))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_module_has_at_most_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_functions_have_8_lines_in_the_middle_and_30_at_the_90th_percentile():
    lengths = [length for _, length in functions()]
    assert len(lengths) > 100
    assert median(lengths) <= 8
    assert quantiles(lengths, n=10)[-1] <= 30


def test_every_list_of_exports_is_sorted():
    lists = list(exports())
    assert lists
    for path, names in lists:
        assert names == sorted(names), path


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_committed_file_holds_a_machines_path_a_registrys_host_or_a_secret():
    found = [
        f"{path.relative_to(ROOT)} {says}"
        for path in tracked()
        if path.parent.name != "exercises"  # made from the solutions; what else is in them is a learner's
        for says in forbidden(path.read_bytes().decode("utf-8", "replace"))
    ]
    assert len(tracked()) > 20
    assert found == []
