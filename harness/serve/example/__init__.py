"""Runs the folder that lesson 08 deploys as `taskqueue-course serve` does: a real server, with tasks in real time."""

import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import HarnessError, quantity
from harness.records import Request, Response
from harness.serve.daemon import Daemon, Options
from harness.serve.project import Project, find_project
from harness.serve.services import program_path
from harness.show import Table
from harness.show.tables import Column

EXAMPLE = Path(__file__).resolve().parents[3] / "notebooks" / "app_engine"
_CRON = (("X-Appengine-Cron", "true"), ("User-Agent", "AppEngine-Google; (+http://code.google.com/appengine)"))
_STORAGE = "storage.sqlite"
_SECONDS = 30.0  # that a start, a response, or the tasks may take


class RunningExample:
    """The application of `serve_example`, which runs on this machine."""

    def __init__(self, daemon: Daemon, log: list[str], printed: threading.Condition) -> None:
        self._service = daemon.service
        self._engine = daemon.engine
        self._log = log
        self._printed = printed
        self._seen = 0  # attempts

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET request as a user, and return the response. A redirect isn't followed.

        Args:
            path: the path with its query string, such as "/tutorial/default/index".
            headers: additional request headers.
        """
        with closing(http.client.HTTPConnection(self._service.host, timeout=_SECONDS)) as connection:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return Response(response.status, response.reason, tuple(response.getheaders()), response.read())

    def cron(self, path: str) -> Response:
        """Send the request of App Engine's cron service for a job with this URL, and return the response."""
        request = Request("GET", path, _CRON, host=self._service.host)
        return self._service.send(request, time.time(), _SECONDS)

    def run(self) -> Table[dict[str, Any]]:
        """Wait until all tasks have ended, and return the attempts since the last call.

        Raises:
            HarnessError: tasks are left after 30 seconds.
        """
        until, counter = time.monotonic() + _SECONDS, -1
        while tasks := self._engine.find_tasks(None, "", 200) or self._engine.log.running():
            if time.monotonic() > until:
                raise HarnessError(f"{quantity(len(tasks), 'task')} didn't end within {_SECONDS:g} seconds")
            counter = self._engine.wait_for_change(counter, 1.0)
        ended = self._engine.snapshot()["attempts"]
        new, self._seen = ended[self._seen :], len(ended)
        return _attempts(new)

    def new_instance(self) -> None:
        """End the application's processes, start new ones, and wait for them, as App Engine replaces an instance."""
        self._service.restart("a new instance replaces the previous one")
        self.wait_until_it_runs()

    def wait_until_it_runs(self) -> None:
        """Wait until the application listens on its port.

        Raises:
            HarnessError: it doesn't start.
        """
        if not self._service.wait_until_running(_SECONDS):
            raise HarnessError("\n".join(["the application doesn't start:", *self._log[-20:]]))

    def find_line(self, text: str) -> str:
        """Wait until the application or its server has printed a line that contains a text, and return the line.

        Raises:
            HarnessError: there is no such line after 30 seconds.
        """
        with self._printed:
            self._printed.wait_for(lambda: any(text in line for line in self._log), _SECONDS)
            found = next((line for line in self._log if text in line), None)
        if found is None:
            raise HarnessError(f"no line contains {text!r}")
        return found


@contextmanager
def serve_example(files: Mapping[str, str] | None = None) -> Iterator[RunningExample]:
    """Run a copy of EXAMPLE as App Engine would, and end its processes at the end of the `with` block.

    The entrypoint of app.yaml starts the server, with one worker process. If gunicorn isn't installed, waitress serves
    main.py instead. A SQLite database with the tables of migrate.py stands in for Cloud SQL. The database and the tasks
    are lost in the end.

    Args:
        files: the texts of files that replace those of the folder or are added to it, by their paths ("main.py").

    Raises:
        AppYamlError: app.yaml has a mistake.
        QueueConfigError: queue.yaml has a mistake.
        HarnessError: the tables can't be made, or the application doesn't start.
    """
    lines: list[str] = []
    printed = threading.Condition()

    def write(line: str) -> None:
        with printed:
            lines.append(line)
            printed.notify_all()

    with TemporaryDirectory(prefix="harness-site-") as temporary:
        folder = Path(shutil.copytree(EXAMPLE, Path(temporary) / EXAMPLE.name))
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
        Path(temporary, _STORAGE).write_bytes(_database())
        project = _project(folder, _environment(temporary))
        with Daemon(project, Options(port=0, console_port=0, fresh=True), write) as daemon:
            site = RunningExample(daemon, lines, printed)
            site.wait_until_it_runs()
            yield site


@cache
def _database() -> bytes:
    """Return a SQLite database in which migrate.py has made the tables of EXAMPLE."""
    with TemporaryDirectory(prefix="harness-site-") as temporary:
        folder = shutil.copytree(EXAMPLE, Path(temporary) / EXAMPLE.name)
        command, env = [sys.executable, "migrate.py"], os.environ | _environment(temporary)
        made = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        if made.returncode:
            raise HarnessError(f"migrate.py failed:\n{made.stderr}")
        return Path(temporary, _STORAGE).read_bytes()


def _environment(temporary: str) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite://{temporary}/{_STORAGE}", "HOME": temporary, "TMPDIR": temporary}


def _project(folder: Path, env: dict[str, str]) -> Project:
    app_yaml = folder / "app.yaml"
    text = re.sub(r"--workers \d+", "--workers 1", app_yaml.read_text("utf-8"))
    if shutil.which("gunicorn", path=program_path()) is None:
        waitress = f"entrypoint: {shlex.quote(sys.executable)} -m waitress --listen=127.0.0.1:$PORT main:app"
        text = re.sub(r"(?m)^entrypoint: gunicorn .*$", lambda _: waitress, text)
    app_yaml.write_text(text, "utf-8")
    project = find_project(folder)
    return replace(project, app_yaml=replace(project.app_yaml, env=project.env | env))


def _attempts(ended: list[dict[str, Any]]) -> Table[dict[str, Any]]:
    columns = [
        Column[dict[str, Any]]("task", lambda attempt: str(attempt["task"])),
        Column[dict[str, Any]]("queue", lambda attempt: str(attempt["queue"])),
        Column[dict[str, Any]]("request", lambda attempt: f"{attempt['method']} {attempt['url']}"),
        Column[dict[str, Any]]("status", lambda attempt: str(attempt["status"]), right=True),
        Column[dict[str, Any]]("result", lambda attempt: str(attempt["outcome"])),
    ]
    return Table(ended, columns, lambda rows: quantity(len(rows), "attempt"), "no attempt was made")
