"""Cloud Tasks on this machine, in real time: queues in memory, the server of their API, and the loop that runs them."""

from collections.abc import Callable

from harness.appengine.clock import RealClock
from harness.appengine.dispatcher import HttpSender, RealTimeDispatcher, describe_attempt
from harness.appengine.taskqueue import TaskQueueService, parse_queue_yaml
from harness.cloudtasks.grpc_server import ADDRESS, GrpcServer
from harness.cloudtasks.names import LOCATION, PROJECT, ProjectLocation
from harness.cloudtasks.rest_server import CERTIFICATES, RestServer
from harness.cloudtasks.servicer import CloudTasks
from harness.errors import HarnessError

TARGET = "http://127.0.0.1:8080"  # App Engine's servers listen on 8080
_INTRODUCTION = """\
Cloud Tasks listens on {server} for {place}. Its queues: {queues}.
The same API over REST is at {rest}. Tasks for App Engine are sent to {target}.
Handlers can verify ID tokens with the certificates at {rest}{certificates}.
Ctrl-C stops the server, and its tasks are lost.

Python   from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
         transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel("{server}"))
         client = tasks_v2.CloudTasksClient(transport=transport)
Node.js  const sslCreds = require('@grpc/grpc-js').credentials.createInsecure();
         const client = new CloudTasksClient({{servicePath: '{host}', port: {port}, sslCreds}});
"""


class LocalServer:
    """Cloud Tasks' API on 127.0.0.1, over gRPC and REST. The tasks run in real time. It is a context manager.

    Args:
        port: the port for gRPC; 0 for any free port.
        rest_port: the port for REST; 0 for any free port.
        queue_yaml: the content of a queue.yaml; without it, only the queue "default" exists.
        target: the server that receives the tasks for App Engine.
        project: the project of the queues.
        location: the location of the queues.
        say: called with a line of text for each attempt that has ended.

    Raises:
        HarnessError: a port is in use, the queue.yaml is invalid, or the target is not a server on this machine.

    `address` is for example "127.0.0.1:8123", and `rest_url` is for example "http://127.0.0.1:8124".
    """

    def __init__(
        self,
        port: int,
        rest_port: int,
        queue_yaml: bytes | None = None,
        target: str = TARGET,
        project: str = PROJECT,
        location: str = LOCATION,
        say: Callable[[str], None] = print,
    ) -> None:
        self._place = ProjectLocation(project, location)
        self._target = target
        configs = () if queue_yaml is None else parse_queue_yaml(queue_yaml)
        clock = RealClock()
        self._service = TaskQueueService(clock, configs, keeps_tasks=False)
        self._sender = HttpSender(target)
        self._dispatcher = RealTimeDispatcher(
            self._service,
            clock,
            self._sender,
            lambda attempt: say(describe_attempt(attempt)),
            lambda error: say(
                f"A task can't start, so the server tries again in a second. {type(error).__name__}: {error}"
            ),
        )
        servicer = CloudTasks(self._service, self._place)
        self._server = GrpcServer(servicer, self._dispatcher, port)
        try:
            self._rest_server = RestServer(servicer, self._dispatcher, rest_port)
        except HarnessError:
            self._server.stop()
            raise
        self._dispatcher.start()
        self.address = f"{ADDRESS}:{self._server.port}"
        self.rest_url = f"http://{ADDRESS}:{self._rest_server.port}"

    @property
    def introduction(self) -> str:
        """Where the server listens, and how a client connects."""
        return _INTRODUCTION.format(
            server=self.address,
            rest=self.rest_url,
            certificates=CERTIFICATES,
            host=ADDRESS,
            port=self._server.port,
            place=self._place.name,
            queues=", ".join(name for name, queue in self._service.queues.items() if queue.config.mode == "push"),
            target=self._target,
        )

    def close(self) -> None:
        """Stop listening, and start no more tasks."""
        self._server.stop()
        self._rest_server.stop()
        self._dispatcher.stop()
        self._sender.close()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
