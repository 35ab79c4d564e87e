"""The things to look at, in the order in which they build on each other."""

from __future__ import annotations

import locale
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.classroom import doctor_report
from harness.classroom.doctor_report import SetupFinding, installed, note, ok, problem, some
from harness.classroom.jupyterlab import PORT
from harness.course import progress_file
from harness.course.catalogue import exercises as all_exercises
from harness.course.progress_file import FILE, VERSION, BrokenFile, NewerFile, parse
from harness.errors import NotebookError, ProgressError, Web2pyNotFoundError
from harness.notebooks import files
from harness.notebooks.files import read_saved
from harness.state import VARIABLE, pip_install, quoted, shown, state_folder

# Where the course lives and writes: notebooks, exercises, progress, temporary files; the terminal; the port.

_TRIAL = bytes(64 * 1024)  # more than progress will ever take


def lessons(course: Path) -> SetupFinding:
    """Read every lesson."""
    found, broken = _read_all(course, "notebooks")
    if not found:
        return problem(f"{course} holds no notebooks/", "run this in the course's top folder, or name it: --course")
    return _broken(broken, course) if broken else ok(f"{found} in {course / 'notebooks'}")


def exercises(course: Path) -> SetupFinding:
    """Read every exercise, and ask whether answers can be saved."""
    found, broken = _read_all(course, "exercises")
    if not found:
        return problem(f"{course} holds no exercises/", "run this in the course's top folder, or name it: --course")
    if broken:
        return _broken(broken, course)
    unwritable = [
        path for path in [course / "exercises", *files.find(course, "exercises")] if not os.access(path, os.W_OK)
    ]
    if unwritable:
        return note(
            f"{some([str(path.relative_to(course)) for path in unwritable])} cannot be written: a check works, saving "
            "answers does not",
            f"work in a copy: cp -r {quoted(course)} ~/taskqueue-course",
        )
    return ok(f"{found} in {course / 'exercises'}, answers can be saved")


def progress(course: Path) -> SetupFinding:
    """Write something to the state folder, and read the progress in it."""
    another = f"let {VARIABLE} name another folder"
    try:
        folder = state_folder()
    except ProgressError as error:
        return problem(*str(error).rsplit(". ", 1))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _try_to_write(folder)
        if (folder / FILE).exists():
            parse((folder / FILE).read_text(encoding="utf-8"))
    except NewerFile as error:
        return problem(f"{folder / FILE} is of a newer course ({error}; this one knows {VERSION})", "update the course")
    except (BrokenFile, UnicodeDecodeError) as error:
        return note(f"{folder / FILE} is broken ({error})", "the next check puts it aside and begins a new one")
    except OSError as error:
        return problem(f"{folder} cannot be used: {error.strerror or error}", f"fix that, or {another}")
    every = [exercise.number for exercise in all_exercises()]
    return ok(f"{len(progress_file.solved() & set(every))} of {len(every)} exercises solved; kept in {folder}")


def temporary(course: Path) -> SetupFinding:
    """Write something where labs put their files."""
    try:
        _try_to_write(Path(tempfile.gettempdir()))
    except OSError as error:
        return problem(f"no temporary folder can be used: {error.strerror or error}", "let TMPDIR name one with room")
    return ok(tempfile.gettempdir())


def text(course: Path) -> SetupFinding:
    """Ask whether words of all languages can be shown and saved."""
    shown, saved = sys.stdout.encoding or "ascii", locale.getpreferredencoding(False)
    if all(name.lower().replace("-", "") == "utf8" for name in (shown, saved)):
        return ok("UTF-8")
    return note(
        f"the terminal takes {shown}, files are {saved}: what is not English may be lost",
        "set PYTHONUTF8=1, or LC_ALL=C.UTF-8",
    )


