"""Converts tasks to and from Cloud Tasks' protocol buffers."""

import re
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from grpc import StatusCode

from harness.appengine.clock import DEADLINE
from harness.appengine.dispatcher.task_request import HTTP_USER_AGENT, USER_AGENT, normalized
from harness.appengine.taskqueue import QueueConfig, RetryParameters, Task
from harness.appengine.taskqueue.client import HOST
from harness.cloudtasks.authorization import fill_authorization, read_authorization
from harness.cloudtasks.names import refuse
from harness.cloudtasks.queue_messages import RETRY, fill_retry, fill_routing, host_labels, read_retry
from harness.errors import quoted
from harness.records import Frame, Headers, Response, find_header

BASIC, FULL = 1, 2  # the views (Docs: Task.View)
_METHODS = {0: "POST", 1: "POST", 2: "GET", 3: "HEAD", 4: "PUT", 5: "DELETE", 6: "PATCH", 7: "OPTIONS"}
_NUMBERS = {name: number for number, name in _METHODS.items() if number}
_LATEST = 30 * 86400  # seconds from now
# "The maximum task size is 100KB" (Docs: CreateTask), and "Quotas and limits" says 1 MB for HTTP targets. The authors
# of aertje/cloud-tasks-emulator measured 1,048,569 bytes in production for both (T56).
_LARGEST_APP_ENGINE_TASK, _LARGEST_HTTP_TASK = 100 * 2**10, 2**20
_LARGEST_HEADERS = 80 * 2**10  # of an HTTP target (Docs: HttpRequest.headers)
_LONGEST_URL = 2083  # characters
_SHORTEST_DEADLINE, _LONGEST_HTTP_DEADLINE, _LONGEST_DEADLINE = 15.0, 30 * 60.0, 24 * 3600.0 + 15  # Docs: Task
_IN_URL = "/%:@!$&'()*+,;=~-._?#[]"  # characters that aren't encoded
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(:[0-9]*)?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\0\r\n\u0100-\U0010ffff]*")
_SET_BY_GOOGLE = re.compile(r"host|content-length|x-(google|appengine|cloudtasks)-.*")
# The status of an attempt, by the HTTP status (google/rpc/code.proto).
_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ABORTED,
    429: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}


def fill_task(message: Any, task: Task, queue_name: str, view: int) -> None:
    """Fill an empty Task with a task's present state; the view BASIC leaves out the body (Docs: Task.View)."""
    message.name = f"{queue_name}/tasks/{task.name}"
    message.view = view or BASIC
    request = message.http_request if task.is_http else message.app_engine_http_request
    request.http_method = _NUMBERS.get(task.method, 1)
    if task.is_http:
        request.url = task.url
        fill_authorization(request, task.authorization)
    else:
        request.relative_uri = task.url
        fill_routing(request.app_engine_routing, find_header(task.headers, "Host") or HOST)
    _fill_headers(request.headers, task)
    if view == FULL:
        request.body = task.body
    message.schedule_time.FromMicroseconds(round(task.eta * 1e6))
    message.create_time.seconds = int(task.created)
    message.dispatch_deadline.FromMilliseconds(int(task.deadline * 1000))
    message.dispatch_count, message.response_count = task.dispatches, task.responses
    if task.retry is not None:
        fill_retry(message.retry_config, task.retry)
    _fill_attempts(message, task)


