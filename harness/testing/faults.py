"""The faults that App Engine may cause. A seed injects them at random, or a search injects chosen ones again.

Each kind of fault is documented, and harness/FIDELITY.md names the page. Due tasks run in any order (T21). A task is
delivered at least once, and sometimes again (T37). Requests run at the same time on several instances (T45), and an
instance can be shut down while it handles one (T46). Each instance has its own memory, and it can start or end before
any request; see "Separate memory" below row T46, and App Engine's page "How instances are managed".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from harness.appengine.dispatcher import Chaos
from harness.appengine.taskqueue import Queue, Task

_AGAIN = 0.3  # the probability that a task that succeeded is delivered once more
_FORGETS = 0.25  # the probability that the instance has lost its memory before a request


class FaultKind(StrEnum):
    """The kinds of faults that can happen to a task or its instance, beginning with the easiest to understand."""

    AGAIN = "again"  # T37
    ORDER = "order"  # T21
    KILL = "kill"  # T46
    MEMORY = "memory"
    OVERLAP = "overlap"  # T45


AT_END = 1_000_000  # the `number` of a fault that shuts an instance down after its last step


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a run.

    Args:
        kind: what happened.
        task: the name of the task, or the number of a user's request ("request 2").
        other: the task that was first in the queue (ORDER), or that ran at the same time (OVERLAP).
        number: the steps before the instance was shut down (KILL), the seed of the turns (OVERLAP), or how
            many earlier attempts `other` had (ORDER).
        attempt: which attempt of the task it was (ORDER, KILL, MEMORY), beginning with 1.
        position: which of two workers that ran at the same time was shut down (KILL): 1 or 2.
    """

    kind: FaultKind
    task: str
    other: str = ""
    number: int = 0
    attempt: int = 1
    position: int = 1

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.ORDER:
                return f"{self.task} ran before {self.other}, which was due first."
            case FaultKind.AGAIN:
                return f"{self.task} was delivered a second time after it had succeeded."
            case FaultKind.OVERLAP if self.other == self.task:
                return f"{self.task} was delivered twice, and the two workers ran at the same time."
            case FaultKind.OVERLAP:
                return f"{self.task} and {self.other} ran at the same time."
            case FaultKind.KILL:
                when = f"after {self.number} step{'s' * (self.number != 1)}" if self.number else "before its first step"
                when = "after its last step, before it responded" if self.number == AT_END else when
                return f"The instance that ran {self.task} was shut down {when}, and then {self.task} ran again."
        when = f"before {self.task}" if self.attempt == 1 else f"before {self.task} ran again"
        return f"The instance lost its memory (cache.ram and the variables of modules) {when}."


ADVICE = {
    FaultKind.ORDER: """
App Engine doesn't guarantee the order of tasks. A worker must not need the result of a task that was added earlier. Let
the first task add the second one at its end, or let each task carry all the data that it needs.""",
    FaultKind.AGAIN: """
App Engine delivers each task at least once, and it delivers some tasks twice. So a worker must be idempotent: two runs
must leave the same result as one run. Store what the task has done under a key that both runs share, in a unique
column, and do nothing if it is stored already. Or compute the result from stored rows, instead of adding to it.""",
    FaultKind.OVERLAP: """
App Engine runs workers on several instances at the same time. Between the statement that reads a row and the statement
that writes it, another worker may write it. Let the database decide: use a unique column, or one UPDATE statement that
reads and writes, such as db(query).update(count=db.table.count + 1).""",
    FaultKind.KILL: """
App Engine may shut down an instance at any moment. Then the queue runs the whole worker again. What the first run has
committed, added to a queue or sent as a mail remains. Write everything in one transaction, or let the second run find
out what the first run has already done. A step is an SQL statement, a commit, a mail, or a call that adds tasks. The
trace above numbers the steps as turns.""",
    FaultKind.MEMORY: """
App Engine starts and ends instances as it needs them, and each instance has its own memory. Store data in the database.
Use cache.ram and the variables of modules only for values that can be computed again.""",
}

_AT_ONCE = """
App Engine delivers each task at least once, and it can deliver a task twice at the same time. It isn't enough that a
worker looks for its row before it writes it, because the other run may write the row between the two statements. Store
what the task has done under a key that both runs share, in a unique column. The database then refuses the second row,
this run fails, and App Engine repeats it."""


def advice_about(fault: Fault) -> str:
    """Return what a worker must do to bear a fault."""
    at_once = fault.kind is FaultKind.OVERLAP and fault.task == fault.other
    return (_AT_ONCE if at_once else ADVICE[fault.kind]).strip()


