"""Scaffold a new exercise in the three places where an exercise is written.

The scaffold is a small exercise that works: its stub is not attempted, its solution passes, and each of its wrong
answers gets its diagnosis. Every text that the author has to replace contains the word TODO, which the linter and
`tests/course/test_exercises.py` report until it is gone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.course.catalogue import lessons
from harness.course.exercise import Lesson
from harness.errors import CourseError
from harness.notebooks import files
from harness.notebooks.files import Cell, Node

TODO = "TODO"
_ANSWERS = Path("tests", "answers")
_LESSONS = Path("harness", "course", "lessons")

_TEXT = """\
## {number} TODO a title

TODO the story in two sentences.

**It works when** a visit to `save` leaves one task, and after the task ran there is one row in `mytable` whose `new` is
the text of the visit. About 1 line."""

_SOLUTION = """\
%%controller ex{name}
def save():
    from google.appengine.api import taskqueue
    ### BEGIN SOLUTION
    taskqueue.add(url=URL('work'), params=dict(text=request.vars['text']))
    ### END SOLUTION
    return 'Saved.'

def work():
    db.mytable.insert(old='{number}', new=request.vars['text'])"""

_TOML = """

[exercises."{number}"]
title = "TODO a title"
files = ["controllers/ex{name}.py"]
fill = "`save` in the cell `%%controller ex{name}`"
hints = [
    "TODO the idea, as a question.",
    "TODO the place, as a question.",
    "TODO nearly the code, as a question.",
]
proves = "TODO what a correct answer shows."
then = "TODO what to try next."

[exercises."{number}".mistakes.not-queued]
says = "TODO No task is in the queue after the visit."
reread = "{heading}"

[exercises."{number}".mistakes.called-directly]
says = "TODO The row is written during the visit, so the user waits for it."
reread = "{heading}"

[exercises."{number}".mistakes.fixed-values]
says = "TODO The worker doesn't write the text of the visit."
reread = "{heading}"
"""

_CHECK = """\
def _check_{name}(trial: Trial) -> None:
    for text in ("Ferry late", "Nächtlicher Nebel & Wind"):
        before = trial.rows("mytable", "new")
        trial.get("ex{name}/save", text=text)
        trial.expect(
            trial.rows("mytable", "new") == before,
            "called-directly",
            happened="a new row was in mytable before any task ran",
            expected="a task in the queue, and no new row yet",
        )
        task = trial.one_task(missing="not-queued")
        trial.succeed(trial.step())
        new = trial.rows("mytable", "new")[len(before) :]
        trial.expect(
            new == [(text,)],
            "fixed-values",
            happened=f"the task for {{task.url}} wrote {{new or 'no row'}}",
            expected=f"one row, {{(text,)}}",
        )


"""

_BANK = """\
=== not-queued: makes a task and doesn't add it
taskqueue.Task(url=URL('work'), params=dict(text=request.vars['text']))
=== called-directly: calls the worker
work()
=== fixed-values: sends a text of its own
taskqueue.add(url=URL('work'), params=dict(text='Ferry late'))
=== right: a Task object
taskqueue.Task(url=URL('work'), params={'text': request.vars['text']}).add()
=== right: a Queue object
taskqueue.Queue('default').add(taskqueue.Task(url=URL('work'), params=dict(text=request.vars['text'])))
"""


def scaffold(root: Path, number: str) -> list[Path]:
    """Write a new exercise to edit.

    Args:
        root: the repository.
        number: "2.6", the number after the last exercise of its lesson.

    Returns:
        The files that were written, relative to `root`.

    Raises:
        CourseError: the number isn't the next one of a lesson, or a file to write exists or can't be changed.
        NotebookError: the solution notebook can't be read.
    """
    lesson = _lesson_of(number)
    notebook = next(iter(sorted((root / "solutions").glob(f"{lesson.number}_*.ipynb"))), None)
    if notebook is None:
        raise CourseError(f"{root} has no solutions of lesson {lesson.number}; run this in the repository's top folder")
    code, words = (root / _LESSONS / f"lesson{lesson.number}.{kind}" for kind in ("py", "toml"))
    bank = root / _ANSWERS / f"{number}.txt"
    if bank.exists():
        raise CourseError(f"{bank.relative_to(root)} exists; remove it or choose another number")
    names = {"number": number, "name": number.replace(".", "_"), "heading": _heading(root, lesson)}
    texts = {
        notebook: files.dump(_with_cells(files.read(notebook), names)),
        code: _with_check(code.read_text(encoding="utf-8"), names),
        words: words.read_text(encoding="utf-8").rstrip("\n") + _TOML.format(**names),
        bank: _BANK,
    }
    for path, text in texts.items():
        files.write(path, text)
    return [path.relative_to(root) for path in texts]


def _lesson_of(number: str) -> Lesson:
    known = {f"{int(each.number)}.{len(each.exercises) + 1}": each for each in lessons() if each.exercises}
    if number not in known:
        raise CourseError(f"{number!r} isn't the next exercise of a lesson; the next ones are {', '.join(known)}")
    return known[number]


def _heading(root: Path, lesson: Lesson) -> str:
    """Return the first section of the lesson, for `reread` to begin with."""
    path = next((root / "notebooks").glob(f"{lesson.number}_*.ipynb"))
    sources = (cell.source for cell in files.read(path).cells if cell.cell_type == "markdown")
    return str(next(line[3:] for source in sources for line in source.splitlines() if line.startswith("## ")))


def _with_cells(notebook: files.Notebook, names: dict[str, str]) -> files.Notebook:
    """Insert the cells of the exercise before the last cell, which links to the next lesson."""
    name = names["name"]
    number = names["number"]
    cells = [
        _cell("markdown", f"ex{name}", _TEXT.format(**names)),
        _cell("code", f"ex{name}_answer", _SOLUTION.format(**names), solution=True),
        _cell("code", f"ex{name}_check", f"check('{number}')", grade=True),
    ]
    notebook.cells[-1:-1] = cells
    return notebook


def _cell(kind: str, name: str, source: str, *, solution: bool = False, grade: bool = False) -> Cell:
    cell: dict[str, Any] = {"cell_type": kind, "id": name.replace("_", "-"), "metadata": {}, "source": source}
    if kind == "code":
        grading: dict[str, Any] = {
            "grade": grade,
            "grade_id": name,
            "locked": grade,
            "schema_version": 3,
            "solution": solution,
        }
        grading |= {"task": False} | ({"points": 1} if grade else {})
        cell |= {"execution_count": None, "metadata": {"nbgrader": grading}, "outputs": []}
    return Node(cell)


def _with_check(source: str, names: dict[str, str]) -> str:
    """Insert the check function before `RUNS`, and its entry as the last one of `RUNS`."""
    runs = next((node for node in ast.parse(source).body if ast.unparse(node).startswith("RUNS = {")), None)
    if not isinstance(runs, ast.Assign) or not isinstance(runs.value, ast.Dict):
        raise CourseError("the lesson's module has no dict RUNS; add the check by hand")
    entries = [f'    "{ast.literal_eval(key)}": {ast.unparse(run)},' for key, run in _items(runs.value)]
    entries.append(f'    "{names["number"]}": _check_{names["name"]},')
    lines = source.splitlines()
    before, after = lines[: runs.lineno - 1], lines[runs.end_lineno :]
    return "\n".join([*before, _CHECK.format(**names), "RUNS = {", *entries, "}", *after]) + "\n"


def _items(mapping: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    return ((key, value) for key, value in zip(mapping.keys, mapping.values, strict=True) if key is not None)
