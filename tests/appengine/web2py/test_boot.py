"""Loading web2py, without changes to the kernel. Each test that loads it starts a new Python."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.appengine.web2py.boot import source_tree
from harness.errors import Web2pyNotFoundError
from tests.support.labs import shell

STATE = """
import builtins, gc, json, locale, logging, os, random, signal, sys, time, warnings
def state():
    root = logging.root
    return [locale.setlocale(locale.LC_ALL), sys.path, repr(builtins.__import__), sys.dont_write_bytecode,
            repr(root.handlers), root.level, root.manager.disable, time.tzname, os.environ.get("TZ"),
            repr([signal.getsignal(s) for s in sorted(signal.valid_signals())]), repr(random.getstate()),
            repr(warnings.filters), gc.isenabled(), repr(sys.stdout), os.environ.get("web2py_path")]
random.seed(7)
before = state()
"""
CALL = """
from harness.records import Request
from harness.appengine.web2py import Site
site = Site()
site.write("controllers/default.py", "def index(): return 'hello'")
text = site.call(Request("GET", "/tutorial/default/index")).text
"""
SHOW_ERROR = """
import harness.appengine.web2py
try: harness.appengine.web2py.Site()
except Exception as error: print(type(error).__name__, error)
"""


def run_python(script: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new Python that starts in a separate folder."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_boot_and_call_leave_the_kernel_as_it_was(tmp_path: Path) -> None:
    script = STATE + CALL + "print(json.dumps([before, state(), text, sorted(sys.modules)]))"
    done = run_python(script, tmp_path, LC_ALL="C.UTF-8")
    before, after, text, modules = json.loads(done.stdout)
    assert after == before
    assert text == "hello"
    assert done.stderr == ""
    assert not {"tkinter", "rocket3", "gluon.rocket", "gluon.messageboxhandler"} & set(modules)


def test_session_ids_are_the_same_in_every_python(tmp_path: Path) -> None:
    script = CALL + "print(site.call(Request('GET', '/tutorial/default/index')).header('set-cookie'))"
    first, second = (run_python(script, tmp_path).stdout for _ in range(2))
    assert first.startswith(" session_id_tutorial=127.0.0.1-")
    assert first == second


def test_importing_the_package_does_not_load_web2py(tmp_path: Path) -> None:
    done = run_python(
        "import sys, harness.appengine.web2py; print([m for m in sys.modules if m.startswith('gluon')])", tmp_path
    )
    assert done.stdout.strip() == "[]"


def test_nothing_is_written_where_python_was_started_nor_into_home(tmp_path: Path) -> None:
    here, temporary = tmp_path / "here", tmp_path / "folder for temporary files"
    here.mkdir()
    temporary.mkdir()
    here.chmod(0o555)
    script = CALL + "print(text, site.root)\nsite.close()"
    done = run_python(script, here, HOME=str(tmp_path / "no home"), TMPDIR=str(temporary))
    assert done.stdout.strip().startswith(f"hello {temporary}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder for temporary files", "here"]


def test_a_site_that_was_never_closed_leaves_no_folder_behind(tmp_path: Path) -> None:
    done = run_python(CALL, tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_web2py_starts_where_the_working_folder_was_removed(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    # Python 3.13.0 can't import socket in a folder that was removed.
    done = run_python(f"import os, socket; os.rmdir({str(here)!r})" + CALL + "print(text)", here)
    assert done.stdout.strip() == "hello", done.stderr


def test_a_notebook_may_import_gluon_before_the_first_site(tmp_path: Path) -> None:
    path = "import os, sys, types; sys.path[:0] = filter(None, [os.environ.get('WEB2PY_PATH')])\n"
    server = "sys.modules['rocket3'] = types.ModuleType('rocket3')\n"  # 3.3.3 wants it
    done = run_python(path + server + "import gluon.storage, gluon.dal" + CALL + "print(text)", tmp_path)
    assert done.stdout.splitlines()[-1] == "hello", done.stderr


REMOVED = """
from harness.records import Request
from harness.appengine.web2py import Site
import configparser, urllib.request
vars(urllib.request).pop("FancyURLopener", None)  # Python 3.14 removed it
vars(configparser).pop("SafeConfigParser", None)  # and Python 3.12 this
parser = set(vars(configparser))
site = Site()
site.write("controllers/default.py", "from gluon.tools import Auth\\nfrom gluon.contrib import appconfig\\n"
    "def index(): return 'hello'")
