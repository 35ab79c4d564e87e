"""The API of Cloud Tasks (v2) for the queues of a lab. Cloud Tasks is the successor of App Engine's push queues."""

from harness.cloudtasks.channel import LocalChannel, connect_client, make_client
from harness.cloudtasks.connection import CloudTasksMode
from harness.cloudtasks.local_server import LocalServer
from harness.cloudtasks.servicer import CloudTasks

__all__ = ["CloudTasks", "CloudTasksMode", "LocalChannel", "LocalServer", "connect_client", "make_client"]
