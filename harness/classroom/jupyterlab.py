"""Start JupyterLab with the course, for this machine only and without requests to the network."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import NotebookError
from harness.state import command

CONFIG = Path(__file__).parent / "jupyter"  # turns off the news, which would use the network
PORT = 8888  # on 127.0.0.1; JupyterLab uses the next free port if it is taken


def serve(root: Path, port: int, *, browser: bool) -> int:
    """Run JupyterLab until it is interrupted.

    The server's root is the repository, so that the links from lessons to exercises work. The file browser shows
    notebooks/, and the first lesson is open.

    Args:
        root: the folder that holds notebooks/.
        port: the port on 127.0.0.1; if it is taken, the next free one is used.
        browser: whether to open the user's browser, if there is a display.

    Returns:
        The exit status.

    Raises:
        NotebookError: the folder holds no lessons, or the user's Jupyter settings turn off its token.
    """
    from jupyterlab.labapp import LabApp

    options = arguments(root, port, browser=browser and has_display(os.environ))
    folders = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(folders)
    server = LabApp.initialize_server(options)
    if not server.identity_provider.auth_enabled:
        raise NotebookError(
            "Your Jupyter settings turn off its token, so any user of this machine could run code as you. "
            "Remove the empty IdentityProvider.token or ServerApp.token from a settings file; "
            f"`{command('jupyter')} --paths` lists their folders."
        )
    _put_commands_on_path(server)
    server.start()
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


def arguments(root: Path, port: int, *, browser: bool) -> list[str]:
    """Return JupyterLab's arguments, or raise NotebookError; see `serve`."""
    lessons = sorted(path.name for path in (root / "notebooks").glob("[0-9]*.ipynb"))
    if not lessons:
        raise NotebookError(f"{root} holds no lessons in notebooks/; run this in the repository's top folder")
    return [
        *([] if browser else ["--no-browser"]),
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={root}",
        f"--FileContentsManager.preferred_dir={root / 'notebooks'}",
        f"--LabApp.default_url=/lab/tree/notebooks/{lessons[0]}",
        "--ServerApp.allow_root=True",  # needed in containers; it only listens on this machine
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def has_display(environment: Mapping[str, str]) -> bool:
    """Return whether a browser window can open, which is false on Linux without X and Wayland."""
    return sys.platform != "linux" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
