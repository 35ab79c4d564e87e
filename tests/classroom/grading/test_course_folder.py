"""The course folder of nbgrader, and the command that makes it."""

from pathlib import Path

import pytest

from harness.classroom.cli import main
from harness.classroom.grading.course_folder import lay_out
from harness.course.catalogue import exercises
from harness.errors import GradingError
from harness.notebooks import files

ROOT = Path(__file__).parents[3]


def checks(folder: Path) -> dict[str, float]:
    """Return the points of each check in the sources of a course folder, by its code."""
    cells = [cell for path in sorted(folder.glob("source/*/*.ipynb")) for cell in files.read(path).cells]
    notes = [(cell.source, cell.metadata.get("nbgrader", {})) for cell in cells]
    return {source: note["points"] for source, note in notes if note.get("grade")}


def test_each_exercise_of_the_course_has_one_check_with_points(tmp_path):
    assert lay_out(ROOT, tmp_path, say=lambda line: None) == len(list(ROOT.glob("solutions/*.ipynb"))) + 1
    found = checks(tmp_path)
    assert list(found) == [f"check('{exercise.number}')" for exercise in exercises()]
    assert all(points >= 1 for points in found.values())


def test_no_cell_waits_for_a_grade_by_hand(tmp_path):
    lay_out(ROOT, tmp_path, say=lambda line: None)
    sources = list(tmp_path.glob("source/*/*.ipynb"))
    assert sources
    for path in sources:
        for cell in files.read(path).cells:
            note = cell.metadata.get("nbgrader", {})
            assert not (note.get("grade") and note.get("solution")) and not note.get("task")


def test_the_command_lays_out_a_folder_and_says_when_it_is_up_to_date(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["nbgrader", str(tmp_path / "course")]) == 0
    assert "01_first_task.ipynb" in capsys.readouterr().out
    assert main(["nbgrader", str(tmp_path / "course")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'course'} is up to date\n"


def test_without_solutions_the_command_says_where_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["nbgrader", "course"]) == 1
    assert "run this in the repository's top folder" in capsys.readouterr().err
    assert not (tmp_path / "course").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "source").write_text("in the way")
    with pytest.raises(GradingError, match="can't be made a course folder"):
        lay_out(ROOT, tmp_path, say=lambda line: None)


def test_every_edited_source_is_kept_under_a_name_of_its_own(tmp_path):
    source = tmp_path / "source" / "01" / "01_first_task.ipynb"
    said: list[str] = []
    for text in ("first edit", "second edit"):
        lay_out(ROOT, tmp_path, say=said.append)
        source.write_text(text)
    lay_out(ROOT, tmp_path, say=said.append)
    kept = list((tmp_path / "before" / "01").iterdir())
    assert sorted(path.read_text() for path in kept) == ["first edit", "second edit"]
    assert {f"wrote {path}" for path in kept} <= set(said)
    assert files.read(source).cells
