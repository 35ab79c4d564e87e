"""Random decisions that App Engine doesn't specify: the order of due tasks, double deliveries, and killed instances."""

from collections.abc import Callable, Sequence
from enum import Enum
from random import Random

from harness.appengine.taskqueue import Queue, Task
from harness.appengine.turns import Schedule
from harness.errors import BadValueError, quoted, require_bool

KILLS = 1 / 3  # the probability that an overlap kills an instance
EVENTS = 6  # of 6 instances that are killed, 5 are killed after at most 4 events, or at their end if it is earlier
LATER = 0.85  # for the others: the probability of one more event, after the fifth event and after each later one


class Company(Enum):
    """What overlaps with an attempt."""

    NOTHING = "nothing"
    ITSELF = "a second delivery of the same task"
    OTHER = "the attempt of another task that is due"


class Chaos:
    """The random decisions of one dispatcher; the same seed leads to the same decisions.

    Args:
        seed: any integer.
        shuffle: True makes the order of due tasks random (T21; Docs).
        duplicates: the probability, 0 to 1, that a task that succeeded is delivered once more (T37; Docs).
        overlap: True makes the first attempts of some tasks overlap (T45; Docs), and kills some instances (T46; Docs).

    Raises:
        BadValueError: `duplicates` is not a probability, `seed` is not an integer, or `overlap` is not a bool.
    """

    def __init__(self, seed: int = 0, shuffle: bool = False, duplicates: float = 0.0, overlap: bool = False) -> None:
        if not isinstance(duplicates, (int, float)) or not 0 <= duplicates <= 1:
            raise BadValueError(f"duplicates is a probability, a number from 0 to 1, not {quoted(duplicates)}")
        if not isinstance(seed, int):
            raise BadValueError(f"seed must be an integer, not {quoted(seed)}")
        require_bool("overlap", overlap)
        self.seed = seed
        self._shuffle = shuffle
        self._duplicates = duplicates
        self._order = Random(f"order {seed}")
        self._deliveries = Random(f"deliveries {seed}")
        self._turns = Random(f"overlap {seed}") if overlap else None
        self._succeeded: set[Task] = set()
        self._delivered_twice: set[Task] = set()  # at the same time

    def take(self, queue: Queue, now: float) -> Task:
        """Take a due task from a queue that has one, and return it: the earliest one, or a random one."""
        if self._shuffle:
            drawn = self._choose([task for task in queue.waiting() if task.eta <= now])
            queue.pick(drawn, now)
            return drawn
        task = queue.take(now)
        assert task is not None, "a queue that can start an attempt has a task that is due"
        return task

    def company(self, task: Task, is_first_try: bool, ready: Callable[[], Sequence[Queue]], now: float) -> Task | None:
        """Return the task whose attempt overlaps with that of another task, or None. Nothing overlaps with a retry.

        Args:
            task: the task whose attempt begins. It is also the result if a second delivery of it overlaps.
            is_first_try: whether the task has never been attempted before.
            ready: returns the queues that can start another attempt. Another task is taken from one of them.
            now: the instant.
        """
        if self._turns is None or not is_first_try:
            return None
        other = self._choose_company(self._turns, task, ready, now)
        if other is task:
            self._delivered_twice.add(task)
        return other

    def schedule(self, group: Sequence[Task], is_first_try: bool) -> Schedule | None:
        """Return the order of the attempts' turns and the instance that is killed, or None for one attempt alone.

        Args:
            group: the task of each attempt. A task that is delivered twice appears twice.
            is_first_try: whether the first task has never been attempted before.

        Only a group with the first attempt of a task has killed instances, so a task always ends.
        """
        if self._turns is None or not is_first_try:
            return None
        seed, kill_after = self._choose_turns(self._turns, group)
        return Schedule(seed, kill_after=kill_after) if len(group) > 1 or kill_after else None

    def ran(self, steps: Sequence[int]) -> None:
        """Receive how many events each attempt of the last group has run. Only subclasses use this."""

    def delivers_again(self, task: Task) -> bool:
        """Return whether a task that has just succeeded is delivered once more; this happens at most once per task."""
        if not self._duplicates or task in self._succeeded or task in self._delivered_twice:
            return False
        if not self._chooses_again(task):
            return False
        self._succeeded.add(task)
        return True

    def is_duplicate(self, task: Task) -> bool:
        """Return whether a task that is about to run has already succeeded."""
        return task in self._succeeded

    def forgets(self, what: str) -> bool:
        """Return whether the instance has lost its memory before a request; `what` names the task or the request."""
        return False

    def _choose(self, due: Sequence[Task]) -> Task:
        return self._order.choice(due)

    def _choose_company(
        self, turns: Random, task: Task, ready: Callable[[], Sequence[Queue]], now: float
    ) -> Task | None:
        company = turns.choice(list(Company))
        if company is Company.OTHER and (queues := ready()):
            return Chaos.take(self, queues[0], now)
        return task if company is Company.ITSELF else None

    def _choose_turns(self, turns: Random, group: Sequence[Task]) -> tuple[int, dict[int, int]]:
        """Return the seed of the turns, and a `kill_after` as in Schedule, which is empty if no instance is killed."""
        seed, kills = turns.getrandbits(32), turns.random() < KILLS
        victim, events, more = turns.randint(1, len(group)), turns.randrange(EVENTS), Random(seed)
        while events >= EVENTS - 1 and more.random() < LATER:
            events += 1
        return seed, {victim: events} if kills else {}

    def _chooses_again(self, task: Task) -> bool:
        return self._deliveries.random() < self._duplicates
