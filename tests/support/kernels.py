"""Real Jupyter kernels, as JupyterLab starts them, for what becomes of a learner's session."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60  # for anything that a kernel does; many times what a quiet machine needs


class Kernel:
    """Runs cells; `begin` and `end` are the two halves of `run`, for what happens in between.

    Args:
        manager: jupyter_client's, which also interrupts, kills and restarts.
        client: the channels to it.
    """

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self._client = client

    def run(self, source: str) -> str:
        """Return what a cell printed or raised."""
        return self.end(self.begin(source))

    def begin(self, source: str) -> str:
        """Send a cell, and return the id of the message."""
        # What comes after an exception may be aborted with it, unless it is told not to.
        return str(self._client.execute(source, stop_on_error=False))

    def end(self, message: str) -> str:
        """Wait until a cell has ended, and return what it printed or raised."""
        said = []
        while (heard := self._heard(message))[0] != "idle":
            said.append(heard[1])
        return "".join(said)

    def restart(self) -> None:
        """Start it anew, as the kernel menu does, or JupyterLab itself where it died."""
        self.manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=SECONDS)

    def _heard(self, message: str) -> tuple[str, str]:
        while True:
            told = self._client.get_iopub_msg(timeout=SECONDS)
            if told["parent_header"].get("msg_id") == message:
                content = told["content"]
                shown = content.get("data", {}).get("text/plain", "")
                raised = f"{content['ename']}: {content['evalue']}\n" if "ename" in content else ""
                return content.get("execution_state", ""), raised or content.get("text", "") or shown


@contextmanager
def kernel(folder: Path, **environment: str) -> Iterator[Kernel]:
    """Start a kernel in a folder, and end it with this scope."""
    from jupyter_client.manager import start_new_kernel

    more = {"env": environment} if environment else {}
    manager, client = start_new_kernel(
        kernel_name="python3", startup_timeout=SECONDS, cwd=str(folder), stderr=subprocess.DEVNULL, **more
    )
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen within a minute"
        threading.Event().wait(0.01)
