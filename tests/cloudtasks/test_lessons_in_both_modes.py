"""The lessons of the course give the same results if Google's client sends their tasks to Cloud Tasks."""

import ast
import json
from functools import partial
from pathlib import Path

import pytest

from harness import Lab
from harness.appengine.taskqueue import preload
from harness.lab import current_lab

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FILES = {"%%controller": "controllers/{}.py", "%%model": "models/{}.py", "%%queue_yaml": "queue.yaml"}


class WatchedLab(Lab):
    """A lab that keeps its attempts and the rows of all tables of its database when it is closed."""

    def __init__(self, kept, cloud_tasks, **options):
        super().__init__(cloud_tasks=cloud_tasks, **options)
        self.kept = kept

    def close(self):
        if not self.closed:
            attempts = [(attempt.task.url, attempt.started, attempt.note) for attempt in self.attempts]
            with self.db() as db:  # also the tables that a later version of a model doesn't define
                names = db.executesql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                tables = {name: db.executesql(f"SELECT * FROM {name}") for (name,) in names}
            self.kept.append((attempts, tables))
        super().close()


def run_notebook(name, cloud_tasks):
    """Run the cells of a notebook without Jupyter.

    Returns:
        What the cells show, and the attempts and the tables of each lab.
    """
    shown, kept = [], []
    names = {
        "Lab": partial(WatchedLab, kept, cloud_tasks),
        "print": lambda *values: shown.append([*map(text_or_type, values)]),
    }
    # "interrupt()" takes 5 seconds, and only repeats the previous cells.
    for cell in json.loads(next(NOTEBOOKS.glob(f"{name}_*.ipynb")).read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith(("predict(", "check(", "hint(", "interrupt()")):
            shown.append(run_cell(source, names))
    for lab in [each for each in names.values() if isinstance(each, Lab)]:
        lab.close()
    return shown, kept


def text_or_type(value):
    """Return a value, or the class of an exception, because the messages may differ between the modes."""
    return type(value) if isinstance(value, Exception) else value


def run_cell(source, names):
    first, _, rest = source.partition("\n")
    magic, *arguments = first.split()
    if magic in FILES:
        current_lab().write(FILES[magic].format(*arguments), rest)
        return None
    statements = ast.parse(source.replace("%load_ext harness", "").replace("import Lab, ", "import ")).body
    last = statements.pop() if isinstance(statements[-1], ast.Expr) else None
    exec(compile(ast.Module(statements, []), "notebook", "exec"), names)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), "notebook", "eval"), names)
    return str(value) if "timeline" not in source and "plot" not in source else None


@pytest.mark.parametrize("name", ["01", "04", "07"])
def test_a_lesson_gives_the_same_results_in_both_modes(name):
    preload()
    (bundled, labs), (cloud, cloud_labs) = run_notebook(name, False), run_notebook(name, True)
    assert any("09:00" in str(value) for value in bundled)
    for one, other in zip(bundled + labs, cloud + cloud_labs, strict=True):
        assert one == other
    defined = {name for _, tables in labs for name in tables}
    filled = {name for _, tables in labs for name, rows in tables.items() if rows}
    assert filled and defined - filled <= {"mytable"}  # "mytable" is in every new application
