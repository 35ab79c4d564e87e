"""The course's notebooks: a build changes nothing, and the exercises are unsolved.

`make test` runs each lesson and solution with nbval, where tests/support/rebuilt.py compares the whole file. A build
has its own client for kernels, so two notebooks are also built here.

The exercises of these tests are made from the solutions, because a learner's fork holds answers in exercises/.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.course.catalogue import exercises
from harness.notebooks import files
from harness.notebooks.build import built
from tests.support.desk import Desk
from tests.support.nbval_run import Run, pytest_on
from tests.support.scratch import code, save

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).parents[2]
IN_A_FORK = [  # those of the tests that read all exercises of the repository, and take seconds
    "tests/notebooks/test_lint.py::test_the_course_is_in_form",
    "tests/notebooks/test_course_notebooks.py::test_every_solution_has_an_exercise",
    "tests/test_style.py::test_no_committed_file_holds_a_machines_path_a_registrys_host_or_a_secret",
    "tests/classroom/test_slides.py",
    "tests/classroom/test_instructor_notes.py",
    "tests/test_setup.py::test_the_top_of_the_repository_holds_what_the_readme_maps",
]
BUILT = [files.find(ROOT, "notebooks")[0], files.find(ROOT, "solutions")[0]]
EXERCISES = [path.stem for path in files.find(ROOT, "solutions")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def unsolved(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What a learner's own command says of the exercises before a line is written."""
    return pytest_on(desk.folder, tmp_path_factory.mktemp("pytest"), "--nbval-lax", "exercises", share_kernel=True)


@pytest.mark.parametrize("path", BUILT, ids=[path.relative_to(ROOT).as_posix() for path in BUILT])
def test_a_rebuild_changes_nothing(path):
    for target, text in built(path):
        if target.parent.name == "exercises":  # the linter compares the cells, and lets a learner write into them
            continue
        assert text.splitlines() == target.read_text(encoding="utf-8").splitlines(), target


def test_every_solution_has_an_exercise():
    assert EXERCISES
    assert set(EXERCISES) <= {path.stem for path in files.find(ROOT, "exercises")}


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_fails_at_its_checks_as_not_attempted_and_nowhere_else(name, desk, unsolved):
    cells = [cell for cell in files.read(desk.exercises / f"{name}.ipynb").cells if cell.cell_type == "code"]
    *failures, without_verdict = unsolved.failures[name]
    assert without_verdict == ""
    assert len(failures) == len(cells)
    for cell, failure in zip(cells, failures, strict=True):
        is_check = cell.source.startswith("check(")
        assert ("CheckError" in failure and "not attempted" in failure) if is_check else failure == "", cell.id


def copy_repository(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def test_a_fork_passes_in_which_a_learner_has_solved_all_exercises_and_committed_pages_of_their_own(tmp_path):
    fork = tmp_path / "fork"
    copy_repository(fork)
    shutil.rmtree(fork / "exercises")
    learner = Desk(fork)
    for exercise in exercises():
        learner.solve(exercise.number)
    private = f"print('/Users{'/ann'}')"
    save(learner.exercises / "my_scratch.ipynb", code(private))
    save(learner.path("07"), *files.read(learner.path("07")).cells[2:], code(private))
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "my notes.md"):
        (fork / name).write_text("# Mine\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=fork, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *IN_A_FORK]
    done = subprocess.run(command, cwd=fork, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
