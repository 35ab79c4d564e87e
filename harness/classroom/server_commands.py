"""The commands that run a server in real time, for other processes on this machine."""

import threading
from pathlib import Path

import click

from harness.errors import HarnessError

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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} can't be read: {error.strerror or error}") from None
