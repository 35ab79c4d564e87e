"""The data of lessons, exercises, misconceptions and predictions; two files per lesson contain them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Takes a `harness.course.trial.Trial`, which needs an exercise itself, and returns if the answer is right.
Run = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Misconception:
    """A common wrong answer.

    Args:
        says: the diagnosis, in a few sentences.
        reread: the heading of the section that explains it.
        raises: a regular expression. The mistake is recognised if it is found in the exception that the learner's code
            raised ("InvalidTaskError: POST …").
        lesson: the lesson of that section ("01"), if it isn't the exercise's own.
    """

    says: str
    reread: str
    raises: str = ""
    lesson: str = ""

    def explains(self, exception: str) -> bool:
        """Return whether an exception ("InvalidTaskError: POST method …") is a result of this mistake."""
        return bool(self.raises) and re.search(self.raises, exception) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """One exercise.

    Args:
        number: the lesson, and the position in it ("1.1").
        title: the task, in a few words.
        files: the files that the learner writes ("controllers/ex1_1.py"). A file of another application begins with
            its name ("stats:controllers/ex3_2.py").
        fill: what the learner fills in, and in which cell ("`gen_task` in the cell `%%controller ex1_1`").
        hints: the idea, the place, and nearly the code.
        proves: what a correct answer shows, in one sentence.
        then: what to try next.
        mistakes: the misconceptions that the check recognises, by key.
        run: runs the learner's files in a fresh lab. It calls `trial.wrong`, or returns if everything is right.
        apps: the applications of the fresh lab. Relative paths belong to the first one.
    """

    number: str
    title: str
    files: tuple[str, ...]
    fill: str
    hints: tuple[str, str, str]
    proves: str
    then: str
    mistakes: dict[str, Misconception]
    run: Run
    apps: tuple[str, ...] = ("tutorial",)

    @property
    def lesson(self) -> str:
        """Return the number of the lesson, in two digits ("01")."""
        return self.number.partition(".")[0].zfill(2)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question before an experiment, with its options by letter, the letter of the right one, and the reason."""

    question: str
    options: dict[str, str]
    answer: str
    why: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson with its exercises, in order, and its predictions by name ("1.a")."""

    number: str
    title: str
    exercises: tuple[Exercise, ...] = ()
    predictions: dict[str, Prediction] = field(default_factory=dict)
