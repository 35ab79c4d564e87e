"""The commands that run a server in real time, for other processes on this machine."""

import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.errors import HarnessError

_SERVICE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--port", type=_PORT, default=8123, show_default=True, help="The port for gRPC; 0 for a free one.")
@click.option("--rest-port", type=_PORT, default=8124, show_default=True, help="The port for REST; 0 for a free one.")
@click.option(
    "--queue-yaml",
    type=click.Path(path_type=Path),
    help="A file that defines queues. Without it, only the queue default exists; clients can create others.",
)
@click.option(
    "--target",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    help="The server on this machine that receives the tasks for App Engine, whatever their service is.",
)
@click.option("--project", default="tutorial", show_default=True, help="The project of the queues.")
@click.option("--location", default="us-central1", show_default=True, help="The location of the queues.")
def cloud_tasks(port: int, rest_port: int, queue_yaml: Path | None, target: str, project: str, location: str) -> int:
    """Run an emulator of Google Cloud Tasks on 127.0.0.1.

    The server has the API of Cloud Tasks (v2), over gRPC and REST. Google's clients for any language can create, list,
    run and delete tasks and queues. Tasks run in real time, with the rates, the limits and the retries of their queues.
    At most 200 tasks run at the same time.

    A task with a full URL (http_request) is sent to this URL if its host is 127.0.0.1 or localhost. The server sends
    nothing to other machines, so for any other host the attempt fails. While no program listens at the target, attempts
    fail, and the tasks run again after a backoff.

    Queues and tasks are in memory. They are lost when the server stops.
    """
    from harness.cloudtasks import LocalServer

    content = None if queue_yaml is None else _read(queue_yaml)
    with LocalServer(port, rest_port, content, target, project, location, click.echo) as server:
        click.echo(server.introduction)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("stopped")
    return 0


def _daemon_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `serve` and `run` share."""
    for option in reversed(
        (
            click.option("--port", type=_PORT, default=8080, show_default=True, help="The port for users."),
            click.option("--console-port", type=_PORT, default=8000, show_default=True, help="The console's port."),
            click.option(
                "--state",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="The file that keeps queues and tasks. By default, each folder has a file in your state folder.",
            ),
            click.option("--fresh", is_flag=True, help="Start with empty queues, in memory. No file is changed."),
            click.option(
                "--workers",
                type=click.IntRange(1, 200),
                default=8,
                show_default=True,
                help="The maximum number of tasks that run at the same time.",
            ),
            click.option("--no-run", is_flag=True, help="Store tasks, but don't run them."),
            click.option("--cloud-tasks", type=_PORT, metavar="PORT", help="Also serve Cloud Tasks' API over gRPC."),
            click.option(
                "--service",
                "services",
                multiple=True,
                metavar="NAME=FOLDER",
                help="Run another service, on the next port. Tasks with the target NAME run there. Can be repeated.",
            ),
            click.option(
                "--allow-host",
                "allowed_hosts",
                multiple=True,
                metavar="NAME",
                help="Also accept users' requests for the host NAME. Can be repeated.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--web2py", type=click.Path(path_type=Path), metavar="TREE", help="The web2py tree that runs FOLDER.")
@_daemon_options
def serve(folder: Path, web2py: Path | None, **options: Any) -> int:
    """Run an application with its task queues on 127.0.0.1, as App Engine does.

    FOLDER is a web2py application, a web2py tree, or a folder with app.yaml. Its queue.yaml defines the queues. The
    application runs as it is, with Google's client for task queues. Tasks run in real time, and survive a restart. The
    console shows queues, tasks and attempts.

    If a module changes, the application restarts within two seconds. web2py reads controllers, models and views in each
    request, so a change of these files needs no restart.
    """
    from harness.serve.project import find_project

    return _run_daemon(find_project(folder, web2py), options)


@click.command(context_settings={"ignore_unknown_options": True})
@_daemon_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], **options: Any) -> int:
    """Run any server with task queues on 127.0.0.1.

    COMMAND starts a server that listens on 127.0.0.1 at the port in the variable PORT. In COMMAND, '$PORT' in single
    quotes is replaced by this port:

    \b
        run -- gunicorn -b '127.0.0.1:$PORT' main:app

    A Python application must be wrapped in google.appengine.api.wrap_wsgi_app, as on App Engine. The queue.yaml in
    the current folder defines the queues.

    Users' requests arrive without the headers of the task queue (X-AppEngine-...). Another program on this machine that
    finds the port of COMMAND can forge these headers.
    """
    from harness.serve.project import command_project
    from harness.serve.services import program_path

    if shutil.which(command[0], path=program_path()) is None:
        raise HarnessError(f"the command {command[0]} doesn't exist; write it as in your terminal, after --")
    return _run_daemon(command_project(Path.cwd(), command), options)


def _run_daemon(project: Any, options: dict[str, Any]) -> int:
    from harness.serve.daemon import Daemon, Options

    if options["fresh"] and options["state"] is not None:
        raise click.UsageError("--fresh keeps nothing, so it can't be used with --state")
    run_tasks = not options.pop("no_run")
    options["services"] = _find_services(options["services"], project.app_yaml.service)
    with Daemon(project, Options(run_tasks=run_tasks, **options), click.echo) as daemon:
        click.echo(daemon.introduction)
        daemon.wait()
    return 0


def _find_services(services: tuple[str, ...], default: str) -> tuple[tuple[str, Any], ...]:
    """Return the projects of --service by name; `default` is the name of the first service."""
    from harness.serve.project import find_project

    found: dict[str, Any] = {}
    for each in services:
        name, separator, folder = each.partition("=")
        if not separator or not _SERVICE.fullmatch(name):
            raise click.UsageError(
                f"--service needs NAME=FOLDER, with a name of lower-case letters, digits and hyphens, not {each!r}"
            )
        if name == default or name in found:
            raise click.UsageError(f"--service {name} is the name of another service; choose another NAME")
        found[name] = find_project(Path(folder))
    return tuple(found.items())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} can't be read: {error.strerror or error}") from None
