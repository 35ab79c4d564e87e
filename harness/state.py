"""The user's machine: the folder in which progress is stored, and how to write paths and commands for this user."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

from harness.errors import ProgressError

VARIABLE = "TASKQUEUE_COURSE_STATE"
_NAME = "taskqueue-course"
_MODULES = {"taskqueue-course": "harness"}  # a command whose module has another name


def state_folder() -> Path:
    """Return the folder in TASKQUEUE_COURSE_STATE, or else the system's folder for such data. It may not exist yet.

    Raises:
        ProgressError: the user has no home folder, and TASKQUEUE_COURSE_STATE isn't set.
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
        raise _homeless(home)  # a program must not create a home folder
    return folder


def _homeless(home: str) -> ProgressError:
    return ProgressError(
        f"Your progress is lost when this session ends, because your home folder {home!r} doesn't exist. "
        f"Set HOME to a folder that exists, or set {VARIABLE} to a folder."
    )


def shown(text: object) -> str:
    """Return a path, or a text with paths, in which the home folder is written as ~ to hide the user's name."""
    home = os.path.expanduser("~").rstrip(os.sep)
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", str(text)) if os.path.isabs(home) else str(text)


def command(name: str) -> str:
    """Return how to call a command of this environment, so that it runs as printed in the current folder.

    Args:
        name: "taskqueue-course", "jupyter" or "python".

    Returns:
        The name if PATH leads to this environment's command, else its path, quoted for a shell. If the environment has
        no such command, "python -m" with the module, where "python" is found in the same way.
    """
    script = sys.executable if name == "python" else shutil.which(name, path=sysconfig.get_path("scripts"))
    if script is None:
        return f"{command('python')} -m {_MODULES.get(name, name)}"
    path = Path(script)
    found = shutil.which(path.name)
    # The folders are compared, because python in a virtual environment is a link to the Python outside.
    is_on_path = found is not None and os.path.samefile(Path(found).parent, path.parent)
    return path.name if is_on_path else quoted(path)


def quoted(path: Path) -> str:
    """Return a path for a shell in the current folder: relative below that folder, with "~" below the home folder."""
    home = Path(os.path.expanduser("~"))
    with suppress(ValueError, OSError):  # the path is elsewhere; the current folder was deleted
        return shlex.quote(str(path.relative_to(Path.cwd())))
    if os.name == "posix" and path.is_relative_to(home) and path != home:
        return f"~/{shlex.quote(str(path.relative_to(home)))}"
    return shlex.quote(str(path))


def pip_install(what: str) -> str:
    """Return the command that installs packages into this environment: in a kernel for a cell, else for a terminal.

    Args:
        what: pip's arguments, as a shell takes them.
    """
    if getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None:
        return f"%pip install {what}"
    return f"{command('python')} -m pip install {what}"
