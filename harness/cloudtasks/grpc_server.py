"""A gRPC server on 127.0.0.1, through which other processes call the methods of a servicer."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import grpc

from harness.cloudtasks.names import CallError, check_deadline
from harness.cloudtasks.servicer import CloudTasks
from harness.errors import HarnessError

ADDRESS = "127.0.0.1"
_THREADS = 4  # calls wait for one lock, so more threads would not be faster
_LONGEST_TEXT = 4000  # characters of an error, because the headers of a response have at most 16 KB
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second server could listen on the same port
    ("grpc.max_receive_message_length", -1),  # a batch may contain 100 tasks of 1 MB
    ("grpc.max_send_message_length", -1),
)


class Guard(Protocol):
    """Guards queues, as `RealTimeDispatcher` does."""

    def changing(self) -> AbstractContextManager[None]:
        """Hold the lock of the queues in this scope, and notice the change at its end."""


class GrpcServer:
    """Offers the methods of a servicer on a port of 127.0.0.1.

    Args:
        servicer: the methods.
        dispatcher: holds the lock of the queues, and is notified of each change.
        port: the port; 0 for any free port.

    Raises:
        HarnessError: the port is in use, or this process may not use it.

    `port` is the port on which the server listens.
    """

    def __init__(self, servicer: CloudTasks, dispatcher: Guard, port: int) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS), handlers=[_Methods(servicer, dispatcher)], options=_OPTIONS
        )
        try:
            self.port = self._server.add_insecure_port(f"{ADDRESS}:{port}")
        except RuntimeError:
            raise HarnessError(
                f"port {port} can't be used, probably because another program uses it; choose another one with --port"
            ) from None
        self._server.start()

    def stop(self) -> None:
        """Stop listening, and end the calls that are running."""
        self._server.stop(None).wait()


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no type annotations
    """Passes each call to the servicer as bytes, whatever its method is."""

    def __init__(self, servicer: CloudTasks, dispatcher: Guard) -> None:
        self._servicer = servicer
        self._dispatcher = dispatcher

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(partial(self._call, details.method))

    def _call(self, method: str, request: bytes, context: Any) -> bytes:
        try:
            check_deadline(context.time_remaining())
            with self._dispatcher.changing():
                return self._servicer.call(method, request)
        except CallError as error:
            context.abort(error.code, error.text[:_LONGEST_TEXT])
            raise AssertionError("abort raises an exception") from error
