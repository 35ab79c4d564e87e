"""Cell magics in a real IPython: the files that they write, their messages, and cells that they must not change."""

import re
from collections.abc import Iterator

import pytest

from harness import Lab
from harness.errors import LabClosedError, MagicError, NameRefusedError, QueueConfigError, SourceError
from harness.notebooks.cells import MAGICS
from tests.support.labs import python
from tests.support.pythons import path_without_bytecode
from tests.support.shells import Shell, ipython


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(apps=("tutorial", "stats")) as lab:
        yield lab


@pytest.fixture
def cell(tmp_path) -> Iterator[Shell]:
    with ipython(tmp_path) as shell:
        shell.run("%load_ext harness")
        yield shell


def test_a_controller_is_written_and_its_actions_are_named(cell, lab):
    cell.run("%%controller default", "def index():", "    return 'hello'", "def _other( ) :", "    return ''")
    assert cell.error is None
    assert cell.text == "controllers/default.py written. Actions: index, _other.\n"
    assert lab.get("default/index").text == "hello"
    assert lab.get("default/_other").status == 200


@pytest.mark.parametrize(
    "definition", ["def f(x): pass", "async def f(): pass", "class f: pass", "f = lambda: 1", "def __f(): pass"]
)
def test_a_definition_that_web2py_does_not_serve_is_not_listed_as_an_action(definition, cell, lab):
    cell.run("%%controller default", definition, "    ", "def f (", "): pass")
    assert cell.text == "controllers/default.py written. Actions: none.\n"
    assert lab.get("default/f").status == 404


def test_a_controller_keeps_the_line_numbers_of_its_cell(cell, lab):
    cell.run("%%controller default", "def index():", "    return 1/0")
    assert lab.get("default/index").ticket.where == "tutorial/controllers/default.py, line 3"


def test_another_application_is_chosen_by_its_name(cell, lab):
    cell.run("%%controller default --app stats", "def index(): return 'stats'")
    assert cell.text == "stats/controllers/default.py written. Actions: index.\n"
    assert lab.get("/stats/default/index").text == "stats"
    assert lab.get("default/index").status == 404


def test_a_model_a_view_routes_and_queue_yaml_are_written(cell, lab):
    cell.run("%%model greeting", "greeting = 'hello'")
    assert cell.text == "models/greeting.py written.\n"
    cell.run("%%controller default", "def index(): return dict(word=greeting)")
    cell.run("%%view default/index.html", "<b>{{=word}}</b>")
    assert lab.get("default/index").text == "<b>hello</b>\n"
    cell.run("%%routes", "routes_in = [('/short', '/tutorial/default/index')]")
    assert (cell.text, lab.get("/short").text) == ("routes.py written.\n", "<b>hello</b>\n")
    cell.run("%%queue_yaml", "queue:", "- name: mail", "  rate: 2/s")
    assert (cell.text, lab.queue("mail").config.rate) == ("queue.yaml written.\n", 2)
    assert lab.read("queue.yaml") == "queue:\n- name: mail\n  rate: 2/s\n"


def test_the_files_of_a_deployment_are_kept_and_do_not_run(cell, lab):
    cell.run("%%app_yaml", "runtime: python312")
    assert (cell.text, lab.read("app.yaml")) == ("app.yaml written.\n", "runtime: python312\n")
    cell.run("%%main_py", "raise SystemExit")
    assert (cell.text, lab.read("main.py")) == ("main.py written.\n", "\nraise SystemExit\n")


def test_the_newest_lab_is_written_to(cell, lab):
    with Lab() as newest:
        cell.run("%%controller default", "def f(): return 'newest'")
        assert newest.get("default/f").text == "newest"
    assert lab.get("default/f").status == 404
    cell.run("%%controller default", "def f(): return 'again'")
    assert lab.get("default/f").text == "again"


def test_without_a_lab_a_magic_says_how_to_make_one(cell):
    cell.run("%%controller default", "def f(): pass")
    assert isinstance(cell.error, LabClosedError)
    assert cell.text.rstrip().endswith("make one first:\n    from harness import Lab\n    lab = Lab()")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["%%controller default --fast", "pass"], MagicError),
        (["%%controller", "pass"], MagicError),
        (["%%controller de-fault", "pass"], NameRefusedError),
        (["%%controller default --app nope", "pass"], NameRefusedError),
        (["%%controller default", "def f(:"], SourceError),
        (["%%model db", "x ="], SourceError),
        (["%%routes", "1 +"], SourceError),
        (["%%queue_yaml", "queue: 5"], QueueConfigError),
        (["%%main_py", "app = "], SourceError),
    ],
)
def test_the_message_of_a_mistake_is_short_and_has_no_traceback(lines, error, cell, lab):
    cell.run(*lines)
    assert type(cell.error) is error
    assert cell.text == f"{error.__name__}: {cell.error}\n"
    assert len(cell.text.splitlines()) <= 6


