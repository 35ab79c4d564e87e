"""`python -m harness build`: notebooks run, exercises made from solutions."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.build import build, check_source
from harness.notebooks.execute import execute, kernel_environment
from harness.notebooks.exercise import blank_regions, to_exercise
from harness.notebooks.syntax import syntax_error
from harness.state import VARIABLE
from tests.scratch import code, markdown, notebook, result, save

SOLVED = """\
%%controller ex1_1
def gen_task():
    title = request.vars.title
    ### BEGIN SOLUTION
    taskqueue.add(url=URL('task_do'))

    x = 1
    ### END SOLUTION
    return 'queued'"""
STUB = """\
%%controller ex1_1
def gen_task():
    title = request.vars.title
    ...  # YOUR CODE HERE
    return 'queued'"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one lesson and one solution, in a folder whose name has a space."""
    root = tmp_path / "a course"
    save(root / "notebooks" / "01_one.ipynb", markdown("# One"), code("2 + 3"))
    region = "### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION"
    grade = {"grade_id": "ex-1-1", "solution": True}
    save(
        root / "solutions" / "01_one.ipynb",
        markdown("# One: exercises"),
        code(region, metadata={"nbgrader": grade}),
        code("print(answer)"),
    )
    return root


@pytest.fixture
def report() -> list[str]:
    return []


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def texts(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.ipynb"))}


def test_a_region_becomes_one_stub_at_its_own_indentation():
    assert blank_regions(SOLVED, "x") == STUB


def test_every_region_of_a_cell_becomes_a_stub():
    source = "### BEGIN SOLUTION\na\n### END SOLUTION\nb\n  ### BEGIN SOLUTION\n  c\n  ### END SOLUTION"
    assert blank_regions(source, "x") == "...  # YOUR CODE HERE\nb\n  ...  # YOUR CODE HERE"


def test_a_region_may_say_itself_what_the_learner_starts_from():
    start = "    ### START if x:\n    ### START     slow()  # YOUR CODE HERE\n    ### START"
    source = f"def f():\n    ### BEGIN SOLUTION\n{start}\n    fast()\n    ### END SOLUTION\n    return 1"
    assert blank_regions(source, "x") == "def f():\n    if x:\n        slow()  # YOUR CODE HERE\n\n    return 1"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a\n### BEGIN SOLUTION\nb", "f.ipynb, line 2: '### BEGIN SOLUTION' without '### END SOLUTION' after it"),
        ("a\n### END SOLUTION", "f.ipynb, line 2: '### END SOLUTION' without '### BEGIN SOLUTION' before it"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION", "f.ipynb, line 2: a second '### BEGIN SOLUTION'; that of line 1"),
    ],
)
def test_a_marker_without_its_partner_is_named_with_its_line(source, says):
    with pytest.raises(NotebookError) as caught:
        blank_regions(source, "f.ipynb")
    assert str(caught.value).startswith(says)


def test_an_exercise_keeps_ids_text_and_grading_and_loses_outputs():
    grade = {"nbgrader": {"grade_id": "ex-1-1", "solution": True}}
    solution = notebook(markdown("### BEGIN SOLUTION"), code(SOLVED, result("1"), count=3, metadata=grade))
    exercise = to_exercise(solution, "x")
    assert [cell.id for cell in exercise.cells] == ["cell-1", "cell-2"]
    assert exercise.cells[0].source == "### BEGIN SOLUTION"
    assert exercise.cells[1].source == STUB
    assert exercise.cells[1].metadata == grade
    assert (exercise.cells[1].outputs, exercise.cells[1].execution_count) == ([], None)
    assert solution.cells[1].source == SOLVED


