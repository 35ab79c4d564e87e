"""The names, links and texts of a learner's copies."""

from pathlib import Path
from typing import Any

import pytest
from ipykernel.ipkernel import IPythonKernel

from harness.course.catalogue import exercise_notebook
from harness.notebooks import files
from harness.notebooks.copies import (
    PAGES,
    copy_name,
    is_untouched,
    merged,
    relink,
    source_path,
    to_copy,
    version,
)
from harness.notebooks.stubs import exercise_lesson
from tests.support.scratch import code, markdown, notebook, result


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("notebooks/00_welcome.ipynb", "00a_lesson_welcome.ipynb"),
        ("exercises/01_first_task.ipynb", "01b_exercises_first_task.ipynb"),
        ("/srv/a course/notebooks/07_capstone.ipynb", "07a_lesson_capstone.ipynb"),
        ("notebooks/pages/03_recap.ipynb", "03c_recap.ipynb"),
        ("/srv/a course/notebooks/pages/07_recap.ipynb", "07c_recap.ipynb"),
        ("notebooks/pages/OWN_APPLICATION.ipynb", ""),
        ("notebooks/pages/03_other.ipynb", ""),
        ("notebooks/03_recap/pages/03_recap.ipynb", ""),
        ("solutions/01_first_task.ipynb", ""),
        ("notebooks/zz.ipynb", ""),
        ("notebooks/GLOSSARY.md", ""),
        ("my-course/01b_exercises_first_task.ipynb", ""),
    ],
)
def test_a_copy_is_named_after_its_lesson_and_kind(path, name):
    assert copy_name(path) == name
    assert not name or path.endswith(source_path(name))


def test_the_name_of_another_file_is_not_the_name_of_a_copy():
    assert [
        source_path(name) for name in ("zz.ipynb", "01_first_task.ipynb", "01c_lesson_a.ipynb", "03c_mine.ipynb")
    ] == [""] * 4


def test_links_of_a_copy_lead_to_copies_and_pages():
    source = (
        "[a](01_first_task.ipynb#Go) [b](../exercises/01_first_task.ipynb), ![c](images/c.svg)\n"
        "[d](GLOSSARY.md#task) [e](../harness/FIDELITY.md)\n\n[f]: <02_passing_data.ipynb>\n"
    )
    assert relink(source, "notebooks") == (
        "[a](01a_lesson_first_task.ipynb#Go) [b](01b_exercises_first_task.ipynb),"
        " ![c](course-pages/images/c.svg)\n"
        "[d](course-pages/GLOSSARY.md#task) [e](course-pages/FIDELITY.md)\n\n[f]: <02a_lesson_passing_data.ipynb>\n"
    )


def test_links_of_a_recap_lead_to_copies_and_links_to_a_recap_lead_to_its_copy():
    source = "[a](../02_passing_data.ipynb#Go) [b](../../exercises/03_routing.ipynb) [c](../GLOSSARY.md)"
    assert relink(source, "notebooks/pages") == (
        "[a](02a_lesson_passing_data.ipynb#Go) [b](03b_exercises_routing.ipynb) [c](course-pages/GLOSSARY.md)"
    )
    assert relink("[a](pages/03_recap.ipynb)", "notebooks") == "[a](03c_recap.ipynb)"


def test_links_of_a_page_lead_up_to_the_copies():
    assert relink("[a](04_failure.ipynb), ![b](images/b.svg)", "notebooks", PAGES) == (
        "[a](../04a_lesson_failure.ipynb), ![b](images/b.svg)"
    )


def test_a_link_to_a_file_that_is_not_delivered_becomes_text():
    source = (
        "[a](../README.md), [b](HUB.md#On-an-existing-hub) ![c](../tests/c.png) [d](<../exercises/> 'd') "
        "[![e](images/e.svg)](GLOSSARY.md)\n\n[f]: ../README.md\n"
        "`actions[name](request)`"
    )
    assert relink(source, "notebooks") == (
        "a, b c d [![e](course-pages/images/e.svg)](course-pages/GLOSSARY.md)\n\n[f]: ../README.md\n"
        "`actions[name](request)`"
    )


def test_links_elsewhere_and_in_the_same_notebook_stay():
    source = "[a](https://example.org/a.ipynb) [b](#Going-further) [c](mailto:a@example.org)"
    assert relink(source, "notebooks") == source


def copied(*cells: dict[str, Any]) -> files.Notebook:
    """Return the copy of a lesson with these cells, as it is saved."""
    return files.parse(files.dump(to_copy(notebook(*cells), "notebooks")), "a copy")


def sources(made: files.Notebook) -> list[str]:
    return [cell.source for cell in made.cells]


TITLE = markdown("# A\n\n[b](01_first_task.ipynb)")


