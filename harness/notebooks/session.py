"""The notebook that the front end of this kernel has open, and the cells of this kernel that wrote files."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.appengine.written_files import files_written
from harness.errors import HarnessError
from harness.notebooks.cells import Target

_runs: dict[Target, "CellRun"] = {}


@dataclass(frozen=True, slots=True)
class CellRun:
    """The last run of a cell that writes a file.

    Args:
        source: the text that the cell writes.
        stored: the text that `files_written` had for the file after the run, or None if it had none.
        refused: the message of the error if the file wasn't written, or "".
        count: the cell's execution count.
        at: when the run ended, in nanoseconds of real time, as in `os.stat_result.st_mtime_ns`.
    """

    source: str
    stored: str | None
    refused: str
    count: int
    at: int


def notebook_path() -> Path | None:
    """Return the absolute path of the notebook that is open in JupyterLab or VS Code with this kernel.

    A notebook that was renamed or moved after its kernel started keeps its old path here.

    Returns:
        The path, or None in a terminal, in a console, and where a program runs the notebook (a build, nbval, nbgrader).
    """
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return None
    # VS Code sets the first one, and Jupyter Server sets the second one. A console's session has another name.
    names = (shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"))
    name = next((name for name in names if isinstance(name, str) and name.endswith(".ipynb")), None)
    return None if name is None else Path(name).absolute()


@contextmanager
def cell_run(target: Target, source: str) -> Iterator[None]:
    """Record the run of a cell that writes a file in this scope. If a HarnessError is raised, the file was refused."""
    refused = ""
    try:
        yield
    except HarnessError as error:
        refused = str(error)
        raise
    finally:
        stored = files_written().get((target.app, target.path))
        _runs.pop(target, None)  # the newest is the last
        _runs[target] = CellRun(source, stored, refused, _count(), time.time_ns())


def cell_runs() -> dict[Target, CellRun]:
    """Return, for each file, the last run of a cell that wrote it or should have written it; the newest is the last."""
    return dict(_runs)


def _count() -> int:
    """Return the execution count of the cell that runs.

    `execution_count` can't be used, because IPython 9.18 adds 1 to it before the cell runs, and not afterwards.
    """
    shell = _shell()
    return 0 if shell is None else len(shell.history_manager.input_hist_raw) - 1


def _shell() -> Any:
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
