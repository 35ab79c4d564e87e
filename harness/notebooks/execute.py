"""Run a notebook from top to bottom in a new kernel, as JupyterLab would."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import NotebookError
from harness.notebooks.files import Cell, Notebook, cell_label
from harness.state import VARIABLE

CELL_TIMEOUT = 60  # seconds


@contextmanager
def kernel_environment(*, learners: bool = False) -> Iterator[dict[str, str]]:
    """Create the environment variables of a kernel whose outputs must be reproducible.

    The kernel gets its own IPython folder, without the user's start-up files and history. It shows no progress bars of
    tqdm, because they depend on real time. It gets no variables of pytest, because ipykernel 7 doesn't capture the
    output of child processes if PYTEST_CURRENT_TEST is set.

    Args:
        learners: save solved exercises in the learner's progress; otherwise they are discarded with the kernel.

    Yields:
        All environment variables. The IPython folder is deleted at the end of the `with` block.
    """
    with TemporaryDirectory(prefix="harness-ipython-") as folder:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        progress = {} if learners else {VARIABLE: str(Path(folder) / "progress")}
        yield {**inherited, "IPYTHONDIR": folder, "TQDM_DISABLE": "1", **progress}


def execute(notebook: Notebook, path: Path) -> Notebook:
    """Run a notebook.

    Args:
        notebook: the notebook; it isn't changed.
        path: its file; the kernel starts in the file's folder.

    Returns:
        A copy with the new outputs and execution counts.

    Raises:
        NotebookError: a cell raised an exception, was tagged raises-exception but raised nothing, ran for more than a
            minute, or ended the kernel. The message names the cell and contains the exception's message.
    """
    return _Run(notebook, path).execute()


class _Run:
    """One execution of a notebook, and the cell that is running."""

    def __init__(self, notebook: Notebook, path: Path) -> None:
        from nbformat import from_dict

        self.notebook = from_dict(notebook)  # a copy
        self.path = path
        self.reached = str(path)

    def execute(self) -> Notebook:
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        client = self._client()
        try:
            with kernel_environment() as environment:
                # `asyncio.run` closes its event loop; nbclient 0.11's own `execute` leaves one open per thread.
                return asyncio.run(client.async_execute(env=environment))
        except CellExecutionError as error:
            raise NotebookError(f"{self.reached}: {error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise NotebookError(f"{self.reached}: still running after {CELL_TIMEOUT} seconds") from None
        except DeadKernelError:
            raise NotebookError(f"{self.reached}: the kernel died") from None

    def _client(self) -> Any:
        from nbclient import NotebookClient

        return NotebookClient(
            self.notebook,
            kernel_name="python3",
            timeout=CELL_TIMEOUT,
            startup_timeout=CELL_TIMEOUT,
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # otherwise jupyter-client 8.10 warns about TCP
            resources={"metadata": {"path": str(self.path.parent)}},
            on_cell_start=self._start,
            on_cell_executed=self._executed,
        )

    def _start(self, cell: Cell, cell_index: int) -> None:
        self.reached = f"{self.path}, {cell_label(cell, cell_index)}"

    def _executed(self, cell: Cell, cell_index: int, execute_reply: Mapping[str, Any]) -> None:
        tagged = "raises-exception" in cell.metadata.get("tags", [])
        if tagged and not any(output.output_type == "error" for output in cell.outputs):
            raise NotebookError(f"{self.reached}: tagged raises-exception, but it raised nothing")
