"""Connects Google's client with a lab's service and clock. Only this module and a `Mode` change Google's code.

While a service is connected

* `apiproxy_stub_map` sends the client's calls to the service;
* the name `time` in the module `google.appengine.api.taskqueue.taskqueue` refers to the virtual clock. So
  `taskqueue.add(countdown=10)` in a notebook cell counts from the virtual present, and a naive `eta` is UTC on every
  host, as it is on App Engine's servers (T17);
* the environment variables are those of App Engine. The client warns if HTTP_HOST is missing, and `target` needs
  DEFAULT_VERSION_HOSTNAME. APPENGINE_USE_CLOUDTASK_PUSH_QUEUE is removed, because with it the client of SDK 3.1.0 sends
  tasks over the network.

A connection can have a `Mode`, which makes further changes while the client's calls reach the service of that
connection. When the last connection is closed, all of this is undone.
"""

import calendar
import importlib
import os
import sys
import time as real_time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from google.appengine.api import apiproxy_stub_map
from google.appengine.runtime import context

from harness.appengine.taskqueue.service import TaskQueueService
from harness.errors import LabClosedError

HOST = "tutorial.appspot.com"
_CLIENT = "google.appengine.api.taskqueue.taskqueue"
_CLOUD_TASKS = ("google.api_core", "google.cloud.tasks_v2")  # the packages for Cloud Tasks; each imports others
_ENVIRONMENT = {"HTTP_HOST": HOST, "DEFAULT_VERSION_HOSTNAME": HOST, "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE": None}


class Mode(Protocol):
    """Another way in which Google's client sends its calls to a service."""

    def enter(self) -> None:
        """Make the client use this mode."""

    def leave(self) -> None:
        """Undo `enter`."""


class Connection(AbstractContextManager["Connection"]):
    """A service that Google's client can reach until the connection is closed; also a context manager."""

    def __init__(self, service: TaskQueueService) -> None:
        self.service = service
        self.mode: Mode | None = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def active(self, host: str = HOST) -> "ActiveScope":
        """Return a scope for `with`: the client's calls reach this service, even if another was connected later.

        Args:
            host: the host of the request that runs. It becomes the host of the tasks without a target (T47; Docs, SDK).
        """
        return ActiveScope(self, host)

    def use(self, mode: Mode) -> None:
        """Set the mode in which the client sends its calls to this service."""
        self.mode = mode
        _follow_mode()

    def close(self) -> None:
        """Disconnect the service, so the newest remaining one receives the calls; a second call does nothing."""
        if self in _connections:
            _connections.remove(self)
            if _connections or _active:  # if a request of the lab closes it, the end of the request undoes everything
                _follow_mode()
            else:
                _undo_all()


class ActiveScope:
    """The scope of `Connection.active`."""

    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        self._host = host

    def __enter__(self) -> None:
        self._outer = os.environ.get("HTTP_HOST")
        _active.append(self._connection)
        _follow_mode()
        if self._outer != self._host:
            os.environ["HTTP_HOST"] = self._host

    def __exit__(self, *error: object) -> None:
        _active.remove(self._connection)
        if self._outer is not None and self._outer != self._host:  # a request restores the environment itself
            os.environ["HTTP_HOST"] = self._outer
        if _connections or _active:
            _follow_mode()
        else:
            _undo_all()


def connect(service: TaskQueueService) -> Connection:
    """Send the client's calls to a service until another one is connected, and return the connection.

    This does not import the client, which takes a second. The client may be imported before or after it.
    """
    connection = Connection(service)
    if not _connections and not _active:
        _set_environment(_ENVIRONMENT)
    _connections.append(connection)
    _route()
    _follow_mode()
    if not _set_client_clock():
        _wait_for_the_client()
    return connection


def preload() -> None:
    """Import Google's client, which must not happen in virtual time, and give it the virtual clock.

    The packages for Cloud Tasks take up to two thirds of the time of this import. The client works without them (SDK
    3.1.0), and only Cloud Tasks mode needs them. So they are hidden from the client, unless they are already loaded.
    """
    hidden = {name: None for name in _CLOUD_TASKS if _CLIENT not in sys.modules and name not in sys.modules}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDK 3.1.0 warns of its own deprecated parts while it is imported
        sys.modules.update(hidden)  # type: ignore[arg-type]  # None is how Python marks a module that is missing
        try:
            importlib.import_module(_CLIENT)
        finally:
            for name in hidden:
                sys.modules.pop(name, None)
    if _connections:
        _set_client_clock()


def preload_cloud_tasks() -> None:
    """Import Google's client with the packages for Cloud Tasks, which `preload` may have hidden from it."""
    preload()
    cloudtask = importlib.import_module(_CLIENT.rpartition(".")[0] + ".cloudtask")
    if cloudtask.tasks_v2 is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.reload(cloudtask)


_connections: list[Connection] = []  # the newest last
_active: list[Connection] = []  # those that run a request, the innermost last
_saved: dict[str, str | None] = {}  # the environment variables before the first connection
_modes: list[Mode] = []  # the one that the client uses now, if any
_others: list[Any] = []  # the stub that was installed before the first connection, if any
_context_get: Callable[..., Any] = context.get


def _current() -> TaskQueueService:
    """Return the service that receives the client's calls."""
    if not _connections:
        raise LabClosedError("no lab is open, so nothing can be added to a queue; create one with `lab = Lab()`")
    return (_active or _connections)[-1].service


class _Router:
    """The service `taskqueue` in Google's map of services; it passes each call to the current service."""

    def CreateRPC(self) -> Any:
        return _current().CreateRPC()


class _ClientTime:
    """The client's module `time`."""

    def time(self) -> float:
        return _current().clock.timestamp

    def mktime(self, moment: real_time.struct_time) -> float:
        return calendar.timegm(moment)

    def __getattr__(self, name: str) -> Any:
        return getattr(real_time, name)


_router = _Router()
_client_time = _ClientTime()


def _route() -> None:
    stub = apiproxy_stub_map.apiproxy.GetStub("taskqueue")
    if stub is not _router:
        _others[:] = [stub] if stub else []
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", _router)


def _set_client_clock() -> bool:
    client = sys.modules.get(_CLIENT)
    if client is None or not hasattr(client, "time"):  # not imported, or the import has not reached `import time`
        return False
    client.time = _client_time  # type: ignore[attr-defined]
    context.get = _context_get
    return True


def _wait_for_the_client() -> None:
    """Give the client its clock when it makes its first task, because a learner may import the client at any time.

    `Task()` reads the environment through `context.get` before it reads the clock (SDK 3.1.0).
    """

    def get(key: str, default: Any = None) -> Any:
        _set_client_clock()
        return _context_get(key, default)

    context.get = get


def _follow_mode() -> None:
    """Make the client use the mode of the service that receives its calls."""
    connections = _active or _connections
    mode = connections[-1].mode if connections else None
    if mode is not (_modes[0] if _modes else None):
        if _modes:
            _modes.pop().leave()
        if mode is not None:
            mode.enter()
            _modes.append(mode)


def _set_environment(values: dict[str, str | None]) -> None:
    """Set environment variables, or delete them for None, and save the previous values."""
    for key, value in list(values.items()):
        _saved[key] = os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value


def _undo_all() -> None:
    if _modes:
        _modes.pop().leave()
    _set_environment(_saved)
    _saved.clear()
    if _others:
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", _others.pop())
    context.get = _context_get
    client = sys.modules.get(_CLIENT)
    if client is not None:
        client.time = real_time  # type: ignore[attr-defined]
