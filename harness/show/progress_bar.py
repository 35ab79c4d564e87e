"""Progress of a long run: after a few hundred attempts a bar that counts them, and goes away at the end.

It shows where somebody watches: in a terminal, on stderr, and in a notebook. It keeps out of files, of pytest, and of
notebooks whose outputs are for the record (`TQDM_DISABLE`, tqdm's own switch, is set for their kernels).
"""

from __future__ import annotations

import io
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tqdm import tqdm

MANY = 300  # attempts from which on there is a bar


class Meter:
    """Counts the attempts of one run; a context manager."""

    def __init__(self) -> None:
        self._attempts = 0
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def count(self) -> None:
        """Count one attempt."""
        self._attempts += 1
        if self._attempts == MANY:
            self._bar = _make_bar()
        elif self._bar is not None:
            self._bar.update()


def _make_bar() -> tqdm[Any] | None:
    if os.environ.get("TQDM_DISABLE"):
        return None
    looks: dict[str, Any] = {"desc": "running tasks", "unit": " attempts", "initial": MANY, "leave": False}
    if _in_notebook():
        return _make_cell_bar(looks)
    return _make_terminal_bar(looks) if sys.stderr is not None and sys.stderr.isatty() else None


def _in_notebook() -> bool:
    """Tell whether this is a Jupyter kernel, without loading IPython where it is none."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _make_terminal_bar(looks: dict[str, Any]) -> tqdm[Any]:
    from tqdm import tqdm

    class TerminalBar(tqdm):  # type: ignore[type-arg]
        """tqdm without its thread, which would watch a clock that travels."""

        monitor_interval = 0

    return TerminalBar(**looks)


def _make_cell_bar(looks: dict[str, Any]) -> tqdm[Any]:
    from IPython.display import display
    from tqdm import tqdm

    handle = display({"text/plain": ""}, raw=True, display_id=True)

    class CellBar(tqdm):  # type: ignore[type-arg]
        """tqdm in one output of a cell, which is empty in the end: text on stderr would leave a red box."""

        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            handle.update({"text/plain": str(self) if msg is None else msg}, raw=True)

    return CellBar(**looks, file=io.StringIO())
