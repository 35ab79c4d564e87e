"""A notebook as input of the lint rules, and their findings."""

import posixpath
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
    def neighbours(self) -> str:
        """The line of links to the previous and the next notebook of the course, or "" if the notebook isn't in it.

        Each lesson is followed by its exercises, and then by its recap, if there is one. The line is written for the
        page's own folder.
        """
        order = [
            (f"{kind} {path.name[:2]}", f"{folder}/{name}")
            for path in files.find(self.root, "notebooks")
            if path.name[:2].isdecimal()
            for kind, folder, source, name in (
                ("lesson", "notebooks", "notebooks", path.name),
                ("exercises", "exercises", "solutions", path.name),
                ("recap", files.PAGES, files.PAGES, files.recap_name(path.name[:2])),
            )
            if (self.root / source / name).exists()
        ]
        own = f"{self._folder.replace('solutions', 'exercises')}/{self.path.name}"
        place = next((place for place, (_, path) in enumerate(order) if path == own), None)
        if place is None:
            return ""
        near = {"Previous": order[max(place - 1, 0) : place], "Next": order[place + 1 : place + 2]}
        links = ((word, text, self._link(path)) for word, found in near.items() for text, path in found)
        return " · ".join(f"{word}: [{text}]({target})" for word, text, target in links)

    def _link(self, path: str) -> str:
        return posixpath.relpath(path, self._folder)

    @property
    def _folder(self) -> str:
        return self.path.parent.relative_to(self.root).as_posix()

    def finding(self, cell: Cell | None, message: str) -> str:
        """Return a message with the file's name and, unless the cell is None, the cell's label in front of it."""
        label = "" if cell is None else f", {files.cell_label(cell, self.cells.index(cell))}"
        return f"{self.path.relative_to(self.root).as_posix()}{label}: {message}"


Rule = Callable[[NotebookPage], Found]
