"""A notebook as the rules see it, and what they find."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook


@dataclass(frozen=True)
class LintFinding:
    """One thing to mend: the file, relative to the course, the cell where there is one, and what is wrong."""

    file: str
    cell: str
    says: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (", ".join(filter(None, (self.file, self.cell))), self.says)))


Found = Iterator[tuple[Cell | None, str]]  # the cell, or None for the whole notebook, and what is wrong with it


class NotebookPage:
    """One notebook of the course.

    Args:
        root: the folder that holds notebooks/, solutions/ and exercises/.
        path: the notebook.

    Raises:
        NotebookError: the file is no notebook.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.notebook: Notebook = files.parse(self.text, str(path))

    @property
    def folder(self) -> str:
        return self.path.parent.name

    @property
    def number(self) -> str:
        """The lesson's two digits, or nothing where the file's name has none."""
        match = re.match(r"\d\d(?=_)", self.path.name)
        return match[0] if match else ""

    @property
    def cells(self) -> list[Cell]:
        return list(self.notebook.cells)

    @cached_property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @cached_property
    def markdown(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    def sibling(self, folder: str) -> Path:
        """Return the notebook of the same name in another folder of the course."""
        return self.root / folder / self.path.name

    @property
    def following(self) -> str:
        """The file name of the next lesson, or nothing for the last and where the file's name has no number."""
        names = self.root.glob(f"notebooks/{int(self.number) + 1:02}_*.ipynb") if self.number else ()
        return min((path.name for path in names), default="")

    def finding(self, cell: Cell | None, says: str) -> LintFinding:
        label = "" if cell is None else files.cell_label(cell, self.notebook.cells.index(cell))
        return LintFinding(self.path.relative_to(self.root).as_posix(), label, says)


Rule = Callable[[NotebookPage], Found]
