"""One service of an application: its process, the server for its users, and the files that change it."""

import os
import re
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.appengine.taskqueue.client import HOST
from harness.errors import HarnessError
from harness.records import Request, Response
from harness.serve.child import TOKEN, split_line
from harness.serve.front import Front, TaskSender
from harness.serve.project import QUEUE_YAML, Project
from harness.serve.reload import Effect, Reloader
from harness.serve.supervisor import ADDRESS, ApplicationStatus, Say, Supervisor, free_port

PROJECT = "tutorial"  # the same as in a lab and in Cloud Tasks' API
_NO_APIS = (
    "app.yaml doesn't contain `app_engine_apis: true`, so App Engine's APIs aren't available, and taskqueue raises "
    "RPCFailedError"
)
_PORT = re.compile(r"\$(PORT\b|\{PORT\})")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the services of an application have in common.

    Args:
        api_port: the port on which Google's client finds the APIs.
        token: the secret of the task queue's requests.
        threads: the requests that web2py handles at the same time.
        say: called with each message for the user.
        on_line: called with each line that a process prints, and the number of the attempt that printed it, or None.
        on_running: called each time a process has begun to listen.
        on_queues: called when queue.yaml has changed, with its path.
        allowed_hosts: further names that users' requests may have in the header Host.
        inherited: the variables of this process that an application's process gets.
    """

    api_port: int
    token: str
    threads: int
    say: Say
    on_line: Callable[[str, int | None], None]
    on_running: Callable[[], None]
    on_queues: Callable[[Path], None]
    allowed_hosts: tuple[str, ...] = ()
    inherited: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Service:
    """Runs a project as a service of App Engine, and starts its process immediately.

    Args:
        name: the name, such as "default" or "worker".
        project: the folder or the command.
        port: the port for users.
        folder: the folder for links to the project's files.
        surroundings: what the services have in common.
        default: the default service; None if this is it.
        stack: gets callbacks that end the service.

    Raises:
        HarnessError: the port is in use, or the folder can't be written.

    `send` sends the requests of tasks; `status` describes the process.
    """

    def __init__(
        self,
        name: str,
        project: Project,
        port: int,
        folder: Path,
        surroundings: Surroundings,
        default: "Service | None",
        stack: ExitStack,
    ) -> None:
        self.name = name
        self.project = project
        self._folder = folder
        self._around = surroundings
        self._prefix = "" if default is None else name
        self._links = {str(link): str(target) for link, target in project.links(folder).items()}
        own_port = free_port()
        default_host = "" if default is None else default.host
        self._front = Front(port, own_port, surroundings.token, self.say, default_host, surroundings.allowed_hosts)
        stack.callback(self._front.stop)
        self._base = environment(own_port, surroundings.api_port, surroundings.token, surroundings.inherited)
        self._supervisor = Supervisor([], {}, own_port, self.say, self._on_line, project.root, surroundings.on_running)
        self.status = ApplicationStatus(name, self._supervisor, f"http://{self.host}/")
        self._set_command()
        stack.callback(self._supervisor.stop)
        self._supervisor.start()
        self._front.status = self.status
        self.send = TaskSender(self._supervisor, self.host, lambda: self._front.own_headers, self._prefix)
        stack.callback(self.send.close)
        unused = list(project.unsupported)
        if default is not None and project.queue_yaml not in (None, default.project.queue_yaml):
            unused.append(f"{QUEUE_YAML}, because the queue.yaml of {default.name} defines the queues")
        if unused:
            self.say(f"not used here: {', '.join(unused)}")
        for each in project.compiled:
            text = f"web2py runs {each}/compiled, so changed files have no effect; delete that folder to see changes"
            self.trouble(f"compiled {each}", text)

    @property
    def host(self) -> str:
        """The host and the port for users, such as "127.0.0.1:8080"."""
        return self._front.host

    @property
    def port(self) -> int:
        """The port on which the application must listen, which is the variable PORT."""
        return self._supervisor.port

    def follow_files(self, stack: ExitStack) -> None:
        """Start to follow the project's files. Only the default service has a queue.yaml."""
        self._reloader = Reloader(
            self.project,
            self._changed,
            on_trouble=lambda text: self.trouble(text, text),
            age=lambda: self._supervisor.age,
            follows_queues=not self._prefix,
        )
        stack.callback(self._reloader.stop)
        self._reloader.start()

    def begin_stop(self) -> None:
        """Begin to stop the process, and return immediately."""
        self._supervisor.begin_stop()

    def wait_until_running(self, seconds: float) -> bool:
        """Wait while the process starts, for at most `seconds`, and return whether it listens."""
        return self._supervisor.wait_until_running(seconds)

    def restart(self, why: str) -> None:
        """End the process, and start it again; `why` is, for example, "app.yaml has changed"."""
        self._supervisor.restart(why)

    def kill(self) -> None:
        """Kill the process now."""
        self._supervisor.kill()

    def say(self, text: str) -> None:
        """Print a line for the user, with the name of the service if there are several."""
        self._around.say(f"{self._prefix}: {text}" if self._prefix else text)

    def trouble(self, key: str, text: str) -> None:
        """Show a problem in the terminal and in the console. If the text is "", remove the problem."""
        self.status.problems.pop(key, None)
        if text:
            self.status.problems[key] = text
            self.say(text)

    def _set_command(self) -> None:
        """Give the supervisor the command and the environment that the project has now."""
        project = self.project
        values = self._base | {
            "GAE_SERVICE": self.name,
            "GAE_RUNTIME": project.app_yaml.runtime or self._base["GAE_RUNTIME"],
        }
        command = project.command(self._folder, self._around.threads)
        if project.kind == "command":
            command = [_PORT.sub(values["PORT"], each) for each in command]
        if project.is_web2py:
            del values["GAE_APPLICATION"]  # see `harness.serve.child`
        self._supervisor.command = command
        self._supervisor.environment = values | project.env
        self._front.set_handlers(project.handlers, project.root)
        self._front.has_apis = project.is_web2py or project.kind == "command" or project.app_yaml.apis
        self.trouble("app_engine_apis", "" if self._front.has_apis else _NO_APIS)

    def _on_line(self, line: str) -> None:
        number, text = split_line(line)
        for link, folder in self._links.items():
            text = text.replace(link, folder)
        self._around.on_line(f"{self._prefix} | {text}" if self._prefix else text, number)

    def _changed(self, effect: Effect, path: Path) -> None:
        """Use a file that has changed. If it has a mistake, its previous content stays in use."""
        name = path.name
        try:
            if effect is Effect.QUEUES:
                self._around.on_queues(path)
            elif effect is Effect.SETTINGS:
                self.project = self._reloader.project = self.project.reread()
                self._set_command()
                self.restart(f"{name} has changed")
            else:
                with suppress(ValueError):
                    path = path.relative_to(self.project.root.resolve())
                self.restart(f"{path} has changed")
            self.trouble(name, "")
        except HarnessError as error:
            self.trouble(name, f"{error} (the previous {name} stays in use)")


