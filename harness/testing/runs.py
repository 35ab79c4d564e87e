"""One run of a test: its labs, the faults that happen in them, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any

import pytest

from harness.appengine.dispatcher import Chaos
from harness.lab import Lab
from harness.records import Attempt, Trace
from harness.testing import RUN, SEED
from harness.testing.faults import Fault, FaultChaos

HEAD = "App Engine"
SHOWN = 5  # traces, tickets and faults in a report
_TEXT = 500  # characters of a response that has no ticket
ONLY = pytest.StashKey[Sequence["LabFault"]]()  # the faults that happen in the next run of a test
_LARGE = 1000  # more labs than a test makes
LabFault = tuple[int, Fault]  # with the number of the lab in its test


class ChaosRun:
    """One run of a test.

    Args:
        seed: the seed of the faults, or None for a run without faults.
        only: the faults that happen, or None if the seed decides.

    `failed` contains the reports of failures: of the test, of its set-up, and of its subtests.
    """

    def __init__(self, seed: int | None, only: Sequence[LabFault] | None) -> None:
        self.failed: list[pytest.TestReport] = []
        self._seed = seed
        self._only = only
        self._count = 0
        self._labs: dict[int, Lab] = {}  # by number
        self._apps: dict[int, str] = {}  # the names of their applications
        self._chaos: dict[int, FaultChaos] = {}
        self._happened: list[LabFault] = []  # the faults in closed labs

    def make(self, path: str | PathLike[str], options: Mapping[str, Any]) -> Lab:
        """Return a new lab with a copy of an application."""
        number, self._count = self._count, self._count + 1
        lab_class = Lab
        if self._seed is not None:
            only = None if self._only is None else [fault for lab, fault in self._only if lab == number]
            chaos = FaultChaos(_LARGE * self._seed + number, only, options.get("seed", 0))
            lab_class, self._chaos[number] = _lab_class(chaos), chaos
        lab = self._labs[number] = lab_class.from_folder(path, **options)
        self._apps[number] = lab._appengine.site.apps[0]
        return lab

    @property
    def happened(self) -> list[LabFault]:
        """The faults until now, each with the number of its lab."""
        return self._happened + [(number, fault) for number, chaos in self._chaos.items() for fault in chaos.happened]

    def name_lab(self, number: int) -> str:
        """Return how a report names a lab; "" if the test has only one."""
        return f"lab {number + 1} ({self._apps[number]})" if len(self._apps) > 1 and number in self._apps else ""

    def task_names(self) -> list[str]:
        """Return the names of all tasks to which the application has given a name."""
        services = [lab._appengine.service for lab in self._labs.values()]
        return [name for service in services for name in service.history if name not in service.chosen_names]

    def failures(self) -> list[tuple[str, str]]:
        """Return sections of a report: the trace of each task with a failed attempt, and the ticket of each request."""
        return [section for number, lab in self._labs.items() for section in self._failures_of(number, lab)]

    def close(self) -> None:
        """Close the labs, and keep only the faults."""
        self._happened = self.happened
        labs, chaos = [*self._labs.values()], [*self._chaos.values()]
        self._labs.clear()
        self._chaos.clear()
        with ExitStack() as stack:
            # A request whose instance was shut down keeps the lab in memory, but it needn't keep the tasks.
            for each in chaos:
                stack.callback(each.release)
            for lab in labs:
                stack.callback(lab._appengine.service.history.clear)
                stack.callback(lab._appengine.service.queues.clear)
                stack.callback(lab.close)

    def _failures_of(self, number: int, lab: Lab) -> list[tuple[str, str]]:
        engine = lab._appengine  # which stays readable if the test has closed the lab
        where = f" of {name}" if (name := self.name_lab(number)) else ""
        blamed = {
            name for at, fault in (self._only or ())[:SHOWN] if at == number for name in (fault.task, fault.other)
        }
        tasks: dict[object, list[Attempt]] = {}
        for each in engine.dispatcher.attempts:
            tasks.setdefault(each.task.identity, []).append(each)
        shown = [
            Trace(engine.task(attempts[0].task.name, attempts[0].task.queue).info(), tuple(attempts))
            for attempts in sorted(tasks.values(), key=lambda attempts: attempts[0].task.name not in blamed)
            if attempts[0].task.name in blamed or not all(each.response.ok for each in attempts)
        ]
        failed = [each for each in engine.responses if each.ticket is not None or each.status >= 500]
        sections = [(f"{HEAD}: task {trace.task.name}{where}", str(trace)) for trace in shown[:SHOWN]]
        for response in failed[:SHOWN]:
            url = response.request.url if response.request is not None else ""
            text = response.ticket.traceback if response.ticket is not None else response.text[:_TEXT]
            sections.append((f"{HEAD}: {url}, status {response.status}", text))
        left = len(shown[SHOWN:]) + len(failed[SHOWN:])
        if left:
            sections.append((HEAD, f"{left} more failed tasks and requests"))
        return sections


def _lab_class(chaos: FaultChaos) -> type[Lab]:
    """Return the class of a lab whose random decisions are those of `chaos`."""

    class LabWithFaults(Lab):
        @staticmethod
        def _make_chaos(seed: int, shuffle: bool, duplicates: float, overlap: bool) -> Chaos:
            return chaos

    return LabWithFaults


def run_of(item: pytest.Item, seed: int | None) -> ChaosRun:
    """Begin a run of a test."""
    run = item.stash[RUN] = ChaosRun(seed, item.stash.get(ONLY, None))
    return run


def complete(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add the names of the tasks to a report. If the test failed, also add what failed in its labs."""
    run = item.stash[RUN]
    # pytest-xdist passes on all attributes of a report.
    vars(report)["task_names"] = [key_of(item), run.task_names()]
    if report.failed:
        run.failed.append(report)
        report.sections += run.failures()


def key_of(item: pytest.Item) -> str:
    """Return a name of a test that is the same for all seeds, in all processes."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or SEED not in callspec.params:
        return item.nodeid
    test = item.nodeid.removesuffix(f"[{callspec.id}]")
    return test + f"[-{callspec.id}-]".replace(f"-seed{callspec.params[SEED]}-", "-", 1)
