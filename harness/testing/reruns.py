"""Runs of a test that pytest doesn't report, with some of the faults that happened."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # pytest-rerunfailures needs it, too: pytest has no public name for it

from harness.testing import RUN
from harness.testing.runs import ONLY, LabFault

try:
    from _pytest.subtests import failed_subtests_key
except ImportError:  # before pytest 9
    failed_subtests_key = pytest.StashKey()


class RunState(Enum):
    """How a run of a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    OTHER = "skipped, or failed in another phase"


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run.

    Args:
        state: how it ended.
        phase: the phase that failed, "setup" or "call"; "" if neither failed.
        report: the report of this phase; None if only subtests failed.
    """

    state: RunState
    phase: str
    report: pytest.TestReport | None


class Reruns:
    """The runs of a test with one seed: the first one, which pytest reports, and the others, which it doesn't.

    Args:
        item: the test.
        nextitem: the test that runs next.

    `first` is the result of the first run, and `reports` contains its reports.
    """

    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        self._item = item
        self._nextitem = nextitem
        self._sections, self._properties = [*item._report_sections], [*item.user_properties]
        self.reports = self._run()
        self.first = self._result(self.reports)

    def again(self, faults: Sequence[LabFault]) -> RunResult:
        """Run the test with these faults only."""
        item = self._item
        item._report_sections[:], item.user_properties[:] = self._sections, self._properties
        item.stash[ONLY] = faults
        try:
            with _silence(item.config):
                reports = self._run()
        finally:
            del item.stash[ONLY]
        return self._result(reports, self.first.phase)

    def fails(self, faults: Sequence[LabFault]) -> bool:
        """Return whether the test fails again in the same phase, in a run in which all these faults happen."""
        state, run = self.again(faults).state, self._item.stash.get(RUN, None)
        return state is RunState.FAILED and run is not None and {*faults} <= {*run.happened}

    def _run(self) -> list[pytest.TestReport]:
        if RUN in self._item.stash:
            del self._item.stash[RUN]
        return runtestprotocol(self._item, nextitem=self._nextitem, log=False)

    def _result(self, reports: Sequence[pytest.TestReport], phase: str = "") -> RunResult:
        """Return the result of a run. For a later run, `phase` is the phase that failed in the first run."""
        run = self._item.stash.get(RUN, None)
        failed = next((report for report in reports if report.when != "teardown" and report.failed), None)
        of_subtests = [each for each in run.failed if each not in reports] if run is not None else []
        found = str(failed.when) if failed is not None else "call" if of_subtests else ""
        if found:
            return RunResult(RunState.FAILED if found == phase or not phase else RunState.OTHER, found, failed)
        last = phase or "call"
        passed = any(report.when == last and report.passed for report in reports)
        return RunResult(RunState.PASSED if passed else RunState.OTHER, "", None)


@contextmanager
def _silence(config: pytest.Config) -> Iterator[None]:
    """Hide a run from pytest and its plugins.

    Subtests report themselves, so this patches the function with which pluggy calls all hooks.
    """
    manager: Any = config.pluginmanager
    counts: Any = config.stash.get(failed_subtests_key, {})
    counted, called, shows = {**counts}, manager._inner_hookexec, config.option.setupshow
    logging = manager.get_plugin("logging-plugin")
    handlers = [logging.log_cli_handler, logging.log_file_handler] if logging is not None else []

    def call(name: str, *arguments: Any) -> Any:
        return [] if name == "pytest_runtest_logreport" else called(name, *arguments)

    output = io.StringIO()
    manager._inner_hookexec, config.option.setupshow = call, False
    for handler in handlers:
        handler.addFilter(_no_record)
    try:
        if config.option.capture == "no":
            with redirect_stdout(output), redirect_stderr(output):
                yield
        else:
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_no_record)
        manager._inner_hookexec, config.option.setupshow = called, shows
        counts.clear()
        counts.update(counted)


def _no_record(_: object) -> bool:
    return False
