"""Lets Google's client talk to a lab's service, on the lab's clock: the one module that touches Google's.

While a service is connected

* `apiproxy_stub_map` sends the client's calls to it;
* the module `google.appengine.api.taskqueue.taskqueue` finds the virtual clock under the name `time`, so that
  `taskqueue.add(countdown=10)` in a notebook cell counts from virtual now, and a naive `eta` is UTC on every host, as
  it is on App Engine's servers (T17);
* the environment says what App Engine's says: HTTP_HOST, which the client warns about where it is missing, and
  DEFAULT_VERSION_HOSTNAME, which `target` needs; and not APPENGINE_USE_CLOUDTASK_PUSH_QUEUE, with which the client of
  SDK 3.1.0 sends tasks over the network.

The last one to disconnect undoes all that.
"""

from __future__ import annotations

import calendar
import importlib
import os
import sys
import time as real_time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from google.appengine.api import apiproxy_stub_map
from google.appengine.runtime import context

from harness.appengine.clock import Clock
from harness.errors import LabClosedError

HOST = "tutorial.appspot.com"
_CLIENT = "google.appengine.api.taskqueue.taskqueue"
_ENVIRONMENT = {
    "HTTP_HOST": HOST,
    "DEFAULT_VERSION_HOSTNAME": HOST,
    "APPENGINE_USE_CLOUDTASK_PUSH_QUEUE": None,
}


class Service(Protocol):
    """What the client needs of a service: App Engine's RPC, and a clock."""

    clock: Clock

    def CreateRPC(self) -> Any: ...


class Connection:
    """A service that Google's client can talk to, until it is closed; also a context manager."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this service the one that answers, although others are newer: for the length of a request."""
        _active.append(self)
        try:
            yield
        finally:
            _active.remove(self)

    def close(self) -> None:
        """Disconnect; in any order, and as often as you like. The newest of those that are left answers from now on."""
        if self in _connections:
            _connections.remove(self)
            if not _connections:
                _undo_all()


def connect(service: Service) -> Connection:
    """Make Google's client talk to a service, as long as no newer one is connected.

    Cheap: the client itself is not imported (that takes a second), and may be before or after.
    """
    connection = Connection(service)
    if not _connections:
        _set_environment()
    _connections.append(connection)
    _route()
    if not _set_client_clock():
        _wait_for_the_client()
    return connection


def preload() -> None:
    """Import Google's client, outside of any time travel, and give it the virtual clock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDK 3.1.0 warns, while it is imported, of what is deprecated in itself
        importlib.import_module(_CLIENT)
    if _connections:
        _set_client_clock()


_connections: list[Connection] = []  # the newest last
_active: list[Connection] = []  # those in a request, the innermost last
_saved: dict[str, str | None] = {}
_others: list[Any] = []  # the stub that was there before, if any
_context_get: Callable[..., Any] = context.get


def _current() -> Service:
    """The service that answers, or an error that says that there is none."""
    if not _connections:
        raise LabClosedError("no lab is open, so nothing can be added to a queue; create one with `lab = Lab()`")
    return (_active or _connections)[-1].service


class _Router:
    """Stands for the service `taskqueue` in Google's map of services, and passes each call on."""

    def CreateRPC(self) -> Any:
        return _current().CreateRPC()


class _ClientTime:
    """What the client sees under the name `time`."""

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
    if client is None or not hasattr(client, "time"):  # not imported, or its import has only begun
        return False
    client.time = _client_time  # type: ignore[attr-defined]
    context.get = _context_get
    return True


def _wait_for_the_client() -> None:
    """Give the client its clock when it makes its first task.

    A learner may import the client at any time. `Task()` reads its environment through `context.get` before it reads
    the clock (SDK 3.1.0), which is when the clock is put in.
    """

    def get(key: str, default: Any = None) -> Any:
        _set_client_clock()
        return _context_get(key, default)

    context.get = get


def _set_environment() -> None:
    for key, value in _ENVIRONMENT.items():
        _saved[key] = os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value


def _undo_all() -> None:
    for key, value in _saved.items():
        os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value
    if _others:
        apiproxy_stub_map.apiproxy.ReplaceStub("taskqueue", _others.pop())
    context.get = _context_get
    client = sys.modules.get(_CLIENT)
    if client is not None:
        client.time = real_time  # type: ignore[attr-defined]
