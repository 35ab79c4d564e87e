"""Google's own Cloud Tasks client, connected to the queues of a service."""

from __future__ import annotations

from typing import Any

import pytest

from harness.appengine.clock import Clock
from harness.appengine.taskqueue import QueueConfig, TaskQueueService
from harness.cloudtasks import connect_client


@pytest.fixture
def service() -> TaskQueueService:
    """A service with the queue "default", a push queue "mail" and a pull queue "pull", as if from queue.yaml."""
    return TaskQueueService(Clock(), [QueueConfig("mail", rate=20.0), QueueConfig("pull", mode="pull")])


@pytest.fixture
def client(service: TaskQueueService) -> Any:
    """Google's client of v2."""
    return connect_client(service)
