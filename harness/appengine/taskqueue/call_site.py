"""Finds the line of learner code that made a call."""

import linecache
import os
import sys
import sysconfig
from functools import lru_cache
from itertools import islice
from pathlib import Path
from textwrap import dedent
from types import FrameType

from google.appengine.api import apiproxy_stub

from harness.records import Frame

_GOOGLE = Path(apiproxy_stub.__file__).parents[2]
_NOT_THE_LEARNERS = tuple(
    os.path.join(folder, "")
    for folder in (
        Path(__file__).parents[2],  # the harness
        _GOOGLE,  # Google's SDK, and Google's Cloud Tasks client
        _GOOGLE.parent / "grpc",
        _GOOGLE.parent / "proto",
        sysconfig.get_path("stdlib"),
    )
)


def find_call_site() -> Frame | None:
    """Return the innermost frame outside Google's client, the harness and the standard library, or None."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _is_the_learners(frame.f_code.co_filename):
        frame = frame.f_back
    return None if frame is None else learners_frame(frame, *_call_lines(frame))


def learners_frame(frame: FrameType, line: int, last: int | None = None) -> Frame | None:
    """Return the record of a frame, or None if it belongs to Google's client, the harness or the standard library.

    The statement that it was running begins at `line`, and ends at `last` or in the same line.
    """
    file = frame.f_code.co_filename
    if not _is_the_learners(file):
        return None
    linecache.checkcache(file)
    lines = linecache.getlines(file, frame.f_globals)[line - 1 : last or line]
    return Frame(_shown(file), line, frame.f_code.co_name, dedent("".join(lines)).strip())


def _call_lines(frame: FrameType) -> tuple[int, int]:
    """Return the first and the last line of the call that a frame is running."""
    first, last, *_ = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    return first or frame.f_lineno, last or frame.f_lineno  # positions are None under PYTHONNODEBUGRANGES


@lru_cache(maxsize=4096)
def _is_the_learners(file: str) -> bool:
    return not file.startswith((*_NOT_THE_LEARNERS, "<frozen "))


@lru_cache(maxsize=4096)
def _shown(file: str) -> str:
    """Return "tutorial/controllers/default.py" for a file of an application; for other files only the file's name."""
    path = file.replace("\\", "/")
    if "/applications/" in path:
        return path.rpartition("/applications/")[2]
    if "ipykernel" in path or path.startswith("<ipython-input"):
        return "notebook cell"
    return path.rpartition("/")[2]
