"""`make exercise`: the scaffold of a new exercise, and the walk that CONTRIBUTING.md describes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.classroom.new_exercise import scaffold
from harness.errors import CourseError
from tests.support.pythons import python_path

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).parents[2]
NUMBER = "1.5"  # the next exercise of lesson 01


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the course's files that git tracks, with their current text and their bytecode.

    pytest's own bytecode is left out, because the names of files in it would be those of the original.
    """
    for folder in ("notebooks", "solutions", "exercises", "harness", "tests"):
        ignored = shutil.ignore_patterns("*-pytest-*.pyc", "backups", ".ipynb_checkpoints")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": python_path(folder)}
    command = [sys.executable, "-P", "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_exercise_is_written_in_four_places_and_works_once_its_texts_are_written(copied: Path) -> None:
    made = run(copied, "harness", "exercise", NUMBER)
    assert made.returncode == 0, made.stderr
    written = [Path(line.removeprefix("wrote ")) for line in made.stdout.splitlines() if line.startswith("wrote ")]
    places = {str(path.parent) for path in written}
    assert places == {"solutions", "harness/course/lessons", "tests/answers", "tests/support/draws"}
    for path in written:
        text = (copied / path).read_text(encoding="utf-8")
        (copied / path).write_text(text.replace("TODO", "Written:"), encoding="utf-8")
    notebook = str(next(path for path in written if path.suffix == ".ipynb"))
    built = run(copied, "harness", "build", notebook)
    assert "rebuilt exercises/" in built.stdout, built.stdout + built.stderr
    assert run(copied, "harness", "lint").stdout == "all notebooks follow the rules\n"
    slow = ("generated", "mutants") if os.environ.get("HARNESS_SOAK") else ()
    files = (f"tests/course/test_{name}.py" for name in ("exercises", "patterns", *slow))
    checks = ("-n", "0", "-p", "no:cacheprovider", *files, "-k", NUMBER)
    finished = run(copied, "pytest", "-q", *checks)
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("number", ["1.4", "1.6", "0.1", "9.1", "1", "one.two", "../1.5"])
def test_a_number_that_is_not_the_next_one_is_refused_with_those_that_are(number: str, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"the next ones are 1\.5, 2\.6"):
        scaffold(tmp_path, number)


def test_a_scaffold_overwrites_no_answers(copied: Path) -> None:
    (copied / "tests" / "answers" / f"{NUMBER}.txt").write_text("=== right: mine\npass\n", encoding="utf-8")
    before = read_all(copied)
    with pytest.raises(CourseError, match="exists"):
        scaffold(copied, NUMBER)
    assert read_all(copied) == before


def test_a_folder_without_the_course_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="no solutions of lesson 01"):
        scaffold(tmp_path, NUMBER)
