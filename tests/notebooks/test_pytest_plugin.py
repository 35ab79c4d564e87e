"""The seven defects of nbval that our plugin corrects: each is shown without the plugin and with it.

All notebooks run together with the plugin, and those that show a defect run together with stock nbval, because each
start of pytest takes seconds.
"""

import os
from pathlib import Path

import pytest

from tests.support.labs import shell
from tests.support.nbval_run import Run, pytest_on
from tests.support.scratch import Cell, code, failure, markdown, result, save, stream

pytestmark = pytest.mark.notebook

EXPECTED = ("raises-exception",)
TIMEOUT = 4  # seconds, for stock nbval; long enough for every cell here but the one that kills its kernel
HTML = {"output_type": "execute_result", "metadata": {}, "execution_count": 1}
HTML["data"] = {"text/html": "<b>one</b><i>two</i>", "text/plain": "H"}
SHOWS_HTML = "class H:\n    __repr__ = lambda self: 'H'\n    _repr_html_ = lambda self: '<b>one</b><i>2</i>'\nH()"
# The kernel reads a child's output in a thread of its own, and may do so after the cell has ended.
CHILD = "import os, time\nstatus = os.system('echo from a child')\ntime.sleep(1)"

STRICT: dict[str, list[Cell]] = {
    "never_run": [code("1"), code("print(2)")],
    "out_of_order": [code("a = 1", count=1), code("b = 1", count=3), code("c = 1", count=3)],
    "raises_nothing": [code("a = 1", count=1, tags=EXPECTED)],
    "raises": [code("1 / 0", failure("ZeroDivisionError", "division by zero"), count=1, tags=EXPECTED)],
    "raises_another": [code("int('x')", failure("ZeroDivisionError", "division by zero"), count=1, tags=EXPECTED)],
    "history": [
        code("6 * 7", result("42", 1), count=1),
        code("Out[1]", result("42", 2), count=2),
        code("6 * 7;", count=3),
    ],
    "child": [code(CHILD, stream("from a child\n"), count=1)],
    "dead_kernel": [code("import os\nos._exit(1)", count=1, id="exit"), code("a = 1", count=2, id="later")],
    "differs": [code(SHOWS_HTML, HTML, count=1)],
}
LAX: dict[str, list[Cell]] = {
    "typo": [code("%%controler default\n1", id="typo")],
    "expected_typo": [code("%laod_ext harness", tags=EXPECTED)],
    "never_run_exercise": [code("a = 1")],
    "raises_in_code": [markdown("# A"), code("a = 1\nint('x')", id="number")],
    "check": [code("from harness.errors import CheckError\nraise CheckError('1.1 is not attempted')")],
    "comment_above": [
        code("%load_ext harness\nfrom harness import Lab\nlab = Lab()"),
        code("# NBVAL_IGNORE_OUTPUT\n%%controller default\ndef index(): return 'hello'"),
        code("assert lab.get('default/index').text == 'hello'\nlab.close()"),
    ],
    "many_cells": [code("n = 1"), *(code(f"n += 1; assert n == {n}") for n in range(2, 12))],
}
STOCK_STRICT = ["never_run", "out_of_order", "raises_nothing", "history", "child", "dead_kernel"]
STOCK_LAX = ["typo", "expected_typo", "raises_in_code"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    strict, lax = tmp_path_factory.mktemp("strict"), tmp_path_factory.mktemp("lax")
    for folder, notebooks in ((strict, STRICT), (lax, LAX)):
        for name, cells in notebooks.items():
            save(folder / f"{name}.ipynb", *cells)
    (strict / "broken.ipynb").write_text('{"cells": [\n', encoding="utf-8")
    return strict, lax


def stock(folder: Path, names: list[str], *options: str) -> Run:
    """Run notebooks of a folder with nbval and without our plugin."""
    notebooks = [f"{name}.ipynb" for name in names]
    return pytest_on(folder, folder, *options, "-p", "no:harness", "-p", "no:randomly", *notebooks)


@pytest.fixture(scope="module")
def stock_strict(folders: tuple[Path, Path]) -> Run:
    return stock(folders[0], STOCK_STRICT, "--nbval", f"--nbval-cell-timeout={TIMEOUT}")


@pytest.fixture(scope="module")
def stock_lax(folders: tuple[Path, Path]) -> Run:
    return stock(folders[1], STOCK_LAX, "--nbval-lax")


@pytest.fixture(scope="module")
def strict(folders: tuple[Path, Path]) -> Run:
    options = ("--nbval-cell-timeout=600", "-W", "error")
    return pytest_on(folders[0], folders[0], "--nbval", "--continue-on-collection-errors", *options, share_kernel=True)


@pytest.fixture(scope="module")
def lax(folders: tuple[Path, Path]) -> Run:
    """Two workers of pytest-xdist, and pytest-randomly, which is on unless it is switched off."""
    return pytest_on(folders[1], folders[1], "--nbval-lax", "-n2", "-W", "error")


def test_1_a_mistyped_magic_passes_stock_nbval(stock_lax):
    assert stock_lax.failures["typo"] == [""]


def test_1_a_mistyped_magic_fails(lax):
    assert lax.failures["typo"][0].startswith(
        'cell 1 (id "typo"): UsageError: Cell magic `%%controler` not found.\n   1  %%controler default'
    )


def test_1_a_mistyped_magic_fails_where_an_exception_is_expected_too(stock_lax, lax):
    assert stock_lax.failures["expected_typo"] == [""]
    assert "UsageError: Line magic function `%laod_ext` not found." in lax.failures["expected_typo"][0]


def test_1_a_comment_above_a_magic_is_allowed(lax):
    assert lax.failures["comment_above"] == ["", "", ""]


def test_2_a_notebook_that_was_never_run_passes_stock_nbval(stock_strict):
    assert stock_strict.failures["never_run"] == ["", ""]


def test_2_a_notebook_that_was_never_run_fails(strict):
    first, second = strict.failures["never_run"]
    assert "its execution count is None, not 1, so the notebook was not run from top to bottom" in first
    assert "its execution count is None, not 2" in second


def test_2_a_notebook_run_out_of_order_fails(stock_strict, strict):
    assert stock_strict.failures["out_of_order"] == ["", "", ""]
    assert [bool(text) for text in strict.failures["out_of_order"]] == [False, True, False]


def test_2_the_command_in_the_failure_makes_a_notebook_pass(tmp_path):
    save(tmp_path / "my own.ipynb", code("print(6 * 7)", count=5), code("1 / 0", count=1, tags=EXPECTED))
    failed = pytest_on(tmp_path, tmp_path, "--nbval").failures["my own"][0]
    _, told, rest = failed.partition("save it: ")
    done = shell(rest.splitlines()[0], tmp_path, PATH=os.defpath)
    assert (told, done.returncode) == ("save it: ", 0), done.stderr
    assert pytest_on(tmp_path, tmp_path, "--nbval").failures["my own"] == ["", ""]


def test_2_an_exercise_that_was_never_run_may_pass(lax):
    assert lax.failures["never_run_exercise"] == [""]


def test_3_a_cell_that_should_raise_and_does_not_passes_stock_nbval(stock_strict):
    assert stock_strict.failures["raises_nothing"] == [""]


def test_3_a_cell_that_should_raise_and_does_not_fails(strict):
    assert "tagged raises-exception, but it raised nothing" in strict.failures["raises_nothing"][0]


def test_3_a_cell_that_raises_as_it_should_passes(strict):
    assert strict.failures["raises"] == [""]


def test_3_a_cell_that_raises_another_exception_fails(strict):
    assert "-ZeroDivisionError: division by zero\n+ValueError: invalid literal" in strict.failures["raises_another"][0]


def test_4_history_and_a_trailing_semicolon_do_not_work_in_stock_nbval(stock_strict):
    assert [bool(text) for text in stock_strict.failures["history"]] == [False, True, True]


def test_4_history_and_a_trailing_semicolon_work(strict):
    assert strict.failures["history"] == ["", "", ""]


def test_5_the_output_of_a_child_process_is_lost_in_stock_nbval(stock_strict):
    assert "stdout" in stock_strict.failures["child"][0]


def test_5_the_output_of_a_child_process_is_compared(strict):
    assert strict.failures["child"] == [""]


def test_6_a_dead_kernel_is_noticed_only_at_the_time_out_in_stock_nbval(stock_strict):
    assert stock_strict.seconds["dead_kernel"][0] > TIMEOUT


def test_6_a_dead_kernel_is_noticed_at_once_though_the_time_out_is_ten_minutes(strict):
    first, second = strict.failures["dead_kernel"]
    assert first.startswith('cell 1 (id "exit"): the kernel died while this cell ran')
    assert second.startswith('cell 2 (id "later"): not run: the kernel died in an earlier cell')
    assert sum(strict.seconds["dead_kernel"]) < 60


def test_7_the_summary_of_stock_nbval_does_not_say_what_failed(stock_lax):
    assert "Notebook cell execution failed" in stock_lax.summary("raises_in_code")
    assert "ValueError" not in stock_lax.summary("raises_in_code")


def test_7_the_summary_says_which_cell_failed_and_why(lax):
    begins = 'FAILED raises_in_code.ipynb::number - cell 2 (id "number"): ValueError: '
    assert lax.summary("raises_in_code").startswith(begins)


def test_7_a_failure_shows_the_cell_and_the_exception_without_colours(lax):
    first, *rest = lax.failures["raises_in_code"][0].splitlines()
    assert rest[:2] == ["   1  a = 1", "   2  int('x')"]
    assert rest[-1].startswith("ValueError: invalid literal for int()")
    assert "\x1b" not in "".join(rest)


def test_7_a_verdict_of_the_course_is_shown_without_a_traceback(lax):
    lines = lax.failures["check"][0].splitlines()
    assert lines[0] == 'cell 1 (id "cell-1"): CheckError: 1.1 is not attempted'
    assert lines[-1] == "CheckError: 1.1 is not attempted"
    assert len(lines) == 4


def test_7_a_different_output_is_shown_as_a_diff(strict):
    lines = strict.failures["differs"][0].splitlines()
    assert lines[5:7] == ["--- in the notebook", "+++ in this run"]
    assert [line for line in lines[7:] if line[0] in "+-"] == ["-<i>two</i>", "+<i>2</i>"]


def test_cells_run_in_order_in_one_worker_whatever_shuffles_them(lax):
    assert "2 workers" in lax.output
    assert "Using --randomly-seed" in lax.output
    assert lax.failures["many_cells"] == [""] * 11


def test_a_run_without_exercises_lists_none(lax):
    assert " exercises =" not in lax.output


def test_kernels_leave_no_folders_behind(folders, strict, lax):
    assert strict.failures.keys() >= STRICT.keys()
    assert [path for folder in folders for path in folder.glob("harness-*")] == []


def test_the_error_for_broken_json_names_the_line(strict):
    assert "broken.ipynb, line 2: the file ends here" in strict.output


@pytest.mark.parametrize("options", [(), ("-p", "no:nbval", "-p", "no:xdist")])
def test_the_plugin_does_not_change_plain_pytest(pytester: pytest.Pytester, options: tuple[str, ...]):
    save(pytester.path / "a.ipynb", code("1 / 0"))
    pytester.makepyfile("def test_a(): pass")
    pytester.runpytest_subprocess("-W", "error", *options).assert_outcomes(passed=1)
