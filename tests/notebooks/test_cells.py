"""The first line of a cell names the file that the cell writes."""

import pytest

from harness.errors import MagicError
from harness.notebooks.cells import MAGICS, Target, cell_body, cell_target, magic_first, parse_magic


@pytest.mark.parametrize(
    ("magic", "line", "target"),
    [
        ("controller", "default", Target("controllers/default.py")),
        ("controller", "  default  ", Target("controllers/default.py")),
        ("controller", "default --app stats", Target("controllers/default.py", "stats")),
        ("controller", "--app stats default", Target("controllers/default.py", "stats")),
        ("controller", "default --app=stats", Target("controllers/default.py", "stats")),
        ("model", "db", Target("models/db.py")),
        ("view", "default/index.html", Target("views/default/index.html")),
        ("routes", "", Target("routes.py")),
        ("queue_yaml", " ", Target("queue.yaml")),
        ("app_yaml", "", Target("app.yaml")),
        ("main_py", "", Target("main.py")),
    ],
)
def test_a_magic_names_a_file(magic, line, target):
    assert parse_magic(magic, line) == target


@pytest.mark.parametrize(
    ("magic", "line", "says"),
    [
        ("controller", "", "needs one name, and it is missing; for example: %%controller default"),
        ("controller", "a b", "needs one name, not 'a b'"),
        ("controller", "default.py", "without .py, not 'default.py'"),
        ("model", "db.py", "without .py, not 'db.py'"),
        ("model", "db --force", "no option '--force'; for example: %%model db, or %%model db --app stats"),
        ("view", "-x a.html", "no option '-x'"),
        ("controller", "default --apps stats", "no option '--apps'"),
        ("controller", "default --app", "needs one application name after --app; for example"),
        ("controller", "default --app=", "needs one application name after --app"),
        ("controller", "default --app a --app b", "needs one application name after --app"),
        ("routes", "default", "takes no arguments, not 'default'"),
        ("routes", "--app stats", "takes no arguments, not '--app stats'"),
        ("queue_yaml", "mail", "takes no arguments, not 'mail'"),
        ("app_yaml", "worker", "takes no arguments, not 'worker'"),
        ("main_py", "main", "takes no arguments, not 'main'"),
        ("queue_yaml", "--rate 5", "no option '--rate'; for example: %%queue_yaml"),
    ],
)
def test_a_line_that_a_magic_cannot_take_is_quoted_with_an_example(magic, line, says):
    with pytest.raises(MagicError) as caught:
        parse_magic(magic, line)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"%%{magic} ")


def test_every_magic_has_an_example_that_works():
    for magic in MAGICS:
        with pytest.raises(MagicError) as caught:
            parse_magic(magic, "--unknown")
        example = str(caught.value).partition("for example: ")[2].partition(",")[0]
        assert cell_target(f"{example}\npass") is not None


@pytest.mark.parametrize("source", ["x = 1", "%%time\nx", "%controller default", "", "# %%controller default", "%%"])
def test_another_cell_writes_no_file(source):
    assert cell_target(source) is None


def test_a_cell_is_read_whatever_blank_lines_come_first():
    assert cell_target("\n\n%%controller default --app stats\npass") == Target("controllers/default.py", "stats")
    assert cell_target("%%routes") == Target("routes.py")


@pytest.mark.parametrize("above", ["# my answer", "#\n\n  # more", "\n# first\n"])
def test_a_cell_is_read_whatever_comments_come_first_and_its_lines_keep_their_numbers(above):
    cell = f"{above}\n%%controller default --app stats\ndef f():\n    pass"
    assert cell_target(cell) == Target("controllers/default.py", "stats")
    body, lines = cell_body(cell).split("\n"), cell.split("\n")
    start = lines.index("def f():")
    assert (len(body), body[start:]) == (len(lines), lines[start:])
    assert [line for line in body[:start] if line] == [line for line in above.split("\n") if line]


def test_comments_above_a_view_are_not_a_part_of_it():
    assert cell_body("# the page\n\n%%view default/index.html\n<b>") == "\n<b>"


@pytest.mark.parametrize("source", ["x = 1\n%%controller default\n", "# a\n%%time\nx", "# a\n%%", "# a\n"])
def test_only_comments_and_only_our_magics_are_looked_through(source):
    assert cell_target(source) is None
    assert magic_first(source) == source


def test_the_body_keeps_the_cells_line_numbers():
    assert cell_body("%%controller default\ndef f():\n    pass\n").splitlines()[1] == "def f():"
    assert cell_body("%%controller default") == "\n"
