"""What runs the course: Google's client, web2py, a task from end to end, a kernel, a browser for the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.checkup.finding import Finding, note, ok, problem
from harness.checkup.packages import installed
from harness.errors import Web2pyNotFoundError
from harness.state import pip_install

_CONTROLLER = """
def ask():
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL('work'), params=dict(old='a', new='b'))
    return 'asked'

def work():
    db.mytable.insert(old=request.vars.old, new=request.vars.new)
    return 'done'
"""
_SECONDS = 60  # for a kernel to start and to answer
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def google(course: Path) -> Finding:
    """Import Google's client."""
    try:
        from google.appengine.api import taskqueue  # noqa: F401
    except ImportError as error:
        says = f"google.appengine.api.taskqueue cannot be imported: {error}"
        return problem(says, pip_install("appengine-python-standard==3.1.0"))
    return ok(f"appengine-python-standard {installed('appengine-python-standard')}")


def web2py(course: Path) -> Finding:
    """Start web2py: the installed one, or the one that WEB2PY_PATH names."""
    from harness.web2py.boot import boot, source_tree

    try:
        tree = source_tree()
        version = str(boot().main.web2py_version).partition("-")[0]
    except Web2pyNotFoundError as error:
        says, *advice = re.split(r"\n|\. ", str(error), maxsplit=1)
        return problem(says, *advice or ["restart, and ask again"])
    return ok(version if tree is None else f"{version} of WEB2PY_PATH={tree}")


def task(course: Path) -> Finding:
    """Let a lab queue a task, run it, and look for the row that it leaves."""
    from harness.lab import Lab
    from harness.web2py.boot import boot

    try:
        boot()
    except Web2pyNotFoundError:
        return problem("not tried: web2py does not start", "mend web2py first")
    with Lab() as lab:
        lab.write("controllers/default.py", _CONTROLLER)
        lab.get("default/ask")
        lab.run()
        rows = len(lab.table("mytable"))
    if rows != 1:
        return problem(f"a task was to leave 1 row and left {rows}", "see the lines above, and mend them first")
    return ok("queued, run, and its row is there")


def kernel(course: Path) -> Finding:
    """Start the kernel that the notebooks name, and ask it where it lives."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        folder = KernelSpecManager().get_kernel_spec("python3").resource_dir
    except NoSuchKernel:
        return problem("Jupyter knows no kernel named python3", pip_install("--force-reinstall ipykernel"))
    try:
        prefix = _ask_kernel("import sys, harness; print(sys.prefix)")
    except Exception as error:
        return problem(
            f"the kernel python3 of {folder} does not start: {type(error).__name__}: {error}",
            pip_install("--force-reinstall ipykernel"),
        )
    if prefix.strip() != sys.prefix:
        return problem(
            f"the kernel python3 of {folder} runs {_last_line(prefix)}, not {sys.prefix}",
            f"remove or rename {folder}, then start JupyterLab again",
        )
    return ok("python3 starts, in this environment")


def browser(course: Path) -> Finding:
    """Look for the browser that the browser tests drive."""
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        return note("no Chromium; only the browser tests use it", "on Debian and Ubuntu: apt-get install chromium")
    if installed("playwright") is None:
        return note("no playwright; only the browser tests use it", pip_install("playwright"))
    return ok(found)


def _ask_kernel(source: str) -> str:
    """Run a line in a fresh kernel and return what it printed, or the last line of what it raised."""
    from jupyter_client.manager import start_new_kernel

    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        raised = f"{content['ename']}: {content['evalue']}" if "ename" in content else ""
        said.append(content.get("text", raised))

    manager, client = start_new_kernel(
        startup_timeout=_SECONDS,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        stderr=subprocess.DEVNULL,
    )
    try:
        client.execute_interactive(source, timeout=_SECONDS, output_hook=hear)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(said)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]
