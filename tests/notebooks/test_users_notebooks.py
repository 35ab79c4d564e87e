"""Notebooks that others wrote: each valid one is run, and one line says what can't be accepted.

All notebooks run together under two workers of pytest-xdist, each of which has one kernel.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.nbval_run import Run, pytest_on
from tests.support.scratch import Cell, code, display, failure, markdown, result, save, stream

pytestmark = pytest.mark.notebook


def fails(*names: object) -> list[Cell]:
    """Return one cell per id that fails; None stands for a cell without an id."""
    ids = [{} if name is None else {"id": name} for name in names]
    return [code(f"assert {number} < 0", count=number, **each) for number, each in enumerate(ids, 1)]


VALID = {  # by name: the minor format and the cells
    **{f"format_4_{minor}": (minor, fails(None, None)) for minor in range(5)},
    "old_with_ids": (4, fails("a", "b")),
    "no_ids": (5, fails(None, None)),
    "doubled": (5, fails("a", "a")),
    "doubled_and_taken": (5, fails("cell-2", "cell-2", "cell-2")),
}
INVALID = {  # by name: the cells, and what the line says
    "number": (fails(7, "b"), "not a valid notebook: cell 1: its id isn't a string"),
    "object": (fails("a", {}), "not a valid notebook: cell 2: its id isn't a string"),
    "newline": (fails("a\nb"), "not a valid notebook: cell 1: 'a\\nb' does not match"),
    "no_type": (
        [code("1"), {"cell_type": "dance", "source": "1", "metadata": {}}],
        "cell 2: 'dance' isn't a cell type",
    ),
    "no_metadata": ([{"cell_type": "markdown", "source": "a"}], "cell 1: 'metadata' is a required property"),
    "output": ([code("1", {"output_type": "smell"}, count=1)], "cell 1: "),
    "outputs": ([markdown("a"), code("1", outputs=None)], "not a valid notebook: "),
}


OLD = {"cell_type": "code", "input": "1 / 0", "prompt_number": 1}


def write(path: Path, minor: int, cells: list[Any]) -> None:
    raw = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}
    path.write_text(json.dumps(raw), encoding="utf-8")


PICTURE = {"image/png": "iVBORw0KGgo=", "text/plain": "P"}
SHOWS = "from IPython.display import display\nclass P:\n    __repr__ = lambda self: 'P'\n"
UPDATES = "from IPython.display import display\nshown = display(dict(a='a'), raw=True, display_id='one')\n"
CLEARS = "from IPython.display import clear_output\n"
LATER = (code(UPDATES, display(a="a"), count=1), code("shown.update(dict(a='b'), raw=True)", count=2))
STRICT = {  # by name: the cell, and whether it differs from what it does in this run
    "stream_after_display": (code(f"{SHOWS}print('a')\ndisplay(P())", display(text_plain="P"), stream("a\n")), True),
    "stream_before_display": (code(f"{SHOWS}print('a')\ndisplay(P())", stream("a\n"), display(text_plain="P")), False),
    "result_for_display": (code(f"{SHOWS}display(P())", result("P")), True),
    "display_for_result": (code(f"{SHOWS}P()", display(text_plain="P")), True),
    "lost_picture": (
        code(f"{SHOWS}display(P())", {"output_type": "display_data", "data": PICTURE, "metadata": {}}),
        True,
    ),
    "updated_display": (code(f"{UPDATES}shown.update(dict(a='b'), raw=True)", display(a="b")), False),
    "old_display": (code(f"{UPDATES}shown.update(dict(a='b'), raw=True)", display(a="a")), True),
    "displayed_again": (
        code(f"{UPDATES}display(dict(a='b'), raw=True, display_id='one');", display(a="b"), display(a="b")),
        False,
    ),
    "cleared": (code(f"{CLEARS}print('a')\nclear_output()\nprint('b')", stream("b\n")), False),
    "not_cleared": (code(f"{CLEARS}print('a')\nclear_output()\nprint('b')", stream("a\nb\n")), True),
    "cleared_by_the_next_output": (
        code(f"{CLEARS}print('a')\nclear_output(wait=True)\nprint('b')\nprint('c')", stream("b\nc\n")),
        False,
    ),
    "cleared_by_no_output": (code(f"{CLEARS}print('a')\nclear_output(wait=True)", stream("a\n")), False),
    "two_streams": (
        code("import sys\nprint('a')\nprint('b', file=sys.stderr)", stream("b\n", "stderr"), stream("a\n")),
        False,
    ),
    "print_after_error": (
        code(
            "print('a')\n1 / 0",
            failure("ZeroDivisionError", "division by zero"),
            stream("a\n"),
            tags=("raises-exception",),
        ),
        True,
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("users")
    for name, (minor, cells) in VALID.items():
        write(folder / f"{name}.ipynb", minor, cells)
    for name, (cells, _) in INVALID.items():
        write(folder / f"{name}.ipynb", 5, cells)
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": []}]}
    old["worksheets"] = [{"cells": [{**OLD, "outputs": [], "language": "python"}]}]
    (folder / "format_3.ipynb").write_text(json.dumps(old), encoding="utf-8")
    for name, (cell, _) in STRICT.items():
        save(folder / f"{name}.ipynb", {**cell, "execution_count": 1})
    save(folder / "later.ipynb", *LATER)
    (folder / "exercises").mkdir()
    write(folder / "exercises" / "01_first_task.ipynb", 5, [code("a = 1", count=1)])
    options = ("-n2", "-W", "error", "--continue-on-collection-errors")
    return pytest_on(folder, folder, "--nbval", *options, columns=200, share_kernel=True)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_notebook_without_ids_or_with_doubled_ids_is_run(run, name):
    assert ["AssertionError" in failure for failure in run.failures[name]] == [True] * len(VALID[name][1])


def test_a_notebook_of_format_3_is_run(run):
    assert "ZeroDivisionError" in run.failures["format_3"][0]


@pytest.mark.parametrize("name", INVALID)
def test_one_line_says_what_cannot_be_accepted(run, name):
    reported = [line for line in run.output.splitlines() if f"{name}.ipynb: not a valid notebook" in line]
    (said,) = [line for line in reported if not line.startswith("ERROR ")]
    assert INVALID[name][1] in said


def test_no_notebook_ends_the_run_of_the_others(run):
    assert "INTERNALERROR" not in run.output
    errors = [line for line in run.output.splitlines() if line.startswith("ERROR ")]
    assert len(errors) == len(INVALID), run.output


@pytest.mark.parametrize("name", STRICT)
def test_the_order_and_the_kind_of_outputs_are_compared(run, name):
    (failure,) = run.failures[name]
    assert ("Cell outputs differ" in failure) == STRICT[name][1], failure


def test_a_worker_reports_the_exercises_of_a_notebook_that_have_no_verdict(run):
    assert run.failures["01_first_task"][-1].startswith("1.1 not checked: no cell runs")


def test_a_cell_that_changes_the_display_of_an_earlier_cell_is_compared_too(run):
    before, failure = run.failures["later"]
    assert before == ""
    assert failure.splitlines()[0] == 'cell 2 (id "cell-2"): changes a display of cell 1 (id "cell-1")'
    assert "-a" in failure.splitlines()
    assert "+b" in failure.splitlines()
