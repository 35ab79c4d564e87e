"""The names, links and texts of a learner's copies."""

import pytest

from harness.notebooks.copies import PAGES, copy_name, linked, relink, source_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("notebooks/00_welcome.ipynb", "00a_lesson_welcome.ipynb"),
        ("exercises/01_first_task.ipynb", "01b_exercises_first_task.ipynb"),
        ("/srv/a course/notebooks/07_capstone.ipynb", "07a_lesson_capstone.ipynb"),
        ("solutions/01_first_task.ipynb", ""),
        ("notebooks/zz.ipynb", ""),
        ("notebooks/GLOSSARY.md", ""),
        ("my-course/01b_exercises_first_task.ipynb", ""),
    ],
)
def test_a_copy_is_named_after_its_lesson_and_kind(path, name):
    assert copy_name(path) == name
    assert not name or path.endswith(source_path(name))


def test_the_name_of_another_file_is_that_of_no_copy():
    assert [source_path(name) for name in ("zz.ipynb", "01_first_task.ipynb", "01c_lesson_a.ipynb")] == ["", "", ""]


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
    assert linked(source, "notebooks") >= {"exercises/01_first_task.ipynb", "notebooks/images/c.svg"}


def test_links_of_a_page_lead_up_to_the_copies():
    assert relink("[a](04_failure.ipynb), ![b](images/b.svg)", "notebooks", PAGES) == (
        "[a](../04a_lesson_failure.ipynb), ![b](images/b.svg)"
    )


def test_links_elsewhere_and_in_the_same_notebook_stay():
    source = "[a](https://example.org/a.ipynb) [b](#Going-further) [c](mailto:a@example.org)"
    assert relink(source, "notebooks") == source
