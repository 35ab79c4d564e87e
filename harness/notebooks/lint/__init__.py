"""The notebook linter: the rules for each folder, and their application to the whole course."""

from collections.abc import Sequence
from pathlib import Path

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.lint import exercise_rules, lesson_rules
from harness.notebooks.lint.page import NotebookPage, Rule

__all__ = ["NotebookPage", "lint"]

EVERYWHERE: tuple[Rule, ...] = (
    lesson_rules.normal_form,
    lesson_rules.tags,
    lesson_rules.lengths,
    lesson_rules.headings,
    lesson_rules.no_html,
    lesson_rules.spelling,
    lesson_rules.internal_links,
    lesson_rules.neighbours,
    lesson_rules.figures,
    lesson_rules.nothing_private,
    exercise_rules.parses,
)
RULES: dict[str, tuple[Rule, ...]] = {
    "notebooks": (
        *EVERYWHERE,
        lesson_rules.counts,
        lesson_rules.slides,
        lesson_rules.goals,
        lesson_rules.wrap_up,
        lesson_rules.predictions,
        lesson_rules.trace_or_timeline,
        lesson_rules.glossary,
        exercise_rules.small_exercises,
    ),
    "solutions": (
        *EVERYWHERE,
        lesson_rules.counts,
        exercise_rules.exercise_checks,
        exercise_rules.exercise_parts,
        exercise_rules.grading,
    ),
    "exercises": (exercise_rules.generated,),  # the other rules apply to the solutions, and none to learners' cells
    files.PAGES: (*EVERYWHERE, lesson_rules.counts),
}


def lint(root: Path, paths: Sequence[Path] = ()) -> list[str]:
    """Check notebooks against the rules of the course.

    Args:
        root: the folder that contains notebooks/, solutions/ and exercises/.
        paths: the notebooks to check; if empty, all are checked.

    Returns:
        A message for each violation, in the order of the files. A file that isn't a notebook is a violation too.

    Raises:
        NotebookError: the course has no notebooks, or a path isn't in one of its folders.
    """
    chosen = [path.absolute() for path in paths] or [path for folder in RULES for path in files.find(root, folder)]
    if not chosen:
        raise NotebookError(f"{root} has no notebooks; run this in the repository's top folder")
    return [finding for path in chosen for finding in _lint_page(root, path)]


def _lint_page(root: Path, path: Path) -> list[str]:
    folder = path.parent.relative_to(root.absolute()).as_posix() if path.is_relative_to(root.absolute()) else ""
    if folder not in RULES:
        raise NotebookError(f"{path}: not a notebook of {', '.join(f'{folder}/' for folder in RULES)} in {root}")
    try:
        page = NotebookPage(root.absolute(), path)
    except (NotebookError, OSError) as error:
        return [str(error)]
    return [page.finding(cell, message) for rule in RULES[folder] for cell, message in rule(page)]
