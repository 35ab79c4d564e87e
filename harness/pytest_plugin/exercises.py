"""After the summary, how each exercise stands, in lines that no narrow terminal cuts off."""

from __future__ import annotations

import textwrap
from collections.abc import Generator

import pytest

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
