"""What tests of the lab share: short controllers, and Python in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

from harness import Lab
from harness.records import Attempt, Response

ADD = "from google.appengine.api import taskqueue\n"


def write(lab: Lab, actions: dict[str, str], path: str = "controllers/default.py", app: str | None = None) -> None:
    """Write a controller with these actions, each given by its body."""
    lab.write(path, "\n\n".join(f"def {name}():\n{indent(body, '    ')}\n" for name, body in actions.items()), app)


def visit(lab: Lab, body: str) -> Response:
    """Write these lines as the action f, and visit it."""
    write(lab, {"f": body})
    return lab.get("default/f")


def deliver(lab: Lab, body: str) -> Attempt:
    """Write these lines as the worker f, and let the queue call it once."""
    write(lab, {"f": body})
    add(lab, "/tutorial/default/f")
    return lab.step()


def add(lab: Lab, url: str, **fields: object) -> None:
    """Add a task from a cell, so to say, to this lab's queue."""
    write(lab, {"add": f"{ADD}taskqueue.add(url={url!r}, **{fields!r})\nreturn ''"}, "controllers/adding.py")
    response = lab.get("adding/add")
    assert response.ok, response


def names(lab: Lab) -> list[str]:
    """Return the names of the tasks that wait."""
    return [task.name for task in lab.tasks()]


def python(source: str, folder: Path, **environ: str | None) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder; a variable of the environment that is None is taken out."""
    environment = {**os.environ, **environ}
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=300,
    )


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as somebody pastes it into a terminal."""
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )


def count_calls(action: Callable[[], object]) -> int:
    """Return how many functions of Python and of C an action calls: work that doesn't depend on the machine's speed."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls
