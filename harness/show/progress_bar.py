"""The progress bar of a long run. It appears after a few hundred attempts and disappears at the end.

It appears in a terminal and in a notebook, but not in files, in pytest and where `TQDM_DISABLE` is set, which is the
case while notebooks are built.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

MANY = 300  # attempts after which the bar appears


class Meter:
    """Counts the attempts of one run."""

    def __init__(self) -> None:
        self._attempts = 0
        self._bar: Any = None

    def count(self) -> None:
        """Count one attempt."""
        self._attempts += 1
        if self._attempts == MANY:
            self._bar = _make_bar()
        elif self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def _make_bar() -> Any:
    """Return a tqdm bar, or None if there is no terminal and no notebook."""
    notebook = _in_notebook()
    if os.environ.get("TQDM_DISABLE") or not (notebook or (sys.stderr and sys.stderr.isatty())):
        return None
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        """A bar without tqdm's thread, because that thread would read the virtual clock."""

        monitor_interval = 0

    options: dict[str, Any] = {"desc": "running tasks", "unit": " attempts", "initial": MANY, "leave": False}
    if not notebook:
        return Bar(**options)
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    bar = Bar(**options, file=io.StringIO())
    bar.sp = lambda text: handle.update({"text/plain": text}, raw=True)  # a notebook shows stderr in a red box
    bar.refresh()
    return bar


def _in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
