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
    """Run a notebook in the folder of its file `path`.

    Returns:
        A copy of the notebook with the new outputs and execution counts.

    Raises:
        NotebookError: a cell raised an exception, was tagged raises-exception but raised nothing, ran for more than a
            minute, or ended the kernel. The message names the cell and contains the exception's message.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat import from_dict

    executed = from_dict(notebook)  # a copy
    reached = [str(path)]  # the file, then each cell when it starts

    def start(cell: Cell, cell_index: int) -> None:
        reached.append(f"{path}, {cell_label(cell, cell_index)}")

    def end(cell: Cell, cell_index: int, execute_reply: Mapping[str, Any]) -> None:
        tagged = "raises-exception" in cell.metadata.get("tags", [])
        if tagged and not any(output.output_type == "error" for output in cell.outputs):
            raise NotebookError(f"{reached[-1]}: tagged raises-exception, but it raised nothing")

    client = NotebookClient(
        executed,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        startup_timeout=CELL_TIMEOUT,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # otherwise jupyter-client 8.10 warns about TCP
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=start,
        on_cell_executed=end,
    )
    try:
        with kernel_environment() as environment:
            # `asyncio.run` closes its event loop; nbclient 0.11's own `execute` leaves one open per thread.
            asyncio.run(client.async_execute(env=environment))
    except CellExecutionError as error:
        raise NotebookError(f"{reached[-1]}: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookError(f"{reached[-1]}: still running after {CELL_TIMEOUT} seconds") from None
    except DeadKernelError:
        raise NotebookError(f"{reached[-1]}: the kernel died") from None
    return executed
