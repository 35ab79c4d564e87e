"""Which notebook the front end has open."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.notebooks.session import notebook_path

HERE = str(Path("01b.ipynb").absolute())


@pytest.mark.parametrize(
    ("session", "names", "path"),
    [
        (HERE, {}, HERE),
        (None, {"__vsc_ipynb_file__": HERE}, HERE),
        ("/elsewhere/other.ipynb", {"__vsc_ipynb_file__": HERE}, HERE),
        ("01b.ipynb", {"__vsc_ipynb_file__": 7}, HERE),  # from an older server
        ("/elsewhere/Console 1", {}, None),
        (None, {}, None),  # nbclient, nbgrader and nbval set neither
    ],
)
def test_the_notebook_is_known_from_the_front_end(session, names, path, monkeypatch):
    shell = SimpleNamespace(kernel=object(), user_ns=names)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session:
        monkeypatch.setenv("JPY_SESSION_NAME", session)
    assert notebook_path() == (Path(path) if path else None)


@pytest.mark.parametrize("ipython", [None, SimpleNamespace(user_ns={})], ids=["Python", "IPython in a terminal"])
def test_a_terminal_has_no_notebook_even_if_a_notebook_started_it(ipython, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", HERE)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: ipython))
    assert notebook_path() is None
