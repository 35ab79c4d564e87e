"""The list of exercises with their verdicts after `pytest --nbval-lax exercises/…`, at any width of the terminal.

All tests share one run of a half-done exercise and of a solved one.
"""

import re
import shlex
from copy import deepcopy
from pathlib import Path

import pytest

from harness.course.catalogue import exercise_notebook, find_exercise, solution_cells
from harness.errors import one_line
from harness.notebooks import files
from harness.notebooks.files import Notebook
from tests.support.answers import fill, wrong_answers
from tests.support.nbval_run import Run, pytest_on
from tests.support.scratch import code, save

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).parents[2]
MIXED, SOLVED = "02_passing_data", "01_first_task"
ENTRIES = (  # the beginning of each
    "2.1 not right yet: The task has no URL",
    "2.2 correct",
    "2.3 error in your code: NameError: name 'jsn' is not defined",
    'cell 16 (id "ex2-4-answer"): SourceError: tutorial/controllers/ex2_4.py, line 32; IndentationError: unindent ',
    "2.4 error in your code: tutorial/controllers/ex2_4.py, line 32; IndentationError: unindent ",
    "2.5 not attempted: fill `publish` and `mail_news` in the cell `%%controller ex2_5`.",
)
SAVE = "pytest reads the saved notebook: save it before you run this\ncommand again.\n"


def half_done() -> Notebook:
    """Exercise 02 with a wrong answer, a right one, one that raises, one that doesn't compile, and an empty one."""
    exercise, solution = deepcopy(exercise_notebook("02")), files.read(ROOT / "solutions" / f"{MIXED}.ipynb")
    solved = {cell.id: cell.source for cell in solution.cells}
    silent = next(answer for answer in wrong_answers("2.1") if answer.key == "no-address")
    changed = {
        "ex2-1-answer": fill(solved["ex2-1-answer"], silent.text),
        "ex2-2-answer": solved["ex2-2-answer"],
        "ex2-3-answer": solved["ex2-3-answer"].replace("json.", "jsn."),
        "ex2-4-answer": solved["ex2-4-answer"] + "\n  def broken(",
    }
    for cell in exercise.cells:
        cell.source = changed.get(cell.id, cell.source)
    return exercise


def solved_with_a_failure_on_purpose() -> Notebook:
    """Exercise 01, a solved small exercise, whose check is tagged in the lesson, and a check that fails on purpose."""
    notebook = files.read(ROOT / "solutions" / f"{SOLVED}.ipynb")
    small = [*solution_cells(find_exercise("1.x")).values(), "check('1.x')"]
    cells = [
        code(small[0], id="small"),
        *(code(source, tags=("raises-exception",)) for source in (small[1], "check('2.2')")),
    ]
    for cell in cells:
        notebook.cells.append(type(notebook.cells[-1])(dict(notebook.cells[-1]) | {"id": "on-purpose"} | cell))
    return notebook


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both notebooks under two workers of pytest-xdist, in a terminal of 80 columns."""
    folder = tmp_path_factory.mktemp("exercises")
    files.write(folder / f"{MIXED}.ipynb", files.dump(half_done()))
    files.write(folder / f"{SOLVED}.ipynb", files.dump(solved_with_a_failure_on_purpose()))
    return pytest_on(folder, folder, "--nbval-lax", "-n2", "-W", "error", "--tb=no", columns=80)


def test_each_exercise_is_listed_in_full_with_its_outcome_and_its_diagnosis(run):
    lines = run.output.partition(" exercises =")[2].replace("\n    ", " ").splitlines()
    entries = [line for line in lines if line.startswith(("2.", "cell "))]
    assert all(entry.startswith(begin) for entry, begin in zip(entries, ENTRIES, strict=True)), entries
    assert set(run.properties["exercise"]) <= set(lines)


def test_an_exercise_is_red_until_it_is_solved_and_green_after(run):
    checks = [bool(failure) for failure in run.failures[MIXED]]
    assert checks == [False] * 2 + [True] + [False] * 5 + [True, False, True, True, False, True, False]
    assert set(run.failures[SOLVED]) == {""}


def test_a_failure_that_a_cell_shows_on_purpose_is_not_an_exercise(run):
    assert "2.2 not attempted" not in run.output
    assert f"\n5 of 9 correct. {SAVE}" in run.output


def test_the_list_of_exercises_is_the_last_thing_on_the_screen(run):
    headings = re.findall(r"^=+ ([a-z ]+) =+$", run.output, re.MULTILINE)
    assert headings[-2:] == ["short test summary info", "exercises"]
    assert max(map(len, run.output.partition(" exercises =")[2].splitlines())) <= 80


def test_a_line_of_the_short_summary_begins_with_the_exercise_and_its_outcome(run):
    assert run.summary(MIXED).startswith(f"FAILED {MIXED}.ipynb::ex2-1-check - 2.1 not right yet: The task has")


def test_a_check_that_failed_shows_its_headline_and_then_all_that_the_notebook_shows(run):
    first, source, *said = run.failures[MIXED][2].splitlines()
    assert first.startswith(ENTRIES[0])
    assert source == "   1  check('2.1')"
    assert said[0] == "CheckError: 2.1 not right yet."
    assert said[-1] == 'Stuck? hint("2.1")'


def test_the_report_for_machines_carries_each_verdict(run):
    assert run.properties["exercise"][:4] == ["1.1 correct", "1.2 correct", "1.3 correct", "1.4 correct"]
    assert any(each.startswith("2.4 error in your code: ") for each in run.properties["exercise"])


@pytest.mark.parametrize("name", ["exercises/02 a.ipynb", "b.ipynb"])
def test_a_notebook_named_without_nbvals_option_says_how_to_run_it(pytester: pytest.Pytester, name: str):
    save(pytester.path / name, code("1 / 0"))
    outcome = pytester.runpytest_inprocess(name)
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines([f"{name} was not run, because *", f"  pytest --nbval-lax {shlex.quote(name)}"])


def test_a_notebook_that_another_plugin_runs_is_left_to_it(pytester: pytest.Pytester):
    save(pytester.path / "a.ipynb", code("1"))
    pytester.makeconftest("""
        import pytest
        class Item(pytest.Item):
            def runtest(self): pass
        class File(pytest.File):
            def collect(self): return [Item.from_parent(self, name="whole")]
        def pytest_collect_file(file_path, parent):
            return File.from_parent(parent, path=file_path) if file_path.suffix == ".ipynb" else None
    """)
    pytester.runpytest_inprocess("a.ipynb").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("message", "gist"),
    [
        ("a", "a"),
        ("", ""),
        ("a\nb", "a"),
        ("a, line 1\n    x ==\n        ^\nSyntaxError: b\nadvice", "a, line 1; SyntaxError: b"),
        ("a\n  quoted to the end", "a"),
    ],
)
def test_the_gist_of_a_message_is_its_first_line_and_what_explains_the_quotation(message, gist):
    assert one_line(message) == gist