def read_task(message: Any, config: QueueConfig, name: str, now: float, call_site: Frame | None) -> Task:
    """Return the task that a Task of CreateTask describes.

    Args:
        message: the Task.
        config: the configuration of the queue.
        name: the last part of the task's name, or "".
        now: virtual seconds since 1970.
        call_site: the line that made the call.

    Raises:
        CallError: INVALID_ARGUMENT, with a message that names the field.
    """
    kind = message.WhichOneof("message_type")
    if kind is None:
        refuse("Task.message_type is required: set Task.app_engine_http_request or Task.http_request.")
    is_http = kind == "http_request"
    request = getattr(message, kind)
    field = "HttpRequest" if is_http else "AppEngineHttpRequest"
    _check_size(request, is_http)
    if request.http_method not in _METHODS:
        refuse(f"{field}.httpMethod {request.http_method} is not a value of HttpMethod.")
    method = _METHODS[request.http_method]
    with_body = ("POST", "PUT", "PATCH") if is_http else ("POST", "PUT")
    if request.body and method not in with_body:
        allowed = f"{', '.join(with_body[:-1])} or {with_body[-1]}"
        refuse(f"{field}.body: a body is allowed only if httpMethod is {allowed}, but it is {method}.")
    headers = _headers(request, field)
    if not is_http:
        headers += _app_engine_headers(request, headers)
    return Task(
        name=name,
        queue=config.name,
        method=method,
        url=_full_url(request.url) if is_http else _relative_uri(request.relative_uri),
        headers=headers,
        body=request.body,
        eta=_eta(message, now),
        created=now,
        authorization=read_authorization(request) if is_http else None,
        retry=read_retry(message.retry_config, _default(config)) if message.HasField("retry_config") else None,
        deadline=_deadline(message, is_http),
        call_site=call_site,
    )


def _default(config: QueueConfig) -> RetryParameters:
    """Return the values of the unspecified fields of a task's own retry config (T31).

    No source describes them for Cloud Tasks. In a queue of queue.yaml, they are App Engine's defaults, not the queue's
    values.
    """
    return RetryParameters() if config.from_yaml else RETRY


def _check_size(request: Any, is_http: bool) -> None:
    """Check the size of the request.

    The rest of the task doesn't count, so that no task from Google's `taskqueue` client is too large.
    """
    largest = _LARGEST_HTTP_TASK if is_http else _LARGEST_APP_ENGINE_TASK
    size = request.ByteSize()
    if size > largest:
        field = "http_request" if is_http else "app_engine_http_request"
        refuse(f"Task size too large: Task.{field} has {size} bytes, and at most {largest} are allowed.")


def _headers(request: Any, field: str) -> Headers:
    """Return the headers without those that only Google sets, in alphabetical order, because a map has no order."""
    headers = tuple(sorted(request.headers.items()))
    for key, value in headers:
        if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(value):
            refuse(f"{field}.headers: {quoted(key)}: {quoted(value)} is not a valid HTTP header.")
    size = sum(len(key) + len(value) for key, value in headers)
    if field == "HttpRequest" and size >= _LARGEST_HEADERS:
        refuse(f"{field}.headers: the headers must have less than 80KB, but have {size} bytes.")
    return tuple((key, value) for key, value in headers if not _SET_BY_GOOGLE.fullmatch(normalized(key)))


def _app_engine_headers(request: Any, headers: Headers) -> Headers:
    """Return the host for the routing, and the default content type of a body (Docs: AppEngineHttpRequest)."""
    labels = host_labels(request.app_engine_routing)
    added: Headers = (("Host", f"{labels}.{HOST}" if labels else HOST),)
    if request.body and find_header(headers, "Content-Type") is None:
        added += (("Content-Type", "application/octet-stream"),)
    return added


def _relative_uri(uri: str) -> str:
    if not uri:
        return "/"
    if not uri.startswith("/"):
        refuse(f'AppEngineHttpRequest.relativeUri must begin with "/", but is {quoted(uri)}.')
    if any(character.isspace() or not character.isprintable() for character in uri):
        refuse(f"AppEngineHttpRequest.relativeUri: no spaces are allowed, but it is {quoted(uri)}.")
    if uri.startswith("//") or "#" in uri:
        refuse(f"AppEngineHttpRequest.relativeUri must be a path with or without a query, and is {quoted(uri)}.")
    encoded = quote(uri, safe=_IN_URL)
    _check_length(encoded, "AppEngineHttpRequest.relativeUri")
    return encoded


