"""The probes of `doctor`: each looks at one thing that the course needs and reports how to fix it."""

import locale
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from harness.classroom.doctor_report import SetupFinding, SetupState, installed
from harness.classroom.jupyterlab import PORT
from harness.course import progress_file
from harness.course.catalogue import exercises as all_exercises
from harness.course.delivery import course_source
from harness.course.predictions import Choices
from harness.course.progress_file import Progress
from harness.course.state_file import BrokenFile, NewerFile
from harness.course.workspace import answers_folder
from harness.errors import NotebookError, ProgressError, Web2pyNotFoundError
from harness.notebooks import files
from harness.notebooks.copies import MY_COURSE
from harness.notebooks.files import read_saved
from harness.notebooks.reference_card import find_chromium
from harness.state import VARIABLE, pip_install, quoted, shown, state_folder

ROOT = Path(__file__).resolve().parents[2]  # the repository, if the package is used from it
_NAMED = 4  # packages or files in a message
_TRIAL = bytes(64 * 1024)  # more than the progress file will ever need


def ok(says: str) -> SetupFinding:
    """Return a finding that needs no action."""
    return SetupFinding(SetupState.OK, says)


def note(says: str, fix: str = "") -> SetupFinding:
    """Return a finding that doesn't stop the course."""
    return SetupFinding(SetupState.NOTE, says, fix)


def problem(says: str, fix: str) -> SetupFinding:
    """Return a finding that stops the course."""
    return SetupFinding(SetupState.PROBLEM, says, fix)


def python(course: Path) -> SetupFinding:
    """Check that this version of Python is one that pyproject.toml allows."""
    version = ".".join(map(str, sys.version_info[:3]))
    supported = SpecifierSet(metadata.metadata("harness")["Requires-Python"] if installed("harness") else "")
    if version in supported:
        return ok(version)
    bounds = {bound.operator: int(bound.version.partition(".")[2]) for bound in supported}
    oldest, newest = bounds[">="], bounds["<"] - 1
    fix = f"rm -rf {quoted(ROOT / '.venv')} && make -C {quoted(ROOT)} .venv PYTHON=/path/to/python3.{newest}"
    return problem(f"{version}; the course is tested on Python 3.{oldest} to 3.{newest}", fix)


def packages(course: Path) -> SetupFinding:
    """Compare the installed packages with requirements.txt, or with the package's own requirements without it."""
    pins = dict(pinned_versions())
    missing = [name for name in pins or _required() if installed(name) is None]
    if missing:
        return problem(f"{len(missing)} missing: {some(missing)}", install_pins(missing))
    others = [f"{name} {installed(name)}, not {pins[name]}" for name in pins if installed(name) != pins[name]]
    if others:
        fix = f"if something fails: {install_pins()}"
        return note(f"{len(others)} in another version than tested: {some(others)}", fix)
    return ok(f"{len(pins)} in the pinned versions" if pins else "all that are required")


def pinned_versions() -> Iterator[tuple[str, str]]:
    """Yield the name and the version of each package in requirements.txt that this system and this Python need."""
    path = ROOT / "requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    # The lines of a package's hashes are indented.
    for pin in (Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalpha()):
        if pin.marker is None or pin.marker.evaluate():
            yield pin.name, str(pin.specifier).removeprefix("==")


def _required() -> list[str]:
    """Return the packages that the installed harness requires itself, without the extras."""
    lines = (metadata.requires("harness") or []) if installed("harness") else []
    return [each.name for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate({"extra": ""})]


def install_pins(missing: Iterable[str] = ()) -> str:
    """Return the command that installs requirements.txt, or only the missing packages without that file."""
    pins = ROOT / "requirements.txt"
    return pip_install(f"--requirement {quoted(pins)}" if pins.is_file() else " ".join(missing))


def some(names: list[str]) -> str:
    """Return the first few names and the number of the others."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def course(folder: Path) -> SetupFinding:
    """Check that the course is installed, because pytest finds its plugin only then."""
    version = installed("harness")
    if version is None:
        says = "not installed, so pytest can't run its notebooks"
        return note(says, pip_install(f"--no-deps --editable {quoted(ROOT)}"))
    return ok(version)


def lessons(course: Path) -> SetupFinding:
    """Read every lesson of the course, which may be in another folder than the learner's copies."""
    return _read_all(course_source(course) if answers_folder(course).name == MY_COURSE else course, "notebooks")


