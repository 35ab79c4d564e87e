"""A notebook and its cells as pytest's collector and items, with the kernel and the reports; see pytest_plugin."""

import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping
from difflib import unified_diff
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from nbval.kernel import CURRENT_ENV_KERNEL_NAME
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError, find_comment_markers, find_metadata_tags

from harness.errors import CheckError, NotebookError, one_line
from harness.notebooks import files
from harness.notebooks.copies import MY_COURSE, copy_name, source_path
from harness.notebooks.notebook_kernel import KernelDied, NotebookKernel
from harness.notebooks.stubs import exercise_lesson, origin
from harness.state import command, quoted

ANSWERS = ("exercises", MY_COURSE)  # the folders of a learner's answers
SOLUTIONS = "solutions"  # the folder beside them
EXERCISE = "exercise"  # a property of reports: an exercise and its verdict, "2.1 not attempted: …"

_LINES, _WIDTH = 40, 160  # the longest details of a failure
_COLOURS = {"correct": "green", "not attempted": "yellow"}
_SAVE = "pytest reads the saved notebook: save it before you run this command again."
_VERDICTS_TIMEOUT = 5  # seconds
# The headlines of the kernel's checks since the last call; "" if the notebook doesn't use the course.
_VERDICTS = 'getattr(__import__("sys").modules.get("harness.course.api"), "drain_results", str)()'
# The exercises of the notebook's lesson; "" if the kernel has no course or the notebook isn't one of the course.
_REQUIRED = '__import__("harness.course.api", fromlist=["api"]).required_exercises({!r}, {!r})'
_CHECK = re.compile(r"""^check\(["'](\d+\.\w+)["']\)""", re.MULTILINE)
_RAISED = "Cell execution caused an exception"  # nbval's message, which is replaced by the exception's message


def _error_line(error: Mapping[str, Any]) -> str:
    """Return the name of an exception and the gist of its message."""
    return f"{error.get('ename')}: {one_line(str(error.get('evalue', '')))}"


