"""The operations that the batches of Cloud Tasks return, which are already done."""

from collections.abc import Callable
from typing import Any

from google.longrunning import operations_pb2
from grpc import StatusCode

from harness.cloudtasks.names import CallError

_MOST = 100  # operations that are kept; the oldest are forgotten first
_NONE_SUCCEEDED = "None of the requests succeeded, refer to {}.failed_requests for individual error details"


class Operations:
    """The latest 100 operations of a location.

    Args:
        place: the location: "projects/tutorial/locations/us-central1".
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._kept: dict[str, Any] = {}  # by their names
        self._repeatable: dict[tuple[str, str, str], str] = {}  # names by method, queue and the caller's request_id
        self._count = 0

    def find(self, name: str) -> Any:
        """Return an operation, or None."""
        return self._kept.get(name)

    def run(
        self, request: Any, parts: list[Any], action: Callable[[Any], None], response: Any, metadata: Any, now: float
    ) -> Any:
        """Call an action with each part of a batch, and return the operation.

        A second request with the same `request_id` returns the same operation (Docs: BatchCreateTasksRequest).

        Args:
            request: a BatchCreateTasksRequest or a BatchDeleteTasksRequest.
            parts: the parts.
            action: raises a CallError for a part that fails; the others succeed.
            response: the response, which the action fills.
            metadata: an empty BatchCreateTasksMetadata or BatchDeleteTasksMetadata.
            now: virtual seconds since 1970.
        """
        key = (request.DESCRIPTOR.name, request.parent, request.request_id)
        if request.request_id and key in self._repeatable:
            return self._kept[self._repeatable[key]]
        metadata.start_time.FromMicroseconds(round(now * 1e6))
        metadata.end_time.CopyFrom(metadata.start_time)
        for index, part in enumerate(parts):
            try:
                action(part)
            except CallError as error:
                metadata.failed_requests[index].code = error.code.value[0]
                metadata.failed_requests[index].message = error.text
        failed = len(metadata.failed_requests)
        states = metadata.DESCRIPTOR.enum_types_by_name["State"].values_by_name
        metadata.state = states["PARTIALLY_SUCCEEDED" if failed else "SUCCEEDED"].number
        self._count += 1
        operation = operations_pb2.Operation(name=f"{self._place}/operations/{self._count}", done=True)
        operation.metadata.Pack(metadata)
        if failed == len(parts):
            operation.error.code = StatusCode.ABORTED.value[0]
            operation.error.message = _NONE_SUCCEEDED.format(metadata.DESCRIPTOR.name)
        else:
            operation.response.Pack(response)
        self._keep(operation, key)
        return operation

    def _keep(self, operation: Any, key: tuple[str, str, str]) -> None:
        self._kept[operation.name] = operation
        self._repeatable[key] = operation.name
        if len(self._kept) > _MOST:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._repeatable = {each: name for each, name in self._repeatable.items() if name != oldest}