text = site.call(Request("GET", "/tutorial/default/index")).text
assert set(vars(configparser)) == parser
print(text)
"""


def test_what_newer_pythons_removed_is_not_missed(tmp_path: Path) -> None:
    done = run_python(REMOVED, tmp_path)
    assert done.stdout.splitlines()[-1:] == ["hello"], done.stderr


def test_the_source_tree_in_web2py_path_is_the_one_that_runs(tmp_path: Path) -> None:
    script = CALL + "import gluon; print(os.path.dirname(os.path.dirname(gluon.__file__)))"
    done = run_python("import os" + script, tmp_path)
    wanted = os.environ.get("WEB2PY_PATH") or str(
        Path(__import__("importlib").util.find_spec("gluon").origin).parent.parent
    )
    assert done.stdout.strip() == wanted


def test_web2py_path_unset_means_the_installed_web2py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB2PY_PATH", raising=False)
    assert source_tree() is None


@pytest.mark.parametrize("name", ["", "nowhere", "empty", "file"])
def test_a_web2py_path_that_is_no_web2py_is_quoted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    path = str(tmp_path / name) if name else ""
    monkeypatch.setenv("WEB2PY_PATH", path)
    with pytest.raises(Web2pyNotFoundError) as caught:
        source_tree()
    assert repr(path) in str(caught.value)
    assert "unset it" in str(caught.value)


def test_a_web2py_that_does_not_start_is_explained_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "gluon").mkdir()
    (tmp_path / "gluon" / "__init__.py").write_text("print 'Python 2'\n")
    (tmp_path / "gluon" / "main.py").touch()
    done = run_python(SHOW_ERROR, tmp_path.parent, WEB2PY_PATH=str(tmp_path))
    assert done.stdout.startswith(f"Web2pyNotFoundError the web2py in WEB2PY_PATH={str(tmp_path)!r} does not start")
    command = done.stdout.rpartition("known to work: ")[2].strip()
    installed = shell(command, tmp_path.parent, PATH=os.defpath, PIP_NO_INDEX="1")
    assert "Requirement already satisfied: web2py-gluon==2.26.1" in installed.stdout, installed.stderr


def test_another_web2py_that_is_loaded_already_is_not_taken_for_the_one_in_web2py_path(tmp_path: Path) -> None:
    (tmp_path / "gluon").mkdir()
    (tmp_path / "gluon" / "main.py").touch()
    script = "import gluon.storage\n" + SHOW_ERROR
    done = run_python(script, tmp_path.parent, WEB2PY_PATH=str(tmp_path))
    assert done.stdout.splitlines()[-1].startswith("Web2pyNotFoundError")
    assert "Restart the kernel" in done.stdout


FULL = """
import resource, tempfile
from harness import Lab
from harness.errors import DiskError
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
{prepare}
for create in (Lab, Lab):
    try:
        create()
    except DiskError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
tempfile.tempdir = None
Lab().close()
"""
NO_ROOM = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (NO_ROOM, "in the folder for temporary files: No usable temporary directory found"),
        (f"tempfile.gettempdir(); {NO_ROOM}", "File too large"),
        ("tempfile.tempdir = '/nowhere'", "in /nowhere: No such file or directory"),
    ],
    ids=["no folder", "full", "missing"],
)
def test_the_first_lab_on_a_full_disk_names_the_disk_and_a_later_one_works(
    prepare: str, words: str, tmp_path: Path
) -> None:
    done = run_python(FULL.format(prepare=prepare), tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (re.sub(r"harness-\w+", "harness-…", line) for line in done.stdout.splitlines())
    assert first == second
    assert words in first
    assert first.endswith("Make room there, or set TMPDIR to another folder.")
