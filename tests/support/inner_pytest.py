"""Run pytest on tests of a web2py application, in this process, and read the report of each test."""

from __future__ import annotations

import io
import os
import pdb
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

HEAD = "App Engine: what broke this test"
_UNUSED = ("unraisableexception", "randomly", "hypothesispytest", "anyio")
# Objects of other tests may be destroyed during these runs. Without `unraisableexception`, their warnings are ignored.
_OPTIONS = ("-W", "error", *(f"-pno:{plugin}" for plugin in _UNUSED))


class SilentDebugger(pdb.Pdb):
    """A debugger that counts how often it is opened, and continues: `--pdbcls=tests.support.inner_pytest:…`."""

    opened: ClassVar[list[object]] = []

    def interaction(self, frame: object, traceback: object) -> None:
        """Continue, instead of waiting for a command."""
        self.opened.append(frame)
        self.set_continue()


@dataclass
class InnerRun:
    """The result of a run.

    Args:
        code: the exit code of pytest.
        reports: the reports of all phases of all tests.
        output: everything that pytest printed.
    """

    code: int = 0
    reports: list[pytest.TestReport] = field(default_factory=list)
    output: str = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report."""
        self.reports.append(report)

    def of(self, test: str, when: str = "call") -> list[pytest.TestReport]:
        """Return the reports of a test function, one for each of its runs."""
        return [each for each in self.reports if each.when == when and self._is_of(each, test)]

    def outcomes(self, test: str) -> str:
        """Return one character for each run: passed, Failed, Error, skipped, or xfailed."""
        found: dict[str, str] = {}
        for each in self.reports:
            if self._is_of(each, test):
                found[each.nodeid] = found.get(each.nodeid, "") + self._letter(each)
        return " ".join(found.values())

    def failed(self, test: str) -> pytest.TestReport:
        """Return the first report of a failure of a test."""
        return next(each for each in self.of(test) if each.failed)

    def explanation(self, test: str) -> str:
        """Return what the first failure of a test says about faults."""
        return dict(self.failed(test).sections).get(HEAD, "")

    @staticmethod
    def _is_of(report: pytest.TestReport, test: str) -> bool:
        return report.nodeid.partition("[")[0].rpartition("::")[2] == test

    @staticmethod
    def _letter(report: pytest.TestReport) -> str:
        if report.failed:
            return "F" if report.when == "call" else "E"
        if report.skipped:
            return "x" if hasattr(report, "wasxfail") else "s"
        return "p" if report.when == "call" else ""


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder, and return the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), "utf-8")
    return folder


def run_pytest(folder: Path, *options: str, plugins: Sequence[object] = ()) -> InnerRun:
    """Run pytest in a folder with its tests and its configuration."""
    from harness import Lab

    Lab().close()  # web2py must stay loaded after the run
    # A test file of the folder may have the name of a test file of this repository.
    files = {file.stem for file in folder.rglob("test_*.py")}
    hidden = {name: sys.modules.pop(name) for name in files & sys.modules.keys()}
    before, path, cwd, output = set(sys.modules), sys.path.copy(), Path.cwd(), io.StringIO()
    run = InnerRun()
    os.chdir(folder)
    try:
        with redirect_stdout(output), redirect_stderr(output):
            run.code = int(pytest.main([*_OPTIONS, *options], plugins=[run, *plugins]))
    finally:
        os.chdir(cwd)
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
        sys.modules.update(hidden)
    run.output = output.getvalue()
    assert run.code != pytest.ExitCode.INTERRUPTED, run.output  # for example because a test couldn't be imported
    return run