def exercises(course: Path) -> SetupFinding:
    """Read every notebook with answers, and check that answers can be saved."""
    folder = answers_folder(course)
    found = _read_all(course, folder.name)
    if found.state is not SetupState.OK:
        return found
    paths = [folder, *files.find(course, folder.name)]
    unwritable = [str(path.relative_to(course)) for path in paths if not os.access(path, os.W_OK)]
    if unwritable:
        return note(
            f"{some(unwritable)} can't be written, so answers can't be saved",
            "make copies in a folder of your own: cd ~ && taskqueue-course copies",
        )
    return ok(f"{found.says}, answers can be saved")


def progress(course: Path) -> SetupFinding:
    """Write to the state folder, and read the files in it."""
    another = f"set {VARIABLE} to another folder"
    try:
        folder = state_folder()
    except ProgressError as error:
        return problem(*str(error).rsplit(". ", 1))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _try_to_write(folder)
        for kind in (Progress, Choices):
            for path in filter(Path.exists, kind.files(folder)):
                kind.parse(path.read_text(encoding="utf-8"))
    except NewerFile as error:
        reads = f"this one reads {kind.version}"
        return problem(f"{path} was written by a newer version of the course ({error}; {reads})", "update the course")
    except (BrokenFile, UnicodeDecodeError) as error:
        return note(f"{path} is broken ({error})", "the course renames this file and starts a new one")
    except OSError as error:
        return problem(f"{folder} can't be used: {error.strerror or error}", f"fix that, or {another}")
    every = [exercise.number for exercise in all_exercises()]
    return ok(f"{len(progress_file.solved() & set(every))} of {len(every)} exercises solved; saved in {folder}")


def temporary(course: Path) -> SetupFinding:
    """Write to the folder for temporary files, in which labs keep their files."""
    try:
        _try_to_write(Path(tempfile.gettempdir()))
    except OSError as error:
        return problem(
            f"no temporary folder can be used: {error.strerror or error}", "set TMPDIR to a folder with free space"
        )
    return ok(tempfile.gettempdir())


def text(course: Path) -> SetupFinding:
    """Check that text in all languages can be printed and saved."""
    shown, saved = sys.stdout.encoding or "ascii", locale.getpreferredencoding(False)
    if all(name.lower().replace("-", "") == "utf8" for name in (shown, saved)):
        return ok("UTF-8")
    return note(
        f"the terminal uses {shown} and files use {saved}, so non-English text may be lost",
        "set PYTHONUTF8=1, or LC_ALL=C.UTF-8",
    )


def port(course: Path) -> SetupFinding:
    """Check that the port that JupyterLab tries first is free."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            return note(f"{PORT} is not free ({error.strerror}), so `lab` uses the next free one")
    return ok(f"{PORT} on 127.0.0.1 is free")


def _read_all(course: Path, folder: str) -> SetupFinding:
    paths = files.find(course, folder)
    if not paths:
        return problem(f"{course} holds no {folder}/", "run this in the course's top folder, or name it: --course")
    broken = []
    for path in paths:
        try:
            read_saved(path)
        except NotebookError as error:
            broken.append(str(error).replace(f"{course}{os.sep}", ""))
    if not broken:
        return ok(f"{len(paths)} in {course / folder}")
    path = Path(broken[0].partition(".ipynb")[0] + ".ipynb")
    if folder != "notebooks":
        what = path.name if folder == MY_COURSE else path.name[:2]
        return problem("; ".join(broken), f"or keep a copy and start again: taskqueue-course reset {what}")
    lesson = quoted(course / path)
    return problem(
        "; ".join(broken), f"mv {lesson} {lesson}.broken; git -C {quoted(course)} checkout {shlex.quote(str(path))}"
    )


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_TRIAL)
        file.flush()
        os.fsync(file.fileno())


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


def google(course: Path) -> SetupFinding:
    """Import Google's client."""
    try:
        from google.appengine.api import taskqueue  # noqa: F401
    except ImportError as error:
        says = f"google.appengine.api.taskqueue can't be imported: {error}"
        return problem(says, pip_install("appengine-python-standard==3.1.0"))
    return ok(f"appengine-python-standard {installed('appengine-python-standard')}")


def web2py(course: Path) -> SetupFinding:
    """Start web2py: the tree in WEB2PY_PATH, or the installed package."""
    from harness.appengine.web2py.boot import boot, source_tree

    try:
        tree = source_tree()
        version = str(boot().main.web2py_version).partition("-")[0]
    except Web2pyNotFoundError as error:
        says, *advice = re.split(r"\n|\. ", str(error), maxsplit=1)
        return problem(says, *advice or ["restart the kernel and try again"])
    return ok(version if tree is None else f"{version} of WEB2PY_PATH={tree}")


