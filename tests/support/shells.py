"""A real IPython shell in this process, for tests of a cell's effects and output."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from harness import lab


class Shell:
    """A shell that runs cells; `text` is the output of the last cell, and `error` the exception that it raised."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.text = ""
        self.error: BaseException | None = None

    def run(self, *lines: str) -> ExecutionResult:
        shown = StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            result = self.shell.run_cell("\n".join(lines), store_history=True)
        self.text = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
        self.error = result.error_before_exec or result.error_in_exec
        return result


@contextmanager
def ipython(folder: Path) -> Iterator[Shell]:
    """Make a shell that saves no history and doesn't change `__main__`; its labs are closed at the end."""
    settings = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        before = list(lab._labs)
        try:
            yield Shell(InteractiveShell(config=settings, ipython_dir=str(folder)))
        finally:
            for made in [reference() for reference in lab._labs if reference not in before]:
                if made is not None:
                    made.close()
