"""Which rules hold for which notebook, and the run over the whole course."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import NotebookError
from harness.linter import exercises, form, lesson, links, privacy, text
from harness.linter.page import Finding, Page, Rule
from harness.notebooks import files

EVERYWHERE: tuple[Rule, ...] = (
    form.normal_form,
    form.ids,
    form.tags,
    form.words,
    form.lines,
    text.headings,
    text.no_html,
    text.spelling,
    links.internal_links,
    links.figures,
    privacy.nothing_private,
    exercises.parses,
)
RULES: dict[str, tuple[Rule, ...]] = {
    "notebooks": (
        *EVERYWHERE,
        form.counts,
        form.slides,
        form.number_of_cells,
        form.words_in_the_middle,
        lesson.goals,
        lesson.wrap_up,
        lesson.predictions,
        lesson.trace_or_timeline,
    ),
    "solutions": (
        *EVERYWHERE,
        form.counts,
        exercises.exercise_numbers,
        exercises.exercise_parts,
        exercises.regions_have_checks,
        exercises.grading,
        exercises.way_back,
        exercises.way_on,
    ),
    "exercises": (exercises.generated,),  # the solutions are held to the rest; what a learner adds is held to nothing
}


def lint(root: Path, paths: Sequence[Path] = ()) -> list[Finding]:
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


def lint_page(root: Path, path: Path) -> list[Finding]:
    """Hold one notebook to the rules of its folder; a file that is no notebook is a finding, too."""
    if path.parent.name not in RULES or path.parent.parent != root.absolute():
        raise NotebookError(f"{path}: not a notebook of {', '.join(f'{folder}/' for folder in RULES)} in {root}")
    try:
        page = Page(root.absolute(), path)
    except (NotebookError, OSError) as error:
        return [Finding("", "", str(error))]
    return [page.finding(cell, says) for rule in RULES[page.folder] for cell, says in rule(page)]
