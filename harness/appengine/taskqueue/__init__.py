"""App Engine's task queue service: queues, names and leases. It sends no HTTP requests and runs no tasks."""

from harness.appengine.taskqueue.call_site import learners_frame
from harness.appengine.taskqueue.client import Connection, Mode, connect, preload, preload_cloud_tasks
from harness.appengine.taskqueue.model import LastAttempt, QueueConfig, RetryParameters, Task
from harness.appengine.taskqueue.observer import QueueObserver, Tombstones
from harness.appengine.taskqueue.queue import PullQueue, Queue
from harness.appengine.taskqueue.queue_yaml import parse_queue_yaml
from harness.appengine.taskqueue.service import TaskQueueService

__all__ = [
    "Connection",
    "LastAttempt",
    "Mode",
    "PullQueue",
    "Queue",
    "QueueConfig",
    "QueueObserver",
    "RetryParameters",
    "Task",
    "TaskQueueService",
    "Tombstones",
    "connect",
    "learners_frame",
    "parse_queue_yaml",
    "preload",
    "preload_cloud_tasks",
]
