"""Small notebooks for tests of the notebook machinery."""

from pathlib import Path
from typing import Any

from nbformat import from_dict

from harness.notebooks import files
from harness.notebooks.normal_form import METADATA

Notebook = Any
Cell = dict[str, Any]


def markdown(source: str, **fields: Any) -> Cell:
    return {"cell_type": "markdown", "source": source, "metadata": {}, **fields}


def code(source: str, *outputs: Cell, count: int | None = None, tags: tuple[str, ...] = (), **fields: Any) -> Cell:
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
        "metadata": metadata,
        **fields,
    }


def stream(text: str, name: str = "stdout") -> Cell:
    return {"output_type": "stream", "name": name, "text": text}


def result(text: str, count: int = 1) -> Cell:
    return {
        "output_type": "execute_result",
        "data": {"text/plain": text},
        "metadata": {},
        "execution_count": count,
    }


def display(**data: str) -> Cell:
    """Return a display_data output; `text_html` is the data of the type text/html."""
    bundle = {key.replace("_", "/", 1): value for key, value in data.items()}
    return {"output_type": "display_data", "data": bundle, "metadata": {}}


def failure(name: str, value: str, *traceback: str) -> Cell:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(traceback)}


def notebook(*cells: Cell) -> Notebook:
    """Return a notebook with these cells; a cell without an id gets one from its position ("cell-1")."""
    numbered = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells, 1)]
    return from_dict({"cells": numbered, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def save(path: Path, *cells: Cell) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files.dump(notebook(*cells)), encoding="utf-8")
    return path
