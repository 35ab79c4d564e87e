"""The notebook that the front end of this kernel has open."""

import os
import sys
from pathlib import Path
from typing import Any


def notebook_path() -> Path | None:
    """Return the absolute path of the notebook that is open in JupyterLab or VS Code with this kernel.

    A notebook that was renamed or moved after its kernel started keeps its old path here.

    Returns:
        The path, or None in a terminal, in a console, and where a program runs the notebook (a build, nbval, nbgrader).
    """
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    # VS Code sets the first one, and Jupyter Server sets the second one. A console's session has another name.
    names = (shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"))
    name = next((name for name in names if isinstance(name, str) and name.endswith(".ipynb")), None)
    return None if name is None else Path(name).absolute()
