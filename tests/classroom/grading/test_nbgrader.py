"""A complete run of the nbgrader of .venv/classroom on assignment 01, and what differs in 08."""

import json
import os
import re
import shutil
import subprocess
from copy import deepcopy
from html import unescape
from pathlib import Path

import pytest

from harness.classroom.grading.course_folder import lay_out
from harness.course.catalogue import exercise_notebook, file_key, find_exercise, solution_cells, stub_cells
from harness.notebooks import files
from harness.notebooks.cells import cell_target
from harness.notebooks.normal_form import normalise
from tests.support.answers import fill, wrong_answers
from tests.support.isolation import classroom
from tests.support.pythons import python_path

pytestmark = pytest.mark.classroom

ROOT = Path(__file__).parents[3]
SPY = ROOT / "tests" / "support" / "network_spy"
WEAK_KERNEL = ROOT / "tests" / "support" / "weak_kernel"
NAME = "01_first_task.ipynb"
EXERCISES = ("1.1", "1.2", "1.3", "1.4")
HARD_CODED = "db.mytable.insert(old='Ferry late', new='Ferry on time')"
CHEATS = """
import harness, harness.course.api, harness.course.trial, harness.course.progress_file
harness.check = check = harness.course.api.check = lambda number: None
harness.course.trial.judge = lambda *anything: None
for number in ("1.1", "1.2", "1.3", "1.4"):
    harness.course.progress_file.mark_solved(number)
"""


