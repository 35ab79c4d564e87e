"""A notebook and its cells as pytest sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from harness.errors import CheckError, NotebookError
from harness.notebooks import files
from harness.pytest_plugin.exercises import EXERCISE
from harness.pytest_plugin.kernel import KernelDied, NotebookKernel
from harness.pytest_plugin.report import difference, error_line, failure_text
from harness.state import command, quoted

# What the checks of this process said since the last time; "" where the notebook has nothing to do with the course.
_VERDICTS = 'getattr(__import__("sys").modules.get("harness.checks.judged"), "drain", str)()'
_PATIENCE = 5  # seconds
_RAISED = "Cell execution caused an exception"  # nbval's words; the exception's own are better


class NotebookFile(IPyNbFile):  # type: ignore[misc]  # nbval has no types
    """nbval's notebook, with our kernel and our cells."""

    def setup(self) -> None:
        option = self.config.option
        stored = self.nb.metadata.get("kernelspec", {}).get("name", "python3")
        chosen = CURRENT_ENV_KERNEL_NAME if option.nbval_current_env else option.nbval_kernel_name or stored
        self.kernel = NotebookKernel(chosen, self.path.parent, option.nbval_kernel_startup_timeout)
        self.setup_sanitize_files()

    def teardown(self) -> None:
        if self.kernel is not None:
            self.kernel.close()

    def collect(self) -> Iterator[pytest.Item]:
        try:
            files.read(self.path)
        except NotebookError as error:
            raise self.CollectError(str(error)) from None
        for cell in super().collect():
            yield NotebookCell.from_parent(
                self, name=cell.cell.id, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )


class NotebookCell(IPyNbCell):  # type: ignore[misc]  # nbval has no types
    """nbval's cell, held to more: see the package's list."""

    def runtest(self) -> None:
        if not self.options["skip"]:
            self._require_living_kernel()
            self._require_count()
        try:
            super().runtest()
        except KernelDied:
            self.raise_cell_error("the kernel died while this cell ran")
        finally:
            self._note_verdicts()
        self._require_outcome()

    def _note_verdicts(self) -> None:
        """Keep what the cell's checks said, each in one line, as properties that reports and JUnit's XML carry.

        A cell that shows a failure on purpose is left out.
        """
        if self.config.option.nbval_lax and not self.options["check_exception"]:
            answer = self.parent.kernel.ask(_VERDICTS, _PATIENCE)
            self.user_properties += [(EXERCISE, headline) for headline in answer.splitlines()]

    def _require_living_kernel(self) -> None:
        if not self.parent.kernel.is_alive():
            self.raise_cell_error("not run: the kernel died in an earlier cell")

    def _require_count(self) -> None:
        """Where outputs are compared there must be something to compare with: a notebook run from top to bottom."""
        count, expected = self.cell.execution_count, self.cell_num + 1
        if self.options["check"] and count != expected:
            self.raise_cell_error(
                f"its execution count is {count}, not {expected}, so the notebook was not run from top to bottom. "
                "Compare no outputs (--nbval-lax), or run all of it and save it: "
                f"{command('jupyter')} execute --inplace {quoted(self.path)}"
            )

    def _require_outcome(self) -> None:
        """Look at the kernel's own verdict, which nbval does not read."""
        reply = self.parent.kernel.reply
        if reply.get("status") == "error" and not self._raised():
            self.raise_cell_error(error_line(reply))
        if self.options["check_exception"] and not self._raised():
            self.raise_cell_error("tagged raises-exception, but it raised nothing")

    def _raised(self) -> dict[str, Any] | None:
        """Return the error that the cell showed, if any."""
        return next((output for output in self.test_outputs or [] if output["output_type"] == "error"), None)

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: tuple[str, ...] | None = None) -> bool:
        if super().compare_outputs(test, ref, skip_compare):
            return True
        shown = difference(ref, test)
        if shown:  # otherwise nbval's own words stay
            self.comparison_traceback = shown
        return False

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return f"{self.name} could not be run: {error!r}"
        raised = self._raised() if str(error) == _RAISED else None
        return failure_text(self._headline(error, raised), self.cell.source, error.inner_traceback)

    def _headline(self, error: NbCellError, raised: dict[str, Any] | None) -> str:
        if self.user_properties and raised and raised["ename"] == CheckError.__name__:
            return str(self.user_properties[-1][1])
        label = files.cell_label(self.cell, self.parent.nb.cells.index(self.cell))
        return f"{label}: {error_line(raised) if raised else error}"

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.nodeid
