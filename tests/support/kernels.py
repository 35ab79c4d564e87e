"""Real Jupyter kernels, started as JupyterLab starts them, for tests of a learner's session."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60  # the time-out of every wait; much longer than an idle machine needs


class Kernel:
    """A kernel that runs cells; `begin` and `end` are the two halves of `run`.

    Args:
        manager: jupyter_client's manager, which can also interrupt, kill and restart the kernel.
        client: the channels to the kernel.
    """

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self._client = client

    def run(self, source: str) -> str:
        """Run a cell and return its output, or the exception that it raised."""
        return self.end(self.begin(source))

    def begin(self, source: str) -> str:
        """Send a cell to the kernel and return the message's id."""
        # Without stop_on_error=False, an exception in this cell may abort the next cells.
        return str(self._client.execute(source, stop_on_error=False))

    def end(self, message: str) -> str:
        """Wait until a cell has ended, and return its output, or the exception that it raised."""
        texts = []
        while (received := self._receive(message))[0] != "idle":
            texts.append(received[1])
        return "".join(texts)

    def complete(self, source: str) -> list[str]:
        """Return the completions at the mark `|` of a cell, without the part that is already in front of the mark."""
        before, _, after = source.partition("|")
        reply = self._client.complete(before + after, len(before), reply=True, timeout=SECONDS)["content"]
        typed = len(before) - reply["cursor_start"]
        return [str(match)[typed:] for match in reply["matches"]]

    def inspect(self, source: str) -> str:
        """Return what Shift+Tab shows at the mark `|` of a cell, or "" if the name is unknown."""
        before, _, after = source.partition("|")
        reply = self._client.inspect(before + after, len(before), reply=True, timeout=SECONDS)["content"]
        return str(reply["data"].get("text/plain", ""))

    def restart(self) -> None:
        """Restart the kernel, as the kernel menu does, and as JupyterLab does after a kernel died."""
        self.manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=SECONDS)

    def _receive(self, message: str) -> tuple[str, str]:
        """Return the execution state and the text in the next reply to a message."""
        while True:
            reply = self._client.get_iopub_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == message:
                content = reply["content"]
                shown = content.get("data", {}).get("text/plain", "")
                raised = f"{content['ename']}: {content['evalue']}\n" if "ename" in content else ""
                return content.get("execution_state", ""), raised or content.get("text", "") or shown


@contextmanager
def kernel(folder: Path, **environment: str) -> Iterator[Kernel]:
    """Start a kernel in a folder, and shut it down at the end of the `with` block."""
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
