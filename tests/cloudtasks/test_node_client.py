"""Google's own client for Node.js calls the server of `cloud-tasks`."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from queue import Queue as Box

import pytest

from harness.cloudtasks import LocalServer
from tests.support.isolation import missing

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".venv" / "node-client" / "node_modules"
PROGRAM = ROOT / "tests" / "support" / "node_client.js"
SECONDS = 60  # that the program may take


@pytest.fixture(scope="module")
def said():
    """The lines that the server prints."""
    return Box()


@pytest.fixture(scope="module")
def server(said):
    if shutil.which("node") is None or not (MODULES / "@google-cloud" / "tasks").exists():
        missing("no @google-cloud/tasks: `make .venv/node-client/.done` installs it (on Debian: apt-get install npm)")
    with LocalServer(0, 0, target="http://127.0.0.1:1", say=said.put) as server:
        yield server


def node(*arguments):
    """Return what a program prints. Without the last variable, the client looks for Google's metadata server."""
    environment = {**os.environ, "NODE_PATH": str(MODULES), "METADATA_SERVER_DETECTION": "none"}
    run = subprocess.run(["node", *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert run.stderr == ""
    return run.stdout


def wait_for(said, part):
    """Wait until the server prints a line that contains this part."""
    while part not in said.get(timeout=SECONDS):
        pass


# The errors are those for a duplicate name and for a task that no longer exists.
@pytest.mark.parametrize(
    ("transport", "queue", "errors"), [("grpc", "node", [6, 5]), ("rest", "node-rest", [409, 404])]
)
def test_the_client_for_nodejs_calls_the_methods_that_an_application_needs(server, said, transport, queue, errors):
    address = server.address if transport == "grpc" else server.rest_url
    results = json.loads(node(PROGRAM, address.rpartition(":")[2], transport))
    assert [results.pop(name)[0] for name in ("duplicate", "unknown")] == errors
    assert results == {
        "rate": 500,
        "paused": "PAUSED",
        "created": ["first", "/node"],
        "listed": ["first", "second", "third"],
        "body": "from node",
        "purged": 0,
        "resumed": "RUNNING",
        "queues": ["default"],
    }
    wait_for(said, f"{queue}/first POST /node: ")


def test_the_example_of_the_page_runs_as_it_is_printed(server, said):
    page = (ROOT / "notebooks" / "CLOUD_TASKS.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```js\n(.*?)```", page, re.DOTALL)
    node("--eval", program.replace("8123", server.address.rpartition(":")[2]))
    wait_for(said, " POST /worker: ")
