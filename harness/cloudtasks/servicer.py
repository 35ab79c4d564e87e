"""The methods of Cloud Tasks' API. Each one takes a request message, and returns a response or raises a CallError.

The messages are those of `google.cloud.tasks_v2.types` as protocol buffers (`pb()`), so no stubs are generated. "Docs"
means the comments of these messages and of `CloudTasksClient` in google-cloud-tasks 2.26.0. "Prod" means the errors
that the project aertje/cloud-tasks-emulator recorded in production.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from google.appengine.runtime.apiproxy_errors import ApplicationError
from google.cloud import tasks_v2, tasks_v2beta3
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import DecodeError
from grpc import StatusCode

from harness.appengine.taskqueue import Queue, Task, TaskQueueService
from harness.appengine.taskqueue.call_site import find_call_site
from harness.appengine.taskqueue.messages import ErrorCode
from harness.appengine.turns import turn
from harness.cloudtasks.names import ProjectLocation, refuse
from harness.cloudtasks.operations import Operations
from harness.cloudtasks.pages import cut_page, make_token
from harness.cloudtasks.queue_messages import fill_queue, read_queue, update
from harness.cloudtasks.task_messages import fill_task, read_task
from harness.errors import quoted
from harness.records import Frame

Method = tuple[type[Any], Callable[[Any], Any]]  # the class of the request, and the method itself
_V2, _BETA = "google.cloud.tasks.v2.CloudTasks", "google.cloud.tasks.v2beta3.CloudTasks"
GET_OPERATION = "/google.longrunning.Operations/GetOperation"
_types = tasks_v2.types
_MOST_QUEUES, _MOST_TASKS = 9800, 1000  # of a page
_LARGEST_PAGE = 3_000_000  # bytes; with one more task, a client's default limit of 4 MB for a message isn't reached
_MOST_CREATED, _MOST_DELETED = 100, 1000  # of a batch
_MOST_NAMED = 10  # queues in a message
# Production's messages (Prod). The lab adds the field and its value to messages that contain neither. The message about
# the name of a recent task is from stackkit/laravel-google-cloud-tasks-queue#104.
_NO_QUEUE = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
_NOT_FOUND = "Requested entity was not found."
_RECENT_TASK = "The task cannot be created because a task with this name existed too recently."
_RECENT_QUEUE = "The queue cannot be created because a queue with this name existed too recently."
_GONE = (
    "The task no longer exists, though a task with this name existed recently. The task either successfully completed "
    "or was deleted."
)


class CloudTasks:
    """Cloud Tasks v2, and v2beta3's GetQueue, over the push queues of a service.

    Args:
        service: the queues.
        place: the project and the location of the queues.
        adding: the name of a call that adds tasks, in the turns of requests (`harness.appengine.turns`).

    `methods` maps the full name of each method in gRPC, such as "/google.cloud.tasks.v2.CloudTasks/CreateTask", to the
    class of its request and to its function. Each call is reported to the listeners of the service.
    """

    def __init__(
        self, service: TaskQueueService, place: ProjectLocation | None = None, adding: str = "CreateTask"
    ) -> None:
        self.place = place or ProjectLocation()
        self._service = service
        self._adding = adding
        self._operations = Operations(self.place.name)
        functions: dict[str, Callable[[Any], Any]] = {
            "ListQueues": self.list_queues,
            "GetQueue": self.get_queue,
            "CreateQueue": self.create_queue,
            "UpdateQueue": self.update_queue,
            "DeleteQueue": self.delete_queue,
            "PurgeQueue": self.purge_queue,
            "PauseQueue": self.pause_queue,
            "ResumeQueue": self.resume_queue,
            "ListTasks": self.list_tasks,
            "GetTask": self.get_task,
            "CreateTask": self.create_task,
            "BatchCreateTasks": self.batch_create_tasks,
            "DeleteTask": self.delete_task,
            "BatchDeleteTasks": self.batch_delete_tasks,
            "RunTask": self.run_task,
        }
        self.methods: dict[str, Method] = {
            f"/{_V2}/{name}": (getattr(_types, f"{name}Request").pb(), function) for name, function in functions.items()
        }
        self.methods |= {
            f"/{_V2}/{name}": (getattr(iam_policy_pb2, f"{name}Request"), _refuse_iam)
            for name in ("GetIamPolicy", "SetIamPolicy", "TestIamPermissions")
        }
        self.methods[GET_OPERATION] = (operations_pb2.GetOperationRequest, self.get_operation)
        self.methods[f"/{_BETA}/GetQueue"] = (tasks_v2beta3.types.GetQueueRequest.pb(), self.get_beta_queue)

    def call(self, method: str, request: bytes) -> bytes:
        """Call a method with serialized messages.

        Raises:
            CallError: the call fails; UNIMPLEMENTED for a method that doesn't exist here.
        """
        if method not in self.methods:
            known = ", ".join(sorted(name.rpartition("/")[2] for name in self.methods if name.startswith(f"/{_V2}/")))
            refuse(f"The lab has no method {method[:200]}. Its methods are {known}.", StatusCode.UNIMPLEMENTED)
        kind, _ = self.methods[method]
        try:
            message = kind.FromString(request)
        except DecodeError:
            refuse(f"The request isn't a serialized message of the method {method}.")
        response: bytes = self.respond(method, message).SerializeToString()
        return response

    def respond(self, method: str, message: Any) -> Any:
        """Call an existing method with a message, and return the response message.

        Raises:
            CallError: the call fails.
        """
        for listener in self._service.listeners:
            listener(method.rpartition("/")[2], message)
        try:
            return self.methods[method][1](message)
        except ApplicationError as error:  # from the service's observer, if it can't save the change
            refuse(f"{error.error_detail}.", StatusCode.UNAVAILABLE)

    # Queues

    def list_queues(self, request: Any) -> Any:
        """List the push queues in alphabetical order."""
        self.place.check(request.parent, "ListQueuesRequest.parent")
        if request.filter:
            refuse("ListQueuesRequest.filter isn't supported by the lab; leave it out.", StatusCode.UNIMPLEMENTED)
        response = _types.ListQueuesResponse.pb()()
        names = sorted(name for name, queue in self._service.queues.items() if queue.config.mode == "push")
        page, response.next_page_token = cut_page(names, request, _MOST_QUEUES, self._now())
        for name in page:
            fill_queue(response.queues.add(), self._service.queues[name], self._queue_name(name))
        return response

    def get_queue(self, request: Any) -> Any:
        """Return a queue."""
        return self._queue_message(self._queue(request.name, "GetQueueRequest.name"))

    def get_beta_queue(self, request: Any) -> Any:
        """Return a queue of v2beta3, with statistics only if the read mask contains them (Docs: GetQueueRequest)."""
        queue = self._queue(request.name, "GetQueueRequest.name", modes=("push", "pull"))
        message = tasks_v2beta3.types.Queue.pb()()
        fill_queue(message, queue, self._queue_name(queue.config.name))
        message.tombstone_ttl.seconds = int(queue.tombstones.lifetime)
        message.type_ = 1 if queue.config.mode == "pull" else 2
        _fill_stats(message.stats, queue, self._now())
        paths = list(request.read_mask.paths)
        for path in paths:
            if path.split(".")[0] not in message.DESCRIPTOR.fields_by_name:
                refuse(f"GetQueueRequest.read_mask: a queue has no field {quoted(path)}.")
        if not paths:
            message.ClearField("stats")
            return message
        masked = type(message)()
        request.read_mask.MergeMessage(message, masked)
        return masked

    def create_queue(self, request: Any) -> Any:
        """Create a queue, whose unspecified fields have Cloud Tasks' defaults."""
        self.place.check(request.parent, "CreateQueueRequest.parent")
        name = self.place.queue_id(request.queue.name, "Queue.name")
        if name in self._service.queues:
            refuse(f"Queue already exists: Queue.name names the queue {name}.", StatusCode.ALREADY_EXISTS)
        return self._create(name, request.queue)

    def update_queue(self, request: Any) -> Any:
        """Change the fields of a queue that the mask names; create the queue if it doesn't exist."""
        name = self.place.queue_id(request.queue.name, "Queue.name")
        if name not in self._service.queues:
            return self._create(name, request.queue)
        queue = self._queue(request.queue.name, "Queue.name")
        config = update(queue.config, request.queue, request.update_mask.paths)
        return self._queue_message(self._service.set_queue(config))

    def delete_queue(self, request: Any) -> Any:
        """Delete a queue with its tasks."""
        queue = self._queue(request.name, "DeleteQueueRequest.name", missing=_NOT_FOUND)
        self._service.delete_queue(queue.config.name)
        return empty_pb2.Empty()

    def purge_queue(self, request: Any) -> Any:
        """Delete all tasks of a queue; in the lab this takes effect immediately."""
        queue = self._queue(request.name, "PurgeQueueRequest.name")
        queue.purge(self._now())
        return self._queue_message(queue)

    def pause_queue(self, request: Any) -> Any:
        """Pause a queue."""
        queue = self._queue(request.name, "PauseQueueRequest.name")
        queue.pause()
        return self._queue_message(queue)

    def resume_queue(self, request: Any) -> Any:
        """Resume a queue."""
        queue = self._queue(request.name, "ResumeQueueRequest.name")
        queue.resume()
        return self._queue_message(queue)

    # Tasks

    def list_tasks(self, request: Any) -> Any:
        """List the waiting and the running tasks of a queue in alphabetical order."""
        queue = self._queue(request.parent, "ListTasksRequest.parent")
        response = _types.ListTasksResponse.pb()()
        now = self._now()
        page, response.next_page_token = cut_page(queue.names(), request, _MOST_TASKS, now)
        size = 0
        for task in filter(None, map(queue.find, page)):
            message = response.tasks.add()
            fill_task(message, task, request.parent, request.response_view)
            size += message.ByteSize()
            if size > _LARGEST_PAGE and task.name != page[-1]:
                response.next_page_token = make_token(request, task.name, now)
                break
        return response

    def get_task(self, request: Any) -> Any:
        """Return a task that waits or runs."""
        queue, task = self._task(request.name, "GetTaskRequest.name")
        return self._task_message(task, queue, request.response_view)

    def create_task(self, request: Any) -> Any:
        """Add a task to a queue."""
        queue = self._queue(request.parent, "CreateTaskRequest.parent")
        with self._turn([request]):
            task = self._add(queue, request, find_call_site())
        return self._task_message(task, queue, request.response_view)

    def batch_create_tasks(self, request: Any) -> Any:
        """Add tasks to a queue; if some fail, the others are still added."""
        queue = self._queue(request.parent, "BatchCreateTasksRequest.parent")
        _check_batch(len(request.requests), _MOST_CREATED, "BatchCreateTasksRequest.requests")
        for index, each in enumerate(request.requests):
            if each.parent != request.parent:
                field = f"BatchCreateTasksRequest.requests[{index}].parent"
                refuse(f"{field} must be the same as BatchCreateTasksRequest.parent, not {quoted(each.parent)}.")
        call_site = find_call_site()
        taken = frozenset(each.task.name.rpartition("/")[2] for each in request.requests)

        def add(each: Any) -> None:
            task = self._add(queue, each, call_site, taken)
            fill_task(response.tasks.add(), task, request.parent, each.response_view)

        response, metadata = _types.BatchCreateTasksResponse.pb()(), _types.BatchCreateTasksMetadata.pb()()
        with self._turn(request.requests):
            return self._operations.run(request, list(request.requests), add, response, metadata, self._now())

    def delete_task(self, request: Any) -> Any:
        """Delete a task that waits or runs."""
        self._delete(request.name, "DeleteTaskRequest.name")
        return empty_pb2.Empty()

    def batch_delete_tasks(self, request: Any) -> Any:
        """Delete tasks of a queue; if some fail, the others are still deleted."""
        self._queue(request.parent, "BatchDeleteTasksRequest.parent")
        _check_batch(len(request.names), _MOST_DELETED, "BatchDeleteTasksRequest.names")

        def delete(name: str) -> None:
            self._check_parent(name.rpartition("/tasks/")[0], request.parent)
            self._delete(name, "BatchDeleteTasksRequest.names")

        metadata = _types.BatchDeleteTasksMetadata.pb()()
        return self._operations.run(request, list(request.names), delete, empty_pb2.Empty(), metadata, self._now())

    def run_task(self, request: Any) -> Any:
        """Let a task start now; in a lab it runs in the next `run`, `step` or `advance`."""
        queue, task = self._task(request.name, "RunTaskRequest.name")
        queue.force(task)
        return self._task_message(task, queue, request.response_view)

    def get_operation(self, request: Any) -> Any:
        """Return the operation of a batch, which is one of the latest 100."""
        operation = self._operations.find(request.name)
        if operation is None:
            refuse(f"{_NOT_FOUND} GetOperationRequest.name is {quoted(request.name)}.", StatusCode.NOT_FOUND)
        return operation

    # What the methods have in common

    def _queue(self, name: str, field: str, modes: tuple[str, ...] = ("push",), missing: str = _NO_QUEUE) -> Queue:
        queue_id = self.place.queue_id(name, field)
        queue = self._service.queues.get(queue_id)
        if queue is None or queue.config.mode not in modes:
            known = [each.config.name for each in self._service.queues.values() if each.config.mode in modes]
            more = f" and {len(known) - _MOST_NAMED} others" if len(known) > _MOST_NAMED else ""
            names = f"{', '.join(known[:_MOST_NAMED])}{more}"
            refuse(f"{missing} {field} names the queue {queue_id}, and the queues are {names}.", StatusCode.NOT_FOUND)
        return queue

    def _now(self) -> float:
        return self._service.clock.timestamp

    def _queue_name(self, name: str) -> str:
        return f"{self.place.name}/queues/{name}"

    def _queue_message(self, queue: Queue) -> Any:
        message = _types.Queue.pb()()
        fill_queue(message, queue, self._queue_name(queue.config.name))
        return message

    def _create(self, name: str, message: Any) -> Any:
        if self._service.deleted.holds(name, self._now()):
            refuse(f"{_RECENT_QUEUE} Queue.name names the queue {name}.", StatusCode.FAILED_PRECONDITION)
        return self._queue_message(self._service.set_queue(read_queue(message, name)))

    def _task(self, name: str, field: str) -> tuple[Queue, Task]:
        queue_id, task_id = self.place.task_id(name, field)
        queue = self._queue(self._queue_name(queue_id), field)
        task = queue.find(task_id)
        if task is None:
            is_recent = queue.tombstones.holds(task_id, self._now())
            refuse(f"{_GONE if is_recent else _NOT_FOUND} {field} names the task {task_id}.", StatusCode.NOT_FOUND)
        return queue, task

    def _task_message(self, task: Task, queue: Queue, view: int) -> Any:
        message = _types.Task.pb()()
        fill_task(message, task, self._queue_name(queue.config.name), view)
        return message

    def _delete(self, name: str, field: str) -> None:
        queue, task = self._task(name, field)
        queue.delete(task.name, self._now())

    def _add(self, queue: Queue, request: Any, call_site: Frame | None, taken: frozenset[str] = frozenset()) -> Task:
        now, given = self._now(), request.task.name
        name = ""
        if given:
            queue_id, name = self.place.task_id(given, "Task.name")
            self._check_parent(self._queue_name(queue_id), self._queue_name(queue.config.name))
        task = read_task(request.task, queue.config, name, now, call_site)
        try:
            self._service.add(queue, task, now, taken)
        except ApplicationError as error:
            if error.application_error == ErrorCode.TRANSIENT_ERROR:
                refuse(f"{error.error_detail}.", StatusCode.UNAVAILABLE)
            waits = error.application_error == ErrorCode.TASK_ALREADY_EXISTS
            text = "Requested entity already exists." if waits else _RECENT_TASK
            refuse(f"{text} Task.name is {quoted(given)}.", StatusCode.ALREADY_EXISTS)
        return task

    def _turn(self, requests: Iterable[Any]) -> AbstractContextManager[None]:
        """Return a context for adding tasks, which is one turn of the calling request if requests take turns."""
        urls = (each.task.http_request.url or each.task.app_engine_http_request.relative_uri for each in requests)
        return turn(f"{self._adding} {', '.join(map(repr, urls))}")

    def _check_parent(self, found: str, parent: str) -> None:
        if found != parent:
            refuse(
                f"The queue name from request ('{parent}') must be the same as the queue name in the named task "
                f"('{found[:700]}')."
            )


def _fill_stats(stats: Any, queue: Queue, now: float) -> None:
    oldest = queue.oldest_eta()
    stats.tasks_count = len(queue)
    if oldest is not None:
        stats.oldest_estimated_arrival_time.FromMicroseconds(round(oldest * 1e6))
    stats.executed_last_minute_count = queue.executed_last_minute(now)
    stats.concurrent_dispatches_count = len(queue.in_flight)
    stats.effective_execution_rate = 0.0 if queue.paused else queue.config.rate


def _check_batch(count: int, most: int, field: str) -> None:
    if not 1 <= count <= most:
        refuse(f"{field} must contain 1 to {most} items, but contains {count}.")


def _refuse_iam(request: Any) -> NoReturn:
    refuse("The lab has no access control: every call is allowed, so there are no policies.", StatusCode.UNIMPLEMENTED)
