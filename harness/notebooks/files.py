"""Notebooks on disk: read with errors that name file, line and cell, written in one canonical layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import NotebookError
from harness.notebooks.node import join_lines, to_node

Notebook = Any  # a Node, or nbformat's NotebookNode, which is alike
Cell = Any

FOLDERS = ("notebooks", "solutions", "exercises")
BACKUPS = "backups"  # a folder in exercises/, so that JupyterLab's file browser shows it beside the notebooks


def read(path: Path) -> Notebook:
    """Read a notebook of format 4.

    Args:
        path: the file.

    Raises:
        NotebookError: the file is missing, is no JSON, or is no notebook of format 4; with the place in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Notebook:
    """Turn the text of a notebook file into a notebook; `name` stands for the file in errors."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise NotebookError(f"{name}, line {error.lineno}, column {error.colno}: broken JSON: {error.msg}") from None
    except RecursionError:
        raise too_deep(name) from None
    return to_notebook(raw, name)


def to_notebook(raw: object, name: str) -> Notebook:
    """Turn what JSON says into a notebook; NotebookError where that is none of format 4."""
    if not isinstance(raw, dict) or raw.get("nbformat") != 4 or not isinstance(raw.get("cells"), list):
        raise NotebookError(f"{name}: not a notebook of format 4; open it in JupyterLab and save it")
    if not isinstance(raw.get("metadata", {}), dict):
        raise NotebookError(f"{name}: not a valid notebook: its metadata are no object")
    try:
        notebook = to_node(raw)
        join_lines(notebook)
        return notebook
    except RecursionError:  # a Node for each dict takes more of the stack than the parser did
        raise too_deep(name) from None
    except (AttributeError, TypeError, KeyError) as error:
        raise NotebookError(f"{name}: not a valid notebook: {error!r}") from None


def too_deep(name: str) -> NotebookError:
    """Return the error of a file whose lists and objects stand in each other by the hundred, as no notebook's do."""
    return NotebookError(f"{name}: not a notebook: its JSON is nested too deeply")


def dump(notebook: Notebook) -> str:
    """Return the text of a notebook file: sorted keys, one line of source per line, a newline at the end."""
    from nbformat.v4 import nbjson

    return f"{nbjson.writes(notebook)}\n"


def validate(notebook: Notebook, name: str) -> None:
    """Raise NotebookError where the notebook breaks Jupyter's schema."""
    import nbformat

    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise NotebookError(f"{name}: not a valid notebook: {str(error).splitlines()[0]}") from None


def write(path: Path, text: str) -> None:
    """Replace a file at once, so that an interrupted build leaves the old notebook and not half of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def back_up(path: Path, now: datetime) -> Path:
    """Copy a notebook, byte for byte, into the folder of backups.

    Args:
        path: the notebook.
        now: the moment that the copy's name tells, in local time.

    Returns:
        The copy; one of before is never overwritten.

    Raises:
        NotebookError: it cannot be written.
    """
    try:
        data = path.read_bytes()
        folder = path.parent / BACKUPS
        folder.mkdir(exist_ok=True)
        for copy in _names(folder, f"{path.stem}.{now:%Y-%m-%d-%H%M%S}"):
            try:
                with copy.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                continue
            return copy
    except OSError as error:
        raise NotebookError(f"{path}: no backup can be made ({error.strerror}), and so nothing was changed") from None
    raise AssertionError("the names never end")


def _names(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.ipynb"
    number = 2
    while True:
        yield folder / f"{stem}-{number}.ipynb"
        number += 1


def cell_label(cell: Cell, position: int) -> str:
    """Name a cell for a message: its position in the notebook, counted from 1, and its id."""
    return f'cell {position + 1} (id "{cell.get("id", "none")}")'


def find(root: Path, folder: str) -> list[Path]:
    """Return the notebooks of one folder of the course, in the order of the lessons."""
    return sorted(path for path in (root / folder).glob("*.ipynb") if not path.name.startswith("."))
