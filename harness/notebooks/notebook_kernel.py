"""The kernel that runs a notebook under pytest; see pytest_plugin."""

import ast
import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from queue import Empty
from typing import Any

from nbformat import from_dict
from nbval.kernel import RunningKernel, start_new_kernel

from harness.notebooks.build import kernel_environment
from harness.notebooks.copies import MY_COURSE

_POLL = 0.5  # seconds between two checks whether the kernel is alive
_OUTPUTS = ("stream", "display_data", "execute_result", "error")  # messages that add an output


class KernelDied(Exception):
    """The kernel's process ended while a cell was running."""


class NotebookKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval's kernel with history, without pytest's variables, and with a check that its process is alive.

    It also applies messages that change earlier outputs, as JupyterLab does; nbval ignores them.
    """

    def __init__(self, name: str, folder: Path, startup_timeout: float) -> None:
        self.reply: dict[str, Any] = {}
        self.changed = False  # whether the last cell changed a display, perhaps one of an earlier cell
        self._displays: defaultdict[str, list[Any]] = defaultdict(list)  # the data of each display, by its id
        self._cell = ""  # the id of the message that started the last cell
        self._clears = False  # whether the next output replaces the earlier ones
        self._resources = ExitStack()
        is_learners = folder.name in ("exercises", MY_COURSE)
        environment = self._resources.enter_context(kernel_environment(learners=is_learners))
        self.km, self.kc = start_new_kernel(
            startup_timeout=startup_timeout,
            kernel_name=name,
            stderr=subprocess.DEVNULL,
            cwd=str(folder),
            env=environment,
        )
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Start a cell with history, so that `Out[n]` and a trailing `;` work, and return the message's id."""
        self.reply, self.changed, self._clears = {}, False, False
        self._cell = str(self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False))
        return self._cell

    def apply(self, message: Any, outputs: list[Any]) -> None:
        """Apply a message of the running cell to its outputs: clear them, or change displays with the same id."""
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != self._cell:
            return
        if kind == "clear_output" or kind in _OUTPUTS:
            waits = kind == "clear_output" and content["wait"]
            if self._clears or (kind == "clear_output" and not waits):
                outputs.clear()
            self._clears = waits
        display = content.get("transient", {}).get("display_id")
        if display and kind in ("display_data", "update_display_data"):
            for data in self._displays[display]:
                data.clear()
                data.update(content["data"])
                self.changed = True
            if kind == "display_data":
                content["data"] = from_dict(content["data"])  # nbval puts this object into the outputs
                self._displays[display].append(content["data"])

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for the reply to a request and store it as `reply`.

        Raises:
            KernelDied: the kernel's process has ended.
            Empty: there was no reply within the timeout, in seconds.
        """
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        message = None
        while message is None or message["parent_header"].get("msg_id") != msg_id:
            try:
                message = self.get_message("shell", timeout=max(0.0, min(_POLL, end - time.monotonic())))
            except Empty:
                if not self.is_alive():
                    raise KernelDied from None
                if time.monotonic() >= end:
                    raise
        self.reply = message["content"]

    def ask(self, expression: str, timeout: float) -> str:
        """Return the string that an expression evaluates to, or "" if the kernel didn't return one in time.

        The expression runs without history and output, and `reply` remains the reply to the last cell.
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
        """Stop the kernel, if its process is alive, and free its sockets and its folder."""
        if hasattr(self, "km"):
            self.stop()
        self._resources.close()
