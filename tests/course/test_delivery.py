"""A learner's copies are made, take new versions and start again, and nothing that the learner did is lost."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from harness.classroom.cli import main
from harness.course import delivery
from harness.course.catalogue import find_exercise
from harness.course.delivery import (
    CopyChange,
    DeliveredCopy,
    deliver,
    last_saved,
    put_back,
    save_answers,
    start_again,
    update,
)
from harness.course.workspace import read_answers
from harness.errors import CourseError
from harness.notebooks import files
from harness.notebooks.copies import is_untouched
from harness.notebooks.lint import markdown as lint_markdown
from tests.support.desk import Desk
from tests.support.isolation import ROOT
from tests.support.scratch import code, markdown, save

NOW = datetime(2026, 11, 24, 15, 12, 0)
LESSON, EXERCISES = "01a_lesson_first_task.ipynb", "01b_exercises_first_task.ipynb"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with one lesson, lesson 01, and its exercises."""
    publish(tmp_path, "a = 1")
    (tmp_path / "solutions").mkdir()
    shutil.copy(ROOT / "solutions" / "01_first_task.ipynb", tmp_path / "solutions")
    Desk(tmp_path, "01")
    for page in ("notebooks/GLOSSARY.md", "harness/FIDELITY.md", "notebooks/images/a.svg"):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text("[a](01_first_task.ipynb)", encoding="utf-8")
    return tmp_path


def publish(course: Path, source: str) -> None:
    """Write a version of lesson 01."""
    save(course / "notebooks" / "01_first_task.ipynb", markdown("# A"), code(source), code("b = 1"))


def edit(path: Path, change: Callable[[files.Notebook], None]) -> bytes:
    """Change a notebook as a learner does, and return what is saved."""
    notebook = files.read(path)
    change(notebook)
    path.write_text(files.dump(notebook), encoding="utf-8")
    return path.read_bytes()


def write_code(notebook: files.Notebook) -> None:
    notebook.cells[2].source = "b = 42"


def answer(text: str) -> Callable[[files.Notebook], None]:
    return lambda notebook: next(cell for cell in notebook.cells if cell.id == "ex1-1-answer").update(source=text)


def changes(found: list[DeliveredCopy]) -> dict[str, CopyChange]:
    return {each.path.name: each.change for each in found}


def sources(path: Path) -> list[str]:
    return [cell.source for cell in files.read(path).cells]


def test_the_first_delivery_makes_all_copies_and_the_next_one_changes_nothing(course):
    assert changes(deliver(course)) == {LESSON: CopyChange.MADE, EXERCISES: CopyChange.MADE}
    assert sorted(path.name for path in (course / "my-course").glob("[!.]*")) == [LESSON, EXERCISES, "course-pages"]
    assert (course / "my-course/course-pages/GLOSSARY.md").read_text() == f"[a](../{LESSON})"
    assert (course / "my-course/course-pages/images/a.svg").exists()
    before = {path: path.stat().st_mtime_ns for path in course.rglob("*.*")}
    assert deliver(course) == []
    assert {path: path.stat().st_mtime_ns for path in course.rglob("*.*")} == before


def test_copies_are_made_even_without_a_course_and_every_link_in_them_leads_to_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["copies"]) == 0
    folder = tmp_path / "my-course"
    made = sorted(path.name for path in folder.glob("*.ipynb"))
    assert capsys.readouterr().out == f"made {len(made)} notebooks in my-course\n"
    assert {"00a_lesson_welcome.ipynb", "07c_recap.ipynb", "08b_exercises_on_app_engine.ipynb"} < {*made}
    texts = [(path, cell.source) for path in folder.glob("*.ipynb") for cell in files.read(path).cells]
    texts += [(path, path.read_text(encoding="utf-8")) for path in folder.rglob("*.md")]
    links = [
        path.parent / target.partition("#")[0]
        for path, text in texts
        for target in lint_markdown.links(text)
        if not target.startswith(("http", "#"))
    ]
    assert len(links) > 200
    assert [link for link in links if not link.exists()] == []


def test_a_copy_that_was_not_changed_becomes_the_new_version(course):
    deliver(course)
    publish(course, "a = 2")
    assert changes(deliver(course)) == {LESSON: CopyChange.REPLACED}
    assert sources(course / "my-course" / LESSON) == ["# A", "a = 2", "b = 1"]
    assert not (course / "my-course" / "backups").exists()


