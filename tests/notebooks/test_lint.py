"""The notebook linter: each rule passes and fails, and the course itself passes."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat import from_dict

from harness.classroom.cli import main
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.lint import RULES, NotebookPage, lesson_rules, lint, markdown
from harness.notebooks.lint import exercise_rules as rules_for_exercises
from harness.notebooks.lint.page import Found
from harness.notebooks.normal_form import normalise, with_slides
from harness.notebooks.stubs import DIGEST, to_exercise
from tests.support.labs import shell
from tests.support.scratch import Cell, code, display, notebook, result
from tests.support.scratch import markdown as text_cell

ROOT = Path(__file__).parents[2]
WORDS = "The queue keeps the task until its worker has done it. " * 3
GOALS = """\
# 01 First

{line}

In this lesson you will

- add a [task](GLOSSARY.md#task),
- write a [worker](GLOSSARY.md#worker),
- read a trace.

You need some Python, and no [queue](GLOSSARY.md#queue). **30 minutes.**"""
WRAP_UP = """\
## What you have learned

In this lesson you

- added a task.

Three things to remember:

1. A task is a URL.
2. A worker is a function.
3. 200 means done.

{line}"""
LINES = {
    "notebooks/01_first.ipynb": "Next: [exercises 01](../exercises/01_first.ipynb)",
    "solutions/01_first.ipynb": "Previous: [lesson 01](../notebooks/01_first.ipynb) · "
    "Next: [lesson 02](../notebooks/02_second.ipynb)",
    "notebooks/02_second.ipynb": "Previous: [exercises 01](../exercises/01_first.ipynb)",
}
STORY = """\
## {number} Queue it

Somebody needs something. Do it for them.

**It works when** one task waits. About 2 lines."""
ANSWER = "%%controller ex{name}\ndef f():\n    ### BEGIN SOLUTION\n    return 'x'\n    ### END SOLUTION"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of two lessons with a solution and an exercise for the first, all in form."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "GLOSSARY.md").write_text(
        "# Glossary\n\n## task\n\n## worker\n\n## queue\n\n## dead letter\n"
    )
    for name in ("notebooks/01_first.ipynb", "notebooks/02_second.ipynb"):
        save(tmp_path, name, *good_lesson(name))
    save(tmp_path, "solutions/01_first.ipynb", *good_solution())
    exercise = to_exercise(notebook(*good_solution()), "x")
    files.write(tmp_path / "exercises" / "01_first.ipynb", files.dump(exercise))
    return tmp_path


def good_lesson(name: str = "notebooks/01_first.ipynb") -> list[Cell]:
    sources = [
        "from harness import Lab, predict\nlab = Lab()",
        "%%controller default\ndef index():\n    return 'x'",
        "predict('1.a')",
        "predict('1.a', reveal=True)",
        "predict('1.b')",
        "predict('1.b', 'C')",
        "lab.trace('task1')",
        *(f"x = {number}" for number in range(5)),
    ]
    cells = [text_cell(GOALS.format(line=LINES[name]))]
    for count, source in enumerate(sources, 1):
        cells += [text_cell(WORDS), code(source, count=count)]
    return [*cells, text_cell(WRAP_UP.format(line=LINES[name]))]


def good_solution() -> list[Cell]:
    cells = [
        text_cell(f"# Exercises 01\n\n{LINES['solutions/01_first.ipynb']}"),
        code("from harness import check", count=1),
    ]
    for place in (1, 2):
        answer = {"solution": True, "grade_id": f"answer-{place}"}
        check = {"grade": True, "grade_id": f"check-{place}", "points": 1}
        cells += [
            text_cell(STORY.format(number=f"1.{place}")),
            code(ANSWER.format(name=f"1_{place}"), count=2 * place, metadata={"nbgrader": answer}),
            code(f'check("1.{place}")', count=2 * place + 1, metadata={"nbgrader": check}),
        ]
    return [*cells, text_cell(f"Well done.\n\n{LINES['solutions/01_first.ipynb']}")]


def save(root: Path, name: str, *cells: Cell) -> Path:
    path = root / name
    normal = normalise(notebook(*cells))
    files.write(path, files.dump(with_slides(normal) if name.startswith("notebooks/") else normal))
    return path


def found(rule, course: Path, *cells: Cell, name: str = "notebooks/01_first.ipynb") -> list[str]:
    """Return the findings of one rule in a notebook with these cells."""
    page = NotebookPage(course, save(course, name, *cells) if cells else course / name)
    return [page.finding(cell, message) for cell, message in rule(page)]


def says(rule, course: Path, *cells: Cell, name: str = "notebooks/01_first.ipynb") -> str:
    (only,) = found(rule, course, *cells, name=name)
    return only


def test_a_course_in_form_has_no_findings(course):
    assert lint(course) == []


@pytest.mark.notebook
def test_the_command_in_a_finding_brings_a_notebook_into_form(tmp_path):
    path = save(tmp_path, "notebooks/01_first.ipynb", text_cell("# 01 First"), code("print(6 * 7)", count=1))
    path.write_text(f"{path.read_text(encoding='utf-8')}\n", encoding="utf-8")
    lint_it = f"{shlex.quote(sys.executable)} -m harness lint"
    said = shell(lint_it, tmp_path, PATH=os.defpath).stdout.splitlines()[0]
    assert said.startswith("notebooks/01_first.ipynb: not in normal form; run ")
    done = shell(said.partition("; run ")[2], tmp_path, PATH=os.defpath)
    assert done.stdout == "rebuilt notebooks/01_first.ipynb\n", done.stderr
    assert "not in normal form" not in shell(lint_it, tmp_path).stdout


def test_every_rule_is_in_use():
    used = {rule for rules in RULES.values() for rule in rules}
    defined = {
        value
        for module in (lesson_rules, rules_for_exercises)
        for value in vars(module).values()
        if getattr(value, "__annotations__", {}).get("return") == Found
        and getattr(value, "__module__", "") == module.__name__
        and not value.__name__.startswith("_")
    }
    assert used == defined


# The notebook as a file


def test_a_notebook_that_is_not_in_normal_form_is_found(course):
    path = course / "notebooks" / "01_first.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace('"python3"', '"my-env"'), encoding="utf-8")
    expected = "notebooks/01_first.ipynb: not in normal form; run taskqueue-course build"
    assert says(lesson_rules.normal_form, course) == expected


@pytest.mark.parametrize("counts", [(None, None), (2, 1), (1, None), (1, 3, 3)])
def test_counts_other_than_1_to_n_are_found(course, counts):
    assert "execution counts are not 1 to" in says(lesson_rules.counts, course, *(code("1", count=n) for n in counts))
    assert found(lesson_rules.counts, course, code("1", count=1), text_cell("a"), code("2", count=2)) == []


@pytest.mark.parametrize("ids", [("a", "a"), ("a", None)])
def test_an_id_that_occurs_twice_or_is_missing_is_not_in_normal_form(course, ids):
    path = course / "notebooks" / "01_first.ipynb"
    raw = normalise(notebook(code("1"), code("2")))
    files.write(path, files.dump(raw))
    assert found(lesson_rules.normal_form, course) == []
    for cell, cell_id in zip(raw.cells, ids, strict=True):
        cell.update(id=cell_id) if cell_id else cell.pop("id")
    files.write(path, files.dump(raw))
    assert "not in normal form" in says(lesson_rules.normal_form, course)


def test_a_cell_that_takes_itself_out_of_the_comparison_is_found(course):
    assert "has the tag 'nbval-skip'" in says(lesson_rules.tags, course, code("1", tags=("nbval-skip",)))
    assert "nbval's comparison" in says(lesson_rules.tags, course, code("# NBVAL_IGNORE_OUTPUT\n1"))
    assert found(lesson_rules.tags, course, code("1 / 0", tags=("raises-exception",))) == []


def test_a_lesson_may_have_any_number_of_cells_and_of_words(course):
    first, *cells, last = good_lesson()
    long = text_cell("word " * 1000)
    save(course, "notebooks/01_first.ipynb", first, *cells, *[text_cell("Short.")] * 60, long, last)
    assert lint(course) == []


def test_a_code_cell_has_13_lines_and_a_file_20(course):
    assert found(lesson_rules.lengths, course, code("x\n" * 13), code("# a note\n%%model db\n" + "x\n" * 18)) == []
    assert "has 14 lines; the maximum is 13" in says(lesson_rules.lengths, course, code("x\n" * 14))
    assert found(lesson_rules.lengths, course, code("%%model db\n" + "x\n" * 19)) == []
    assert "has 21 lines; the maximum is 20" in says(lesson_rules.lengths, course, code("%%model db\n" + "x\n" * 20))


def test_the_length_of_a_solution_is_counted_with_its_stub(course):
    answer = "### BEGIN SOLUTION\n" + "x\n" * 30 + "### END SOLUTION"
    assert found(lesson_rules.lengths, course, code(answer), name="solutions/01_first.ipynb") == []


# Words


def test_headings_begin_with_one_title_and_skip_no_level(course):
    assert found(lesson_rules.headings, course, text_cell("# A"), text_cell("## B\n\n### C"), text_cell("## D")) == []
    assert "'C' skips a level, from 1 to 3" in says(lesson_rules.headings, course, text_cell("# A"), text_cell("### C"))
    assert "has 2 headings of the first level" in says(
        lesson_rules.headings, course, text_cell("# A"), text_cell("# B")
    )
    assert found(lesson_rules.headings, course, text_cell("# A\n\n```\n# no heading\n```")) == []


def test_a_page_begins_with_its_title(course):
    assert "does not begin with its title" in says(lesson_rules.headings, course, text_cell("Hello"), text_cell("# A"))


@pytest.mark.parametrize("source", ["a<br>b", "<div>\nx\n</div>", "<img src='x'>", "<center>x</center>"])
def test_raw_html_is_found(course, source):
    assert all("has raw HTML" in message for message in found(lesson_rules.no_html, course, text_cell(source)))
    assert found(lesson_rules.no_html, course, text_cell(source))


@pytest.mark.parametrize("source", ["`<br>`", "```\n<div>\n```", "1 < 2 > 1", "<https://example.com>", "<!-- note -->"])
def test_text_that_only_looks_like_html_passes(course, source):
    assert found(lesson_rules.no_html, course, text_cell(source)) == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Web2Py serves", "web2py"),
        ("a web2Py site", "web2py"),
        ("on AppEngine", "App Engine"),
        ("on app engine", "App Engine"),
        ("the taskqueue module", "task queue, or `taskqueue` for the module"),
        ("a Task Queue", "task queue, or `taskqueue` for the module"),
        ("in Jupyterlab", "JupyterLab"),
        ("in Jupyter Lab", "JupyterLab"),
        ("in queue.yml", "queue.yaml"),
        ("the url", "URL"),
        ("as json", "JSON"),
        ("its eta", "ETA"),
        ("a sqlite file", "SQLite"),
        ("in python", "Python"),
        ("the back-off", "backoff"),
        ("your timezone", "time zone"),
    ],
)
def test_a_term_that_is_spelt_otherwise_is_found(course, wrong, right):
    assert says(lesson_rules.spelling, course, text_cell(f"Here {wrong} is.")).endswith(f"; write {right}")