class Services:
    """The services of an application. The first one is the default service.

    It can be passed to `Dispatcher` as `send`. The host of a request names the service: "worker.127.0.0.1:8080" and
    "v2.worker.tutorial.appspot.com" are for "worker", and so is the host of its own server. "localhost" means the same
    as "127.0.0.1". Any other host is for the default service. If a host names an unknown service, this is reported
    once. Such a name may be that of a version.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self.default = services[0]
        self._by_name = {each.name: each for each in services}
        self._by_host = {host: each for each in services for host in _names(each.host)}
        self._unknown: set[str] = set()
        domains = "|".join(re.escape(domain) for domain in (HOST, *_names(self.default.host)))
        self._label = re.compile(rf"(?:.*(?:\.|-dot-))?([^.]+?)(?:\.|-dot-)(?:{domains})", re.IGNORECASE)

    def __call__(self, request: Request, start: float, deadline: float) -> Response:
        """Send a request to its service, and return the response."""
        service = self.default if request.scheme else self.find(request.host)
        return service.send(request, start, deadline)

    def find(self, host: str) -> Service:
        """Return the service that a host names."""
        found = self._label.fullmatch(host)
        if found is None:
            return self._by_host.get(host.lower(), self.default)
        name = found[1].lower()
        if name not in self._by_name and name not in self._unknown:
            self._unknown.add(name)
            self.default.say(f"{name!r} isn't a service here, so its tasks run in {self.default.name!r}")
        return self._by_name.get(name, self.default)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._by_name.values())

    def can_run_tasks(self) -> bool:
        """Return whether the process of at least one service listens on its port.

        Tasks of the other services wait for a while until their process runs (see `TaskSender`).
        """
        return any(each.status.is_running for each in self)

    def begin_stop(self) -> None:
        """Begin to stop all processes at the same time, and return immediately."""
        for each in self:
            each.begin_stop()


def _names(host: str) -> tuple[str, str]:
    """Return "127.0.0.1:8080" and "localhost:8080"."""
    return host, host.replace(ADDRESS, "localhost")


def program_path() -> str:
    """Return PATH, followed by the folder that contains the programs of this environment, such as gunicorn."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), sysconfig.get_path("scripts"))))


def environment(port: int, api_port: int, token: str, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of the application: the inherited variables, and those that App Engine sets.

    GAE_ENV and SERVER_SOFTWARE have the values of Google's dev_appserver, because applications compare them to find out
    that they aren't in production.

    Args:
        port: the port on which the application must listen.
        api_port: the port on which Google's client finds the APIs.
        token: the secret of the task queue's requests.
        inherited: the variables of this process that the application gets.
    """
    values = {name: value for name, value in inherited.items() if name != "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE"}
    return values | {
        "PATH": program_path(),
        "PORT": str(port),
        "API_HOST": ADDRESS,
        "API_PORT": str(api_port),
        "GAE_ENV": "localdev",
        "APPLICATION_ID": f"dev~{PROJECT}",  # older clients of Google read it
        "GAE_APPLICATION": f"dev~{PROJECT}",
        "GAE_DEPLOYMENT_ID": "1",
        "GAE_INSTANCE": "local",
        "GAE_RUNTIME": "python312",
        "GAE_SERVICE": "default",
        "GAE_VERSION": "local",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PYTHONUNBUFFERED": "1",  # so that the lines of the log arrive when they are printed
        "SERVER_SOFTWARE": "Development/2.0",
        TOKEN: token,
    }