@pytest.mark.parametrize(
    "source",
    [
        "%load_ext harness\nx = 1\nx?",
        "!ls",
        "%%controller default\ndef index():\n    return 'a'",
        "%%model db --app stats\ndb.define_table('t')",
        "%%queue_yaml\nqueue:\n- name: default\n  rate: 5/s",
        "%%view default/index.html\n{{= oh",
        "%%routes\nroutes_in = []",
        "# where it goes\n\n%%routes\nroutes_in = []",
        "# a note\n%%view default/index.html\n{{= oh",
    ],
)
def test_what_parses_may_pass(source):
    assert syntax_error(notebook(code(source)).cells[0]) is None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a = 1\nb = (", "'(' was never closed (line 2 of the cell)"),
        ("%%controller default\n\ndef index(:\n", "invalid syntax (line 3 of the cell)"),
        ("# a note\n\n%%controller default\ndef index(:\n", "invalid syntax (line 4 of the cell)"),
        ("# a note\n%%queue_yaml\nqueue:\n- name: 'x\n", "found unexpected end of stream (line 5 of the cell)"),
        ("%%queue_yaml\nqueue:\n- name: 'x\n", "found unexpected end of stream (line 4 of the cell)"),
        ("%%controler default\n1", "unknown cell magic %%controler; known are %%controller, %%model"),
        ("%%controller\n1", "%%controller needs one name"),
    ],
)
def test_what_does_not_parse_is_named_with_its_line(source, says):
    problem = syntax_error(notebook(code(source)).cells[0])
    assert problem is not None
    assert problem.startswith(says)


def test_a_cell_that_is_to_fail_need_not_parse():
    assert syntax_error(notebook(code("def f(:", tags=("raises-exception",))).cells[0]) is None


def test_a_stub_that_does_not_parse_is_found_in_the_solution():
    source = "def f():\n    pass\n### BEGIN SOLUTION\n    x = 1\n### END SOLUTION\n    y = 2"
    with pytest.raises(NotebookError, match=r's.ipynb, cell 1 \(id "cell-1"\): unexpected indent'):
        check_source(notebook(code(source)), "s.ipynb")


def test_a_build_runs_lessons_and_solutions_and_makes_exercises(course, report):
    assert build(course, say=report.append) == 3
    lesson, solution, exercise = (files.read(course / f / "01_one.ipynb") for f in files.FOLDERS)
    assert (lesson.cells[1].execution_count, lesson.cells[1].outputs[0].data["text/plain"]) == (1, "5")
    assert [cell.metadata.get("slideshow", {}).get("slide_type") for cell in lesson.cells][:2] == ["slide", "-"]
    assert not any("slideshow" in cell.metadata for cell in [*solution.cells, *exercise.cells])
    assert solution.cells[2].outputs[0].text == "42\n"
    assert (exercise.cells[1].source, exercise.cells[2].outputs) == ("...  # YOUR CODE HERE", [])
    assert sorted(report) == [f"rebuilt {folder}/01_one.ipynb" for folder in ("exercises", "notebooks", "solutions")]


def test_a_second_build_changes_nothing_in_another_folder_and_time_zone(course, report, tmp_path, tokyo):
    build(course, say=report.append)
    before = texts(course)
    moved = course.rename(tmp_path / "elsewhere")
    assert build(moved, say=report.append) == 0
    assert texts(moved) == before
    assert len(report) == 3


def test_a_check_says_what_would_change_and_changes_nothing(course, report):
    save(course / "exercises" / "09_old.ipynb", markdown("# Old"))
    before = texts(course)
    assert build(course, check=True, say=report.append) == 4
    assert texts(course) == before
    assert "would rebuild exercises/01_one.ipynb" in report
    assert "would remove exercises/09_old.ipynb: it has no solution" in report


def test_an_exercise_without_a_solution_goes(course, report):
    orphan = save(course / "exercises" / "09_old.ipynb", markdown("# Old"))
    build(course, say=report.append)
    assert not orphan.exists()
    assert "removed exercises/09_old.ipynb: it has no solution" in report


def test_one_notebook_can_be_built_alone(course, report):
    build(course, [course / "solutions" / "01_one.ipynb"], say=report.append)
    assert report == ["rebuilt exercises/01_one.ipynb", "rebuilt solutions/01_one.ipynb"]


def test_notebooks_that_cannot_be_built_are_all_named_and_the_others_built(course, report):
    (course / "notebooks" / "02_two.ipynb").write_text('{"cells": [', encoding="utf-8")
    save(course / "notebooks" / "03_three.ipynb", code("x = 1\ny = (", id="open"))
    save(course / "notebooks" / "04_four.ipynb", markdown("# Four"), code("1 / 0", id="by-zero"))
    with pytest.raises(NotebookError) as caught:
        build(course, say=report.append)
    broken, unparsed, raised = str(caught.value).splitlines()
    assert "02_two.ipynb, line 1, column 12: broken JSON" in broken
    assert "03_three.ipynb, cell 1 (id \"open\"): '(' was never closed" in unparsed
    assert '04_four.ipynb, cell 2 (id "by-zero"): ZeroDivisionError: division by zero' in raised
    assert "rebuilt notebooks/01_one.ipynb" in report