@pytest.mark.parametrize(
    "source",
    [
        "web2py on App Engine with JupyterLab, queue.yaml, a URL, JSON, an ETA, Python and SQLite",
        "`taskqueue.add` puts it into the task queue; Task queues, and a task queue's name",
        "> GAE offers a taskqueue module",
        "`python -m web2Py` and\n\n```\nAppEngine url json\n```",
        "[here](http://example.com/appengine?url=json)",
        "The backoff is 10 s in your time zone, and metadata is no ETA",
    ],
)
def test_terms_in_their_own_spelling_and_in_code_pass(course, source):
    assert found(lesson_rules.spelling, course, text_cell(source)) == []


# What a lesson has


def test_a_lesson_begins_with_goals_and_minutes(course):
    assert found(lesson_rules.goals, course) == []
    assert "'In this lesson you will'" in says(lesson_rules.goals, course, text_cell(GOALS.replace("will", "shall")))
    assert "how many minutes" in says(
        lesson_rules.goals, course, text_cell(GOALS.replace("30 minutes", "Half an hour"))
    )
    assert "3 to 5 goals" in says(lesson_rules.goals, course, text_cell(GOALS.replace("- read a trace.", "")))


def test_a_lesson_ends_with_a_wrap_up(course):
    ends = {
        "'In this lesson you' and a summary": ("In this lesson you", "Here you"),
        "three things to remember": ("3. 200 means done.", ""),
    }
    assert found(lesson_rules.wrap_up, course) == []
    for message, (old, new) in ends.items():
        cells = [text_cell(GOALS), text_cell(WORDS), text_cell(WORDS), text_cell(WRAP_UP.replace(old, new))]
        assert message in says(lesson_rules.wrap_up, course, *cells)


