"""Find task names that depend on PYTHONHASHSEED.

Python gives a string another hash in each process, and a set of strings another order. Each instance on App Engine is a
process of its own, so a task name that depends on the hash doesn't prevent a second task. To find such names, each test
runs once more in another process, and the names of its tasks are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.testing import TASK_NAMES

_SECONDS = 600
_SHOWN = 5
_LAST_LINES = 5  # of the other process's output
_HASH = """
App Engine runs several processes, and each has a hash seed of its own. So two instances give the same task different
names, and both tasks run. Don't use hash() or the order of a set in a name. Use the values themselves, a sorted list,
or hashlib.sha256(...).hexdigest().
"""
_RANDOM = """
A name that is random, or that contains the time, doesn't prevent a second task if the request is repeated. If you
don't need to prevent one, add the task without a name.
"""
Names = dict[str, list[str]]  # the names of a test's tasks by the id of the test


class TaskNames:
    """A pytest plugin that collects the names of tasks in one run of each test.

    Args:
        config: the configuration of pytest.
        output: the file to which this process writes the names, if another process compares them.
    """

    def __init__(self, config: pytest.Config, output: str | None) -> None:
        self._config = config
        self._output = output
        self._names: Names = {}
        self._first: dict[str, str] = {}  # the id of each test's first run, by the name of the test without its seed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the names of the tasks of a test."""
        test, names = getattr(report, "task_names", None) or ("", [])
        # The last report is complete; subtests have reports of their own.
        if test and report.when == "call" and self._first.setdefault(test, report.nodeid) == report.nodeid:
            self._names[report.nodeid] = names

    def pytest_sessionfinish(self) -> None:
        """Write the names for the other process."""
        if self._output is not None:
            Path(self._output).write_text(json.dumps(self._names), "utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Write to the terminal which tests have task names that differ in another process."""
        named = {test: names for test, names in self._names.items() if names}
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self._output is not None or not named or not ended:
            return
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        count = f"{len(named)} test{'s' * (len(named) != 1)}"
        terminalreporter.line(f"Running {count} again with PYTHONHASHSEED={seed}, to compare the names of tasks.")
        terminalreporter.flush()
        try:
            found, advice = self._compare(named, seed)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            found, advice = [f"The tests couldn't be run again, so no names were compared: {error}"], []
        if found:
            terminalreporter.section("task names that differ in another process", yellow=True)
            for line in found[:_SHOWN]:
                terminalreporter.line(line)
            if len(found) > _SHOWN:
                terminalreporter.line(f"and {len(found) - _SHOWN} more tests")
            for text in advice:
                terminalreporter.write(text)

    def _compare(self, named: Names, seed: str) -> tuple[list[str], list[str]]:
        """Run tests again with another hash seed.

        Returns:
            A line for each test whose tasks have other names, and advice.
        """
        there = self._run_again(seed, [*named])
        lines = [f"{test}: it has no result in the other process." for test in named if test not in there]
        differing = [test for test in there if test in named and _differ(named[test], there[test])]
        once_more = self._run_again(seed, differing) if differing else {}
        advice = set[str]()
        for test in differing:
            here, other = sorted({*named[test]} - {*there[test]}), sorted({*there[test]} - {*named[test]})
            is_random = _differ(there[test], once_more.get(test, []))
            advice.add(_RANDOM if is_random else _HASH)
            if is_random:
                lines.append(f"{test}: the names of its tasks differ in each run: {here[0]!r}, {other[0]!r}.")
            else:
                names = f"it adds a task {other[0]!r} and no task {here[0]!r}"
                lines.append(f"{test}: with PYTHONHASHSEED={seed}, {names}.")
        return lines, sorted(advice)

    def _run_again(self, seed: str, tests: list[str]) -> Names:
        """Run tests in a process with this hash seed, without the user's other options, and return the names."""
        option = self._config.option
        with tempfile.TemporaryDirectory() as folder:
            output, chosen = Path(folder, "names.json"), Path(folder, "tests.txt")
            options = [f"-o{setting}" for setting in option.override_ini or ()]
            options += ["-oaddopts=", "-p", "no:cacheprovider", "-p", "no:randomly"]
            options += [f"-p{plugin}" for plugin in option.plugins]
            options += [f"--import-mode={option.importmode}", f"--rootdir={self._config.rootpath}"]
            if self._config.inipath is not None:
                options.append(f"--config-file={self._config.inipath}")
            options.append(f"--appengine-chaos={option.appengine_chaos}")
            if option.appengine_seed is not None:
                options.append(f"--appengine-seed={option.appengine_seed}")
            chosen.write_text("\n".join([*options, *tests]), "utf-8")
            environment = {**os.environ, "PYTHONHASHSEED": seed, TASK_NAMES: str(output)}
            environment.pop("PYTEST_ADDOPTS", None)
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", f"@{chosen}"],
                cwd=self._config.rootpath,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_SECONDS,
            )
            if ended.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
                last = "\n".join(ended.stdout.strip().splitlines()[-_LAST_LINES:])
                raise OSError(f"pytest ended with the exit code {ended.returncode}.\n{last}")
            found: Names = json.loads(output.read_text("utf-8"))
        return found


def _differ(here: list[str], other: list[str]) -> bool:
    """Return whether names have been replaced by others. Additional names can have other reasons."""
    return bool({*here} - {*other} and {*other} - {*here})
