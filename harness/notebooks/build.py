"""`python -m harness build`: run lessons and solutions, make exercises from solutions, normalise all notebooks.

A build replaces an exercise only if the exercise is still the stub that an earlier build wrote. A changed exercise is
kept if its solution still gives the same stub. Otherwise the changed notebook is first copied to exercises/backups/.
A build deletes an exercise only if it is a stub, its solution doesn't exist, and git tracks the file.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from harness.appengine.web2py.app_files import temporary_folder
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.files import Cell, Notebook, cell_label, read_saved
from harness.notebooks.normal_form import normalise, with_slides
from harness.notebooks.stubs import digest, is_stub, origin, syntax_error, to_exercise
from harness.state import VARIABLE

# Run a notebook from top to bottom in a new kernel, as JupyterLab would.

CELL_TIMEOUT = 60  # seconds


@contextmanager
def kernel_environment(*, learners: bool = False) -> Iterator[dict[str, str]]:
    """Create the environment variables of a kernel whose outputs must be reproducible.

    The kernel gets its own IPython folder, without the user's start-up files and history. It shows no progress bars of
    tqdm, because they depend on real time. It gets no variables of pytest, because ipykernel 7 doesn't capture the
    output of child processes if PYTEST_CURRENT_TEST is set. It doesn't get JPY_SESSION_NAME either, because a
    learner may start this process in a notebook.

    Args:
        learners: save solved exercises in the learner's progress; otherwise they are discarded with the kernel.

    Yields:
        All environment variables. The IPython folder is deleted at the end of the `with` block.
    """
    with temporary_folder("ipython") as folder:
        foreign = ("PYTEST_", "JPY_SESSION_NAME")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        progress = {} if learners else {VARIABLE: str(folder / "progress")}
        yield {**inherited, "IPYTHONDIR": str(folder), "TQDM_DISABLE": "1", **progress}


def execute(notebook: Notebook, path: Path) -> Notebook:
    """Run a notebook in the folder of its file `path`.

    Returns:
        A copy of the notebook with the new outputs and execution counts.

    Raises:
        NotebookError: a cell raised an exception, was tagged raises-exception but raised nothing, ran for more than a
            minute, or ended the kernel. The message names the cell and contains the exception's message.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat import from_dict

    executed = from_dict(notebook)  # a copy
    reached = [str(path)]  # the file, then each cell when it starts

    def start(cell: Cell, cell_index: int) -> None:
        reached.append(f"{path}, {cell_label(cell, cell_index)}")

    def end(cell: Cell, cell_index: int, execute_reply: Mapping[str, Any]) -> None:
        tagged = "raises-exception" in cell.metadata.get("tags", [])
        if tagged and not any(output.output_type == "error" for output in cell.outputs):
            raise NotebookError(f"{reached[-1]}: tagged raises-exception, but it raised nothing")

    client = NotebookClient(
        executed,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        startup_timeout=CELL_TIMEOUT,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # otherwise jupyter-client 8.10 warns about TCP
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=start,
        on_cell_executed=end,
    )
    try:
        with kernel_environment() as environment:
            # `asyncio.run` closes its event loop; nbclient 0.11's own `execute` leaves one open per thread.
            asyncio.run(client.async_execute(env=environment))
    except CellExecutionError as error:
        raise NotebookError(f"{reached[-1]}: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookError(f"{reached[-1]}: still running after {CELL_TIMEOUT} seconds") from None
    except DeadKernelError:
        raise NotebookError(f"{reached[-1]}: the kernel died") from None
    return executed


def build(root: Path, paths: Sequence[Path] = (), *, check: bool = False, say: Callable[[str], None] = print) -> int:
    """Bring the course's notebooks up to date.

    Args:
        root: the folder that contains notebooks/, solutions/ and exercises/.
        paths: the lessons, solutions and pages to build; if empty, all are built.
        check: only report what would change.
        say: called with each line of the report.

    Returns:
        The number of files that changed, or would change.

    Raises:
        NotebookError: one or more notebooks can't be built; the message lists them all. The others are built.
    """
    folders = ("notebooks", "solutions", files.PAGES)
    sources = [_source(root, path) for path in paths] or [each for name in folders for each in files.find(root, name)]
    if not sources:
        raise NotebookError(f"{root} has no notebooks/ or solutions/; run this in the repository's top folder")
    problems: list[str] = []
    changes = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in [pool.submit(built, path) for path in sources]:
            try:
                changes += sum(_replace(root, path, text, check, say) for path, text in future.result())
            except NotebookError as error:
                problems.append(str(error))
    if not paths:
        orphans = [path for path in files.find(root, "exercises") if not (root / "solutions" / path.name).exists()]
        changes += sum(_remove(root, path, check, say) for path in orphans)
    if problems:
        raise NotebookError("\n".join(problems))
    return changes


def built(path: Path) -> list[tuple[Path, str]]:
    """Run one lesson or solution, and make the exercise of a solution. No file is changed.

    Returns:
        The new files with their texts: the exercise, if there is one, and the executed notebook.

    Raises:
        NotebookError: the notebook can't be read, parsed or executed.
    """
    notebook = files.read(path)
    check_source(notebook, str(path))
    return new_texts(notebook, execute(normalise(notebook), path), path)


def new_texts(notebook: Notebook, executed: Notebook, path: Path) -> list[tuple[Path, str]]:
    """Return the files that a build writes after a run, each with its text: see `built`.

    Args:
        notebook: the lesson, the solution or the page.
        executed: its copy with the outputs and execution counts of the run.
        path: its file.
    """
    executed = normalise(executed)
    if path.parent.name == Path(files.PAGES).name:
        return [(path, _text(executed, path))]
    if path.parent.name == "notebooks":
        return [(path, _text(with_slides(executed), path))]
    exercise = _text(to_exercise(notebook, str(path)), path)
    return [(path.parents[1] / "exercises" / path.name, exercise), (path, _text(executed, path))]


def check_source(notebook: Notebook, name: str) -> None:
    """Check that every code cell parses, both in a solution and in its exercise.

    Raises:
        NotebookError: a cell doesn't parse; the message names the first one. `name` is the file's name in it.
    """
    for version in (notebook, to_exercise(notebook, name)):
        for position, cell in enumerate(version.cells):
            problem = syntax_error(cell) if cell.cell_type == "code" else None
            if problem:
                raise NotebookError(f"{name}, {cell_label(cell, position)}: {problem}")


def _source(root: Path, path: Path) -> Path:
    absolute = path.absolute()
    folder = absolute.parent.relative_to(root.absolute()).as_posix() if absolute.is_relative_to(root.absolute()) else ""
    if folder == "exercises":
        raise NotebookError(f"{path}: exercises are generated; build solutions/{path.name} instead")
    if folder not in (*files.FOLDERS, files.PAGES):
        raise NotebookError(f"{path}: not a notebook of notebooks/, solutions/ or {files.PAGES}/ in {root}")
    return path


def _text(notebook: Notebook, path: Path) -> str:
    files.validate(notebook, str(path))
    return files.dump(notebook)


def _fate(path: Path, text: str) -> Literal["replace", "back up and replace", "keep"]:
    """Decide what a build does with a file whose text differs from the new text."""
    if path.parent.name != "exercises" or not path.exists():
        return "replace"
    stub = files.parse(text, path.name)
    try:
        notebook = read_saved(path)
    except NotebookError:
        return "back up and replace"
    if is_stub(notebook) or digest(notebook) == digest(stub):
        return "replace"
    return "keep" if origin(notebook) == origin(stub) else "back up and replace"


def _replace(root: Path, path: Path, text: str, check: bool, say: Callable[[str], None]) -> bool:
    if path.exists() and path.read_bytes() == text.encode():
        return False
    name, fate = os.path.relpath(path, root), _fate(path, text)
    if fate == "keep":
        say(f"kept {name}: it was changed after the build, and its solution was not")
        return False
    kept = ""
    if fate == "back up and replace":
        copy = f"exercises/{files.BACKUPS}/" if check else os.path.relpath(files.back_up(path, datetime.now()), root)
        kept = f"; the previous notebook {'would be' if check else 'is'} kept in {copy}"
    if not check:
        files.write(path, text)
    say(f"{'would rebuild' if check else 'rebuilt'} {name}{kept}")
    return True


def _remove(root: Path, path: Path, check: bool, say: Callable[[str], None]) -> bool:
    """Remove a stub whose solution doesn't exist. A notebook that a learner made has no digest and is kept."""
    name = os.path.relpath(path, root)
    try:
        notebook = read_saved(path)
    except NotebookError:
        return False
    if not is_stub(notebook) or not _is_tracked(path):
        if origin(notebook):
            say(f"kept {name}: it has no solution, but it was changed after the build or git does not track it")
        return False
    if not check:
        path.unlink()
    say(f"{'would remove' if check else 'removed'} {name}: it has no solution")
    return True


def _is_tracked(path: Path) -> bool:
    command = ["git", "--literal-pathspecs", "ls-files", "--error-unmatch", "--", path.name]
    try:
        return subprocess.run(command, cwd=path.parent, capture_output=True).returncode == 0
    except FileNotFoundError:  # without git, a deleted file could not be restored
        return False