@pytest.mark.parametrize("name", LINES)
def test_a_notebook_links_to_its_neighbours_below_its_title_and_at_its_end(course, name):
    rule, line = lesson_rules.neighbours, LINES[name]
    assert found(rule, course, name=name) == []
    top, end = text_cell(f"# A\n\n{line}\n\nText"), text_cell(f"Text\n\n{line}")
    assert found(rule, course, top, code("1"), end, name=name) == []
    lower = text_cell(f"# A\n\nText\n\n{line}")
    assert f"the paragraph below the title isn't {line!r}" in says(rule, course, lower, end, name=name)
    assert f"the last paragraph of the notebook isn't {line!r}" in says(rule, course, top, code("1"), name=name)


def test_a_recap_is_between_the_exercises_of_its_lesson_and_the_next_lesson(course):
    lines = {
        "solutions/01_first.ipynb": "Previous: [lesson 01](../notebooks/01_first.ipynb) · "
        "Next: [recap 01](../notebooks/pages/01_recap.ipynb)",
        "notebooks/pages/01_recap.ipynb": "Previous: [exercises 01](../../exercises/01_first.ipynb) · "
        "Next: [lesson 02](../02_second.ipynb)",
        "notebooks/02_second.ipynb": "Previous: [recap 01](pages/01_recap.ipynb)",
    }
    save(course, "notebooks/pages/01_recap.ipynb", text_cell("# A"))
    for name, line in lines.items():
        cells = text_cell(f"# A\n\n{line}"), text_cell(line)
        assert found(lesson_rules.neighbours, course, *cells, name=name) == []
    (course / "notebooks/pages/01_recap.ipynb").unlink()
    assert found(lesson_rules.neighbours, course, *cells, name="notebooks/02_second.ipynb") != []


