"""The next process removes the roots of a killed process from the folder for temporary files, and nothing else."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.appengine.web2py import Site, app_files, roots
from harness.course.check_process import CheckProcess

# A process that makes a root, prints its path and waits to be killed. It imports only what it needs, to start fast.
HOLDER = """
import sys
from harness.appengine.web2py.app_files import make_root
print(make_root(), flush=True)
sys.stdin.read()
"""

BOOTING = """
import importlib, sys
boot = importlib.import_module("harness.appengine.web2py.boot")
boot.load = lambda tree, folder: (print(folder, flush=True), sys.stdin.read())
boot.boot()
"""
RUNNING_A_NOTEBOOK = """
import sys
from harness.notebooks.build import kernel_environment
with kernel_environment() as variables:
    print(variables["IPYTHONDIR"], flush=True)
    sys.stdin.read()
"""
CHECKING = """
import sys
from harness.course.check_process import CheckProcess
with CheckProcess() as process:
    print(process.folder, flush=True)
    sys.stdin.read()
"""
SERVING = """
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from harness.errors import HarnessError
from harness.serve import daemon, example
def refuse(root):
    raise HarnessError("no folder of the user can be written")
daemon.project_state = refuse
daemon.Daemon._start = lambda self, stack: self._state_folder(stack, self._project)
project = SimpleNamespace(root=None, kind="folder")
example._copy = lambda folder: (print(folder, flush=True), sys.stdin.read())
with daemon.Daemon(project, daemon.Options(fresh=True), print), example.serve_example():
    pass
"""


@contextmanager
def another_process(temporary: Path, program: str = HOLDER) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield a process that holds a root in this folder, and the root. Kill the process afterwards."""
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that only this test uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    roots.sweep_once.cache_clear()
    return tmp_path


@pytest.mark.skipif(roots.fcntl is None, reason="there is no flock here, so nothing is removed")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_the_folder_of_a_killed_process_goes_with_the_next_lab(temporary, number):
    with another_process(temporary) as (process, root):
        process.send_signal(number)
        process.wait()
        assert root.is_dir()
        site = Site()
        assert not root.exists()
        site.close()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(roots.fcntl is None, reason="there is no flock here, so nothing is removed")
@pytest.mark.parametrize(
    "program",
    [BOOTING, RUNNING_A_NOTEBOOK, CHECKING, SERVING],
    ids=["boot", "kernel", "check_process", "serve"],
)
def test_a_folder_of_any_purpose_goes_after_its_process_was_killed_and_not_before(temporary, program):
    with another_process(temporary, program) as (process, folder):
        roots.sweep(temporary)
        assert folder.parent == temporary
        assert folder.is_dir()
        process.kill()
        process.wait()
        with CheckProcess():
            assert not folder.exists()
    assert list(temporary.iterdir()) == []


def test_where_the_file_system_has_no_locks_a_folder_is_made_and_stays(temporary, monkeypatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse)
        root = app_files.make_root()
    roots.sweep(temporary)
    assert [path.name for path in root.iterdir()] == ["applications"]
    app_files.remove_root(root)
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_living_process_stays(temporary):
    with another_process(temporary) as (process, root):
        roots.sweep(temporary)
        assert (root / "applications").is_dir()
        assert process.poll() is None


def test_the_folders_of_this_process_stay(temporary):
    made = [app_files.make_root(), app_files.make_root()]
    roots.sweep(temporary)
    assert [root.is_dir() for root in made] == [True, True]
    for root in made:
        app_files.remove_root(root)
    assert list(temporary.iterdir()) == []


def test_a_folder_that_was_never_locked_stays(temporary):
    for name in ("harness-ipython-1", "harness-boot-1", "another"):
        (temporary / name).mkdir()
    (temporary / "another" / ".lock").touch()
    roots.sweep(temporary)
    assert len(list(temporary.iterdir())) == 3


def test_a_lock_that_is_a_link_is_not_followed(temporary):
    for name in ("harness-1", "elsewhere"):
        (temporary / name).mkdir()
    (temporary / "elsewhere" / "file").touch()
    (temporary / "harness-1" / ".lock").symlink_to(temporary / "elsewhere" / "file")
    roots.sweep(temporary)
    assert (temporary / "elsewhere" / "file").exists()
    assert (temporary / "harness-1").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_that_closes_the_lab_lets_go_of_nothing(temporary):
    root = app_files.make_root()
    child = os.fork()
    if child == 0:
        roots.release(root)
        os._exit(0)
    os.waitpid(child, 0)
    with another_process(temporary):  # it looks for leftovers, too
        assert root.is_dir()
    app_files.remove_root(root)


@pytest.mark.skipif(roots.fcntl is None, reason="there is no flock here, so nothing is removed")
def test_only_the_first_root_of_a_process_removes_stale_folders(temporary):
    stale = temporary / "harness-stale"
    for remains in (False, True, True):
        stale.mkdir(exist_ok=True)
        (stale / ".lock").touch()
        app_files.remove_root(app_files.make_root())
        assert stale.exists() is remains
