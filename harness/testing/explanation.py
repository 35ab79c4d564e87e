"""What the report of a failed test says about the faults that break it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.testing import RUN, SEED, TASK_NAMES
from harness.testing.faults import advice_about
from harness.testing.reruns import Reruns, RunState
from harness.testing.runs import HEAD, SHOWN, ChaosRun, LabFault, key_of
from harness.testing.search import MOST_RUNS, Cause, Finding, covers, find_cause

_Findings = list[tuple[int, Finding]]  # of one test, each with the seed whose report contains it
_findings = pytest.StashKey[dict[str, _Findings]]()
_CHANCE = "Does the test depend on random numbers, on the real time, or on files of an earlier test?"


def run_with_seed(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test with the faults of its seed. If it fails, report the faults that break it."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runs = Reruns(item, nextitem)
    reports = runs.reports
    try:
        if runs.first.state is RunState.FAILED and RUN in item.stash and TASK_NAMES not in os.environ:
            reports = _explained(item, runs)
    finally:
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _explained(item: pytest.Item, runs: Reruns) -> list[pytest.TestReport]:
    """Return the reports of a failed test. If a run with fewer faults fails, its report replaces the failed one."""
    seed, run = _seed(item), item.stash[RUN]
    text, report = explain(item, runs, seed, run)
    phase, name = runs.first.phase, f"{HEAD}: what broke this test"
    reports = [each if report is None or each is not runs.first.report else report for each in runs.reports]
    for each in reports:
        if each.when == phase:
            vars(each)["task_names"] = next(vars(old).get("task_names") for old in runs.reports if old.when == phase)
            each.sections.append((name, f"{text}\n\nTo repeat this seed: {_command(item, seed)}"))
    reports[-1].user_properties.append(("appengine", text))  # JUnit's report has the properties of the teardown
    return reports


def explain(item: pytest.Item, runs: Reruns, seed: int, run: ChaosRun) -> tuple[str, pytest.TestReport | None]:
    """Return which faults break the test, and the report of a run with only these faults, if there is one."""
    if item.config.getoption("usepdb") or item.config.getoption("trace"):
        return f"Seed {seed} breaks this test. Without --pdb and --trace, this report would name the fault.", None
    findings = item.session.stash.setdefault(_findings, {}).setdefault(key_of(item), [])
    causes = {finding.cause: known for known, finding in findings}
    if Cause.TEST in causes:
        return "Without any fault, this test fails, too.", None
    if causes.keys() & {Cause.UNKNOWN, Cause.CHANCE}:
        known = next(known for cause, known in causes.items() if cause is not Cause.FAULTS)
        return f"The test also fails with this seed. The report of seed {known} explains why no fault is named.", None
    happened = run.happened
    known_faults = [(known, finding.faults) for known, finding in findings if _is_like(finding.faults, happened)]
    rest = [each for each in happened if not any(covers(fault, each) for _, faults in known_faults for fault in faults)]
    see = ""
    if known_faults:
        see = f"This seed breaks the test, too. The report of seed {known_faults[0][0]} names a fault that breaks it."
        if runs.again(rest).state is not RunState.FAILED:
            return see, None
    _announce(item)
    finding = find_cause(runs, rest)
    if see and finding.cause is not Cause.FAULTS:
        return see, None
    findings.append((seed, replace(finding, report=None)))
    return _text(seed, finding, run, happened), finding.report


def _is_like(faults: Sequence[LabFault], happened: Sequence[LabFault]) -> bool:
    """Return whether each of the faults is like a fault that happened."""
    return all(any(covers(fault, each) for each in happened) for fault in faults)


def _announce(item: pytest.Item) -> None:
    """Write to the terminal that a search begins, because it can take long."""
    terminal = item.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and item.config.get_verbosity() >= 0:
        terminal.write_line(f"{item.nodeid} failed. Searching for the fault, with up to about {2 * MOST_RUNS} runs.")


def _text(seed: int, finding: Finding, run: ChaosRun, happened: Sequence[LabFault]) -> str:
    """Return what a report says about a finding.

    Args:
        seed: the seed of the run.
        finding: what the search has found.
        run: the run of the seed.
        happened: the faults that happened in it.
    """
    faults, count = [*finding.faults], len(happened)
    if finding.cause is Cause.TEST:
        return "No fault is to blame, because this test also fails without any fault."
    if finding.cause is Cause.CHANCE:
        return f"This test fails in some runs and passes in others, with the same faults. {_CHANCE}"
    if finding.cause is Cause.UNKNOWN:
        many = f"{count or 'no'} fault{'s' * (count != 1)} happened"
        again = "the same faults were repeated" if count else "it was repeated"
        head = f"With seed {seed}, {many} and the test failed. When {again}, it didn't fail in the same way. {_CHANCE}"
        return "\n\n".join([head, *_lines(happened, run)])
    if len(faults) > 1:
        head = f"These {len(faults)} faults together are enough to break it:"
    elif faults[0] in happened:
        head = "This fault alone is enough to break it:"
    else:
        head = "A simpler fault also breaks it:"
    below = (
        ["The report above is of a run with only the faults that are named here."] if finding.report is not None else []
    )
    advice = dict.fromkeys(advice_about(fault) for _, fault in faults)
    return "\n\n".join([f"Seed {seed} breaks this test. {head}", *_lines(faults, run), *below, *advice])


def _lines(faults: Sequence[LabFault], run: ChaosRun) -> list[str]:
    """Return a list of one paragraph with a line for each fault. Without faults, return an empty list."""
    lines = [f"In {name}: {fault}" if (name := run.name_lab(lab)) else str(fault) for lab, fault in faults[:SHOWN]]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return ["\n".join(f"    {line}" for line in [*lines, *more])] if lines else []


def _command(item: pytest.Item, seed: int) -> str:
    """Return the command that repeats a run, for a terminal in the folder in which pytest was started."""
    file, separator, test = item.nodeid.removesuffix(f"[seed{seed}]").partition("::")
    path = os.path.relpath(item.config.rootpath / file, item.config.invocation_params.dir)
    return f"pytest --appengine-seed {seed} {shlex.quote(Path(path).as_posix() + separator + test)}"


def _seed(item: pytest.Item) -> int:
    seed: int = item.callspec.params[SEED]  # type: ignore[attr-defined]
    return seed
