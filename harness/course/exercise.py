"""What an exercise, a misconception and a prediction are; two files per lesson fill them in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Run = Callable[
    [Any], None
]  # drives a `harness.course.trial.Trial`, which is made of an exercise; returns if it is right


@dataclass(frozen=True, slots=True)
class Misconception:
    """A wrong answer that people really give.

    `says` is the diagnosis in one or two sentences, `reread` the heading that clears it up, in `lesson` ("01") where
    that is not the exercise's own. `raises`, a regular expression, recognises it by the exception that the learner's
    code ends with ("InvalidTaskError: POST").
    """

    says: str
    reread: str
    raises: str = ""
    lesson: str = ""

    def explains(self, exception: str) -> bool:
        """Tell whether an exception ("InvalidTaskError: POST method …") is what this mistake ends with."""
        return bool(self.raises) and re.search(self.raises, exception) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """One exercise.

    Args:
        number: "1.1": lesson, and place in it.
        title: what it asks for, in a few words.
        files: what the learner writes ("controllers/ex1_1.py"; another application's with its name in front:
            "stats:controllers/ex3_2.py").
        fill: the words by which the learner finds the cell to fill ("`gen_task` in the cell `%%controller ex1_1`").
        hints: the idea, the place, nearly the code.
        proves: what a correct answer shows, in one sentence.
        then: what to try next.
        mistakes: the misconceptions that it diagnoses, by key.
        run: drives the learner's files in a fresh lab; calls `trial.wrong`, or returns when all is right.
        apps: the applications of the fresh lab.
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
        return self.number.partition(".")[0].zfill(2)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question to answer before an experiment: options by letter, the right one, and why."""

    question: str
    options: dict[str, str]
    answer: str
    why: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one lesson asks: its exercises and its predictions ("1.a"), in order."""

    number: str
    title: str
    exercises: tuple[Exercise, ...] = ()
    predictions: dict[str, Prediction] = field(default_factory=dict)
