"""Notebook files: read with errors that name the file and the line, and written in one canonical layout."""

import json
import os
import re
from contextlib import suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from harness.errors import NotebookError, quoted

Notebook = Any  # a Node, or nbformat's NotebookNode, which has the same interface
Cell = Any

FOLDERS = ("notebooks", "solutions", "exercises")
PAGES = "notebooks/pages"  # notebooks without slides and exercises; learners get copies of the recaps only
BACKUPS = "backups"  # a folder beside the notebooks, so that JupyterLab's file browser shows it
LARGEST = 50_000_000  # bytes; JupyterLab itself can hardly open larger notebooks
_LONGEST = 200  # characters of a reason why a notebook isn't valid
CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)


class Node(dict[str, Any]):
    """A dict whose keys are also attributes; a dict that is assigned to a key becomes a Node."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value if isinstance(value, Node) else _to_node(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def _to_node(value: Any) -> Any:
    """Replace each dict in parsed JSON by a Node."""
    if isinstance(value, dict):
        return Node({key: _to_node(each) for key, each in value.items()})
    return [_to_node(each) for each in value] if isinstance(value, list) else value


def read(path: Path) -> Notebook:
    """Return a notebook of the course, which has format 4.

    Raises:
        NotebookError: the file can't be read, or it isn't a notebook of format 4. The message names the file and,
            for broken JSON, the line.
    """
    return parse(_text(path, LARGEST), str(path))


def read_saved(path: Path, largest: int = LARGEST) -> Notebook:
    """Read a notebook that a learner, a merge or a full disk may have changed in any way.

    Args:
        path: the file; any notebook format, any Unicode encoding and any line ends are accepted.
        largest: the largest size that is read, in bytes.

    Returns:
        The notebook, converted to format 4. The file isn't changed.

    Raises:
        NotebookError: the file is missing, too large, truncated or not a notebook, or it contains merge conflicts.
    """
    return _upgraded(_load(_text(path, largest), str(path)), path)


def read_to_run(path: Path) -> Notebook:
    """Read a valid notebook of any format as nbformat's object, in which each cell has an id that no other cell has.

    A cell that has no id, or the id of a cell above it, gets one from its position ("cell-3"), so that two processes
    that read the file agree about it. The file isn't changed.

    Raises:
        NotebookError: the file can't be read or isn't a valid notebook. The message is one line.
    """
    import nbformat

    notebook = nbformat.from_dict(read_saved(path))
    minor = notebook.get("nbformat_minor")
    if type(minor) is not int or minor < 0:
        raise NotebookError(f"{path}: not a valid notebook: its nbformat_minor isn't an integer of 0 or more")
    notebook.nbformat_minor = max(5, minor)  # format 4.5 introduced the ids
    own = {cell.get("id") for cell in notebook.cells if isinstance(cell.get("id"), str)}
    seen = set[str]()
    for position, cell in enumerate(notebook.cells, 1):
        if cell.get("cell_type") not in ("code", "markdown", "raw"):
            raise NotebookError(
                f"{path}: not a valid notebook: cell {position}: {quoted(cell.get('cell_type'))} isn't a cell type"
            )
        if not isinstance(cell.get("id", ""), str):
            raise NotebookError(f"{path}: not a valid notebook: cell {position}: its id isn't a string")
        if "id" not in cell or cell.id in seen:
            names = chain([f"cell-{position}"], (f"cell-{position}-{number}" for number in count(2)))
            cell["id"] = next(name for name in names if name not in own | seen)
        seen.add(cell.id)
    validate(notebook, str(path))
    return notebook


def parse(text: str, name: str) -> Notebook:
    """Return the notebook in the text of a file; raise NotebookError, with the file's `name`, if it isn't format 4."""
    return _to_notebook(_load(text, name), name)


def _text(path: Path, largest: int) -> str:
    try:
        size = path.stat().st_size
        if size > largest:
            raise NotebookError(
                f"{path}: the file is too large to read ({size:,} bytes). In JupyterLab, clear the output of its cells "
                "(Edit, Clear Outputs of All Cells), and save"
            )
        data = path.read_bytes()
        return data.decode(json.detect_encoding(data)).replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise NotebookError(f"{path}: the file is missing") from None
    except OSError as error:
        raise NotebookError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise NotebookError(
            f"{path} isn't a notebook, because byte {error.start} of the file isn't valid UTF-8"
        ) from None


def _load(text: str, name: str) -> object:
    """Parse JSON, and explain an error in it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise NotebookError(f"{name}, line {error.lineno}: {_why_broken(text, error)}") from None
    except RecursionError:
        raise _too_deep(name) from None


def _why_broken(text: str, error: json.JSONDecodeError) -> str:
    """Return why a text isn't JSON, and how to repair the file."""
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
            "the file ends here, in the middle of the notebook. "
            "If it is still open in JupyterLab, save it again (Ctrl-S)"
        )
    return f"broken JSON, column {error.colno}: {error.msg}. Was the file edited outside of JupyterLab?"


