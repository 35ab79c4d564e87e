"""What a learner sees in an open notebook: cards with links, and no verdict on code that isn't on the screen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from harness import Lab, check, hint, progress, solution
from harness.appengine import written_files
from harness.course import api, progress_file
from harness.course.cards import next_exercise, verdict_card
from harness.course.catalogue import exercise_notebook, exercises, find_exercise, lesson_notebook, solution_cells
from harness.course.open_notebook import counts, exercise_link, section_link, stale_verdict
from harness.course.progress_file import Progress
from harness.course.verdict import CheckOutcome, Verdict, wrap
from harness.errors import CheckError, CourseError
from harness.notebooks import session
from harness.state import VARIABLE
from tests.support.scratch import code, save
from tests.support.shells import Shell, ipython
from tests.support.shown import Shown

HERE, LESSON = "01b_exercises_first_task.ipynb", "01a_lesson_first_task.ipynb"
CALL = "taskqueue.add(url=URL('log_edit'), params=dict(old=old, new=new))"
STUB = """%%controller ex1_1
def save():
    from google.appengine.api import taskqueue
    old, new = request.vars['old'], request.vars['new']
    ...
    return 'Saved.'

def log_edit():
    db.mytable.insert(old=request.vars['old'], new=request.vars['new'])"""
RIGHT, WRONG = STUB.replace("...", CALL), STUB.replace("...", "log_edit()")


class OpenNotebook:
    """A notebook in the learner's folder that is open in a front end.

    Args:
        path: the notebook's path.
        shell: the shell of its kernel.
    """

    def __init__(self, path: Path, shell: Shell) -> None:
        self.path = path
        self.shell = shell
        self.shown: list[tuple[str, str]] = []  # HTML and text

    def run(self, source: str) -> int:
        """Run a cell, and return its execution count."""
        count = self.shell.shell.execution_count
        self.shell.run(*source.splitlines())
        return count

    def save(self, *cells: Any, later: int = 1) -> None:
        """Save cells a number of seconds after the last run of a cell."""
        save(self.path, *cells)
        (run,) = session.cell_runs().values()
        os.utime(self.path, ns=(0, run.at + later * 1_000_000_000))

    def check(self, number: str = "1.1") -> str:
        """Check an exercise, and return the text of the card."""
        check(number)
        return self.shown[-1][1]

    @property
    def stale(self) -> str:
        """Return the text of the verdict if exercise 1.1 wouldn't be judged, or ""."""
        exercise = find_exercise("1.1")
        verdict = stale_verdict(exercise, api._learners_files(exercise), self.path)
        return verdict.text if verdict else ""

    @property
    def html(self) -> str:
        return self.shown[-1][0]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with an open lab."""
    with ipython(tmp_path_factory.mktemp("ipython")) as shell:
        shell.run("%load_ext harness", "from harness import Lab", "lab = Lab()")
        yield shell
        shell.run("lab.close()")


@pytest.fixture
def notebook(kernel: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenNotebook:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    monkeypatch.setattr(written_files, "_written", {})
    monkeypatch.setattr(session, "_runs", {})
    monkeypatch.setattr(session, "_shell", lambda: kernel.shell)
    folder = tmp_path / "my-course"
    folder.mkdir()
    for name in (HERE, LESSON):
        (folder / name).touch()
    opened = OpenNotebook(folder / HERE, kernel)
    monkeypatch.setattr(api, "notebook_path", lambda: opened.path)
    monkeypatch.setattr(api, "_display", lambda *shown: opened.shown.append(shown))
    return opened


def links(html: str) -> dict[str, str]:
    """Return the target of each link, by its text."""
    return {text: unquote(href) for href, text in re.findall(r'<a href="([^"]+)">([^<]+)</a>', html)}


def test_a_failing_check_shows_a_card_with_the_facts_and_raises_nothing(notebook: OpenNotebook) -> None:
    notebook.run(WRONG)
    text = notebook.check()
    shown = Shown(notebook.html).text
    assert "✗ 1.1 not right yet." in " ".join(shown.split())
    assert "Stuck?" in shown
    facts = dict(re.findall(r'<th scope="row"[^>]*>([^<]+)</th><td[^>]*>(.*?)</td>', notebook.html))
    assert list(facts) == ["We called", "What happened", "Expected", "Diagnosis", "Reread"]
    mistake = find_exercise("1.1").mistakes["called-directly"]
    assert Shown(facts["Diagnosis"]).text.strip() == mistake.says
    (target,) = links(notebook.html).values()
    name, _, cell = target.partition("#cell-id=")
    assert name == LESSON
    (section,) = [each for each in lesson_notebook("01").cells if each.id == cell]
    assert f"## {mistake.reread}" in section.source
    assert text.startswith("1.1 not right yet.")
    assert "<" not in text


def test_a_correct_answer_links_to_the_next_unsolved_exercise(notebook: OpenNotebook) -> None:
    progress_file.mark_solved("1.2")
    notebook.run(RIGHT)
    assert notebook.check().startswith("1.1 correct: ")
    assert links(notebook.html) == {f"1.3 {find_exercise('1.3').title}": f"{HERE}#cell-id=ex1-3"}
    following = next_exercise(frozenset(), find_exercise("2.5"))
    assert following is find_exercise("3.1")
    for exercise in exercises():
        progress_file.mark_solved(exercise.number)
    notebook.check()
    assert "All exercises of the course are solved." in notebook.html


def test_an_exercise_within_a_lesson_has_a_card_without_a_next_exercise(notebook: OpenNotebook) -> None:
    within = replace(find_exercise("1.1"), number="1.x")
    verdict = Verdict("1.x", CheckOutcome.CORRECT, 'It works. Try hint("1.x").')
    html = verdict_card(verdict, within, notebook.path, frozenset())
    assert "✓ 1.x correct: It works." in " ".join(Shown(html).text.split())
    assert "<code>hint(&quot;1.x&quot;)</code>" in html
    assert links(html) == {}
    assert wrap(f'{"word " * 15}solution("1.x", give_up=True)').splitlines()[-1] == 'solution("1.x", give_up=True)'


def test_a_learners_code_is_text_in_a_card(notebook: OpenNotebook) -> None:
    notebook.run(WRONG.replace("log_edit()", "raise ValueError('<b>`x`</b>')", 1))
    notebook.check()
    assert "! 1.1 error in your code." in " ".join(Shown(notebook.html).text.split())
    assert "&lt;b&gt;" in notebook.html
    assert "<b>" not in notebook.html


def test_a_syntax_error_keeps_its_lines_in_a_card(notebook: OpenNotebook) -> None:
    notebook.run(WRONG.replace("log_edit()", "log_edit((1 <b> 2", 1))
    assert "1.1 error in your code" in notebook.check()
    (block,) = re.findall(r"<pre[^>]*>(.*?)</pre>", notebook.html, re.DOTALL)
    assert "log_edit((1 &lt;b&gt; 2" in block
    assert block.endswith("^")


def test_hints_are_cards(notebook: OpenNotebook) -> None:
    for _ in range(2):
        hint("1.1")
    html, text = notebook.shown[-1]
    assert text.startswith("Hint 2 of 3: ")
    assert text.replace("`", "").split() == Shown(html).text.split()[1:]


def test_a_solution_is_a_card_with_coloured_code_and_before_that_a_card_explains(notebook: OpenNotebook) -> None:
    solution("1.2")
    assert "1.2 is not solved yet." in Shown(notebook.html).text
    with pytest.raises(CourseError, match="no exercise"):
        solution("9.9", give_up=True)
    for exercise in exercises():
        solution(exercise.number, give_up=True)
        shown = unescape(re.sub("<[^>]+>", "", notebook.html))
        for source in solution_cells(exercise).values():
            assert all(line in shown for line in source.splitlines() if "### " not in line)
        assert exercise.explains.replace("`", "") in shown
        assert "editor-keyword-color" in notebook.html or exercise.number == "5.3"


def test_progress_links_to_the_next_exercise_and_its_text_has_the_same_facts(notebook: OpenNotebook) -> None:
    progress_file.mark_solved("1.1")
    table = progress()
    title = f"1.2 {find_exercise('1.2').title}"
    assert links(table._repr_html_()) == {title: f"{HERE}#cell-id=ex1-2"}
    assert str(table).endswith(f"\nNext: {title}")
    assert "■□□□" in table._repr_html_()
    assert "1 of 4" in table._repr_html_()


@pytest.mark.parametrize("folder", ["notebooks", "exercises", "solutions"])
def test_from_a_notebook_of_the_course_links_lead_to_the_course(folder: str, tmp_path: Path) -> None:
    for path in ("notebooks/01_first_task.ipynb", "exercises/01_first_task.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    opened = tmp_path / folder / "01_first_task.ipynb"
    up = {"notebooks": "../exercises/", "exercises": "", "solutions": "../exercises/"}[folder]
    assert exercise_link(opened, find_exercise("1.2")) == f"{up}01_first_task.ipynb#cell-id=ex1-2"
    assert section_link(opened, "01", "Put it in the queue").endswith("01_first_task.ipynb#cell-id=queue")
    assert section_link(opened, "02", "In this lesson you will") == ""  # the lesson was deleted
    assert section_link(tmp_path / "elsewhere" / "mine.ipynb", "01", "Put it in the queue") == ""
    assert section_link(opened, "77", "No such lesson") == ""


def test_every_exercise_and_every_section_to_reread_has_a_link(tmp_path: Path) -> None:
    for exercise in exercises():
        for kind in ("a_lesson", "b_exercises"):
            name = exercise_file_name(exercise.lesson)
            (tmp_path / f"{exercise.lesson}{kind}_{name}").touch()
    opened = tmp_path / HERE
    for exercise in exercises():
        cells = exercise_notebook(exercise.lesson).cells
        cell = exercise_link(opened, exercise).partition("#cell-id=")[2]
        assert next(each for each in cells if each.id == cell).source.startswith(f"## {exercise.number} ")
        for mistake in exercise.mistakes.values():
            assert "#cell-id=" in section_link(opened, mistake.lesson or exercise.lesson, mistake.reread)


def exercise_file_name(lesson: str) -> str:
    from harness.course.catalogue import exercise_file

    return exercise_file(lesson).partition("_")[2]


EDITED = "1.1 edited after it last ran. Run the cell `%%controller ex1_1`, and then check again."
INDENTED = WRONG.replace("    return", "        return")


@pytest.mark.parametrize(
    ("cells", "later", "edited"),
    [
        (lambda count: [code(RIGHT, count=count)], 1, True),
        (lambda count: [code(INDENTED, count=count)], 1, True),
        (lambda count: [code(STUB, count=None), code(RIGHT, count=count)], 1, True),
        (lambda count: [code(WRONG, count=count)], 1, False),
        (lambda count: [code(f"# mine\n\n{WRONG}  \n\n", count=count)], 1, True),  # the comment is a line of the file
        (lambda count: [code(f"{WRONG}  \n\n", count=count)], 1, False),
        (lambda count: [code(RIGHT, count=count)], -1, False),  # saved before the cell ran
        (lambda count: [code(RIGHT, count=count + 5)], 1, False),  # another kernel's count
        (lambda count: [code(RIGHT, count=None)], 1, False),  # perhaps never saved after it ran
        (lambda count: [code(WRONG, count=None), code(RIGHT, count=count)], 1, False),
        (lambda count: [code("check('1.1')", count=count)], 1, False),  # the cell was deleted
        (lambda count: [code("%%controller", count=count), code("%%controller ex1_2\n", count=count)], 1, False),
        (lambda count: [], 1, False),
    ],
)
def test_a_cell_that_was_edited_and_saved_after_it_ran_is_not_judged(
    notebook: OpenNotebook, cells: Callable[[int], list[Any]], later: int, edited: bool
) -> None:
    notebook.save(*cells(notebook.run(WRONG)), later=later)
    assert notebook.stale == (EDITED if edited else "")


def test_an_edited_cell_is_judged_again_after_it_ran(notebook: OpenNotebook) -> None:
    notebook.save(code(RIGHT, count=notebook.run(WRONG)))
    assert notebook.check() == EDITED
    assert progress_file.saved_entries() == {}
    notebook.save(code(RIGHT, count=notebook.run(RIGHT)))
    assert notebook.check().startswith("1.1 correct")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"nbformat": 4, "cells": [1], "metadata": {}}', 50_000_000])
def test_a_notebook_that_cannot_be_compared_does_not_stop_a_check(
    notebook: OpenNotebook, content: str | int | None
) -> None:
    notebook.run(WRONG)
    notebook.path.unlink()
    if isinstance(content, str):
        notebook.path.write_text(content, encoding="utf-8")
    elif content:
        with notebook.path.open("wb") as file:
            file.truncate(content)
    assert notebook.stale == ""


REFUSED = {
    "no lab": (["lab.close()", RIGHT], "no lab is open"),
    "option": ([RIGHT.replace("ex1_1", "ex1_1 --ap stats")], "has no option '--ap'"),
    "suffix": ([RIGHT.replace("ex1_1", "ex1_1.py")], "without .py"),
    "code above": ([f"x = 1\n{RIGHT}"], "has code above it"),
    "application": ([RIGHT.replace("ex1_1", "ex1_1 --app tutorial --app x")], "needs one application name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_earlier_text_is_not_judged_after_its_cell_failed(notebook: OpenNotebook, case: str) -> None:
    cells, says = REFUSED[case]
    notebook.run(WRONG)
    for cell in cells:
        notebook.run(cell)
    text = " ".join(notebook.stale.split())
    assert text.startswith("1.1 error in your code. The cell `%%controller ex1_1` raised an error")
    assert says in text
    notebook.run("lab = Lab() if lab.closed else lab")
    notebook.run(RIGHT)
    assert notebook.stale == ""


def test_a_file_that_code_wrote_after_a_cell_failed_is_judged(notebook: OpenNotebook, lab: Lab) -> None:
    notebook.run(RIGHT.replace("ex1_1", "ex1_1.py"))
    lab.write("controllers/ex1_1.py", RIGHT.partition("\n")[2])
    assert notebook.stale == ""


def test_a_failed_cell_is_reported_in_a_terminal_too(notebook: OpenNotebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "notebook_path", lambda: None)
    notebook.run(RIGHT)
    notebook.run(RIGHT.replace("ex1_1", "ex1_1.py"))
    with pytest.raises(CheckError, match="raised an error, so its"):
        check("1.1")


def test_an_exercise_that_was_solved_earlier_is_not_called_not_attempted(
    notebook: OpenNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notebook.check().startswith("1.1 not attempted. Run the cell `%%controller ex1_1` first.")
    progress_file.mark_solved("1.1")
    notebook.run("lab.close()")
    text = notebook.check()
    assert text.startswith("1.1 solved earlier, not run in this kernel. To check it again, run the cell")
    assert "✓" in notebook.html
    assert links(notebook.html) == {f"1.2 {find_exercise('1.2').title}": f"{HERE}#cell-id=ex1-2"}
    assert progress_file.saved_entries()["1.1"].checks == 1
    notebook.run("lab = Lab() if lab.closed else lab")
    notebook.run(STUB)
    assert notebook.check().startswith("1.1 not attempted. Fill `save`")
    monkeypatch.setattr(written_files, "_written", {})
    monkeypatch.setattr(api, "notebook_path", lambda: None)
    with pytest.raises(CheckError, match="not attempted"):  # progress doesn't change the verdict of nbval
        check("1.1")


@pytest.mark.parametrize(
    ("path", "number", "counted"),
    [
        (None, "1.1", True),
        ("course/exercises/01_first_task.ipynb", "1.1", True),
        ("course/my-course/01b_exercises_first_task.ipynb", "2.1", True),
        ("course/my-course/01a_lesson_first_task.ipynb", "1.1", True),
        ("course/notebooks/01_first_task.ipynb", "1.1", True),
        ("home/mine.ipynb", "1.1", True),
        ("course/solutions/01_first_task.ipynb", "1.1", False),
        ("course/notebooks/00_welcome.ipynb", "1.1", False),
        ("course/my-course/00a_lesson_welcome.ipynb", "1.1", False),
    ],
)
def test_checks_in_solutions_and_in_demonstrations_do_not_count(
    notebook: OpenNotebook, monkeypatch: pytest.MonkeyPatch, path: str | None, number: str, counted: bool
) -> None:
    opened = notebook.path.parent / path if path else None
    assert counts(opened, find_exercise(number)) is counted
    monkeypatch.setattr(api, "notebook_path", lambda: opened)
    monkeypatch.setattr(api, "_verdict", lambda exercise, _: api.Verdict(exercise.number, api.CheckOutcome.CORRECT))
    check(number)
    hint(number)
    entries = progress_file.saved_entries()
    assert (entries[number].checks, entries[number].hints) == (1, 1) if counted else entries == {}


def test_a_program_that_runs_the_solutions_solves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, counted in (("solutions", False), ("exercises", True)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert counts(None, find_exercise("1.1")) is counted


def test_the_newest_cell_counts_if_two_cells_name_the_application_differently(notebook: OpenNotebook) -> None:
    named = RIGHT.replace("ex1_1", "ex1_1 --app tutorial")
    for source in (WRONG, named, named.replace("ex1_1 ", "ex1_1.py "), RIGHT):
        notebook.run(source)
    assert notebook.stale == ""
    notebook.run(named.replace("tutorial", "tutorial --app tutorial"))
    assert "raised an error" in notebook.stale


def test_a_card_is_published_as_html_and_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda *data, raw: published.append((data, raw)))
    api._display("<p>", "text")
    assert published == [(({"text/html": "<p>", "text/plain": "text"},), True)]
