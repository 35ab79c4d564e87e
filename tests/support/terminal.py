"""`serve` and `run` as a user starts them: their lines, the queues of their console, and a user's browser."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest

from harness.appengine.forms import fill_in
from harness.records import Request, Response

SECONDS = 60  # that a test waits at most


class Terminal:
    """`serve` or `run` in a process of its own.

    Args:
        *arguments: the arguments of the command.
        cwd: the working folder.
        **more: more environment variables.

    `lines` are those that `wait_for` has read, and `port` is the port for users.
    """

    def __init__(self, *arguments: str, cwd: Path | None = None, **more: str) -> None:
        self.name = arguments[0]
        command = [sys.executable, "-u", "-m", "harness", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=os.environ | more
        )
        self.lines: list[str] = []
        self.port = 0
        self._printed: SimpleQueue[str | None] = SimpleQueue()
        self._console_port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._printed.put(line.rstrip("\n"))
        self._printed.put(None)

    def wait_for(self, text: str, times: int = 1) -> str:
        """Wait until `times` new lines contain a text, and return the last one."""
        with suppress(Empty):
            while (line := self._printed.get(timeout=SECONDS)) is not None:
                self.lines.append(line)
                times -= text in line
                if not times:
                    return line
        pytest.fail(f"no line contains {text!r}:\n" + "\n".join(self.lines))

    def find(self, text: str) -> str:
        """Return a line that `wait_for` has read, or wait for it."""
        return next((line for line in self.lines if text in line), None) or self.wait_for(text)

    def wait_until_it_runs(self) -> None:
        self.port = _port(self.wait_for("the application is at"))
        self._console_port = _port(self.wait_for("the console is at"))
        self.wait_for("Ctrl-C stops the server")
        self.find(f"{self.name}: the application runs")  # this line may be the first one

    def wait_until_done(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until no task of these queues, or of any queue, waits or runs. Return all queues of the console."""
        queues: dict[str, dict[str, Any]] = {}
        for event in self._events():
            if "queues" in event:
                queues = {queue["name"]: queue for queue in event["queues"]}
                if not any(queues[name]["waiting"] or queues[name]["running"] for name in names or queues):
                    return queues
        pytest.fail(f"tasks are left: {queues}\n" + "\n".join(self.lines))

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield what the console's page receives: everything, and then what changes."""
        until = time.monotonic() + SECONDS
        with closing(HTTPConnection("127.0.0.1", self._console_port, timeout=SECONDS)) as connection:
            connection.request("GET", "/events")
            for line in connection.getresponse():  # the console sends comments without end
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))
                if time.monotonic() > until:
                    return

    def get(self, path: str) -> str:
        return UserBrowser(self.port).get(path).text

    def application(self) -> psutil.Process:
        """Return the application's process."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """Kill the process, and wait until the application has closed its output too."""
        self.process.kill()
        self.process.wait()
        self._reader.join(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _port(line: str) -> int:
    found = re.search(r":(\d+)/", line)
    assert found is not None
    return int(found[1])


class UserBrowser:
    """A user with a browser that keeps cookies."""

    def __init__(self, port: int) -> None:
        self._host = f"127.0.0.1:{port}"
        self._cookies = SimpleCookie()

    def get(self, path: str) -> Response:
        return self._ask("GET", path)

    def post(self, path: str, **fields: str) -> Response:
        """Send fields without a form, and follow the redirect."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.follow(self._ask("POST", path, urlencode(fields).encode(), headers))

    def follow(self, response: Response) -> Response:
        """Follow a redirect to a page."""
        while response.status == 303:
            response = self.get(response.header("Location") or "")
        return response

    def submit(self, page: Response, **fields: Any) -> Response:
        """Fill in a form of a page, and follow the redirect."""
        form = fill_in(page, fields)
        return self.follow(self._ask(form.method, form.path, form.body, form.headers))

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Any = ()) -> Response:
        pairs = dict(headers)
        if self._cookies:
            pairs["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())
        with closing(HTTPConnection(self._host, timeout=SECONDS)) as connection:
            connection.request(method, path, body, pairs)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie", ()):
                self._cookies.load(cookie)
            request = Request(method, path, (), body or b"", self._host)
            return Response(answer.status, headers=tuple(answer.getheaders()), body=answer.read(), request=request)
