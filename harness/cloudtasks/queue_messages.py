"""Converts queues to and from Cloud Tasks' protocol buffers."""

import math
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from grpc import StatusCode

from harness.appengine.taskqueue import Queue, QueueConfig, RetryParameters
from harness.appengine.taskqueue.client import HOST
from harness.cloudtasks.names import refuse
from harness.errors import quoted

# Cloud Tasks' values of unspecified fields (Docs: "Configure Cloud Tasks queues")
RATE, CONCURRENT = 500.0, 1000
RETRY = RetryParameters(task_retry_limit=99)  # 100 attempts
_MOST_CONCURRENT = 5000
_LONGEST = 10 * 365 * 86400.0  # seconds of a backoff, as in T31
_LABEL = re.compile("[A-Za-z0-9-]{0,100}")
_RUNNING, _PAUSED, _DISABLED = 1, 2, 3
# The fields of a queue that can be updated, each with the field of QueueConfig or RetryParameters that it becomes.
_UPDATES = {
    "app_engine_routing_override": "target",
    "rate_limits.max_dispatches_per_second": "rate",
    "rate_limits.max_concurrent_dispatches": "max_concurrent_requests",
    "retry_config.max_attempts": "task_retry_limit",
    "retry_config.max_retry_duration": "task_age_limit",
    "retry_config.min_backoff": "min_backoff",
    "retry_config.max_backoff": "max_backoff",
    "retry_config.max_doublings": "max_doublings",
}
_OUTPUT_ONLY = ("name", "state", "purge_time", "rate_limits.max_burst_size")  # ignored (Docs: UpdateQueueRequest.queue)


def fill_queue(message: Any, queue: Queue, name: str) -> None:
    """Fill an empty Queue of v2 or v2beta3 with a queue's present state."""
    config = queue.config
    message.name = name
    message.rate_limits.max_dispatches_per_second = config.rate
    message.rate_limits.max_burst_size = config.bucket_size
    message.rate_limits.max_concurrent_dispatches = config.max_concurrent_requests
    fill_retry(message.retry_config, config.retry)
    message.state = _RUNNING if not queue.paused else _DISABLED if queue.left_out else _PAUSED
    if queue.purged is not None:
        message.purge_time.FromMicroseconds(round(queue.purged * 1e6))
    if config.target:
        has_override = hasattr(message, "app_engine_routing_override")
        owner = message if has_override else message.app_engine_http_queue  # v2beta3
        fill_routing(owner.app_engine_routing_override, f"{config.target}.{HOST}")


def fill_retry(message: Any, retry: RetryParameters) -> None:
    """Fill an empty RetryConfig."""
    message.max_attempts = -1 if retry.task_retry_limit is None else retry.task_retry_limit + 1
    if retry.task_age_limit is not None:
        message.max_retry_duration.FromMicroseconds(round(retry.task_age_limit * 1e6))
    message.min_backoff.FromMicroseconds(round(retry.min_backoff * 1e6))
    message.max_backoff.FromMicroseconds(round(retry.max_backoff * 1e6))
    message.max_doublings = retry.max_doublings


def fill_routing(message: Any, host: str) -> None:
    """Fill an empty AppEngineRouting; a host outside App Engine's domain isn't parsed (Docs)."""
    message.host = host
    if host.endswith(f".{HOST}"):
        parts = host.removesuffix(f".{HOST}").split(".")
        for field, part in zip(("service", "version", "instance"), reversed(parts), strict=False):
            setattr(message, field, part)


def read_queue(message: Any, name: str) -> QueueConfig:
    """Return the configuration of a Queue, with Cloud Tasks' defaults for unspecified fields.

    Raises:
        CallError: INVALID_ARGUMENT for a value out of range, UNIMPLEMENTED for a field that the lab doesn't support.
    """
    if message.HasField("http_target"):
        refuse("Queue.httpTarget isn't supported by the lab; set the URL of each task.", StatusCode.UNIMPLEMENTED)
    limits = message.rate_limits
    rate = _limited(limits.max_dispatches_per_second, "RateLimits.maxDispatchesPerSecond", RATE) or RATE
    concurrent = _limited(limits.max_concurrent_dispatches, "RateLimits.maxConcurrentDispatches", _MOST_CONCURRENT)
    return QueueConfig(
        name,
        rate=rate,
        bucket_size=_burst(rate),
        max_concurrent_requests=int(concurrent) or CONCURRENT,
        retry=read_retry(message.retry_config, RETRY),
        target=host_labels(message.app_engine_routing_override) or None,
        from_yaml=False,
    )


