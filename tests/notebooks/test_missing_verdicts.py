"""A run over an exercise notebook is green only if each exercise of its lesson has the verdict "correct".

All notebooks are the solved exercise 01 with one change each. They share one run and one kernel.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook
from harness.notebooks.normal_form import normalise
from harness.notebooks.stubs import DIGEST
from tests.support.nbval_run import Run, pytest_on

pytestmark = pytest.mark.notebook

SOLUTION = Path(__file__).parents[2] / "solutions" / "01_first_task.ipynb"
Change = Callable[[Notebook], None]


def check_of(number: int, **changes: Any) -> Change:
    """Return a change of the cell that checks exercise 1.`number`."""

    def change(notebook: Notebook) -> None:
        cell: Cell = next(cell for cell in notebook.cells if cell.id == f"ex1-{number}-check")
        cell.update(changes)
        if cell.cell_type != "code":
            del cell["outputs"], cell["execution_count"]

    return change


def without(*names: str) -> Change:
    def change(notebook: Notebook) -> None:
        notebook.cells = [cell for cell in notebook.cells if cell.id not in names]

    return change


def cut_off(notebook: Notebook) -> None:
    del notebook.cells[next(place for place, cell in enumerate(notebook.cells) if cell.id == "ex1-4") :]


def cleared(notebook: Notebook) -> None:
    notebook.cells.clear()


IN_A_TRY = "try:\n    check('1.4')\nexcept Exception:\n    pass"
NOTEBOOKS: dict[str, tuple[Change, ...]] = {
    "one": (
        without("ex1-1-check"),
        check_of(2, cell_type="markdown"),
        check_of(3, metadata={"tags": ["nbval-skip"]}),
        check_of(4, source="# check('1.4')"),
    ),
    "two": (
        check_of(1, cell_type="raw"),
        check_of(2, source="# NBVAL_SKIP\ncheck('1.2')"),
        without("ex1-3-answer", "ex1-4-answer"),
        check_of(3, metadata={"tags": ["raises-exception"]}),
        check_of(4, source=IN_A_TRY),
    ),
    "cut": (without("ex1-1-check", "ex1-2-check", "ex1-3-check"), cut_off),
    "cleared": (cleared,),
    "no_import": (without("lab"),),
    "part": (),
    "complete": (),
}
# For some exercises, by notebook and number: what the report says about it.
SAID = {
    ("one", 1): 'no cell runs check("1.1"). Add a code cell with check("1.1") below the answer, and save the notebook.',
    ("one", 2): 'is of type markdown, so check("1.2") didn\'t run. Change it to a code cell, and save.',
    ("one", 3): "is marked to be skipped. Remove its tag or comment nbval-skip, and save.",
    ("one", 4): 'contains check("1.4") but gave no verdict. The cell must run it, and no cell above may fail.',
    ("two", 1): 'is of type raw, so check("1.1") didn\'t run. Change it to a code cell, and save.',
    ("two", 2): "is marked to be skipped. Remove its tag",
    ("two", 3): "is marked as a cell that raises. Remove its tag or comment raises-exception, and save.",
    ("cut", 4): 'no cell runs check("1.4"). Add a code cell',
    ("cleared", 1): 'no cell runs check("1.1"). Add a code cell',
    ("cleared", 4): 'no cell runs check("1.4"). Add a code cell',
    ("no_import", 4): 'contains check("1.4") but gave no verdict.',
}


def changed(*changes: Change, made: bool = True) -> str:
    """Return the text of the solved exercise with changes; if `made`, with the metadata that the build gives it."""
    notebook = normalise(files.read(SOLUTION), blank=True)
    if made:
        notebook.metadata[DIGEST] = "0123456789abcdef"
    for change in changes:
        change(notebook)
    return files.dump(notebook)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("course")
    for name, changes in NOTEBOOKS.items():
        files.write(folder / f"01_{name}.ipynb", changed(*changes))
    files.write(folder / "exercises" / SOLUTION.name, changed(cleared, made=False))
    files.write(folder / "exercises" / "01_my_notes.ipynb", changed(cleared, made=False))
    files.write(folder / "my-course" / "01b_exercises_first_task.ipynb", changed(cleared, made=False))
    for name in (SOLUTION.name, "03_routing.ipynb"):
        files.write(folder / "solutions" / name, (SOLUTION.parent / name).read_text("utf-8"))
    options = ("-n0", "-W", "error", "--tb=no", "--deselect=01_part.ipynb::ex1", "--ignore=solutions")
    return pytest_on(folder, folder, "--nbval-lax", *options, columns=300, share_kernel=True)


def failures_of(run: Run, name: str) -> list[str]:
    return [text for text in run.failures[name if name[0] == "0" else f"01_{name}"] if text]


@pytest.mark.parametrize(("name", "number"), SAID)
def test_an_exercise_that_no_cell_checks_fails_and_the_summary_says_what_to_do(run, name, number):
    lines = failures_of(run, name)[-1].splitlines()
    (entry,) = (line for line in lines if line.startswith(f"1.{number} not checked: "))
    assert SAID[name, number] in entry
    assert entry in run.output.partition(" exercises =")[2].splitlines()
    assert entry in run.properties["exercise"]


def test_the_short_summary_names_the_missing_exercise(run):
    assert "FAILED 01_one.ipynb::all-exercises - 1.1 not checked: no cell runs" in run.output


def test_each_exercise_that_is_missing_is_named(run):
    assert re.findall(r"^1\.\d", failures_of(run, "cleared")[0], re.MULTILINE) == ["1.1", "1.2", "1.3", "1.4"]


def test_a_cell_that_catches_the_error_of_its_check_fails(run):
    failure = failures_of(run, "two")[0].splitlines()[0]
    assert failure.startswith("1.4 not attempted: ")
    assert failure.endswith('The cell must not catch the error of check("1.4").')


def test_a_complete_notebook_passes(run):
    assert failures_of(run, "complete") == []


@pytest.mark.parametrize("name", ["first_task", "01b_exercises_first_task"])
def test_the_name_and_the_folder_are_enough_to_know_an_exercise_notebook(run, name):
    assert failures_of(run, name)[0].startswith("1.1 not checked: no cell runs")


def test_a_notebook_of_the_learner_beside_the_exercises_needs_no_verdicts(run):
    assert failures_of(run, "my_notes") == []


def test_a_run_of_some_cells_says_that_it_left_out_cells(run):
    said = "1.4 not checked: this run left out cells of the notebook. Run pytest on the whole notebook."
    assert said in failures_of(run, "part")[-1]


@pytest.mark.parametrize("name", ["exercises/03_routing", "my-course/03b_exercises_routing"])
def test_a_notebook_that_is_missing_beside_its_solution_fails_with_each_of_its_exercises(run, name):
    (failure,) = failures_of(run, Path(name).name)
    lines = failure.splitlines()
    assert [line.partition(" not checked: ")[0] for line in lines] == ["3.1", "3.2", "3.3", "3.4", "3.5"]
    assert lines[0].startswith(f"3.1 not checked: {Path(name)}.ipynb is missing. Write it again with ")
    assert re.search(r"taskqueue-course'? reset 03$", lines[0])  # in quotes if the folder's name has a space
    assert lines[0] in run.properties["exercise"]
