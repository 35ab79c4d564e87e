"""`python -m harness build`: notebooks run, exercises made from solutions."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.classroom.cli import main
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.build import build, check_source, execute, kernel_environment
from harness.notebooks.stubs import blank_regions, is_stub, syntax_error, to_exercise
from harness.state import VARIABLE
from tests.support.scratch import code, markdown, notebook, result, save

pytestmark = pytest.mark.notebook

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

KEPT_ORPHAN = "it has no solution, but it was changed after the build or git does not track it"


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


def test_a_region_may_contain_its_own_starting_code():
    start = "    ### START if x:\n    ### START     slow()  # YOUR CODE HERE\n    ### START"
    source = f"def f():\n    ### BEGIN SOLUTION\n{start}\n    fast()\n    ### END SOLUTION\n    return 1"
    assert blank_regions(source, "x") == "def f():\n    if x:\n        slow()  # YOUR CODE HERE\n\n    return 1"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a\n### BEGIN SOLUTION\nb", "f.ipynb, line 2: '### BEGIN SOLUTION' without '### END SOLUTION' after it"),
        ("a\n### END SOLUTION", "f.ipynb, line 2: '### END SOLUTION' without '### BEGIN SOLUTION' before it"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION", "f.ipynb, line 2: a second '### BEGIN SOLUTION', but line 1 has no"),
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
def test_a_cell_that_parses_has_no_syntax_error(source):
    assert syntax_error(notebook(code(source)).cells[0]) is None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a = 1\nb = (", "'(' was never closed (line 2 of the cell)"),
        ("%%controller default\n\ndef index(:\n", "invalid syntax (line 3 of the cell)"),
        ("# a note\n\n%%controller default\ndef index(:\n", "invalid syntax (line 4 of the cell)"),
        ("# a note\n%%queue_yaml\nqueue:\n- name: 'x\n", "found unexpected end of stream (line 5 of the cell)"),
        ("%%queue_yaml\nqueue:\n- name: 'x\n", "found unexpected end of stream (line 4 of the cell)"),
        ("%%controler default\n1", "unknown cell magic %%controler; the course has %%controller, %%model"),
        ("%%controller\n1", "%%controller needs one name"),
    ],
)
def test_a_syntax_error_names_its_line(source, says):
    problem = syntax_error(notebook(code(source)).cells[0])
    assert problem is not None
    assert problem.startswith(says)


def test_a_cell_tagged_to_raise_need_not_parse():
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
    before = texts(course)
    assert build(course, check=True, say=report.append) == 3
    assert texts(course) == before
    assert "would rebuild exercises/01_one.ipynb" in report


# A build with exercises that a learner changed


def write_solution(root: Path, name: str, title: str = "# An exercise") -> Path:
    grade = {"nbgrader": {"grade_id": "answer", "solution": True}}
    answer = code("### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION", metadata=grade)
    return save(root / "solutions" / f"{name}.ipynb", markdown(title), answer, code("1 + 1", count=1))


def write_stub(root: Path, name: str, title: str = "# An exercise") -> Path:
    exercise = root / "exercises" / f"{name}.ipynb"
    files.write(exercise, files.dump(to_exercise(files.read(write_solution(root, name, title)), name)))
    return exercise


def save_as_jupyterlab_does(exercise: Path, answer: str | None = None) -> None:
    """Write the answer, if there is one, run the cells, and add an empty cell at the end, as Shift-Enter does."""
    edited = files.read(exercise)
    edited.cells[1].source = answer or edited.cells[1].source
    edited.cells[1].execution_count, edited.cells[1].outputs = 1, [result("Ellipsis")]
    edited.cells.append(notebook(code("", id="empty")).cells[0])
    edited.metadata["language_info"] = {"name": "python", "version": "3.11.2"}
    exercise.write_text(files.dump(edited), encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@dataclass
class Rebuilt:
    """A course before and after a build with its report, and the same for `build --check`, which ran first."""

    root: Path
    before: dict[str, bytes]
    checked: dict[str, bytes]
    check_said: list[str]
    said: list[str]

    def is_kept(self, name: str) -> bool:
        file = self.root / "exercises" / f"{name}.ipynb"
        return file.exists() and file.read_bytes() == self.before[str(file.relative_to(self.root))]

    def is_stub(self, name: str) -> bool:
        exercise, solution = (self.root / folder / f"{name}.ipynb" for folder in ("exercises", "solutions"))
        return exercise.read_text(encoding="utf-8") == files.dump(to_exercise(files.read(solution), name))

    def backups(self, name: str) -> list[Path]:
        return list((self.root / "exercises" / "backups").glob(f"{name}.*.ipynb"))

    def lines(self, name: str) -> list[str]:
        return [line for line in self.said if f"exercises/{name}.ipynb" in line]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    """Build a course in which each exercise was changed in another way."""
    root = tmp_path_factory.mktemp("changed")
    for name in ("answered", "torn", "run", "retired", "retired_answered"):
        write_stub(root, name)
    for name in ("answered_stale", "edited_twice"):
        write_stub(root, name, "# First version")
    for name in ("answered", "answered_stale", "retired_answered"):
        save_as_jupyterlab_does(root / "exercises" / f"{name}.ipynb", "answer = 6 * 7")
    save(root / "exercises" / "my_committed.ipynb", markdown("# Mine"))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "the course, with answers")
    save_as_jupyterlab_does(root / "exercises" / "run.ipynb")
    (root / "exercises" / "torn.ipynb").write_text("<<<<<<< HEAD\n{}\n", encoding="utf-8")
    write_solution(root, "answered_stale", "# Second version")
    write_stub(root, "edited_twice", "# Second version")
    write_solution(root, "edited_twice", "# Third version")
    for name in ("retired", "retired_answered"):
        (root / "solutions" / f"{name}.ipynb").unlink()
    save(root / "exercises" / "my_scratch.ipynb", markdown("# Mine"))
    (root / "exercises" / "my_torn.ipynb").write_text("{", encoding="utf-8")
    (write_stub(root, "untracked").parents[1] / "solutions" / "untracked.ipynb").unlink()
    before, check_said, said = texts(root), list[str](), list[str]()
    build(root, check=True, say=check_said.append)
    checked = texts(root)
    build(root, say=said.append)
    return Rebuilt(root, before, checked, check_said, said)


def test_an_answered_exercise_is_kept_and_named(rebuilt):
    assert rebuilt.is_kept("answered")
    [line] = rebuilt.lines("answered")
    assert line == "kept exercises/answered.ipynb: it was changed after the build, and its solution was not"


def test_an_answered_exercise_whose_solution_changed_is_copied_before_it_is_replaced(rebuilt):
    assert rebuilt.is_stub("answered_stale")
    [backup] = rebuilt.backups("answered_stale")
    assert backup.read_bytes() == rebuilt.before["exercises/answered_stale.ipynb"]
    kept = f"the previous notebook is kept in exercises/backups/{backup.name}"
    assert rebuilt.lines("answered_stale") == [f"rebuilt exercises/answered_stale.ipynb; {kept}"]


def test_an_exercise_that_cannot_be_read_is_copied_before_it_is_replaced(rebuilt):
    assert rebuilt.is_stub("torn")
    [backup] = rebuilt.backups("torn")
    assert backup.read_text(encoding="utf-8") == "<<<<<<< HEAD\n{}\n"


@pytest.mark.parametrize("name", ["edited_twice", "run"])
def test_a_stub_is_replaced_without_a_backup_even_if_it_was_never_committed_or_was_run(rebuilt, name):
    assert rebuilt.is_stub(name)
    assert rebuilt.backups(name) == []
    assert rebuilt.lines(name) == [f"rebuilt exercises/{name}.ipynb"]


def test_a_stub_whose_solution_is_gone_is_removed(rebuilt):
    assert not (rebuilt.root / "exercises" / "retired.ipynb").exists()
    assert rebuilt.lines("retired") == ["removed exercises/retired.ipynb: it has no solution"]


@pytest.mark.parametrize("name", ["retired_answered", "untracked"])
def test_an_exercise_whose_solution_is_gone_stays_if_it_was_answered_or_git_does_not_track_it(rebuilt, name):
    assert rebuilt.is_kept(name)
    assert rebuilt.lines(name) == [f"kept exercises/{name}.ipynb: {KEPT_ORPHAN}"]


@pytest.mark.parametrize("name", ["my_scratch", "my_torn", "my_committed"])
def test_a_learners_own_notebook_stays_and_is_not_mentioned(rebuilt, name):
    assert rebuilt.is_kept(name)
    assert rebuilt.lines(name) == []


def test_a_check_announces_what_the_build_then_does_and_changes_nothing(rebuilt):
    assert rebuilt.checked == rebuilt.before
    [line] = [line for line in rebuilt.check_said if "answered_stale" in line and "exercises" in line]
    kept = "the previous notebook would be kept in exercises/backups/"
    assert line == f"would rebuild exercises/answered_stale.ipynb; {kept}"
    assert "would remove exercises/retired.ipynb: it has no solution" in rebuilt.check_said


def test_without_git_no_exercise_is_removed(tmp_path, monkeypatch, report):
    write_solution(tmp_path, "01_one")
    stub = write_stub(tmp_path, "02_two")
    (tmp_path / "solutions" / "02_two.ipynb").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    build(tmp_path, say=report.append)
    assert stub.exists()
    assert f"kept exercises/02_two.ipynb: {KEPT_ORPHAN}" in report


def test_an_exercise_that_cannot_be_copied_is_not_replaced(tmp_path, report):
    exercise = write_stub(tmp_path, "01_one")
    save_as_jupyterlab_does(exercise, "answer = 6 * 7")
    saved = exercise.read_bytes()
    write_solution(tmp_path, "01_one", "# Second version")
    write_solution(tmp_path, "02_two")
    (tmp_path / "exercises" / "backups").write_text("a file, where the folder should be", encoding="utf-8")
    with pytest.raises(NotebookError, match="01_one.ipynb: no backup can be made"):
        build(tmp_path, say=report.append)
    assert exercise.read_bytes() == saved
    assert "rebuilt exercises/02_two.ipynb" in report


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells[0].update(source="# An exercise\n\nI must remember this."),
        lambda cells: cells[1].update(source="answer = 42"),
        lambda cells: cells[1].update(cell_type="markdown"),
        lambda cells: cells.append(cells[1] | {"id": "scratch"}),
        lambda cells: cells.reverse(),
        lambda cells: cells.pop(),
    ],
)
def test_an_exercise_is_not_a_stub_after_a_learner_has_written_moved_or_deleted_a_cell(tmp_path, change):
    exercise = files.read(write_stub(tmp_path, "01_one"))
    assert is_stub(exercise)
    change(exercise.cells)
    assert not is_stub(exercise)


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
    assert "02_two.ipynb, line 1: the file ends here" in broken
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
    with pytest.raises(NotebookError, match="not a notebook of notebooks/, solutions/ or notebooks/pages/ in"):
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


def test_the_users_own_ipython_settings_and_open_notebook_do_not_reach_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "open.ipynb"))
    with kernel_environment() as environment:
        folder = environment["IPYTHONDIR"]
        assert folder != str(tmp_path)
        assert "JPY_SESSION_NAME" not in environment
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
