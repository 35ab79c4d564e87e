"""A gRPC channel inside this process, through which Google's unmodified client calls a servicer without a socket."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import grpc

from harness.appengine.taskqueue import TaskQueueService
from harness.cloudtasks.names import CallError, check_deadline
from harness.cloudtasks.servicer import CloudTasks

Serialize = Callable[[Any], bytes]
Deserialize = Callable[[bytes], Any]


def _is_open() -> None:
    """Raise no error, because these queues always exist."""


def make_client(channel: grpc.Channel, version: str = "tasks_v2") -> Any:
    """Return Google's Cloud Tasks client in a version ("tasks_v2" or "tasks_v2beta3"), which uses a channel."""
    package = import_module(f"google.cloud.{version}")
    transports = import_module(f"google.cloud.{version}.services.cloud_tasks.transports")
    return package.CloudTasksClient(transport=transports.CloudTasksGrpcTransport(channel=channel))


def connect_client(service: TaskQueueService, check_open: Callable[[], None] = _is_open) -> Any:
    """Return Google's Cloud Tasks client, connected to the queues of a service.

    Args:
        service: the queues.
        check_open: called before each call; it raises an error if the queues no longer exist.
    """
    return make_client(LocalChannel(CloudTasks(service), check_open))


class LocalChannel(grpc.Channel):  # type: ignore[misc]  # gRPC has no type annotations
    """A channel to a servicer in this process. A call runs in the caller's thread and has ended when it returns.

    Args:
        servicer: the methods.
        check_open: see `connect_client`.
    """

    def __init__(self, servicer: CloudTasks, check_open: Callable[[], None] = _is_open) -> None:
        self._servicer = servicer
        self._check_open = check_open

    def unary_unary(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool | None = False,
    ) -> grpc.UnaryUnaryMultiCallable:
        serialize, deserialize = request_serializer or bytes, response_deserializer or bytes
        return _LocalMethod(self._servicer, method, serialize, deserialize, self._check_open)

    def unary_stream(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("Cloud Tasks has no methods with streams")

    stream_unary = stream_stream = unary_stream

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> "LocalChannel":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class _LocalMethod(grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]  # gRPC has no type annotations
    """One method of the servicer. A call takes no virtual time, but a timeout is refused if production refuses it."""

    def __init__(
        self,
        servicer: CloudTasks,
        method: str,
        serialize: Serialize,
        deserialize: Deserialize,
        check_open: Callable[[], None],
    ) -> None:
        self._servicer = servicer
        self._check_open = check_open
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize

    def __call__(self, request: Any, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        self._check_open()
        try:
            check_deadline(timeout or 0.0)
            return self._deserialize(self._servicer.call(self._method, self._serialize(request)))
        except CallError as error:
            raise _Failed(error.code, error.text) from None

    def with_call(self, request: Any, *args: Any, **options: Any) -> tuple[Any, grpc.Call]:
        return self(request, *args, **options), _Ended(grpc.StatusCode.OK, "")

    def future(self, request: Any, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("the channel of a lab makes calls only in the caller's thread")


class _Ended(grpc.Call):  # type: ignore[misc]  # gRPC has no type annotations
    """A call that has ended, with its status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__()
        self._code = code
        self._text = text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float | None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


class _Failed(_Ended, grpc.RpcError):  # type: ignore[misc]  # gRPC has no type annotations
    """The exception of a call that has failed. An interceptor calls `result`, which raises it."""

    def result(self, timeout: float | None = None) -> Any:
        raise self

    def __str__(self) -> str:
        return f"{self._code}: {self._text}"
