"""A learner's answer is found in a saved notebook whatever became of its cells, or it is said what did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Lab
from harness.course.catalogue import body, exercises, find_exercise, stub_cells
from harness.course.trial import is_stub
from harness.course.workspace import Answer, find_course, read_answer, read_answers, select
from harness.errors import CourseError, NotebookError
from harness.notebooks.files import read_saved
from tests.support.desk import Desk

MINE = "%%controller ex1_1\ndef save():\n    return 'mine'"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "01")


@pytest.fixture
def notebook(desk: Desk) -> Iterator[dict[str, Any]]:
    """The notebook of lesson 01 to change; it is saved by `answer`."""
    yield desk.read("01")


def answer(desk: Desk, notebook: dict[str, Any], number: str = "1.1") -> Answer:
    desk.save("01", notebook)
    return read_answer(read_saved(desk.path("01")), find_exercise(number))


def again(desk: Desk, notebook: dict[str, Any], source: str, count: int | None) -> None:
    """Copy the answer cell of 1.1 to the end."""
    copied = {**desk.cell(notebook, "ex1-1-answer"), "id": "copied", "source": source, "execution_count": count}
    notebook["cells"].append(copied)


def test_every_exercise_as_it_came_is_a_stub(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    found = list(read_answers(desk.folder, list(exercises())))
    assert len(found) == len(list(exercises()))
    for exercise, read in found:
        assert isinstance(read, Answer)
        assert (read.missing, read.remarks) == ("", ())
        assert is_stub(exercise, read.files, stub_cells(exercise))


@pytest.mark.parametrize("above", ["", "\n", "# mine\n", "\n# mine\n\n"])
def test_an_answer_is_what_the_magic_would_have_written(desk: Desk, notebook: dict[str, Any], above: str) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from harness import load_ipython_extension

    desk.cell(notebook, "ex1-1-answer")["source"] = above + MINE
    shell = InteractiveShell()
    load_ipython_extension(shell)
    with Lab() as lab:
        assert shell.run_cell(above + MINE).success
        assert answer(desk, notebook).files == {"controllers/ex1_1.py": lab.read("controllers/ex1_1.py")}


def test_a_file_that_is_not_python_has_no_blank_line_above(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "05")
    [(_, read)] = read_answers(desk.folder, select("5.3"))
    assert isinstance(read, Answer)
    assert not read.files["queue.yaml"].startswith("\n")


def test_windows_newlines_within_a_cell_make_the_same_answer(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = MINE.replace("\n", "\r\n")
    assert answer(desk, notebook).files["controllers/ex1_1.py"] == body(MINE)


def test_half_a_character_does_no_harm(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = MINE + "  # \ud83d"
    assert answer(desk, notebook).files["controllers/ex1_1.py"].endswith("# ?\n")


def test_a_deleted_check_cell_changes_nothing(desk: Desk, notebook: dict[str, Any]) -> None:
    before = answer(desk, notebook)
    notebook["cells"].remove(desk.cell(notebook, "ex1-1-check"))
    assert answer(desk, notebook) == before


def test_cells_in_another_order_without_ids_are_found(desk: Desk, notebook: dict[str, Any]) -> None:
    before = answer(desk, notebook)
    notebook["nbformat_minor"] = 4
    notebook["cells"].reverse()
    for cell in notebook["cells"]:
        del cell["id"], cell["metadata"]
    assert answer(desk, notebook) == before


def test_a_deleted_answer_cell_says_how_to_get_it_back(desk: Desk, notebook: dict[str, Any]) -> None:
    notebook["cells"].remove(desk.cell(notebook, "ex1-1-answer"))
    assert "doesn't contain the cell `%%controller ex1_1`" in answer(desk, notebook).missing
    assert answer(desk, notebook).missing.endswith("taskqueue-course reset 1.1")


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_answer_cell_that_is_no_code_says_how_to_make_it_code(
    desk: Desk, notebook: dict[str, Any], kind: str
) -> None:
    desk.cell(notebook, "ex1-1-answer")["cell_type"] = kind
    assert f"(cell 4 from the top) is a {kind} cell" in answer(desk, notebook).missing
    assert "press Esc and then Y" in answer(desk, notebook).missing


@pytest.mark.parametrize(
    "first", ["%%controler ex1_1", "%%controller ex1_1.py", "%%controller", "y = 1\n%%controller ex1_1", "x = 1"]
)
def test_a_first_line_that_does_not_fit_is_quoted(desk: Desk, notebook: dict[str, Any], first: str) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = f"{first}\ndef save(): pass"
    said = answer(desk, notebook).missing
    assert said.startswith(f"Cell 4 from the top begins with `{first.splitlines()[0]}`; the first line must be `%%con")


def test_an_emptied_answer_cell_is_named(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = ""
    assert answer(desk, notebook).missing.startswith("Cell 4 from the top is empty; the first line must be")


def test_a_cell_for_an_application_that_is_not_the_exercises_is_named(desk: Desk, notebook: dict[str, Any]) -> None:
    cell = desk.cell(notebook, "ex1-1-answer")
    cell["id"], cell["metadata"] = "copied", {}
    cell["source"] = MINE.replace("ex1_1", "ex1_1 --app shop")
    assert "begins with `%%controller ex1_1 --app shop`; the first line must be" in answer(desk, notebook).missing


def test_the_labs_own_application_may_be_named(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = MINE.replace("ex1_1", "ex1_1 --app tutorial")
    assert answer(desk, notebook).files == {"controllers/ex1_1.py": body(MINE)}


def test_of_two_cells_the_one_run_last_counts_and_is_named(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer").update(source=MINE, execution_count=12)
    again(desk, notebook, MINE.replace("mine", "other"), 7)
    read = answer(desk, notebook)
    assert read.files["controllers/ex1_1.py"] == body(MINE)
    assert read.remarks == (
        "The notebook has 2 cells `%%controller ex1_1`. Cell 4 from the top was used (the one run last, [12]); "
        f"delete the other (cell {len(notebook['cells'])}).",
    )


def test_of_two_cells_that_were_not_run_the_lower_counts(desk: Desk, notebook: dict[str, Any]) -> None:
    again(desk, notebook, MINE, None)
    read = answer(desk, notebook)
    assert read.files["controllers/ex1_1.py"] == body(MINE)
    assert "none was run, so the lowest counts" in read.remarks[0]


def test_a_comment_above_a_cell_is_not_taken_for_its_magic(desk: Desk, notebook: dict[str, Any]) -> None:
    again(desk, notebook, f"# mine\n{MINE}", None)
    assert answer(desk, notebook).remarks[0].startswith("The notebook has 2 cells `%%controller ex1_1`.")


def test_two_cells_that_say_the_same_need_no_remark(desk: Desk, notebook: dict[str, Any]) -> None:
    again(desk, notebook, desk.cell(notebook, "ex1-1-answer")["source"], None)
    assert answer(desk, notebook).remarks == ()


def test_the_mark_of_a_merge_within_a_cell_is_named(desk: Desk, notebook: dict[str, Any]) -> None:
    desk.cell(notebook, "ex1-1-answer")["source"] = f"{MINE}\n<<<<<<< HEAD\n    pass"
    assert answer(desk, notebook).remarks[0].startswith("Line 4 of the cell `%%controller ex1_1` is a merge marker.")


def test_a_notebook_that_cannot_be_read_is_told_for_its_own_exercises_only(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "01", "02")
    desk.path("01").write_text("{")
    found = {exercise.number: read for exercise, read in read_answers(desk.folder, [*select("01"), *select("02")])}
    assert {number for number, read in found.items() if isinstance(read, NotebookError)} == {"1.1", "1.2", "1.3", "1.4"}


def test_what_is_asked_for_may_be_an_exercise_a_lesson_or_all() -> None:
    assert [exercise.number for exercise in select("1.2")] == ["1.2"]
    assert [exercise.number for exercise in select("03")] == ["3.1", "3.2", "3.3", "3.4", "3.5"]
    assert [exercise.number for exercise in select("1.x")] == ["1.x"]
    assert select("3") == select("03")
    assert select("all") == list(exercises())


@pytest.mark.parametrize(
    ("what", "said"),
    [("9.9", "did you mean"), ("10", "lessons are 00, 01"), ("00", "begin in")],
)
def test_what_is_not_in_the_course_is_refused(what: str, said: str) -> None:
    with pytest.raises(CourseError, match=said):
        select(what)


def test_the_course_is_found_from_a_folder_in_it(desk: Desk, tmp_path: Path) -> None:
    assert find_course(desk.exercises) == desk.folder
    assert find_course(desk.folder) == desk.folder


def test_a_folder_without_a_course_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="no folder my-course/ or exercises/.*--course FOLDER"):
        find_course(tmp_path)


def test_the_stub_cells_are_the_ones_in_the_notebook(desk: Desk, notebook: dict[str, Any]) -> None:
    assert "".join(desk.cell(notebook, "ex1-1-answer")["source"]) in stub_cells(find_exercise("1.1")).values()