def test_a_solution_has_a_lesson_and_a_draft_has_no_neighbours(course):
    (course / "notebooks" / "01_first.ipynb").unlink()
    assert (
        "has no lesson of the same name" in found(lesson_rules.neighbours, course, name="solutions/01_first.ipynb")[0]
    )
    assert found(lesson_rules.neighbours, course, text_cell("# A"), name="notebooks/zz.ipynb") == []


def test_a_lesson_has_two_predictions_asked_and_cleared_up(course):
    ask, clear = [code(f"predict('1.{x}')") for x in "ab"], [code(f"predict('1.{x}', reveal=True)") for x in "ab"]
    assert found(lesson_rules.predictions, course, *ask, *clear) == []
    assert "answers 1 predictions" in says(lesson_rules.predictions, course, ask[0], clear[0])
    assert (
        "asks the prediction '1.b' but never answers it" in found(lesson_rules.predictions, course, *ask, clear[0])[0]
    )
    assert "before it is asked" in found(lesson_rules.predictions, course, clear[0], *ask, *clear)[0]
    assert found(lesson_rules.predictions, course, text_cell("# Hello"), name="notebooks/00_welcome.ipynb") == []


def test_a_lesson_shows_a_trace_or_a_timeline(course):
    assert found(lesson_rules.trace_or_timeline, course, code("lab.trace('task1')")) == []
    assert found(lesson_rules.trace_or_timeline, course, code("lab.timeline()")) == []
    assert "neither a trace nor a timeline" in says(
        lesson_rules.trace_or_timeline, course, code("# lab.trace('task1')")
    )
    assert found(lesson_rules.trace_or_timeline, course, code("1"), name="notebooks/00_welcome.ipynb") == []


