"""The state of `watch` and its decisions: the exercise to show, the answers to check, and the effect of a key."""

from dataclasses import dataclass
from pathlib import Path

from harness.course import progress_file
from harness.course.api import next_hint, remember
from harness.course.catalogue import Exercise, exercises
from harness.course.verdict import CheckOutcome, Verdict
from harness.course.workspace import Answer, notebook_path, read_answers
from harness.errors import HarnessError, NotebookError


@dataclass(frozen=True, slots=True)
class Saved:
    """Notebooks with these file names were saved."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """A check has ended with a verdict, or with the error that prevented a verdict."""

    exercise: Exercise
    outcome: Verdict | HarnessError


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    name: str


@dataclass(frozen=True, slots=True)
class Resized:
    """The size of the window has changed."""


@dataclass(frozen=True, slots=True)
class Following:
    """Saves are followed from now on; earlier saves may have been missed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Saves can't be followed, or can't be followed any longer."""

    why: str


Event = Saved | Checked | Key | Resized | Following | Failed


class WatchSession:
    """One run of `watch`, which handles events; it uses neither the terminal nor the dates of files.

    Args:
        course: the course's folder.

    Attributes:
        current: the exercise that is shown.
        verdicts: the newest verdict on each exercise, by its number.
        also: the numbers of other exercises that are checked because of the same save.
        remark: a message about the last event, or "".
        troubles: messages that stay until the problem is solved, by lesson ("02"), or by "saves" or "progress".
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
        self._request(self.current)

    @property
    def answer(self) -> Answer | None:
        """Return the answer to the current exercise as it was read last, or None if it couldn't be read."""
        return self._answers.get(self.current.number)

    @property
    def path(self) -> Path:
        """Return the path of the current exercise's notebook."""
        return notebook_path(self.course, self.current.lesson)

    @property
    def is_checking(self) -> bool:
        """Return whether the current exercise is being checked or will be."""
        return self.current is self.checking or self.current in self._waiting

    @property
    def next(self) -> Exercise:
        """Return the exercise that the key n shows."""
        return self._unsolved_after(self.exercises.index(self.current))

    @property
    def done(self) -> int:
        """Return the number of solved exercises."""
        return sum(exercise.number in self.solved for exercise in self.exercises)

    def handle(self, event: Event) -> None:
        """Handle an event, which may change every public attribute."""
        match event:
            case Saved(names):
                self._saved(names)
            case Checked(exercise, outcome):
                self._checked(exercise, outcome)
            case Key(name):
                self._press(name)
            case Following():
                self._changed(self._read(list(self.exercises)))
            case Failed(why):
                self.troubles["saves"] = why

    def take_job(self) -> tuple[Exercise, Answer] | None:
        """Return the next exercise to check and its answer, or None while a check runs or if nothing waits."""
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
        """Request checks of changed exercises, and show the first of them unless the current one has changed."""
        if not changed:
            return
        if self.current not in changed:
            self.current, self.hint = changed[0], ""
        self.listing = False
        self.also = [exercise.number for exercise in changed if exercise is not self.current]
        for exercise in [self.current, *changed]:
            self._request(exercise)

    def _read(self, wanted: list[Exercise]) -> list[Exercise]:
        """Read the answers to some exercises, and return the exercises whose answers have changed."""
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

    def _checked(self, exercise: Exercise, outcome: Verdict | HarnessError) -> None:
        self.checking = None
        if isinstance(outcome, HarnessError):
            self.remark = f"{exercise.number} couldn't be checked: {outcome}"
            return
        self.verdicts[exercise.number] = outcome
        remember(outcome)
        if outcome.outcome is CheckOutcome.CORRECT and exercise is self.current:
            self.hint = ""
        self.solved = progress_file.solved()

    def _press(self, key: str) -> None:
        self.remark = ""
        match key:
            case "n":
                self.current, self.hint = self.next, ""
                self.listing, self.also = False, []
                if self.current.number not in self.verdicts:
                    self._request(self.current)
            case "h":
                self.hint, self.listing = next_hint(self.current.number), False
            case "l":
                self.listing = not self.listing
            case "r":
                self._read([self.current])
                self._request(self.current)
            case "q":
                self.over = True

    def _request(self, exercise: Exercise) -> None:
        if exercise.number in self._answers and exercise not in self._waiting:
            self._waiting.append(exercise)

    def _unsolved_after(self, position: int) -> Exercise:
        """Return the next unsolved exercise, in a circle; return the next exercise if all are solved."""
        following = [*self.exercises[position + 1 :], *self.exercises[: position + 1]]
        return next((exercise for exercise in following if exercise.number not in self.solved), following[0])