@pytest.mark.parametrize("change", [write_code, lambda notebook: notebook.cells[1].update(execution_count=1)])
def test_a_new_version_of_a_changed_copy_is_offered_and_not_forced(course, change):
    deliver(course)
    copied = course / "my-course" / LESSON
    mine = edit(copied, change)
    assert deliver(course) == []
    publish(course, "a = 2")
    assert changes(deliver(course)) == {LESSON: CopyChange.OFFERED}
    assert copied.read_bytes() == mine


def test_an_update_takes_the_new_version_with_the_learners_code_and_keeps_the_old_copy(course):
    deliver(course)
    copied = course / "my-course" / LESSON
    mine = edit(copied, write_code)
    os.utime(copied, (1, 1))
    publish(course, "a = 2")
    [done] = update(course, [], NOW)
    assert (done.change, done.path) == (CopyChange.UPDATED, copied)
    assert done.backup == course / "my-course" / "backups" / "01a_lesson_first_task.2026-11-24-151200.ipynb"
    assert done.backup.read_bytes() == mine
    assert sources(copied) == ["# A", "a = 2", "b = 42"]
    assert copied.stat().st_mtime == 1
    assert update(course, [LESSON], NOW) == deliver(course) == []


def test_a_deleted_copy_is_made_again(course):
    deliver(course)
    (course / "my-course" / LESSON).unlink()
    assert changes(deliver(course)) == {LESSON: CopyChange.MADE}


def test_a_broken_copy_stays_until_it_is_started_again(course):
    deliver(course)
    copied = course / "my-course" / LESSON
    copied.write_text("{", encoding="utf-8")
    [found] = deliver(course)
    assert found.change is CopyChange.BROKEN
    assert "in the middle of the notebook" in found.trouble
    assert changes(update(course, [LESSON], NOW)) == {LESSON: CopyChange.BROKEN}
    assert copied.read_text(encoding="utf-8") == "{"
    done = start_again(course, f"my-course/{LESSON}", NOW)
    assert done.backup is not None
    assert done.backup.read_text(encoding="utf-8") == "{"
    assert is_untouched(files.read(copied))