SMALL = "### 1.{} A job\n\nDo it.\n\n**It works when** it is done.\n\nAbout 1 line."


def test_a_small_exercise_has_its_text_a_cell_to_fill_and_a_tagged_check(course):
    cells = []
    for name in "xy":
        stub = code(f"%%controller ex1_{name}\ndef save():\n    ...  # YOUR CODE HERE")
        tags = ("raises-exception", "slide-skip")
        cells += [text_cell(SMALL.format(name)), stub, code(f"check('1.{name}')", tags=tags)]
    rule = rules_for_exercises.small_exercises
    assert found(rule, course, *cells) == []
    assert "checks 1.x; expected 1.x, 1.y" in says(rule, course, *cells[:3])
    assert "checks 1.y, 1.x; expected" in says(rule, course, *cells[3:], *cells[:3])
    for place, other, message in (
        (0, text_cell(SMALL.format("y")), "no heading above begins with '1.x'"),
        (0, text_cell("### 1.x A job\n\nIt works when it is done."), "the text of 1.x lacks its size"),
        (1, code("%%controller ex1_x\ndef save(): pass"), "write a file with the mark '# YOUR CODE HERE'"),
        (1, code("x = 1  # YOUR CODE HERE"), "doesn't write a file"),
        (2, code("check('1.x')", tags=("raises-exception",)), "its tags must be raises-exception, slide-skip"),
    ):
        assert message in says(rule, course, *cells[:place], other, *cells[place + 1 :])


TERM = "the first use of {!r} does not link to GLOSSARY.md#{}"


@pytest.mark.parametrize(
    "source",
    [
        "A [task](GLOSSARY.md#task) waits. The task runs.",
        "Two [Tasks](GLOSSARY.md#task), and **[dead letters](GLOSSARY.md#dead-letter)**",
        "`task`\n\n```\ntask\n```\n\n## A task\n\n| a task |\n|---|\n| a task |\n\n> a task",
        "[01 Your first background task](01_first.ipynb)",
        "Multitasking and a taskqueue, the word laboratory",
        "An [ETA](GLOSSARY.md#ETA), then a second ETA",
    ],
)
def test_a_first_use_that_links_to_the_glossary_passes_and_so_do_headings_tables_quotations_and_code(course, source):
    assert found(lesson_rules.glossary, course, text_cell(source)) == []


def test_a_first_use_without_a_link_to_its_entry_is_found(course):
    cells = [text_cell("## A task\n\nTwo **tasks**."), text_cell("The [task](GLOSSARY.md#task).")]
    assert says(lesson_rules.glossary, course, *cells).endswith(TERM.format("tasks", "task"))
    wrong = text_cell("The [worker](GLOSSARY.md#task).")
    assert says(lesson_rules.glossary, course, wrong).endswith(TERM.format("worker", "worker"))
    assert says(lesson_rules.glossary, course, text_cell("- an ETA")).endswith(TERM.format("ETA", "ETA"))
    longer = text_cell("The push queue.")
    assert says(lesson_rules.glossary, course, longer).endswith(TERM.format("push queue", "push-queue"))


def test_the_glossary_is_sorted_has_every_new_term_and_links_to_the_lessons():
    text = (ROOT / "notebooks" / lesson_rules.GLOSSARY).read_text(encoding="utf-8")
    title, *entries = text.split("\n## ")
    terms = [entry.partition("\n")[0] for entry in entries]
    assert terms == sorted(terms, key=str.lower)
    assert set(terms) >= lesson_rules.NEW_TERMS
    assert [level for level, _ in markdown.headings(text)] == [1] + [2] * len(terms)
    lessons = {path.name for path in files.find(ROOT, "notebooks")}
    for entry in entries:
        assert set(markdown.links(entry)) <= lessons, entry


