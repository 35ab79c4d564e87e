"""harness/FIDELITY.md and the contract tests say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.mode_differences import CONTRACT, DIFFERENCES, runs_in_both_modes

HERE = Path(__file__).parent
TABLE = (HERE.parent / "harness" / "FIDELITY.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| *T\d")


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table; a | in code doesn't end a cell."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table() -> dict[str, list[str]]:
    rows = [cells(line) for line in TABLE.splitlines() if ROW.match(line)]
    assert len({row[0] for row in rows}) == len(rows), "a row occurs twice"
    return {row[0]: row for row in rows}


@cache
def functions() -> list[tuple[ast.FunctionDef, str]]:
    """Return the functions in the files of tests, each with its file ("tests/test_lab.py")."""
    return [
        (node, path.relative_to(HERE.parent).as_posix())
        for path in HERE.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]


def marked() -> Iterator[tuple[str, str, str]]:
    """Yield each row number that a test carries, with the test's name and file."""
    for node, file in functions():
        for row in _rows(node):
            yield row, node.name, file


def _rows(function: ast.FunctionDef) -> list[str]:
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return [row for mark in marks if mark.startswith("pytest.mark.row(") for row in re.findall(r"T\d\d", mark)]


def test_the_rows_are_numbered_without_a_gap() -> None:
    assert sorted(table()) == [f"T{number:02}" for number in range(1, len(table()) + 1)]
    assert len(table()) >= 44


def test_every_row_names_a_behaviour_a_source_and_a_test() -> None:
    assert [row for row, found in table().items() if len(found) != 6 or not all(found[:4])] == []


def test_every_row_has_a_test_that_carries_its_number() -> None:
    assert sorted(set(table()) ^ {row for row, _, _ in marked()}) == []


def test_the_table_names_the_tests_that_carry_a_row_and_no_others() -> None:
    named = {(row, name) for row, line in table().items() for name in re.findall(r"`(test_\w+)`", line[3])}
    assert named == {(row, name) for row, name, _ in marked()}


def files_by_run() -> dict[str, dict[bool, set[str]]]:
    """Return, for each row, the files of its tests that run in both modes (True) or once (False)."""
    found: dict[str, dict[bool, set[str]]] = {row: {True: set(), False: set()} for row in table()}
    for node, file in functions():
        for row in _rows(node):
            found[row][runs_in_both_modes(Path(file).stem, _rows(node))].add(file)
    return found


def test_the_column_of_cloud_tasks_mode_describes_each_difference_with_its_source() -> None:
    differing: dict[str, set[str]] = {}
    for each in DIFFERENCES:
        differing.setdefault(each.row, set()).add(each.source)
    for row, sources in differing.items():
        assert all(f"`{source}`" in table()[row][5] for source in sources), f"{row}: {sources}"


def test_the_column_of_cloud_tasks_mode_names_each_file_whose_tests_run_once() -> None:
    differing = {each.row for each in DIFFERENCES}
    for row, run in files_by_run().items():
        cell = table()[row][5]
        if not run[True]:
            assert cell == "–" and row not in CONTRACT, row
            continue
        assert set(re.findall(r"`(tests/[\w/]+\.py)`", cell)) == run[False], row
        if row not in differing:
            assert re.fullmatch(r"same(\. The tests? in .*)?" if run[False] else "same", cell), row


def test_each_difference_belongs_to_a_test_of_its_row() -> None:
    rows_of = {node.name: set(_rows(node)) for node, _ in functions()}
    for each in DIFFERENCES:
        assert each.row in (rows_of[each.test] or {each.row}), each.test
    assert {name for found in table().values() for name in re.findall(r"`(test_\w+)`", found[5])} <= set(rows_of)


def test_every_section_names_the_files_of_its_tests_and_no_others() -> None:
    for section in TABLE.split("\n## ")[1:]:
        rows = {cells(line)[0] for line in section.splitlines() if ROW.match(line)}
        named = set(re.findall(r"`(tests/[\w/]+\.py)`", section))
        if rows:
            assert named == {file for row, _, file in marked() if row in rows}, section.partition("\n")[0]


def test_every_source_is_one_of_those_that_the_page_describes() -> None:
    known = set(re.findall(r"^- \*\*(\w+)\*\*:", TABLE, re.MULTILINE))
    assert {source for row in table().values() for source in row[2].split(", ")} == known
