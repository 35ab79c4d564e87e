"""Judge an answer: the learner's files go into a fresh lab, and the exercise's own `run` looks at what they do."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from harness.course import verdict
from harness.course.catalogue import body, stub_cells
from harness.course.exercise import Exercise
from harness.course.trial import Decided, Trial, TrialLab
from harness.course.verdict import Verdict
from harness.errors import HarnessError


def check_answer(exercise: Exercise, files: Mapping[str, str], stubs: Mapping[str, str] | None = None) -> Verdict:
    """Decide how an answer stands.

    Args:
        exercise: the exercise.
        files: the text of each of the learner's files, named as in `Exercise.files`; a missing one was not written.
        stubs: the cells as the learner found them; without them those of the course.
    """
    missing = [name for name in exercise.files if name not in files]
    if missing:
        return verdict.not_attempted(exercise, f"Run the cell {_magic(missing[0])} first.")
    if is_stub(exercise, files, stub_cells(exercise) if stubs is None else stubs):
        return verdict.not_attempted(exercise)
    with TrialLab(apps=exercise.apps) as lab:
        trial = Trial(exercise, lab, files)
        try:
            trial.install()
            exercise.run(trial)
        except Decided as decided:
            return decided.verdict
        except HarnessError as error:
            return verdict.error_from_harness(exercise, error, trial.called)
    return verdict.correct(exercise)


def is_stub(exercise: Exercise, files: Mapping[str, str], stubs: Mapping[str, str]) -> bool:
    """Tell whether the files are still as the exercise notebook came, apart from comments and white space."""
    return all(_meaning(files[name]) == _meaning(body(stubs[name])) for name in exercise.files)


def _meaning(source: str) -> str:
    """Return what a file says: the structure of Python, the lines of anything else."""
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested by the thousand
        return "\n".join(line for line in source.splitlines() if line.partition("#")[0].strip())


def _magic(name: str) -> str:
    """Return the first line of the cell that writes a file: `%%controller ex1_1`."""
    app, _, path = name.rpartition(":")
    folder, _, file = path.partition("/")
    words = {"controllers": f"%%controller {file[:-3]}", "models": f"%%model {file[:-3]}", "views": f"%%view {file}"}
    whole = {"routes.py": "%%routes", "queue.yaml": "%%queue_yaml"}
    return f"`{whole.get(path) or words[folder]}{f' --app {app}' if app else ''}`"
