"""A course folder that nobody can write, root neither: as on a workshop's server, or a mounted image."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.course.progress_file import Progress
from harness.state import VARIABLE
from tests.support.desk import EXERCISES
from tests.support.isolation import ROOT, in_read_only, python

pytestmark = pytest.mark.notebook

TRY_TO_WRITE = "open('exercises/a', 'w')"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for all that is written, whoever the command runs as."""
    with tempfile.TemporaryDirectory(prefix="harness-home-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "IPYTHON", "JUPYTER"))
    }
    environment = {**inherited, "HOME": str(home), "TMPDIR": str(home), VARIABLE: str(home / "state")}
    return subprocess.run(in_read_only(ROOT, *command), cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_course_cannot_be_written_in_these_tests(home):
    done = run(home, *python(TRY_TO_WRITE))
    assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr


def test_a_solved_notebook_passes_in_a_read_only_course_and_progress_is_kept_elsewhere(home):
    done = run(home, sys.executable, "-m", "pytest", "--nbval", "solutions/01_first_task.ipynb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_a_check_in_a_read_only_course_counts(home):
    solve = (
        "from harness import Lab, check, progress; from harness.course.catalogue import *; lab = Lab()\n"
        "for name, source in solution_cells(find_exercise('1.1')).items(): lab.write(name, body(source))\n"
        "check('1.1'); print(progress())"
    )
    done = run(home, *python(solve))
    assert done.returncode == 0, done.stderr
    assert "1.1 correct" in done.stdout
    assert f"1 of {EXERCISES} exercises solved" in done.stdout
    assert Progress.parse((home / "state" / "progress.json").read_text(encoding="utf-8"))["1.1"].solved


def test_doctor_and_copies_report_that_answers_cannot_be_saved_and_where_to_work(home):
    done = run(home, sys.executable, "-m", "harness", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "can't be written, so answers can't be saved -> make copies in a folder of your own: cd ~ &&" in said
    refused = run(home, sys.executable, "-m", "harness", "copies")
    assert refused.returncode == 1
    assert "my-course can't be written: " in refused.stderr
    assert "Go to a folder of your own (cd ~) and make your copies there: " in refused.stderr
    assert "kernel python3 starts" in said