def test_a_copy_has_no_outputs_and_is_untouched_until_a_cell_is_run_or_changed():
    made = copied(TITLE, code("a = 1", result("1"), count=1))
    assert (made.cells[1].outputs, made.cells[1].execution_count) == ([], None)
    assert made.cells[0].source.endswith("(01a_lesson_first_task.ipynb)")
    files.validate(made, "a copy")
    assert is_untouched(made)
    made.cells[1].execution_count = 1
    assert not is_untouched(made)
    made.cells[1].update(execution_count=None, source="a = 2")
    assert not is_untouched(made)


def test_other_sources_are_a_new_version_and_other_outputs_are_not():
    made = copied(TITLE, code("a = 1", result("1")))
    assert version(made) == version(copied(TITLE, code("a = 1", result("2"))))
    assert version(made) != version(copied(TITLE, code("a = 2", result("1"))))
    assert version(notebook(TITLE)) == ""


def test_only_a_copy_of_an_exercise_notebook_is_an_exercise_notebook():
    notebook = exercise_notebook("01")
    assert exercise_lesson(to_copy(notebook, "exercises"), Path("a.ipynb")) == "01"
    assert exercise_lesson(copied(), Path("my-course/01b_exercises_first_task.ipynb")) == "01"
    assert exercise_lesson(copied(TITLE), Path("my-course/01a_lesson_first_task.ipynb")) == ""


def test_a_kernel_of_this_python_changes_nothing_in_the_metadata_of_a_copy():
    assert copied(TITLE).metadata.language_info == IPythonKernel.language_info


def test_a_new_version_keeps_the_learners_code_and_notes():
    mine = copied(TITLE, code("a = ..."), markdown("Old"), markdown("Same"), code("removed"), code("b"), code("c"))
    mine.cells[1].update(source="a = 42", execution_count=3)
    mine.cells[2].source = "Old, my remark"
    mine.cells[3].source = "Same, my remark"
    mine.cells.insert(2, files.Node(markdown("My note", id="note")))
    mine.cells.append(files.Node(code("", id="empty")))
    mine.cells.append(files.Node(code("mine()", result("3"), count=4)))
    del mine.cells[6]  # the learner deletes b
    cells = [markdown("# B"), code("a = ..."), markdown("New"), markdown("Same"), code("b"), code("c = 3"), code("d")]
    positions = (1, 2, 3, 4, 6, 7, 8)
    new = copied(*({**cell, "id": f"cell-{place}"} for cell, place in zip(cells, positions, strict=True)))
    made = merged(new, mine)
    assert sources(made) == ["# B", "a = 42", "My note", "New", "Same, my remark", "b", "c = 3", "mine()", "d"]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in made.cells)
    files.validate(made, "the new version")
    assert version(made) == version(new)
    assert not is_untouched(made)


def test_added_cells_stay_where_they_are_also_if_they_equal_other_cells():
    new = copied(TITLE, code("lab.run()"), code("lab.tasks()"), code("b"))
    mine = copied(TITLE, code("lab.run()"), code("lab.tasks()"), code("b"))
    for name, source in (("one", "lab.run()"), ("two", "lab.run()"), ("three", "print(end)")):
        mine.cells.append(files.Node(code(source, id=name)))
    added = ["lab.run()", "lab.run()", "print(end)"]
    assert sources(merged(new, mine))[1:] == ["lab.run()", "lab.tasks()", "b", *added]


def test_a_notebook_without_changes_of_the_learner_becomes_the_new_version():
    new = copied(TITLE, code("a = 2"))
    assert files.dump(merged(new, copied(TITLE, code("a = 1", result("1"), count=1)))) == files.dump(new)


STUB = "...  # YOUR CODE HERE"


def test_answers_are_taken_from_a_notebook_that_is_not_a_copy_even_without_ids():
    graded = {"nbgrader": {"grade_id": "cell-2"}}
    new = copied(TITLE, code(STUB, metadata=graded), markdown("Text"))
    old = notebook(TITLE, code("a = 1", metadata=graded), markdown("Older text"))
    assert sources(merged(new, old)) == [new.cells[0].source, "a = 1", "Text"]
    for cell in old.cells:
        del cell["id"]
    del old.cells[0], old.cells[-1]
    assert sources(merged(new, old)) == [new.cells[0].source, "a = 1", "Text"]


@pytest.mark.parametrize(("earlier", "lab"), [("another version", "Lab(new=True)"), ("this version", "Lab()")])
def test_only_answers_and_added_cells_are_taken_from_an_exercise_notebook_of_another_version(earlier, lab):
    new = to_copy(notebook(markdown(f"Fill in `{STUB}`"), code("Lab(new=True)"), code(STUB)), "exercises")
    old = notebook(markdown("Fill it in"), code("Lab()"), code("a = 1"), code("mine()"))
    new.metadata["course_stub"], old.metadata["course_stub"] = "this version", earlier
    text = "Fill it in" if earlier == "this version" else new.cells[0].source
    assert sources(merged(new, old)) == [text, lab, "a = 1", "mine()"]
