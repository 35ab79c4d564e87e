"""Starts the application's process, starts it again when it ends, and ends it with its whole process group."""

import math
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

ADDRESS = "127.0.0.1"
START_SECONDS = 30.0  # after which the supervisor reports a slow start
STABLE_SECONDS = 10.0  # after which a process counts as started well
CRASHES = 5  # in a row, after which the supervisor waits for a change
_BACKOFF = 0.5  # seconds until the second start; each later one waits twice as long
_STEP = 0.05  # seconds between two attempts to connect to the port
_PATIENCE = 1.5  # seconds between SIGTERM and SIGKILL
_NOT_STARTED = (126, 127)  # a shell's statuses for a command that can't be run; another start would not help
_LONGEST_LINE = 2**16  # bytes
_OTHER_ADDRESS = "127.0.0.2"  # on Linux, it reaches only servers that listen on all addresses
_drawn: set[int] = set()  # the ports that `free_port` has returned
_OCCUPIED = "another process listens on port {port}, perhaps because the command starts a background process"
_ALL_ADDRESSES = (
    "the application listens on all addresses of this machine, so other machines may reach it on port {port}; let it "
    "listen on 127.0.0.1 only"
)

Say = Callable[[str], None]


class Supervisor:
    """Keeps one process running that listens on a port of 127.0.0.1.

    Args:
        command: the command.
        environment: the complete environment of the process.
        port: the port on which it listens.
        say: called with each message for the user.
        on_line: called with each line that the process prints.
        folder: the working folder of the process; None for the present one.
        on_running: called each time the process has begun to listen.

    `command` and `environment` may be replaced; `restart` uses them. `state` is "starting", "running", "failed" or
    "stopped", and `reason` explains it. `restarts` counts the calls of `restart`. `crashes` counts how many times in a
    row the process has ended by itself. The process is the leader of its own group, so Ctrl-C in a terminal doesn't
    reach it.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        port: int,
        say: Say,
        on_line: Callable[[str], None],
        folder: Path | None = None,
        on_running: Callable[[], None] = lambda: None,
    ) -> None:
        self.command = command
        self.environment = environment
        self.port = port
        self.state = "stopped"
        self.reason = "it has not been started"
        self.restarts = 0
        self._say = say
        self._on_line = on_line
        self._folder = folder
        self._on_running = on_running
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0  # when the process started, or later when it began to listen
        self._last_line = f"\x04{secrets.token_hex(8)}\n".encode()
        self._why = ""  # why the process must be started again; "" if it need not be
        self._stopping = False
        self._patience = _PATIENCE
        self.crashes = 0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the process, and return immediately."""
        self._set("starting", "it is starting")
        self._thread.start()

    def restart(self, why: str) -> None:
        """End the process and start it again, even if it has failed. `why` is, for example, "app.yaml has changed"."""
        with self._changed:
            self._why = why
            self.restarts += 1
            self._set("starting", why)

    def wait_until_running(self, timeout: float) -> bool:
        """Wait while the process starts, for at most `timeout` seconds, and return whether it listens."""
        with self._changed:
            self._changed.wait_for(lambda: self.state != "starting", timeout)
            return self.state == "running"

    @property
    def age(self) -> float:
        """The seconds since the process began to listen, or else since its start; infinity if it isn't running."""
        process = self._process
        is_alive = process is not None and process.poll() is None
        return time.monotonic() - self._began if is_alive else math.inf

    def begin_stop(self, timeout: float = _PATIENCE) -> None:
        """Begin to stop the process, and return immediately. `stop` waits for its end.

        Args:
            timeout: the seconds after which it is killed.
        """
        with self._changed:
            self._stopping, self._patience = True, timeout
            self._set("stopped", "it was stopped")

    def stop(self, timeout: float = _PATIENCE) -> None:
        """End the process, and return when it has ended.

        Args:
            timeout: the seconds after which it is killed.
        """
        self.begin_stop(timeout)
        if self._thread.is_alive():
            self._thread.join(timeout + _PATIENCE)
        self.kill()  # needed only if the thread is stuck

    def kill(self) -> None:
        """Kill the process now."""
        if self._process is not None and self._process.poll() is None:
            _send(self._process, "SIGKILL")

    def _run(self) -> None:
        while not self._stopping:
            self._begin()
            launched = self._launch() if self._await_silence() else None
            if launched is None:
                self._await_change()
                continue
            process, output = launched
            began = time.monotonic()
            self._await_port(process, began)
            with self._changed:
                while process.poll() is None and not self._is_wanted():
                    self._changed.wait()
            status = process.poll()
            self._set("starting", self._why or "it has ended by itself")
            _end(process, self._patience)
            with open(output, "wb", buffering=0) as file:
                file.write(self._last_line)  # see `_read`
            if status is not None and not self._is_wanted():
                self._crashed(status, time.monotonic() - began)

    def _begin(self) -> None:
        """Report why the process starts, if it has run before."""
        with self._changed:
            why, self._why = self._why, ""
        self._set("starting", why or "it is starting")
        if why:
            self.crashes = 0
            self._say(f"{why}, so the application starts again")

    def _is_wanted(self) -> bool:
        return self._stopping or bool(self._why)

    def _set(self, state: str, reason: str) -> None:
        """Change the state, which stays "stopped" after `stop`."""
        with self._changed:
            if not self._stopping or state == "stopped":
                self.state, self.reason = state, reason
            self._changed.notify_all()

    def _await_silence(self) -> bool:
        """Wait until killed processes have released the port, and return whether they have.

        Otherwise, the next process would seem to listen already.
        """
        end = time.monotonic() + _PATIENCE
        while _listens(self.port):
            if self._stopping:
                return False
            if time.monotonic() > end:
                self._fail(_OCCUPIED.format(port=self.port))
                return False
            time.sleep(_STEP)
        return True

    def _launch(self) -> tuple[subprocess.Popen[bytes], int] | None:
        """Start the process and the threads that read its lines and wait for its end.

        Returns:
            The process and the descriptor to which it writes its lines; None if it can't be started.
        """
        group: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
        source, output = os.pipe()
        try:
            process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self._folder,
                stdin=subprocess.PIPE,  # which stays open as long as this process lives
                stdout=output,
                stderr=subprocess.STDOUT,
                **group,
            )
        except OSError as error:
            os.close(source)
            os.close(output)
            self._fail(f"{self.command[0]} can't be started: {error.strerror or error}")
            return None
        self._began, self._process = time.monotonic(), process
        for target, argument in ((self._read, source), (self._await_end, process)):
            threading.Thread(target=target, args=[argument], name=target.__name__, daemon=True).start()
        return process, output

    def _read(self, source: int) -> None:
        """Pass on the lines of a process until the last one, which this class writes after the process has ended.

        Without this line, the thread would also wait for programs that the process has started in their own groups.
        """
        with open(source, "rb") as file:
            for line in iter(partial(file.readline, _LONGEST_LINE), b""):
                text = line.removesuffix(self._last_line)
                with suppress(Exception):  # the pipe must always be read, or the application's prints would raise
                    if text:
                        self._on_line(text.decode("utf-8", "replace").rstrip("\r\n"))
                if text != line:
                    return

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._changed:
            self._changed.notify_all()

    def _await_port(self, process: subprocess.Popen[bytes], began: float) -> None:
        """Wait until the process listens, ends or isn't wanted any more. Report a slow start."""
        is_slow = False
        while process.poll() is None and not self._is_wanted():
            if _listens(self.port):
                with self._changed:
                    if self._is_wanted():
                        return
                    self._began = time.monotonic()
                    self._set("running", f"it listens on port {self.port}")
                self._say("the application runs")
                if _listens(self.port, _OTHER_ADDRESS):
                    self._say(_ALL_ADDRESSES.format(port=self.port))
                self._on_running()
                return
            if not is_slow and time.monotonic() - began > START_SECONDS:
                is_slow = True
                reason = (
                    f"it has not listened on port {self.port} for {START_SECONDS:g} s. It may hang, or use another port"
                )
                self._set("starting", reason)
                self._say(f"the application isn't ready: {reason}; it must use the port in the variable PORT")
            with self._changed:
                self._changed.wait(_STEP)

    def _crashed(self, status: int, lived: float) -> None:
        """Report how the process ended, and wait until the next start."""
        self.crashes = self.crashes + 1 if lived < STABLE_SECONDS else 1
        how = f"it ended by itself after {lived:.1f} s, with {_describe(status)}"
        if status in _NOT_STARTED:
            self._fail(how)
        elif self.crashes >= CRASHES:
            self._fail(f"{how}, for the {self.crashes}th time in a row")
        else:
            delay = _BACKOFF * 2 ** (self.crashes - 1)
            self._set("starting", how)
            self._say(f"the application crashed: {how}; it starts again in {delay:g} s")
            with self._changed:
                self._changed.wait_for(self._is_wanted, delay)
            return
        self._await_change()

    def _fail(self, reason: str) -> None:
        self._set("failed", reason)
        advice = "It starts again when you change a file. Its tasks can't run until then."
        self._say(f"the application doesn't run: {reason}. {advice}")

    def _await_change(self) -> None:
        with self._changed:
            self._changed.wait_for(self._is_wanted)