def task(course: Path) -> SetupFinding:
    """Queue a task in a lab, run it, and look for the row that it inserts."""
    from harness.appengine.web2py.boot import boot
    from harness.lab import Lab

    try:
        boot()
    except Web2pyNotFoundError:
        return problem("not tried, because web2py doesn't start", "fix web2py first")
    with Lab() as lab:
        lab.write("controllers/default.py", _CONTROLLER)
        lab.get("default/ask")
        lab.run()
        rows = len(lab.table("mytable"))
    if rows != 1:
        return problem(f"a task inserted {rows} rows instead of 1", "fix the problems above first")
    return ok("queued and run; its row was inserted")


def kernel(course: Path) -> SetupFinding:
    """Start the notebooks' kernel, and check that it runs in this environment."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        folder = KernelSpecManager().get_kernel_spec("python3").resource_dir
    except NoSuchKernel:
        return problem("Jupyter has no kernel named python3", pip_install("--force-reinstall ipykernel"))
    try:
        prefix = _ask_kernel("import sys, harness; print(sys.prefix)")
    except Exception as error:
        return problem(
            f"the kernel python3 of {folder} doesn't start: {type(error).__name__}: {error}",
            pip_install("--force-reinstall ipykernel"),
        )
    if prefix.strip() != sys.prefix:
        where = (prefix.strip().splitlines() or ["nothing"])[-1]
        return problem(
            f"the kernel python3 of {folder} runs in {where}, not in {sys.prefix}",
            f"remove or rename {folder}, then start JupyterLab again",
        )
    return ok("python3 starts in this environment")


def browser(course: Path) -> SetupFinding:
    """Look for the browser that the browser tests and `make card` use."""
    found = find_chromium()
    if found is None:
        says = "Chromium is missing; only browser tests and `make card` use it"
        return note(says, "on Debian and Ubuntu: apt-get install chromium")
    if installed("playwright") is None:
        return note("playwright is missing; only browser tests use it", pip_install("playwright"))
    return ok(found)


def grading(course: Path) -> SetupFinding:
    """Look for the layers of the kernel that isolate the answers of a class when nbgrader grades them."""
    if sys.platform == "win32":
        return note("nbgrader grades this course on Linux and macOS, not on Windows; only instructors grade")
    from harness.classroom.grading import sandbox  # needs a module that Windows doesn't have

    layers, gaps = sandbox.layers(), sandbox.gaps()
    if not gaps:
        return ok(f"{' and '.join(layers)} isolate answers")
    verb = "isolate" if len(layers) > 1 else "isolates"
    active = f"only {' and '.join(layers)} {verb}" if layers else "no layer of the kernel isolates"
    says = f"{active} answers, so native code in an answer could {', and '.join(gaps)}"
    return note(says, "only instructors grade: see notebooks/GRADING.md")


def _ask_kernel(source: str) -> str:
    """Run a line in a new kernel; return its output, or its exception in one line."""
    from jupyter_client.manager import start_new_kernel

    output: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        content = message["content"]
        raised = f"{content['ename']}: {content['evalue']}" if "ename" in content else ""
        output.append(content.get("text", raised))

    manager, client = start_new_kernel(
        startup_timeout=_SECONDS,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        stderr=subprocess.DEVNULL,
    )
    try:
        client.execute_interactive(source, timeout=_SECONDS, output_hook=collect)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(output)


PROBES: dict[str, Callable[[Path], SetupFinding]] = {
    "Python": python,
    "course": course,
    "packages": packages,
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
    "grading": grading,
}


def examine_setup(course: Path) -> Iterator[tuple[str, SetupFinding]]:
    """Run every probe, and yield its name and its finding.

    Args:
        course: the folder that holds notebooks/ and exercises/.
    """
    for name, probe in PROBES.items():
        found = _found(probe, course)
        yield name, replace(found, says=shown(found.says), fix=shown(found.fix))


def _found(probe: Callable[[Path], SetupFinding], course: Path) -> SetupFinding:
    """Return the finding of a probe; an exception that it raises becomes a finding too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the findings replace them
            return probe(course)
    except ModuleNotFoundError as error:
        return problem(f"the package that contains {error.name} is missing", install_pins())
    except Exception as error:
        says = str(error).partition("\n")[0]
        return problem(f"fails: {type(error).__name__}: {says}", install_pins())
