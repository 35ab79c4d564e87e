"""What `watch` knows and decides: which exercise it shows, which answers are to be checked, what a key does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.course import progress_file
from harness.course.answers import Answer
from harness.course.api import next_hint, remember
from harness.course.catalogue import exercises
from harness.course.exercise import Exercise
from harness.course.verdict import CheckOutcome, Verdict
from harness.course.workspace import notebook_path, read_answers
from harness.errors import HarnessError, NotebookError


@dataclass(frozen=True, slots=True)
class Saved:
    """Notebooks of these names were written."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """A check has ended: with a verdict, or with why it could not be made."""

    exercise: Exercise
    outcome: Verdict | HarnessError


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    name: str


@dataclass(frozen=True, slots=True)
class Resized:
    """The window has another size."""


@dataclass(frozen=True, slots=True)
class Following:
    """Saves are followed from now on; what was saved just before was missed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Saves cannot be followed (any more)."""

    why: str


Event = Saved | Checked | Key | Resized | Following | Failed


class WatchSession:
    """One `watch`: it takes events, and tells what to show and what to check; it knows no terminal and no files' dates.

    Args:
        course: the folder of the course.

    `current` is the exercise that is shown, `verdicts` holds the newest of each, `also` the exercises that were checked
    because of the same save. `remark` is about the last event, `troubles` holds what is wrong by notebook.
    """

    def __init__(self, course: Path) -> None:
        self.course = course
        self.exercises = tuple(exercises())
        self.solved = progress_file.solved()
        self.verdicts: dict[str, Verdict] = {}
        self.troubles: dict[str, str] = {}
        self.also: list[str] = []
        self.checking: Exercise | None = None
        self.hint = self.remark = ""
        self.listing = self.over = False
        self.current = self._unsolved_after(-1)
        self._answers: dict[str, Answer] = {}
        self._waiting: list[Exercise] = []
        self._read(list(self.exercises))
        self._ask(self.current)

    @property
    def answer(self) -> Answer | None:
        """The current exercise's, as it was read last."""
        return self._answers.get(self.current.number)

    @property
    def path(self) -> Path:
        """The current exercise's notebook."""
        return notebook_path(self.course, self.current.lesson)

    @property
    def is_checking(self) -> bool:
        """Whether a verdict on the current exercise is on its way."""
        return self.current is self.checking or self.current in self._waiting

    @property
    def next(self) -> Exercise:
        """The exercise that the key n leads to."""
        return self._unsolved_after(self.exercises.index(self.current))

    @property
    def done(self) -> int:
        """How many exercises are solved."""
        return sum(exercise.number in self.solved for exercise in self.exercises)

    def handle(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Saved(names):
                self._saved(names)
            case Checked(exercise, outcome):
                self._judged(exercise, outcome)
            case Key(name):
                self._pressed(name)
            case Following():
                self._changed(self._read(list(self.exercises)))
            case Failed(why):
                self.troubles["saves"] = why

    def take_job(self) -> tuple[Exercise, Answer] | None:
        """Return what is to be checked now, once: one at a time, until it is judged."""
        if self.checking is not None or not self._waiting:
            return None
        self.checking = self._waiting.pop(0)
        return self.checking, self._answers[self.checking.number]

    def _saved(self, names: frozenset[str]) -> None:
        wanted = [exercise for exercise in self.exercises if notebook_path(self.course, exercise.lesson).name in names]
        changed = self._read(wanted)
        readable = [exercise for exercise in wanted if exercise.lesson not in self.troubles]
        self.remark = "Saved. No answer has changed." if readable and not changed else ""
        self._changed(changed)

    def _changed(self, changed: list[Exercise]) -> None:
        """Ask for checks of what has changed, and show the first of it, if not the current one."""
        if not changed:
            return
        if self.current not in changed:
            self._show(changed[0])
        self.listing = False
        self.also = [exercise.number for exercise in changed if exercise is not self.current]
        for exercise in [self.current, *changed]:
            self._ask(exercise)

    def _read(self, wanted: list[Exercise]) -> list[Exercise]:
        """Read the answers anew, and return the exercises whose answers are others than before."""
        changed = []
        for exercise, answer in read_answers(self.course, wanted):
            if isinstance(answer, NotebookError):
                self.troubles[exercise.lesson] = str(answer)
                continue
            self.troubles.pop(exercise.lesson, None)
            if self._answers.get(exercise.number) != answer:
                self._answers[exercise.number] = answer
                changed.append(exercise)
        return changed

    def _judged(self, exercise: Exercise, outcome: Verdict | HarnessError) -> None:
        self.checking = None
        if isinstance(outcome, HarnessError):
            self.remark = f"{exercise.number} could not be checked: {outcome}"
            return
        self.verdicts[exercise.number] = outcome
        remember(outcome)
        if outcome.outcome is CheckOutcome.CORRECT and exercise is self.current:
            self.hint = ""
        self.solved = progress_file.solved()

    def _pressed(self, key: str) -> None:
        self.remark = ""
        match key:
            case "n":
                self._show(self.next)
                self.listing, self.also = False, []
                if self.current.number not in self.verdicts:
                    self._ask(self.current)
            case "h":
                self.hint, self.listing = next_hint(self.current.number), False
            case "l":
                self.listing = not self.listing
            case "r":
                self._read([self.current])
                self._ask(self.current)
            case "q":
                self.over = True

    def _show(self, exercise: Exercise) -> None:
        self.current, self.hint = exercise, ""

    def _ask(self, exercise: Exercise) -> None:
        if exercise.number in self._answers and exercise not in self._waiting:
            self._waiting.append(exercise)

    def _unsolved_after(self, place: int) -> Exercise:
        """Return the next exercise that is not solved, from the first on after the last; where all are, the next."""
        following = [*self.exercises[place + 1 :], *self.exercises[: place + 1]]
        return next((exercise for exercise in following if exercise.number not in self.solved), following[0])
