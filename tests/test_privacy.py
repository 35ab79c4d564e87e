"""Nothing leaves the learner's machine: no connection, no server that others reach, no name in what is passed on.

The network is watched from within (an audit hook in every Python) and, on Linux, taken away: a namespace with the
loopback interface alone, whose kernel counts what has nowhere to go, whichever program sends it.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.notebooks import files
from harness.notebooks.build import execute
from harness.state import VARIABLE
from tests.support.isolation import ROOT, namespace, python, without_network
from tests.support.labs import shell
from tests.support.pythons import python_path
from tests.support.scratch import code, notebook

pytestmark = pytest.mark.notebook

COUNT = 'r=$("$@"); s=$?; grep "^Ip:" /proc/net/snmp >&2; echo "$r"; exit $s'
REACH_OUT = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
LOOK_UP = "import socket; socket.getaddrinfo('example.com', 80)"
OPEN_UP = "import socket; socket.create_server(('', 0))"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where each attempt to reach another machine, or to be reached by one, is noted."""
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def offline(tmp_path: Path, log: Path) -> Run:
    """Run a command, in a home of its own, without network and watched."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "JUPYTER", "IPYTHON"))}
    environment = {
        **kept,
        "HOME": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "OFFLINE_LOG": str(log),
        "PYTHONPATH": python_path(ROOT / "tests" / "support" / "offline"),
        VARIABLE: str(tmp_path / "state"),
    }

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        counted = ("sh", "-c", COUNT, "sh", *command) if namespace("net") else command
        environ = environment | more
        return subprocess.run(without_network(*counted), cwd=ROOT, env=environ, capture_output=True, text=True)

    return run


def unroutable(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many packets had nowhere to go, as the kernel counted; 0 where it was not asked."""
    names, *numbers = [line.split() for line in done.stderr.splitlines() if line.startswith("Ip:")] or [[]]
    return int(numbers[0][names.index("OutNoRoutes")]) if numbers else 0


@pytest.mark.parametrize(
    ("source", "noted"),
    [(REACH_OUT, "socket.getaddrinfo 192.0.2.1"), (LOOK_UP, "example.com"), (OPEN_UP, "socket.bind all interfaces")],
)
def test_whatever_reaches_out_is_noted_and_refused(offline, log, source, noted):
    done = offline(*python(source))
    assert "the tests allow no network" in done.stderr
    assert noted in log.read_text(encoding="utf-8")


@pytest.mark.skipif(not namespace("net"), reason="there are no network namespaces here; the audit hook watches alone")
def test_a_program_that_is_no_python_is_noticed_by_the_kernels_count(offline):
    assert unroutable(offline("ping", "-c", "1", "127.0.0.1")) == 0
    assert unroutable(offline(sys.executable, "-S", "-I", "-c", REACH_OUT)) > 0  # as good as none: without the hook


def test_a_lesson_and_a_solved_exercise_ask_nothing_of_the_network(offline, log):
    notebooks = ("notebooks/01_first_task.ipynb", "solutions/01_first_task.ipynb")
    done = offline(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "--nbval", *notebooks)
    assert done.returncode == 0, done.stdout
    assert (log.read_text(encoding="utf-8"), unroutable(done)) == ("", 0)


def test_the_commands_ask_nothing_of_the_network(offline, log):
    for command in ("doctor", "export"):
        done = offline(sys.executable, "-m", "harness", command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (log.read_text(encoding="utf-8"), unroutable(done)) == ("", 0)


def test_jupyterlab_lets_in_its_user_alone_and_asks_nothing_of_the_network(offline, log):
    done = offline(sys.executable, "-m", "tests.support.server_probe")
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout)
    assert {question: answer for question, answer in answers.items() if question.startswith("stranger")} == {
        "stranger lists files": 403,
        "stranger starts a kernel": 403,
        "stranger opens a terminal": 403,
        "stranger asks for the page": False,
    }
    assert (answers["wrong token"], answers["website by another name"]) == (403, 403)
    assert (answers["user lists files"], answers["user starts a kernel"]) == (200, 201)
    assert answers["listens at"] == ["127.0.0.1"]
    assert (answers["token"], answers["others read the token"]) == (48, False)
    assert (answers["news"], answers["update"]) == ({"news": []}, {"notification": None})
    assert answers["page"]["news"] == {"disabled": True}
    assert answers["page"]["disabled"] == [
        "@jupyterlab/apputils-extension:announcements",
        "@jupyterlab/notebook-extension:cell-executor",  # the course's own extension replaces it
    ]
    assert answers["page"]["manager"]["can_install"] is False
    assert (answers["extensions"], "blocked" in answers["install"]["message"]) == ([], True)
    assert answers["outside"] == []
    assert (log.read_text(encoding="utf-8"), unroutable(done)) == ("", 0)


def test_jupyterlab_does_not_start_where_a_setting_turns_its_token_off(offline, tmp_path):
    settings = {"IdentityProvider": {"token": ""}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(settings), encoding="utf-8")
    command = (sys.executable, "-m", "harness", "lab", "--source", "--no-browser", "--port=0")
    done = offline("timeout", "200", *command, JUPYTER_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "turn off the server's token, so any user of this machine could run code as you." in done.stderr
    (command,) = re.findall(r"`(.+)` lists their folders", done.stderr)
    listed = shell(command, ROOT, PATH=os.defpath, JUPYTER_CONFIG_DIR=str(tmp_path))
    assert str(tmp_path) in listed.stdout, listed.stderr


FAILING = """%%controller ex1_1
def save():
    raise ValueError(request.vars.old)"""
CELLS = [
    "from harness import *\n%load_ext harness",
    "lab = Lab()\nlab",
    FAILING,
    "response = lab.get('ex1_1/save', old='x')\nresponse",
    "print(response.ticket, response.ticket.traceback)",
    "hint('1.1'); progress()",
    "lab.get('ex1_1/nothing')",
    "from google.appengine.api import taskqueue\ntaskqueue.add(url='/ex1_1/save', params={'old': 'y'})",
    "lab.step()",
    "lab.trace('task1')",
]
RAISING = ["check('1.1')", "check('1.2')", "lab.write('controllers/a.py', 'def')", "1 / 0", "lab.task('none')"]


def test_a_saved_notebook_names_neither_user_nor_machine_nor_folder(monkeypatch, tmp_path):
    home = tmp_path / "ann-secret"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "ann-secret")
    cells = [*map(code, CELLS), *(code(source, tags=("raises-exception",)) for source in RAISING)]
    saved = files.dump(execute(notebook(*cells), home / "a.ipynb"))
    for shown in ("ValueError: x", "1.1 error in your code", "ZeroDivisionError"):
        assert shown in saved
    for private in ("ann-secret", socket.gethostname(), str(ROOT), str(tmp_path), sys.prefix):
        assert re.findall(rf".*{re.escape(private)}.*", saved) == []
