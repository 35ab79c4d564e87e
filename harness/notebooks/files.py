"""Notebooks on disk: read with errors that name file, line and cell, written in one canonical layout."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import NotebookError

# A notebook in memory: what its JSON says, with attributes for keys.


class Node(dict[str, Any]):
    """A dict whose keys are attributes too; a dict that is put into it becomes one as well."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value if isinstance(value, Node) else to_node(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def to_node(value: Any) -> Any:
    """Return what JSON gave with a Node for each dict."""
    if isinstance(value, dict):
        return Node({key: to_node(each) for key, each in value.items()})
    return [to_node(each) for each in value] if isinstance(value, list) else value


def join_lines(notebook: Node) -> None:
    """Make one text of each list of lines, as which notebooks of format 4 are stored."""
    for cell in notebook.cells:
        _join(cell, "source")
        for bundle in _bundles(cell):
            for kind in bundle:
                if not _is_json(kind):
                    _join(bundle, kind)
        for output in cell.get("outputs", []):
            _join(output, "text")


def _bundles(cell: Node) -> Iterator[Node]:
    """Yield what maps media types to data: attachments, and outputs that show something."""
    yield from cell.get("attachments", {}).values()
    for output in cell.get("outputs", []):
        yield output.get("data", Node())


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")


def _join(holder: Node, key: str) -> None:
    lines = holder.get(key)
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        holder[key] = "".join(lines)


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
    """Replace a file atomically: after an interruption or a crash, the file has either its old text or the new one.

    Raises:
        OSError: the text can't be written. The file stays unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name with an empty file
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


# A notebook as a learner, a merge or a full disk left it: what cannot be read says why, where, and what helps.

LARGEST = 50_000_000  # bytes; JupyterLab itself hardly opens more
CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)


def read_saved(path: Path) -> Notebook:
    """Read a notebook that anything may have happened to.

    Args:
        path: the file; any format that Jupyter ever had, any Unicode encoding, any ends of lines.

    Raises:
        NotebookError: it is missing, too large, torn by a merge, broken off, or no notebook; nothing is changed.
    """
    text = _text(path)
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise NotebookError(f"{path}, line {error.lineno}: {_why_broken(text, error)}") from None
    except RecursionError:
        raise too_deep(str(path)) from None
    return _upgraded(raw, path)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise NotebookError(
                f"{path}: {size:,} bytes are too much to read. In JupyterLab clear what its cells have printed "
                "(Edit, Clear Outputs of All Cells), and save"
            )
        data = path.read_bytes()
        return data.decode(json.detect_encoding(data)).replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise NotebookError(f"{path}: there is no such file") from None
    except OSError as error:
        raise NotebookError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise NotebookError(f"{path}: not a notebook: byte {error.start} of the file is no text") from None


def _why_broken(text: str, error: json.JSONDecodeError) -> str:
    """Say what tore the JSON; `error` tells where it ends to make sense."""
    marks = [text.count("\n", 0, mark.start()) + 1 for mark in CONFLICT.finditer(text)]
    if marks:
        lines = f"line{'s' * (len(marks) > 1)} {', '.join(map(str, marks))}"
        return (
            f"a merge left its marks in the notebook (<<<<<<< and >>>>>>>, {lines}). "
            "Keep one of the two versions between them, and delete the marks"
        )
    if not text.strip():
        return "the file is empty. If the notebook is still open in JupyterLab, save it again (Ctrl-S)"
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated string"):
        return (
            "the file breaks off here, in the middle of the notebook. "
            "If it is still open in JupyterLab, save it again (Ctrl-S)"
        )
    return f"broken JSON, column {error.colno}: {error.msg}. Was the file edited outside of JupyterLab?"


def _upgraded(raw: object, path: Path) -> Notebook:
    """Return a notebook of format 4, whatever it was saved as."""
    version = raw.get("nbformat") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise NotebookError(f"{path}: not a notebook, though it is JSON. Is it another file under a notebook's name?")
    if version > 4:
        raise NotebookError(f"{path}: saved in format {version}, of a Jupyter newer than this course, which reads 4")
    return to_notebook(raw if version == 4 else _converted(raw, version, path), str(path))


def _converted(raw: object, version: int, path: Path) -> object:
    import nbformat

    try:
        return nbformat.convert(nbformat.from_dict(raw), 4)
    except Exception as error:  # nbformat's upgrade raises whatever it stumbles over
        raise NotebookError(f"{path}: cannot be read as a notebook of format {version}: {error!r}") from None