def test_the_command_reports_a_broken_copy_once_and_the_offers_of_other_copies(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    deliver(course)
    edit(course / "my-course" / LESSON, write_code)
    publish(course, "a = 2")
    (course / "my-course" / EXERCISES).write_text("{", encoding="utf-8")
    assert main(["copies", "--update", EXERCISES]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(f"my-course/{EXERCISES} can't be read") == 1
    assert said.count(f"A new version of my-course/{LESSON} exists") == 1
    assert main(["copies", "--update"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(f"my-course/{EXERCISES} can't be read") == 1
    assert "A new version" not in said
    assert main(["copies"]) == 1


@pytest.mark.parametrize("name", ["zz.ipynb", "01_first_task.ipynb"])
def test_another_notebook_has_no_fresh_copy(course, name):
    with pytest.raises(CourseError, match=f"isn't a notebook of my-course/; its notebooks are {LESSON}"):
        start_again(course, name, NOW)


def test_answers_in_exercises_are_in_the_first_copy(course):
    desk = Desk.__new__(Desk)
    desk.folder, desk.exercises = course, course / "exercises"
    desk.solve("1.2")
    os.utime(desk.path("01"), (5, 5))
    deliver(course)
    exercise = find_exercise("1.2")
    answers = dict(read_answers(course, [exercise]))
    assert answers[exercise].files["controllers/ex1_2.py"].count("YOUR CODE") == 0
    assert "(01a_lesson_first_task.ipynb)" in sources(course / "my-course" / EXERCISES)[0]
    assert last_saved(course).name == EXERCISES


def test_the_first_copy_has_the_courses_newest_cells_and_the_learners_own(course):
    answered = course / "exercises" / "01_first_task.ipynb"
    titles = [cell.source for cell in files.read(course / "solutions" / "01_first_task.ipynb").cells]

    def of_an_earlier_version(notebook: files.Notebook) -> None:
        notebook.metadata["course_stub"] = "an earlier version"
        notebook.cells[0].source, notebook.cells[1].source, notebook.cells[3].source = "# Old", "old()", "an answer"

    edit(answered, of_an_earlier_version)
    deliver(course)
    made = sources(course / "my-course" / EXERCISES)
    assert (made[1], made[3]) == (titles[1], "an answer")
    assert made[0] not in ("# Old", titles[0])


def test_the_first_copy_on_another_computer_has_the_notes_that_were_saved(course):
    answered = course / "exercises" / "01_first_task.ipynb"
    edit(answered, lambda notebook: notebook.cells[2].update(source="My note"))
    deliver(course)
    made = sources(course / "my-course" / EXERCISES)
    assert made[2] == "My note"
    assert "(01a_lesson_first_task.ipynb)" in made[0]


def test_a_broken_notebook_in_exercises_gives_a_fresh_copy_and_a_message(course):
    (course / "exercises" / "01_first_task.ipynb").write_text("{", encoding="utf-8")
    made = next(each for each in deliver(course) if each.path.name == EXERCISES)
    assert is_untouched(files.read(made.path))
    assert "exercises/01_first_task.ipynb" in made.trouble


def test_answers_are_saved_in_exercises_with_a_backup_of_other_answers(course):
    deliver(course)
    assert save_answers(course, NOW) == []
    copied = course / "my-course" / EXERCISES

    edit(copied, answer("%%controller ex1_1\nmine = 1"))
    [saved] = save_answers(course, NOW)
    assert (saved.change, saved.backup) == (CopyChange.SAVED, None)
    assert "%%controller ex1_1\nmine = 1" in sources(saved.path)
    assert sources(saved.path)[0] == sources(course / "solutions" / "01_first_task.ipynb")[0]
    before = saved.path.read_bytes()
    edit(copied, answer("%%controller ex1_1\nmine = 2"))
    [again] = save_answers(course, NOW)
    assert again.backup is not None
    assert again.backup.read_bytes() == before
    assert save_answers(course, NOW) == []


def test_saved_answers_keep_a_note_in_a_text_that_contains_links(course):
    deliver(course)
    copied = course / "my-course" / EXERCISES
    edit(copied, lambda notebook: notebook.cells[0].update(source=f"{notebook.cells[0].source}\n\nMy note"))
    [saved] = save_answers(course, NOW)
    assert "My note" in sources(saved.path)[0]
    assert sources(saved.path)[-1] == sources(course / "solutions" / "01_first_task.ipynb")[-1]


def test_an_untouched_copy_replaces_no_answers(course):
    deliver(course)
    answered = course / "exercises" / "01_first_task.ipynb"
    kept = edit(answered, lambda notebook: notebook.cells[2].update(source="an answer from another computer"))
    assert save_answers(course, NOW) == []
    assert answered.read_bytes() == kept


def test_newer_answers_in_exercises_are_replaced_only_by_force(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    answered, copied = course / "exercises" / "01_first_task.ipynb", course / "my-course" / EXERCISES
    edit(answered, answer("%%controller ex1_1\nfirst = 1"))
    deliver(course)
    edit(copied, answer("%%controller ex1_1\nmine = 1"))
    assert changes(save_answers(course, NOW)) == {answered.name: CopyChange.SAVED}, "it contained the copy's answers"
    newer = edit(answered, answer("%%controller ex1_1\npulled = 1"))
    assert main(["answers"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("exercises/01_first_task.ipynb may contain newer answers, for example from another computer")
    assert said.endswith("answers --force")
    assert answered.read_bytes() == newer
    [saved] = save_answers(course, NOW, force=True)
    assert saved.backup is not None
    assert saved.backup.read_bytes() == newer
    assert "%%controller ex1_1\nmine = 1" in sources(answered)
    assert save_answers(course, NOW) == []


def test_equal_answers_in_exercises_count_as_those_of_the_copy(course):
    deliver(course)
    edit(course / "my-course" / EXERCISES, answer("mine = 1"))
    save_answers(course, NOW)
    (course / "my-course" / ".answers.json").write_text("[", encoding="utf-8")
    assert save_answers(course, NOW) == []
    edit(course / "my-course" / EXERCISES, answer("mine = 2"))
    assert list(changes(save_answers(course, NOW)).values()) == [CopyChange.SAVED]


def test_answers_replace_a_file_that_is_not_utf_8_only_by_force_and_with_a_backup(course):
    deliver(course)
    damaged = b"\xff\xfe{"
    (course / "exercises" / "01_first_task.ipynb").write_bytes(damaged)
    edit(course / "my-course" / EXERCISES, lambda notebook: notebook.cells[1].update(source="mine"))
    [kept] = save_answers(course, NOW)
    assert kept.change is CopyChange.KEPT
    assert "exercises/01_first_task.ipynb" in kept.trouble
    [saved] = save_answers(course, NOW, force=True)
    assert saved.backup is not None
    assert saved.backup.read_bytes() == damaged


def test_a_copy_that_is_saved_while_a_new_version_arrives_stays(course, monkeypatch):
    deliver(course)
    copied = course / "my-course" / LESSON
    publish(course, "a = 2")
    dump = files.dump

    def save_meanwhile(notebook: files.Notebook) -> str:
        copied.write_text("saved by JupyterLab", encoding="utf-8")
        return dump(notebook)

    monkeypatch.setattr(files, "dump", save_meanwhile)
    assert LESSON not in changes(deliver(course))
    assert copied.read_text(encoding="utf-8") == "saved by JupyterLab"


def test_a_folder_among_the_pictures_is_not_copied(course):
    (course / "notebooks" / "images" / ".ipynb_checkpoints").mkdir()
    assert changes(deliver(course))[LESSON] == CopyChange.MADE


def test_the_course_goes_on_with_the_copy_that_was_saved_last(course):
    deliver(course)
    assert last_saved(course).name == LESSON
    os.utime(course / "my-course" / EXERCISES, (2_000_000_000, 2_000_000_000))
    assert last_saved(course).name == LESSON, "a copy that was only made isn't the learner's work"
    edit(course / "my-course" / EXERCISES, lambda notebook: notebook.cells[1].update(source="mine"))
    assert last_saved(course).name == EXERCISES
    (course / "my-course" / EXERCISES).write_text("{", encoding="utf-8")
    assert last_saved(course).name == LESSON


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(course):
    (course / "my-course").write_text("a file", encoding="utf-8")
    with pytest.raises(CourseError, match=r"my-course can't be written: .*\. Go to a folder of your own"):
        deliver(course)


def test_a_crash_in_the_middle_leaves_no_part_of_a_copy(course, monkeypatch):
    deliver(course)
    copied = course / "my-course" / LESSON
    mine = edit(copied, write_code)
    publish(course, "a = 2")
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        update(course, [], NOW)
    assert copied.read_bytes() == mine
    assert [path.name for path in copied.parent.glob(".*.draft")] == []


def test_a_reset_of_an_exercise_waits_for_other_commands_and_takes_the_stub_of_its_course(course, monkeypatch):
    solution = course / "solutions" / "01_first_task.ipynb"
    edit(solution, answer("%%controller ex1_1\nnewer = 1"))
    deliver(course)
    copied = course / "my-course" / EXERCISES
    edit(copied, answer("%%controller ex1_1\nmine = 1"))
    monkeypatch.setattr(delivery, "_PATIENCE", 0)
    with delivery.locked(course / "my-course" / ".lock"), pytest.raises(CourseError, match="Another command is"):
        list(put_back(course, [find_exercise("1.1")], NOW))
    [done] = put_back(course, [find_exercise("1.1")], NOW)
    assert done.backup is not None
    assert "%%controller ex1_1\nnewer = 1" in sources(copied)
    assert is_untouched(files.read(copied))


def test_two_deliveries_at_once_make_whole_copies(course):
    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(len, pool.map(deliver, [course, course]))) == [0, 2]
    assert all(is_untouched(files.read(course / "my-course" / name)) for name in (LESSON, EXERCISES))


def test_the_commands_report_what_happened_and_what_to_do(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert main(["copies"]) == 0
    assert capsys.readouterr().out == "made 2 notebooks in my-course\n"
    edit(course / "my-course" / LESSON, write_code)
    publish(course, "a = 2")
    assert main(["copies"]) == 0
    offer = " ".join(capsys.readouterr().out.split())
    assert offer.startswith(f"A new version of my-course/{LESSON} exists. To take it and keep your code: ")
    assert offer.endswith(f"taskqueue-course copies --update {LESSON}")
    assert main(["copies", LESSON]) == 2
    assert "only with --update" in capsys.readouterr().err
    assert main(["copies", "--update", LESSON]) == 0
    assert " ".join(capsys.readouterr().out.split()).startswith(
        f"my-course/{LESSON} has been updated to the new version of the course, with your code; "
        "backup: my-course/backups/01a_"
    )
    assert main(["copies", "--update"]) == 0
    assert capsys.readouterr().out == "all copies in my-course are up to date\n"
    assert main(["reset", LESSON]) == 0
    assert "is now a fresh copy; backup: my-course/backups/" in " ".join(capsys.readouterr().out.split())
    assert sources(course / "my-course" / LESSON) == ["# A", "a = 2", "b = 1"]
    assert main(["answers"]) == 0
    assert capsys.readouterr().out == "exercises/ already contains your answers\n"