# Links and figures


@pytest.mark.parametrize(
    "target",
    [
        "02_second.ipynb",
        "../exercises/01_first.ipynb",
        "#What-you-have-learned",
        "02_second.ipynb#What-you-have-learned",
        "#Why-%60add%60-is-quick",
        "https://example.com/nowhere",
        "mailto:a@example.com",
        "GLOSSARY.md#dead-letter",
    ],
)
def test_a_link_that_leads_somewhere_passes(course, target):
    here = text_cell("# A\n\n## What you have learned\n\n## Why \\`add\\` is quick")
    assert found(lesson_rules.internal_links, course, here, text_cell(f"[x]({target})")) == []


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("09_none.ipynb", "does not exist"),
        ("01_first.ipynb/x", "does not exist"),
        ("#what-you-have-learned", "a heading that does not exist"),
        ("02_second.ipynb#Nothing", "a heading that does not exist"),
        ("../..", "not in the repository"),
        ("none.png", "does not exist"),
        ("GLOSSARY.md#job", "a heading that does not exist"),
    ],
)
def test_a_dead_link_is_found(course, target, problem):
    assert problem in says(lesson_rules.internal_links, course, text_cell(f"# What you have learned\n\n[x]({target})"))
    shown = code("1", display(text_html=f'<p><a href="{target}">x</a></p>'))
    assert problem in says(lesson_rules.internal_links, course, text_cell("# What you have learned"), shown)


def test_code_in_a_heading_is_text_in_its_anchor():
    ((_, heading),) = markdown.headings("## Why `add` is *so* quick")
    assert markdown.anchor(heading) == "Why-add-is-so-quick"


PICTURE = "data:image/svg+xml;base64,AA=="


def test_a_figure_has_alt_text_where_jupyterlab_shows_it(course):
    good = display(text_html=f'<figure><img alt="Two tasks wait" src="{PICTURE}"></figure>', text_plain="x")
    drawn = display(text_html='<svg aria-label="Two tasks wait"></svg>')
    assert found(lesson_rules.figures, course, code("1", good), code("2", drawn), code("3", result("4"))) == []
    bare = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>", "text/plain": "x"}, "metadata": {}}
    assert "has no alt text; show it as HTML" in says(lesson_rules.figures, course, code("1", bare))
    for html in (f'<img alt=" " src="{PICTURE}">', f'<img src="{PICTURE}">', "<svg></svg>"):
        assert "empty alt text" in says(lesson_rules.figures, course, code("1", display(text_html=html)))


def test_an_image_in_markdown_has_alt_text(course):
    assert found(lesson_rules.figures, course, text_cell("![The three lanes](a.png)")) == []
    assert "the image 'a.png' has no alt text" in says(lesson_rules.figures, course, text_cell("![](a.png)"))


# Nothing private


@pytest.mark.parametrize(
    "private",
    [
        "/ho" + "me/ada/course/x.py",
        "/ro" + "ot/x",
        "/tm" + "p/tmpab12/applications",
        "/Us" + "ers/ada/x",
        "https://py" + "pi.org/simple",
        "files.python" + "hosted.org",
        "AK" + "IA" + "A" * 16,
        "gh" + "p_" + "a" * 36,
        "http://127.0.0.1:8888/lab?token=" + "0123456789abcdef" * 2,
        "-----BEGIN RSA PRIVATE" + " KEY-----",
    ],
)
def test_a_path_of_a_machine_a_registry_or_a_secret_is_found_in_text_code_and_output(course, private):
    for cell in (text_cell(private), code(f"x = {private!r}"), code("1", result(repr(private)))):
        assert "contains a" in says(lesson_rules.nothing_private, course, cell)


@pytest.mark.parametrize(
    "public", ["/tutorial/default/task_do", "/_ah/queue/default", "applications/" + "work/x", "/home"]
)
def test_urls_of_the_course_pass(course, public):
    assert found(lesson_rules.nothing_private, course, text_cell(public)) == []


