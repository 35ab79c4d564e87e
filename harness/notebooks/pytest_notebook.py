"""A notebook and its cells as pytest sees them."""

from __future__ import annotations

import ast
import subprocess
import textwrap
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from difflib import unified_diff
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from click import unstyle
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel, start_new_kernel
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from harness.errors import CheckError, NotebookError, one_line
from harness.notebooks import files
from harness.notebooks.execute import kernel_environment
from harness.state import command, quoted

# What a failing cell says: one line for the summary, then its source and the few lines that explain it.

_LINES = 40
_WIDTH = 160


def error_line(error: Mapping[str, Any]) -> str:
    """Return the name of an exception and the gist of its message."""
    return f"{error.get('ename')}: {one_line(str(error.get('evalue', '')))}"


def failure_text(headline: str, source: str, details: str | None) -> str:
    """Compose a failure; pytest's summary shows its first line."""
    numbered = [f"{number:4}  {line}" for number, line in enumerate(source.splitlines(), 1)]
    return "\n".join([headline, *numbered, *_shortened(unstyle(details or ""))])


def difference(reference: list[Any], test: list[Any]) -> list[str]:
    """Return how the outputs of a run differ from those in the notebook, as the lines of a unified diff."""
    old, new = list(_lines(reference)), list(_lines(test))
    return list(unified_diff(old, new, "in the notebook", "in this run", n=2, lineterm=""))


def _lines(outputs: list[Any]) -> Iterator[str]:
    for output in outputs:
        if output["output_type"] == "stream":
            yield from output["text"].splitlines()
        elif output["output_type"] == "error":
            yield from f"{output['ename']}: {output['evalue']}".splitlines()
        else:
            for kind, data in sorted(output["data"].items()):
                if not kind.startswith("image/png"):
                    yield f"[{kind}]"
                    yield from str(data).replace("><", ">\n<").splitlines()


def _shortened(details: str) -> list[str]:
    lines = [line[:_WIDTH] for line in details.strip("\n").splitlines()]
    return lines if len(lines) <= _LINES else [*lines[: _LINES // 2], "  …", *lines[-_LINES // 2 :]]


# After the summary, how each exercise stands, in lines that no narrow terminal cuts off.

EXERCISE = "exercise"  # the name of a report's property: an exercise and its verdict, "2.1 not attempted: …"
_COLOURS = {"correct": "green", "not attempted": "yellow"}
_SAVE = "pytest reads what is saved: save the notebook before you run this again."


class ExerciseSummary:
    """Listens to the reports of notebooks; the last words of the run are one entry for each exercise."""

    def __init__(self) -> None:
        self.entries: dict[str, list[str]] = {}  # by notebook
        self.correct = self.all = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        notebook = report.nodeid.partition("::")[0]
        if report.when != "call" or not report.location[0].endswith(".ipynb"):
            return
        verdicts = [str(value) for name, value in report.user_properties if name == EXERCISE]
        entries = self.entries.setdefault(notebook, [])
        if verdicts:
            entries += verdicts
            self.all += len(verdicts)
            self.correct += sum(_stands(verdict) == "correct" for verdict in verdicts)
        elif report.failed:
            entries.append(str(report.longrepr).partition("\n")[0])  # why a check found nothing to check

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        yield
        if not self.all:
            return
        terminalreporter.section("exercises")
        for entry in [entry for entries in self.entries.values() for entry in entries]:
            colour = _COLOURS.get(_stands(entry), "red")
            terminalreporter.write_line(_fitted(entry, terminalreporter), **{colour: True})
        said = "" if self.correct == self.all else f" {_SAVE}"
        terminalreporter.write_line(_fitted(f"{self.correct} of {self.all} correct.{said}", terminalreporter, indent=0))


def _stands(headline: str) -> str:
    """Return the outcome in a headline: "not attempted" of "2.1 not attempted: …"."""
    return headline.partition(" ")[2].partition(":")[0]


def _fitted(text: str, terminalreporter: pytest.TerminalReporter, indent: int = 4) -> str:
    width = terminalreporter.config.get_terminal_writer().fullwidth
    return textwrap.fill(
        text, max(40, width), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


# The kernel that runs a notebook under pytest.

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


# What the checks of this process said since the last time; "" where the notebook has nothing to do with the course.
_VERDICTS = 'getattr(__import__("sys").modules.get("harness.course.api"), "drain_results", str)()'
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
