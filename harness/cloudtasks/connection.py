"""The mode of Google's client (SDK 3.1.0) in which `taskqueue.add` sends push tasks to Cloud Tasks.

The client has no setting for an emulator. So while a lab with this mode receives the client's calls,

* environment variables turn the mode on, and contain the project and the location. Without these, the client would
  send a request to a metadata server;
* the client's cache of Cloud Tasks clients, `cloudtask._CLIENTS`, returns those of the lab;
* `tasks_v2.CloudTasksClient()` in a handler is connected with the lab, because the first transport in the registry of
  this class is replaced. It asks for no credentials;
* the client's thread pool, `cloudtask._THREAD_POOL`, is replaced. The client makes each call in a thread of this pool,
  even for `add`. In a lab, the call runs in its caller's thread instead. So it reaches the caller's lab in the caller's
  virtual time, and the lab finds the learner's line.

`CloudTasksMode.leave` undoes all of this.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from harness.appengine.taskqueue import TaskQueueService, preload_cloud_tasks
from harness.cloudtasks.channel import LocalChannel, make_client
from harness.cloudtasks.names import LOCATION, PROJECT
from harness.cloudtasks.servicer import CloudTasks

_ENVIRONMENT = {
    "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE": "true",
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "LOCATION_ID": LOCATION,
    "GAE_SERVICE": None,  # or a task without a target would go to the service that runs this notebook
    "GAE_VERSION": None,
}


class CloudTasksMode:
    """Lets Google's `taskqueue` client reach the queues of a service through Cloud Tasks' API; see `Mode`.

    `servicer` receives the calls of the clients that a handler makes.
    """

    def __init__(self, service: TaskQueueService) -> None:
        preload_cloud_tasks()
        self._clients = _Clients(LocalChannel(CloudTasks(service, adding="taskqueue.add")))
        self.servicer = CloudTasks(service)
        self._channel = LocalChannel(self.servicer)
        self._environment: dict[str, str | None] = {}
        self._others: tuple[Any, Any, Any] = (None, None, None)

    def _transport(self, **options: Any) -> Any:
        """Return the transport of a client that a handler makes; its credentials and address don't matter."""
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

        return CloudTasksGrpcTransport(channel=self._channel)

    def enter(self) -> None:
        """Turn the mode on."""
        from google.appengine.api.taskqueue import cloudtask

        registry = _transports()
        self._environment = {name: os.environ.get(name) for name in _ENVIRONMENT}
        self._others = cloudtask._CLIENTS, cloudtask._THREAD_POOL, registry["grpc"]
        _set_environment(_ENVIRONMENT)
        cloudtask._CLIENTS, cloudtask._THREAD_POOL, registry["grpc"] = self._clients, _NoThreads(), self._transport

    def leave(self) -> None:
        """Restore what `enter` has replaced."""
        from google.appengine.api.taskqueue import cloudtask

        _set_environment(self._environment)
        cloudtask._CLIENTS, cloudtask._THREAD_POOL, _transports()["grpc"] = self._others


def _transports() -> dict[str, Any]:
    """Return the registry of the client for handlers; it uses the first of its transports, "grpc"."""
    from google.cloud import tasks_v2

    registry: dict[str, Any] = type(tasks_v2.CloudTasksClient)._transport_registry
    return registry


class _Clients(dict[tuple[str, int], Any]):
    """The lab's clients by ("v2", process id); the process may be a fork of the one that made them."""

    def __init__(self, channel: LocalChannel) -> None:
        super().__init__()
        self._channel = channel
        self._made: dict[str, Any] = {}

    def get(self, key: tuple[str, int], default: Any = None) -> Any:
        version = key[0]
        if version not in self._made:
            self._made[version] = make_client(self._channel, f"tasks_{version}")
        return self._made[version]


class _NoThreads:
    """Runs each call immediately."""

    def submit(self, call: Callable[[], Any]) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(call())
        except Exception as error:
            done.set_exception(error)
        return done


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