# Exercises


def solution(course: Path, rule, *changes: tuple[str, str]) -> list[str]:
    """Return the findings of a rule in the good solution after these changes of its text."""
    source = files.dump(normalise(notebook(*good_solution())))
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = course / "solutions" / "01_first.ipynb"
    files.write(path, source)
    return found(rule, course, name="solutions/01_first.ipynb")


def test_a_code_cell_that_does_not_parse_is_found_in_a_solution_and_in_its_exercise(course):
    rule = rules_for_exercises.parses
    assert found(rule, course) == []
    assert "'(' was never closed" in says(rule, course, code("f("))
    assert "unknown cell magic %%controler" in says(rule, course, code("%%controler a\n1"))
    wrong_stub = code("### BEGIN SOLUTION\nif x:\n### END SOLUTION\n    y = 1")
    assert "unexpected indent" in says(rule, course, wrong_stub, name="solutions/01_first.ipynb")


def test_exercises_are_numbered_from_the_lessons_1_upwards(course):
    rule = rules_for_exercises.exercise_checks
    assert solution(course, rule) == []
    assert "checks 1.1, 1.3; expected 1.1, 1.2" in solution(course, rule, ('check(\\"1.2\\")', 'check(\\"1.3\\")'))[0]
    assert "no cell calls check()" in found(rule, course, code("1"), name="solutions/01_first.ipynb")[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("## 1.2 Queue it", "## Queue it"), "no heading above begins with '1.2'"),
        (("About 2 lines", "A bit of code"), "lacks its size"),
        (("It works when", "It runs if"), "lacks 'It works when'"),
        (("%%controller ex1_2\\n", "\\n"), "the cell to fill does not write a file"),
        (("SOLUTION", "ANSWER"), "1.1 has 0 cells to fill; an exercise has one for each of its files"),
        (('check(\\"1.1\\")', 'check(\\"1.1\\")\\nx = 1'), "a check cell must contain only the check"),
    ],
)
def test_an_exercise_has_a_story_one_cell_to_fill_and_a_check(course, change, message):
    rule = rules_for_exercises.exercise_parts
    assert solution(course, rule) == []
    assert message in solution(course, rule, change)[0]


def test_a_region_without_a_check_is_found(course):
    rule = rules_for_exercises.exercise_checks
    assert solution(course, rule) == []
    assert "no check follows" in solution(course, rule, ('check(\\"1.2\\")', "pass"))[0]


def test_grading_metadata_is_complete(course):
    rule = rules_for_exercises.grading
    assert solution(course, rule) == []
    assert "metadata with solution: true" in solution(course, rule, ('"solution": true', '"solution": false'))[0]
    assert "metadata with grade: true" in solution(course, rule, ('"points": 1', '"points": 0'))[0]
    assert "occurs twice in the notebook" in solution(course, rule, ('"check-2"', '"check-1"'))[0]


EXERCISE = "exercises/01_first.ipynb"


def saved_exercise(course: Path, change: Callable[[list[Any]], object], name: str = EXERCISE) -> list[str]:
    """Return the findings after the cells of the exercise were changed and saved under a name."""
    exercise = files.read(course / EXERCISE)
    change(exercise.cells)
    files.write(course / name, files.dump(exercise))
    return found(rules_for_exercises.generated, course, name=name)


def run(cells: list[Any]) -> None:
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count


def test_an_exercise_that_was_run_and_not_changed_passes(course):
    assert found(rules_for_exercises.generated, course, name=EXERCISE) == []
    assert saved_exercise(course, run) == []


def test_a_stub_of_another_version_of_its_solution_is_to_be_rebuilt(course):
    path = course / "solutions" / "01_first.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("def f():", "def g():"), encoding="utf-8")
    expected = f"{EXERCISE}: differs from the exercise that solutions/01_first.ipynb gives; run taskqueue-course build"
    assert says(rules_for_exercises.generated, course, name=EXERCISE) == expected