class ApplicationStatus:
    """The state of the application, which the console and the error pages show.

    Args:
        name: the service.
        supervisor: has the state of the process.
        url: where users visit the application.

    `problems` contains messages that stay until the problem is solved, each with a key such as "queue.yaml".
    """

    def __init__(self, name: str, supervisor: Supervisor, url: str) -> None:
        self.name = name
        self.url = url
        self.problems: dict[str, str] = {}
        self._supervisor = supervisor

    @property
    def is_running(self) -> bool:
        """Whether the application listens on its port."""
        return self._supervisor.state == "running"

    @property
    def has_ended(self) -> bool:
        """Whether the process couldn't be started or has ended by itself. It may have started again since then."""
        return self._supervisor.state == "failed" or self._supervisor.crashes > 0

    @property
    def reason(self) -> str:
        """Why the application is in its state."""
        return self._supervisor.reason

    def describe(self) -> dict[str, Any]:
        """Return the name, the state, the reason, the command, the URL and the problems, for JSON."""
        state, reason = self._supervisor.state, self._supervisor.reason
        return {
            "name": self.name,
            "state": state,
            "reason": f"{reason}. Its tasks can't run until it starts again" if state == "failed" else reason,
            "command": " ".join(self._supervisor.command),
            "url": self.url,
            "problems": list(self.problems.values()),
        }


def free_port() -> int:
    """Return a port that no program uses now, and that this function hasn't returned before."""
    while True:
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            port = int(probe.getsockname()[1])
        if port not in _drawn:
            _drawn.add(port)
            return port


def _listens(port: int, address: str = ADDRESS) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _describe(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _send(process: subprocess.Popen[bytes], name: str) -> None:
    """Send a signal to the group of a process. Its members may outlive the process."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):  # macOS raises the second one if only zombies are left
            os.killpg(process.pid, getattr(signal, name))
    elif name == "SIGKILL":
        process.kill()
    else:
        process.terminate()


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Ask a process group to end, and kill what is left of it after some seconds."""
    if process.poll() is None:
        _send(process, "SIGTERM")
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    _send(process, "SIGKILL")
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