def test_a_notebook_that_cannot_be_built_stays_as_it_was(course, report):
    lesson = save(course / "notebooks" / "01_one.ipynb", code("1 / 0"))
    before = lesson.read_bytes()
    with pytest.raises(NotebookError):
        build(course, [lesson], say=report.append)
    assert lesson.read_bytes() == before


def test_exercises_and_strangers_are_refused(course):
    with pytest.raises(NotebookError, match="exercises are generated; build solutions/01_one.ipynb instead"):
        build(course, [course / "exercises" / "01_one.ipynb"])
    with pytest.raises(NotebookError, match="not a notebook of notebooks/ or solutions/"):
        build(course, [course / "01_one.ipynb"])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(NotebookError, match="run this in the repository's top folder"):
        build(tmp_path)


def test_a_cell_tagged_to_raise_must_raise(tmp_path):
    tame = notebook(code("1", tags=("raises-exception",)))
    with pytest.raises(NotebookError, match=r'cell 1 \(id "cell-1"\): tagged raises-exception, but it raised nothing'):
        execute(tame, tmp_path / "a.ipynb")
    wild = execute(notebook(code("1 / 0", tags=("raises-exception",)), code("2")), tmp_path / "a.ipynb")
    assert [output.output_type for cell in wild.cells for output in cell.outputs] == ["error", "execute_result"]


def test_a_mistyped_magic_stops_the_build_even_where_an_exception_is_expected(tmp_path):
    with pytest.raises(NotebookError, match="UsageError: Line magic function `%laod_ext` not found"):
        execute(notebook(code("%laod_ext harness")), tmp_path / "a.ipynb")
    with pytest.raises(NotebookError, match="raised nothing"):
        execute(notebook(code("%laod_ext harness", tags=("raises-exception",))), tmp_path / "a.ipynb")


def test_a_kernel_that_dies_is_named_with_the_cell(tmp_path):
    suicide = notebook(code("1"), code("import os\nos._exit(3)", id="the-end"))
    with pytest.raises(NotebookError, match=r'cell 2 \(id "the-end"\): the kernel died'):
        execute(suicide, tmp_path / "a.ipynb")


def test_a_notebook_runs_in_its_own_folder_without_pytests_variables(tmp_path):
    source = "import os\nrepr((os.getcwd(), 'PYTEST_CURRENT_TEST' in os.environ))"
    run = execute(notebook(code(source)), tmp_path / "a.ipynb")
    assert run.cells[0].outputs[0].data["text/plain"] == repr(repr((os.path.realpath(tmp_path), False)))


def test_the_users_own_ipython_settings_do_not_reach_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with kernel_environment() as environment:
        folder = environment["IPYTHONDIR"]
        assert folder != str(tmp_path)
    assert not Path(folder).exists()


def test_what_a_build_solves_is_nobodys_progress_and_what_a_learner_runs_is_theirs(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with kernel_environment() as environment:
        assert environment[VARIABLE] not in ("", str(tmp_path))
    with kernel_environment(learners=True) as environment:
        assert environment[VARIABLE] == str(tmp_path)


def test_the_command_builds_the_folder_it_stands_in(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert main(["build", "--check", "solutions/01_one.ipynb"]) == 1
    assert "would rebuild exercises/01_one.ipynb" in capsys.readouterr().out
    assert main(["build"]) == 0
    assert main(["build", "--check"]) == 0
    assert capsys.readouterr().out.endswith("all notebooks are up to date\n")


def test_the_command_shows_a_broken_notebook_as_one_line(course, monkeypatch, capsys):
    (course / "notebooks" / "01_one.ipynb").write_text(json.dumps([]), encoding="utf-8")
    monkeypatch.chdir(course)
    assert main(["build"]) == 1
    assert "notebooks/01_one.ipynb: not a notebook of format 4" in capsys.readouterr().err


def test_the_command_alone_lists_its_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: ")
    assert "lint" in shown