def test_a_stub_whose_digest_a_merge_left_behind_is_to_be_rebuilt(course):
    path = course / EXERCISE
    digest = files.read(path).metadata[DIGEST]
    path.write_text(path.read_text(encoding="utf-8").replace(digest, "0" * 16), encoding="utf-8")
    assert "differs from the exercise that" in says(rules_for_exercises.generated, course, name=EXERCISE)


def test_a_stub_without_a_solution_is_found_and_a_copy_of_another_stub_is_not(course):
    assert saved_exercise(course, lambda cells: None, "exercises/my_copy.ipynb") == []
    (course / "solutions" / "01_first.ipynb").unlink()
    assert "has no solution, solutions/01_first.ipynb" in says(rules_for_exercises.generated, course, name=EXERCISE)


@pytest.mark.parametrize("has_run", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells[3].update(source="%%controller ex1_1\ndef f(:\n" + "    pass\n" * 30),
        lambda cells: cells.append(code("print('/Users" + "/ann')", id="mine")),
        lambda cells: cells.insert(1, text_cell("### the url<br>of [my notes](gone.ipynb)", id="note")),
    ],
)
def test_no_rule_applies_to_cells_that_a_learner_writes(course, change, has_run):
    exercise = files.read(course / EXERCISE)
    assert exercise.cells[3].source == "%%controller ex1_1\ndef f():\n    ...  # YOUR CODE HERE"
    change(exercise.cells)
    if has_run:
        exercise = from_dict(exercise)
        run(exercise.cells)
    files.write(course / EXERCISE, files.dump(exercise))
    assert lint(course) == []


def test_no_rule_applies_to_a_learners_own_notebook(course):
    save(course, "exercises/my_scratch.ipynb", code("print('/Users" + "/ann'"))
    assert lint(course) == []


@pytest.mark.parametrize("change", [lambda cells: cells[0].update(source="# Mine"), lambda cells: cells.pop(0)])
def test_an_edit_in_an_exercise_that_belongs_in_its_solution_is_found(course, change):
    [finding] = saved_exercise(course, change)
    lacking = 'lacks cell 1 (id "cell-1") of solutions/01_first.ipynb'
    assert finding == f"{EXERCISE}: {lacking}; edit that file, then run taskqueue-course build"
    assert saved_exercise(course, run) == []


# The run


def test_a_finding_names_file_and_cell(course):
    cells = [*good_lesson()[:-1], text_cell("The url.", id="closing"), good_lesson()[-1]]
    path = save(course, "notebooks/01_first.ipynb", *cells)
    messages = lint(course, [path])
    assert messages == ["notebooks/01_first.ipynb, cell 26 (id \"closing\"): contains 'url'; write URL"]


def test_a_file_that_is_not_a_notebook_is_a_finding(course):
    (course / "notebooks" / "01_first.ipynb").write_text("{", encoding="utf-8")
    messages = lint(course)
    assert "01_first.ipynb, line 1: the file ends here" in messages[0]


def test_the_command_prints_its_findings(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert main(["lint", "exercises/01_first.ipynb"]) == 0
    assert capsys.readouterr().out == "all notebooks follow the rules\n"
    save(course, "notebooks/01_first.ipynb", *good_lesson(), text_cell("Web2Py"))
    assert main(["lint"]) == 1
    assert "contains 'Web2Py'; write web2py\n" in capsys.readouterr().out


def test_a_folder_without_notebooks_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(NotebookError, match="run this in the repository's top folder"):
        lint(tmp_path)
    with pytest.raises(NotebookError, match="not a notebook of notebooks/, solutions/, exercises/"):
        lint(tmp_path, [tmp_path / "a.ipynb"])


# The course itself


@pytest.mark.parametrize("folder", files.FOLDERS)
def test_the_course_has_notebooks(folder):
    assert files.find(ROOT, folder)


@pytest.mark.parametrize(
    "name", [path.relative_to(ROOT).as_posix() for folder in files.FOLDERS for path in files.find(ROOT, folder)]
)
def test_the_course_is_in_form(name):
    findings = lint(ROOT, [ROOT / name])
    assert not findings, "\n".join(findings)
