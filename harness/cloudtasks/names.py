"""The names of projects, locations, queues and tasks, and the error of a call."""

import re
from dataclasses import dataclass
from typing import NoReturn

from grpc import StatusCode

from harness.errors import BadRequestError, quoted

PROJECT, LOCATION = "tutorial", "us-central1"
_LATEST = 30.0  # seconds in the future
_SLACK = 1.0  # seconds of tolerance
_NO_DEADLINE = 1e9  # seconds; without a deadline, gRPC (1.85) returns about 9e18
_PARENT = re.compile(r"projects/([A-Za-z0-9.:-]+)/locations/([A-Za-z0-9-]+)")
_QUEUE = re.compile(rf"({_PARENT.pattern})/queues/([A-Za-z0-9-]{{1,100}})")
_TASK_ID = re.compile("[A-Za-z0-9_-]{1,500}")
_LONGEST_SHOWN = 200  # characters of a name in a message
_LOCATION_FORM = "projects/<PROJECT_ID>/locations/<LOCATION_ID>"
_QUEUE_FORM = f"{_LOCATION_FORM}/queues/<QUEUE_ID>"
_TASK_FORM = f"{_QUEUE_FORM}/tasks/<TASK_ID>"


class CallError(Exception):
    """The error of a failed call, with gRPC's status code and a message that names the field."""

    def __init__(self, code: StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def refuse(text: str, code: StatusCode = StatusCode.INVALID_ARGUMENT) -> NoReturn:
    """Raise a CallError, by default with the code INVALID_ARGUMENT."""
    raise CallError(code, text)


def check_deadline(seconds: float) -> None:
    """Refuse a deadline of more than 30 seconds ahead; a call without a deadline is accepted (T64; Prod).

    Args:
        seconds: the time that the client still waits.

    Raises:
        CallError: INVALID_ARGUMENT.
    """
    if _LATEST + _SLACK < seconds < _NO_DEADLINE:
        text = "The deadline cannot be more than 30s in the future. Set the timeout of the call."
        refuse(f"The request deadline is {seconds:.0f} s in the future. {text}")


@dataclass(frozen=True)
class ProjectLocation:
    """The project and the location that a servicer has (Docs: Queue.name).

    Raises:
        BadRequestError: one of them can't be part of a name.
    """

    project: str = PROJECT
    location: str = LOCATION

    def __post_init__(self) -> None:
        if not _PARENT.fullmatch(self.name):
            raise BadRequestError(
                f"the project {quoted(self.project)} or the location {quoted(self.location)} can't be part of a name: "
                "a project consists of letters, digits, hyphens, dots and colons, a location of letters, digits and "
                "hyphens"
            )

    @property
    def name(self) -> str:
        """The resource name: "projects/tutorial/locations/us-central1"."""
        return f"projects/{self.project}/locations/{self.location}"

    def check(self, name: str, field: str) -> None:
        """Refuse the name of another location; `field` is the field that contains it.

        Raises:
            CallError: PERMISSION_DENIED for another project or for another form of name (Prod), and INVALID_ARGUMENT
                for another location.
        """
        found = _PARENT.fullmatch(name)
        if found is None:
            text = f"Permission denied on resource project {name[:_LONGEST_SHOWN]}."
            refuse(f'{text} {field} must be formatted: "{_LOCATION_FORM}".', StatusCode.PERMISSION_DENIED)
        self._check(found[1], found[2], field)

    def queue_id(self, name: str, field: str) -> str:
        """Return the last part of a queue's name.

        Raises:
            CallError: as `check` does.
        """
        found = _QUEUE.fullmatch(name)
        if found is None:
            refuse(f'Queue name must be formatted: "{_QUEUE_FORM}". {field} is {quoted(name)}.')
        self._check(found[2], found[3], field)
        return found[4]

    def task_id(self, name: str, field: str) -> tuple[str, str]:
        """Return the last part of the name of a task's queue, and of the task's own name.

        Raises:
            CallError: as `check` does.
        """
        queue, separator, task = name.rpartition("/tasks/")
        if not separator:
            refuse(f'Task name must be formatted: "{_TASK_FORM}". {field} is {quoted(name)}.')
        if not _TASK_ID.fullmatch(task):
            refuse(
                f'Task ID "{task[:500]}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or '
                f"underscores (_). Task ID must between 1 and 500 characters. It is in {field}."
            )
        return self.queue_id(queue, field), task

    def _check(self, project: str, location: str, field: str) -> None:
        if project != self.project:
            text = f"Permission denied on resource project {project[:_LONGEST_SHOWN]}."
            text += f" {field}: the project here is {self.project}."
            refuse(text, StatusCode.PERMISSION_DENIED)
        if location != self.location:
            text = f"Location '{location[:_LONGEST_SHOWN]}' is not a valid location."
            refuse(f"{text} {field}: the location here is {self.location}.")