def read_retry(message: Any, default: RetryParameters) -> RetryParameters:
    """Return the parameters of a RetryConfig; unspecified fields have the default.

    A `max_doublings` of 0 counts as unspecified, because proto3 doesn't transmit it.

    Raises:
        CallError: INVALID_ARGUMENT (Prod).
    """
    attempts = message.max_attempts
    if attempts < -1:
        refuse("RetryConfig.maxAttempts must be greater or equal to -1.")
    if message.max_doublings < 0:
        refuse("RetryConfig.maxDoublings cannot be negative.")
    age, least, most = (_seconds(message, field) for field in ("max_retry_duration", "min_backoff", "max_backoff"))
    if least is not None and most is None:
        most = max(default.max_backoff, least)  # as in queue.yaml
    if most is not None and least is None:
        least = min(default.min_backoff, most)
    return _ordered(
        RetryParameters(
            min_backoff=default.min_backoff if least is None else least,
            max_backoff=default.max_backoff if most is None else most,
            max_doublings=message.max_doublings or default.max_doublings,
            task_retry_limit={0: default.task_retry_limit, -1: None}.get(attempts, attempts - 1),
            task_age_limit=default.task_age_limit if age is None else age or None,
        )
    )


def update(config: QueueConfig, message: Any, paths: Iterable[str]) -> QueueConfig:
    """Return a configuration with some fields of a Queue, or with all of them if no paths are given.

    The bucket size always follows the rate (Docs: RateLimits.max_burst_size).

    Args:
        config: the present configuration.
        message: the Queue.
        paths: the paths of the update mask.

    Raises:
        CallError: INVALID_ARGUMENT.
    """
    given = replace(read_queue(message, config.name), from_yaml=config.from_yaml)
    paths = list(paths)
    if not paths or "*" in paths:
        return given
    wanted = {field for path in paths for field in _updated(path)}
    retry = {each.name: getattr(given.retry, each.name) for each in fields(RetryParameters) if each.name in wanted}
    if "retry_config.max_doublings" in paths:
        retry["max_doublings"] = message.retry_config.max_doublings  # the mask contains the field, so 0 is its value
    values = {each.name: getattr(given, each.name) for each in fields(QueueConfig) if each.name in wanted}
    rate = values.get("rate", config.rate)
    return replace(config, **values, bucket_size=_burst(rate), retry=_ordered(replace(config.retry, **retry)))


def host_labels(routing: Any) -> str:
    """Return the labels of a host: "v1.worker" for the version v1 of the service worker, "" for the default service.

    Raises:
        CallError: INVALID_ARGUMENT for a value that can't be part of a host.
    """
    for field in ("service", "version", "instance"):
        if not _LABEL.fullmatch(getattr(routing, field)):
            refuse(f"AppEngineRouting.{field} must consist of letters, digits and hyphens.")
    service = routing.service
    if service in ("", "default"):
        service = "default" if routing.version or routing.instance else ""  # or the version would look like a service
    return ".".join(part for part in (routing.instance, routing.version, service) if part)


def _updated(path: str) -> list[str]:
    """Return the names of our fields that a path of an update mask selects."""
    known = [field for name, field in _UPDATES.items() if name == path or name.startswith(f"{path}.")]
    is_routing = path.startswith("app_engine_routing_override.")
    if not known and not is_routing and path not in (*_OUTPUT_ONLY, "http_target", "stackdriver_logging_config"):
        refuse(
            f"update_mask.paths: a queue has no field {quoted(path)} that can be updated; it has {', '.join(_UPDATES)}."
        )
    return ["target"] if is_routing else known


def _burst(rate: float) -> int:
    """Return the burst size that Cloud Tasks sets: "generally at least equal to" the rate (Docs: RateLimits)."""
    return max(1, math.ceil(rate))


def _limited(value: float, field: str, most: float) -> float:
    if not value >= 0:
        refuse(f"{field} cannot be negative.")
    if value > most:
        refuse(f"{field} must be less than or equal to {most:g}.")
    return value


def _seconds(message: Any, field: str) -> float | None:
    """Return a Duration of a RetryConfig in seconds, or None if it is unspecified."""
    if not message.HasField(field):
        return None
    seconds = float(getattr(message, field).ToNanoseconds() / 1e9)
    first, *others = field.split("_")
    shown = "RetryConfig." + first + "".join(other.title() for other in others)
    if seconds < 0:
        refuse(f"{shown} cannot be negative.")
    if seconds > _LONGEST:
        refuse(f"{shown} must be at most {_LONGEST:g} seconds.")
    return seconds


def _ordered(retry: RetryParameters) -> RetryParameters:
    if retry.min_backoff > retry.max_backoff:
        refuse("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")
    return retry
