"""A notebook as a learner, a merge or a full disk left it: what cannot be read says why, where, and what helps."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness.errors import NotebookError
from harness.notebooks.files import Notebook, to_notebook, too_deep

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
