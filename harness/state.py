"""Where the course keeps what outlives a session: one folder per user, never beside the notebooks."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.errors import ProgressError

VARIABLE = "TASKQUEUE_COURSE_STATE"
_NAME = "taskqueue-course"


def state_folder() -> Path:
    """Return the folder: the one that TASKQUEUE_COURSE_STATE names, or the system's own place for such things.

    It may not be there yet.

    Raises:
        ProgressError: there is no such place, as the user has no home folder.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return Path(os.path.expanduser(named)).absolute()

    from platformdirs import user_state_dir

    home = os.path.expanduser("~")
    try:
        folder = Path(user_state_dir(_NAME, appauthor=False))
    except RuntimeError:
        raise _homeless(home) from None
    if folder.is_relative_to(home) and not Path(home).is_dir():
        raise _homeless(home)  # to make one is not ours
    return folder


def _homeless(home: str) -> ProgressError:
    return ProgressError(
        f"Progress is kept until this session ends, and not longer: your home folder, {home!r}, is not there. "
        f"Set HOME, or let {VARIABLE} name a folder."
    )


def is_default() -> bool:
    """Tell whether the folder is the system's own place, and not one that somebody named."""
    return not os.environ.get(VARIABLE, "").strip()


def shown(what: object) -> str:
    """Return a path, or a text with paths in it, as it may be passed on: without the name of the user at home there."""
    home = os.path.expanduser("~").rstrip(os.sep)
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", str(what)) if os.path.isabs(home) else str(what)
