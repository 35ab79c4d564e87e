"""App Engine's task queue service: queues, names and leases. It knows no HTTP and runs nothing."""

from harness.taskqueue.client import Connection, connect, preload
from harness.taskqueue.config import QueueConfig, RetryParameters
from harness.taskqueue.origin import learners_frame
from harness.taskqueue.queue import Queue
from harness.taskqueue.queueyaml import parse_queue_yaml
from harness.taskqueue.service import TaskQueueService
from harness.taskqueue.task import Task

__all__ = [
    "Connection",
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
