"""`export`: a learner's progress as JSON, with nothing about the learner."""

import getpass
import json
import socket
from pathlib import Path

import pytest

from harness.classroom.cli import main
from harness.course import progress_file
from harness.course.catalogue import exercises, small_exercises
from harness.course.progress_file import Progress
from harness.state import VARIABLE
from tests.support.desk import EXERCISES


@pytest.fixture(autouse=True)
def learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody who took a hint, failed once and solved 1.1."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ann" / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    monkeypatch.setattr(progress_file, "now", lambda: "2026-05-01T23:59:01Z")
    progress_file.next_hint("1.1", 3)
    progress_file.count_check("1.1")
    progress_file.mark_solved("1.1")
    return tmp_path / "ann"


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["export", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_export_says_what_was_solved_when_and_after_how_much(capsys):
    report = exported(capsys)
    assert {key: value for key, value in report.items() if "exercises" not in key} == {
        "schema": "taskqueue-course/progress",
        "schema_version": 1,
        "course_version": "1.0.0",
        "solved": 1,
        "of": len(list(exercises())),
    }
    assert report["exercises"][:2] == [
        {"number": "1.1", "title": "Queue it", "solved": True, "date": "2026-05-01", "checks": 2, "hints": 1},
        {"number": "1.2", "title": "Write the worker", "solved": False, "date": None, "checks": 0, "hints": 0},
    ]


def test_an_export_lists_every_exercise_and_nothing_that_is_none(capsys):
    progress_file.mark_solved("99.1")  # of a course that was
    assert [row["number"] for row in exported(capsys)["exercises"]] == [each.number for each in exercises()]


def test_an_export_lists_the_small_exercises_apart_and_does_not_count_them(capsys):
    progress_file.mark_solved("0.x")
    report = exported(capsys)
    assert report["solved"] == 1
    assert {row["number"]: row["solved"] for row in report["small_exercises"]}["0.x"] is True
    assert len(report["small_exercises"]) == len(list(small_exercises()))


def test_an_export_names_neither_user_nor_machine_nor_folder(capsys, learner):
    text = json.dumps(exported(capsys))
    for private in (getpass.getuser(), socket.gethostname(), str(learner), str(Path.home()), "23:59"):
        assert private not in text


def test_an_export_goes_to_a_file_and_over_an_earlier_one(capsys, learner):
    for solved in (1, 2):
        assert main(["export", "--output", str(learner / "a.json")]) == 0
        assert capsys.readouterr().out.startswith(f"{solved} of {EXERCISES} exercises solved; written to ")
        assert json.loads((learner / "a.json").read_text(encoding="utf-8"))["solved"] == solved
        progress_file.mark_solved("1.2")


@pytest.mark.parametrize("text", ["print()", '{"cells": []}', "[]", ""])
def test_an_export_overwrites_nothing_else(capsys, learner, text):
    (learner / "mine").write_text(text, encoding="utf-8")
    assert main(["export", "--output", str(learner / "mine")]) == 1
    assert "exists and isn't an earlier export" in capsys.readouterr().err
    assert (learner / "mine").read_text(encoding="utf-8") == text


def test_an_export_to_a_folder_that_is_not_there_says_so(capsys, learner):
    assert main(["export", "--output", str(learner / "no" / "a.json")]) == 1
    assert "doesn't exist" in capsys.readouterr().err


def test_progress_that_cannot_be_read_is_not_exported_as_none(capsys, learner, monkeypatch):
    monkeypatch.setattr(progress_file, "_session", Progress())
    (learner / "state" / "progress.json").write_text('{"version": 99}', encoding="utf-8")
    assert main(["export"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, "newer version of the course" in shown.err) == ("", True)