def port(course: Path) -> SetupFinding:
    """Ask whether JupyterLab gets the port that it begins with."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            return note(f"{PORT} is not free ({error.strerror}): `lab` takes the next one that is")
    return ok(f"{PORT} on 127.0.0.1 is free")


def _read_all(course: Path, folder: str) -> tuple[int, list[str]]:
    paths = files.find(course, folder)
    broken = []
    for path in paths:
        try:
            read_saved(path)
        except NotebookError as error:
            broken.append(str(error).replace(f"{course}{os.sep}", ""))
    return len(paths), broken


def _broken(broken: list[str], course: Path) -> SetupFinding:
    path = Path(broken[0].partition(".ipynb")[0] + ".ipynb")
    if path.parent.name == "exercises":
        return problem("; ".join(broken), f"or keep a copy and start anew: taskqueue-course reset {path.name[:2]}")
    return problem("; ".join(broken), f"git -C {quoted(course)} checkout {shlex.quote(str(path))}")


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_TRIAL)
        file.flush()
        os.fsync(file.fileno())


# What runs the course: Google's client, web2py, a task from end to end, a kernel, a browser for the tests.

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


def google(course: Path) -> SetupFinding:
    """Import Google's client."""
    try:
        from google.appengine.api import taskqueue  # noqa: F401
    except ImportError as error:
        says = f"google.appengine.api.taskqueue cannot be imported: {error}"
        return problem(says, pip_install("appengine-python-standard==3.1.0"))
    return ok(f"appengine-python-standard {installed('appengine-python-standard')}")


def web2py(course: Path) -> SetupFinding:
    """Start web2py: the installed one, or the one that WEB2PY_PATH names."""
    from harness.appengine.web2py.boot import boot, source_tree

    try:
        tree = source_tree()
        version = str(boot().main.web2py_version).partition("-")[0]
    except Web2pyNotFoundError as error:
        says, *advice = re.split(r"\n|\. ", str(error), maxsplit=1)
        return problem(says, *advice or ["restart, and ask again"])
    return ok(version if tree is None else f"{version} of WEB2PY_PATH={tree}")


def task(course: Path) -> SetupFinding:
    """Let a lab queue a task, run it, and look for the row that it leaves."""
    from harness.appengine.web2py.boot import boot
    from harness.lab import Lab

    try:
        boot()
    except Web2pyNotFoundError:
        return problem("not tried: web2py does not start", "fix web2py first")
    with Lab() as lab:
        lab.write("controllers/default.py", _CONTROLLER)
        lab.get("default/ask")
        lab.run()
        rows = len(lab.table("mytable"))
    if rows != 1:
        return problem(f"a task was to leave 1 row and left {rows}", "see the lines above, and fix them first")
    return ok("queued, run, and its row is there")


def kernel(course: Path) -> SetupFinding:
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


def browser(course: Path) -> SetupFinding:
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


PROBES: dict[str, Callable[[Path], SetupFinding]] = {
    "Python": doctor_report.python,
    "course": doctor_report.course,
    "packages": doctor_report.packages,
    "Google's client": google,
    "web2py": web2py,
    "temporary files": temporary,
    "a task": task,
    "kernel": kernel,
    "lessons": lessons,
    "exercises": exercises,
    "progress": progress,
    "text": text,
    "port": port,
    "browser": browser,
}


def examine_setup(course: Path) -> Iterator[tuple[str, SetupFinding]]:
    """Look at everything, and yield its name and what was found, as it is found.

    Args:
        course: the folder that holds notebooks/ and exercises/.
    """
    for name, probe in PROBES.items():
        found = _found(probe, course)
        yield name, replace(found, says=shown(found.says), fix=shown(found.fix))


def _found(probe: Callable[[Path], SetupFinding], course: Path) -> SetupFinding:
    """Return what a probe finds; what it stumbles over is a finding, too: a doctor does not faint."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is found here, and said in a line
            return probe(course)
    except ModuleNotFoundError as error:
        return problem(f"the package with {error.name} is missing", doctor_report.install_pins())
    except Exception as error:
        says = str(error).partition("\n")[0]
        return problem(f"fails: {type(error).__name__}: {says}", doctor_report.install_pins())
