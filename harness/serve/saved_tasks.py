"""Converts queues and tasks to the text in a state file, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from harness.appengine.taskqueue import (
    LastAttempt,
    PullQueue,
    Queue,
    QueueConfig,
    QueueObserver,
    RetryParameters,
    Task,
)
from harness.appengine.taskqueue.model import Authorization
from harness.records import Response

# The fields of a task that are saved without a conversion. `state` isn't saved, because each saved task is waiting.
_FIELDS = (
    *("method", "url", "headers", "eta", "created", "tag", "retries", "executions", "dispatches", "responses"),
    *("first_try", "previous_status", "retry_reason", "deadline"),
)


def dump_task(task: Task) -> str:
    """Return a task without its queue, its name and its body."""
    fields = {name: getattr(task, name) for name in _FIELDS}
    fields["retry"] = None if task.retry is None else asdict(task.retry)
    fields["authorization"] = None if task.authorization is None else _dump_authorization(task.authorization)
    fields["last_attempt"] = None if task.last_attempt is None else _dump_attempt(task.last_attempt)
    return json.dumps(fields)


def load_task(queue: str, name: str, text: str, body: bytes) -> Task:
    """Return a task from the text of `dump_task`. Any other text can cause many kinds of exceptions."""
    fields = json.loads(text)
    fields["headers"] = tuple((key, value) for key, value in fields["headers"])
    retry, authorization, attempt = (fields.pop(each) for each in ("retry", "authorization", "last_attempt"))
    return Task(
        name=name,
        queue=queue,
        body=body,
        retry=None if retry is None else RetryParameters(**retry),
        authorization=None if authorization is None else _load_authorization(**authorization),
        last_attempt=None if attempt is None else _load_attempt(**attempt),
        **fields,
    )


def dump_queue(queue: Queue) -> str:
    """Return a queue without its tasks."""
    fields = {"paused": queue.paused, "left_out": queue.left_out, "purged": queue.purged}
    return json.dumps({"config": asdict(queue.config), **fields})


def load_queue(text: str, observer: QueueObserver) -> Queue:
    """Return a queue from the text of `dump_queue`, with an observer."""
    fields = json.loads(text)
    config = fields["config"]
    config["retry"] = RetryParameters(**config["retry"])
    queue = (PullQueue if config["mode"] == "pull" else Queue)(QueueConfig(**config), observer)
    queue.paused, queue.left_out, queue.purged = fields["paused"], fields["left_out"], fields["purged"]
    return queue


def dump_configs(configs: Iterable[QueueConfig]) -> str:
    """Return the queues of a queue.yaml. The text is the same for the same queues."""
    return json.dumps([asdict(config) for config in configs])


def _dump_attempt(attempt: LastAttempt) -> dict[str, Any]:
    response = attempt.response
    status = None if response is None else response.status
    deadline, hint = ("", "") if response is None else (response.deadline, response.hint)
    return {
        **{"eta": attempt.eta, "began": attempt.began, "ended": attempt.ended},
        **{"status": status, "deadline": deadline, "hint": hint},
    }


def _load_attempt(status: int | None, deadline: str | None, hint: str, **times: float) -> LastAttempt:
    response = None if status is None else Response(status, deadline=deadline, hint=hint)
    return LastAttempt(**times, response=response)


def _dump_authorization(authorization: Authorization) -> dict[str, str]:
    return {"kind": type(authorization).__name__, **vars(authorization)}


def _load_authorization(kind: str, **fields: str) -> Authorization:
    from harness.cloudtasks import authorization  # slow, because it imports gRPC

    kinds = {each.__name__: each for each in (authorization.OidcAuthorization, authorization.OAuthAuthorization)}
    return kinds[kind](**fields)