@pytest.mark.parametrize("magic", ["%%controller default", "%%model db", "%%routes", "%%view default/index.html"])
@pytest.mark.parametrize("rest", [[], [""], ["", "   "], ["# a comment"]])
def test_a_cell_with_nothing_in_it_is_never_ipythons_usage_error(magic, rest, cell, lab):
    cell.run(magic, *rest)
    assert "UsageError" not in cell.text
    assert isinstance(cell.error, SourceError) == magic.startswith("%%controller")


def test_the_error_for_an_empty_controller_shows_an_example(cell, lab):
    cell.run("%%controller default")
    assert "holds no code yet" in cell.text
    assert "def index()" in cell.text


def test_comments_and_blank_lines_may_be_above_a_magic(cell, lab):
    cell.run("# my first answer", "", "%%controller default", "def index():", "    return 1/0")
    assert (cell.error, cell.text) == (None, "controllers/default.py written. Actions: index.\n")
    assert lab.read("controllers/default.py") == "\n# my first answer\n\ndef index():\n    return 1/0\n"
    assert lab.get("default/index").ticket.where == "tutorial/controllers/default.py, line 5"
    cell.run("", "", "%%controller default", "def index():", "    return 1/0")
    assert lab.get("default/index").ticket.where == "tutorial/controllers/default.py, line 5"
    cell.run("# two a second", "%%queue_yaml", "queue:", "- name: mail", "  rate: 2/s")
    assert (cell.text, lab.queue("mail").config.rate) == ("queue.yaml written.\n", 2)
    cell.run("  # the page", "  %%view default/index.html", "  <b>page</b>")
    assert lab.read("views/default/index.html") == "<b>page</b>\n"


@pytest.mark.parametrize(
    "magic", ["controller default", "model db", "routes", "view default/index.html", "queue_yaml", "app_yaml"]
)
def test_the_error_for_code_above_a_magic_gives_the_remedy(magic, cell, lab):
    cell.run("# a note", "x = 1", f"%%{magic}", "y = 2")
    assert isinstance(cell.error, MagicError)
    assert f"MagicError: %%{magic.split()[0]} has code above it. Move that code into a cell of its own" in cell.text
    assert "not found" not in cell.text


def test_a_comment_above_another_magic_is_left_to_ipython(cell):
    cell.run("# a note", "%%time", "x = 1")
    assert "Line magic function `%%time` not found" in cell.text


def test_an_empty_cell_of_another_magic_is_left_to_ipython(cell):
    cell.run("%%time")
    assert "UsageError" in cell.text
    cell.run("%%html --nope")
    assert cell.text


def test_loading_the_extension_again_does_no_harm(cell, lab):
    transformers = list(cell.shell.input_transformers_cleanup)
    cell.run("%load_ext harness")
    cell.run("%reload_ext harness")
    assert cell.error is None
    assert cell.shell.input_transformers_cleanup == transformers
    cell.run("%%controller default", "def f(): return 1")
    assert cell.text == "controllers/default.py written. Actions: f.\n"


@pytest.mark.parametrize("magic", MAGICS)
def test_every_magic_exists_and_has_a_docstring(magic, cell):
    function = cell.shell.find_cell_magic(magic)
    assert re.search(rf"^ +%%{magic}( |$)", function.__doc__, re.MULTILINE)
    assert len(function.__doc__.splitlines()) >= 4


IMPORTS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
shell.run_cell("%load_ext harness")
shell.run_cell("from google.appengine.api import taskqueue\\nfrom google.appengine.ext import deferred")
shell.run_cell("import gluon.tools")
"""


def test_a_cell_that_imports_google_or_web2py_prints_no_warning_where_there_is_no_bytecode(tmp_path):
    done = python(IMPORTS, tmp_path, PYTHONPATH=path_without_bytecode(tmp_path), IPYTHONDIR=str(tmp_path))
    assert "Warning" not in done.stdout + done.stderr
