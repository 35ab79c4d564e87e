"""A reset puts stubs back, keeps what was there, and leaves the rest alone."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from harness.course.catalogue import exercise_notebook
from harness.course.workspace import Restored, restore, select
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import BACKUPS, back_up
from tests.support.desk import Desk

NOW = datetime(2026, 11, 24, 15, 12, 0)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "01", "02")


def reset(desk: Desk, what: str) -> list[Restored]:
    return list(restore(desk.folder, select(what), NOW))


def as_it_came(lesson: str) -> str:
    return files.dump(exercise_notebook(lesson))


def saved(desk: Desk, lesson: str) -> str:
    return desk.path(lesson).read_text(encoding="utf-8")


def test_a_reset_gives_the_exercise_as_it_came(desk: Desk) -> None:
    desk.solve("1.1")
    [done] = reset(desk, "1.1")
    assert [exercise.number for exercise in done.exercises] == ["1.1"]
    assert saved(desk, "01") == as_it_came("01")


def test_the_notebook_of_before_is_kept_byte_for_byte(desk: Desk) -> None:
    desk.solve("1.1")
    before = desk.path("01").read_bytes()
    [done] = reset(desk, "1.1")
    assert done.backup == desk.exercises / BACKUPS / "01_first_task.2026-11-24-151200.ipynb"
    assert done.backup.read_bytes() == before


def test_a_backup_is_never_overwritten(desk: Desk) -> None:
    copies = [back_up(desk.path("01"), NOW).name for _ in range(3)]
    stem = "01_first_task.2026-11-24-151200"
    assert copies == [f"{stem}.ipynb", f"{stem}-2.ipynb", f"{stem}-3.ipynb"]


def test_a_backup_that_meets_a_full_disk_leaves_no_part_of_a_copy(desk: Desk) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    desk.solve("1.1")
    before = desk.path("01").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(NotebookError, match="no backup can be made .*File too large"):
            reset(desk, "1.1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((desk.exercises / BACKUPS).iterdir()) == []
    assert desk.path("01").read_bytes() == before


def test_other_answers_notes_and_outputs_stay(desk: Desk) -> None:
    desk.solve("1.1")
    desk.solve("1.2")
    notebook = desk.read("01")
    note = {"cell_type": "markdown", "id": "note", "metadata": {}, "source": "## mine"}
    notebook["cells"].insert(3, note)
    desk.cell(notebook, "ex1-2-check")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1.2 correct"}]
    desk.save("01", notebook)
    reset(desk, "1.1")
    after = {cell["id"]: cell for cell in desk.read("01")["cells"]}
    assert "".join(after["note"]["source"]) == "## mine"
    assert after["ex1-2-check"]["outputs"][0]["text"] == ["1.2 correct"]
    assert "log_edit():" in "".join(after["ex1-2-answer"]["source"])
    assert "YOUR CODE" in "".join(after["ex1-1-answer"]["source"])


def test_what_the_cell_printed_goes_with_the_answer(desk: Desk) -> None:
    notebook = desk.read("01")
    cell = desk.cell(notebook, "ex1-1-answer")
    cell.update(source="%%controller ex1_1\n1", execution_count=4)
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "controllers/ex1_1.py written."}]
    desk.save("01", notebook)
    reset(desk, "1.1")
    assert saved(desk, "01") == as_it_came("01")


def test_a_lesson_is_reset_with_one_backup(desk: Desk) -> None:
    for number in ("1.1", "1.3"):
        desk.solve(number)
    [done] = reset(desk, "01")
    assert [exercise.number for exercise in done.exercises] == ["1.1", "1.3"]
    assert len(list((desk.exercises / BACKUPS).iterdir())) == 1
    assert saved(desk, "01") == as_it_came("01")


def test_what_is_as_it_came_gets_no_backup_and_is_not_written(desk: Desk) -> None:
    before = desk.path("01").stat().st_mtime_ns
    [done] = reset(desk, "01")
    assert (done.exercises, done.backup) == ((), None)
    assert desk.path("01").stat().st_mtime_ns == before
    assert not (desk.exercises / BACKUPS).exists()


@pytest.mark.parametrize("name", ["ex2-2-answer", "ex2-2-model"])
def test_a_deleted_cell_comes_back_to_its_place(desk: Desk, name: str) -> None:
    notebook = desk.read("02")
    notebook["cells"].remove(desk.cell(notebook, name))
    desk.save("02", notebook)
    reset(desk, "2.2")
    assert saved(desk, "02") == as_it_came("02")


def test_a_cell_turned_to_markdown_is_code_again(desk: Desk) -> None:
    notebook = desk.read("01")
    desk.cell(notebook, "ex1-1-answer")["cell_type"] = "markdown"
    desk.save("01", notebook)
    reset(desk, "1.1")
    assert saved(desk, "01") == as_it_came("01")


def test_a_cell_whose_first_line_was_spoilt_comes_back(desk: Desk) -> None:
    desk.write("1.1", "# mine\n%%controler ex1_1\nx = 1")
    reset(desk, "1.1")
    assert saved(desk, "01") == as_it_came("01")


def test_copies_of_the_answer_go_and_scratch_cells_stay(desk: Desk) -> None:
    notebook = desk.read("01")
    cell = desk.cell(notebook, "ex1-1-answer")
    notebook["cells"].append({**cell, "id": "copied", "source": "%%controller ex1_1\nx = 1", "execution_count": 9})
    notebook["cells"].append({**cell, "id": "scratch", "source": "%%controller scratch\nx = 1"})
    desk.save("01", notebook)
    reset(desk, "1.1")
    ids = [cell["id"] for cell in desk.read("01")["cells"]]
    assert "copied" not in ids
    assert ids[-1] == "scratch"


def test_a_notebook_without_ids_stays_one_without(desk: Desk) -> None:
    desk.solve("1.1")
    notebook = desk.read("01")
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]
    desk.save("01", notebook)
    reset(desk, "1.1")
    files.validate(files.read(desk.path("01")), "01")
    assert not any("id" in cell for cell in desk.read("01")["cells"])


def test_a_name_that_is_taken_is_not_given_twice(desk: Desk) -> None:
    notebook = desk.read("01")
    cell = desk.cell(notebook, "ex1-1-answer")
    cell["source"] = "%%controller scratch\nx = 1"
    notebook["cells"].append({**cell, "id": "other", "source": "%%controller ex1_1\nx = 1"})
    desk.save("01", notebook)
    reset(desk, "1.1")
    ids = [cell["id"] for cell in desk.read("01")["cells"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("content", [b'{"cells": [', b"", b"no notebook"])
def test_a_broken_notebook_is_made_anew_and_kept(desk: Desk, content: bytes) -> None:
    desk.path("01").write_bytes(content)
    [done] = reset(desk, "01")
    assert done.trouble
    assert done.backup is not None
    assert done.backup.read_bytes() == content
    assert saved(desk, "01") == as_it_came("01")


def test_one_exercise_of_a_broken_notebook_is_not_reset(desk: Desk) -> None:
    desk.path("01").write_text("{")
    with pytest.raises(NotebookError, match="taskqueue-course reset 01"):
        reset(desk, "1.1")
    assert saved(desk, "01") == "{"


def test_a_missing_notebook_is_made_anew(desk: Desk) -> None:
    desk.path("01").unlink()
    [done] = reset(desk, "01")
    assert done.backup is None
    assert saved(desk, "01") == as_it_came("01")


def test_without_room_for_a_backup_nothing_is_changed(desk: Desk) -> None:
    desk.solve("1.1")
    before = saved(desk, "01")
    (desk.exercises / BACKUPS).write_text("a file stands where the folder should be")
    with pytest.raises(NotebookError, match="no backup can be made .*nothing was changed"):
        reset(desk, "1.1")
    assert saved(desk, "01") == before


def test_a_notebook_that_cannot_be_written_is_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    desk.solve("1.1")
    before = saved(desk, "01")
    monkeypatch.setattr(files, "write", full)
    with pytest.raises(NotebookError, match=r"\(No space left on device\), so it is unchanged"):
        reset(desk, "1.1")
    assert saved(desk, "01") == before


def test_the_written_notebook_is_valid(desk: Desk) -> None:
    desk.solve("1.1")
    reset(desk, "1.1")
    files.validate(json.loads(saved(desk, "01")), "01")
