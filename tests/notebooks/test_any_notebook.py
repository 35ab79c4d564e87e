"""Any notebook of format 4.0 to 4.5 can be run, or one line says what can't be accepted."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import NotebookError
from harness.notebooks.files import read_to_run
from tests.support.fuzz import LONGEST, examples, promptly

WORDS = st.sampled_from(["code", "markdown", "raw", "dance", "stream", "stdout", "a", "x" * 5000, "\ud800", "a\nb", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
OUTPUTS = st.fixed_dictionaries(
    {"output_type": st.sampled_from(["stream", "display_data", "execute_result", "error"]) | JSON},
    optional={
        **dict.fromkeys(("name", "ename", "evalue"), st.just("stdout") | JSON),
        **dict.fromkeys(("text", "traceback"), st.just(["a"]) | JSON),
        **dict.fromkeys(("data", "metadata"), st.just({}) | st.just({"text/plain": ["a"]}) | JSON),
        "execution_count": st.just(1) | JSON,
    },
)
CELLS = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "code", "markdown", "raw"]) | JSON},
    optional={
        "source": st.just("1") | st.just(["1\n", "2"]) | JSON,
        "metadata": st.just({}) | st.just({"tags": ["a"]}) | JSON,
        "outputs": st.lists(OUTPUTS, max_size=2) | JSON,
        "execution_count": st.none() | JSON,
        "id": st.sampled_from(["a", "b", "cell-1"]) | JSON,
        "attachments": st.just({}) | JSON,
    },
)
NOTEBOOKS = st.fixed_dictionaries(
    {"nbformat": st.just(4), "nbformat_minor": st.integers(0, 5), "cells": st.lists(CELLS, max_size=4)},
    optional={"metadata": st.just({}) | JSON},
) | st.fixed_dictionaries(
    {"nbformat": st.just(4) | JSON}, optional={"nbformat_minor": JSON, "cells": JSON, "metadata": JSON}
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "any.ipynb"


@pytest.mark.filterwarnings("error")
@examples(40)
@given(raw=NOTEBOOKS | JSON)
def test_any_notebook_is_read_or_refused_in_one_line(file, raw):
    file.write_text(json.dumps(raw), encoding="utf-8")
    try:
        with promptly():
            notebook = read_to_run(file)
    except NotebookError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith(str(file))
        assert len(str(error)) <= LONGEST
    else:
        names = [cell.id for cell in notebook.cells]
        assert len(set(names)) == len(names)
        assert {type(cell.source) for cell in notebook.cells} <= {str}
