"""Which rules hold for which notebook, and the run over the whole course."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.lint import exercise_rules, lesson_rules
from harness.notebooks.lint.page import LintFinding, NotebookPage, Rule

__all__ = ["LintFinding", "NotebookPage", "lint", "lint_page"]


EVERYWHERE: tuple[Rule, ...] = (
    lesson_rules.normal_form,
    lesson_rules.ids,
    lesson_rules.tags,
    lesson_rules.words,
    lesson_rules.lines,
    lesson_rules.headings,
    lesson_rules.no_html,
    lesson_rules.spelling,
    lesson_rules.internal_links,
    lesson_rules.figures,
    lesson_rules.nothing_private,
    exercise_rules.parses,
)
RULES: dict[str, tuple[Rule, ...]] = {
    "notebooks": (
        *EVERYWHERE,
        lesson_rules.counts,
        lesson_rules.slides,
        lesson_rules.number_of_cells,
        lesson_rules.words_in_the_middle,
        lesson_rules.goals,
        lesson_rules.wrap_up,
        lesson_rules.predictions,
        lesson_rules.trace_or_timeline,
    ),
    "solutions": (
        *EVERYWHERE,
        lesson_rules.counts,
        exercise_rules.exercise_numbers,
        exercise_rules.exercise_parts,
        exercise_rules.regions_have_checks,
        exercise_rules.grading,
        exercise_rules.way_back,
        exercise_rules.way_on,
    ),
    "exercises": (
        exercise_rules.generated,
    ),  # the solutions are held to the rest; what a learner adds is held to nothing
}


def lint(root: Path, paths: Sequence[Path] = ()) -> list[LintFinding]:
    """Hold notebooks to the form of the course.

    Args:
        root: the folder that holds notebooks/, solutions/ and exercises/.
        paths: the notebooks to look at; all when empty.

    Returns:
        What is to be mended, in the order of the files.

    Raises:
        NotebookError: there is nothing to look at, or a path is no notebook of the course.
    """
    chosen = [path.absolute() for path in paths] or [path for folder in RULES for path in files.find(root, folder)]
    if not chosen:
        raise NotebookError(f"{root} holds no notebooks; run this in the repository's top folder")
    return [finding for path in chosen for finding in lint_page(root, path)]


def lint_page(root: Path, path: Path) -> list[LintFinding]:
    """Hold one notebook to the rules of its folder; a file that is no notebook is a finding, too."""
    if path.parent.name not in RULES or path.parent.parent != root.absolute():
        raise NotebookError(f"{path}: not a notebook of {', '.join(f'{folder}/' for folder in RULES)} in {root}")
    try:
        page = NotebookPage(root.absolute(), path)
    except (NotebookError, OSError) as error:
        return [LintFinding("", "", str(error))]
    return [page.finding(cell, says) for rule in RULES[page.folder] for cell, says in rule(page)]
