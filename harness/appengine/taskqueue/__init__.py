"""App Engine's task queue service: queues, names and leases. It sends no HTTP requests and runs no tasks."""

from harness.appengine.taskqueue.call_site import learners_frame
from harness.appengine.taskqueue.client import Connection, connect, preload
from harness.appengine.taskqueue.model import QueueConfig, RetryParameters, Task
from harness.appengine.taskqueue.queue import PullQueue, Queue
from harness.appengine.taskqueue.queue_yaml import parse_queue_yaml
from harness.appengine.taskqueue.service import TaskQueueService

__all__ = [
    "Connection",
    "PullQueue",
    "Queue",
    "QueueConfig",
    "RetryParameters",
    "Task",
    "TaskQueueService",
    "connect",
    "learners_frame",
    "parse_queue_yaml",
    "preload",
]
