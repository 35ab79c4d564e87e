"""Run the folder that lesson 08 deploys, as `taskqueue-course serve` does: with a real server and in real time."""

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
from functools import cache
from pathlib import Path
from typing import Any

from harness.appengine.web2py.app_files import explain_disk, temporary_folder
from harness.errors import CourseError, HarnessError, quantity
from harness.records import Request, Response
from harness.serve.daemon import Daemon, Options
from harness.serve.project import Project, find_project
from harness.serve.services import program_path
from harness.show import Table
from harness.show.tables import Column

EXAMPLE = Path(__file__).resolve().parents[3] / "notebooks" / "app_engine"
_CRON = (("X-Appengine-Cron", "true"), ("User-Agent", "AppEngine-Google; (+http://code.google.com/appengine)"))
_STORAGE = "storage.sqlite"
_SECONDS = 30.0  # the most that a start, a response, or all tasks may take
# Variables of the user that would let pyDAL write definitions of tables, hide main.py from Python, turn warnings of the
# libraries into errors, or change gunicorn's options.
_LEFT_OUT = ("MIGRATE", "PYTHONSAFEPATH", "PYTHONWARNINGS", "GUNICORN_CMD_ARGS")


class RunningExample:
    """The application of `serve_example`, which runs on this machine."""

    def __init__(self, daemon: Daemon, log: list[str], printed: threading.Condition) -> None:
        self._service = daemon.service
        self._engine = daemon.engine
        self._log = log
        self._printed = printed
        self._seen = 0  # the number of the last attempt that `run` has returned
        self._first = 0  # the position in `log` of the current instance's first line

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
        """Send the request of App Engine's cron service for a job, and return the response.

        Args:
            path: the job's `url` in cron.yaml, such as "/tutorial/default/nightly".

        Returns:
            The response, with the status 0 if none arrives within 30 seconds.
        """
        request = Request("GET", path, _CRON, host=self._service.host)
        return self._service.send(request, time.time(), _SECONDS)

    def run(self) -> Table[dict[str, Any]]:
        """Wait until all tasks have ended, and return the attempts since the last call.

        Returns:
            The attempts in the order in which they ended, as dicts, without those that the log no longer keeps.

        Raises:
            HarnessError: tasks are left after 30 seconds.
        """
        until, counter = time.monotonic() + _SECONDS, -1
        while tasks := self._engine.find_tasks(None, "", 200) or self._engine.log.running():
            if time.monotonic() > until:
                raise HarnessError(f"{quantity(len(tasks), 'task')} didn't end within {_SECONDS:g} seconds")
            counter = self._engine.wait_for_change(counter, 1.0)
        new = [attempt for attempt in self._engine.log.ended() if attempt["number"] > self._seen]
        self._seen = max([self._seen, *(attempt["number"] for attempt in new)])
        return _attempts(new)

    def new_instance(self) -> None:
        """End the application's processes, start new ones, and wait for them, as App Engine replaces an instance."""
        self._first = len(self._log)
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

        Args:
            text: the text. Lines from before the last `new_instance` don't count.

        Raises:
            HarnessError: no such line is printed within 30 seconds.
        """
        with self._printed:
            found = self._printed.wait_for(
                lambda: next((line for line in self._log[self._first :] if text in line), None), _SECONDS
            )
        if found is None:
            raise HarnessError(f"no line contains {text!r}")
        return found


@contextmanager
def serve_example(files: Mapping[str, str] | None = None) -> Iterator[RunningExample]:
    """Run a copy of EXAMPLE as App Engine would, and end its processes at the end of the `with` block.

    The entrypoint of app.yaml starts the server, with one worker process. If gunicorn isn't installed, waitress serves
    main.py instead. A SQLite database with the tables of migrate.py stands in for Cloud SQL. The database and the tasks
    are deleted at the end.

    Args:
        files: the texts of files that replace those of the folder or are added to it, by their paths ("main.py").

    Raises:
        AppYamlError: app.yaml has a mistake.
        QueueConfigError: queue.yaml has a mistake.
        CourseError: the folder of lesson 08 isn't installed.
        DiskError: the disk is full.
        HarnessError: the tables can't be made, or the application doesn't start.
    """
    lines: list[str] = []
    printed = threading.Condition()

    def write(line: str) -> None:
        with printed:
            lines.append(line)
            printed.notify_all()

    with temporary_folder("site") as temporary:
        database = _database()
        folder = _copy(temporary)
        with explain_disk():
            for path, text in (files or {}).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, "utf-8")
            (temporary / _STORAGE).write_bytes(database)
            project = _project(folder)
        options = Options(port=0, console_port=0, fresh=True, environ=_environment(temporary))
        with Daemon(project, options, write) as daemon:
            site = RunningExample(daemon, lines, printed)
            site.wait_until_it_runs()
            yield site


@cache
def _database() -> bytes:
    """Return a SQLite database in which migrate.py has made the tables of EXAMPLE."""
    with temporary_folder("site") as temporary:
        folder = _copy(temporary)
        command, env = [sys.executable, "migrate.py"], _environment(temporary)
        try:
            made = subprocess.run(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"migrate.py didn't end within {_SECONDS:g} seconds") from None
        if made.returncode:
            raise HarnessError(f"migrate.py failed:\n{made.stderr}")
        return (temporary / _STORAGE).read_bytes()


def _copy(temporary: Path) -> Path:
    if not EXAMPLE.is_dir():
        raise CourseError("the files of lesson 08's application are not installed; they are in notebooks/app_engine/")
    with explain_disk(always=True):
        return Path(shutil.copytree(EXAMPLE, temporary / EXAMPLE.name))


def _environment(temporary: Path) -> dict[str, str]:
    """Return the environment of a copy of EXAMPLE, without the user's variables that would change what it does."""
    values = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    place = str(temporary)
    return values | {"DATABASE_URL": f"sqlite://{place}/{_STORAGE}", "HOME": place, "TMPDIR": place}


def _project(folder: Path) -> Project:
    app_yaml = folder / "app.yaml"
    text = re.sub(r"--workers \d+", "--workers 1", app_yaml.read_text("utf-8"))
    if shutil.which("gunicorn", path=program_path()) is None:
        waitress = f"entrypoint: {shlex.quote(sys.executable)} -m waitress --listen=127.0.0.1:$PORT main:app"
        text = re.sub(r"(?m)^entrypoint: gunicorn .*$", lambda _: waitress, text)
    app_yaml.write_text(text, "utf-8")
    return find_project(folder)


def _attempts(ended: list[dict[str, Any]]) -> Table[dict[str, Any]]:
    columns = [
        Column[dict[str, Any]]("task", lambda attempt: str(attempt["task"])),
        Column[dict[str, Any]]("queue", lambda attempt: str(attempt["queue"])),
        Column[dict[str, Any]]("request", lambda attempt: f"{attempt['method']} {attempt['url']}"),
        Column[dict[str, Any]]("status", lambda attempt: str(attempt["status"]), right=True),
        Column[dict[str, Any]]("result", lambda attempt: str(attempt["outcome"])),
    ]
    return Table(ended, columns, lambda rows: quantity(len(rows), "attempt"), "no attempt was made")