def _full_url(url: str) -> str:
    if not url:
        refuse("HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        refuse(f"HttpTarget.url must start with 'http://' or 'https://'. HttpRequest.url is {quoted(url)}.")
    try:
        parts = urlsplit(quote(url, safe=_IN_URL))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        _refuse_url(url, str(error))
    if not host:
        _refuse_url(url, "it has no host")
    if not _NETLOC.fullmatch(parts.netloc.rpartition("@")[2]):
        _refuse_url(url, f"its host is {quoted(parts.netloc)}")
    encoded = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    _check_length(encoded, "HttpRequest.url")
    return encoded


def _refuse_url(url: str, why: str) -> NoReturn:
    refuse(f"HttpRequest.url {quoted(url)} is not a URL: {why}.")


def _check_length(url: str, field: str) -> None:
    length = len(quote(url, safe=_IN_URL))
    if length > _LONGEST_URL:
        refuse(f"{field} has {length} characters after encoding, and at most {_LONGEST_URL} are allowed.")


def _eta(message: Any, now: float) -> float:
    """Return the schedule time; the present if it is missing or in the past (Docs: CreateTaskRequest.task)."""
    if not message.HasField("schedule_time"):
        return now
    moment = message.schedule_time
    eta = float((moment.seconds * 10**6 + moment.nanos // 1000) / 1e6)
    if eta > now + _LATEST:
        text = f"The Task.scheduleTime, {_shown(moment)}, is too far in the future."
        refuse(f"{text} Schedule time must be no more than 720h in the future. It is {eta - now:.0f} s from now.")
    return max(eta, now)


def _shown(moment: Any) -> str:
    """Return a Timestamp as text, which may be out of the range of dates."""
    try:
        return str(moment.ToJsonString())
    except ValueError:
        return f"{moment.seconds} s after 1970"


def _deadline(message: Any, is_http: bool) -> float:
    seconds = float(message.dispatch_deadline.ToMilliseconds() / 1000)
    if not message.HasField("dispatch_deadline") or (seconds == 0 and not is_http):
        return DEADLINE
    longest = _LONGEST_HTTP_DEADLINE if is_http else _LONGEST_DEADLINE
    if not _SHORTEST_DEADLINE <= seconds <= longest:
        limits = "[15s, 30m]" if is_http else "[15s, 24h15s]"
        refuse(f"Task.dispatchDeadline must be between {limits}. It is {seconds:g}s.")
    return seconds


def _fill_headers(headers: Any, task: Task) -> None:
    """Fill the headers as production shows them (Prod): with the user agent, and App Engine's content length."""
    for name, value in task.headers:
        if name.lower() not in ("host", "user-agent"):
            headers[name] = value
    agent = find_header(task.headers, "User-Agent")
    if task.is_http:
        headers["User-Agent"] = HTTP_USER_AGENT
    else:
        headers["User-Agent"] = f"{agent} {USER_AGENT}" if agent else USER_AGENT
        if task.body:
            headers["Content-Length"] = str(len(task.body))


def _fill_attempts(message: Any, task: Task) -> None:
    if task.first_try is not None:
        message.first_attempt.dispatch_time.FromMicroseconds(round(task.first_try * 1e6))
    last = task.last_attempt
    if last is None:
        return
    message.last_attempt.schedule_time.FromMicroseconds(round(last.eta * 1e6))
    message.last_attempt.dispatch_time.FromMicroseconds(round(last.began * 1e6))
    if last.response is not None:
        message.last_attempt.response_time.FromMicroseconds(round(last.ended * 1e6))
        code, text = _status(last.response)
        number = message.last_attempt.response_status.code = code.value[0]
        message.last_attempt.response_status.message = f"{code.name}({number}): {text}"


def _status(response: Response) -> tuple[StatusCode, str]:
    """Return the code and the text of an attempt's status."""
    if response.deadline is not None:
        return StatusCode.DEADLINE_EXCEEDED, "the handler missed the deadline"
    if response.status == 0:
        return StatusCode.UNAVAILABLE, response.hint or "the instance was shut down"
    code = StatusCode.OK if response.ok else _CODES.get(response.status, StatusCode.UNKNOWN)
    return code, f"HTTP status code {response.status}"
