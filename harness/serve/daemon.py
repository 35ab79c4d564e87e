"""The process that `serve` and `run` start: queues, console and proxies. The services are its child processes."""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.appengine.taskqueue import parse_queue_yaml
from harness.appengine.web2py.app_files import temporary_folder
from harness.errors import HarnessError
from harness.records import Attempt
from harness.serve.attempt_log import AttemptLines
from harness.serve.front import listen
from harness.serve.project import Project, project_state
from harness.serve.services import PROJECT, Service, Services, Surroundings
from harness.serve.supervisor import ADDRESS
from harness.state import shown

if TYPE_CHECKING:
    from harness.serve.engine import QueueEngine

STATE_FILE = "queues.sqlite"
_LOCATION = "us-central1"
_MORE_THREADS = 8  # requests of users that web2py handles in addition to the tasks
_WAIT = 0.5  # seconds between two checks for a summary of failed attempts
_STATE = "state"  # the key of a problem with the state file
_TICKET = "ticket "  # the beginning of the header web2py_error, before the name of the ticket


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `serve` and `run`; see their help.

    `services` contains further services by name, and `environ` the variables of the application's processes.
    """

    port: int = 8080
    console_port: int = 8000
    state: Path | None = None
    fresh: bool = False
    workers: int = 8
    run_tasks: bool = True
    cloud_tasks: int | None = None
    services: tuple[tuple[str, Project], ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Daemon:
    """Runs a project until it is interrupted. It is a context manager.

    Args:
        project: the folder or the command.
        options: the options.
        say: called with each line of text for the terminal.

    Raises:
        HarnessError: a port is in use, queue.yaml has a mistake, or the state can't be used.
    """

    def __init__(self, project: Project, options: Options, say: Callable[[str], None]) -> None:
        self._project = project
        self._options = options
        self._print = say
        self._name = "run" if project.kind == "command" else "serve"
        self._ending = threading.Event()
        self._lines = AttemptLines(self._say, time.monotonic)
        self._engine: Any = None
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()

    def _start(self, stack: ExitStack) -> None:
        """Start the application first, because it takes the longest, and everything else while it starts."""
        project, options = self._project, self._options
        queue_yaml = None if project.queue_yaml is None else _read(project.queue_yaml)
        if queue_yaml is not None:
            parse_queue_yaml(queue_yaml)
        for port, option in ((options.console_port, "--console-port"), (options.cloud_tasks or 0, "--cloud-tasks")):
            listen(port, option).close()
        calls = stack.enter_context(socket.create_server((ADDRESS, 0)))  # so that early calls wait for the queues
        self._services = Services(self._start_services(stack, calls.getsockname()[1]))
        stack.callback(self._services.begin_stop)
        self._default = self._services.default
        self._start_queues(stack, queue_yaml, calls)
        for each in self._services:
            each.follow_files(stack)

    def _start_services(self, stack: ExitStack, api_port: int) -> list[Service]:
        """Start the processes. Each further service gets the next port."""
        options = self._options
        surroundings = Surroundings(
            api_port=api_port,
            token=secrets.token_urlsafe(24),
            threads=options.workers + _MORE_THREADS,
            say=self._say,
            on_line=self._on_line,
            on_running=self._on_running,
            on_queues=self._use_queues,
            allowed_hosts=options.allowed_hosts,
            environ=options.environ,
        )
        self._folder = self._state_folder(stack, self._project)
        name = self._project.app_yaml.service
        started = [Service(name, self._project, options.port, self._folder, surroundings, None, stack)]
        for number, (name, project) in enumerate(options.services, 1):
            port = options.port + number if options.port else 0
            folder = self._state_folder(stack, project)
            started.append(Service(name, project, port, folder, surroundings, started[0], stack))
        return started

    def _start_queues(self, stack: ExitStack, queue_yaml: bytes | None, calls: socket.socket) -> None:
        from harness.serve.console import Console
        from harness.serve.engine import QueueEngine
        from harness.serve.rpc_endpoint import RpcEndpoint

        options = self._options
        self._engine = engine = QueueEngine(
            self._services,
            queue_yaml=queue_yaml,
            state=self._state(),
            workers=options.workers,
            on_attempt=self._on_attempt,
            on_error=lambda error: self._say(f"a task can't be started: {error}"),
            is_ready=self._services.can_run_tasks,
        )
        for notice in engine.notices:
            self._say(notice)
        endpoint = RpcEndpoint(engine, calls)
        stack.callback(endpoint.stop)
        endpoint.start()
        console = Console(engine, [each.status for each in self._services], options.console_port)
        stack.callback(console.stop)
        self._console = f"{console.url}/"
        if options.cloud_tasks is not None:
            self._serve_cloud_tasks(stack, options.cloud_tasks)
        stack.callback(engine.stop)  # stopped first, so that attempts that are broken off now don't count
        if options.run_tasks:
            engine.start()

    def _on_running(self) -> None:
        if self._engine is not None:
            self._engine.wake()

    def _serve_cloud_tasks(self, stack: ExitStack, port: int) -> None:
        from harness.cloudtasks import CloudTasks
        from harness.cloudtasks.grpc_server import GrpcServer
        from harness.cloudtasks.names import ProjectLocation

        servicer = CloudTasks(self._engine.service, ProjectLocation(PROJECT, _LOCATION))
        server = GrpcServer(servicer, self._engine, port)
        stack.callback(server.stop)

    def _state_folder(self, stack: ExitStack, project: Project) -> Path:
        """Return the folder for a project's state, or a temporary one if the user has none and needs none."""
        try:
            return project_state(project.root)
        except HarnessError:
            if self._options.state is None and not self._options.fresh:
                raise
            return stack.enter_context(temporary_folder("serve"))

    def _state(self) -> Path | None:
        """Return the file of the queues' state, or None for memory."""
        default = self._folder / STATE_FILE
        if self._options.fresh:
            kept = f"; {shown(default)} is kept for the next start without --fresh" if default.exists() else ""
            self._say(f"the queues are in memory and are lost when the server stops{kept}")
            return None
        path = self._options.state or default
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HarnessError(
                f"the folder {path.parent} can't be created: {error.strerror}; pass --state FILE or --fresh"
            ) from None
        self._say(f"the state of the queues is in {shown(path)}")
        return path

    def _say(self, text: str) -> None:
        self._write(f"{self._name}: {text}")

    def _write(self, text: str) -> None:
        """Print a line. If the program that reads the lines has ended, end the server as after Ctrl-C."""
        try:
            self._print(text)
        except BrokenPipeError:
            self._ending.set()
        except (OSError, ValueError):  # for example, the disk is full; the server can run without its output
            pass

    def _on_line(self, text: str, number: int | None) -> None:
        if number is not None and self._engine is not None:
            self._engine.log.add_line(number, text)
        self._write(text)

    def _on_attempt(self, attempt: Attempt) -> None:
        error = attempt.response.header("web2py_error") or ""
        if error.startswith(_TICKET):
            self._engine.log.set_ticket(attempt.number, error.removeprefix(_TICKET))
        self._lines.add(attempt)

    def _use_queues(self, path: Path) -> None:
        self._engine.set_queues(_read(path) if path.is_file() else b"queue: []")
        self._say(f"{path.name} has changed, and the queues use it")

    @property
    def engine(self) -> "QueueEngine":
        """The queues."""
        engine: QueueEngine = self._engine
        return engine

    @property
    def service(self) -> Service:
        """The first service."""
        return self._default

    @property
    def introduction(self) -> str:
        """The lines for the user with the addresses of the services and of the console."""
        stay = "are lost" if self._options.fresh else "are kept"
        first, *others = self._services
        return "\n".join(
            (
                f"{self._name}: the application is at {first.status.url}",
                *(f"{self._name}: the service {each.name} is at {each.status.url}" for each in others),
                f"{self._name}: the console is at {self._console}",
                f"{self._name}: Ctrl-C stops the server, and its tasks {stay}",
            )
        )

    def wait(self) -> None:
        """Return after Ctrl-C or SIGTERM. A second Ctrl-C ends the process immediately."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)
        while not self._ending.wait(_WAIT):
            self._lines.flush()
            if self._engine.problem != self._default.status.problems.get(_STATE, ""):
                self._default.trouble(_STATE, self._engine.problem)
        self._say("stopping")

    def _interrupt(self, number: int, frame: object) -> None:
        if self._ending.is_set():
            for each in self._services:
                each.kill()
            os._exit(128 + number)
        self._ending.set()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} can't be read: {error.strerror or error}") from None
