"""Start JupyterLab with the course, for this machine only and without requests to the network."""

import logging
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.course.delivery import course_source
from harness.errors import NotebookError
from harness.notebooks.copies import MY_COURSE
from harness.state import command

# Turns off the news, which would use the network, and loads server_extension.py. It also encrypts the connections to
# kernels, because ipykernel 7 prints a warning for each kernel without encryption.
CONFIG = Path(__file__).parent / "jupyter"
QUIET = ("--ServerApp.log_level=ERROR", "--LabApp.log_level=ERROR")
# The files in the top folder of the course, which a learner doesn't need.
COURSE_FILES = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "environment.yml", "exercises", "harness"),
    *("notebooks", "postBuild", "pyproject.toml", "requirements.txt", "solutions", "tests"),
    *("build", "dist", "harness.egg-info"),  # which make and pip write
)
PORT = 8888  # on 127.0.0.1; JupyterLab uses the next free port if it is taken


def serve(root: Path, page: Path, port: int, *, browser: bool, debug: bool, lines: Sequence[str]) -> int:
    """Run JupyterLab until it is interrupted.

    The server's root is the course, so that links between its folders work. The file browser shows the page's folder.
    If that is the learner's folder, the file browser hides the files of the course, but no other file.

    Args:
        root: the folder of the course.
        page: the notebook in it that is open at the beginning.
        port: the port on 127.0.0.1; if it is taken, the next free one is used.
        browser: whether to open the user's browser, if there is a display.
        debug: whether to show JupyterLab's log. Otherwise only its errors are shown.
        lines: what to print below the address.

    Returns:
        The exit status.

    Raises:
        NotebookError: the user's Jupyter settings turn off the server's token.
    """
    from jupyterlab.labapp import LabApp

    options = arguments(root, page, port, browser=browser and has_display(os.environ))
    folders = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(folders)
    server = LabApp.initialize_server([*options, *([] if debug else QUIET)])
    if not server.identity_provider.auth_enabled:
        raise NotebookError(
            "Your Jupyter settings turn off the server's token, so any user of this machine could run code as you. "
            "Remove the empty IdentityProvider.token or ServerApp.token from a settings file; "
            f"`{command('jupyter')} --paths` lists their folders."
        )
    _put_commands_on_path(server)
    if page.is_relative_to(root / MY_COURSE) and course_source(root) == root:
        server.contents_manager.hidden_at_top = COURSE_FILES
    if not debug:  # the server logs its address and its end as critical
        server.log.addFilter(lambda record: record.levelno < logging.CRITICAL)
    server.start_app()
    print(f"Open {server.public_url}", *lines, sep="\n", flush=True)
    server.start_ioloop()
    return 0


def _put_commands_on_path(server: Any) -> None:
    """Put this environment's commands on the PATH of terminals and kernels, so that `taskqueue-course` works there.

    A server that doesn't run in a terminal starts login shells, in which /etc/profile may reset PATH. We make it start
    plain shells, unless the user's settings name a shell.
    """
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    terminals = server.web_app.settings.get("terminal_manager")
    if terminals is not None and not server.terminado_settings.get("shell_command"):
        del terminals.shell_command[1:]


def arguments(root: Path, page: Path, port: int, *, browser: bool) -> list[str]:
    """Return JupyterLab's arguments; see `serve`."""
    return [
        *([] if browser else ["--no-browser"]),
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={root}",
        f"--FileContentsManager.preferred_dir={page.parent}",
        f"--LabApp.default_url=/lab/tree/{page.relative_to(root).as_posix()}",
        "--ServerApp.allow_root=True",  # needed in containers; it only listens on this machine
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def has_display(environment: Mapping[str, str]) -> bool:
    """Return whether a browser window can open, which is false on Linux without X and Wayland."""
    return sys.platform != "linux" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
