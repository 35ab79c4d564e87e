"""Check an answer: write the learner's files into a fresh lab, and let the exercise's `run` test what they do."""

import ast
from collections.abc import Mapping

from harness.course import verdict
from harness.course.catalogue import body, stub_cells
from harness.course.exercise import Exercise
from harness.course.trial import Decided, Trial, TrialLab
from harness.course.verdict import Verdict
from harness.errors import HarnessError


def check_answer(
    exercise: Exercise,
    files: Mapping[str, str],
    stubs: Mapping[str, str] | None = None,
    make_lab: type[TrialLab] = TrialLab,
) -> Verdict:
    """Return the verdict on an answer.

    Args:
        exercise: the exercise.
        files: the text of each file that the learner wrote, named as in `Exercise.files`.
        stubs: the cells of the exercise notebook as the course delivers them; by default, they are looked up.
        make_lab: the class of the labs in which the answer runs.
    """
    missing = [name for name in exercise.files if name not in files]
    if missing:
        return verdict.not_attempted(exercise, f"Run the cell {_magic(missing[0])} first.")
    if is_stub(exercise, files, stub_cells(exercise) if stubs is None else stubs):
        return verdict.not_attempted(exercise)
    with make_lab(apps=exercise.apps) as lab:
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
    """Return whether the files still equal those of the exercise notebook, apart from comments and white space."""
    return all(_meaning(files[name]) == _meaning(body(stubs[name])) for name in exercise.files)


def _meaning(source: str) -> str:
    """Return the syntax tree of Python, or the lines of any other file."""
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for very deeply nested code
        return "\n".join(line for line in source.splitlines() if line.partition("#")[0].strip())


def _magic(name: str) -> str:
    """Return the first line of the cell that writes a file: `%%controller ex1_1`."""
    app, _, path = name.rpartition(":")
    folder, _, file = path.partition("/")
    at_top = {"routes.py": "%%routes", "queue.yaml": "%%queue_yaml"}
    in_folder = f"%%{folder.removesuffix('s')} {file.removesuffix('.py')}"
    return f"`{at_top.get(path) or in_folder}{f' --app {app}' if app else ''}`"
