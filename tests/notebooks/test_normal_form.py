"""The normal form of a committed notebook."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.normal_form import normalise
from tests.support.scratch import code, display, failure, markdown, notebook, result, save, stream


def test_metadata_of_the_notebook_is_always_the_same():
    raw = notebook(markdown("# A"))
    raw.metadata = {"kernelspec": {"name": "my-env"}, "language_info": {"version": "3.11.2"}, "widgets": {}}
    raw.nbformat_minor = 4
    normal = normalise(raw)
    assert normal.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (normal.nbformat, normal.nbformat_minor) == (4, 5)


def test_of_a_cells_metadata_tags_nbgrader_and_its_slide_stay():
    noise = {"collapsed": True, "editable": False, "execution": {"iopub.execute_input": "2026-01-01"}, "trusted": True}
    grade = {"grade": True, "grade_id": "check-1-1", "points": 1}
    raw = notebook(code("1", tags=("raises-exception",)))
    slide = {"slide_type": "fragment"}
    raw.cells[0].metadata.update(noise, nbgrader=grade, slideshow=slide)
    kept = {"tags": ["raises-exception"], "nbgrader": grade, "slideshow": slide}
    assert normalise(raw).cells[0].metadata == kept


def test_the_notebook_given_is_not_changed():
    raw = notebook(code("1\n", stream("a"), stream("b"), count=7))
    before = copy.deepcopy(raw)
    normalise(raw)
    assert raw == before


def test_normalising_twice_is_normalising_once():
    raw = notebook(markdown("# A \n"), code("1\n", stream("a\rb"), stream("e", "stderr"), result("1", 9), count=9))
    once = normalise(raw)
    assert files.dump(normalise(once)) == files.dump(once)


def test_counts_of_a_run_from_top_to_bottom_become_1_to_n_everywhere():
    raw = notebook(
        code("1", result("1", 4), count=4),
        code("f()", failure("E", "m", "Cell In[9], line 1\n", "Cell In[4], line 1\n"), count=9),
    )
    first, second = normalise(raw).cells
    assert (first.execution_count, first.outputs[0].execution_count, second.execution_count) == (1, 1, 2)
    assert second.outputs[0].traceback == ["Cell In[2], line 1\n", "Cell In[1], line 1\n"]


@pytest.mark.parametrize("counts", [(2, 1), (1, None), (3, 3)])
def test_counts_of_any_other_run_stay_for_the_linter_to_see(counts):
    normal = normalise(notebook(*(code(f"{number}", count=count) for number, count in enumerate(counts))))
    assert tuple(cell.execution_count for cell in normal.cells) == counts


def test_streams_that_follow_each_other_are_one_stdout_and_one_stderr():
    raw = notebook(code("1", stream("e1\n", "stderr"), stream("o1\n"), stream("o2\n"), stream("e2\n", "stderr")))
    assert normalise(raw).cells[0].outputs == [stream("o1\no2\n"), stream("e1\ne2\n", "stderr")]


def test_streams_around_a_figure_stay_around_it():
    raw = notebook(code("1", stream("before\n"), display(text_html="<b>x</b>"), stream("after\n")))
    kinds = [output.get("text", "figure") for output in normalise(raw).cells[0].outputs]
    assert kinds == ["before\n", "figure", "after\n"]


def test_an_overwritten_line_of_a_progress_bar_goes():
    raw = notebook(code("1", stream("10 %\r50 %\r100 %\nchild\r\n")))
    assert normalise(raw).cells[0].outputs[0].text == "100 %\nchild\r\n"


def test_tracebacks_lose_colours_and_the_machines_folders():
    library, home, quoted = (
        "\x1b[36mFile \x1b[39m\x1b[32m~/a b/.venv/lib/python3.11/site-packages/google/x.py:3\x1b[39m, in add(a)\n",
        "File ~/course/harness/lab.py:7, in Lab.get(self)\n",
        'File "/opt/python/lib/python3.11/json/decoder.py", line 1, in f\n',
    )
    raw = notebook(code("1", failure("E", "m", library, home, quoted)))
    assert normalise(raw).cells[0].outputs[0].traceback == [
        "File google/x.py:3, in add(a)\n",
        "File harness/lab.py:7, in Lab.get(self)\n",
        'File "json/decoder.py", line 1, in f\n',
    ]


def test_an_empty_cell_goes_such_as_jupyterlab_leaves_at_the_end():
    assert [cell.source for cell in normalise(notebook(code("1"), code(" \n"), markdown(""))).cells] == ["1"]


def test_ids_that_are_valid_and_unique_stay():
    raw = notebook(markdown("a", id="goals"), code("1", id="2f0c1a9e-aaaa-bbbb-cccc-000000000000"))
    assert [cell.id for cell in normalise(raw).cells] == [cell.id for cell in raw.cells]


def test_missing_and_doubled_ids_are_made_from_the_source_and_so_always_the_same():
    raw = notebook(code("1", id="a"), code("2", id="a"), code("2", id="no spaces"), code("3"))
    del raw.cells[3]["id"]
    ids = [cell.id for cell in normalise(raw).cells]
    assert ids[0] == "a"
    assert len(set(ids)) == 4
    assert ids == [cell.id for cell in normalise(raw).cells]


def test_a_blank_notebook_has_neither_outputs_nor_counts():
    cell = normalise(notebook(code("1", result("1"), count=1)), blank=True).cells[0]
    assert (cell.outputs, cell.execution_count) == ([], None)


def test_a_cell_turned_from_code_to_markdown_leaves_its_outputs_behind():
    turned = markdown("text", outputs=[], execution_count=None)
    assert set(normalise(notebook(turned)).cells[0]) == {"cell_type", "id", "metadata", "source"}


@given(st.lists(st.text(alphabet="ab\r\n\x1b[", max_size=12), max_size=4), st.lists(st.integers(1, 5), max_size=4))
def test_any_notebook_has_one_normal_form(texts, counts):
    outputs = [stream(text, name) for text, name in zip(texts, ["stdout", "stderr"] * 2, strict=False)]
    raw = notebook(*(code(f"{count}\n", *outputs, count=count) for count in counts))
    once = normalise(raw)
    assert files.dump(normalise(files.parse(files.dump(once), "x"))) == files.dump(once)


def test_a_file_has_sorted_keys_a_line_per_line_and_a_newline_at_the_end(tmp_path: Path):
    text = save(tmp_path / "a.ipynb", code("a = 1\nb = 'é'")).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"a = 1\\n",\n    "b = \'é\'"' in text
    raw = json.loads(text)
    assert list(raw) == sorted(raw)


def test_writing_leaves_no_draft_behind(tmp_path: Path):
    files.write(tmp_path / "new" / "a.ipynb", "text\n")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"cells": [\n 1,', "a.ipynb, line 2: the file ends here"),
        ("[]", "a.ipynb: not a notebook of format 4"),
        ('{"nbformat": 3, "worksheets": []}', "a.ipynb: not a notebook of format 4; open it in JupyterLab and save it"),
        ('{"nbformat": 4, "cells": [{"source": []}], "metadata": 1}', "a.ipynb: not a valid notebook"),
    ],
)
def test_a_file_that_is_no_notebook_is_named_with_the_place(text, says):
    with pytest.raises(NotebookError) as caught:
        files.parse(text, "a.ipynb")
    assert str(caught.value).startswith(says)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(NotebookError, match="none.ipynb: the file is missing"):
        files.read(tmp_path / "none.ipynb")


def test_a_notebook_against_jupyters_schema_is_named():
    raw = notebook(code("1"))
    del raw.cells[0]["outputs"]
    with pytest.raises(NotebookError, match="a.ipynb: not a valid notebook: cell 1: 'outputs' is a required property"):
        files.validate(raw, "a.ipynb")
