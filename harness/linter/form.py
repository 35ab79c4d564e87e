"""Rules about the notebook as a file: normal form, counts, ids, tags, and how long it and its cells are."""

from __future__ import annotations

from statistics import median

from harness.cells import magic_first
from harness.linter import markdown
from harness.linter.page import Found, Page
from harness.notebooks import files
from harness.notebooks.exercise import blank_regions
from harness.notebooks.normal_form import normalise
from harness.notebooks.slides import OVERRULED, slide_types

TAGS = {"raises-exception", *OVERRULED}  # any other tag of nbval takes a cell out of the comparison
CELLS = {"00": (10, 25)}
CELLS_OF_A_LESSON = (25, 40)
WORDS = 150
MEDIAN_WORDS = (30, 50)
LINES = 13
LINES_OF_A_FILE = 20  # a cell that begins with %%controller and the like


def normal_form(page: Page) -> Found:
    if files.dump(normalise(page.notebook)) != page.text:
        yield None, "not in normal form; taskqueue-course build"


def counts(page: Page) -> Found:
    found = [cell.execution_count for cell in page.code]
    if found != list(range(1, len(found) + 1)):
        yield None, f"execution counts are not 1 to {len(found)} but {found}; taskqueue-course build"


def ids(page: Page) -> Found:
    names = [cell.get("id") for cell in page.cells]
    for cell in page.cells:
        if not cell.get("id"):
            yield cell, "has no id; taskqueue-course build"
        elif names.count(cell.id) > 1:
            yield cell, "its id stands in the notebook twice; taskqueue-course build"


def tags(page: Page) -> Found:
    for cell in page.cells:
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS:
                yield cell, f"has the tag {tag!r}; the course uses only {', '.join(TAGS)}"
    for cell in page.code:
        if "NBVAL_" in cell.source or "PYTEST_VALIDATE_IGNORE_OUTPUT" in cell.source:
            yield cell, "takes itself out of nbval's comparison"


def slides(page: Page) -> Found:
    for cell, kind in zip(page.cells, slide_types(page.cells), strict=True):
        found = cell.metadata.get("slideshow", {}).get("slide_type")
        if found != kind:
            ways = f"taskqueue-course build, or a tag: {', '.join(OVERRULED)}"
            yield cell, f"has slide type {found!r}, and the rule says {kind!r}; {ways}"


def number_of_cells(page: Page) -> Found:
    least, most = CELLS.get(page.number, CELLS_OF_A_LESSON)
    if not least <= len(page.cells) <= most:
        yield None, f"has {len(page.cells)} cells; lesson {page.number} may have {least} to {most}"


def words(page: Page) -> Found:
    for cell in page.markdown:
        count = markdown.words(cell.source)
        if count > WORDS:
            yield cell, f"has {count} words; {WORDS} are the most"


def words_in_the_middle(page: Page) -> Found:
    middle = median([markdown.words(cell.source) for cell in page.markdown] or [0])
    least, most = MEDIAN_WORDS
    if not least <= middle <= most:
        yield None, f"its Markdown cells have {middle:g} words in the median; {least} to {most} read well"


def lines(page: Page) -> Found:
    """A solution is measured as the learner finds it: with the stub in place of the answer."""
    for cell in page.code:
        count = len(blank_regions(cell.source, "cell").splitlines())
        most = LINES_OF_A_FILE if magic_first(cell.source).startswith("%%") else LINES
        if count > most:
            yield cell, f"has {count} lines; {most} are the most"
