"""harness/FIDELITY.md and the contract tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE.parent / "harness" / "FIDELITY.md").read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table; a | within code is no border."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table() -> dict[str, list[str]]:
    rows = [cells(line) for line in TABLE.splitlines() if re.match(r"\| *T\d", line)]
    assert len({row[0] for row in rows}) == len(rows), "a row stands twice"
    return {row[0]: row for row in rows}


def marked() -> dict[str, set[str]]:
    """Return, by row, the names of the tests that carry its number."""
    found: dict[str, set[str]] = {}
    for path in HERE.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for row in _rows(node):
                    found.setdefault(row, set()).add(node.name)
    return found


def _rows(function: ast.FunctionDef) -> list[str]:
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return [row for mark in marks if mark.startswith("pytest.mark.row(") for row in re.findall(r"T\d\d", mark)]


def test_the_table_has_every_row_from_the_first_to_the_last() -> None:
    assert sorted(table()) == [f"T{number:02}" for number in range(1, 45)]


def test_every_row_names_a_behaviour_a_source_and_a_test() -> None:
    assert [row for row, found in table().items() if len(found) != 5 or not all(found[:4])] == []


def test_every_row_has_a_test_that_carries_its_number() -> None:
    assert sorted(set(table()) ^ set(marked())) == []


def test_the_table_names_the_tests_that_carry_a_row_and_no_others() -> None:
    named = {row: set(re.findall(r"`(test_\w+)`", line[3])) for row, line in table().items()}
    assert named == marked()
