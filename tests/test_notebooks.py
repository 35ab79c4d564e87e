"""The course's notebooks: up to date byte for byte, exercises unsolved. Their strict nbval run is in `make test`."""

from pathlib import Path

import pytest

from harness.notebooks import files
from harness.notebooks.build import built
from tests.nbval_run import Run, pytest_on

ROOT = Path(__file__).parents[1]
SOURCES = [*files.find(ROOT, "notebooks"), *files.find(ROOT, "solutions")]
EXERCISES = [path.stem for path in files.find(ROOT, "exercises")]


@pytest.fixture(scope="module")
def unsolved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What a learner's own command says of the exercises before a line is written."""
    return pytest_on(ROOT, tmp_path_factory.mktemp("pytest"), "--nbval-lax", "exercises")


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_a_rebuild_changes_nothing(path):
    for target, text in built(path):
        assert text.splitlines() == target.read_text(encoding="utf-8").splitlines(), target


def test_every_solution_has_an_exercise_and_every_exercise_a_solution():
    assert [path.stem for path in files.find(ROOT, "solutions")] == EXERCISES
    assert EXERCISES


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_fails_at_its_checks_as_not_attempted_and_nowhere_else(name, unsolved):
    cells = [cell for cell in files.read(ROOT / "exercises" / f"{name}.ipynb").cells if cell.cell_type == "code"]
    failures = unsolved.failures[name]
    assert len(failures) == len(cells)
    for cell, failure in zip(cells, failures, strict=True):
        is_check = cell.source.startswith("check(")
        assert ("CheckError" in failure and "not attempted" in failure) if is_check else failure == "", cell.id