def _failure_text(headline: str, source: str, details: str | None) -> str:
    """Compose the report of a failure: a line for pytest's summary, the cell's source, and the shortened details."""
    numbered = [f"{number:4}  {line}" for number, line in enumerate(source.splitlines(), 1)]
    lines = [line[:_WIDTH] for line in unstyle(details or "").strip("\n").splitlines()]
    shortened = lines if len(lines) <= _LINES else [*lines[: _LINES // 2], "  …", *lines[-_LINES // 2 :]]
    return "\n".join([headline, *numbered, *shortened])


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


def _kinds(outputs: list[Any]) -> list[str]:
    """Return the type of each output and its media types, in order; a kernel mixes stdout and stderr at random."""
    kinds: list[str] = []
    for is_stream, group in groupby(outputs, key=lambda output: output["output_type"] == "stream"):
        named = [" ".join([each["output_type"], *sorted(each.get("data", [each.get("name", "")]))]) for each in group]
        kinds += sorted(named) if is_stream else named
    return kinds


class ExerciseSummary:
    """A pytest plugin that lists each exercise with its verdict at the end of the run."""

    def __init__(self) -> None:
        self.entries: dict[str, list[str]] = {}  # by notebook
        self.correct = self.all = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the verdicts in the report of a cell."""
        notebook = report.nodeid.partition("::")[0]
        if report.when != "call" or not report.location[0].endswith(".ipynb"):
            return
        verdicts = [str(value) for name, value in report.user_properties if name == EXERCISE]
        entries = self.entries.setdefault(notebook, [])
        if verdicts:
            entries += verdicts
            self.all += len(verdicts)
            self.correct += sum(_outcome(verdict) == "correct" for verdict in verdicts)
        elif report.failed:
            entries.append(str(report.longrepr).partition("\n")[0])  # the reason why a later check can't find its file

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Write the list below the short test summary, wrapped to the width of the terminal."""
        yield
        if not self.all:
            return
        terminalreporter.section("exercises")
        width = max(40, terminalreporter.config.get_terminal_writer().fullwidth)
        wrapper = textwrap.TextWrapper(width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        for entry in chain(*self.entries.values()):
            terminalreporter.write_line(wrapper.fill(entry), **{_COLOURS.get(_outcome(entry), "red"): True})
        wrapper.subsequent_indent = ""
        advice = "" if self.correct == self.all else f" {_SAVE}"
        terminalreporter.write_line(wrapper.fill(f"{self.correct} of {self.all} correct.{advice}"))


def _outcome(headline: str) -> str:
    """Return the outcome in a headline ("not attempted" in "2.1 not attempted: …")."""
    return headline.partition(" ")[2].partition(":")[0]


def _number(headline: str) -> str:
    return headline.partition(" ")[0]


def _source_name(path: Path) -> str:
    """Return the file name of an exercise notebook in the course; `path` may be a learner's copy."""
    return Path(source_path(path.name) or path).name


class MissingVerdicts(Exception):
    """A run of an exercise notebook ended without a verdict for each exercise."""


class NotebookFile(IPyNbFile):  # type: ignore[misc]  # nbval has no types
    """nbval's notebook, with our kernel and our cells."""

    running: Any  # the cell that runs
    lesson = ""  # the number of the lesson whose exercises the notebook seems to contain
    required = ""  # the numbers of these exercises, as the course in the kernel lists them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verdicts: dict[str, bool] = {}  # for each exercise with a verdict, whether one of them was "correct"
        self.cells: list[NotebookCell] = []
        self.ended: set[int] = set()  # the numbers of the cells that this run didn't leave out

    def setup(self) -> None:
        """Start the kernel that nbval's options or the notebook's metadata name."""
        option = self.config.option
        stored = self.nb.metadata.get("kernelspec", {}).get("name", "python3")
        chosen = CURRENT_ENV_KERNEL_NAME if option.nbval_current_env else option.nbval_kernel_name or stored
        self.kernel = NotebookKernel(chosen, self.path.parent, option.nbval_kernel_startup_timeout)
        self.setup_sanitize_files()
        if self.lesson:
            name = "" if origin(self.nb) else _source_name(self.path)
            self.required = self.kernel.ask(_REQUIRED.format(self.lesson, name), option.nbval_kernel_startup_timeout)

    def get_kernel_message(self, timeout: float | None = None, stream: str = "iopub") -> Any:
        """Return the next message; it has already changed the outputs of the running cell, if that is its purpose."""
        message = super().get_kernel_message(timeout, stream)
        self.kernel.apply(message, self.running.test_outputs)
        return message

    def teardown(self) -> None:
        """Stop the kernel."""
        if self.kernel is not None:
            self.kernel.close()

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the code cells, each named by its id, and then the requirement that all exercises are correct.

        Raises:
            CollectError: the file isn't a notebook.
        """
        try:
            self.nb = files.read_to_run(self.path)
        except NotebookError as error:
            raise self.CollectError(str(error)) from None
        code = (cell for cell in self.nb.cells if cell.cell_type == "code")
        self.cells = [
            NotebookCell.from_parent(self, name=cell.id, cell_num=number, cell=cell, options=self._options(cell))
            for number, cell in enumerate(code)
        ]
        yield from self.cells
        self.lesson = exercise_lesson(self.nb, self.path)
        if self.lesson:
            yield AllExercises.from_parent(self, name="all-exercises")

    def _options(self, cell: files.Cell) -> dict[str, bool]:
        """Return nbval's options for a cell; a comment in the cell overrules its tags."""
        options = {**dict(find_metadata_tags(cell.metadata)), **dict(find_comment_markers(cell.source))}
        return defaultdict(bool, {"check": self.compare_outputs, **options})


class MissingNotebook(NotebookFile):
    """An exercise notebook that isn't in its folder, although its solution is in the folder `solutions` beside it."""

    def setup(self) -> None:
        """Start no kernel."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the requirement that all exercises of the solution are correct.

        Raises:
            CollectError: the solution isn't a notebook.
        """
        try:
            self.nb = files.read_to_run(self.path.parents[1] / SOLUTIONS / _source_name(self.path))
        except NotebookError as error:
            raise self.CollectError(str(error)) from None
        found = (_CHECK.search(cell.source) for cell in self.nb.cells if cell.cell_type == "code")
        self.required = " ".join(match[1] for match in found if match)
        yield AllExercises.from_parent(self, name="all-exercises")


class ExercisesFolder(pytest.Dir):  # type: ignore[misc]  # it is final for type checkers, not when it runs
    """A folder of exercises beside the folder of their solutions."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield its files, and each notebook that is missing."""
        yield from super().collect()
        for solution in sorted((self.path.parent / SOLUTIONS).glob("*.ipynb")):
            copied = copy_name(f"exercises/{solution.name}") if self.path.name == MY_COURSE else solution.name
            if not (self.path / copied).exists():
                yield MissingNotebook.from_parent(self, path=self.path / copied)


class NotebookCell(IPyNbCell):  # type: ignore[misc]  # nbval has no types
    """nbval's cell with the additional checks that `harness.notebooks.pytest_plugin` lists."""

    saved_outputs: list[Any] | None = None  # the outputs in the notebook, if this run gave the same ones
    headlines: tuple[str, ...] = ()  # of the checks in the cell

    def runtest(self) -> None:
        """Run the cell and check its outcome; raise NbCellError if it fails."""
        self.parent.ended.add(self.cell_num)
        self.parent.running = self
        if not self.options["skip"]:
            if not self.parent.kernel.is_alive():
                self.raise_cell_error("not run: the kernel died in an earlier cell")
            self._require_count()
        try:
            super().runtest()
        except KernelDied:
            self.raise_cell_error("the kernel died while this cell ran")
        finally:
            self._record_verdicts()
        self._require_outcome()
        if self.parent.kernel.changed:
            self._require_earlier_outputs()

    def _require_earlier_outputs(self) -> None:
        """Require that the cells above still have the outputs that were compared, although this cell changed a display.

        Raises:
            NbCellError: a cell's display was changed to another one than in the notebook.
        """
        for cell in self.parent.cells[: self.cell_num]:
            if cell.saved_outputs is not None and not cell.compare_outputs(cell.test_outputs, cell.saved_outputs):
                label = files.cell_label(cell.cell, self.parent.nb.cells.index(cell.cell))
                self.raise_cell_error(f"changes a display of {label}", "\n".join(cell.comparison_traceback))

    def _record_verdicts(self) -> None:
        """Store the headlines of the cell's checks as properties, which are part of reports and of JUnit's XML.

        A cell that is tagged raises-exception shows a failure on purpose and isn't recorded.
        """
        if self.options["skip"] or not (self.config.option.nbval_lax or self.parent.lesson):
            return
        self.headlines = tuple(self.parent.kernel.ask(_VERDICTS, _VERDICTS_TIMEOUT).splitlines())
        if not self.options["check_exception"]:
            self.user_properties += [(EXERCISE, headline) for headline in self.headlines]
            for headline in self.headlines:
                correct = self.parent.verdicts.get(_number(headline), False) or _outcome(headline) == "correct"
                self.parent.verdicts[_number(headline)] = correct

    def _require_count(self) -> None:
        """Require that the notebook was run from top to bottom, if its outputs are compared."""
        count, expected = self.cell.execution_count, self.cell_num + 1
        if self.options["check"] and count != expected:
            self.raise_cell_error(
                f"its execution count is {count}, not {expected}, so the notebook was not run from top to bottom. "
                "Use --nbval-lax, which compares no outputs, or run all cells and save it: "
                f"{command('jupyter')} execute --inplace {quoted(self.path)}"
            )

    def _require_outcome(self) -> None:
        """Check the status in the kernel's reply, which nbval doesn't read.

        A check in a lesson is tagged raises-exception. It raises nothing once the learner has solved the exercise.
        """
        reply = self.parent.kernel.reply
        if reply.get("status") == "error" and not self._raised():
            self.raise_cell_error(_error_line(reply))
        is_solved = bool(self.headlines) and all(_outcome(headline) == "correct" for headline in self.headlines)
        if self.options["check_exception"] and not self._raised() and not is_solved:
            self.raise_cell_error("tagged raises-exception, but it raised nothing")
        last = {_number(str(headline)): str(headline) for name, headline in self.user_properties if name == EXERCISE}
        for number, headline in last.items():
            if _outcome(headline) != "correct":
                self.raise_cell_error(f'{headline} The cell must not catch the error of check("{number}").')

    def _raised(self) -> dict[str, Any] | None:
        """Return the error among the cell's outputs, if any."""
        return next((output for output in self.test_outputs or [] if output["output_type"] == "error"), None)

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: tuple[str, ...] | None = None) -> bool:
        """Return whether the outputs are equal; if they aren't, store a diff for the report."""
        equal, old, new = super().compare_outputs(test, ref, skip_compare), _kinds(ref), _kinds(test)
        if equal and old == new:
            self.saved_outputs = ref
            return True
        if not equal:
            old, new = list(_lines(ref)), list(_lines(test))
        if old != new:  # otherwise nbval's own report is kept
            self.comparison_traceback = list(unified_diff(old, new, "in the notebook", "in this run", n=2, lineterm=""))
        return False

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """Return the report of a failure, whose first line is shown in pytest's summary."""
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return f"{self.name} can't be run: {error!r}"
        raised = self._raised() if str(error) == _RAISED else None
        return _failure_text(self._headline(error, raised), self.cell.source, error.inner_traceback)

    def _headline(self, error: NbCellError, raised: dict[str, Any] | None) -> str:
        if self.user_properties and raised and raised["ename"] == CheckError.__name__:
            return str(self.user_properties[-1][1])
        if any(name == EXERCISE and str(error).startswith(str(value)) for name, value in self.user_properties):
            return str(error)
        label = files.cell_label(self.cell, self.parent.nb.cells.index(self.cell))
        return f"{label}: {_error_line(raised) if raised else error}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, the line 0 and the node id."""
        return self.path, 0, self.nodeid


class AllExercises(pytest.Item):
    """The requirement that a run of an exercise notebook gives a verdict for each exercise of its lesson.

    A cell with another verdict than "correct" has already failed.
    """

    parent: Any  # the NotebookFile

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell_num = len(self.parent.cells)  # the position among the notebook's tests: the last one

    def runtest(self) -> None:
        """Require a verdict for each exercise, and record each exercise without one as a property.

        Raises:
            MissingVerdicts: an exercise has no verdict.
        """
        file = self.parent
        if not file.required and origin(file.nb):
            raise MissingVerdicts("the kernel can't load the course, so no exercise was checked. Use another kernel.")
        missing = [number for number in file.required.split() if number not in file.verdicts]
        headlines = [f"{number} not checked: {self._advice(number)}" for number in missing]
        self.user_properties += [(EXERCISE, headline) for headline in headlines]
        if headlines:
            raise MissingVerdicts("\n".join(headlines))

    def _advice(self, number: str) -> str:
        """Return why an exercise has no verdict, and what to do."""
        file, call = self.parent, f'check("{number}")'
        if isinstance(file, MissingNotebook):
            shown = os.path.relpath(file.path, self.config.invocation_params.dir)
            again = f"{command('taskqueue-course')} reset {file.path.name[:2]}"
            return f"{shown} is missing. Write it again with {again}"
        if len(file.ended) < len(file.cells):
            return "this run left out cells of the notebook. Run pytest on the whole notebook."
        mentions = re.compile(rf"\bcheck\(\s*(['\"]){re.escape(number)}\1")
        found = [cell for cell in file.nb.cells if mentions.search(cell.source)]
        if not found:
            return f"no cell runs {call}. Add a code cell with {call} below the answer, and save the notebook."
        cell = found[-1]
        label = files.cell_label(cell, file.nb.cells.index(cell))
        if cell.cell_type != "code":
            return f"{label} is of type {cell.cell_type}, so {call} didn't run. Change it to a code cell, and save."
        item = next(item for item in file.cells if item.cell is cell)
        if item.options["skip"]:
            return f"{label} is marked to be skipped. Remove its tag or comment nbval-skip, and save."
        if item.options["check_exception"]:
            return f"{label} is marked as a cell that raises. Remove its tag or comment raises-exception, and save."
        return f"{label} contains {call} but gave no verdict. The cell must run it, and no cell above may fail."

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        """Return the report of a failure, whose first line is shown in pytest's summary."""
        return str(excinfo.value) if isinstance(excinfo.value, MissingVerdicts) else repr(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, the line 0 and the node id."""
        return self.path, 0, self.nodeid