def run(folder: Path, path: Path, *commands: str, assignment: str = "01") -> tuple[dict[str, object], str]:
    """Run commands of nbgrader in a course folder; return their results and their log.

    Args:
        folder: the course folder.
        path: a folder for PYTHONPATH.
        commands: see `nbgrader_script`.
        assignment: see `nbgrader_script`.
    """
    python = classroom("python")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    environment |= {"HOME": str(folder), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = python_path(path)
    done = subprocess.run(
        [python, ROOT / "tests" / "support" / "nbgrader_script.py", assignment, *commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def solved(answers: dict[str, str]) -> files.Notebook:
    """Return the exercise with these cells instead of the stubs."""
    notebook = deepcopy(exercise_notebook("01"))
    for cell in notebook.cells:
        target = cell_target(cell.source) if cell.cell_type == "code" else None
        if target is not None:
            cell.source = answers.get(file_key(target), cell.source)
    return notebook


def save(folder: Path, student: str, notebook: files.Notebook) -> None:
    files.write(folder / "submitted" / student / "01" / NAME, files.dump(notebook))


def code(source: str) -> files.Cell:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source)


def right() -> dict[str, str]:
    cells: dict[str, str] = {}
    for number in EXERCISES:
        cells |= solution_cells(find_exercise(number))
    return {name: re.sub(r" *### .*\n", "", source) for name, source in cells.items()}


def mistaken(number: str, key: str) -> dict[str, str]:
    """Return a wrong answer of the bank."""
    answer = next(each for each in wrong_answers(number) if each.key == key)
    return {name: fill(source, answer.text) for name, source in solution_cells(find_exercise(number)).items()}


def submit_wrong(folder: Path) -> None:
    """Submit 1.1 correct, 1.2 with a known mistake, 1.3 not attempted, 1.4 wrong, and the other cells manipulated."""
    answers = right() | mistaken("1.2", "no-values") | mistaken("1.4", "one-task")
    del answers["controllers/ex1_3.py"]
    notebook = solved(answers)
    notebook.cells.insert(2, code(CHEATS))
    checks = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    checks["ex1_2_check"].source = "print('1.2 correct')"
    checks["ex1_2_check"].metadata.nbgrader |= {"points": 100, "grade": False, "locked": False}
    checks["ex1_1_check"].metadata.nbgrader["points"] = 100
    notebook.cells = [cell for cell in notebook.cells if cell is not checks["ex1_4_check"]] + [checks["ex1_2_check"]]
    save(folder, "wrong", notebook)


def submit_hard_coded(folder: Path) -> None:
    name, stub = next(iter(stub_cells(find_exercise("1.1")).items()))
    save(folder, "hard", solved(right() | {name: stub.replace("...  # YOUR CODE HERE", HARD_CODED)}))


def submit_right(folder: Path) -> None:
    """Submit right answers between cells that never end or are malformed, and remove the metadata of all checks."""
    notebook = solved(right())
    notebook.cells.insert(0, code("while True:\n    try:\n        while True: pass\n    except BaseException: pass"))
    checks = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    for check, odd in zip(checks, (None, ["ex1_2_check"], "ex1_3_check", 4), strict=True):
        check.metadata["nbgrader"] = odd
    for odd in ({"grade_id": ["ex1_1_check"]}, {"grade_id": {}}, {"grade_id": None}, {}, True, 1.5):
        notebook.cells.append(code("pass") | {"metadata": {"nbgrader": odd}})
    notebook.cells.append(code("'\ud800'") | {"metadata": {"\udfff": ["\ud800"], "nbgrader": {"grade_id": "\ud800"}}})
    notebook.metadata["title"] = "\ud800"
    target = folder / "submitted" / "right" / "01" / NAME
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course folder with submissions of three students for assignment 01."""
    folder = tmp_path_factory.mktemp("course")
    lay_out(ROOT, folder, say=lambda line: None)
    submit_right(folder)
    submit_wrong(folder)
    submit_hard_coded(folder)
    return folder


@pytest.fixture(scope="module")
def graded(folder: Path) -> dict[str, object]:
    results, log = run(folder, shutil.copytree(SPY, folder / "spy"), "generate_assignment", "autograde", "feedback")
    assert (results["statuses"], results["by_hand"]) == ([0, 0, 0], []), log
    return results


def points(graded: dict[str, object], student: str) -> list[list[float]]:
    by_check = graded["points"][student]
    assert sorted(by_check) == [f"ex{number.replace('.', '_')}_check" for number in EXERCISES]
    return [by_check[name] for name in sorted(by_check)]


def feedback(folder: Path, student: str) -> str:
    page = (folder / "feedback" / student / "01" / "01_first_task.html").read_text("utf-8")
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", page)))


def test_students_get_the_courses_own_exercise(graded, folder):
    released = files.read(folder / "release" / "01" / NAME)
    for cell in released.cells:
        notes = cell.metadata.get("nbgrader", {})
        for added in ("checksum", "cell_type"):
            notes.pop(added, None)
    assert files.dump(normalise(released, blank=True)) == files.dump(normalise(exercise_notebook("01")))


def test_checks_are_locked_and_the_answers_can_be_edited(graded, folder):
    released = files.read(folder / "release" / "01" / NAME)
    checks = [cell for cell in released.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    answers = [cell for cell in released.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert [(cell.metadata.editable, cell.metadata.deletable) for cell in checks] == [(False, False)] * 4
    assert [cell.metadata.get("editable", True) for cell in answers] == [True] * 4


def test_right_answers_get_all_points_whatever_the_rest_of_the_notebook_is(graded):
    """A loop in another cell doesn't run, and neither odd metadata nor odd characters stop the grading."""
    assert points(graded, "right") == [[1.0, 1.0]] * 4


def test_wrong_answers_get_the_points_of_those_that_are_right_whatever_was_done_to_the_checks(graded):
    assert points(graded, "wrong") == [[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]


def test_a_hard_coded_row_gets_no_points_and_the_other_exercises_theirs(graded):
    assert points(graded, "hard") == [[0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]


def test_feedback_holds_the_diagnosis(graded, folder):
    assert "1.3 not attempted" in feedback(folder, "wrong")
    for number, key, student in (("1.2", "no-values", "wrong"), ("1.4", "one-task", "wrong")):
        assert find_exercise(number).mistakes[key].says in feedback(folder, student)
    assert find_exercise("1.1").mistakes["called-directly"].says in feedback(folder, "hard")
    assert "1.4 correct" in feedback(folder, "right")


def test_grading_makes_no_connection(graded, folder):
    log = (folder / "spy" / "network.log").read_text("utf-8").splitlines()
    assert {line for line in log if not line.startswith("start ")} == set()
    assert {"start nbgrader_script.py", "start alembic", "start -m"} <= set(log)  # the last is the judge


def test_laying_out_again_keeps_grades_submissions_settings_and_a_source_that_was_edited(graded, folder):
    kept = [folder / "gradebook.db", folder / "submitted" / "right" / "01" / NAME, folder / "nbgrader_config.py"]
    (folder / "nbgrader_config.py").write_text("# mine\n", encoding="utf-8")
    (folder / "source" / "01" / NAME).write_text("edited", encoding="utf-8")
    before = [path.read_bytes() for path in kept]
    said: list[str] = []
    assert lay_out(ROOT, folder, said.append) == 1
    assert [path.read_bytes() for path in kept] == before
    (kept,) = (folder / "before" / "01").iterdir()
    assert kept.read_text("utf-8") == "edited"
    assert files.read(folder / "source" / "01" / NAME).cells
    assert lay_out(ROOT, folder, said.append) == 0


def test_on_a_kernel_that_isolates_no_native_code_the_command_grades_only_with_its_option_and_warns(tmp_path):
    lay_out(ROOT, tmp_path, say=lambda line: None)
    save(tmp_path, "right", solved(solution_cells(find_exercise("1.1"))))
    option = "--CheckAnswers.allow_incomplete=True"
    results, log = run(tmp_path, WEAK_KERNEL, "generate_assignment", "autograde", f"autograde {option}")
    assert results["statuses"] == [0, 1, 0], log
    danger = (
        "this machine's kernel can't isolate answers completely, so native code in an answer could read and change the "
        "files of this user account, and use the network, other programs' sockets and shared memory, and disturb other "
        "processes."
    )
    before, _, after = log.partition(f"GradingError: {danger} Grade on Linux 6.2 or later")
    assert f"add {option} to the command." in after
    assert "WARNING] this machine" not in before
    assert f"WARNING] {danger} The answers are graded because {option} allows it." in after
    assert results["points"]["right"]["ex1_1_check"] == [1.0, 1.0]


def test_the_gradebook_lists_the_exercise_that_must_be_graded_by_hand(tmp_path):
    lay_out(ROOT, tmp_path, say=lambda line: None)
    name = "08_on_app_engine.ipynb"
    shutil.copytree(tmp_path / "source" / "08", tmp_path / "submitted" / "right" / "08")
    results, log = run(tmp_path, tmp_path, "generate_assignment", "autograde", assignment="08")
    assert results["statuses"] == [0, 0], log
    assert results["by_hand"] == ["ex8_1_check"]
    assert results["points"]["right"] == {"ex8_1_check": [None, 1.0], "ex8_2_check": [1.0, 1.0]}
    (check,) = [
        cell
        for cell in files.read(tmp_path / "autograded" / "right" / "08" / name).cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "ex8_1_check"
    ]
    assert check.outputs[0].evalue.startswith("8.1 not graded automatically. ")
