"""`python -m harness lab`: JupyterLab on the course, on this machine only, with nothing asked of the network."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import NotebookError
from harness.state import command

CONFIG = Path(__file__).parent / "jupyter"  # turns the news off, which would ask the network
PORT = 8888  # on 127.0.0.1, or the next one that is free


def serve(root: Path, port: int, *, browser: bool) -> int:
    """Run JupyterLab until it is interrupted.

    The server's root is the repository, so that the links from lessons to exercises work; the file browser begins in
    notebooks/ and the first lesson is open.

    Args:
        root: the folder that holds notebooks/.
        port: the port on 127.0.0.1; the next free one when it is taken.
        browser: open the user's browser, where there is a display.

    Returns:
        The exit status.

    Raises:
        NotebookError: the folder holds no lessons, or the user's own settings of Jupyter let in whoever asks.
    """
    from jupyterlab.labapp import LabApp

    options = arguments(root, port, browser=browser and has_display(os.environ))
    folders = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(folders)
    server = LabApp.initialize_server(options)
    if not server.identity_provider.auth_enabled:
        raise NotebookError(
            "Your settings of Jupyter turn its token off, so that whoever is on this machine could run code as you. "
            "Take out the empty IdentityProvider.token or ServerApp.token; "
            f"`{command('jupyter')} --paths` lists where it may be."
        )
    _put_commands_on_path(server)
    server.start()
    return 0


def _put_commands_on_path(server: Any) -> None:
    """Let terminals and kernels find this environment's commands, so that `taskqueue-course` works there.

    A server without a terminal of its own starts login shells, in which /etc/profile may set PATH anew. They become
    plain shells, unless the user's own settings name a shell.
    """
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    terminals = server.web_app.settings.get("terminal_manager")
    if terminals is not None and not server.terminado_settings.get("shell_command"):
        del terminals.shell_command[1:]


def arguments(root: Path, port: int, *, browser: bool) -> list[str]:
    """Return JupyterLab's command line; see `serve`."""
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
        "--ServerApp.allow_root=True",  # containers; it listens on this machine only
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def has_display(environment: Mapping[str, str]) -> bool:
    """Tell whether a browser window can open: always but on a Linux without X and Wayland."""
    return sys.platform != "linux" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