class FaultChaos(Chaos):
    """Makes the random decisions of a seed and records them, or repeats some of the recorded ones.

    `happened` contains the faults of this run. If all of them are injected again, the run is the same. If only some are
    injected, other decisions of the run may differ. So a fault is identified by the name of its task, and by the number
    of the attempt.

    Args:
        seed: any integer.
        only: the faults that happen, in the order in which they were recorded; None means that the seed decides.
        lab_seed: the seed with which the test makes its lab. Only `Lab.overlap` uses it.
    """

    def __init__(self, seed: int, only: Sequence[Fault] | None = None, lab_seed: int = 0) -> None:
        super().__init__(seed, shuffle=True, duplicates=_AGAIN, overlap=True)
        self.seed = lab_seed
        self.happened: list[Fault] = []
        self._only = only
        self._memory = Random(f"memory {seed}")
        self._attempts = Counter[str]()  # of each task; two deliveries at the same time count as one
        self._requests = Counter[str]()  # of each task and each user; before each, the memory can be lost
        self._kills: dict[int, Fault] = {}  # the planned ones, by position in the group that runs now

    def take(self, queue: Queue, now: float) -> Task:
        """Take a due task from a queue that has one, and return it."""
        first = queue.waiting()[0].name
        skipped = self._attempts[first]
        task = super().take(queue, now)
        self._attempts[task.name] += 1
        if task.name != first:
            self.happened.append(Fault(FaultKind.ORDER, task.name, first, skipped, attempt=self._attempts[task.name]))
        return task

    def company(self, task: Task, is_first_try: bool, ready: Callable[[], Sequence[Queue]], now: float) -> Task | None:
        """Return the task whose attempt overlaps with the attempt of a task, or None."""
        other = super().company(task, is_first_try, ready, now)
        if other is not None and other is not task:
            self._attempts[other.name] += 1
        return other

    def ran(self, steps: Sequence[int]) -> None:
        """Record the instances that were shut down, and after how many steps."""
        for position, fault in self._kills.items():
            is_at_end = steps[position - 1] < fault.number
            self.happened.append(replace(fault, number=AT_END) if is_at_end else fault)
        self._kills = {}

    def delivers_again(self, task: Task) -> bool:
        """Return whether a task that has just succeeded is delivered once more; this happens at most once per task."""
        again = super().delivers_again(task)
        if again:
            self.happened.append(Fault(FaultKind.AGAIN, task.name))
        return again

    def forgets(self, what: str) -> bool:
        """Return whether the instance has lost its memory before a request; `what` names the task or the request."""
        self._requests[what] += 1
        fault = Fault(FaultKind.MEMORY, what, attempt=self._requests[what])
        forgets = self._memory.random() < _FORGETS if self._only is None else fault in self._only
        if forgets:
            self.happened.append(fault)
        return forgets

    def release(self) -> None:
        """Forget the tasks, so that Python can free their memory."""
        self._succeeded.clear()
        self._delivered_twice.clear()

    def _choose(self, due: Sequence[Task]) -> Task:
        if self._only is None:
            return super()._choose(due)
        first = due[0].name
        for fault in self._planned(FaultKind.ORDER):
            if (fault.other, fault.number) == (first, self._attempts[first]):
                for task in due:
                    if (fault.task, fault.attempt) == (task.name, self._attempts[task.name] + 1):
                        return task
        return due[0]

    def _choose_company(
        self, turns: Random, task: Task, ready: Callable[[], Sequence[Queue]], now: float
    ) -> Task | None:
        if self._only is None:
            return super()._choose_company(turns, task, ready, now)
        others = [fault.other for fault in self._planned(FaultKind.OVERLAP) if fault.task == task.name]
        if task.name in others:
            return task
        for queue in ready():
            for other in queue.waiting():
                if other.name in others and other.eta <= now:
                    queue.pick(other, now)
                    return other
        return None

    def _choose_turns(self, turns: Random, group: Sequence[Task]) -> tuple[int, dict[int, int]]:
        names = [task.name for task in group]
        if self._only is None:
            seed, kill_after = super()._choose_turns(turns, group)
            self._kills = {
                position: Fault(
                    FaultKind.KILL, names[position - 1], "", number, self._attempts[names[position - 1]], position
                )
                for position, number in kill_after.items()
            }
        else:
            overlaps = [fault for fault in self._planned(FaultKind.OVERLAP) if [fault.task, fault.other] == names]
            seed = next((fault.number for fault in overlaps), 0)
            self._kills = {
                _position(fault, names): fault
                for fault in self._planned(FaultKind.KILL)
                if fault.task in names and fault.attempt == self._attempts[fault.task]
            }
        if len(group) > 1:
            self.happened.append(Fault(FaultKind.OVERLAP, names[0], names[1], seed))
        return seed, {position: fault.number for position, fault in self._kills.items()}

    def _chooses_again(self, task: Task) -> bool:
        if self._only is None:
            return super()._chooses_again(task)
        return any(fault.task == task.name for fault in self._planned(FaultKind.AGAIN))

    def _planned(self, kind: FaultKind) -> list[Fault]:
        return [fault for fault in self._only or () if fault.kind is kind]


def _position(fault: Fault, names: list[str]) -> int:
    """Return the position of the worker that is shut down, in a group that may be smaller than the recorded one."""
    return fault.position if names[fault.position - 1 :][:1] == [fault.task] else names.index(fault.task) + 1
