"""The kernel that runs a notebook under pytest."""

from __future__ import annotations

import ast
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from queue import Empty
from typing import Any

from nbval.kernel import RunningKernel, start_new_kernel

from harness.notebooks.execute import kernel_environment

_POLL = 0.5  # seconds between two looks at whether the kernel still lives


class KernelDied(Exception):
    """The kernel's process ended while a cell was running."""


class NotebookKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval's kernel with history, without pytest's variables, and with an eye on its own health.

    Args:
        name: the kernel's name, as nbval chose it.
        folder: where it starts.
        startup_timeout: in seconds.
    """

    def __init__(self, name: str, folder: Path, startup_timeout: float) -> None:
        self.reply: dict[str, Any] = {}
        self._resources = ExitStack()
        environment = self._resources.enter_context(kernel_environment(learners=folder.name == "exercises"))
        self.km, self.kc = start_new_kernel(
            startup_timeout=startup_timeout,
            kernel_name=name,
            stderr=subprocess.DEVNULL,
            cwd=str(folder),
            env=environment,
        )
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Run a cell with history (nbval runs without), so that `Out[n]` and a trailing `;` work."""
        self.reply = {}
        return str(self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False))

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for the answer to a request and keep it as `reply`.

        Raises:
            KernelDied: the kernel's process has ended.
            Empty: no answer within the timeout (seconds).
        """
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            try:
                message = self.get_message("shell", timeout=max(0.0, min(_POLL, end - time.monotonic())))
            except Empty:
                if not self.is_alive():
                    raise KernelDied from None
                if time.monotonic() >= end:
                    raise
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                self.reply = message["content"]
                return

    def ask(self, expression: str, timeout: float) -> str:
        """Evaluate an expression beside the cells, without history and output; `reply` stays that of the last cell.

        Args:
            expression: Python, with a text as its value.
            timeout: in seconds.

        Returns:
            The text; "" when there was no answer, or another one.
        """
        reply = self.reply
        try:
            self.await_reply(self.kc.execute("", silent=True, user_expressions={"it": expression}), timeout)
            shown = self.reply["user_expressions"]["it"]["data"]["text/plain"]
            return str(ast.literal_eval(shown))
        except (KernelDied, Empty, KeyError, SyntaxError, ValueError):
            return ""
        finally:
            self.reply = reply

    def close(self) -> None:
        """End the kernel, dead or alive, and give back its sockets and its folder."""
        if hasattr(self, "km"):
            self.stop()
        self._resources.close()
