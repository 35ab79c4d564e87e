"""A notebook as input of the lint rules, and their findings."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook

Found = Iterator[tuple[Cell | None, str]]  # the cell, or None for the whole notebook, and what violates the rule


class NotebookPage:
    """One notebook of the course, whose folder is `root`; NotebookError if the file isn't a notebook of format 4."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.notebook: Notebook = files.parse(self.text, str(path))
        self.cells: list[Cell] = self.notebook.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.markdown = [cell for cell in self.cells if cell.cell_type == "markdown"]

    @property
    def number(self) -> str:
        """The two digits at the start of the file's name, or ""."""
        match = re.match(r"\d\d(?=_)", self.path.name)
        return match[0] if match else ""

    def sibling(self, folder: str) -> Path:
        """Return the path of the notebook with the same name in another folder of the course."""
        return self.root / folder / self.path.name

    @property
    def following(self) -> str:
        """The file name of the next lesson, or "" in the last lesson."""
        names = self.root.glob(f"notebooks/{int(self.number) + 1:02}_*.ipynb") if self.number else ()
        return min((path.name for path in names), default="")

    def finding(self, cell: Cell | None, message: str) -> str:
        """Return a message with the file's name and, unless the cell is None, the cell's label in front of it."""
        label = "" if cell is None else f", {files.cell_label(cell, self.cells.index(cell))}"
        return f"{self.path.relative_to(self.root).as_posix()}{label}: {message}"


Rule = Callable[[NotebookPage], Found]