def _too_deep(name: str) -> NotebookError:
    return NotebookError(f"{name}: not a notebook: its JSON is nested too deeply")


def _upgraded(raw: object, path: Path) -> Notebook:
    """Return a notebook of format 4, converted from an older format if necessary."""
    version = raw.get("nbformat") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise NotebookError(f"{path}: this JSON file isn't a notebook. Does its name end in .ipynb by mistake?")
    if version > 4:
        raise NotebookError(f"{path}: saved in format {version} by a Jupyter newer than this course, which reads 4")
    return _to_notebook(raw if version == 4 else _converted(raw, version, path), str(path))


def _converted(raw: object, version: int, path: Path) -> object:
    import nbformat

    try:
        notebook = nbformat.convert(nbformat.from_dict(raw), 4)
        for cell in notebook.cells:
            cell.pop("id", None)  # the conversion gives random ids
        notebook.nbformat_minor = 4  # which has no ids
        return notebook
    except Exception as error:  # nbformat's conversion doesn't check its input, so it raises errors of many types
        raise NotebookError(f"{path}: cannot be read as a notebook of format {version}: {quoted(error)}") from None


def _to_notebook(raw: object, name: str) -> Notebook:
    """Make a notebook of parsed JSON, which must have format 4."""
    if not isinstance(raw, dict) or raw.get("nbformat") != 4 or not isinstance(raw.get("cells"), list):
        raise NotebookError(f"{name}: not a notebook of format 4; open it in JupyterLab and save it")
    if not isinstance(raw.get("metadata", {}), dict):
        raise NotebookError(f"{name}: not a valid notebook: its metadata isn't an object")
    try:
        notebook = _to_node(raw)
        _join_lines(notebook)
        return notebook
    except RecursionError:  # _to_node needs more of the stack than the JSON parser
        raise _too_deep(name) from None
    except (AttributeError, TypeError, KeyError) as error:
        raise NotebookError(f"{name}: not a valid notebook: {quoted(error)}") from None


def _join_lines(notebook: Node) -> None:
    """Join the lists of lines, in which files of format 4 store sources and outputs."""
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        _join(cell, "source")
        for output in outputs:
            _join(output, "text")
        # Both map media types to data.
        for bundle in [*cell.get("attachments", {}).values(), *(output.get("data", {}) for output in outputs)]:
            for kind in bundle:
                if not (kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")):
                    _join(bundle, kind)


def _join(holder: Node, key: str) -> None:
    lines = holder.get(key)
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        holder[key] = "".join(lines)


def dump(notebook: Notebook) -> str:
    """Return the text of a notebook file, with sorted keys, one line per source line, and a newline at the end."""
    from nbformat.v4 import nbjson

    return f"{nbjson.writes(notebook)}\n"


def validate(notebook: Notebook, name: str) -> None:
    """Raise NotebookError, with `name` for the file, if a notebook doesn't match Jupyter's schema."""
    import nbformat

    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        place = list(error.absolute_path)
        where = f"cell {place[1] + 1}: " if place[:1] == ["cells"] and len(place) > 1 else ""
        reason = str(error).splitlines()[0]
        shown = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
        raise NotebookError(f"{name}: not a valid notebook: {where}{shown}") from None


def write(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: after an interruption or a crash, its content is either the old or the new one.

    Raises:
        OSError: the content can't be written. The file stays unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name with an empty file
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def back_up(path: Path, now: datetime) -> Path:
    """Copy a file, byte for byte, into backups/ beside it. The local time `now` is part of the copy's name.

    Returns:
        The copy's path. An existing copy isn't overwritten.

    Raises:
        NotebookError: the copy can't be written.
    """
    try:
        data = path.read_bytes()
        folder = path.parent / BACKUPS
        folder.mkdir(exist_ok=True)
        stem = f"{path.stem}.{now:%Y-%m-%d-%H%M%S}"
        for number in count(1):
            copy = folder / f"{stem}{f'-{number}' if number > 1 else ''}{path.suffix}"
            with suppress(FileExistsError), copy.open("xb") as file:
                _write_all(file, data, copy)
                return copy
    except OSError as error:
        raise NotebookError(f"{path}: no backup can be made ({error.strerror}), so nothing was changed") from None
    raise AssertionError("the numbers never end")


def _write_all(file: IO[bytes], data: bytes, path: Path) -> None:
    """Write data to a new file, or remove the file if the disk has no room for all of it."""
    try:
        file.write(data)
        file.flush()
    except OSError:
        path.unlink()
        raise


def cell_label(cell: Cell, position: int) -> str:
    """Return a cell's name for messages, such as 'cell 3 (id "answer")'; `position` counts from 0."""
    return f'cell {position + 1} (id "{cell.get("id", "none")}")'


def recap_name(lesson: str) -> str:
    """Return the file name in PAGES of the recap that follows a lesson ("03")."""
    return f"{lesson}_recap.ipynb"


def find(root: Path, folder: str) -> list[Path]:
    """Return the notebooks in one folder of the course, sorted by name."""
    return sorted(path for path in (root / folder).glob("*.ipynb") if not path.name.startswith("."))
