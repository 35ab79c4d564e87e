"""Damaged notebooks are read, or the error says what is wrong, where it is, and how to repair it."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import read_saved
from tests.support.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "01")


def sources(path: Path) -> list[str]:
    return [cell.source for cell in read_saved(path).cells]


def test_a_notebook_in_memory_is_as_nbformats(desk: Desk) -> None:
    text = desk.path("01").read_text(encoding="utf-8")
    notebook = files.parse(text, "01")
    assert notebook == nbformat.reads(text, as_version=4)
    notebook.metadata = {"kernelspec": {"name": "other"}}
    del notebook.cells[0].metadata
    assert notebook.metadata.kernelspec.name == "other"
    with pytest.raises(AttributeError, match="metadata"):
        _ = notebook.cells[0].metadata


def test_reading_a_notebook_does_not_load_nbformat(desk: Desk) -> None:
    source = "import sys; from harness.course.catalogue import exercises, stub_cells; stub_cells(next(exercises()))"
    run = subprocess.run([sys.executable, "-c", f"{source}; sys.exit('nbformat' in sys.modules)"], check=False)
    assert run.returncode == 0


def test_a_process_of_the_tests_does_not_spend_a_second_on_a_grammar_and_on_a_debugger() -> None:
    program = "import sys, nbformat, ipykernel.debugger; sys.exit(bool({'lark', 'pydevd'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_unicode_encoding_is_read(desk: Desk, encoding: str) -> None:
    path, before = desk.path("01"), sources(desk.path("01"))
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    assert sources(path) == before


def test_windows_newlines_are_read(desk: Desk) -> None:
    path, before = desk.path("01"), sources(desk.path("01"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert sources(path) == before


def test_a_notebook_of_format_3_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "input": "%%controller ex1_1\n1", "outputs": [], "language": "python", "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}
    (tmp_path / "old.ipynb").write_text(json.dumps(old))
    assert sources(tmp_path / "old.ipynb") == ["%%controller ex1_1\n1"]


def test_the_marks_of_a_merge_are_named_with_their_lines(desk: Desk) -> None:
    lines = desk.path("01").read_text(encoding="utf-8").splitlines()
    lines[40:42] = ["<<<<<<< HEAD", lines[40], "=======", lines[41], ">>>>>>> theirs"]
    desk.path("01").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(NotebookError, match=r"a merge left its marks .*lines 41, 45\)\. Keep one"):
        read_saved(desk.path("01"))


@pytest.mark.parametrize("part", [0.25, 0.5, 0.99])
def test_a_notebook_that_breaks_off_says_so(desk: Desk, part: float) -> None:
    text = desk.path("01").read_text(encoding="utf-8").rstrip()
    desk.path("01").write_text(text[: int(len(text) * part)], encoding="utf-8")
    with pytest.raises(NotebookError, match=r"first_task.ipynb, line \d+: the file ends here"):
        read_saved(desk.path("01"))


# From Python 3.12 on, the JSON parser accepts so many levels, and the conversion to a notebook doesn't.
NESTED = b'{"nbformat": 4, "cells": [], "metadata": {"x": %s}}' % (b"[" * 5000 + b"]" * 5000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b'{"cells": [], nbformat: 4}', r"line 1: broken JSON, column 15"),
        (b"[1, 2]", "this JSON file isn't a notebook"),
        (b'{"cells": []}', "this JSON file isn't a notebook"),
        (b'{"nbformat": 5, "cells": []}', "saved in format 5"),
        (b'{"nbformat": 3, "worksheets": 7}', "cannot be read as a notebook of format 3"),
        (b'{"nbformat": 4, "cells": [1], "metadata": {}}', "not a valid notebook"),
        (b"\x89PNG\r\n\x1a\n", "isn't a notebook, because byte 0 of the file isn't valid UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (NESTED, "nested too deeply"),
    ],
)
def test_the_error_for_another_file_gives_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError, match=said):
        read_saved(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"[" * 100_000, NESTED], ids=["text", "notebook"])
def test_what_is_nested_too_deeply_is_named_where_the_courses_own_notebooks_are_read(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(NotebookError, match="x.ipynb: not a notebook: its JSON is nested too deeply"):
        files.read(tmp_path / "x.ipynb")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="x.ipynb: the file is missing"):
        read_saved(tmp_path / "x.ipynb")
    with pytest.raises(NotebookError, match="cannot be read: Is a directory"):
        read_saved(tmp_path)


def test_a_file_that_is_too_large_says_how_to_make_it_smaller(desk: Desk) -> None:
    with pytest.raises(NotebookError, match="Clear Outputs of All Cells"):
        read_saved(desk.path("01"), largest=1000)


def test_a_file_that_cannot_be_replaced_leaves_no_draft_behind(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").mkdir()
    with pytest.raises(OSError, match="x.ipynb"):
        files.write(tmp_path / "x.ipynb", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["x.ipynb"]
